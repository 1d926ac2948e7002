"""Index: every sealed row of AUDIT as numbers, sorted by source, in AUDIT/ledger. It can be rebuilt any time.

It has segments, each with the rows of consecutive sealed tables. A segment's name is a keyed digest of the
names and SHA-256 of its tables; its head and each block of its rows are sealed with the key. So a forged
segment, or one of tables that no sealed record names, is never trusted. Small segments are merged into larger
ones, so that a run adds its own rows and reads few of the older ones.
"""

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from struct import Struct
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from beamstop.audit import Outcome
from beamstop.identity import Identity
from beamstop_transforms.ledger.numbers import digest_numbers, numbers_of, uid_numbers, version_numbers
from beamstop_transforms.ledger.sealed import SealedTable, is_lost, rows_of, sealed_tables
from beamstop_transforms.ledger.sorted_rows import (
    SealBrokenError,
    Shelf,
    SortedRows,
    write_sorted,
)
from beamstop_transforms.ledger.subjects import patient_numbers
from beamstop_transforms.ledger.target import Target
from beamstop_transforms.stores import is_remote
from beamstop_transforms.stores.ahead import ahead
from beamstop_transforms.stores.base import KeptError

LEDGER = "ledger"  # the folder of AUDIT
_FORMAT = "1"
_AT_ONCE = 1 << 19  # rows that are sorted in memory
_TEXTS = 1 << 13  # rows whose texts are Python objects at the same time
_SLICE = 1 << 18  # rows of all segments that are in memory together
_SMALL = 1 << 16  # rows; for merging, a smaller segment counts as this large
_LARGER = 4  # a segment is not merged if it is this many times as large as all later ones together
_END = 1 << 64

_NEEDED = (
    "source_id",
    "source_size",
    "source_version",
    "sop_instance_uid",
    "output_path",
    "output_sha256",
    "patient_id",
    "outcome",
    "reason",
    "recipe_digest",
    "beamstop_version",
)

# An entry: one row in 45 bytes, each text replaced by a number.
ENTRY = np.dtype(
    [
        ("source", "<u8"),  # source_id
        ("state", "<u8"),  # source_size and source_version
        ("uid", "<u8"),  # SOP Instance UID of the clean file; 0 unless written
        ("path", "<u8"),  # output path; 0 unless written or pruned
        ("patient", "<u4"),  # keyed digest of the clean PatientID; 0 unless written
        ("table", "<u4"),  # index of the row's table in the segment
        ("row", "<u4"),  # index of the row in its table
        ("code", "u1"),  # see `code_of`
    ]
)
_FIELDS = Struct("<QQQQIIIB")
_UID = np.dtype([("uid", "<u8"), ("source", "<u8")])  # each UID with each source that has or had it
# Each path and content that a run wrote, with its source: the oldest row and the newest.
_CONTENT = np.dtype([("path", "<u8"), ("content", "<u8"), ("source", "<u8"), ("table", "<u4")])
_OF_CONTENT = Struct("<QQQI")
_KINDS = {"sources": ENTRY, "uids": _UID, "contents": _CONTENT}

OUTCOMES = tuple(str(it) for it in Outcome)
PRUNED = len(OUTCOMES)  # instead of an outcome: the clean file was pruned
# The reasons that later runs need to know; all others are 0.
REASONS = (
    "",
    "duplicate",
    "duplicate_conflict",
    "occupied",
    "not_in_table",
    "refused",
    "folder_unreadable",
)
_DUPLICATE = REASONS.index("duplicate")  # also for any other reason that begins with it


def code_of(outcome: int, reason: int) -> int:
    """Return outcome (or PRUNED) and reason of a row as one number."""
    return outcome << 4 | reason


class Entry(NamedTuple):
    """The newest row of a source; fields as in ENTRY, except that `table` counts through all segments."""

    source: int
    state: int
    uid: int
    path: int
    patient: int
    table: int
    row: int
    code: int

    @property
    def outcome(self) -> int:
        """The index in OUTCOMES, or PRUNED."""
        return self.code >> 4

    @property
    def reason(self) -> int:
        """The index in REASONS."""
        return self.code & 15


