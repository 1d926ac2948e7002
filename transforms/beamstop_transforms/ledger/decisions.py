"""Decisions: what the audit of earlier runs says was decided, for `--incremental`."""

from collections.abc import Iterator
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from apache_beam.utils.shared import Shared

from beamstop.audit import Row
from beamstop.identity import Identity
from beamstop_transforms.ledger.claims import Claimant
from beamstop_transforms.ledger.index import (
    OUTCOMES,
    PRUNED,
    REASONS,
    Entry,
    Index,
    open_index,
    state_of,
)
from beamstop_transforms.ledger.left_open import LeftOpen
from beamstop_transforms.ledger.numbers import digest_number, uid_number
from beamstop_transforms.ledger.sealed import SealedTable, rows_of
from beamstop_transforms.ledger.skipped import Bits
from beamstop_transforms.ledger.subjects import Changes, changes
from beamstop_transforms.ledger.target import Target

# What a row says of the source itself, whatever became of it.
_OF_THE_SOURCE = ("source_id", "source_digest", "source_size", "source_version", "sop_class_uid", "modality")
_FAILED, _QUARANTINED = OUTCOMES.index("failed"), OUTCOMES.index("quarantined")
_AGAIN = {REASONS.index(it) for it in ("occupied", "duplicate_conflict")}
_DUPLICATE = REASONS.index("duplicate")


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
        """Return the one object that all who ask in this process share: it holds what is read once."""
        return self._shared.acquire(lambda: self)

    def holds(self, source_id: str, size: int, source_version: str) -> bool:
        """Return whether a source is decided and has not changed since."""
        return self.position(source_id, size, source_version) is not None

    def position(self, source_id: str, size: int, source_version: str) -> int | None:
        """Return where the index has the row that decides a source; None if none does, or it has changed.

        Raises:
            SealBrokenError: AUDIT/ledger is not what the key sealed.
        """
        found = self._index.newest(digest_number(source_id)) if source_version else None
        if found is None or found[1].state != state_of(size, digest_number(source_version)):
            return None
        return found[0] if self._decides(found[1]) else None

    def know(self, sop_instance_uid: str) -> bool:
        """Return whether an earlier run wrote a UID, or may have.

        Raises:
            SealBrokenError: AUDIT/ledger is not what the key sealed.
        """
        return bool(self._index.with_uid(uid_number(sop_instance_uid)))

    def holders(self, sop_instance_uid: str, skipped: Bits) -> Iterator["Holder"]:
        """Yield what the ledger says of each skipped source with this UID.

        Args:
            sop_instance_uid: the UID.
            skipped: the positions of all sources that this run skips.

        Raises:
            SealBrokenError: AUDIT/ledger is not what the key sealed.
        """
        uid = uid_number(sop_instance_uid)
        for source in sorted(self._index.with_uid(uid)):
            position, entry = self._index.newest(source) or (-1, None)
            if entry is not None and entry.uid == uid and skipped.has(position):
                table = self._index.tables[entry.table]
                held = _held_row(self._target.audit, table.sealed, entry.row)
                if held is not None:
                    yield Holder(*held, table.run_id in self._target.recovered)

    @cached_property
    def _index(self) -> Index:
        return open_index(self._target)

    @cached_property
    def _identity(self) -> Identity:
        return self._target.identity()

    def _decides(self, entry: Entry) -> bool:
        """Return whether a row decides its source: see the class."""
        verdict = self._verdicts[entry.table]
        again = entry.outcome in (_FAILED, PRUNED) or entry.reason in _AGAIN
        if again or not verdict.is_same or (verdict.is_before_pruning and entry.reason == _DUPLICATE):
            return False
        # A run's claims are no news to its own rows: those that others contested are not among them.
        if entry.uid and any(it != verdict.run_id for it in self._left_open.by(entry.uid)):
            return False
        return verdict.changed is None or not _is_about(entry, verdict.changed)

    @cached_property
    def _verdicts(self) -> list["_Verdict"]:
        """What holds for all rows of each table."""
        tables = self._index.tables
        pruned = max([number for number, it in enumerate(tables) if it.sealed.is_pruned], default=0)
        made = self._recipe_digest, self._beamstop_version
        return [
            _Verdict(
                (it.recipe_digest, it.beamstop_version) == made,
                number < pruned,
                self._changes[it.subjects],
                it.run_id,
            )
            for number, it in enumerate(tables)
        ]

    @cached_property
    def _left_open(self) -> LeftOpen:
        return LeftOpen(self._target)

    @cached_property
    def _changes(self) -> dict[str | None, Changes | None]:
        """What the table of subjects changes, by the digest of the one that a run had."""
        before = {it.subjects for it in self._index.tables}
        found = {
            it: changes(self._target.audit, self._identity, it, self._subjects, self._absent) for it in before
        }
        return {it: which and which._replace(patients=_lower_halves(which)) for it, which in found.items()}


class _Verdict(NamedTuple):
    """What holds for all rows of a table.

    Attributes:
        is_same: recipe and version are those of the run that asks.
        is_before_pruning: something was pruned later.
        changed: what the table of subjects changes about them.
        run_id: of the run that wrote it.
    """

    is_same: bool
    is_before_pruning: bool
    changed: Changes | None
    run_id: str


def _is_about(entry: Entry, changed: Changes) -> bool:
    """Return whether a row may be about a subject whose line is another."""
    if changed.everything or entry.outcome == _QUARANTINED or REASONS[entry.reason] in changed.reasons:
        return True
    return entry.patient > 0 and _has(changed.patients, entry.patient)


def _lower_halves(changed: Changes) -> Any:
    return np.unique(changed.patients.astype(np.uint32)).astype(np.uint64)


def _has(numbers: Any, number: int) -> bool:
    at = int(np.searchsorted(numbers, np.uint64(number)))
    return at < len(numbers) and int(numbers[at]) == number


def _held_row(audit: str, table: SealedTable, number: int) -> tuple[Row, Claimant] | None:
    """Return what a row says; None if its table is gone, or was changed since."""
    rows = _instances(audit, table)
    if rows is None:
        return None
    (row,) = rows.slice(number, 1).to_pylist()
    claimant = Claimant(row["source_digest"], row["output_path"], row["output_sha256"])
    return {name: row[name] for name in _OF_THE_SOURCE}, claimant


@lru_cache(maxsize=2)  # held sources that are claimed again mostly stand in one file
def _instances(audit: str, table: SealedTable) -> pa.Table | None:
    columns = [*_OF_THE_SOURCE, "output_path", "output_sha256"]
    batches = list(rows_of(audit, table, columns))
    return pa.Table.from_batches(batches) if batches else None
