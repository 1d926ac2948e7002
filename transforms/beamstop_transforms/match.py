"""Match: find the sources that patterns name."""

import glob
import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise

import apache_beam as beam
from apache_beam.pipeline import Pipeline
from apache_beam.pvalue import PCollection

from beamstop_transforms.archives import opened
from beamstop_transforms.instance import Source
from beamstop_transforms.redistribute import Packing, unpack
from beamstop_transforms.step import Transform
from beamstop_transforms.stores import (
    PARTIAL,
    can_be_divided,
    is_dicomweb,
    is_elsewhere,
    is_remote,
    list_letters,
    list_level,
    list_remote,
    object_itself,
)
from beamstop_transforms.stores.dicomweb_input import VERSION, Search, instances_of, studies_of

_WILD = re.compile(r"[*?\[]")

_OPENED = (".zip", ".tar")  # a pattern that ends so names archives, whose members are sources


_BRANCHES = 256  # listed in parallel
_LARGEST_LEVEL = 10_000  # objects and folders in one level of a bucket; larger levels are divided by name
_DEEPEST = 4  # levels that one worker lists to find that many branches


@dataclass(eq=False)
class Match(Transform):
    """Find the sources that patterns name, each once.

    One worker lists the top folders, all workers the folders below. Each yields sources as it finds them, so
    that no process has the whole list in memory.

    Attributes:
        patterns: files, folders (recursive), globs (`**` crosses folders), `gs://bucket/prefix/**`,
            `s3://…` and `az://…` alike.
    """

    patterns: Sequence[str] = field(repr=False)

    def __post_init__(self) -> None:
        self.patterns = tuple(dict.fromkeys(self.patterns))

    def expand(self, pipeline: Pipeline) -> PCollection[Source]:
        """Return the sources, each once however many patterns name it."""
        found = (
            pipeline
            | "Patterns" >> beam.Create([os.fsencode(pattern) for pattern in self.patterns])
            | "Branch" >> beam.FlatMap(_branch)
        )
        # One path for both cases, because a runner would hold a join in memory.
        sources = found | "Spread" >> beam.Reshuffle() | "List" >> beam.FlatMap(_sources)
        if _are_apart(self.patterns):
            return sources
        return (
            sources
            | "ByPath" >> beam.Map(_by_path)
            | "Group" >> beam.GroupByKey()
            | "Distinct" >> beam.Map(_first)
        )


@dataclass(frozen=True)
class Branch:
    """A folder or prefix that is still to be listed.

    Attributes:
        pattern: its sources must match it.
        place: a folder or prefix; None for everything that the pattern names.
        divided: it is a part of a large folder, which is not divided again.
    """

    pattern: str
    place: str | None
    divided: bool = False


def _are_apart(patterns: Sequence[str]) -> bool:
    """Return whether no source can match two patterns, because their folders are distinct."""
    homes = (it if is_elsewhere(it) else os.path.abspath(it) for it in map(home, patterns))
    ordered = sorted(f"{it.rstrip('/')}/" for it in homes)
    return not any(other.startswith(one) for one, other in pairwise(ordered))


def home(pattern: str) -> str:
    """Return the folder or server that has all sources of a pattern, or the only source that it names."""
    if is_dicomweb(pattern):
        return pattern.partition("?")[0]
    wild = _WILD.search(pattern)
    if wild is None or (not is_remote(pattern) and os.path.lexists(pattern)):
        return pattern
    return pattern[: pattern.rfind("/", 0, wild.start()) + 1] or "."


def _branch(pattern: bytes) -> Iterator[Branch | bytes]:
    """Yield branches, and packs of the sources above them."""
    packing = Packing()
    for found in branch(os.fsdecode(pattern)):
        if isinstance(found, Branch):
            yield found
        else:
            yield from packing.add(found)
    yield from packing.finish()


