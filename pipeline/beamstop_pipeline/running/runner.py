"""Runs a job on this machine, with a pinned runner and a watchdog, or on the named runner."""

import atexit
import logging
import os
import re
import shutil
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import replace
from itertools import count
from typing import Any

import apache_beam as beam
import psutil
from apache_beam.options.pipeline_options import DirectOptions, StandardOptions

from beamstop.errors import DeidError
from beamstop.keys import resolve_key
from beamstop_pipeline.exit_codes import Exit
from beamstop_pipeline.graph import build, target_of_job
from beamstop_pipeline.job import Job
from beamstop_pipeline.running.beam_options import fit_for_workers
from beamstop_pipeline.running.engines import SubmissionError, is_a_submitter, reason_of
from beamstop_pipeline.running.forked_workers import WORKER_MODULE, ForkedWorker
from beamstop_pipeline.running.local_workers import (
    LostWorkerError,
    end_idle_threads,
    pinned_runner,
    unix_sockets,
)
from beamstop_pipeline.running.progress import Progress
from beamstop_pipeline.running.suspects import begun, note_suspect, read_suspects, worked_on
from beamstop_pipeline.running.targets import scratch
from beamstop_transforms.ledger.attempts import KILLED, left_behind
from beamstop_transforms.ledger.subjects import SUBJECTS
from beamstop_transforms.metrics import LISTED, progress_of
from beamstop_transforms.record import record_name
from beamstop_transforms.stores import PARTIAL, open_store
from beamstop_transforms.subjects import stage_subjects

_LOOK_EVERY = 0.25  # seconds
_ASK_EVERY = 10.0  # seconds; for a remote runner
_WEIGHED = 12  # measurements of memory between two looks; from one to the next, a process can fill some 50 MB
_MEGABYTE = 1 << 20
_GRACE = 5.0  # seconds for the run to end on its own after a worker is lost

Report = Callable[[Counter[str]], None]


_LOST_WORKER = "a worker process was lost (killed, out of memory, or a crash in a decoder)"
_INTERRUPTED = "it was interrupted"
_TERMINATED = "it received SIGTERM"


class RunError(DeidError):
    """The run itself broke; finished work stays, and a new run continues from there."""


def run_locally(job: Job, options: Any, report: Report, forked: Sequence[ForkedWorker] = ()) -> Any:
    """Run a job on this machine, on Beam's FnApiRunner, whatever else is installed.

    Args:
        job: the job.
        options: Beam's PipelineOptions.
        report: gets the counts from time to time while the run is going on.
        forked: worker processes that exist already.

    Returns:
        Beam's result, which has the metrics.

    Raises:
        RunError: the run broke. If a worker is lost or nothing moves any more, Beam would wait for ever; then
            the process ends at once, with exit code 3 and one sentence on stderr.
    """
    options.view_as(DirectOptions).direct_num_workers = job.workers
    with scratch() as folder:
        job = replace(_with_suspects(job), progress=folder)
        job = _with_subjects(job, f"{folder}/{SUBJECTS}", SUBJECTS)
        with Watchdog(job, folder, report) as watchdog:
            try:
                with unix_sockets(folder, forked):
                    return _run(job, pinned_runner(options, apart=job.processes > 0), options)
            except RunError:
                if watchdog.has_heard_a_worker_die.is_set():
                    watchdog.suspect("killed_worker", _is_gone)
                    raise RunError(_broke(_LOST_WORKER)) from None
                raise
            finally:
                end_idle_threads()


def run_elsewhere(job: Job, options: Any, report: Report) -> Any:
    """Run a job on the runner that Beam's options name.

    Args:
        job: the job.
        options: Beam's PipelineOptions.
        report: gets the counts from time to time, if the runner has metrics during the run.

    Returns:
        Beam's result if the run has ended; None if it was only submitted, with Beam's --no_wait_until_finish
        or by a template.

    Raises:
        SubmissionError: the runner does not accept the job.
        RunError: the run broke.
    """
    fit_for_workers(options)
    waits = not options.view_as(StandardOptions).no_wait_until_finish
    former = signal.signal(signal.SIGTERM, signal.default_int_handler)  # as for Ctrl-C
    try:
        told = None if job.subscription is not None else report  # a stream has no progress towards an end
        job = _with_subjects(_with_suspects(job), job.audit, f"{PARTIAL}/{job.run_id}/{SUBJECTS}/table")
        result = _run(job, None, options, waits, told)
    finally:
        signal.signal(signal.SIGTERM, former)
        # Beam ends a job server that it started when the interpreter exits, and logs that. The handler
        # registered last is called first.
        atexit.register(logging.disable)
    return result if waits else None


