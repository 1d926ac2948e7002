"""History: all rows of finished runs and of this one, as numbers."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from beamstop.audit import Outcome
from beamstop.identity import Identity
from beamstop_transforms.ledger.numbers import digest_numbers, numbers_of, version_numbers
from beamstop_transforms.ledger.sealed import SealedTable, rows_of, sealed_records, sealed_tables
from beamstop_transforms.ledger.target import Target
from beamstop_transforms.read import FOLDER_UNREADABLE
from beamstop_transforms.stores import is_elsewhere
from beamstop_transforms.stores.ahead import ahead

GONE, MOVED = "gone", "moved"


_CODES = {str(outcome): number for number, outcome in enumerate(Outcome)}


_DUPLICATE, _PRUNED = len(_CODES), len(_CODES) + 1


# A row of the ledger in 41 bytes: one worker holds all of them, once in a run.
_ENTRY = np.dtype(
    [
        ("source", "u8"),
        ("size", "i8"),
        ("version", "u8"),
        ("path", "u8"),  # stands for the output path; 0 unless written or pruned
        ("table", "u4"),
        ("row", "u4"),
        ("code", "u1"),
    ]
)


class Leftover(NamedTuple):
    """A clean file that no source stands for.

    Attributes:
        source_id: of the source that it was made of.
        path: below OUTPUT.
        sha256: of the file as it was written.
        why: `gone`, what became of the source since (`rejected`, `quarantined`, `failed`), or `moved` if it
            is written under another path by now.
    """

    source_id: str
    path: str
    sha256: str
    why: str


def input_digests(patterns: Iterable[str], identity: Identity) -> list[str]:
    """Return a keyed digest for each distinct pattern, sorted: what a run's record says of its inputs."""
    named = {it if is_elsewhere(it) else os.path.abspath(it) for it in patterns}
    return sorted(identity.digest("input", os.fsencode(it)).hex()[:32] for it in named)


