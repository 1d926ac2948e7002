"""On a terminal a command says something before it imports what takes a second."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

# Prints a line at the first import of something slow.
LOOK = """
import os, sys
from beamstop_pipeline.cli import main

slow = {"apache_beam", "numpy", "pyarrow", "pydicom"}
def look(event, arguments):
    if event == "import" and arguments[0] in slow:
        slow.clear()
        os.write(1, b"slow imports\\n")
sys.addaudithook(look)
main(sys.argv[1:])
"""


def on_a_terminal(*arguments: str) -> list[str]:
    """Return the lines that a command writes on a terminal."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", LOOK, *arguments], stdin=theirs, stdout=theirs, stderr=theirs
    ):
        os.close(theirs)
        told = b""
        try:
            while more := os.read(ours, 1 << 16):
                told += more
        except OSError:  # Linux says so when the other end is closed
            pass
    os.close(ours)
    return told.decode().splitlines()


@pytest.mark.parametrize(
    ("command", "first"),
    [
        ("run --input nowhere --output o --audit a --key k --recipe basic", "starting …"),
        ("verify --audit nowhere --key k", "reading the audit …"),
        ("report nowhere", "reading the audit …"),
        ("sources nowhere --input nowhere --key k", "reading the audit …"),
        ("crosswalk nowhere --input nowhere --key k", "reading the audit …"),
        ("explain nowhere", "reading the recipe …"),
    ],
)
def test_the_first_word_comes_before_the_slow_imports(
    command: str, first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = on_a_terminal(*command.split())
    assert lines[:2] == [first, "slow imports"]


def test_quiet_and_json_have_no_first_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for option in ("--quiet", "--json"):
        assert on_a_terminal("verify", "--audit", "nowhere", "--key", "k", option)[0] == "slow imports"


def test_options_that_exclude_each_other_are_refused_before_the_slow_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = on_a_terminal("run", "--input", "i", "--output", "o", "--audit", "a")
    assert said == [
        "beamstop: no key: name one with --key (beamstop keygen makes it), or ask for --ephemeral-key"
    ]
