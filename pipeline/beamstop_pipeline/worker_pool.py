"""A worker pool for Flink, one on the machine of each task manager; it listens on localhost only.

python -m beamstop_pipeline.worker_pool --service_port 50000 --container_executable /opt/apache/beam/boot

Anybody who can reach a worker pool can run code as its user, and Beam's own pool listens on all addresses.
"""

import argparse
import atexit
import socket
import subprocess
import sys
import threading
import time
from typing import Any, NamedTuple

import grpc
import psutil
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc
from apache_beam.runners.worker.worker_pool_main import (
    BeamFnExternalWorkerPoolServicer,
    kill_process_gracefully,
)
from apache_beam.utils import thread_pool_executor

from beamstop_pipeline.imports import import_job
from beamstop_pipeline.silence import silence_worker

# Seconds within which a task manager that ends a worker has closed the worker's endpoint.
_CLOSES_WITHIN = 60.0
_CONNECTS_WITHIN = 300.0  # seconds that a worker has to import the job and connect
_LOOK_EVERY = 0.2  # seconds


class Worker(NamedTuple):
    """A worker process, and the local address where its task manager listens for it."""

    process: "subprocess.Popen[bytes]"
    endpoint: str


class WorkerPool(BeamFnExternalWorkerPoolServicer):
    """Beam's worker pool, for several task managers at once, with silent workers.

    Task managers on one machine share a pool and give their workers the same names. Asked to end a worker,
    Beam's own pool ends the last one of that name; this pool ends the one whose endpoint its task manager has
    closed.

    Once a pool has confirmed the start of a worker, its task manager waits for that worker forever. So this
    pool confirms only after the worker has connected: if either dies before, the task manager gets an error.
    """

    def __init__(self, container_executable: str | None = None) -> None:
        super().__init__(use_process=True, container_executable=container_executable)
        self._lock = threading.Lock()
        self._workers: dict[str, list[Worker]] = {}

    def StartWorker(self, request: Any, context: Any) -> Any:  # noqa: N802  Beam's name
        """Start a worker process by Beam's boot, which imports the job's plugins, or by `work`."""
        response = beam_fn_api_pb2.StartWorkerResponse()
        name, endpoint = request.worker_id, request.control_endpoint.url
        with self._lock:
            if self._container_executable:
                response = super().StartWorker(request, context)
                # Removed from Beam's table, where the next worker of this name would overwrite it.
                process = self._worker_processes.pop(name, None)
            else:
                command = [sys.executable, "-m", "beamstop_pipeline.worker_pool", "--work", endpoint, name]
                process = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: S603  our own module
            if process is None:
                return response
            worker = Worker(process, endpoint)
            self._workers[name] = [*(it for it in self._named(name) if it.process.poll() is None), worker]
        response.error = _fault_at_start(worker)
        return response

    def StopWorker(self, request: Any, context: Any) -> Any:  # noqa: N802  Beam's name
        """End the worker of this name whose endpoint closes within a minute."""
        with self._lock:
            for worker in self._named(request.worker_id):
                threading.Thread(target=_end_when_left, args=(worker,), daemon=True).start()
        return beam_fn_api_pb2.StopWorkerResponse()

    def _named(self, worker_id: str) -> list[Worker]:
        return self._workers.get(worker_id, [])

    def end(self) -> None:
        """End every worker."""
        with self._lock:
            for worker in (it for workers in self._workers.values() for it in workers):
                kill_process_gracefully(worker.process)


def _fault_at_start(worker: Worker) -> str:
    """Wait until a worker has connected to its task manager; return the error, or an empty string."""
    deadline = time.monotonic() + _CONNECTS_WITHIN
    while not _is_connected(worker):
        if worker.process.poll() is not None:
            return f"a worker of beamstop ended at its start (exit code {worker.process.returncode})"
        if time.monotonic() > deadline:
            kill_process_gracefully(worker.process)
            return f"a worker of beamstop did not connect within {_CONNECTS_WITHIN:.0f} s"
        time.sleep(_LOOK_EVERY)
    return ""


def _is_connected(worker: Worker) -> bool:
    port = int(worker.endpoint.rpartition(":")[2])
    try:
        root = psutil.Process(worker.process.pid)
        return any(
            it.raddr and it.raddr.port == port and it.status == psutil.CONN_ESTABLISHED
            for process in (root, *root.children(recursive=True))
            for it in process.net_connections("inet")
        )
    except psutil.Error:
        return False


def _end_when_left(worker: Worker) -> None:
    deadline = time.monotonic() + _CLOSES_WITHIN
    while worker.process.poll() is None and time.monotonic() < deadline:
        if not _listens(worker.endpoint):
            kill_process_gracefully(worker.process)
        time.sleep(_LOOK_EVERY)


def _listens(endpoint: str) -> bool:
    host, _, port = endpoint.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except ConnectionRefusedError:
        return False
    except OSError:
        return True  # unclear, so the worker stays
    return True


def work(endpoint: str, worker_id: str) -> None:
    """Run a worker in this process until the task manager closes its endpoint."""
    from apache_beam.runners.worker.sdk_worker import SdkHarness

    silence_worker()
    import_job()
    SdkHarness(endpoint, worker_id=worker_id).run()


def main() -> None:
    """Serve until somebody ends the process; its workers end with it."""
    if sys.argv[1:2] == ["--work"]:
        work(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description="Start workers for an engine on this machine.")
    parser.add_argument("--service_port", type=int, required=True, help="where on localhost it listens")
    parser.add_argument("--container_executable", help="what starts a worker: in an image, Beam's boot")
    chosen = parser.parse_args()
    pool = WorkerPool(chosen.container_executable)
    atexit.register(pool.end)
    server = grpc.server(
        thread_pool_executor.shared_unbounded_instance(),
        options=[("grpc.http2.max_pings_without_data", 0), ("grpc.http2.max_ping_strikes", 0)],
    )
    beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(pool, server)
    server.add_insecure_port(f"localhost:{chosen.service_port}")
    server.start()
    threading.Event().wait()


if __name__ == "__main__":
    main()
