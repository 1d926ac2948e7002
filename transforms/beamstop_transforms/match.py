"""Match: from patterns to sources."""

import glob
import os
import re
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam

from beamstop_transforms.instance import Source
from beamstop_transforms.stores import PARTIAL, is_remote, list_remote

_WILD = re.compile(r"[*?\[]")


class Match(beam.PTransform):
    """Find the distinct sources that patterns name.

    Args:
        patterns: files, folders (recursive), globs (`**` crosses folders), `gs://bucket/prefix/**`.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        super().__init__()
        self._patterns = tuple(patterns)

    def expand(self, pipeline: Any) -> Any:
        """Return the sources, each once however many patterns name it."""
        return (
            pipeline
            | "Patterns" >> beam.Create([os.fsencode(pattern) for pattern in self._patterns])
            | "List" >> beam.FlatMap(_list)
            | "ByPath" >> beam.Map(_by_path)
            | "Group" >> beam.GroupByKey()
            | "Distinct" >> beam.Map(_first)
        )


def _list(pattern: bytes) -> Iterator[Source]:
    return find_sources(os.fsdecode(pattern))


def _by_path(source: Source) -> tuple[bytes, Source]:
    return source.raw_path, source


def _first(group: tuple[bytes, Iterable[Source]]) -> Source:
    return min(group[1], key=lambda source: source.version)


def find_sources(pattern: str) -> Iterator[Source]:
    """Yield the sources that one pattern names, as it finds them.

    Whatever is no folder is a source, so that a dangling link or an unreadable folder is not lost
    but fails when it is read.
    """
    if is_remote(pattern):
        yield from _remote_sources(pattern)
    elif os.path.lexists(pattern):  # before globbing: a name may hold brackets
        yield from _walk(os.path.abspath(pattern))
    elif "**" in pattern:
        yield from _deep_glob(pattern)
    else:
        for path in glob.iglob(pattern, include_hidden=True):
            yield from _walk(os.path.abspath(path))


def _walk(root: str) -> Iterator[Source]:
    waiting, entered = [root], set[tuple[int, int]]()
    while waiting:
        path = waiting.pop()
        if not os.path.isdir(path):
            yield _source(path)
        elif _identity(path) not in entered:  # else a symbolic link led here before
            entered.add(_identity(path))
            try:
                names = sorted(os.listdir(path), reverse=True)
            except OSError:
                yield _source(path)
            else:
                waiting += [os.path.join(path, name) for name in names if name != PARTIAL]


def _deep_glob(pattern: str) -> Iterator[Source]:
    """Yield the files that a pattern with `**` names; it goes into folders by itself."""
    homes: dict[tuple[int, int], str] = {}
    for match in glob.iglob(pattern, recursive=True, include_hidden=True):
        path = os.path.abspath(match)
        folder = os.path.dirname(path)
        known = homes.setdefault(_identity(folder), folder) == folder  # else a link led here before
        if known and not os.path.isdir(path) and PARTIAL not in path.split(os.sep):
            yield _source(path)


def _identity(folder: str) -> tuple[int, int]:
    about = os.stat(folder)
    return about.st_dev, about.st_ino


def _source(path: str) -> Source:
    try:
        about = os.stat(path)
    except OSError:
        return Source(path, 0, "")
    return Source(path, about.st_size, str(about.st_mtime_ns))


def _remote_sources(pattern: str) -> Iterator[Source]:
    wild = _WILD.search(pattern)
    stem = pattern[: wild.start()] if wild else pattern
    fits = re.compile(_as_expression(pattern) if wild else re.escape(pattern.rstrip("/")) + "(/.*)?", re.S)
    for path, size, version in list_remote(stem):
        if fits.fullmatch(path) and not path.endswith("/") and f"/{PARTIAL}/" not in path:
            yield Source(path, size, version)


def _as_expression(pattern: str) -> str:
    parts = re.split(r"(\*\*|\*|\?)", pattern)
    wild = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(wild.get(part) or re.escape(part) for part in parts)
