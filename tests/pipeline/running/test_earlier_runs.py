"""What AUDIT remembers: another key, recipe or OUTPUT than its newest run had must be meant."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.sealing import seal

from beamstop.audit import INSTANCES
from beamstop.identity import Identity
from beamstop.recipe.load import load_recipe, parse_recipe
from beamstop_pipeline.cli import main
from beamstop_pipeline.running.earlier_runs import _newest_files
from beamstop_transforms.record import record_name

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def go(archive: Path, tmp_path: Path, key_file: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs the job and returns its exit code and what it said on stderr."""

    def _go(*more: str, to: str = "out", recipe: str = "basic", key: str = str(key_file)) -> tuple[int, str]:
        places = ["--output", str(tmp_path / to), "--audit", str(tmp_path / "audit")]
        keys = ["--key", key] if key else []
        settings = ["--recipe", recipe, *keys, "--workers", "1", "--json"]
        code = main(["run", "--input", str(archive), *places, *settings, *more])
        return code, capsys.readouterr().err

    return _go


def content(folder: Path) -> dict[str, bytes]:
    return {str(it.relative_to(folder)): it.read_bytes() for it in folder.rglob("*") if it.is_file()}


def newest(tmp_path: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(max((tmp_path / "audit" / "runs").iterdir()).read_text())
    return record


@pytest.mark.parametrize("more", [(), ("--incremental",), ("--incremental", "--prune")], ids=" ".join)
def test_a_forgotten_recipe_undoes_no_archive(go: Run, tmp_path: Path, more: tuple[str, ...]) -> None:
    assert go(recipe="strict") == (0, "")
    before = content(tmp_path)
    code, said = go(*more, recipe="basic")
    assert code == 2
    assert "--recipe basic: the newest run in AUDIT had another one, strict" in said
    assert "--accept-changed-recipe" in said
    assert content(tmp_path) == before
    assert go("--accept-changed-recipe", *more, recipe="basic") == (0, "")
    assert go(*more, recipe="basic") == (0, "")


def test_a_recipe_of_ones_own_is_known_by_its_content(go: Run, tmp_path: Path) -> None:
    mine, theirs = tmp_path / "mine.yaml", tmp_path / "theirs.json"
    mine.write_text("options: [clean-descriptors]\nunlisted: remove\n")
    assert go(recipe=str(mine)) == (0, "")
    theirs.write_text('{"unlisted": "remove", "options": ["clean-descriptors"]}')
    assert go(recipe=str(theirs)) == (0, "")
    mine.write_text("options: [clean-descriptors]\nunlisted: keep\n")
    assert go(recipe=str(mine))[0] == 2


def test_a_key_in_a_recipe_is_the_same_in_any_notation() -> None:
    one = parse_recipe("attributes: {'00100010': X, PatientID: K}\n")
    other = parse_recipe('{"attributes": {"PatientID": "K", "00100010": "X"}}')
    assert one.given == other.given
    assert one.given != parse_recipe("attributes: {'00100010': Z, PatientID: K}\n").given
    assert load_recipe("basic").given == "basic"


def test_a_newer_beamstop_with_the_same_recipe_goes_on_and_says_so(
    go: Run, tmp_path: Path, key: bytes
) -> None:
    assert go() == (0, "")
    change(tmp_path, key, recipe={**newest(tmp_path)["recipe"], "digest": "0" * 64})
    code, said = go("--incremental")
    assert code == 0
    assert said.count("\n") == 1
    assert "recipe basic: it means something else in this version of beamstop" in said


def change(tmp_path: Path, key: bytes, **more: Any) -> None:
    """Seal the newest record anew, with something in it changed; None takes it out."""
    record = {**newest(tmp_path), **more}
    kept = {name: value for name, value in record.items() if value is not None and name != "sha256"}
    seal(tmp_path / "audit", key=key, **{name: it for name, it in kept.items() if name != "mac"})


@pytest.mark.parametrize("more", [(), ("--incremental",)], ids=" ".join)
def test_another_key_doubles_no_patient(go: Run, tmp_path: Path, more: tuple[str, ...]) -> None:
    assert go() == (0, "")
    before = content(tmp_path)
    other = tmp_path / "other"
    other.write_bytes(bytes(range(1, 33)))
    other.chmod(0o600)
    code, said = go(*more, key=str(other))
    assert code == 2
    assert "--key: it did not seal the newest run in AUDIT" in said
    other.unlink()
    assert content(tmp_path) == before


def test_a_record_that_was_changed_is_told_as_another_key(go: Run, tmp_path: Path) -> None:
    assert go() == (0, "")
    path = tmp_path / "audit" / record_name(newest(tmp_path)["run_id"])
    path.write_text(json.dumps({**newest(tmp_path), "started": "2020-01-01"}))
    code, said = go()
    assert code == 2
    assert "beamstop verify says how" in said


def test_an_ephemeral_key_takes_no_second_run(go: Run, tmp_path: Path) -> None:
    assert go("--ephemeral-key", key="")[0] == 0
    for again in (go("--ephemeral-key", key=""), go()):
        assert again[0] == 2
        assert "--ephemeral-key and cannot be continued" in again[1]


def test_another_output_skips_nothing(go: Run, tmp_path: Path) -> None:
    assert go() == (0, "")
    code, said = go("--incremental", to="elsewhere")
    assert code == 2
    assert "--output: the runs in AUDIT wrote to another OUTPUT" in said
    assert not (tmp_path / "elsewhere").exists()
    code, said = go("--incremental", "--accept-moved-output", to="elsewhere")
    assert code == 2
    assert "of the newest 3 clean files that AUDIT names, 3 are not in OUTPUT" in said


def test_a_moved_output_is_accepted_if_its_newest_files_are_there(go: Run, tmp_path: Path) -> None:
    assert go() == (0, "")
    shutil.move(tmp_path / "out", tmp_path / "moved")
    files = list((tmp_path / "moved").rglob("*.dcm"))
    was = files[0].read_bytes()
    files[0].write_bytes(was + b"1")
    code, said = go("--incremental", "--accept-moved-output", to="moved")
    assert (code, "3 clean files that AUDIT names, 1 are not" in said) == (2, True)
    files[0].write_bytes(was)
    assert go("--incremental", "--accept-moved-output", to="moved") == (0, "")
    assert go("--incremental", to="moved") == (0, "")


def test_an_output_is_one_however_its_name_is_written(
    go: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert go() == (0, "")
    (tmp_path / "link").symlink_to(tmp_path / "out")
    assert go("--incremental", to="link") == (0, "")
    assert go("--incremental", to="sub/../out/") == (0, "")


def test_an_output_that_was_emptied_is_told(go: Run, tmp_path: Path) -> None:
    """As where it is not mounted."""
    assert go() == (0, "")
    files = list((tmp_path / "out").rglob("*.dcm"))
    shutil.move(files[0], tmp_path / "kept")
    assert go("--incremental") == (0, "")
    for file in files[1:]:
        file.unlink()
    code, said = go("--incremental")
    assert (code, "none of the newest 3 clean files that AUDIT names is there" in said) == (0, True)
    assert go() == (0, "")


def test_files_that_were_pruned_need_not_be_there(go: Run, archive: Path, tmp_path: Path) -> None:
    assert go() == (0, "")
    (archive / "1.dcm").unlink()
    assert go("--incremental", "--prune") == (0, "")
    shutil.move(tmp_path / "out", tmp_path / "moved")
    assert go("--incremental", "--accept-moved-output", to="moved") == (0, "")


def test_an_audit_that_does_not_tell_its_output_is_judged_by_its_files(
    go: Run, tmp_path: Path, key: bytes
) -> None:
    assert go() == (0, "")
    told = {name: it for name, it in newest(tmp_path)["recipe"].items() if name != "given"}
    change(tmp_path, key, output=None, recipe=told)
    code, said = go("--incremental", to="elsewhere")
    assert (code, "wrote to another OUTPUT" in said) == (2, True)
    assert go("--incremental", recipe="default")[0] == 2
    shutil.move(tmp_path / "out", tmp_path / "moved")
    assert go("--incremental", to="moved") == (0, "")


def test_an_audit_without_a_sealed_record_takes_any_run(go: Run, tmp_path: Path) -> None:
    runs = tmp_path / "audit" / "runs"
    runs.mkdir(parents=True)
    (runs / "notes.json").write_text("{}")
    (runs / "20260101T000000Z-00000000001.json").write_text("{")
    assert go()[0] == 0


def test_a_table_that_comes_or_goes_is_a_warning(go: Run, tmp_path: Path) -> None:
    table = ("--attributes", str(tmp_path / "table"))
    assert go(*table) == (0, "")
    code, said = go()
    assert (code, said) == (
        0,
        "--attributes: the newest run in AUDIT had it; its files are not kept up to date now\n",
    )
    code, said = go("--incremental", *table)
    assert code == 0
    assert said.startswith("--attributes is new: it has no rows of sources that --incremental skips")


def test_of_a_path_that_two_sources_held_the_last_content_counts(tmp_path: Path, key: bytes) -> None:
    audit, path = tmp_path / "audit", "P/1.2/1.2.3/1.2.3.4.dcm"
    (audit / "instances").mkdir(parents=True)
    for number, source_id in enumerate(("a" * 64, "b" * 64)):
        run_id = f"20260101T00000{number}Z-00000000001"
        row = {
            "source_id": source_id,
            "sop_instance_uid": "1.2.3.4",
            "output_path": path,
            "output_sha256": str(number),
        }
        table = pa.Table.from_pylist([row], INSTANCES)
        pq.write_table(table, audit / "instances" / f"{run_id}-00000-of-00001.parquet")
        seal(audit, run_id, key)
    (newest,) = _newest_files(str(audit), Identity(key))
    assert (newest.output_path, newest.output_sha256) == (path, "1")