def _sources(found: Branch | bytes) -> Iterator[Source]:
    return list_branch(found) if isinstance(found, Branch) else unpack(found)


def _by_path(source: Source) -> tuple[bytes, Source]:
    return source.raw_path, source


def _first(group: tuple[bytes, Iterable[Source]]) -> Source:
    return min(group[1], key=lambda source: source.version)


def find_sources(pattern: str) -> Iterator[Source]:
    """Yield the sources that one pattern names, as it finds them.

    Everything except a readable folder is a source: a dangling link or an unreadable folder fails when it is
    read, so that it is in the audit. A link to a folder above or below the pattern's own is not followed,
    because that folder is listed under its own name.
    """
    yield from list_branch(Branch(pattern, None))


def branch(pattern: str) -> Iterator[Source | Branch]:
    """Yield the sources in the top folders of a pattern, and the folders below them."""
    for found in _branches(pattern):
        yield from _opened(pattern, found) if isinstance(found, Source) else [found]


def _opened(pattern: str, source: Source) -> Iterator[Source]:
    """Yield the members of an archive that a pattern names, any other source itself."""
    if is_dicomweb(pattern):
        return iter([source])
    if _WILD.search(pattern) and (is_remote(pattern) or not os.path.lexists(pattern)):
        is_named = pattern.lower().endswith(_OPENED)
    else:
        is_named = source.path == (pattern if is_remote(pattern) else os.path.abspath(pattern))
    return opened(source) if is_named else iter([source])


def _branches(pattern: str) -> Iterator[Source | Branch]:
    if is_dicomweb(pattern):
        yield from (Branch(pattern, study) for study in studies_of(Search.of(pattern)))
    elif is_remote(pattern):
        yield from _spread(pattern, _stem(pattern), _remote_level)
        if not _WILD.search(pattern) and (itself := object_itself(pattern)) is not None:
            yield Source(*itself)
    elif os.path.isdir(pattern):
        yield from _spread(pattern, os.path.abspath(pattern), _level)
    else:
        yield Branch(pattern, None)


def _spread(
    pattern: str, root: str, level: Callable[[str, str], Iterator[Source | Branch]]
) -> Iterator[Source | Branch]:
    waiting = deque([(0, root)])
    while waiting and len(waiting) < _BRANCHES and waiting[0][0] < _DEEPEST:
        depth, place = waiting.popleft()
        for found in level(pattern, place):
            if isinstance(found, Branch) and found.place is not None and not found.divided:
                waiting.append((depth + 1, found.place))
            else:
                yield found
    for _, place in waiting:
        yield Branch(pattern, place)


def list_branch(branch: Branch) -> Iterator[Source]:
    """Yield the sources of one branch."""
    for source in _listed(branch):
        yield from _opened(branch.pattern, source)


def _listed(branch: Branch) -> Iterator[Source]:
    pattern, place = branch.pattern, branch.place
    if is_dicomweb(pattern):
        for study in [place] if place is not None else studies_of(Search.of(pattern)):
            yield from (Source(path, 0, VERSION) for path in instances_of(study))
    elif is_remote(pattern):
        yield from _remote_sources(pattern, place)
    elif place is not None:
        yield from _walk(os.path.abspath(pattern), place)
    elif os.path.lexists(pattern):  # before globbing: a name may contain brackets
        yield from _walk(os.path.abspath(pattern), os.path.abspath(pattern))
    elif "**" in pattern:
        yield from _deep_glob(pattern)
    else:
        for path in glob.iglob(pattern, include_hidden=True):
            yield from _walk(os.path.abspath(path), os.path.abspath(path))


def _walk(root: str, place: str) -> Iterator[Source]:
    """Yield the sources at or below a place, which is the root or below it."""
    if not os.path.isdir(place):
        yield _source(place)
        return
    waiting, entered = [place], {_identity(place)}
    while waiting:
        for found in _level(root, waiting.pop()):
            if isinstance(found, Source):
                yield found
            elif found.place is not None and _identity(found.place) not in entered:
                entered.add(_identity(found.place))  # two links may lead to the same folder outside
                waiting.append(found.place)


