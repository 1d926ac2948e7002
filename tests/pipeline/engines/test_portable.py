"""The job on Beam's portable job service, and workers with an installation of their own."""

import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from apache_beam.portability.api import beam_fn_api_pb2, endpoints_pb2
from tests.pipeline.conftest import Ran
from tests.pipeline.engines.cluster import Pool
from tests.pipeline.engines.conftest import ROOT

from beamstop.identity import Identity
from beamstop_pipeline.running.suspects import note_suspect
from beamstop_pipeline.worker_pool import WorkerPool
from beamstop_transforms.instance import Source, source_id_of


@pytest.mark.parametrize(("works", "said"), [(True, b""), (False, b"a line of a library")])
def test_the_plugin_silences_processes_that_work_and_no_others(
    environment: dict[str, str], works: bool, said: bytes
) -> None:
    code = "import os, beamstop_pipeline.quiet_worker; os.write(2, b'a line of a library')"
    given = {**environment, "PYTHONPATH": str(ROOT / "pipeline")}
    if works:
        code = f"import logging, warnings; {code}; logging.error('Roe'); warnings.warn('Roe')"
        given["CONTROL_API_SERVICE_DESCRIPTOR"] = "url: 'localhost:1'"
    done = subprocess.run([sys.executable, "-c", code], env=given, capture_output=True, check=True)
    assert done.stderr == said


@pytest.mark.workers
def test_workers_with_a_wheel_of_their_own_leave_what_a_local_run_leaves(
    archive_of: Callable[[int], Path],
    submit: Callable[..., Ran],
    assert_same: Callable[..., None],
    pool: Pool,
    serve: Any,
    free_port: Callable[[], int],
    installation: Path,
) -> None:
    archive, port = archive_of(20), free_port()
    service = [sys.executable, "-m", "apache_beam.runners.portability.local_job_service_main"]
    assert serve([*service, "--port", str(port)], port)
    external = ["--environment_type=EXTERNAL", f"--environment_config=localhost:{pool.port}"]
    ran = submit(archive, ["--runner=PortableRunner", f"--job_endpoint=localhost:{port}", *external])
    assert ran.outcomes == {
        ("written", None): 20,
        ("rejected", "not_dicom"): 1,
        ("rejected", "duplicate"): 1,
    }
    assert_same(archive, ran)
    # Only a process that imported the wheel's modules can have compiled them.
    compiled = {path.name.partition(".")[0] for path in installation.rglob("beamstop_transforms/**/*.pyc")}
    assert {"read", "write", "hide_text", "audit"} <= compiled


@pytest.mark.workers
def test_what_killed_a_worker_of_an_earlier_run_is_left_alone_on_an_engine(
    archive: Path,
    tmp_path: Path,
    key_file: Path,
    submit: Callable[..., Ran],
) -> None:
    killer = archive / "killer.dcm"
    killer.write_bytes((archive / "1.dcm").read_bytes())
    source_id = source_id_of(Source(str(killer), 0, ""), Identity(key_file.read_bytes()))
    (tmp_path / "audit-engine").mkdir()
    note_suspect(str(tmp_path / "audit-engine"), source_id, "killed_worker")
    ran = submit(archive, ["--runner=PortableRunner", "--job_endpoint=embed", "--environment_type=LOOPBACK"])
    assert ran.outcomes == {("written", None): 3, ("failed", "killed_worker"): 1}
    assert ran.code == 1


CONNECTED = f"""#!{sys.executable}
import socket, sys, time
(where,) = (it.partition("=")[2] for it in sys.argv if it.startswith("--control_endpoint="))
connection = socket.create_connection(where.split(":"))
time.sleep(600)
"""


def test_a_pool_tells_its_task_manager_of_a_worker_that_dies_at_its_start(tmp_path: Path) -> None:
    """It would wait for that worker without end."""
    worker = tmp_path / "worker"
    worker.write_text("#!/bin/sh\nexit 7\n")
    worker.chmod(0o700)
    with socket.create_server(("127.0.0.1", 0)) as manager:
        where = endpoints_pb2.ApiServiceDescriptor(url=f"127.0.0.1:{manager.getsockname()[1]}")
        request = beam_fn_api_pb2.StartWorkerRequest(worker_id="1-1", control_endpoint=where)
        answer = WorkerPool(str(worker)).StartWorker(request, None)
    assert answer.error == "a worker of beamstop ended at its start (exit code 7)"


def test_a_pool_ends_the_worker_whose_task_manager_is_gone_and_no_namesake(tmp_path: Path) -> None:
    """Task managers on one machine share a pool, and each calls its first worker 1-1."""
    worker = tmp_path / "worker"
    worker.write_text(CONNECTED)
    worker.chmod(0o700)
    pool, others = WorkerPool(str(worker)), set(psutil.Process().children())
    managers = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    for manager in managers:
        where = endpoints_pb2.ApiServiceDescriptor(url=f"127.0.0.1:{manager.getsockname()[1]}")
        request = beam_fn_api_pb2.StartWorkerRequest(worker_id="1-1", control_endpoint=where)
        assert pool.StartWorker(request, None).error == ""
    first, second = (it for it in psutil.Process().children() if it not in others)
    try:
        managers[0].close()
        pool.StopWorker(beam_fn_api_pb2.StopWorkerRequest(worker_id="1-1"), None)
        first.wait(20)
        assert second.is_running()
        assert second.status() != psutil.STATUS_ZOMBIE
    finally:
        managers[1].close()
        pool.end()
        second.wait(20)