def _with_suspects(job: Job) -> Job:
    """Return the job with the sources in which earlier runs died, local or remote."""
    killers, careful = left_behind(target_of_job(job))
    suspects = {**dict.fromkeys(killers, KILLED), **read_suspects(job.audit)}
    return replace(job, suspects=suspects, careful=careful)


def _with_subjects(job: Job, place: str, name: str) -> Job:
    """Return the job with its table of subjects staged for its workers."""
    if not job.lines:
        return job
    identity = job.recipe.identity(resolve_key(job.key))
    return replace(job, subjects=stage_subjects(job.lines, identity, place, name))


def _run(job: Job, runner: Any, options: Any, waits: bool = True, report: Report | None = None) -> Any:
    running = None
    submits = runner is None and is_a_submitter(options)
    on_flink = None
    if runner is None:
        from beamstop_pipeline.running.flink import name_job

        on_flink = name_job(options, job.run_id)
    try:
        pipeline = beam.Pipeline(runner=runner, options=options)
        build(pipeline, job)
        running = pipeline.run()
        with _reporting(on_flink or running, report if waits else None):
            state = running.wait_until_finish() if waits else None
    except KeyboardInterrupt:
        if runner is None and running is not None:
            raise RunError("interrupted; the job keeps running on its runner") from None
        raise RunError(_broke(_INTERRUPTED)) from None
    except Exception as error:  # noqa: BLE001  anything that Beam raises ends the run, and may quote a value
        if submits and running is None:
            raise SubmissionError(f"the runner did not take the job: {reason_of(error)}") from None
        raise RunError(_broke(_cause(error))) from None
    if state not in (None, "DONE", "DRAINED"):  # a stream that was asked to end
        raise RunError(f"the run ended in state {state}")
    return running


@contextmanager
def _reporting(running: Any, report: Report | None) -> Iterator[None]:
    """Report the metrics of a remote job from a thread, while waiting for it."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(_ASK_EVERY):
            try:
                counts = progress_of(copy(running))  # a portable result keeps its first answer for good
            except Exception:  # noqa: BLE001, S112  metrics are for people alone, and not every runner has any
                continue
            if report is not None and not over.is_set():
                report(counts)

    if report is not None:
        threading.Thread(target=look, daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _broke(why: str) -> str:
    return f"the run broke: {why}; run it again; written files are kept"


def _cause(error: Exception) -> str:
    """Return the message if the exception is beamstop's, otherwise only its class."""
    if KeyboardInterrupt.__name__ in str(error):
        return _INTERRUPTED
    for line in reversed(str(error).splitlines()):
        name, colon, sentence = line.strip().partition("Error: ")
        if colon and name.startswith("beamstop"):
            return sentence.partition(" [while running")[0]
    if number := _NUMBERED.search(str(error)):
        return os.strerror(int(number[1]))  # without the path after it
    if isinstance(error, DeidError):
        return str(error).partition(" [while running")[0]
    return type(error).__name__


_NUMBERED = re.compile(r"\[[Ee]rrno (\d+)\]")


