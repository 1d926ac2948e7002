"""Runs the worker processes of a local run, and the sockets between them and the runner.

Beam's own servers listen on all addresses of the machine and serve anybody who connects: they hand out files
by name, and anybody who joins as a worker can send code back. Ours are Unix sockets in a folder that only its
owner can enter (0700), without services for artifacts, provisioning or logs, which a local worker does not
need.
"""

import os
import queue
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import grpc
from apache_beam.portability import python_urns
from apache_beam.portability.api import (
    beam_fn_api_pb2_grpc,
    beam_provision_api_pb2,
    endpoints_pb2,
)
from apache_beam.runners.portability.fn_api_runner import fn_runner, worker_handlers
from apache_beam.runners.portability.portable_runner import JobServiceHandle
from apache_beam.runners.worker import data_plane
from apache_beam.transforms.environments import SubprocessSDKEnvironment
from apache_beam.utils import thread_pool_executor
from google.protobuf import json_format, text_format

from beamstop_pipeline.running.forked_workers import WORKER_MODULE, ForkedWorker
from beamstop_pipeline.running.targets import SHORT_PLACE, own_folder

_LONGEST_PATH = 103  # bytes of a socket's path on macOS; Linux has 107
_LONGEST_NAME = "/control"
_PLAIN = re.compile(r"[A-Za-z0-9._/-]+")  # an address is a URI, in which %, # and ? have a meaning
_SHUTDOWN = 5.0  # seconds
# As in Beam's servers: messages of any size, pings as often as clients send them.
_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 20_000),
]


class LostWorkerError(RuntimeError):
    """A worker process ended before the run did; raised in the thread that waits for it."""


def pinned_runner(options: Any, apart: bool) -> Any:
    """Return a FnApiRunner that passes the options to its workers, in this process or in others.

    `DirectRunner` would download and prefer another engine if it can, so that laptops and CI would differ.

    Args:
        options: Beam's PipelineOptions.
        apart: the workers are separate processes; run it inside `unix_sockets`.
    """
    encoded = JobServiceHandle.encode_pipeline_options(options.get_all_options())
    provision = beam_provision_api_pb2.ProvisionInfo(pipeline_options=encoded)
    command = shlex.join([sys.executable, "-m", WORKER_MODULE])
    return fn_runner.FnApiRunner(
        SubprocessSDKEnvironment.from_command_string(command) if apart else None,
        provision_info=fn_runner.ExtendedProvisionInfo(provision),
    )


@contextmanager
def unix_sockets(folder: str, forked: Sequence[ForkedWorker] = ()) -> Iterator[None]:
    """Make Beam's runner and its worker processes use sockets in a folder while inside the context.

    Args:
        folder: this run's scratch folder. If its path is too long for a socket, or has characters with a
            meaning in gRPC's addresses, a folder in /tmp is made.
        forked: workers that exist already; more are started when needed.
    """
    register: Any = worker_handlers.WorkerHandler.register_environment(python_urns.SUBPROCESS_SDK, bytes)
    module: Any = worker_handlers
    beams = module.GrpcServer
    with _short(folder) as place:
        module.GrpcServer = partial(_Servers, place)
        register(partial(_WorkerHandler, list(forked)))
        try:
            yield
        finally:
            module.GrpcServer = beams
            register(worker_handlers.SubprocessSdkWorkerHandler)


@contextmanager
def _short(folder: str) -> Iterator[str]:
    if len(folder + _LONGEST_NAME) <= _LONGEST_PATH and _PLAIN.fullmatch(folder):
        yield folder
    else:
        with own_folder(SHORT_PLACE) as short:
            yield short


def end_idle_threads() -> None:
    """End the threads that Beam keeps for further work in this process."""
    pool = thread_pool_executor.shared_unbounded_instance()
    with suppress(queue.Empty):
        while True:
            worker = pool._idle_worker_queue.get(block=False)
            worker.shutdown()
            worker.join()


class _Servers:
    """Stands in for Beam's `GrpcServer`, with the same attributes, but on sockets in a folder."""

    def __init__(self, folder: str, state: Any, provision_info: Any, worker_manager: Any) -> None:
        self.control_handler = worker_handlers.BeamFnControlServicer(worker_manager)
        self.data_plane_handler = data_plane.BeamFnDataServicer(worker_handlers.DATA_BUFFER_TIME_LIMIT_MS)
        state_handler = worker_handlers.GrpcStateServicer(state)
        # Beam puts its port into an address: see `_WorkerHandler.port_from_worker`.
        self.control_port, self.data_port, self.state_port = (
            os.path.join(folder, name) for name in ("control", "data", "state")
        )
        api = beam_fn_api_pb2_grpc
        self._servers = [
            _serve(self.state_port, partial(api.add_BeamFnStateServicer_to_server, state_handler)),
            _serve(self.data_port, partial(api.add_BeamFnDataServicer_to_server, self.data_plane_handler)),
            _serve(self.control_port, partial(api.add_BeamFnControlServicer_to_server, self.control_handler)),
        ]

    def close(self) -> None:
        """End the servers, and wait until they have."""
        self.control_handler.done()
        for ended in [server.stop(_SHUTDOWN) for server in self._servers]:
            ended.wait()


def _serve(socket: str, add: Any) -> Any:
    server = grpc.server(thread_pool_executor.shared_unbounded_instance(), options=_OPTIONS)
    add(server)
    server.add_insecure_port(_address(socket))
    server.start()
    return server


def _address(socket: str) -> str:
    return f"unix:{socket}"


class _WorkerHandler(worker_handlers.GrpcWorkerHandler):
    """Starts one worker process and waits for its end in a thread."""

    def __init__(
        self, forked: list[ForkedWorker], command: bytes, state: Any, provision_info: Any, servers: Any
    ) -> None:
        super().__init__(state, provision_info, servers)
        self._forked = forked
        self._command = shlex.split(command.decode())

    def port_from_worker(self, port: Any) -> str:
        """Return the address of a server for the worker."""
        return _address(port)

    def start_worker(self) -> None:
        """Start the process."""
        control = text_format.MessageToString(endpoints_pb2.ApiServiceDescriptor(url=self.control_address))
        options = json_format.MessageToJson(self.provision_info.provision_info.pipeline_options)
        environment = {
            **os.environ,
            "CONTROL_API_SERVICE_DESCRIPTOR": control,
            "PIPELINE_OPTIONS": options,
            "WORKER_ID": self.worker_id,
        }
        if self._forked:
            forked = self._forked.pop()
            forked.start(environment)
            wait = forked.wait
        else:
            wait = subprocess.Popen(self._command, env=environment).wait  # noqa: S603  our own module
        self._thread = threading.Thread(target=_wait, args=(wait,))
        self._thread.start()

    def stop_worker(self) -> None:
        """Wait for the process, which ends when its connection is closed."""
        self._thread.join()


def _wait(wait: Callable[[], int]) -> None:
    if code := wait():
        raise LostWorkerError(f"a worker process ended with code {code}")
