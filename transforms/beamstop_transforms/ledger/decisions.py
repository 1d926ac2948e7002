"""Decisions: what the audit of earlier runs says was decided, for `--incremental`."""

from collections.abc import Iterator
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.utils.shared import Shared

from beamstop.audit import Outcome, Row
from beamstop.identity import Identity
from beamstop_transforms.ledger.claims import Claimant, uid_key
from beamstop_transforms.ledger.numbers import (
    digest_number,
    digest_numbers,
    number_of,
    numbers_of,
    version_numbers,
)
from beamstop_transforms.ledger.sealed import SealedTable, rows_of, sealed_tables
from beamstop_transforms.ledger.subjects import Changes, changes, patient_numbers
from beamstop_transforms.ledger.target import Target, open_claims
from beamstop_transforms.stores.ahead import ahead

_NEEDED = (
    "source_id",
    "source_size",
    "source_version",
    "sop_instance_uid",
    "outcome",
    "reason",
    "recipe_digest",
    "beamstop_version",
)
# What a row says of the source itself, whatever became of it.
_OF_THE_SOURCE = ("source_id", "source_digest", "source_size", "source_version", "sop_class_uid", "modality")

# The newest row of a source, in 37 + 8 bytes: every worker process holds one for each of millions of sources.
_ENTRY = np.dtype(
    [
        ("source", "u8"),  # stands for the source_id
        ("size", "i8"),
        ("version", "u8"),  # stands for the source_version; 0 where it is not known
        ("uid", "u8"),  # stands for the SOP Instance UID of the clean file; 0 unless written
        ("table", "u4"),  # which one has the row
        ("decides", "?"),
    ]
)


class Holder(NamedTuple):
    """A skipped source that has a UID.

    Attributes:
        row: what the ledger says of the source.
        claimant: the claim that its file is.
        is_recovered: its run broke before duplicates were resolved: it is as if this run had written it.
    """

    row: Row
    claimant: Claimant
    is_recovered: bool