@dataclass
class History:
    """All rows of finished runs and of this one, as numbers.

    Args:
        target: AUDIT, and this run, whose record does not stand yet.
        own: the tables of this run's rows.
        inputs: its patterns.
        skipped: sorted numbers of the sources that it skipped.
    """

    target: Target
    own: list[SealedTable]
    inputs: tuple[str, ...]
    skipped: Any

    def __post_init__(self) -> None:
        self._identity = self.target.identity()
        self._tables = [*sealed_tables(self.target.audit, self._identity), *self.own]
        self._unlisted = False
        self._rows = np.concatenate([np.empty(0, _ENTRY), *ahead(self._read, range(len(self._tables)))])
        order = np.argsort(self._rows["source"], kind="stable")
        sources = self._rows["source"][order]
        last = np.ones(len(order), bool)
        last[:-1] = sources[1:] != sources[:-1]
        self._newest = order[last]  # of each source, in the order of the numbers of sources
        self._known = sources[last]
        before = np.flatnonzero(last) - 1
        has_before = np.concatenate([[False], ~last[:-1]])[last] if len(order) else last
        self._gone = self._find_gone()
        self.since = {
            "gone": int(self._gone.sum()),
            "changed": self._count_changed(order[before[has_before]], self._newest[has_before]),
            "judged": not self._unlisted,
        }

    def leftovers(self) -> Iterator[Leftover]:
        """Yield every clean file that no source stands for."""
        placed = np.flatnonzero(self._rows["path"])
        order = placed[np.argsort(self._rows["path"][placed], kind="stable")]
        paths = self._rows["path"][order]
        last = np.ones(len(order), bool)
        last[:-1] = paths[1:] != paths[:-1]
        standing = order[last]
        standing = standing[self._rows["code"][standing] != _PRUNED]
        at = np.searchsorted(self._known, self._rows["source"][standing])
        newest = self._newest[at]
        why = np.where(
            newest == standing, np.where(self._gone[at], GONE, ""), self._whys()[self._rows["code"][newest]]
        )
        left = why != ""
        yield from self._named(standing[left], why[left])

    def _whys(self) -> Any:
        """Return why a file is left by the code of its source's newest row, another than the file's."""
        whys = {**_CODES, str(Outcome.WRITTEN): -1}
        named = [name for name, number in whys.items() if number > 0]
        return np.array([MOVED, *named, "", MOVED])  # what lost to a duplicate went when that was settled

    def _named(self, rows: Any, why: Any) -> Iterator[Leftover]:
        """Yield what some rows say in full: only their files are read."""
        columns = ["source_id", "output_path", "output_sha256"]
        for number in np.unique(self._rows["table"][rows]):
            here = self._rows["table"][rows] == number
            wanted = pa.array(self._rows["row"][rows][here])
            table = pa.Table.from_batches(rows_of(self.target.audit, self._tables[number], columns))
            for row, code in zip(table.take(wanted).to_pylist(), why[here], strict=True):
                yield Leftover(row["source_id"], row["output_path"], row["output_sha256"], str(code))

    def _find_gone(self) -> Any:
        """Return for each known source whether it is gone: a mask of bool."""
        newest = self._rows[self._newest]
        old = np.array([it.run_id != self.target.run_id for it in self._tables], bool)
        gone = old[newest["table"]] & (newest["code"] != _PRUNED) if len(newest) else np.zeros(0, bool)
        at = np.searchsorted(self.skipped, self._known)
        at[at == len(self.skipped)] = 0
        if len(self.skipped):
            gone &= self.skipped[at] != self._known
        if self._unlisted:
            return np.zeros_like(gone)
        judged = self._judged_runs()
        mask = np.array([it.run_id in judged for it in self._tables], bool)
        return gone & mask[newest["table"]] if len(newest) else gone

    def _judged_runs(self) -> set[str]:
        """Return the runs of which this one looked at all that they looked at."""
        mine = set(input_digests(self.inputs, self._identity))
        records = sealed_records(self.target.audit, self._identity)
        return {it["run_id"] for it in records if it.get("inputs") and mine.issuperset(it["inputs"])}

    def _count_changed(self, before: Any, newest: Any) -> int:
        mine = np.array([it.run_id == self.target.run_id for it in self._tables], bool)
        if not len(newest):
            return 0
        one, two = self._rows[before], self._rows[newest]
        other = (one["size"] != two["size"]) | (one["version"] != two["version"])
        return int((mine[two["table"]] & (one["code"] != _PRUNED) & other).sum())

    def _read(self, number: int) -> Any:
        table, begin, parts = self._tables[number], 0, [np.empty(0, _ENTRY)]
        columns = ["source_id", "output_path"]
        if not table.is_pruned:
            columns += ["source_size", "source_version", "outcome", "reason"]
        for batch in rows_of(self.target.audit, table, columns):
            entries = np.zeros(batch.num_rows, _ENTRY)
            entries["source"] = digest_numbers(batch["source_id"])
            entries["path"] = numbers_of(batch["output_path"])
            entries["table"], entries["row"] = number, np.arange(begin, begin + batch.num_rows)
            begin += batch.num_rows
            if table.is_pruned:
                entries["code"] = _PRUNED
            else:
                self._add_verdicts(entries, batch, table.run_id)
            parts.append(entries)
        return np.concatenate(parts)

    def _add_verdicts(self, entries: Any, batch: Any, run_id: str) -> None:
        entries["size"] = batch["source_size"].to_numpy(zero_copy_only=False)
        entries["version"] = version_numbers(batch, self._identity)
        codes = pc.index_in(batch["outcome"], value_set=pa.array(list(_CODES)))
        lost = pc.fill_null(pc.starts_with(batch["reason"], "duplicate"), False)
        entries["code"] = pc.if_else(lost, _DUPLICATE, codes).to_numpy(zero_copy_only=False)
        if run_id == self.target.run_id and pc.any(pc.equal(batch["reason"], FOLDER_UNREADABLE)).as_py():
            self._unlisted = True
