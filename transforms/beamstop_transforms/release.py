"""Release: let go of the claims of a run, and of what runs that died wrote and no source stands for."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import AsSingleton, PCollection

from beamstop_transforms.ledger.claims import Claim
from beamstop_transforms.ledger.index import Index, open_index, with_tables
from beamstop_transforms.ledger.numbers import digest_number
from beamstop_transforms.ledger.sealed import INSTANCES, sealed_tables
from beamstop_transforms.ledger.skipped import Bits, Skipped
from beamstop_transforms.ledger.target import Target, open_claims
from beamstop_transforms.ledger.writers import Ledger
from beamstop_transforms.step import Transform
from beamstop_transforms.stores import is_remote, open_store

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
        return parts | "RedistributeParts" >> beam.Reshuffle() | "Release" >> release


class _ReleaseFn(beam.DoFn):
    def __init__(self, target: Target) -> None:
        super().__init__()
        self._target = target

    def setup(self) -> None:
        self._claims = open_claims(self._target)
        self._verdicts: _Verdicts | None = None
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
        verdicts = self._verdicts = self._verdicts or _Verdicts(self._target, skipped)
        for dead in self._claims.of_the_dead(part):
            decided = all(map(verdicts.decide, dead.claim.claimants))
            if decided and not self._target.first_wins:  # an imaging server keeps what it has
                self._remove_orphans(dead.claim, dead.mine, verdicts)
            if decided or dead.mine.claimants:
                self._claims.forget(dead.name)
        if self._pool is not None:
            self._releasing.append(self._pool.submit(self._claims.release, part))
        else:
            self._claims.release(part)
        yield from ()

    def _remove_orphans(self, claim: Claim, mine: Claim, verdicts: "_Verdicts") -> None:
        store = open_store(self._target.output)
        standing = {claimant.path for claimant in mine.claimants.values()}
        for path, sha256 in claim.files():
            if path in standing or verdicts.tell_of(path, sha256):
                continue
            found = store.find(path)
            if found is None or found.sha256 == sha256:  # it may have died when there were but the folders
                store.remove(path)


class _Verdicts:
    """What a run that has its record, and those that ended before it, say of sources and files.

    Args:
        target: OUTPUT, AUDIT, run.
        skipped: the sources that it left out, as an earlier row holds.
    """

    def __init__(self, target: Target, skipped: Skipped) -> None:
        self._target = target
        self._skipped = skipped

    def decide(self, source_id: str) -> bool:
        """Return whether the run has a row for a source, or left it out."""
        number = digest_number(source_id)
        if self._own.newest(number) is not None:
            return True
        found = self._earlier.newest(number) if self._skipped.sources else None
        return found is not None and self._bits.has(found[0])

    def tell_of(self, path: str, sha256: str) -> bool:
        """Return whether a row of any run that ended has this content at this path."""
        return self._ledger.wrote(path, sha256)

    @cached_property
    def _own(self) -> Index:
        """The index of this run's rows alone."""
        identity, audit = self._target.identity(), self._target.audit
        own = [it for it in sealed_tables(audit, identity, [INSTANCES]) if it.run_id == self._target.run_id]
        return with_tables(Index(()), audit, identity, own)

    @cached_property
    def _earlier(self) -> Index:
        """The index as it was when the run skipped by it."""
        return open_index(self._target)

    @cached_property
    def _bits(self) -> Bits:
        return self._skipped.bits()

    @cached_property
    def _ledger(self) -> Ledger:
        return Ledger(self._target.audit, self._target.identity())
