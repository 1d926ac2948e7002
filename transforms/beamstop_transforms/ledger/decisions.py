"""Decisions: which sources the audit of earlier runs has decided already, for `--incremental`."""

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

# Columns that describe the source itself, whatever its outcome.
_OF_THE_SOURCE = ("source_id", "source_digest", "source_size", "source_version", "sop_class_uid", "modality")
_FAILED, _QUARANTINED = OUTCOMES.index("failed"), OUTCOMES.index("quarantined")
_AGAIN = {REASONS.index(it) for it in ("occupied", "duplicate_conflict")}
_DUPLICATE = REASONS.index("duplicate")


class Holder(NamedTuple):
    """A skipped source whose clean file has a given UID.

    Attributes:
        row: the columns that describe the source.
        claimant: the source as a claimant of the UID.
        is_recovered: its run broke before it resolved duplicates, so that it counts as one of this run.
    """

    row: Row
    claimant: Claimant
    is_recovered: bool


class Decisions:
    """What finished runs decided with one recipe and one version of beamstop.

    A source is undecided if it failed, its place was occupied or disputed, or its clean file was pruned. So
    is a duplicate, once anything was pruned after it: the file that it lost to may be gone. The rows of a run
    without a sealed record decide nothing, because it did not finish. If it may have written a UID, no other
    run's row with that UID decides anything either; its own rows do, if `conclude` has given it a record.

    Nor does a row decide anything if the table of subjects now has another line for its subject than it had
    when the row was written.

    Args:
        target: OUTPUT, AUDIT, and the run that asks.
        recipe_digest, beamstop_version: what a row must agree with.
        subjects: the digest of the table of subjects; None if there is none.
        absent: what the recipe does with somebody who has no line in it: `reject` or `key`.
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
        """Return the object that all threads of this process share, so that the ledger is opened once."""
        return self._shared.acquire(lambda: self)

    def holds(self, source_id: str, size: int, source_version: str) -> bool:
        """Return whether a source is decided and has not changed since."""
        return self.position(source_id, size, source_version) is not None

    def position(self, source_id: str, size: int, source_version: str) -> int | None:
        """Return the index position of the row that decides a source; None if none does, or it changed.

        Raises:
            SealBrokenError: AUDIT/ledger is not what the key sealed.
        """
        found = self._index.newest(digest_number(source_id)) if source_version else None
        if found is None or found[1].state != state_of(size, digest_number(source_version)):
            return None
        return found[0] if self._decides(found[1]) else None

    def know(self, sop_instance_uid: str) -> bool:
        """Return whether an earlier run wrote a clean file with this UID, or may have.

        Raises:
            SealBrokenError: AUDIT/ledger is not what the key sealed.
        """
        return bool(self._index.with_uid(uid_number(sop_instance_uid)))

    def holders(self, sop_instance_uid: str, skipped: Bits) -> Iterator["Holder"]:
        """Yield each skipped source whose clean file has this UID, as the ledger describes it.

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
        """Return whether a row decides its source: the rule is in the docstring of the class."""
        verdict = self._verdicts[entry.table]
        again = entry.outcome in (_FAILED, PRUNED) or entry.reason in _AGAIN
        if again or not verdict.is_same or (verdict.is_before_pruning and entry.reason == _DUPLICATE):
            return False
        # A run's own claims do not undo its own rows: contested UIDs are not among them.
        if entry.uid and any(it != verdict.run_id for it in self._left_open.by(entry.uid)):
            return False
        return verdict.changed is None or not _is_about(entry, verdict.changed)

    @cached_property
    def _verdicts(self) -> list["_Verdict"]:
        """One verdict per table, which holds for all of its rows."""
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
        """What changed in the table of subjects, by the digest of the table that a run had."""
        before = {it.subjects for it in self._index.tables}
        found = {
            it: changes(self._target.audit, self._identity, it, self._subjects, self._absent) for it in before
        }
        return {it: which and which._replace(patients=_lower_halves(which)) for it, which in found.items()}


class _Verdict(NamedTuple):
    """The verdict that holds for all rows of a table.

    Attributes:
        is_same: recipe and version are those of this run.
        is_before_pruning: something was pruned later.
        changed: what changed in the table of subjects since.
        run_id: of the run that wrote the table.
    """

    is_same: bool
    is_before_pruning: bool
    changed: Changes | None
    run_id: str


def _is_about(entry: Entry, changed: Changes) -> bool:
    """Return whether a row may be about a subject whose line changed."""
    if changed.everything or entry.outcome == _QUARANTINED or REASONS[entry.reason] in changed.reasons:
        return True
    return entry.patient > 0 and _has(changed.patients, entry.patient)


def _lower_halves(changed: Changes) -> Any:
    return np.unique(changed.patients.astype(np.uint32)).astype(np.uint64)


def _has(numbers: Any, number: int) -> bool:
    at = int(np.searchsorted(numbers, np.uint64(number)))
    return at < len(numbers) and int(numbers[at]) == number


def _held_row(audit: str, table: SealedTable, number: int) -> tuple[Row, Claimant] | None:
    """Return a row and its claimant; None if its table is gone, or was changed since."""
    rows = _instances(audit, table)
    if rows is None:
        return None
    (row,) = rows.slice(number, 1).to_pylist()
    claimant = Claimant(row["source_digest"], row["output_path"], row["output_sha256"])
    return {name: row[name] for name in _OF_THE_SOURCE}, claimant


@lru_cache(maxsize=2)  # skipped sources whose UIDs are claimed again are mostly in the same file
def _instances(audit: str, table: SealedTable) -> pa.Table | None:
    columns = [*_OF_THE_SOURCE, "output_path", "output_sha256"]
    batches = list(rows_of(audit, table, columns))
    return pa.Table.from_batches(batches) if batches else None
