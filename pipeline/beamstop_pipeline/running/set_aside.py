"""Sources that a run quarantined or failed, split into new ones and already reported ones."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from beamstop.audit import Outcome
from beamstop.identity import Identity
from beamstop_pipeline.graph import target_of_job
from beamstop_pipeline.job import Job
from beamstop_transforms.ledger.sealed import INSTANCES, SealedTable, rows_of, sealed_tables

OUTCOMES = (str(Outcome.QUARANTINED), str(Outcome.FAILED))


@dataclass(frozen=True)
class SetAside:
    """How many sources were quarantined or failed, by outcome and reason.

    Attributes:
        new: of this run, reported for the first time.
        known: of this run, with the same result as in the source's newest earlier row.
        unheard: of runs that broke, whose sources this run skipped: not reported yet.
    """

    new: Counter[tuple[str, str]] = field(default_factory=Counter)
    known: Counter[tuple[str, str]] = field(default_factory=Counter)
    unheard: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def wants_a_look(self) -> bool:
        """Whether somebody has to look at it."""
        return bool(self.new or self.unheard)

    @property
    def reasons(self) -> list[str]:
        """All reasons, sorted."""
        return sorted({reason for counts in (self.new, self.known, self.unheard) for _, reason in counts})


def set_aside(job: Job, record: Mapping[str, Any]) -> SetAside:
    """Return the sources that a finished run set aside.

    All of them are new, except with `--incremental`, which would otherwise report the same source every
    night.

    Args:
        job: the run.
        record: its record.
    """
    counted = Counter[tuple[str, str]]()
    for name, number in record["counts"]["reasons"].items():
        outcome, _, reason = name.partition("/")
        if outcome in OUTCOMES:
            counted[outcome, reason] = number
    if not job.incremental or not (counted or job.recovered):
        return SetAside(counted)
    return _compared(job.audit, target_of_job(job).identity(), job.run_id, job.recovered)


class _Said(NamedTuple):
    """A row of a source that was set aside; two are equal if the same bytes gave the same result."""

    outcome: str
    reason: str
    source_digest: str | None
    source_size: int | None
    source_version: str | None

    def is_again(self, earlier: "_Said") -> bool:
        """Return whether an earlier row has the same result; for unread bytes, by size and version."""
        if self.source_digest is None and not self.source_version:
            return False
        return self[: 3 if self.source_digest else 5] == earlier[: 3 if self.source_digest else 5]


def _compared(audit: str, identity: Identity, run_id: str, recovered: Iterable[str]) -> SetAside:
    now = {run_id, *recovered}
    tables = sealed_tables(audit, identity, [INSTANCES])  # the oldest run first
    found = _of_these_runs(audit, [it for it in tables if it.run_id in now])
    earlier = _newest(audit, [it for it in reversed(tables) if it.run_id not in now], set(found))
    result = SetAside()
    for source_id, (of_run, said) in found.items():
        if of_run != run_id:
            counts = result.unheard
        elif source_id in earlier and said.is_again(earlier[source_id]):
            counts = result.known
        else:
            counts = result.new
        counts[said.outcome, said.reason] += 1
    return result


def _of_these_runs(audit: str, tables: list[SealedTable]) -> dict[str, tuple[str, _Said]]:
    """Return source_id → run and result, for sources whose newest row in these runs sets them aside."""
    found: dict[str, tuple[str, _Said]] = {}
    for table in tables:
        for batch in rows_of(audit, table, ["source_id", *_Said._fields]):
            for source_id, said in _rows(batch, pc.is_in(batch["source_id"], pa.array(found, pa.string()))):
                if said.outcome not in OUTCOMES:
                    del found[source_id]
            for source_id, said in _rows(batch, pc.is_in(batch["outcome"], pa.array(OUTCOMES))):
                found[source_id] = table.run_id, said
    return found


def _newest(audit: str, tables: list[SealedTable], wanted: set[str]) -> dict[str, _Said]:
    """Return the result in the first of these tables that has the source; read no more than needed."""
    found: dict[str, _Said] = {}
    for table in tables:
        if not wanted:
            break
        for batch in rows_of(audit, table, ["source_id", *_Said._fields]):
            is_wanted = pc.is_in(batch["source_id"], pa.array(sorted(wanted), pa.string()))
            found |= dict(_rows(batch, is_wanted))
        wanted -= found.keys()
    return found


def _rows(batch: Any, mask: Any) -> Iterator[tuple[str, _Said]]:
    for row in batch.filter(mask).select(["source_id", *_Said._fields]).to_pylist():
        source_id = row.pop("source_id")
        yield source_id, _Said(**{**row, "reason": row["reason"] or ""})
