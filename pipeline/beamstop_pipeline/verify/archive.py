"""Compares originals with clean files: every source has one row, every row a file, every file a row."""

import hashlib
import logging
import multiprocessing
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from itertools import chain, islice
from typing import NamedTuple

from pydicom.dataset import FileDataset

from beamstop.audit import Outcome, Row
from beamstop.errors import Quarantined, Refusal
from beamstop.identity import Identity
from beamstop.keys import resolve_key
from beamstop.recipe.load import load_recipe
from beamstop.recipe.model import Recipe
from beamstop.verify import verify_pair
from beamstop_pipeline.silence import close_native_stderr
from beamstop_pipeline.verify.audit import IDENTIFIERS, Audit, Newest, finding
from beamstop_pipeline.verify.conformance import new_errors
from beamstop_pipeline.verify.disk_map import DiskMap
from beamstop_transforms.instance import Source, source_id_of
from beamstop_transforms.match import find_sources
from beamstop_transforms.paths import clean_path, is_clean_path
from beamstop_transforms.read import read_source
from beamstop_transforms.stores import PARTIAL, Store, open_store
from beamstop_transforms.subjects import StagedSubjects

_AT_ONCE = 1024  # pairs handed to the worker processes together
_KEY = 16  # bytes that stand for a UID or a path
_KEYWORDS = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")


@dataclass(frozen=True)
class Places:
    """The places and settings of a check.

    Attributes:
        inputs: patterns of the originals.
        output: the OUTPUT folder or prefix.
        recipe: name or file of the run's recipe.
        key: reference of the run's key.
        digests: of the recipe, in the versions of beamstop of the runs.
        workers: processes that compare pairs.
        dciodvfy: path of dciodvfy, for conformance; None to skip that check.
        subjects: the table of subjects of the runs; None if there is none.
    """

    inputs: tuple[str, ...]
    output: str
    recipe: str
    key: str
    digests: frozenset[str]
    workers: int = 1
    dciodvfy: str | None = None
    subjects: StagedSubjects | None = None


@dataclass
class Archive:
    """The result of checking an archive.

    Attributes:
        findings: rows of `FINDINGS`, without `verify_id`.
        counts: `sources`, `pairs` compared, `files` in OUTPUT, `other_recipe`: rows of another recipe.
    """

    findings: list[Row] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


class _Looked(NamedTuple):
    """The result of one pair.

    Attributes:
        source_id: of its source.
        findings: rows of `FINDINGS`.
        original: the new SOP Instance UID of the original.
        references: the new UIDs that the original should refer to, and those that the clean file has.
    """

    source_id: str
    findings: list[Row]
    original: bytes = b""
    references: tuple[tuple[bytes, bytes], ...] = ()


def verify_archive(places: Places, audit: Audit) -> Archive:
    """Check every source and every clean file once.

    Checks: `no_row`, `no_source`, `no_file`, `file_changed`, `source_changed`, `source_unreadable`, `row`,
    `path`, `reference`, `unexplained_file`, `conformance`, and those of `beamstop.verify`.

    Args:
        places: the places and settings.
        audit: from `read_audit`.
    """
    result = Archive()
    seen, originals = DiskMap[bytes, None](), DiskMap[bytes, None]()
    references = DiskMap[bytes, str]()  # keys of the UIDs of original and clean reference → source_id
    tasks = ((places, *task) for task in _tasks(places, audit, result, seen))
    for looked in _in_processes(_look, tasks, places.workers):
        result.counts["pairs"] += 1
        result.findings += looked.findings
        originals[looked.original] = None
        for original, clean in looked.references:
            references.setdefault(original + clean, looked.source_id)
    written = DiskMap[bytes, None]()
    for newest in filter(_is_written, audit.newest.values()):
        written[_key(newest.identifiers[-1] or "")] = None
    for reference, source_id in references.items():
        if reference[:_KEY] in originals and reference[_KEY:] not in written:
            newest = audit.newest[source_id]
            result.findings.append(_about("reference", source_id, newest, "ReferencedSOPInstanceUID"))
    for source_id, newest in audit.newest.items():
        if _short(source_id) not in seen:
            result.findings.append(_about("no_source", source_id, newest))
    result.findings += _disputed(places.output, audit)
    result.findings += _unexplained(places.output, audit, result.counts)
    return result


def _tasks(
    places: Places, audit: Audit, result: Archive, seen: DiskMap[bytes, None]
) -> Iterator[tuple[Source, str, Newest]]:
    """Yield every written source with its newest row; note those without a row."""
    identity = Identity(resolve_key(places.key))
    for pattern in places.inputs:
        for source in find_sources(pattern):
            source_id = source_id_of(source, identity)
            if _short(source_id) in seen:
                continue
            seen[_short(source_id)] = None
            result.counts["sources"] += 1
            newest = audit.newest.get(source_id)
            if newest is None:
                if not audit.is_sample:
                    result.findings.append(finding("no_row", source_id=source_id))
            elif _is_written(newest) and newest.recipe_digest not in places.digests:
                result.counts["other_recipe"] += 1
            elif _is_written(newest):
                yield source, source_id, newest


