"""History: which sources are gone or changed, and which clean files are left over."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from beamstop.identity import Identity
from beamstop_transforms.ledger.index import (
    OUTCOMES,
    PRUNED,
    REASONS,
    Index,
    open_index,
    with_tables,
)
from beamstop_transforms.ledger.sealed import SealedTable, rows_of, sealed_records
from beamstop_transforms.ledger.skipped import Bits
from beamstop_transforms.ledger.target import Target
from beamstop_transforms.stores import is_elsewhere

GONE, MOVED = "gone", "moved"

_DUPLICATES = [number for number, it in enumerate(REASONS) if it.startswith("duplicate")]
_UNLISTED = REASONS.index("folder_unreadable")
_WRITTEN = OUTCOMES.index("written")
_MOST = 1 << 21  # leftover files whose positions are in memory at a time


class Leftover(NamedTuple):
    """A clean file whose source is gone, has another outcome by now, or is written under another path.

    Attributes:
        source_id: of the source that it was made from.
        path: below OUTPUT.
        sha256: of the file as it was written.
        why: `gone`, the newer outcome of the source (`rejected`, `quarantined`, `failed`), or `moved` if it
            is written under another path by now.
    """

    source_id: str
    path: str
    sha256: str
    why: str


def input_digests(patterns: Iterable[str], identity: Identity) -> list[str]:
    """Return a keyed digest for each distinct pattern, sorted, as a run's record lists its inputs."""
    named = {it if is_elsewhere(it) else os.path.abspath(it) for it in patterns}
    return sorted(identity.digest("input", os.fsencode(it)).hex()[:32] for it in named)


