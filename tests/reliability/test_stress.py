"""The short form of `make stress`: a run that is killed and started again leaves what it should have left."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


def stress(*options: str) -> dict[str, Any]:
    """Return what the trials found."""
    command = [sys.executable, "-m", "tests.reliability.stress", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.mark.parametrize("scenario", ["a first run, all tables", "a grown archive, --incremental"])
def test_a_run_that_was_killed_and_started_again_leaves_what_an_undisturbed_one_leaves(scenario: str) -> None:
    told = stress("--trials", "2", "--faults", "0", "--processes", "0", "--scenario", scenario)
    assert told == {"tried": {"killed": 2}, "lost": []}


def test_a_source_that_changes_while_a_run_is_on_is_read_again_by_the_next() -> None:
    told = stress("--trials", "0", "--faults", "1", "--scenario", "a source that changes: grown")
    tried = {"source changed": 1, "source changed, killed": 1, "killed, then source changed": 1}
    assert told == {"tried": tried, "lost": []}


@pytest.mark.parametrize("what", ["another instance", "emptied"])
def test_what_a_dead_run_made_of_a_source_that_is_another_by_now_goes(what: str) -> None:
    told = stress("--trials", "0", "--faults", "3", "--scenario", f"a source that changes: {what}")
    tried = {"source changed": 3, "source changed, killed": 3, "killed, then source changed": 3}
    assert told == {"tried": tried, "lost": []}
