"""ResolveDuplicates: decide, when all sources have been read, which ones lost to a duplicate."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam import pvalue
from apache_beam.pvalue import AsSingleton, PCollection

from beamstop_transforms.contested import FindContested, Pack
from beamstop_transforms.instance import Seen
from beamstop_transforms.ledger.decisions import Decisions
from beamstop_transforms.ledger.skipped import Skipped
from beamstop_transforms.ledger.target import Target
from beamstop_transforms.placing import Placing
from beamstop_transforms.skip_decided import nothing_skipped
from beamstop_transforms.step import Transform
from beamstop_transforms.write import STEP

_OVERTURNED = "overturned"


class Resolved(NamedTuple):
    """What ResolveDuplicates returns.

    Attributes:
        losers: source_id and `Lost` of every source that is not written after all.
        overturned: audit rows of the skipped sources among them, whose earlier rows are no longer true.
    """

    losers: Any
    overturned: Any


@dataclass(eq=False)
class ResolveDuplicates(Transform):
    """Resolve every SOP Instance UID that several sources claim, including skipped ones.

    Attributes:
        target: where the clean files are.
        decisions: which UIDs earlier runs wrote; None if nothing is skipped.
        skipped: the sources that `SkipDecided` skipped; None if nothing is skipped.
    """

    target: Target
    decisions: Decisions | None = None
    skipped: Any = None

    def expand(self, claims: PCollection[Pack]) -> Resolved:
        """Take the claims of WriteDicom; return which sources lost."""
        skipped = self.skipped
        if skipped is None:
            skipped = nothing_skipped(claims.pipeline)
        resolve = beam.ParDo(_ResolveFn(self.target, self.decisions), AsSingleton(skipped))
        seen = claims | "FindContested" >> FindContested(everything=self.decisions is not None)
        if self.decisions is not None:
            seen = seen | "Contestable" >> beam.ParDo(_ContestableFn(self.decisions))
        grouped = seen | "ByUid" >> beam.GroupByKey()
        outputs = grouped | "Resolve" >> resolve.with_outputs(_OVERTURNED, main="losers")
        return Resolved(outputs["losers"], outputs[_OVERTURNED])


class _ContestableFn(beam.DoFn):
    """Drops the many claims that need no resolving: uncontested, and of no earlier run's UID."""

    def __init__(self, decisions: Decisions) -> None:
        super().__init__()
        self._pickled = decisions

    def setup(self) -> None:
        self._decisions = self._pickled.shared()

    def process(self, claim: tuple[str, Seen]) -> Iterator[Any]:
        if claim[1].contested or self._decisions.know(claim[0]):
            yield claim


class _ResolveFn(beam.DoFn):
    def __init__(self, target: Target, decisions: Decisions | None) -> None:
        super().__init__()
        self._target = target
        self._pickled = decisions

    def setup(self) -> None:
        self._placing = Placing(self._target)
        self._decisions = self._pickled and self._pickled.shared()
        self._skipped = Skipped(), Skipped().bits()

    def process(self, claims: tuple[str, Iterable[Seen]], skipped: Skipped) -> Iterator[Any]:
        uid, seen = claims[0], set(claims[1])
        contested = any(it.contested for it in seen)
        if self._skipped[0] is not skipped:
            self._skipped = skipped, skipped.bits()
        held = list(self._decisions.holders(uid, self._skipped[1])) if self._decisions else []
        if not (held or contested):
            return
        earlier = {it.row["source_id"]: it for it in held}
        holders = {source_id: it.claimant for source_id, it in earlier.items()}
        recovered = {source_id for source_id, it in earlier.items() if it.is_recovered}
        losers = self._placing.resolve(uid, holders, recovered, seen)
        yield from losers.items()
        for source_id in losers.keys() & earlier.keys():
            row = {**earlier[source_id].row, "bytes_in": 0, "overturned": True}
            yield pvalue.TaggedOutput(_OVERTURNED, losers[source_id].row(row, STEP))
