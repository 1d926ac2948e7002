"""Forks worker processes from a driver that has imported everything and started no thread.

A worker that starts as a new interpreter spends 1.6 to 1.9 CPU seconds on imports. A forked worker has them
already, and shares their memory. Threads do not survive a fork, and gRPC, OpenVINO and store clients start
some, so the workers are forked before the job is made, and wait until the runner needs them.
"""

import gc
import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn

from setproctitle import setproctitle

from beamstop_pipeline import worker

WORKER_MODULE = worker.__name__
# macOS's system libraries may not be used after a fork, so there each worker is a new interpreter.
CAN_FORK = sys.platform == "linux"


@dataclass
class ForkedWorker:
    """One worker process, idle until it gets a run to serve."""

    pid: int
    _pipe: int | None  # to the waiting worker; None when it is started

    def start(self, environment: Mapping[str, str]) -> None:
        """Start it, with these variables as its whole environment."""
        if self._pipe is None:
            raise RuntimeError("a worker serves one run")
        with open(self._pipe, "w") as pipe:
            self._pipe = None
            json.dump(dict(environment), pipe)

    def wait(self) -> int:
        """Wait for its end; return its exit code, negative for a signal."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def dismiss(self) -> None:
        """End it, if it was never started."""
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None
            self.wait()


@contextmanager
def forked_workers(number: int) -> Iterator[list[ForkedWorker]]:
    """Fork this many workers, or none if forking is not safe; unused ones end with the context."""
    workers: list[ForkedWorker] = []
    gc.freeze()  # otherwise garbage collection in workers would touch, and so copy, the shared memory
    try:
        for _ in range(number if CAN_FORK else 0):
            workers.append(_fork([it._pipe for it in workers if it._pipe is not None]))
        yield list(workers)
    finally:
        for forked in workers:
            forked.dismiss()


def _fork(pipes: list[int]) -> ForkedWorker:
    theirs, ours = os.pipe()
    driver = os.getpid()
    # Interrupts are blocked until the worker is silent: Python's hooks after a fork would print them.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    pid = os.fork()
    if pid == 0:
        for pipe in (*pipes, ours):
            os.close(pipe)  # pipes to other workers: kept open, they would never see the driver's end closed
        _serve(theirs, driver, mask)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    os.close(theirs)
    return ForkedWorker(pid, ours)


def _serve(pipe: int, driver: int, mask: set[int | signal.Signals]) -> NoReturn:
    """Wait for the environment, work, and end without running the driver's exit handlers."""
    code = 1
    try:
        _rename()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115  the driver's lead to the terminal
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        with open(pipe) as told:
            environment = told.read()
        if environment:
            os.environ.clear()
            os.environ.update(json.loads(environment))
            worker.serve(driver)
        code = 0
    finally:
        os._exit(code)


def _rename() -> None:
    """Set the process title of a worker, instead of the driver's command line and options.

    It is padded to the length of the command line: the rest would look like further arguments.
    """
    longest = len(os.fsencode(" ".join(sys.orig_argv)))
    setproctitle(f"{sys.executable} -m {WORKER_MODULE}".ljust(longest))
