"""Settle: say which sources lost to a duplicate, when all have been seen."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam import pvalue

from beamstop.audit import Outcome, refused
from beamstop_transforms.decisions import held_row, uid_key
from beamstop_transforms.write import STEP, Placing, Target

_CLAIMS, _HELD, _OVERTURNED = "claims", "held", "overturned"


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
        held: what skipped sources hold, as `Skip` gives it.
    """

    def __init__(self, target: Target, held: Any) -> None:
        super().__init__()
        self._target = target
        self._held = held

    def expand(self, claims: Any) -> Any:
        """Return `Settled`."""
        named = claims | "ByUid" >> beam.Map(_by_uid)
        grouped = {_CLAIMS: named, _HELD: self._held} | beam.CoGroupByKey()
        settle = beam.ParDo(_SettleFn(self._target))
        outputs = grouped | "Settle" >> settle.with_outputs(_OVERTURNED, main="losers")
        return Settled(outputs["losers"], outputs[_OVERTURNED])


def _by_uid(claim: tuple[str, bool]) -> tuple[bytes, tuple[str, bool]]:
    return uid_key(claim[0]), claim


class _SettleFn(beam.DoFn):
    def __init__(self, target: Target) -> None:
        super().__init__()
        self._target = target

    def setup(self) -> None:
        self._placing = Placing(self._target)

    def process(self, group: tuple[bytes, Mapping[str, Iterable[Any]]]) -> Iterator[Any]:
        claims, held = (list(group[1][name]) for name in (_CLAIMS, _HELD))
        if not claims or not (held or any(contested for _, contested in claims)):
            return
        earlier = {it.source_id: held_row(it) for it in held}
        holders = {source_id: claimant for source_id, (_, claimant) in earlier.items()}
        losers = self._placing.settle(claims[0][0], holders)
        yield from losers.items()
        for source_id in losers.keys() & earlier.keys():
            row = {**earlier[source_id][0], "bytes_in": 0, "overturned": True}
            lost = refused(row, Outcome.REJECTED, STEP, losers[source_id])
            yield pvalue.TaggedOutput(_OVERTURNED, lost)
