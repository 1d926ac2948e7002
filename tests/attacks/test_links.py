"""Links that somebody planted in OUTPUT or AUDIT: nothing is written or read through them."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from beamstop_pipeline.cli import main
from beamstop_transforms.stores import StoreError, paths_in
from beamstop_transforms.stores.local import LocalStore


def contents(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """Return a folder that nobody named to beamstop."""
    folder = tmp_path / "victim"
    (folder / "sub").mkdir(parents=True)
    for name in ("thesis.tex", "sub/more.json", "20260101T000000Z-00000000001.json"):
        (folder / name).write_bytes(b"nobody's business\n")
    return folder


Run = Callable[..., int]


@pytest.fixture
def again(tmp_path: Path, archive: Path, key_file: Path) -> Run:
    """Return a function that runs the job on the same places."""

    def _again(*more: str) -> int:
        places = ["--output", str(tmp_path / "out"), "--audit", str(tmp_path / "audit")]
        settings = ["--recipe", "basic", "--key", str(key_file), "--workers", "1", "--quiet", *more]
        return main(["run", "--input", str(archive), *places, *settings])

    return _again


def planted(place: Path, to: Path) -> None:
    """Put a link in the place of what a run made."""
    if place.exists():
        place.rename(place.with_name(f"{place.name}.moved"))
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(to)


PLACES = (
    *("audit/runs", "audit/ledger", "audit/lists", "audit/instances", "audit/changes", "audit/signatures"),
    *("audit/subjects", "out/{patient}", "out/.partial", "audit/.partial", "out/.partial/new"),
)


@pytest.mark.parametrize("more", [(), ("--incremental", "--prune")])
@pytest.mark.parametrize("place", PLACES)
def test_no_run_writes_or_reads_through_a_planted_folder(
    again: Run,
    tmp_path: Path,
    victim: Path,
    capsys: pytest.CaptureFixture[str],
    place: str,
    more: tuple[str, ...],
) -> None:
    assert again() == 0
    patient = min(it.name for it in (tmp_path / "out").iterdir())
    before = contents(victim)
    planted(tmp_path / place.format(patient=patient), victim)
    (tmp_path / "archive" / "1.dcm").touch()
    capsys.readouterr()
    code = again(*more)
    told = " ".join(capsys.readouterr().err.split())
    assert contents(victim) == before
    written = {"audit/instances", "audit/changes", "out/{patient}"}
    is_used = place in {"audit/runs", "out/.partial", "audit/.partial"}
    is_used = is_used or place in ({"audit/ledger"} if more else written)
    assert not is_used or ("is a link" in told and code in {2, 3}), (code, told)
    assert code in {0, 1, 2, 3}
    assert "Traceback" not in told


@pytest.mark.parametrize("place", ["out/.partial/run", "audit/.partial/run", "out/.partial/locks/00"])
def test_no_lock_is_written_through_a_planted_file(
    again: Run, tmp_path: Path, victim: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    before = contents(victim)
    planted(tmp_path / place, victim / "thesis.tex")
    code = again()
    assert contents(victim) == before
    assert code == (2 if place.endswith("run") else 0)
    assert not place.endswith("run") or "is a link" in " ".join(capsys.readouterr().err.split())


def test_a_planted_clean_file_is_occupied_and_nothing_is_read_through_it(
    again: Run, tmp_path: Path, victim: Path
) -> None:
    assert again() == 0
    clean = min((tmp_path / "out").rglob("*.dcm"))
    (victim / "same.dcm").write_bytes(clean.read_bytes())
    before = contents(victim)
    planted(clean, victim / "same.dcm")
    assert again() == 1
    assert clean.is_symlink()
    assert contents(victim) == before


@pytest.mark.parametrize("folder", ["runs", "instances", "ledger", "lists"])
@pytest.mark.parametrize("command", ["verify", "report", "sources"])
def test_no_command_reads_a_planted_file(
    again: Run,
    tmp_path: Path,
    key_file: Path,
    victim: Path,
    capsys: pytest.CaptureFixture[str],
    command: str,
    folder: str,
) -> None:
    assert again() == 0
    (record,) = (tmp_path / "audit" / "runs").glob("*.json")
    files = [it for it in (tmp_path / "audit" / folder).glob("*") if it.is_file()] or [
        tmp_path / "audit" / folder / record.name
    ]
    (victim / "secret").write_bytes(json.dumps({"run_id": "Grabowski"}).encode())
    files[0].parent.mkdir(exist_ok=True)
    files[0].unlink(missing_ok=True)
    planted(files[0], victim / "secret")
    words = {
        "verify": ["verify", "--audit", str(tmp_path / "audit"), "--key", str(key_file)],
        "report": ["report", str(tmp_path / "audit"), "-o", str(tmp_path / "report.html")],
        "sources": ["sources", str(tmp_path / "audit"), "--key", str(key_file)],
    }[command]
    words += ["--input", str(tmp_path / "archive")] if command == "sources" else []
    capsys.readouterr()
    code = main(words)
    streams = capsys.readouterr()
    told = " ".join(f"{streams.out} {streams.err}".split())
    assert "Grabowski" not in told
    assert "Traceback" not in told
    if folder in {"runs", "instances"}:
        assert (code, "is a link" in told) == (2, True), (code, told)


def test_a_store_reaches_nothing_behind_a_link(tmp_path: Path, victim: Path) -> None:
    root = tmp_path / "store"
    root.mkdir()
    (root / "folder").symlink_to(victim)
    (root / "file").symlink_to(victim / "thesis.tex")
    store, before = LocalStore(str(root)), contents(victim)
    refused: list[Callable[[], object]] = [
        lambda: store.read("folder/thesis.tex"),
        lambda: store.find("folder/thesis.tex"),
        lambda: store.write("folder/new", b"x", None),
        lambda: store.keep("file", "kept"),
        lambda: store.keep("folder/thesis.tex", "kept"),
        lambda: store.read("file"),
        lambda: list(store.names("folder")),
        lambda: store.folders("folder"),
        lambda: paths_in(str(root), "", ""),
    ]
    for work in refused:
        with pytest.raises(StoreError, match="is a link"):
            work()
    found = store.find("file")
    assert found is not None
    assert found.sha256 == ""
    assert store.write("file", b"mine", found.version)
    assert (root / "file").read_bytes() == b"mine"
    assert contents(victim) == before
