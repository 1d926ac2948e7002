"""One run of a machine in a target at a time, and what dead ones leave."""

import multiprocessing
import os
import tempfile
from pathlib import Path

import pytest

from beamstop_pipeline.job import ConfigurationError
from beamstop_pipeline.targets import scratch, sole_run


def _take_turns(folder: Path, audit: Path, turns: int) -> None:
    """Be the sole run again and again; end badly if another one is, too."""
    while turns:
        try:
            with sole_run(folder, str(audit)):
                os.close(os.open(audit / "alone", os.O_CREAT | os.O_EXCL))
                os.unlink(audit / "alone")
                turns -= 1
        except ConfigurationError:
            continue


def test_runs_that_begin_and_end_all_the_time_are_never_two(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "audit").mkdir()
    start = multiprocessing.get_context("fork").Process
    others = [start(target=_take_turns, args=(tmp_path / "out", tmp_path / "audit", 200)) for _ in range(3)]
    for process in others:
        process.start()
    for process in others:
        process.join()
    assert [process.exitcode for process in others] == [0, 0, 0]
    assert list((tmp_path / "out").iterdir()) == []


@pytest.fixture
def died(tmp_path: Path) -> Path:
    """Return a target that a run called `r1` published a table in, as did one called `r0` before."""
    for name in (
        ".partial/r1/instances/draft",
        "instances/r1-0.parquet",
        "r1-0.parquet",
        "instances/r0-0.parquet",
    ):
        (tmp_path / "audit" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "audit" / name).touch()
    return tmp_path / "audit"


def test_tables_of_a_run_that_left_no_record_go(died: Path) -> None:
    with sole_run(died, str(died)):
        pass
    assert [path.name for path in died.rglob("*") if path.is_file()] == ["r0-0.parquet"]


def test_tables_of_a_run_that_left_its_record_stay(died: Path) -> None:
    (died / "runs").mkdir()
    (died / "runs" / "r1.json").touch()
    with sole_run(died, str(died)):
        pass
    assert len(list(died.rglob("*.parquet"))) == 3
    assert not (died / ".partial").exists()


def test_claims_of_a_dead_run_stay_until_they_are_seen_again(tmp_path: Path) -> None:
    claim = tmp_path / ".partial" / "r1" / "claims" / "ab" / "abcd"
    for path in (
        claim,
        tmp_path / ".partial" / "r2" / "claims" / "ab" / "gone",
        tmp_path / ".partial" / "new" / "x",
    ):
        path.parent.mkdir(parents=True)
        path.touch()
    (tmp_path / ".partial" / "r2" / "claims" / "ab" / "gone").unlink()
    (tmp_path / ".partial" / "r1" / "claims" / "cd").mkdir()
    with sole_run(tmp_path, str(tmp_path)):
        pass
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [claim]
    assert not (tmp_path / ".partial" / "r2").exists()
    assert not (tmp_path / ".partial" / "r1" / "claims" / "cd").exists()


def test_a_full_disk_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / ".partial").touch()  # no folder can be made there
    with pytest.raises(ConfigurationError, match="choose another"), sole_run(tmp_path, str(tmp_path)):
        pass


def test_scratch_folders_of_dead_runs_go_and_those_of_living_ones_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "beamstop-dead").mkdir()
    (tmp_path / "beamstop-dead" / "lock").touch()
    (tmp_path / "beamstop-begun").mkdir()
    with scratch() as living:
        tempfile.tempdir = str(tmp_path)
        with scratch() as mine:
            assert tempfile.gettempdir() == os.environ["TMPDIR"] == mine
            there = {path.name for path in tmp_path.iterdir()}
            assert there == {Path(living).name, Path(mine).name, "beamstop-begun"}
    assert {path.name for path in tmp_path.iterdir()} == {"beamstop-begun"}
