"""A forger of AUDIT/ledger, without the key: what it says is never believed, only what sealed records say."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from beamstop_pipeline.cli import main

Forge = Callable[[Path, Path], None]  # of the ledger, and of another one of the same key


def _of(ledger: Path, part: str) -> Path:
    (found,) = ledger.glob(f"*{part}*00000")
    return found


def _head(ledger: Path) -> Path:
    (found,) = ledger.glob("*.json")
    return found


def truncated(ledger: Path, other: Path) -> None:
    file = _of(ledger, "-sources-")
    file.write_bytes(file.read_bytes()[:-20])


def emptied(ledger: Path, other: Path) -> None:
    for file in ledger.iterdir():
        file.write_bytes(b"")


def grown(ledger: Path, other: Path) -> None:
    file = _of(ledger, "-sources-")
    file.write_bytes(file.read_bytes() * 2)


def reordered(ledger: Path, other: Path) -> None:
    file = _of(ledger, "-sources-")
    data = file.read_bytes()
    file.write_bytes(data[45:90] + data[:45] + data[90:])


def swapped_kinds(ledger: Path, other: Path) -> None:
    sources, contents = _of(ledger, "-sources-"), _of(ledger, "-contents-")
    data = sources.read_bytes()
    sources.write_bytes(contents.read_bytes())
    contents.write_bytes(data)


def of_another_audit(ledger: Path, other: Path) -> None:
    """Rows and seals that the same key made for another AUDIT, under the names that are expected here."""
    for mine in list(ledger.iterdir()):
        part = mine.name[len(_head(other).stem) :]
        mine.write_bytes((other / (_head(other).stem + part)).read_bytes())


def whole_other(ledger: Path, other: Path) -> None:
    shutil.rmtree(ledger)
    shutil.copytree(other, ledger)


def head_of_other(ledger: Path, other: Path) -> None:
    _head(ledger).write_bytes(_head(other).read_bytes())


def mac_of_other(ledger: Path, other: Path) -> None:
    head = json.loads(_head(ledger).read_bytes())
    head["mac"] = json.loads(_head(other).read_bytes())["mac"]
    _head(ledger).write_text(json.dumps(head))


def nested(ledger: Path, other: Path) -> None:
    _head(ledger).write_text("[" * 100_000)


FORGERIES: list[Forge] = [
    *(truncated, emptied, grown, reordered, swapped_kinds),
    *(of_another_audit, whole_other, head_of_other, mac_of_other, nested),
]


@pytest.mark.parametrize("forge", FORGERIES, ids=lambda forge: str(forge.__name__))
def test_a_forged_ledger_is_made_anew(
    tmp_path: Path, archive: Path, key_file: Path, capsys: pytest.CaptureFixture[str], forge: Forge
) -> None:
    def run(name: str, source: Path) -> dict[str, int]:
        places = ["--output", str(tmp_path / f"out-{name}"), "--audit", str(tmp_path / name)]
        words = ["run", "--input", str(source), *places, "--key", str(key_file), "--recipe", "basic"]
        capsys.readouterr()
        assert main([*words, "--workers", "1", "--incremental", "--prune", "--json"]) == 0
        told: dict[str, int] = json.loads(capsys.readouterr().out)
        return told

    other = tmp_path / "others"
    shutil.copytree(archive / "sub", other)
    run("other", other)
    first = run("mine", archive)
    clean = sorted((tmp_path / "out-mine").rglob("*.dcm"))
    forge(tmp_path / "mine" / "ledger", tmp_path / "other" / "ledger")
    again = run("mine", archive)
    assert (first["written"], again["skipped"], again["written"]) == (3, 3, 0)
    assert sorted((tmp_path / "out-mine").rglob("*.dcm")) == clean
    assert main(["verify", "--audit", str(tmp_path / "mine"), "--key", str(key_file)]) == 0
