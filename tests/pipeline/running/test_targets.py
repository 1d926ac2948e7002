"""One run of a machine in a target at a time, and what dead ones leave."""

import errno
import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from beamstop_pipeline.errors import ConfigurationError
from beamstop_pipeline.running.targets import scratch, sole_run

RUN0, RUN1, RUN2, RUN9, RUN10 = (f"2026010{number}T000000Z-00000000000" for number in (1, 2, 3, 4, 5))


def _take_turns(folder: Path, audit: Path, turns: int) -> None:
    """Be the sole run again and again; end badly if another one is, too."""
    while turns:
        try:
            with sole_run(folder, str(audit), RUN9):
                os.close(os.open(audit / "alone", os.O_CREAT | os.O_EXCL))
                os.unlink(audit / "alone")
                turns -= 1
        except ConfigurationError:
            continue


def test_runs_that_begin_and_end_all_the_time_are_never_two(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "audit").mkdir()
    assert _exits(_take_turns, tmp_path / "out", tmp_path / "audit", 200) == [0, 0, 0]
    assert list((tmp_path / "out").iterdir()) == []


@pytest.fixture
def died(tmp_path: Path) -> Path:
    """Return a target that a run called RUN1 published a table in, as did one called RUN0 before."""
    for name in (
        f".partial/{RUN1}/instances/draft",
        f"instances/{RUN1}-0.parquet",
        f"{RUN1}-0.parquet",
        f"instances/{RUN0}-0.parquet",
    ):
        (tmp_path / "audit" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "audit" / name).touch()
    return tmp_path / "audit"


def test_tables_of_a_run_that_left_no_record_go(died: Path) -> None:
    with sole_run(died, str(died), RUN9):
        pass
    assert [path.name for path in died.rglob("*") if path.is_file()] == [f"{RUN0}-0.parquet"]


def test_tables_of_a_run_that_left_nothing_else_go_too(died: Path) -> None:
    """It had nothing to draft: only the lock knows of it."""
    shutil.rmtree(died / ".partial" / RUN1)
    (died / ".partial" / "run").write_text(RUN1)
    with sole_run(died, str(died), RUN9):
        assert (died / ".partial" / "run").read_text() == RUN9
    assert [path.name for path in died.rglob("*") if path.is_file()] == [f"{RUN0}-0.parquet"]


def test_a_run_that_broke_leaves_its_name_if_it_leaves_tables(died: Path) -> None:
    with sole_run(died, str(died), RUN9):
        (died / f"{RUN9}-0.parquet").touch()
    assert (died / ".partial" / "run").read_text() == RUN9
    with sole_run(died, str(died), RUN10):
        pass
    assert [path.name for path in died.rglob("*") if path.is_file()] == [f"{RUN0}-0.parquet"]


def test_tables_of_a_run_that_left_its_record_stay(died: Path) -> None:
    (died / "runs").mkdir()
    (died / "runs" / f"{RUN1}.json").touch()
    with sole_run(died, str(died), RUN9):
        pass
    assert len(list(died.rglob("*.parquet"))) == 3
    assert not (died / ".partial").exists()


def test_claims_of_a_dead_run_stay_until_they_are_seen_again(tmp_path: Path) -> None:
    claim = tmp_path / ".partial" / RUN1 / "claims" / "ab" / "abcd"
    for path in (
        claim,
        tmp_path / ".partial" / RUN2 / "claims" / "ab" / "gone",
        tmp_path / ".partial" / "new" / "x",
    ):
        path.parent.mkdir(parents=True)
        path.touch()
    (tmp_path / ".partial" / RUN2 / "claims" / "ab" / "gone").unlink()
    (tmp_path / ".partial" / RUN1 / "claims" / "cd").mkdir()
    with sole_run(tmp_path, str(tmp_path), RUN9):
        pass
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [claim]
    assert not (tmp_path / ".partial" / RUN2).exists()
    assert not (tmp_path / ".partial" / RUN1 / "claims" / "cd").exists()


def test_a_full_disk_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / ".partial").touch()  # no folder can be made there
    with pytest.raises(ConfigurationError, match="choose another"), sole_run(tmp_path, str(tmp_path), RUN9):
        pass


def test_a_target_that_becomes_read_only_says_nothing_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the run itself says of it is enough; and its own faults are no bad configuration."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with sole_run(tmp_path, str(tmp_path), RUN9):
        monkeypatch.setattr(os, "unlink", refuse)
    monkeypatch.undo()
    for fault in (OSError, FileNotFoundError):
        with pytest.raises(fault, match="of the run"), sole_run(tmp_path, str(tmp_path), RUN9):
            raise fault("of the run")


def test_scratch_folders_of_dead_runs_go_and_those_of_living_ones_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "beamstop-scratch-dead").mkdir()
    (tmp_path / "beamstop-scratch-dead" / "working-1-x").touch()
    (tmp_path / "beamstop-scratch-died-when-all-but-removed").mkdir()
    (tmp_path / "beamstop-of-somebody").mkdir()
    with scratch() as living:
        tempfile.tempdir = str(tmp_path)
        with scratch() as mine:
            assert tempfile.gettempdir() == os.environ["TMPDIR"] == mine
            there = {path.name for path in tmp_path.iterdir()}
            assert there == {Path(living).name, Path(mine).name, "beamstop-of-somebody"}
    assert [path.name for path in tmp_path.iterdir()] == ["beamstop-of-somebody"]


def _scratch_again(place: Path, turns: int) -> None:
    """Have a scratch folder again and again; end badly if another run removes it."""
    tempfile.tempdir = str(place)
    for _ in range(turns):
        with scratch() as mine:
            Path(mine, "mine").touch()
            Path(mine, "mine").unlink()


def test_scratch_folders_of_runs_that_begin_at_once_are_left_alone(tmp_path: Path) -> None:
    assert _exits(_scratch_again, tmp_path, 200) == [0, 0, 0]
    assert list(tmp_path.iterdir()) == []


def _exits(work: Callable[..., None], *arguments: Any) -> list[int | None]:
    """Return how three processes end that do the same at once."""
    start = multiprocessing.get_context("fork").Process
    started = [start(target=work, args=arguments) for _ in range(3)]
    for process in started:
        process.start()
    for process in started:
        process.join()
    return [process.exitcode for process in started]
