"""An archive made by beamstop 0.1.0: runs, increments, verify, report and sources go on with it."""

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beamstop.identity import Identity
from beamstop_pipeline.cli import main
from beamstop_transforms.instance import Source, source_id_of, version_digest
from beamstop_transforms.ledger.decisions import Decisions
from beamstop_transforms.ledger.target import Target

MADE = Path(__file__).parents[1] / "fixtures" / "archive_by_0_1_0"
PLACE = Path("/tmp/beamstop-0.1.0")  # noqa: S108  where it was made
CHANGED = 1_700_000_000 * 10**9  # nanoseconds, all sources


@pytest.fixture
def old(key_file: Path) -> Iterator[Path]:
    """Put the archive where it was made; one test at a time."""
    try:
        lock = open(f"{PLACE}.lock", "w")  # noqa: SIM115  stays: who waits for it must not lock another
    except PermissionError:
        pytest.skip(f"{PLACE} is another user's")
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.rmtree(PLACE, ignore_errors=True)
        PLACE.mkdir(mode=0o700)
        for name in ("archive", "output", "audit"):
            shutil.copytree(MADE / name, PLACE / name)
        for source in (PLACE / "archive").iterdir():
            os.utime(source, ns=(CHANGED, CHANGED))
        shutil.copy(key_file, PLACE / "key")
        yield PLACE
        shutil.rmtree(PLACE)


@pytest.fixture
def told(old: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, int]]:
    """Return a function that does a command with --json and returns what it says, with its exit code."""
    places = {"--input": "archive", "--output": "output", "--audit": "audit", "--key": "key"}
    named = [word for option, name in places.items() for word in (option, str(old / name))]

    def _told(command: str, *more: str) -> dict[str, int]:
        code = main([command, *named, "--recipe", "basic", "--workers", "1", "--json", *more])
        return {**json.loads(capsys.readouterr().out), "code": code}

    return _told


@pytest.mark.parametrize("more", [(), ("--incremental",)], ids=" ".join)
def test_a_run_does_all_of_it_again(
    told: Callable[..., dict[str, int]], old: Path, more: tuple[str, ...]
) -> None:
    before = {it.name: it.read_bytes() for it in (old / "output").rglob("*.dcm")}
    said = told("run", *more)
    known = int("--incremental" in more)  # the earlier version said the same of the file that is cut off
    assert (said["code"], said["written"], said["rejected"], said["failed"]) == (1 - known, 3, 3, 1)
    assert said["known"] == known
    assert said["skipped"] == said["unchanged"] == 0
    after = {it.name: it.read_bytes() for it in (old / "output").rglob("*.dcm")}
    assert before.keys() == after.keys()
    assert not set(before.values()) & set(after.values())
    assert told("run", "--incremental")["skipped"] == 6  # what failed is tried again
    assert told("verify")["findings"] == 0


def test_verify_finds_nothing(told: Callable[..., dict[str, int]]) -> None:
    said = told("verify")
    assert (said["code"], said["findings"], said["rows"], said["pairs"]) == (0, 0, 7, 3)


def test_verify_finds_a_row_that_was_changed(told: Callable[..., dict[str, int]], old: Path) -> None:
    path = min((old / "audit" / "instances").iterdir())
    table = pq.read_table(path)
    rows = table.to_pylist()
    rows[0]["bytes_in"] = 7
    pq.write_table(pa.Table.from_pylist(rows, table.schema), path)
    assert told("verify")["checks"] == {"root": 1, "row_changed": 1, "table_changed": 1}
    pq.write_table(table.drop_columns(["leaks_found"]), path)
    assert told("verify")["checks"] == {"root": 1, "row_changed": len(rows), "table_changed": 1}


def test_report_and_sources_read_it(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(old / "audit"), "-o", str(old / "report.html")]) == 0
    assert "cannot be read" not in (old / "report.html").read_text()
    keys = ["--input", str(old / "archive"), "--key", str(old / "key")]
    capsys.readouterr()
    assert main(["sources", str(old / "audit"), *keys]) == 0
    assert str(old / "archive" / "cut.dcm") in capsys.readouterr().out


def test_a_plain_version_counts_as_its_digest(old: Path, key: bytes) -> None:
    """Only another version of beamstop makes an increment do these sources again."""
    source = Source(str(old / "archive" / "1.dcm"), 550, str(CHANGED))
    source_id = source_id_of(source, Identity(key))
    target = Target(str(old / "output"), str(old / "audit"), str(old / "key"))
    record = json.loads(min((old / "audit" / "runs").iterdir()).read_text())
    decisions = Decisions(target, record["recipe"]["digest"], "0.1.0")
    assert decisions.holds(source_id, 550, version_digest(source_id, source.version, Identity(key)))
    assert not decisions.holds(source_id, 550, version_digest(source_id, "1", Identity(key)))
    assert not decisions.holds(source_id, 550, "")


def test_another_recipe_key_or_output_is_refused(
    old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = ["--input", str(old / "archive"), "--audit", str(old / "audit"), "--workers", "1", "--json"]
    out, key = ["--output", str(old / "output")], ["--key", str(old / "key")]
    basic, other = ["--recipe", "basic"], tmp_path / "other"
    other.write_bytes(bytes(range(1, 33)))
    other.chmod(0o600)
    for command, option in (
        ([*out, *key], "--recipe default"),
        ([*out, *basic, "--key", str(other)], "--key"),
        ([*key, *basic, "--output", str(tmp_path / "elsewhere")], "--output"),
    ):
        assert main(["run", *places, *command]) == 2
        assert option in capsys.readouterr().err