def _level(root: str, folder: str) -> Iterator[Source | Branch]:
    """Yield the sources in one folder, and the folders to enter."""
    try:
        entries = os.scandir(folder)
    except OSError:
        yield _source(folder)
        return
    with entries:
        for entry in entries:
            if entry.name == PARTIAL:
                continue
            if not _is_folder(entry):
                yield _source(entry.path)
            elif not entry.is_symlink() or not _lies_in(entry.path, root):
                yield Branch(root, entry.path)


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _lies_in(path: str, root: str) -> bool:
    """Return whether a folder is, by its real name, the root, below it or above it."""
    real, top = os.path.realpath(path), os.path.realpath(root)
    return os.path.commonpath([real, top]) in (real, top)


def _deep_glob(pattern: str) -> Iterator[Source]:
    """Yield the files that a pattern with `**` names."""
    homes: dict[tuple[int, int], str] = {}
    listed = set[str]()  # by a pattern with several `**`, which names some files more than once
    for match in glob.iglob(pattern, recursive=True, include_hidden=True):
        path = os.path.abspath(match)
        folder = os.path.dirname(path)
        known = homes.setdefault(_identity(folder), folder) == folder  # False: a link has led here before
        if known and path not in listed and not os.path.isdir(path) and PARTIAL not in path.split(os.sep):
            if pattern.count("**") > 1:
                listed.add(path)
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


def _stem(pattern: str) -> str:
    """Return the common prefix of all addresses that a pattern names, up to its first wildcard."""
    wild = _WILD.search(pattern)
    return pattern[: wild.start()] if wild else f"{pattern.rstrip('/')}/"


def _remote_level(pattern: str, prefix: str) -> Iterator[Source | Branch]:
    fits = _fitting(pattern)
    level = list(islice(list_level(prefix), _LARGEST_LEVEL + 1 if can_be_divided(prefix) else None))
    if len(level) > _LARGEST_LEVEL and can_be_divided(prefix):
        yield from _divided(pattern, prefix)
        return
    for found in level:
        if isinstance(found, str):
            if f"/{PARTIAL}/" not in found:
                yield Branch(pattern, found, divided=found == prefix)
        elif fits(found[0]):
            yield Source(*found)


def _divided(pattern: str, prefix: str) -> Iterator[Source | Branch]:
    """Yield the parts of a large folder, divided by the letters of names, and parts that are small enough."""
    fits, waiting = _fitting(pattern), deque([prefix])
    while waiting and len(waiting) < _BRANCHES:
        for found in list_letters(waiting.popleft()):
            if isinstance(found, str):
                waiting.append(found)
            elif fits(found[0]):
                yield Source(*found)
    for part in waiting:
        yield Branch(pattern, part, divided=True)


def _remote_sources(pattern: str, prefix: str | None) -> Iterator[Source]:
    fits = _fitting(pattern)
    if prefix is None and not _WILD.search(pattern) and (itself := object_itself(pattern)) is not None:
        yield Source(*itself)
    for found in list_remote(_stem(pattern) if prefix is None else prefix):
        if fits(found[0]):
            yield Source(*found)


def _fitting(pattern: str) -> Callable[[str], bool]:
    wild = _WILD.search(pattern)
    expression = re.compile(
        _as_expression(pattern) if wild else re.escape(pattern.rstrip("/")) + "(/.*)?", re.S
    )
    return lambda path: bool(
        expression.fullmatch(path) and not path.endswith("/") and f"/{PARTIAL}/" not in path
    )


def _as_expression(pattern: str) -> str:
    parts = re.split(r"(\*\*|\*|\?)", pattern)
    wild = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(wild.get(part) or re.escape(part) for part in parts)
