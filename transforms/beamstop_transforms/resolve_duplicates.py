"""Settle: say which sources lost to a duplicate, when all have been seen."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
from apache_beam import pvalue
from apache_beam.pvalue import AsSingleton

from beamstop.audit import Outcome, refused
from beamstop_transforms.ledger.decisions import Decisions
from beamstop_transforms.skip_decided import numbers_in
from beamstop_transforms.write import STEP, Placing, Target

_OVERTURNED = "overturned"


class Settled(NamedTuple):
    """What Settle returns.

    Attributes:
        losers: source_id and reason of every source that is not written after all.
        overturned: audit rows of the skipped sources among them, whose earlier rows hold no longer.
    """

    losers: Any
    overturned: Any


class Settle(beam.PTransform):
    """Finish every SOP Instance UID that several sources claim, skipped ones that hold it included.

    Args:
        target: where the clean files are.
        decisions: which UIDs earlier runs wrote; None where nothing is skipped.
        skipped: what `Skip` left out.
    """

    def __init__(self, target: Target, decisions: Decisions | None, skipped: Any) -> None:
        super().__init__()
        self._target = target
        self._decisions = decisions
        self._skipped = skipped

    def expand(self, claims: Any) -> Any:
        """From SOP Instance UIDs, each with whether it must be settled, return `Settled`."""
        settle = beam.ParDo(_SettleFn(self._target, self._decisions), AsSingleton(self._skipped))
        if self._decisions is not None:
            claims = claims | "Contestable" >> beam.ParDo(_ContestableFn(self._decisions))
        grouped = claims | "ByUid" >> beam.GroupByKey()
        outputs = grouped | "Settle" >> settle.with_outputs(_OVERTURNED, main="losers")
        return Settled(outputs["losers"], outputs[_OVERTURNED])


class _ContestableFn(beam.DoFn):
    """Drop the millions of claims of a first run that need no settling: nothing was skipped."""

    def __init__(self, decisions: Decisions) -> None:
        super().__init__()
        self._pickled = decisions

    def setup(self) -> None:
        self._decisions = self._pickled.shared()

    def process(self, claim: tuple[str, bool]) -> Iterator[tuple[str, bool]]:
        if claim[1] or self._decisions.are_any():
            yield claim


class _SettleFn(beam.DoFn):
    def __init__(self, target: Target, decisions: Decisions | None) -> None:
        super().__init__()
        self._target = target
        self._pickled = decisions

    def setup(self) -> None:
        self._placing = Placing(self._target)
        self._decisions = self._pickled and self._pickled.shared()
        self._skipped: tuple[bytes, Any] = b"", np.empty(0, np.uint64)

    def process(self, claims: tuple[str, Iterable[bool]], skipped: bytes) -> Iterator[Any]:
        uid, contested = claims[0], any(claims[1])
        if self._skipped[0] is not skipped:
            self._skipped = skipped, numbers_in(skipped)
        held = list(self._decisions.holders(uid, self._skipped[1])) if self._decisions else []
        if not (held or contested):
            return
        earlier = {row["source_id"]: (row, claimant) for row, claimant in held}
        holders = {source_id: claimant for source_id, (_, claimant) in earlier.items()}
        losers = self._placing.settle(uid, holders)
        yield from losers.items()
        for source_id in losers.keys() & earlier.keys():
            row = {**earlier[source_id][0], "bytes_in": 0, "overturned": True}
            lost = refused(row, Outcome.REJECTED, STEP, losers[source_id])
            yield pvalue.TaggedOutput(_OVERTURNED, lost)
