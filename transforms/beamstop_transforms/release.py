"""Release: let go of the claims of a run, and of what runs that died wrote and no source stands for."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import AsSingleton, PCollection

from beamstop_transforms.ledger.claims import Claim
from beamstop_transforms.ledger.provenance import Provenance
from beamstop_transforms.ledger.skipped import Skipped
from beamstop_transforms.ledger.target import Target, open_claims
from beamstop_transforms.ledger.verdicts import Verdicts
from beamstop_transforms.step import Transform
from beamstop_transforms.stores import is_remote, open_store
from beamstop_transforms.sweep import Sweep

_AT_ONCE = 8  # parts that are released side by side


@dataclass(eq=False)
class Release(Transform):
    """Remove the claims of a run that has its record, and finish what runs before it that died have left.

    A clean file of a dead run is removed if all sources that claimed it there are decided by now, as
    something else: no source of this run stands for it, and no row of a run that ended tells of it. What a
    run that began later may have written is not looked at: on gs:// it may be alive.

    Attributes:
        target: OUTPUT, AUDIT, run.
        skipped: what `SkipDecided` left out.
    """

    target: Target
    skipped: Any = field(repr=False)

    def expand(self, parts: PCollection[str]) -> PCollection[None]:
        """From the parts of the claims; return nothing."""
        # A claim for each instance is more than one worker could remove in time.
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
        # Of a store elsewhere each part takes its time on the way, and little else.
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
        # Once for all parts: a run that died may have left claims in each, and there may be millions of rows.
        verdicts = self._verdicts = self._verdicts or Verdicts(self._target, skipped)
        for dead in self._claims.of_the_dead(part):
            decided = all(map(verdicts.decide, dead.claim.claimants))
            if decided and not self._target.first_wins:  # an imaging server keeps what it has
                self._remove_orphans(dead.claim, dead.mine, verdicts)
            if decided or dead.mine.claimants:
                self._claims.forget(dead.name)
        if self._pool is not None:
            self._releasing.append(self._pool.submit(self._let_go, part))
        else:
            self._let_go(part)
        yield from ()

    def _let_go(self, part: str) -> None:
        """Remove claims of this run; before that, what a worker that was given up has written since."""
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
            if found is None or found.sha256 == sha256:  # it may have died when there were but the folders
                store.remove(path)
