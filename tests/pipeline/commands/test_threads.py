"""What is left of a command's threads at its end: nothing that could be caught in Python when that ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

LOOK = """
import os, sys, threading, time
from beamstop_pipeline.cli import main
import pyarrow.compute, pyarrow.parquet

def tasks():
    return len(os.listdir("/proc/self/task"))

before = tasks()
code = main(sys.argv[2:])
patience = time.monotonic() + float(sys.argv[1])
while tasks() > before and time.monotonic() < patience:
    time.sleep(0.05)
print(code, [it.name for it in threading.enumerate()], tasks() - before, sep="|", file=sys.stderr)
"""


def told(*arguments: object, patience: float = 0) -> tuple[str, str, int]:
    """Return a command's exit code, the names of Python's threads at its end, and how many others came.

    On a busy machine a thread that was told to end takes a while; `patience` is in seconds.
    """
    done = subprocess.run(
        [sys.executable, "-c", LOOK, str(patience), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0
    code, names, others = done.stderr.strip().splitlines()[-1].split("|")
    return code, names, int(others)


ALONE = "['MainThread']"


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted in /proc")
def test_commands_that_read_an_audit_start_no_thread_that_stays(run, archive, key_file, tmp_path):
    (archive / "cut.dcm").write_bytes((archive / "1.dcm").read_bytes()[:300])
    ran = run(archive)
    of = ["--input", archive, "--key", key_file]
    looks = ["--output", ran.output, "--audit", ran.audit, "--recipe", "basic", "--workers", 1]
    report = ["report", ran.audit, "-o", tmp_path / "report.html"]
    for command in (["sources", ran.audit, *of], report, ["verify", *looks, *of]):
        assert told(*command, patience=10) == ("0", ALONE, 0), command[0]


@pytest.mark.workers
@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_leaves_no_thread_of_python(archive, key_file, tmp_path, workers):
    places = ["--input", archive, "--output", tmp_path / "out", "--audit", tmp_path / "audit"]
    code, names, _ = told(
        "run", *places, "--key", key_file, "--recipe", "basic", "--workers", workers, "--quiet"
    )
    assert (code, names) == ("0", ALONE)


def test_sources_ends_as_it_says(run, archive, key_file):
    """Seen once: terminate called without an active exception."""
    (archive / "cut.dcm").write_bytes((archive / "1.dcm").read_bytes()[:300])
    ran = run(archive)
    code = "import sys; from beamstop_pipeline.cli import main; sys.exit(main())"
    for _ in range(int(os.environ.get("BEAMSTOP_ENDINGS", "2"))):
        command = [sys.executable, "-c", code, "sources", ran.audit, "--input", archive, "--key", key_file]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