class IndexedTable(NamedTuple):
    """A sealed table, and the recipe and version that all of its rows have in common.

    Attributes:
        name: below AUDIT.
        run_id: of the run that wrote it.
        sha256: of the file, in hex.
        subjects: see `SealedTable`.
        recipe_digest: None if not all rows have the same.
        beamstop_version: None if not all rows have the same.
    """

    name: str
    run_id: str
    sha256: str
    subjects: str | None
    recipe_digest: str | None
    beamstop_version: str | None

    @property
    def sealed(self) -> SealedTable:
        """The table as the records name it."""
        return SealedTable(self.name, self.run_id, self.sha256, self.subjects)


def state_of(size: int, version: int) -> int:
    """Return one number for size and version of a source; nobody can provoke a given one without the key."""
    return (version + size * _ODD) % _END


_ODD = 0x9E3779B97F4A7C15


class Segment:
    """The rows of some consecutive tables.

    Args:
        shelf: where its files are.
        identity: of the runs' key.
        name: of the segment.
        tables: the tables whose rows it has.
        rows: kind of rows → how many there are.
        files: name → digest of each file, except the head.
    """

    def __init__(
        self,
        shelf: Shelf,
        identity: Identity,
        name: str,
        tables: Sequence[IndexedTable],
        rows: Mapping[str, int],
        files: Mapping[str, str],
    ) -> None:
        self.name, self.tables, self._counts, self._files = name, tuple(tables), rows, files
        self._shelf, self._identity = shelf, identity
        self._opening = Lock()
        self._opened: dict[str, SortedRows] = {}

    def __len__(self) -> int:
        return self._counts["sources"]

    def rows(self, kind: str) -> SortedRows:
        """Return the rows of one kind."""
        with self._opening:  # once, whichever thread is the first to ask
            if kind not in self._opened:
                key, name = _key_of(self._identity, self.name, kind), f"{self.name}-{kind}"
                self._opened[kind] = SortedRows(self._shelf, name, _KINDS[kind], self._counts[kind], key)
            return self._opened[kind]

    @property
    def files(self) -> set[str]:
        """The names of its files, with the head."""
        return {f"{self.name}.json", *self._files}

    def is_whole(self) -> bool:
        """Return whether all files are what the key sealed."""
        digests = ahead(self._shelf.digest, self._files, many=4)
        return all(said == digest for said, digest in zip(self._files.values(), digests, strict=True))

    def forget(self) -> None:
        """Remove its head, so that the next run rebuilds it."""
        with suppress(KeptError):
            self._shelf.remove(f"{self.name}.json")


@dataclass(frozen=True)
class Index:
    """All entries.

    Attributes:
        segments: the oldest tables first.
    """

    segments: tuple[Segment, ...]

    def __len__(self) -> int:
        return sum(map(len, self.segments))

    @cached_property
    def tables(self) -> tuple[IndexedTable, ...]:
        """The tables of all segments, oldest first."""
        return tuple(table for it in self.segments for table in it.tables)

    @cached_property
    def _before(self) -> list[tuple[int, int]]:
        """For each segment, how many entries and tables come before it."""
        rows = accumulate(map(len, self.segments), initial=0)
        tables = accumulate((len(it.tables) for it in self.segments), initial=0)
        return list(zip(rows, tables, strict=True))

    @cached_property
    def _newest_first(self) -> list[tuple[Segment, int, int]]:
        return [(it, *before) for it, before in zip(self.segments, self._before[:-1], strict=True)][::-1]

    def newest(self, source: int) -> tuple[int, Entry] | None:
        """Return the newest entry of a source and its position among all entries; None if it has none.

        Raises:
            SealBrokenError: a segment is not what the key sealed.
        """
        for segment, rows, tables in self._newest_first:
            try:
                found = list(segment.rows("sources").find(source))
            except SealBrokenError:
                raise _forgotten(segment) from None
            if found:
                at, data = found[-1]
                entry = Entry(*_FIELDS.unpack(data))
                return rows + at, entry._replace(table=tables + entry.table)
        return None

    def with_uid(self, uid: int) -> set[int]:
        """Return the sources that have, or had, a row with a UID.

        Raises:
            SealBrokenError: a segment is not what the key sealed.
        """
        found = set[int]()
        for segment in self.segments:
            try:
                found.update(int.from_bytes(it[8:], "little") for _, it in segment.rows("uids").find(uid))
            except SealBrokenError:
                raise _forgotten(segment) from None
        return found

    def source_of(self, path: int, content: int, without: Collection[str] = ()) -> tuple[int, int] | None:
        """Return the last source from which a run wrote this content at this path, and its table's index.

        Args:
            path: the number of the path.
            content: the number of the SHA-256.
            without: run_ids that do not count.

        Raises:
            SealBrokenError: a segment is not what the key sealed.
        """
        for segment, _, tables in self._newest_first:
            try:
                found = [_OF_CONTENT.unpack(it) for _, it in segment.rows("contents").find(path)]
            except SealBrokenError:
                raise _forgotten(segment) from None
            for _, other, source, table in reversed(found):
                if other == content and segment.tables[table].run_id not in without:
                    return source, tables + table
        return None

    def slices(self) -> Iterator[tuple[Any, Any]]:
        """Yield positions and entries in slices of some sources, sorted by source, then the oldest first.

        Raises:
            SealBrokenError: a segment is not what the key sealed.
        """
        for low, high in _ranges(len(self)):
            positions, parts = [np.empty(0, np.int64)], [np.empty(0, ENTRY)]
            for segment, rows, tables in reversed(self._newest_first):
                try:
                    begin, entries = segment.rows("sources").between(low, high)
                except SealBrokenError:
                    raise _forgotten(segment) from None
                entries = entries.copy()
                entries["table"] += tables
                positions.append(np.arange(rows + begin, rows + begin + len(entries)))
                parts.append(entries)
            every = np.concatenate(parts)
            order = np.argsort(every["source"], kind="stable")
            yield np.concatenate(positions)[order], every[order]


