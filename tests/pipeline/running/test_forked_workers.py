"""Worker processes forked before the run starts anything."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from beamstop_pipeline.running.forked_workers import CAN_FORK, WORKER_MODULE, ForkedWorker, forked_workers

pytestmark = pytest.mark.skipif(not CAN_FORK, reason="workers are forked on Linux alone")

IDLE = """
import sys, time
from beamstop_pipeline.running.forked_workers import forked_workers
with forked_workers(2) as workers:
    print(*(it.pid for it in workers), flush=True)
    {}
"""


def idle_workers(then: str) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """Start a driver that has forked two workers and then does something; return it and its workers."""
    driver = subprocess.Popen(
        [sys.executable, "-c", IDLE.format(then)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert driver.stdout is not None
    return driver, [psutil.Process(int(pid)) for pid in driver.stdout.readline().split()]


def test_workers_that_no_run_asked_for_end_with_the_driver_s_work() -> None:
    driver, workers = idle_workers("pass")
    assert len(workers) == 2
    _, said = driver.communicate(timeout=60)
    assert (driver.returncode, said) == (0, "")
    assert not any(worker.is_running() for worker in workers)


def test_idle_workers_end_when_their_driver_is_killed() -> None:
    driver, workers = idle_workers("time.sleep(600)")
    driver.kill()
    driver.communicate(timeout=60)
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert alive == []


def test_idle_workers_that_are_interrupted_say_nothing() -> None:
    driver, workers = idle_workers("time.sleep(2)")
    for worker in workers:
        worker.send_signal(signal.SIGINT)
    _, said = driver.communicate(timeout=60)
    assert (driver.returncode, said) == (0, "")


def test_a_process_list_shows_workers_without_the_driver_s_options() -> None:
    driver, workers = idle_workers("time.sleep(600)")
    try:
        until = time.monotonic() + 30
        while time.monotonic() < until and any("forked_workers" in str(it.cmdline()) for it in workers):
            time.sleep(0.05)
        shown = [[word for word in worker.cmdline() if word] for worker in workers]
    finally:
        driver.kill()
        driver.communicate(timeout=60)
    assert shown == [[sys.executable, "-m", WORKER_MODULE]] * 2


def test_a_worker_s_exit_code_and_signal_are_told() -> None:
    for end, code in ((lambda: os._exit(3), 3), (lambda: os.kill(os.getpid(), signal.SIGKILL), -9)):
        pid = os.fork()
        if pid == 0:
            end()
        assert ForkedWorker(pid, None).wait() == code


def test_a_worker_serves_one_run() -> None:
    with forked_workers(0) as none:
        assert none == []
    with pytest.raises(RuntimeError, match="one run"):
        ForkedWorker(0, None).start({})
