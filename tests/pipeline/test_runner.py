"""Local runs that cannot end well end at once, with one sentence and exit code 3."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

BOUNCERS = """
import os, signal, threading
from beamstop.bouncers import Bouncer

class Killer(Bouncer):
    def inspect(self, dataset):
        os.kill(os.getpid(), signal.SIGKILL)

class KillerOfRoe(Bouncer):
    def inspect(self, dataset):
        if dataset.PatientName == "Roe^Jane" and dataset.SOPInstanceUID.endswith("2"):
            os.kill(os.getpid(), signal.SIGKILL)

class Sleeper(Bouncer):
    def inspect(self, dataset):
        threading.Event().wait()
"""


def run(
    tmp_path: Path, archive: Path, key_file: Path, bouncer: str, *more: str
) -> subprocess.CompletedProcess[str]:
    (tmp_path / "hostile.py").write_text(BOUNCERS)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"bouncers: [{{bouncer: hostile.{bouncer}}}]\n")
    command = [sys.executable, "-m", "beamstop_pipeline", "run", "--input", str(archive)]
    command += ["--output", str(tmp_path / "out"), "--audit", str(tmp_path / "audit")]
    command += ["--key", str(key_file), "--recipe", str(recipe), *more]
    return subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def rows(tmp_path: Path) -> list[dict[str, Any]]:
    table: list[dict[str, Any]] = pq.read_table(tmp_path / "audit" / "instances").to_pylist()
    return table


@pytest.mark.workers
def test_a_killed_worker_ends_the_run(tmp_path: Path, archive: Path, key_file: Path) -> None:
    ended = run(tmp_path, archive, key_file, "Killer", "--workers", "2", "--quiet")
    assert (ended.returncode, ended.stdout) == (3, "")
    assert ended.stderr == (
        "beamstop: the run broke: a worker process was lost (killed, out of memory, or a crash in a decoder);"
        " run it again, what is written is kept\n"
    )
    assert not (tmp_path / "audit" / "runs").exists()


@pytest.mark.workers
def test_what_killed_a_worker_is_left_alone_by_the_next_run(
    tmp_path: Path, archive: Path, key_file: Path
) -> None:
    broken = run(tmp_path, archive, key_file, "KillerOfRoe", "--workers", "2")
    assert broken.returncode == 3
    ended = run(tmp_path, archive, key_file, "KillerOfRoe", "--workers", "2", "--json")
    assert ended.returncode == 1
    (row,) = [row for row in rows(tmp_path) if row["outcome"] != "written"]
    assert (row["outcome"], row["step"], row["reason"]) == ("failed", "ReadDicom", "killed_worker")
    assert len(rows(tmp_path)) == 3
    assert not list((tmp_path / "audit" / ".partial").rglob("*"))
    # It has been said: a third run tries again.
    assert run(tmp_path, archive, key_file, "KillerOfRoe", "--workers", "2").returncode == 3


def test_what_stalled_a_run_is_left_alone_by_the_next(tmp_path: Path, archive: Path, key_file: Path) -> None:
    for name in ("1.dcm", "2.dcm"):
        (archive / name).unlink()
    more = ("--workers", "1", "--stall-timeout", "8")
    assert run(tmp_path, archive, key_file, "Sleeper", *more).returncode == 3
    assert run(tmp_path, archive, key_file, "Sleeper", *more).returncode == 1
    (row,) = rows(tmp_path)
    assert (row["outcome"], row["reason"]) == ("failed", "stalled_worker")


@pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=pytest.mark.workers)])
def test_a_run_that_stands_still_is_ended(
    tmp_path: Path, archive: Path, key_file: Path, workers: str
) -> None:
    ended = run(tmp_path, archive, key_file, "Sleeper", "--workers", workers, "--stall-timeout", "8")
    assert ended.returncode == 3
    assert ended.stderr == (
        "beamstop: the run broke: nothing was finished for 8 seconds; run it again, what is written is kept\n"
    )