def _forgotten(segment: Segment) -> SealBrokenError:
    """Remove the head of a segment whose seal is broken; return the error to raise."""
    segment.forget()
    return SealBrokenError(_MADE_ANEW)


_MADE_ANEW = "AUDIT/ledger was changed by somebody else: run again, which rebuilds it"


def open_index(target: Target) -> Index:
    """Return the index as it was when the run began (`target.ledger`), or else the current one.

    Raises:
        SealBrokenError: a segment that the run began with is gone, or not what the key sealed.
    """
    identity, shelf = target.identity(), Shelf(target.audit, LEDGER)
    if target.ledger is None:
        return index_of(target.audit, identity)
    segments = [_opened(shelf, identity, it) for it in target.ledger]
    if None in segments:
        raise SealBrokenError(_MADE_ANEW)
    return Index(tuple(it for it in segments if it is not None))


def index_of(audit: str, identity: Identity) -> Index:
    """Return the index of all sealed tables; missing segments are built."""
    return Index(tuple(_made(audit, identity, sealed_tables(audit, identity))))


def with_tables(index: Index, audit: str, identity: Identity, tables: Sequence[SealedTable]) -> Index:
    """Return an index with more tables, newer than all in it; their segments are added to AUDIT/ledger."""
    return Index((*index.segments, *_made(audit, identity, tables)))


def bring_up_to_date(audit: str, identity: Identity) -> tuple[str, ...]:
    """Bring AUDIT/ledger up to date with all sealed tables; return the names of its segments.

    Small segments are merged and stale ones removed, so no other run may be going on. A local segment is
    checked as a whole; in a bucket, each block is checked when it is read.

    Raises:
        SealBrokenError: somebody else changed a file that cannot be removed.
    """
    try:
        return _up_to_date(audit, identity)
    except SealBrokenError:  # the head of the broken segment is removed by now: it is rebuilt
        return _up_to_date(audit, identity)


def _up_to_date(audit: str, identity: Identity) -> tuple[str, ...]:
    segments, shelf = _made(audit, identity, sealed_tables(audit, identity)), Shelf(audit, LEDGER)
    first = _first_to_merge([len(it) for it in segments])
    if len(segments) - first > 1:
        segments[first:] = [_merged(shelf, identity, segments[first:])]
    wanted = set[str]().union(*(it.files for it in segments))
    for name in filter(_FILE.match, shelf.names() - wanted):
        with suppress(KeptError):
            shelf.remove(name)
    return tuple(it.name for it in segments)


