"""RejoinSeries: with --incremental, process a series as a whole if one of its instances is new or changed."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam import pvalue
from apache_beam.metrics.metric import Metrics
from apache_beam.pvalue import AsList, PCollection
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from beamstop.audit import Outcome
from beamstop.dicom.limits import DEFAULT_LIMITS, Limits
from beamstop.identity import Identity
from beamstop.keys import resolve_key
from beamstop.recipe.model import Recipe
from beamstop_transforms.group_series import ALONE, STUDY, KeyedPacks, Place, names_studies, place_of
from beamstop_transforms.instance import Source, source_id_of
from beamstop_transforms.ledger.numbers import digest_number, digest_numbers
from beamstop_transforms.ledger.sealed import INSTANCES, rows_of, sealed_tables
from beamstop_transforms.ledger.skipped import CollectSkipped, packed_positions, positions_in
from beamstop_transforms.ledger.target import Target
from beamstop_transforms.metrics import LISTED
from beamstop_transforms.redistribute import unpack
from beamstop_transforms.skip_decided import Held
from beamstop_transforms.step import Transform

_SKIPPED = "skipped"


class Rejoined(NamedTuple):
    """What RejoinSeries returns.

    Attributes:
        keyed: all sources to process, as keys with packs like those of ReadHeaders.
        skipped: one element, `Skipped`: the sources that stay decided.
    """

    keyed: Any
    skipped: Any


@dataclass(eq=False)
class RejoinSeries(Transform):
    """Process decided sources again if their series, or frame of reference, has sources to process.

    If all sources to process are single, it reads no headers. Otherwise it reads the headers of decided
    sources whose clean files are in the same studies, by the audit, or that left no clean file. If clean
    study UIDs depend on more than the original UID, it reads the headers of all decided sources.

    Attributes:
        held: the sources that earlier runs decided, `Held`.
        target: with the audit and the key.
        recipe: of the run.
        limits: see `GroupSeries`.
    """

    held: Any = field(repr=False)
    target: Target
    recipe: Recipe
    limits: Limits = DEFAULT_LIMITS

    def expand(self, keyed: PCollection[tuple[bytes, bytes]]) -> Rejoined:
        """Take keys with packs of the sources to process; return `Rejoined`."""
        keys = keyed | "Together" >> beam.FlatMap(_key_of_several).with_output_types(bytes)
        touched = keys | "Each" >> beam.Distinct()
        once = keyed.pipeline | "Once" >> beam.Create([None])
        candidates = once | "Candidates" >> beam.ParDo(
            _CandidatesFn(self.target), AsList(touched)
        ).with_output_types(bytes)
        narrows = names_studies(self.recipe)
        rejoin = beam.ParDo(
            _RejoinFn(self.target.key, self.limits, narrows), AsList(touched), AsList(candidates)
        )
        outputs = (
            self.held
            | "Reshuffle" >> beam.Reshuffle()
            | "Rejoin" >> rejoin.with_outputs(_SKIPPED, main="keyed")
        )
        skipped = outputs[_SKIPPED] | "Skipped" >> beam.CombineGlobally(CollectSkipped())
        return Rejoined((keyed, outputs["keyed"]) | "All" >> beam.Flatten(), skipped)


def _key_of_several(keyed: tuple[bytes, bytes]) -> list[bytes]:
    return [] if keyed[0][:1] == ALONE else [keyed[0]]


class _CandidatesFn(beam.DoFn):
    """Yields the numbers of decided sources that may belong to these studies, by the audit's rows."""

    def __init__(self, target: Target) -> None:
        super().__init__()
        self._target = target

    def process(self, _: None, touched: list[bytes]) -> Iterator[bytes]:
        studies = pa.array([key[1:].decode() for key in touched if key[:1] == STUDY], pa.string())
        if not len(studies):
            return
        columns = ["source_id", "study_uid", "outcome", "step"]
        audit = self._target.audit
        for table in sealed_tables(audit, self._target.identity(), [INSTANCES]):
            for batch in rows_of(audit, table, columns):
                left_none = pc.and_(
                    pc.not_equal(batch["outcome"], str(Outcome.WRITTEN)),
                    # A source that ReadDicom refused has no study that could be read.
                    pc.not_equal(batch["step"], "ReadDicom"),
                )
                of_study = pc.fill_null(pc.is_in(batch["study_uid"], value_set=studies), False)
                found = batch["source_id"].filter(pc.or_(of_study, left_none))
                if len(found):
                    yield digest_numbers(found).tobytes()


class _RejoinFn(beam.DoFn):
    def __init__(self, key: str, limits: Limits, narrows: bool) -> None:
        super().__init__()
        self._key = key
        self._limits = limits
        self._narrows = narrows

    def setup(self) -> None:
        self._identity = Identity(resolve_key(self._key))
        self._listed = Metrics.counter("Redistribute", LISTED)

    def start_bundle(self) -> None:
        self._touched: frozenset[bytes] | None = None
        self._waiting = KeyedPacks()

    def process(self, held: Held, touched: list[bytes], candidates: list[bytes]) -> Iterator[Any]:
        if self._touched is None:
            self._touched = frozenset(touched)
            self._candidates = np.unique(np.frombuffer(b"".join(candidates), np.uint64))
        skipped = []
        for position, source in zip(positions_in(held.positions), unpack(held.packed), strict=True):
            is_asked = self._touched and (not self._narrows or self._may_be_of_study(source))
            place = place_of(source, self._identity, self._limits) if is_asked else Place()
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

    def _may_be_of_study(self, source: Source) -> bool:
        number = np.uint64(digest_number(source_id_of(source, self._identity)))
        at = int(np.searchsorted(self._candidates, number))
        return at < len(self._candidates) and bool(self._candidates[at] == number)
