"""Checks, before anything is read, that the named runner exists and answers."""

import importlib
import os
import shutil
import socket
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from beamstop_pipeline.errors import ConfigurationError

_WAIT = 20.0  # seconds for a server to start; Beam would wait for five minutes
_ATTEMPT = 5.0  # seconds for one response
_LONGEST = 300  # characters quoted from other programs' messages
_LONGEST_JOB = 90 * 24 * 3600  # seconds
_BEAM_WAITS = 300  # seconds that Beam waits for a job server unless told otherwise


class SubmissionError(ConfigurationError):
    """The engine did not take the job; nothing was read."""


def import_runner(arguments: Sequence[str]) -> None:
    """Import the module of a runner that is named by its path, so that its options are known.

    Args:
        arguments: Beam's, not parsed yet.

    Raises:
        ConfigurationError: there is no such module.
    """
    named = ""
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=False):
        name, equals, value = argument.partition("=")
        if name == "--runner":
            named = value if equals else following
    module, dot, _ = named.rpartition(".")
    if dot:
        try:
            importlib.import_module(module)
        except (ImportError, ValueError) as error:
            raise ConfigurationError(f"--runner {named}: {reason_of(error)}") from None


def check_engine(options: Any) -> None:
    """Check that a remote runner is available, and that its server responds.

    Args:
        options: Beam's, naming a runner that is not this machine's.

    Raises:
        ConfigurationError: no such runner, a missing package, or no response.
    """
    from apache_beam.options.pipeline_options import FlinkRunnerOptions, PortableOptions, StandardOptions

    name = options.view_as(StandardOptions).runner
    runner = _runner(name)
    if not _is_a(runner, "PortableRunner"):
        return
    portable = options.view_as(PortableOptions)
    if portable.job_endpoint:
        if portable.job_endpoint != "embed":
            seconds = min(_WAIT, portable.job_server_timeout)
            _must_answer("--job_endpoint", portable.job_endpoint, seconds)
            _must_be_a_job_server(portable.job_endpoint, seconds)
    elif _is_a(runner, "FlinkRunner"):
        flink = options.view_as(FlinkRunnerOptions)
        if not flink.flink_master.startswith("["):
            _must_answer("--flink_master", flink.flink_master, _WAIT)
        if not flink.flink_submit_uber_jar and _java() is None:
            raise ConfigurationError(
                "--runner FlinkRunner: its job server needs Java, and there is none on PATH; install it, or "
                "name a server with --job_endpoint"
            )
    if portable.job_server_timeout == _BEAM_WAITS:
        # Beam's timeout for some job servers, which would otherwise end long jobs.
        portable.job_server_timeout = _LONGEST_JOB


def is_a_submitter(options: Any) -> bool:
    """Return whether a runner only submits the job; then its errors are about options, not data."""
    from apache_beam.options.pipeline_options import StandardOptions

    runner = _runner(options.view_as(StandardOptions).runner)
    return _is_a(runner, "PortableRunner") or _is_a(runner, "DataflowRunner")


def reason_of(error: BaseException) -> str:
    """Return the message of Beam, Google or the system in one line; never for errors that data may cause."""
    details = getattr(error, "details", None)
    said = str(details() if callable(details) else error)
    text = " ".join(said.split()).rstrip(".")
    return text[:_LONGEST] or type(error).__name__


def _runner(name: str) -> Any:
    from apache_beam.runners.runner import create_runner

    try:
        return create_runner(name)
    except ImportError as error:
        if "[gcp]" in str(error):
            raise ConfigurationError(f"--runner {name}: pip install 'beamstop[gcp]'") from None
        raise ConfigurationError(f"--runner {name}: {reason_of(error)}") from None
    except (ValueError, AttributeError, TypeError) as error:
        raise ConfigurationError(f"--runner {name}: {reason_of(error)}") from None


def _is_a(runner: Any, name: str) -> bool:
    return any(kind.__name__ == name for kind in type(runner).__mro__)


def _java() -> str | None:
    home = os.environ.get("JAVA_HOME")
    return shutil.which("java") or (home and shutil.which("java", path=os.path.join(home, "bin"))) or None


def _must_answer(option: str, address: str, seconds: float) -> None:
    """Wait until a server listens at an address.

    Raises:
        ConfigurationError: no server listens there, or it is not an address.
    """
    parts = urlsplit(address if "://" in address else f"//{address}")
    try:
        host, port = parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        host = port = None
    if host is None or port is None:
        raise ConfigurationError(f"{option} {address}: not an address; name it as host:port")
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection((host, port), timeout=_ATTEMPT).close()
            return
        except OSError as error:
            if time.monotonic() > deadline:
                why = error.strerror or reason_of(error)
                raise ConfigurationError(
                    f"{option} {address}: nobody answers there ({why}); start the server, or name another"
                ) from None
        time.sleep(0.5)


def _must_be_a_job_server(address: str, seconds: float) -> None:
    """Wait until a server is ready for gRPC.

    Raises:
        ConfigurationError: it is not a job server.
    """
    import grpc

    with grpc.insecure_channel(address) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=seconds)
        except grpc.FutureTimeoutError:
            raise ConfigurationError(
                f"--job_endpoint {address}: the program that listens there is not a job server; name another"
            ) from None
