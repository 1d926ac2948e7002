"""SkipDecided: skip the sources that an earlier run has decided."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam import pvalue
from apache_beam.pvalue import PCollection
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from beamstop.identity import Identity
from beamstop.keys import resolve_key
from beamstop_transforms.instance import Source, source_id_of, version_digest
from beamstop_transforms.ledger.decisions import Decisions
from beamstop_transforms.ledger.skipped import CollectSkipped, Skipped, packed_positions
from beamstop_transforms.redistribute import pack
from beamstop_transforms.step import Transform

_SKIPPED = "skipped"
_MOST, _MOST_HELD = 100_000, 256  # sources in one element


class Held(NamedTuple):
    """Sources that are skipped for now: their positions, see `packed_positions`, and packs of them."""

    positions: bytes
    packed: bytes


class Skipping(NamedTuple):
    """What SkipDecided returns.

    Attributes:
        fresh: the sources to process.
        skipped: one element, `Skipped`: the other sources; with `hold`, elements of `Held`.
    """

    fresh: Any
    skipped: Any


@dataclass(eq=False)
class SkipDecided(Transform):
    """Skip sources whose newest row in the audit has the same size, version, recipe and version of beamstop.

    Attributes:
        decisions: of earlier runs, loaded once per worker process; None to skip nothing.
        key: reference of the run's key, for the keyed digests of the paths.
        hold: keep the skipped sources, because some may have to be processed, see `RejoinSeries`.
    """

    decisions: Decisions | None
    key: str = field(repr=False)
    hold: bool = False

    def expand(self, sources: PCollection[Source]) -> Skipping:
        """Return the sources to process, and which ones were skipped."""
        if self.decisions is None:
            return Skipping(sources, nothing_skipped(sources.pipeline))
        skip = beam.ParDo(_SkipFn(self.decisions, self.key, self.hold))
        outputs = sources | skip.with_outputs(_SKIPPED, main="fresh")
        skipped = outputs[_SKIPPED]
        return Skipping(
            outputs["fresh"], skipped if self.hold else skipped | beam.CombineGlobally(CollectSkipped())
        )


def nothing_skipped(pipeline: Any) -> Any:
    """Return the `skipped` collection of a run that skips nothing."""
    return pipeline | "NothingSkipped" >> beam.Create([Skipped()], reshuffle=False)


class _SkipFn(beam.DoFn):
    def __init__(self, decisions: Decisions, key: str, hold: bool) -> None:
        super().__init__()
        self._pickled = decisions
        self._key = key
        self._hold = hold

    def setup(self) -> None:
        self._decisions = self._pickled.shared()
        self._identity = Identity(resolve_key(self._key))

    def start_bundle(self) -> None:
        self._skipped: list[int] = []
        self._held: list[Source] = []

    def process(self, source: Source) -> Iterator[Any]:
        source_id = source_id_of(source, self._identity)
        source_version = version_digest(source_id, source.version, self._identity)
        position = self._decisions.position(source_id, source.size, source_version)
        if position is not None:
            self._skipped.append(position)
            if self._hold:
                self._held.append(source)
            if len(self._skipped) == (_MOST_HELD if self._hold else _MOST):
                yield pvalue.TaggedOutput(_SKIPPED, self._packed())
        else:
            yield source

    def finish_bundle(self) -> Iterator[Any]:
        window = GlobalWindow()
        if self._skipped:
            packed = WindowedValue(self._packed(), window.max_timestamp(), (window,))
            yield pvalue.TaggedOutput(_SKIPPED, packed)

    def _packed(self) -> bytes | Held:
        positions, self._skipped = packed_positions(self._skipped), []
        if not self._hold:
            return positions
        held, self._held = Held(positions, pack(self._held)), []
        return held