def _first_to_merge(sizes: Sequence[int]) -> int:
    """Return the index of the first segment that is not much larger than all after it: these are merged.

    >>> _first_to_merge([12_000_000, 2_000_000, 400_000, 50_000])
    3
    >>> _first_to_merge([12_000_000, 2_000_000, 100_000, 50_000])
    2
    >>> _first_to_merge([500_000, 500_000, 500_000])
    0
    """
    for at in range(len(sizes)):
        if sizes[at] < _LARGER * max(sum(sizes[at + 1 :]), _SMALL):
            return at
    return len(sizes)


def broken_files(audit: str, identity: Identity | None) -> Iterator[str]:
    """Yield the names of files in AUDIT/ledger that are not beamstop's, or not what the key sealed."""
    shelf = Shelf(audit, LEDGER)
    names, fitting = shelf.names(), set[str]()
    for name in filter(_HEAD.fullmatch, names if identity is not None else ()):
        segment = _opened(shelf, identity, name.removesuffix(".json")) if identity is not None else None
        if segment is not None and segment.files <= names and segment.is_whole():
            fitting |= segment.files
    yield from sorted(
        names - fitting if identity is not None else (it for it in names if not _FILE.match(it))
    )


_HEAD = re.compile(r"[0-9a-f]{32}\.json")
_FILE = re.compile(r"[0-9a-f]{32}(?:\.json|-(?:sources|uids|contents)-(?:\d{5}|fences))\Z")


def _made(audit: str, identity: Identity, tables: Sequence[SealedTable]) -> list[Segment]:
    """Return the segments of some tables; missing ones are built."""
    shelf = Shelf(audit, LEDGER)
    names = shelf.names()
    heads = (it.removesuffix(".json") for it in names if _HEAD.fullmatch(it))
    there = [it for it in (_opened(shelf, identity, head) for head in heads) if it is not None]
    found: list[Segment] = []
    at, is_far = 0, is_remote(audit)
    by_first: dict[str, list[Segment]] = {}
    for segment in there:
        by_first.setdefault(segment.tables[0].name, []).append(segment)
    while at < len(tables):
        fitting = [it for it in by_first.get(tables[at].name, ()) if _continues(audit, it, tables, at)]
        fitting.sort(key=lambda it: -len(it.tables))
        best = next((it for it in fitting if it.files <= names and (is_far or it.is_whole())), None)
        if best is None:
            break
        found.append(best)
        at += len(best.tables)
    return [*found, *_built(audit, shelf, identity, tables[at:])]


def _continues(audit: str, segment: Segment, tables: Sequence[SealedTable], at: int) -> bool:
    following = tables[at : at + len(segment.tables)]
    return len(following) == len(segment.tables) and all(
        mine.sealed == table
        or (mine.sealed == table._replace(sha256="") and is_lost(audit, table))  # and was when it was read
        for mine, table in zip(segment.tables, following, strict=True)
    )