class Decisions:
    """What finished runs decided with one recipe and one version of beamstop.

    A source that failed is not decided, nor one whose place was occupied or disputed, nor one whose clean
    file was pruned; nor a duplicate, once anything was pruned: what it lost to may be gone. A run without a
    sealed record did not finish: its rows decide nothing, and where it may have written nothing is decided
    any more, but by the rows of that very run, if it has a record by now (`conclude`).

    A row decides nothing, either, if its subject has another line in the table of subjects than its run's.

    Args:
        target: OUTPUT, AUDIT, and the run that asks.
        recipe_digest, beamstop_version: what a row must agree with.
        subjects: the digest of the table of subjects; None for none.
        absent: what the recipe says of who is in no line.
    """

    def __init__(
        self,
        target: Target,
        recipe_digest: str,
        beamstop_version: str,
        subjects: str | None = None,
        absent: str = "reject",
    ) -> None:
        self._target = target
        self._recipe_digest = recipe_digest
        self._beamstop_version = beamstop_version
        self._subjects, self._absent = subjects, absent
        self._shared = Shared()

    def shared(self) -> "Decisions":
        """Return the one object that all who ask in this process share: it holds the arrays."""
        return self._shared.acquire(lambda: self)

    def holds(self, source_id: str, size: int, source_version: str) -> bool:
        """Say whether a source is decided and has not changed since."""
        number, entries = digest_number(source_id), self._entries
        at = int(np.searchsorted(self._sources, np.uint64(number)))
        if at == len(entries) or not source_version:
            return False
        entry, asked = entries[at], (number, size, digest_number(source_version))
        same = tuple(int(entry[name]) for name in ("source", "size", "version")) == asked
        return same and bool(entry["decides"])

    def are_any(self) -> bool:
        """Say whether anything was decided at all."""
        return len(self._entries) > 0

    def holders(self, sop_instance_uid: str, skipped: Any) -> Iterator["Holder"]:
        """Yield what the ledger says of each skipped source with this UID.

        Args:
            sop_instance_uid: the UID.
            skipped: sorted `digest_number` of every source that this run skips.
        """
        uids, order = self._by_uid
        number = np.uint64(number_of(sop_instance_uid))
        first, last = (int(np.searchsorted(uids, number, side, sorter=order)) for side in ("left", "right"))
        for at in range(first, last):
            entry = self._entries[order[at]]
            found = int(np.searchsorted(skipped, entry["source"]))
            if found < len(skipped) and skipped[found] == entry["source"]:
                table = self._tables[entry["table"]]
                row, claimant = _held_row(self._target.audit, table, int(entry["source"]))
                yield Holder(row, claimant, table.run_id in self._target.recovered)

    @cached_property
    def _sources(self) -> Any:
        return np.ascontiguousarray(self._entries["source"])  # else every search would copy it

    @cached_property
    def _by_uid(self) -> tuple[Any, Any]:
        uids = np.ascontiguousarray(self._entries["uid"])
        return uids, np.argsort(uids, kind="stable")

    @cached_property
    def _identity(self) -> Identity:
        return self._target.identity()

    @cached_property
    def _tables(self) -> list[SealedTable]:
        return sealed_tables(self._target.audit, self._identity)

    @cached_property
    def _entries(self) -> Any:
        """The newest entry of every source, sorted by source."""
        pruned = max([number for number, it in enumerate(self._tables) if it.is_pruned], default=0)
        _ = self._changes  # once, before the tables are read side by side
        left_open = open_claims(self._target).left_open()
        by_all = frozenset[bytes]().union(*left_open.values())
        # What a run claims is no news to its own rows: those that others contested are not among them.
        by_others = {
            run_id: frozenset[bytes]().union(*(it for other, it in left_open.items() if other != run_id))
            for run_id in left_open
        }

        def read(number: int) -> Any:
            open_to = by_others.get(self._tables[number].run_id, by_all)
            return self._entries_in(number, number < pruned, open_to)

        every = np.concatenate([np.empty(0, _ENTRY), *ahead(read, range(len(self._tables)))])
        every = every[np.argsort(every["source"], kind="stable")]
        newest = np.ones(len(every), bool)
        newest[:-1] = every["source"][1:] != every["source"][:-1]
        return every[newest]

    def _entries_in(self, number: int, before_pruning: bool, left_open: frozenset[bytes]) -> Any:
        table, parts = self._tables[number], [np.empty(0, _ENTRY)]
        columns = ["source_id"] if table.is_pruned else list(_NEEDED)
        if not table.is_pruned and self._changes[table.subjects] is not None:
            columns.append("patient_id")
        for batch in rows_of(self._target.audit, table, columns):
            parts.append(self._entries_of(batch, number, before_pruning, left_open))
        return np.concatenate(parts)

    def _entries_of(self, batch: Any, number: int, before_pruning: bool, left_open: frozenset[bytes]) -> Any:
        entries = np.zeros(batch.num_rows, _ENTRY)
        entries["table"] = number
        entries["source"] = digest_numbers(batch["source_id"])
        if self._tables[number].is_pruned:
            return entries
        entries["size"] = batch["source_size"].to_numpy(zero_copy_only=False)
        entries["version"] = version_numbers(batch, self._identity)
        entries["uid"] = numbers_of(batch["sop_instance_uid"])
        entries["decides"] = self._decides(batch, before_pruning, left_open)
        if (changed := self._changes[self._tables[number].subjects]) is not None:
            entries["decides"] &= ~self._is_about(batch, changed)
        return entries

    @cached_property
    def _changes(self) -> dict[str | None, Changes | None]:
        """What the table of subjects changes, by the digest of the one that a run had."""
        before = {it.subjects for it in self._tables}
        return {
            it: changes(self._target.audit, self._identity, it, self._subjects, self._absent) for it in before
        }

    def _is_about(self, batch: Any, changed: Changes) -> Any:
        """Return which rows may be about a subject whose line is another: a mask of bool."""
        if changed.everything:
            return np.ones(batch.num_rows, bool)
        said = pc.dictionary_encode(batch["patient_id"])
        numbers = patient_numbers(said.dictionary.to_pylist(), self._identity)
        concerned = pa.array([bool(it) for it in np.isin(numbers, changed.patients)], pa.bool_())
        again = pc.or_(
            pc.equal(batch["outcome"], str(Outcome.QUARANTINED)),
            pc.fill_null(pc.is_in(batch["reason"], value_set=pa.array(changed.reasons)), False),
        )
        mask: Any = pc.or_(pc.fill_null(concerned.take(said.indices), False), again)
        return mask.to_numpy(zero_copy_only=False)

    def _decides(self, batch: Any, before_pruning: bool, left_open: frozenset[bytes]) -> Any:
        """Return for each row whether it decides: a mask of bool, (rows,)."""
        again = ["occupied", "duplicate_conflict", *(["duplicate"] if before_pruning else [])]
        tried = pc.and_(
            pc.not_equal(batch["outcome"], str(Outcome.FAILED)),
            pc.invert(pc.is_in(batch["reason"], value_set=pa.array(again))),
        )
        same = pc.and_(
            pc.equal(batch["recipe_digest"], self._recipe_digest),
            pc.equal(batch["beamstop_version"], self._beamstop_version),
        )
        decides = pc.fill_null(pc.and_(tried, same), False).to_numpy(zero_copy_only=False)
        if left_open:
            uids = batch["sop_instance_uid"].to_pylist()
            decides &= np.array([uid is None or uid_key(uid) not in left_open for uid in uids])
        return decides


def _held_row(audit: str, table: SealedTable, source: int) -> tuple[Row, Claimant]:
    rows = _instances(audit, table)
    at = int(np.flatnonzero(digest_numbers(rows["source_id"].combine_chunks()) == np.uint64(source))[0])
    (row,) = rows.slice(at, 1).to_pylist()
    claimant = Claimant(row["source_digest"], row["output_path"], row["output_sha256"])
    return {name: row[name] for name in _OF_THE_SOURCE}, claimant


@lru_cache(maxsize=2)  # held sources that are claimed again mostly stand in one file
def _instances(audit: str, table: SealedTable) -> pa.Table:
    columns = [*_OF_THE_SOURCE, "output_path", "output_sha256"]
    return pa.Table.from_batches(list(rows_of(audit, table, columns)))
