"""The job on a portable engine: a job service, and workers with an installation of their own."""

import json
import os
import re
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hatchling.builders.wheel import WheelBuilder

from beamstop.identity import Identity
from beamstop_pipeline.running.suspects import note_suspect
from beamstop_transforms.instance import Source, source_id_of

JAR = "BEAMSTOP_FLINK_JOB_SERVER_JAR"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def installation(tmp_path: Path) -> Path:
    """Return a virtual environment with a wheel of beamstop, which sees all packages but the tree here."""
    place = tmp_path / "pool"
    venv.EnvBuilder(symlinks=True, with_pip=False).create(place)
    packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(place)}))
    # A path in such a file is searched last, and what its own .pth files name (an editable beamstop) is not.
    (packages / "others.pth").write_text(
        f"{sysconfig.get_path('purelib')}\n{sysconfig.get_path('platlib')}\n"
    )
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    pip = [sys.executable, "-m", "pip", "--python", str(place / "bin" / "python"), "install", "--quiet"]
    subprocess.run([*pip, "--no-index", "--no-deps", "--no-compile", wheel], check=True, timeout=60)
    return place


@pytest.fixture
def environment() -> dict[str, str]:
    """Return this process's environment without what leads to the source tree."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


@pytest.fixture
def external(
    serve: Any, free_port: Callable[[], int], installation: Path, environment: dict[str, str]
) -> list[str]:
    """Return Beam's options for a worker pool, as it stands beside each of Flink's task managers."""
    port = free_port()
    command = [str(installation / "bin" / "python"), "-m", "beamstop_pipeline.worker_pool"]
    path = f"{installation / 'bin'}:{environment['PATH']}"  # the pool starts the first `python` there is
    assert serve([*command, f"--service_port={port}"], port, {**environment, "PATH": path})
    return ["--environment_type=EXTERNAL", f"--environment_config=localhost:{port}"]


@pytest.mark.parametrize(("works", "said"), [(True, b""), (False, b"a line of a library")])
def test_the_plugin_silences_processes_that_work_and_no_others(
    environment: dict[str, str], works: bool, said: bytes
) -> None:
    code = "import os, beamstop_pipeline.quiet_worker; os.write(2, b'a line of a library')"
    if works:
        code = f"import logging, warnings; {code}; logging.error('Roe'); warnings.warn('Roe')"
        environment["CONTROL_API_SERVICE_DESCRIPTOR"] = "url: 'localhost:1'"
    environment["PYTHONPATH"] = str(ROOT / "pipeline")
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True)
    assert done.stderr == said


def assert_job_is_done_by(
    engine: list[str], tmp_path: Path, archive: Path, key_file: Path, installation: Path, seconds: float
) -> None:
    (archive / "notes.txt").write_bytes(b"not DICOM")
    killer = archive / "killer.dcm"  # of a worker in an earlier run
    killer.write_bytes((archive / "1.dcm").read_bytes())
    source_id = source_id_of(Source(str(killer), 0, ""), Identity(key_file.read_bytes()))
    note_suspect(str(tmp_path / "audit"), source_id, "killed_worker")
    places = ["--output", str(tmp_path / "out"), "--audit", str(tmp_path / "audit"), "--key", str(key_file)]
    command = ["run", "--input", str(archive), *places, "--recipe", "basic", "--json", *engine]
    done = subprocess.run(
        [sys.executable, "-m", "beamstop_pipeline", *command],
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "")
    told = json.loads(done.stdout)
    assert (told["sources"], told["written"], told["rejected"], told["failed"]) == (5, 3, 1, 1)
    rows = pq.read_table(tmp_path / "audit" / "instances").to_pylist()
    assert sorted((row["outcome"], str(row["reason"])) for row in rows) == [
        ("failed", "killed_worker"),
        ("rejected", "not_dicom"),
        *[("written", "None")] * 3,
    ]
    assert {row["output_path"] for row in rows} - {None} == {
        str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.dcm")
    }
    # Only a process that imported the wheel's modules can have compiled them.
    compiled = {path.name.partition(".")[0] for path in installation.rglob("beamstop_transforms/**/*.pyc")}
    assert {"read", "write", "hide_text", "audit"} <= compiled


@pytest.mark.workers
def test_workers_with_a_wheel_of_their_own_do_the_job(
    tmp_path: Path,
    archive: Path,
    key_file: Path,
    installation: Path,
    external: list[str],
    serve: Any,
    free_port: Callable[[], int],
) -> None:
    port = free_port()
    service = [sys.executable, "-m", "apache_beam.runners.portability.local_job_service_main"]
    assert serve([*service, "--port", str(port)], port)
    engine = ["--runner=PortableRunner", f"--job_endpoint=localhost:{port}", *external]
    assert_job_is_done_by(engine, tmp_path, archive, key_file, installation, 120)


@pytest.mark.workers
@pytest.mark.skipif(JAR not in os.environ, reason=f"a Flink inside a job server: name its jar in ${JAR}")
def test_flink_does_the_job(
    tmp_path: Path, archive: Path, key_file: Path, installation: Path, external: list[str]
) -> None:
    jar = Path(os.environ[JAR])
    version = re.search(r"flink-(\d+\.\d+)-", jar.name)
    assert version, f"{jar.name}: not named as Beam publishes it (beam-runners-flink-2.2-job-server-….jar)"
    flink = [f"--flink_version={version[1]}", "--flink_master=[local]", "--parallelism=2"]
    engine = ["--runner=FlinkRunner", f"--flink_job_server_jar={jar}", *flink, *external]
    assert_job_is_done_by(engine, tmp_path, archive, key_file, installation, 300)