def _in_processes(
    work: Callable[[tuple[Places, Source, str, Newest]], _Looked],
    tasks: Iterator[tuple[Places, Source, str, Newest]],
    workers: int,
) -> Iterator[_Looked]:
    """Yield the result of every task; only a few tasks are in work at a time."""
    if workers == 1:
        yield from map(work, tasks)
        return
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_be_silent) as pool:
        while some := list(islice(tasks, _AT_ONCE)):
            yield from pool.map(work, some, chunksize=8)


def _be_silent() -> None:
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    close_native_stderr()


class _Tools(NamedTuple):
    recipe: Recipe
    identity: Identity
    store: Store


@cache
def _tools(places: Places) -> _Tools:
    """Return the objects that a process needs for every pair, made once."""
    recipe = load_recipe(places.recipe)
    table = places.subjects.open(recipe, places.key) if places.subjects is not None else None
    return _Tools(recipe, recipe.identity(resolve_key(places.key), table), open_store(places.output))


def _look(task: tuple[Places, Source, str, Newest]) -> _Looked:
    """Compare one pair, its row and its place."""
    places, source, source_id, newest = task
    tools = _tools(places)

    def found(check: str, element: str | None = None, detail: str | None = None) -> Row:
        return _about(check, source_id, newest, element, detail)

    if not is_clean_path(newest.output_path or ""):
        return _Looked(
            source_id, [_about("path", source_id, newest._replace(output_path=None), "output_path")]
        )
    try:
        stands = tools.store.read(newest.output_path or "")
    except Refusal as refusal:  # from an imaging server
        return _Looked(source_id, [found("no_file", detail=refusal.detail)])
    if stands is None:
        return _Looked(source_id, [found("no_file")])
    clean = stands[1]
    if hashlib.sha256(clean).hexdigest() != newest.output_sha256:
        return _Looked(source_id, [found("file_changed")])
    try:
        original = read_source(source, sys.maxsize)
    except Refusal as refusal:
        return _Looked(source_id, [found("source_unreadable", detail=refusal.detail)])
    if tools.identity.digest("source", original).hex() != newest.source_digest:
        return _Looked(source_id, [found("source_changed")])
    pair = verify_pair(original, clean, tools.recipe, tools.identity)
    findings = [found(it.check, it.element, it.detail) for it in pair.findings]
    if places.dciodvfy is not None:
        findings += [found(*it) for it in new_errors(original, clean, places.dciodvfy)]
    if pair.clean is not None:
        findings += [found(*it) for it in _misplaced(pair.clean, newest, places.output)]
    references = tuple((_key(old), _key(new)) for old, new in pair.references)
    return _Looked(source_id, findings, _key(pair.original_uid), references)


def _misplaced(clean: FileDataset, newest: Newest, output: str) -> Iterator[tuple[str, str]]:
    """Yield a finding where row or path disagree with the clean file."""
    values = [str(clean.get(keyword) or "").strip() for keyword in _KEYWORDS]
    for value, said, column in zip(values, newest.identifiers, IDENTIFIERS, strict=True):
        if (value or None) != said:
            yield "row", column
    try:
        expected = clean_path(clean, output)
    except Quarantined:
        expected = None
    if newest.output_path != expected:
        yield "path", "output_path"


def _disputed(output: str, audit: Audit) -> Iterator[Row]:
    """Yield a finding for every changed disputed file; a missing one may have been removed by a person."""
    disputed = {it: newest for it, newest in audit.newest.items() if newest.disputed is not None}
    paths = {newest.disputed[0] for newest in disputed.values() if newest.disputed is not None}
    written = paths.intersection(it.output_path for it in audit.newest.values())
    store = open_store(output)
    for source_id, newest in disputed.items():
        if newest.disputed is not None and newest.disputed[0] not in written:
            found = store.find(newest.disputed[0])
            if found is not None and found.sha256 != newest.disputed[1]:
                yield _about("file_changed", source_id, newest)


def _unexplained(output: str, audit: Audit, counts: Counter[str]) -> Iterator[Row]:
    """Yield a finding for every file in OUTPUT without a newest row; its name is untrusted."""
    ours, folders = DiskMap[bytes, None](), DiskMap[bytes, None]()
    for path in chain.from_iterable(map(_paths, audit.newest.values())):
        ours[_key(path)] = None
        folders.update(dict.fromkeys(map(_key, _folders(path))))
    for name in open_store(output).names(""):
        counts["files"] += 1
        if _key(name) not in ours:
            known = [folder for folder in _folders(name) if _key(folder) in folders]
            inside = known[-1] if known else PARTIAL if name.startswith(f"{PARTIAL}/") else ""
            yield finding("unexplained_file", detail=f"in {inside}" if inside else None)


def _paths(newest: Newest) -> Iterator[str]:
    if newest.output_path:
        yield newest.output_path
    if newest.disputed is not None:
        yield newest.disputed[0]


def _folders(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]


def _about(
    check: str, source_id: str, newest: Newest, element: str | None = None, detail: str | None = None
) -> Row:
    return finding(
        check,
        run_id=newest.run_id,
        source_id=source_id,
        output_path=newest.output_path,
        element=element or None,
        detail=detail or None,
    )


def _is_written(newest: Newest) -> bool:
    return newest.outcome == Outcome.WRITTEN


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:_KEY]


def _short(source_id: str) -> bytes:
    return bytes.fromhex(source_id)[:16]
