"""RejoinSeries: with --incremental, do a whole series again if one of its instances is new or changed."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam import pvalue
from apache_beam.metrics.metric import Metrics
from apache_beam.pvalue import AsList, PCollection
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from beamstop.dicom.limits import DEFAULT_LIMITS, Limits
from beamstop.identity import Identity
from beamstop.keys import resolve_key
from beamstop_transforms.group_series import ALONE, KeyedPacks, Place, place_of
from beamstop_transforms.ledger.skipped import CollectSkipped, packed_positions, positions_in
from beamstop_transforms.metrics import LISTED
from beamstop_transforms.redistribute import unpack
from beamstop_transforms.skip_decided import Held
from beamstop_transforms.step import Transform

_SKIPPED = "skipped"


class Rejoined(NamedTuple):
    """What RejoinSeries returns.

    Attributes:
        keyed: keys with packs, as ReadHeaders has them, of all sources to be worked on.
        skipped: one element, `Skipped`: which are the others.
    """

    keyed: Any
    skipped: Any


@dataclass(eq=False)
class RejoinSeries(Transform):
    """Bring decided sources back whose series, or frame of reference, has sources to be worked on.

    Nothing is read where all of these stand alone; else the headers of the decided sources are.

    Attributes:
        held: the sources that earlier runs have decided, `Held`.
        key, limits: as `GroupSeries` has them.
    """

    held: Any = field(repr=False)
    key: str = field(repr=False)
    limits: Limits = DEFAULT_LIMITS

    def expand(self, keyed: PCollection[tuple[bytes, bytes]]) -> Rejoined:
        """From keys with packs of the sources to be worked on, return `Rejoined`."""
        keys = keyed | "Together" >> beam.FlatMap(_key_of_several).with_output_types(bytes)
        touched = keys | "Each" >> beam.Distinct()
        rejoin = beam.ParDo(_RejoinFn(self.key, self.limits), AsList(touched))
        outputs = (
            self.held
            | "Reshuffle" >> beam.Reshuffle()
            | "Rejoin" >> rejoin.with_outputs(_SKIPPED, main="keyed")
        )
        skipped = outputs[_SKIPPED] | "Skipped" >> beam.CombineGlobally(CollectSkipped())
        return Rejoined((keyed, outputs["keyed"]) | "All" >> beam.Flatten(), skipped)


def _key_of_several(keyed: tuple[bytes, bytes]) -> list[bytes]:
    return [] if keyed[0][:1] == ALONE else [keyed[0]]


class _RejoinFn(beam.DoFn):
    def __init__(self, key: str, limits: Limits) -> None:
        super().__init__()
        self._key = key
        self._limits = limits

    def setup(self) -> None:
        self._identity = Identity(resolve_key(self._key))
        self._listed = Metrics.counter("Redistribute", LISTED)

    def start_bundle(self) -> None:
        self._touched: frozenset[bytes] | None = None
        self._waiting = KeyedPacks()

    def process(self, held: Held, touched: list[bytes]) -> Iterator[Any]:
        if self._touched is None:
            self._touched = frozenset(touched)
        skipped = []
        for position, source in zip(positions_in(held.positions), unpack(held.packed), strict=True):
            place = place_of(source, self._identity, self._limits) if self._touched else Place()
            mark = place.mark if place.mark in self._touched else None
            if place.key in self._touched:
                self._listed.inc()
                yield from self._waiting.add(place, source)
                continue
            skipped.append(position)
            if mark is not None:
                yield from self._waiting.add(Place(None, mark))
        if skipped:
            yield pvalue.TaggedOutput(_SKIPPED, packed_positions(skipped))

    def finish_bundle(self) -> Iterator[WindowedValue]:
        window = GlobalWindow()
        for found in self._waiting.finish():
            yield WindowedValue(found, window.max_timestamp(), (window,))