def _opened(shelf: Shelf, identity: Identity, name: str) -> Segment | None:
    """Return the segment with this head; None if there is none that the key sealed."""
    data = shelf.read(f"{name}.json")
    try:
        head = json.loads(data or b"")
        tables = [IndexedTable(*it) for it in head["tables"]]
        if head["mac"] != _head_mac(identity, name, head) or name != _name_of(identity, tables) or not tables:
            return None
        return Segment(shelf, identity, name, tables, head["rows"], head["files"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _name_of(identity: Identity, tables: Sequence[IndexedTable]) -> str:
    return identity.digest("ledger", _FORMAT, *(text for it in tables for text in it[:3])).hex()[:32]


def _head_mac(identity: Identity, name: str, head: Any) -> str:
    said = json.dumps({it: head[it] for it in ("tables", "rows", "files")})
    return identity.digest("ledger-head", name, said).hex()


def _key_of(identity: Identity, name: str, kind: str) -> bytes:
    return identity.digest("ledger-rows", name, kind)


class _Read(NamedTuple):
    """A table, its rows as ENTRY, and its files' contents as _CONTENT."""

    table: IndexedTable
    entries: Any
    contents: Any


def _built(audit: str, shelf: Shelf, identity: Identity, tables: Sequence[SealedTable]) -> Iterator[Segment]:
    """Yield segments of some tables; each has as many tables as can be sorted in memory."""
    waiting: list[_Read] = []
    rows = 0

    def read(table: SealedTable) -> _Read:
        return _read(audit, table, identity)

    for found in ahead(read, tables, many=2):
        waiting.append(found)
        rows += len(found.entries)
        if rows >= _AT_ONCE:
            yield _sorted_segment(shelf, identity, waiting)
            waiting, rows = [], 0
    if waiting:
        yield _sorted_segment(shelf, identity, waiting)


def _sorted_segment(shelf: Shelf, identity: Identity, read: list[_Read]) -> Segment:
    for number, it in enumerate(read):
        it.entries["table"] = it.contents["table"] = number
    entries = np.concatenate([it.entries for it in read])
    has_uid = entries["uid"] > 0
    uids = np.empty(int(has_uid.sum()), _UID)
    for name in ("uid", "source"):
        uids[name] = entries[name][has_uid]
    rows = {
        "sources": [_compacted(entries[np.argsort(entries["source"], kind="stable")])],
        "uids": [_distinct(uids)],
        "contents": [_oldest_and_newest(np.concatenate([it.contents for it in read]))],
    }
    return _put(shelf, identity, [it.table for it in read], rows)


def _merged(shelf: Shelf, identity: Identity, segments: Sequence[Segment]) -> Segment:
    index = Index(tuple(segments))
    rows = {
        "sources": (_compacted(it) for _, it in index.slices()),
        "uids": map(_distinct, _together(segments, "uids")),
        "contents": map(_oldest_and_newest, _together(segments, "contents")),
    }
    return _put(shelf, identity, index.tables, rows)


def _together(segments: Sequence[Segment], kind: str) -> Iterator[Any]:
    """Yield the rows of one kind of all segments, one range of numbers at a time, the oldest first."""
    many = [it.rows(kind) for it in segments]
    for low, high in _ranges(sum(map(len, many))):
        parts, before = [], 0
        for segment, rows in zip(segments, many, strict=True):
            part = rows.between(low, high)[1].copy()
            if "table" in part.dtype.names:
                part["table"] += before
            before += len(segment.tables)
            parts.append(part)
        yield np.concatenate(parts)


def _put(
    shelf: Shelf,
    identity: Identity,
    tables: Sequence[IndexedTable],
    rows: Mapping[str, Iterable[Any]],
) -> Segment:
    """Write a segment, the head last."""
    name = _name_of(identity, tables)
    counts, files = dict[str, int](), dict[str, str]()
    for kind, parts in rows.items():
        key = _key_of(identity, name, kind)
        counts[kind], more = write_sorted(shelf, f"{name}-{kind}", _KINDS[kind], parts, key)
        files |= more
    head: dict[str, Any] = {"tables": [list(it) for it in tables], "rows": counts, "files": files}
    head["mac"] = _head_mac(identity, name, head)
    shelf.write(f"{name}.json", json.dumps(head).encode())
    return Segment(shelf, identity, name, tables, counts, files)


def _ranges(count: int) -> Iterator[tuple[int, int]]:
    """Yield ranges of numbers, each with about _SLICE of the rows: keyed digests are spread evenly."""
    many = max(1, -(-count // _SLICE))
    for at in range(many):
        yield _END * at // many, _END * (at + 1) // many


def _distinct(uids: Any) -> Any:
    ordered = uids[np.lexsort((uids["source"], uids["uid"]))]
    return ordered[_are_first(ordered, "uid", "source")]


def _oldest_and_newest(contents: Any) -> Any:
    ordered = contents[np.lexsort((contents["content"], contents["path"]))]  # stable: the oldest stays first
    are_first = _are_first(ordered, "path", "content")
    are_last = np.append(are_first[1:], True)[: len(ordered)]
    return ordered[are_first | are_last]


def _are_first(ordered: Any, *names: str) -> Any:
    """Return a mask of bool: which rows differ from the one before them."""
    differ = np.ones(len(ordered), bool)
    differ[1:] = np.logical_or.reduce([ordered[it][1:] != ordered[it][:-1] for it in names])
    return differ


def _compacted(entries: Any) -> Any:
    """Return the entries that can still matter: the newest of each source and of each of its paths.

    The entries are sorted by source, then the oldest first.
    """
    is_newest = np.ones(len(entries), bool)
    is_newest[:-1] = entries["source"][1:] != entries["source"][:-1]
    if is_newest.all():
        return entries
    order = np.lexsort((entries["path"], entries["source"]))  # stable: the oldest of a path stays first
    source, path = entries["source"][order], entries["path"][order]
    is_last = np.ones(len(entries), bool)
    is_last[:-1] = (source[1:] != source[:-1]) | (path[1:] != path[:-1])
    has_last = np.zeros(len(entries), bool)
    has_last[order] = is_last & (path > 0)
    return entries[is_newest | has_last]


def _read(audit: str, table: SealedTable, identity: Identity) -> _Read:
    """Return a table and its rows; no rows if it is gone, or not what the record says.

    A table like that has no SHA-256, so its segment does not fit the table when it is back.
    """
    parts, contents, begin = [np.empty(0, ENTRY)], [np.empty(0, _CONTENT)], 0
    makers = Counter[tuple[str | None, str | None]]()
    columns = _PRUNED_NEEDED if table.is_pruned else list(_NEEDED)
    for batch in (small for it in rows_of(audit, table, columns) for small in _small(it)):
        entries = np.zeros(batch.num_rows, ENTRY)
        entries["source"] = digest_numbers(batch["source_id"])
        entries["path"] = numbers_of(batch["output_path"])
        entries["row"] = np.arange(begin, begin + batch.num_rows)
        begin += batch.num_rows
        if table.is_pruned:
            entries["code"] = code_of(PRUNED, 0)
        else:
            _add_verdicts(entries, batch, identity)
            makers.update(_makers_in(batch))
            contents.append(_contents_of(entries, batch))
        parts.append(entries)
    recipe, version = next(iter(makers)) if len(makers) == 1 else (None, None)
    if not begin and is_lost(audit, table):
        table = table._replace(sha256="")
    return _Read(IndexedTable(*table, recipe, version), np.concatenate(parts), np.concatenate(contents))


def _contents_of(entries: Any, batch: Any) -> Any:
    is_written = batch["output_path"].is_valid()
    written = entries[is_written.to_numpy(zero_copy_only=False)]
    contents = np.zeros(len(written), _CONTENT)
    contents["path"], contents["source"] = written["path"], written["source"]
    contents["content"] = digest_numbers(batch["output_sha256"].filter(is_written))
    return contents


def _small(batch: Any) -> Iterator[Any]:
    """Yield a batch in parts of _TEXTS rows: while a part is read, each of its texts is a Python object."""
    yield from (batch.slice(at, _TEXTS) for at in range(0, batch.num_rows, _TEXTS))


_PRUNED_NEEDED = ["source_id", "output_path"]


def _makers_in(batch: Any) -> Iterator[tuple[str | None, str | None]]:
    columns = [batch["recipe_digest"], batch["beamstop_version"]]
    every = pa.Table.from_arrays(columns, ["recipe", "version"]).group_by(["recipe", "version"])
    yield from ((it["recipe"], it["version"]) for it in every.aggregate([]).to_pylist())


def _add_verdicts(entries: Any, batch: Any, identity: Identity) -> None:
    sizes = pc.fill_null(batch["source_size"], 0).to_numpy(zero_copy_only=False).astype(np.uint64)
    versions = version_numbers(batch, identity)
    entries["state"] = versions + sizes * np.uint64(_ODD)
    entries["uid"] = uid_numbers(batch["sop_instance_uid"])
    patients = pc.dictionary_encode(batch["patient_id"])
    known = np.append(patient_numbers(patients.dictionary.to_pylist(), identity), np.uint64(0))
    at = pc.fill_null(patients.indices, len(known) - 1).to_numpy(zero_copy_only=False)
    entries["patient"] = known.astype(np.uint32)[at]  # the lower half
    outcomes = pc.index_in(batch["outcome"], value_set=pa.array(OUTCOMES))
    reasons = pc.index_in(batch["reason"], value_set=pa.array(REASONS))
    is_duplicate = pc.fill_null(pc.starts_with(batch["reason"], "duplicate"), False)
    reasons = pc.if_else(pc.is_valid(reasons), reasons, pc.if_else(is_duplicate, _DUPLICATE, 0))
    # Anything but an outcome counts as failed, so that it decides nothing.
    codes = pc.fill_null(outcomes, OUTCOMES.index(Outcome.FAILED)).to_numpy(zero_copy_only=False)
    entries["code"] = codes << 4 | reasons.to_numpy(zero_copy_only=False)
