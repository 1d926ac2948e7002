"""Engines that run for real, workers that have a wheel of beamstop, and what a job on them must equal."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.pipeline.conftest import Ran, Run
from tests.pipeline.engines.cluster import Pool

from beamstop.audit import integrity
from beamstop.identity import Identity
from beamstop.testing import make_instance

ROOT = Path(__file__).resolve().parents[3]
# What a row says of when and where it was made: of all else, nothing may depend on the engine.
OF_THE_RUN = {"run_id", "mac", "ms_read", "ms_pixels", "ms_attributes", "ms_check", "ms_write"}


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """Return a virtual environment with a wheel of beamstop, which sees all packages but the tree here."""
    place = tmp_path_factory.mktemp("pool")
    venv.EnvBuilder(symlinks=True, with_pip=False).create(place)
    packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(place)}))
    # A path in such a file is searched last, and what its own .pth files name (an editable beamstop) is not.
    (packages / "others.pth").write_text(
        f"{sysconfig.get_path('purelib')}\n{sysconfig.get_path('platlib')}\n"
    )
    pip = [sys.executable, "-m", "pip", "--python", str(place / "bin" / "python"), "install", "--quiet"]
    subprocess.run([*pip, "--no-index", "--no-deps", "--no-compile", str(wheel)], check=True, timeout=120)
    return place


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """Return this process's environment without what leads to the source tree."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


@pytest.fixture
def pool(installation: Path, environment: dict[str, str], free_port: Callable[[], int]) -> Iterator[Pool]:
    """Yield a worker pool, as it stands beside each of Flink's task managers."""
    running = Pool(installation, free_port(), environment)
    yield running
    running.stop()


@pytest.fixture
def archive_of(tmp_path: Path) -> Callable[[int], Path]:
    """Return a function that makes an archive of so many instances of seven patients, and something else."""

    def _archive_of(number: int) -> Path:
        folder = tmp_path / "archive"
        for index in range(number):
            patient = index % 7
            place = folder / f"{patient}"
            place.mkdir(parents=True, exist_ok=True)
            uid = f"1.2.3.{patient}"
            make_instance(
                PatientName=f"Roe^Jane{patient}",
                PatientID=f"R-{1000 + patient}",
                StudyInstanceUID=uid,
                SeriesInstanceUID=f"{uid}.1",
                SOPInstanceUID=f"{uid}.1.{index}",
            ).save_as(place / f"{index}.dcm", enforce_file_format=True)
        (folder / "notes.txt").write_bytes(b"not DICOM")
        (folder / "twin.dcm").write_bytes((folder / "0" / "0.dcm").read_bytes())  # the same instance again
        return folder

    return _archive_of


@pytest.fixture
def submit(tmp_path: Path, key_file: Path) -> Callable[..., Ran]:
    """Return a function that runs the command on an engine, in a process of its own."""

    def _submit(archive: Path, engine: Sequence[str], recipe: str = "basic", more: Sequence[str] = ()) -> Ran:
        job = begin(archive, tmp_path, key_file, engine, recipe, more)
        said, complained = job.communicate(timeout=900)
        assert complained == ""
        return left_by(said, job.returncode, tmp_path)

    return _submit


def begin(
    archive: Path,
    folder: Path,
    key_file: Path,
    engine: Sequence[str],
    recipe: str = "basic",
    more: Sequence[str] = (),
    says: Sequence[str] = ("--json",),
) -> "subprocess.Popen[str]":
    """Start the command on an engine."""
    places = ["--output", str(folder / "out-engine"), "--audit", str(folder / "audit-engine")]
    given = ["run", "--input", str(archive), *places, "--key", str(key_file), "--recipe", recipe]
    command = [sys.executable, "-m", "beamstop_pipeline", *given, *says, *more, *engine]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def left_by(said: str, code: int, folder: Path) -> Ran:
    """Return what a run on an engine left, which printed this and ended with that code."""
    audit = folder / "audit-engine"
    record = json.loads((audit / "runs" / f"{json.loads(said)['run_id']}.json").read_text())
    return Ran(code, folder / "out-engine", audit, record)


@pytest.fixture
def assert_same(run: Run, key: bytes) -> Callable[..., None]:
    """Return a function that compares what an engine left with what a run on this machine leaves."""

    def _assert_same(archive: Path, ran: Ran, recipe: str = "basic") -> None:
        local = run(archive, to="-local", recipe=recipe)
        assert ran.tree == local.tree
        assert ran.code == local.code
        rows = ran.table("instances")
        assert by_source(rows) == by_source(local.table("instances"))
        assert changed(ran) == changed(local)
        sealed = integrity(rows, ran.record["run_id"], Identity(key))
        assert ran.record["integrity"] == sealed

    return _assert_same


def by_source(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return source_id → what a row says of the source and not of the run."""
    said = [{name: value for name, value in row.items() if name not in OF_THE_RUN} for row in rows]
    assert len({row["source_id"] for row in said}) == len(said)
    return {row["source_id"]: row for row in said}


def changed(ran: Ran) -> Counter[str]:
    """Return the rows of `changes`, whatever their order, without what is of the run."""
    rows = ran.table("changes")
    return Counter(
        json.dumps({name: it for name, it in row.items() if name not in OF_THE_RUN}, sort_keys=True)
        for row in rows
    )
