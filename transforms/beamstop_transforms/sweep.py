"""Sweep: find objects that dead runs wrote to a bucket without a claim and without an audit row."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import AsList, AsSingleton, PCollection

from beamstop_transforms.ledger.provenance import Provenance
from beamstop_transforms.ledger.skipped import Skipped
from beamstop_transforms.ledger.target import Target, began, claims_of, is_run_id, open_claims
from beamstop_transforms.ledger.verdicts import Verdicts
from beamstop_transforms.paths import is_clean_path, uid_in
from beamstop_transforms.step import Transform
from beamstop_transforms.stores import PARTIAL, open_store
from beamstop_transforms.stores.ahead import ahead

_AT_ONCE = 8  # patients that are searched at the same time
_CLOCKS = timedelta(days=1)  # the clocks of a store and of a run's machine may differ by so much


@dataclass(eq=False)
class Sweep(Transform):
    """Search OUTPUT for objects of earlier runs that died.

    An object without an audit row is removed if its source is decided by now; otherwise a claim is made in
    the name of the run that wrote it. Unless a run has died, nothing is listed.

    Attributes:
        target: OUTPUT, AUDIT, run.
        skipped: the sources that `SkipDecided` skipped.
    """

    target: Target
    skipped: Any = field(repr=False)

    def expand(self, tidied: PCollection[Any]) -> PCollection[None]:
        """Take an element that says that the run has its record and tidied up; return nothing."""
        once = tidied.pipeline | "Once" >> beam.Create([None])
        dead = once | "Begin" >> beam.FlatMap(_begin, self.target, AsList(tidied))
        patients = once | "Patients" >> beam.FlatMap(_patients, self.target, AsList(dead))
        look = beam.ParDo(_LookFn(self.target), AsList(dead), AsSingleton(self.skipped))
        looked = patients | "RedistributePatients" >> beam.Reshuffle() | "Look" >> look
        return once | "End" >> beam.FlatMap(_end, self.target, AsList(dead), AsList(looked))


def _begin(_: None, target: Target, _tidied: list[Any]) -> Iterator[str]:
    claims = open_claims(target)
    for run_id in filter(is_run_id, claims.dead_marks()):  # names may be forged
        claims.begin_sweep(run_id)
        yield run_id


def _patients(_: None, target: Target, dead: list[str]) -> Iterator[str]:
    yield from (it for it in open_store(target.output).folders("") if dead and it != PARTIAL)


def _end(_: None, target: Target, dead: list[str], _looked: list[None]) -> Iterator[None]:
    claims = open_claims(target)
    for run_id in dead:
        claims.end_sweep(run_id)
    yield from ()


class _LookFn(beam.DoFn):
    def __init__(self, target: Target) -> None:
        super().__init__()
        self._target = target

    def setup(self) -> None:
        self._store = open_store(self._target.output)
        self._provenance = Provenance(self._target.identity())
        self._verdicts: Verdicts | None = None
        self._pool = ThreadPoolExecutor(_AT_ONCE)
        self._looking: list[Future[None]] = []

    def teardown(self) -> None:
        self._pool.shutdown()

    def finish_bundle(self) -> None:
        looking, self._looking = self._looking, []
        for patient in looking:
            patient.result()

    def process(self, patient: str, dead: list[str], skipped: Skipped) -> Iterator[None]:
        verdicts = self._verdicts = self._verdicts or Verdicts(self._target, skipped)
        self._looking.append(self._pool.submit(self._look_through, patient, frozenset(dead), verdicts))
        yield from ()

    def _look_through(self, patient: str, dead: frozenset[str], verdicts: Verdicts) -> None:
        names = filter(is_clean_path, self._store.names(patient, since=began(min(dead)) - _CLOCKS))
        for _ in ahead(lambda path: self._look_at(path, dead, verdicts), names):
            continue

    def _look_at(self, path: str, dead: frozenset[str], verdicts: Verdicts) -> None:
        found = self._store.find(path)
        maker = found and self._provenance.maker(path, found)
        if found is None or maker is None or maker.run_id not in dead or verdicts.tell_of(path, found.sha256):
            return
        if verdicts.decide(maker.source_id):
            self._store.remove(path)
        else:
            claimant = maker.claimant(path, found.sha256)
            claims_of(self._target, maker.run_id).join(
                uid_in(path), maker.source_id, claimant, lambda _: None
            )