class Watchdog:
    """Watches a local run from a thread: reports progress, and ends the process if it would hang.

    It also ends the process if a worker exceeds the memory limit, and on SIGTERM: systemd and Kubernetes do
    not wait long after it, and finished work needs no clean-up.
    """

    def __init__(self, job: Job, folder: str, report: Report) -> None:
        self._job = job
        self._folder = folder
        self._report = report
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._former_hook = threading.excepthook
        self._former_handler: Any = None
        self._workers: dict[int, psutil.Process] = {}
        self._progress = Progress(folder)
        self._counts, self._moved = Counter[str](), time.monotonic()
        self._begun: dict[tuple[int, str, int], float] = {}
        self.has_heard_a_worker_die = threading.Event()

    def __enter__(self) -> "Watchdog":
        threading.excepthook = self._hear
        if threading.current_thread() is threading.main_thread():
            self._former_handler = signal.signal(signal.SIGTERM, lambda *_: self._end(_TERMINATED))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        threading.excepthook = self._former_hook
        if self._former_handler is not None:
            signal.signal(signal.SIGTERM, self._former_handler)
        self._report(self._progress.look())

    def _hear(self, exception: threading.ExceptHookArgs) -> None:
        """Record how Beam's threads end, without printing it: one thread waits for each worker process."""
        if isinstance(exception.exc_value, LostWorkerError):
            self.has_heard_a_worker_die.set()

    def _look(self) -> None:
        limit = self._job.max_memory
        turns = 1 if limit is None else _WEIGHED
        for turn in count():
            if self._over.wait(_LOOK_EVERY / turns):
                return
            if limit is not None:
                self._weigh(limit)
            if turn % turns == 0:
                self._look_once()

    def _weigh(self, limit: int) -> None:
        for process in self._workers.values():
            if _resident(process) > limit * _MEGABYTE:
                with suppress(psutil.NoSuchProcess):
                    process.suspend()  # otherwise it would keep growing meanwhile
                why = f"a worker process took more than the {limit} MB of --max-memory"
                self._give_up(why, "out_of_memory", process.pid.__eq__)

    def _look_once(self) -> None:
        if len(self._workers) < self._job.processes:  # finding them means listing all processes
            self._workers |= {process.pid: process for process in worker_processes()}
        if any(not _lives(process) for process in self._workers.values()) and self._is_lost():
            self._give_up(_LOST_WORKER, "killed_worker", _is_gone)
        now = self._progress.look()
        if now != self._counts:
            self._counts, self._moved = now, time.monotonic()
            self._report(now)
        elif _unfinished(now) and time.monotonic() - self._moved > self._job.stall_timeout:
            why = f"no source was finished for {self._job.stall_timeout:.0f} seconds"
            self._give_up(why, "stalled_worker", lambda _: True)
        elif stalled := self.stalled():
            why = f"one source took more than {self._job.stall_timeout:.0f} seconds"
            self._give_up(why, "stalled_worker", stalled.__contains__)

    def stalled(self) -> set[int]:
        """Return the processes that have worked on one source for too long, even if others make progress."""
        now = time.monotonic()
        self._begun = {it: self._begun.get(it, now) for it in begun(self._folder)}
        return {it[0] for it, since in self._begun.items() if now - since > self._job.stall_timeout}

    def _is_lost(self) -> bool:
        """Return whether a worker was lost; at the end of a run, workers may go."""
        if open_store(self._job.audit).find(record_name(self._job.run_id)) is not None:
            return False
        return not self._over.wait(_GRACE)

    def suspect(self, reason: str, is_culprit: Callable[[int], bool]) -> None:
        """Note the sources that the worker processes at fault were processing."""
        for pid, source_id in worked_on(self._folder):
            if is_culprit(pid):
                note_suspect(self._job.audit, source_id, reason)

    def _give_up(self, why: str, reason: str, is_culprit: Callable[[int], bool]) -> None:
        self.suspect(reason, is_culprit)
        self._end(why)

    def _end(self, why: str) -> None:
        end_at_once(why, self._folder)


def end_at_once(why: str, folder: str | None = None) -> None:
    """End the workers and this process, with one sentence; remove a folder."""
    kill_workers()
    sys.stderr.write(f"beamstop: {_broke(why)}\n")
    sys.stderr.flush()
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(Exit.BROKEN)  # even after an exception, Beam would wait for a lost worker for ever


def _unfinished(counts: Counter[str]) -> bool:
    return counts.total() - counts[LISTED] < counts[LISTED] or not counts


def worker_processes() -> list[psutil.Process]:
    """Return this process's living worker processes, without their decoders."""
    return [child for child in psutil.Process().children() if _is_worker(child)]


def _is_worker(process: psutil.Process) -> bool:
    try:
        return WORKER_MODULE in process.cmdline()
    except psutil.Error:
        return False


def _is_gone(pid: int) -> bool:
    try:
        return not _lives(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return True


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def kill_workers() -> None:
    """End the worker processes of this process at once."""
    for process in worker_processes():
        try:
            process.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue
