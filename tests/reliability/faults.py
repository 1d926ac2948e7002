"""Faults: what happens to a process at its n-th change of the file system, by Python's audit events."""

import errno
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Every way in which the job changes a file system; `os.replace` tells itself as a rename.
_CHANGES = frozenset({"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"})
_NEEDS_ROOM = frozenset({"open", "os.mkdir"})
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class OpenedInPlaceError(BaseException):
    """A file was opened for writing under its final name."""


class Counter:
    """Counts changes below some folders and calls something before each.

    Args:
        folders: what is elsewhere is not counted.
        act: is told number, event and path of a change before it is made.
    """

    def __init__(self, folders: list[Path], act: Callable[[int, str, str], None]) -> None:
        self._folders = tuple(map(str, folders))
        self._act = act
        self.changes = 0

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in _CHANGES or (event == "open" and not _is_for_writing(arguments)):
            return
        path = os.fsdecode(arguments[0]) if isinstance(arguments[0], str | bytes | os.PathLike) else ""
        # Removing a tree names what it removes by folder handle.
        below = path.startswith(self._folders) or (not os.path.isabs(path) and event.startswith("os.r"))
        if below:
            self.changes += 1
            self._act(self.changes, event, path)


def _is_for_writing(arguments: tuple[Any, ...]) -> bool:
    flags = arguments[2] if len(arguments) > 2 else 0
    return bool(isinstance(flags, int) and flags & _WRITES)


def nothing() -> Callable[[int, str, str], None]:
    """Return what lets all changes pass."""
    return lambda number, event, path: None


def kill_at(moment: int) -> Callable[[int, str, str], None]:
    """Return what kills the process group before the change of that number."""

    def _act(number: int, event: str, path: str) -> None:
        if number == moment:
            os.killpg(0, signal.SIGKILL)

    return _act


def refuse_from(moment: int, place: Path, code: int) -> Callable[[int, str, str], None]:
    """Return what makes a place full (ENOSPC) or read-only (EROFS) from the change of that number on."""

    def _act(number: int, event: str, path: str) -> None:
        needs = event in _NEEDS_ROOM if code == errno.ENOSPC else True
        if number >= moment and needs and path.startswith(f"{place}{os.sep}"):
            raise OSError(code, os.strerror(code), path)

    return _act


def vanish_at(moment: int, source: Path) -> Callable[[int, str, str], None]:
    """Return what takes a source away before the change of that number."""

    def _act(number: int, event: str, path: str) -> None:
        if number == moment:
            source.unlink()

    return _act


def change_at(
    moment: int, source: Path, other: Path, kill: int | None = None
) -> Callable[[int, str, str], None]:
    """Return what replaces a source before the change of that number, and perhaps kills at a later one."""
    killing = nothing() if kill is None else kill_at(kill)

    def _act(number: int, event: str, path: str) -> None:
        if number == moment:
            shutil.copy2(other, source)  # with its time, so that all trials see the same
        killing(number, event, path)

    return _act


def only_whole_files(targets: list[Path]) -> None:
    """End this process if it ever opens a file of a target for writing outside of `.partial`."""
    roots = tuple(f"{target}{os.sep}" for target in targets)

    def _look(event: str, arguments: tuple[Any, ...]) -> None:
        if event != "open" or not _is_for_writing(arguments):
            return
        path = str(arguments[0])
        if path.startswith(roots) and f"{os.sep}.partial{os.sep}" not in path:
            raise OpenedInPlaceError

    sys.addaudithook(_look)