@dataclass
class History:
    """All rows of finished runs and of this one, read in slices of some sources at a time.

    Args:
        target: AUDIT, and this run, which has no record yet.
        own: the tables of this run's rows.
        inputs: the patterns of this run.
        skipped: the positions of the sources that this run skipped.
    """

    target: Target
    own: list[SealedTable]
    inputs: tuple[str, ...]
    skipped: Bits

    @property
    def since(self) -> dict[str, Any]:
        """How many sources are gone and how many changed; `judged`: every folder could be listed."""
        gone, changed, _ = self._counts
        return {"gone": gone, "changed": changed, "judged": not self._is_unlisted}

    def leftovers(self) -> Iterator[Leftover]:
        """Yield every leftover clean file."""
        parts = -(-self._counts[2] // _MOST)
        for part in range(parts):
            yield from self._left_in(part, parts)

    @cached_property
    def _counts(self) -> tuple[int, int, int]:
        """How many sources are gone, how many changed, and how many rows may belong to leftover files."""
        found = [(int(it.is_gone.sum()), it.changed, int(it.may_be_left.sum())) for it in self._slices()]
        gone, changed, left = (sum(it) for it in zip(*found, strict=True))
        return gone, changed, left

    def _left_in(self, part: int, parts: int) -> Iterator[Leftover]:
        """Yield the leftovers whose path, as a number, modulo `parts` is `part`."""
        found = [np.empty(0, _LEFT)]
        for it in self._slices():
            here = it.may_be_left & (it.entries["path"] % np.uint64(parts) == part)
            left = np.empty(int(here.sum()), _LEFT)
            for name in ("path", "table", "row"):
                left[name] = it.entries[name][here]
            left["gone"] = it.is_gone[here]
            left["code"] = it.entries["code"][it.newest[here]]
            found.append(left)
        every = np.concatenate(found)
        why = _whys(every)
        left = self._are_last(every) & (why != "")
        yield from self._named(every[left], why[left])

    def _are_last(self, left: Any) -> Any:
        """Return a mask of bool: which of these rows are the last ones, of all sources, with their path."""
        paths = np.unique(left["path"])
        last = np.zeros(len(paths), np.int64)
        for it in self._slices():
            at = np.minimum(np.searchsorted(paths, it.entries["path"]), max(len(paths) - 1, 0))
            here = paths[at] == it.entries["path"] if len(paths) else np.zeros(len(it.entries), bool)
            np.maximum.at(last, at[here], _order_of(it.entries[here]))
        return _order_of(left) == last[np.searchsorted(paths, left["path"])]

    def _named(self, left: Any, why: Any) -> Iterator[Leftover]:
        """Yield the leftovers of some rows; only the tables that have these rows are read."""
        columns = ["source_id", "output_path", "output_sha256"]
        for number in np.unique(left["table"]):
            here = left["table"] == number
            sealed = self._index.tables[number].sealed
            batches = list(rows_of(self.target.audit, sealed, columns))
            if not batches:
                continue  # the table is gone or was changed: only files that a sealed row names are removed
            rows = pa.Table.from_batches(batches).take(pa.array(left["row"][here])).to_pylist()
            for row, code in zip(rows, why[here], strict=True):
                yield Leftover(row["source_id"], row["output_path"], row["output_sha256"], str(code))

    def _slices(self) -> Iterator["_Slice"]:
        for positions, entries in self._index.slices():
            yield self._slice(positions, entries)

    def _slice(self, positions: Any, entries: Any) -> "_Slice":
        is_newest = np.ones(len(entries), bool)
        is_newest[:-1] = entries["source"][1:] != entries["source"][:-1]
        at = np.flatnonzero(is_newest)
        newest = at[np.cumsum(is_newest) - is_newest]  # for each entry, the newest entry of its source
        is_gone = is_newest & self._is_old[entries["table"]] & (entries["code"] >> 4 != PRUNED)
        is_gone &= ~self.skipped.mask(positions)
        before = np.flatnonzero(~is_newest)
        before = before[is_newest[before + 1]]
        one, two = entries[before], entries[before + 1]
        changed = ~self._is_of_before[two["table"]] & (one["code"] >> 4 != PRUNED)
        changed &= one["state"] != two["state"]
        may_be_left = (entries["path"] > 0) & (entries["code"] >> 4 != PRUNED)
        may_be_left &= np.where(is_newest, is_gone, entries["path"] != entries["path"][newest])
        return _Slice(entries, newest, is_gone, int(changed.sum()), may_be_left)

    @cached_property
    def _identity(self) -> Identity:
        return self.target.identity()

    @cached_property
    def _index(self) -> Index:
        return with_tables(open_index(self.target), self.target.audit, self._identity, self.own)

    @cached_property
    def _is_of_before(self) -> Any:
        """A mask of bool: which tables were written by earlier runs."""
        return np.array([it.run_id != self.target.run_id for it in self._index.tables], bool)

    @cached_property
    def _is_old(self) -> Any:
        """A mask of bool: which tables are of earlier runs all of whose inputs this run has, too.

        Only their sources can be said to be gone.
        """
        judged = set[str]() if self._is_unlisted else self._judged_runs()
        return self._is_of_before & np.array([it.run_id in judged for it in self._index.tables], bool)

    @cached_property
    def _is_unlisted(self) -> bool:
        """Whether this run failed to list a folder."""
        own = Index(tuple(it for it in self._index.segments if it.tables[0].run_id == self.target.run_id))
        return any(bool((entries["code"] & 15 == _UNLISTED).any()) for _, entries in own.slices())

    def _judged_runs(self) -> set[str]:
        """Return the runs all of whose inputs this run has, too."""
        mine = set(input_digests(self.inputs, self._identity))
        records = sealed_records(self.target.audit, self._identity)
        return {it["run_id"] for it in records if it.get("inputs") and mine.issuperset(it["inputs"])}


class _Slice(NamedTuple):
    """The entries of some sources.

    Attributes:
        entries: sorted by source, then the oldest first.
        newest: for each entry, the index of the newest entry of its source.
        is_gone: mask of the newest entries of sources that are gone.
        changed: how many sources changed.
        may_be_left: mask of entries whose clean file is left over, unless another source has the same path.
    """

    entries: Any
    newest: Any
    is_gone: Any
    changed: int
    may_be_left: Any


# A clean file that may be left over: its row, and the code of the newest row of its source.
_LEFT = np.dtype([("path", "u8"), ("table", "u4"), ("row", "u4"), ("code", "u1"), ("gone", "?")])


def _order_of(rows: Any) -> Any:
    """Return numbers that increase from row to row, the oldest table first."""
    return (rows["table"].astype(np.int64) << 32 | rows["row"]) + 1


def _whys(left: Any) -> Any:
    """Return why each file is left over; empty for a duplicate, whose file is already removed."""
    named = np.array([*OUTCOMES, MOVED])  # by number of the outcome; PRUNED is the last
    named[_WRITTEN] = MOVED
    by_code = np.where(np.isin(left["code"] & 15, _DUPLICATES), "", named[left["code"] >> 4])
    return np.where(left["gone"], GONE, by_code)
