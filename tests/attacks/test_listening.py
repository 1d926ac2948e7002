"""What a run listens on, tried from the network, as another user, and as a worker of its own."""

import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import psutil
import pytest
from apache_beam.portability.api import (
    beam_artifact_api_pb2,
    beam_artifact_api_pb2_grpc,
    beam_runner_api_pb2,
)

SLEEPER = """
import pathlib, threading
from beamstop import Bouncer

class Sleeper(Bouncer):
    def inspect(self, dataset):
        pathlib.Path({begun!r}).touch()
        threading.Event().wait()
"""
NOBODY = 65534
pytestmark = pytest.mark.workers


@contextmanager
def running(home: Path, archive: Path, key_file: Path, temporary: Path) -> Iterator[list[psutil.Process]]:
    """Yield the processes of a run that goes on until the end."""
    (home / "sleeper.py").write_text(SLEEPER.format(begun=str(home / "begun")))
    (home / "recipe.yaml").write_text("bouncers: [{bouncer: sleeper.Sleeper}]\n")
    command = [sys.executable, "-m", "beamstop_pipeline", "run", "--input", str(archive), "--quiet"]
    command += ["--output", str(home / "out"), "--audit", str(home / "audit"), "--workers", "2"]
    command += ["--key", str(key_file), "--recipe", str(home / "recipe.yaml")]
    paths = os.pathsep.join([str(home), *sys.path])
    environment = {**os.environ, "PYTHONPATH": paths, "TMPDIR": str(temporary)}
    with subprocess.Popen(command, env=environment) as process:
        try:
            until = time.monotonic() + 60
            while not (home / "begun").exists():
                assert process.poll() is None
                assert time.monotonic() < until
                time.sleep(0.1)
            job = psutil.Process(process.pid)
            yield [job, *job.children(recursive=True)]
        finally:
            for it in [*psutil.Process(process.pid).children(recursive=True), process]:
                it.kill()


def test_a_worker_pool_listens_on_this_machine_alone() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "beamstop_pipeline.worker_pool", f"--service_port={port}"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            until = time.monotonic() + 60
            while not (found := psutil.Process(process.pid).net_connections("inet")):
                assert time.monotonic() < until
                time.sleep(0.1)
        finally:
            process.kill()
    assert {it.laddr.ip.removeprefix("::ffff:") for it in found} <= {"127.0.0.1", "::1"}
    assert {it.laddr.port for it in found} == {port}


def sockets_of(processes: list[psutil.Process]) -> set[str]:
    """Return the paths of the Unix sockets that processes listen on."""
    found = (it.laddr for process in processes for it in process.net_connections("unix"))
    return {path for path in found if path and not path.startswith("\0")}


@pytest.fixture(params=["short", "too-long-for-a-socket-" + "x" * 90, "100%25 a#b?c"])
def temporary(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    folder = tmp_path / str(request.param)
    folder.mkdir()
    return folder


def test_a_run_listens_on_no_address_and_its_sockets_are_its_owners_alone(
    tmp_path: Path, archive: Path, key_file: Path, temporary: Path
) -> None:
    with running(tmp_path, archive, key_file, temporary) as processes:
        assert len(processes) >= 3
        assert [it for process in processes for it in process.net_connections("inet")] == []
        sockets = sockets_of(processes)
        assert {os.path.basename(path) for path in sockets} == {"control", "data", "state"}
        for path in sockets:
            assert stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o700
            if os.getuid() == 0:
                assert refused_as_nobody(path)
            assert asked_for_a_file(path, key_file) is grpc.StatusCode.UNIMPLEMENTED
    assert not [path for path in sockets if os.path.exists(path) and socket_answers(path)]


def refused_as_nobody(path: str) -> bool:
    """Connect as another user of the machine; say whether the system forbids it."""
    code = f"""
import os, socket, sys
os.setgid({NOBODY})
os.setuid({NOBODY})
try:
    socket.socket(socket.AF_UNIX).connect(sys.argv[1])
except PermissionError:
    sys.exit(7)
"""
    return subprocess.run([sys.executable, "-c", code, path], check=False).returncode == 7


def asked_for_a_file(path: str, file: Path) -> grpc.StatusCode:
    """Ask for a file by its name, as a worker of the run's own user may; return the answer's code."""
    payload = beam_runner_api_pb2.ArtifactFilePayload(path=str(file)).SerializeToString()
    wanted = beam_runner_api_pb2.ArtifactInformation(
        type_urn="beam:artifact:type:file:v1", type_payload=payload
    )
    with grpc.insecure_channel(f"unix:{path}") as channel:
        stub = beam_artifact_api_pb2_grpc.ArtifactRetrievalServiceStub(channel)
        with pytest.raises(grpc.RpcError) as error:
            list(stub.GetArtifact(beam_artifact_api_pb2.GetArtifactRequest(artifact=wanted), timeout=10))
    code: grpc.StatusCode = error.value.code()
    return code


def socket_answers(path: str) -> bool:
    try:
        socket.socket(socket.AF_UNIX).connect(path)
    except OSError:
        return False
    return True
