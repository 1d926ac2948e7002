"""Silence for libraries: their warnings, logs and tracebacks may quote values of a dataset."""

import io
import logging
import os
import resource
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def silenced() -> Iterator[None]:
    """Suppress all output to stderr but beamstop's own messages, and core dumps."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    try:
        with warnings.catch_warnings(), _native_stderr_closed():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))


@contextmanager
def _native_stderr_closed() -> Iterator[None]:
    """Redirect file descriptor 2 to /dev/null; `sys.stderr` keeps its target."""
    ours, kept = sys.stderr, os.dup(2)
    if _descriptor(ours) == 2:
        sys.stderr = open(  # noqa: SIM115  closed below
            os.dup(kept), "w", encoding=ours.encoding, errors=ours.errors, buffering=1
        )
    close_native_stderr()
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        if sys.stderr is not ours:
            sys.stderr.close()
            sys.stderr = ours


def close_native_stderr() -> None:
    """Redirect file descriptor 2 to /dev/null."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)


def silence_worker() -> None:
    """Silence a worker process and its core dumps: both could show instances.

    The runner still learns why a bundle failed.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    close_native_stderr()


def _descriptor(stream: object) -> int | None:
    try:
        return stream.fileno() if isinstance(stream, io.IOBase | io.TextIOWrapper) else None
    except OSError:
        return None
