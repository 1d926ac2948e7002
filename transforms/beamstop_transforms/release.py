"""Release: remove the claims of a run, and files of dead runs that belong to no source any more."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import AsSingleton, PCollection

from beamstop_transforms.ledger.claims import Claim, Dead
from beamstop_transforms.ledger.provenance import Provenance
from beamstop_transforms.ledger.skipped import Skipped
from beamstop_transforms.ledger.target import Target, open_claims
from beamstop_transforms.ledger.verdicts import Verdicts
from beamstop_transforms.step import Transform
from beamstop_transforms.stores import is_remote, open_store
from beamstop_transforms.stores.ahead import ahead
from beamstop_transforms.sweep import Sweep

_AT_ONCE = 8  # parts that are released at the same time


@dataclass(eq=False)
class Release(Transform):
    """Remove the claims of a run that has its record, and clean up after earlier runs that died.

    A clean file of a dead run is removed if all sources that claimed it have another result by now, that is,
    neither a source of this run nor a row of a finished run has it. Files that a later run may have written
    are left alone: on gs:// that run may be alive.

    Attributes:
        target: OUTPUT, AUDIT, run.
        skipped: the sources that `SkipDecided` skipped.
    """

    target: Target
    skipped: Any = field(repr=False)

    def expand(self, parts: PCollection[str]) -> PCollection[None]:
        """Take the parts of the claims; return nothing."""
        # With a claim for each instance, there are more claims than one worker could remove in time.
        release = beam.ParDo(_ReleaseFn(self.target), AsSingleton(self.skipped))
        if self.target.objects_first:
            _ = parts | "Sweep" >> Sweep(self.target, self.skipped)
        return parts | "RedistributeParts" >> beam.Reshuffle() | "Release" >> release


class _ReleaseFn(beam.DoFn):
    def __init__(self, target: Target) -> None:
        super().__init__()
        self._target = target

    def setup(self) -> None:
        self._claims = open_claims(self._target)
        self._verdicts: Verdicts | None = None
        # In a remote store, each part is mostly waiting.
        self._pool = ThreadPoolExecutor(_AT_ONCE) if is_remote(self._target.workspace) else None
        self._releasing: list[Future[None]] = []

    def teardown(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()

    def finish_bundle(self) -> None:
        releasing, self._releasing = self._releasing, []
        for part in releasing:
            part.result()

    def process(self, part: str, skipped: Skipped) -> Iterator[None]:
        # One index for all parts: each may have claims of a dead run, and there may be millions of rows.
        verdicts = self._verdicts = self._verdicts or Verdicts(self._target, skipped)
        for _ in ahead(lambda it: self._finish(it, verdicts), self._claims.of_the_dead(part)):
            continue
        if self._pool is not None:
            self._releasing.append(self._pool.submit(self._let_go, part))
        else:
            self._let_go(part)
        yield from ()

    def _finish(self, dead: Dead, verdicts: Verdicts) -> None:
        """Remove what no source stands for of a claim of a run that died; if that is settled, the claim."""
        decided = all(map(verdicts.decide, dead.claim.claimants))
        if decided and not self._target.first_wins:  # an imaging server removes nothing
            self._remove_orphans(dead.claim, dead.mine, verdicts)
        if decided or dead.mine.claimants:
            self._claims.forget(dead.name)

    def _let_go(self, part: str) -> None:
        """Remove claims of this run; before that, files that a worker wrote after it was given up."""
        if self._target.objects_first:
            self._clear_taken_back(part)
        self._claims.release(part)

    def _clear_taken_back(self, part: str) -> None:
        store, provenance = open_store(self._target.output), Provenance(self._target.identity())
        for note, claim in self._claims.taken_back(part):
            for path in claim.before:
                found = store.find(path)
                maker = found and provenance.maker(path, found)
                if maker is not None and maker.run_id == self._target.run_id:
                    store.remove(path)
            self._claims.forget(note)

    def _remove_orphans(self, claim: Claim, mine: Claim, verdicts: Verdicts) -> None:
        store = open_store(self._target.output)
        standing = {claimant.path for claimant in mine.claimants.values()}
        for path, sha256 in claim.files():
            if path in standing or verdicts.tell_of(path, sha256):
                continue
            found = store.find(path)
            if found is None or found.sha256 == sha256:  # None: it may have made only the folders
                store.remove(path)
