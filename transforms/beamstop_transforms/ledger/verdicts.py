"""Verdicts: which sources a finished run decided, and which files it or an earlier run wrote."""

from functools import cached_property
from threading import Lock

from beamstop_transforms.ledger.index import Index, open_index, with_tables
from beamstop_transforms.ledger.numbers import digest_number
from beamstop_transforms.ledger.sealed import INSTANCES, sealed_tables
from beamstop_transforms.ledger.skipped import Bits, Skipped
from beamstop_transforms.ledger.target import Target
from beamstop_transforms.ledger.writers import Ledger


class Verdicts:
    """What a run that has its record, and those that ended before it, say of sources and files.

    Args:
        target: OUTPUT, AUDIT, run.
        skipped: the sources that it left out, as an earlier row holds.
    """

    def __init__(self, target: Target, skipped: Skipped) -> None:
        self._target = target
        self._skipped = skipped
        self._reading = Lock()

    def decide(self, source_id: str) -> bool:
        """Return whether the run has a row for a source, or skipped it."""
        number = digest_number(source_id)
        with self._reading:  # several threads may ask
            if self._own.newest(number) is not None:
                return True
            found = self._earlier.newest(number) if self._skipped.sources else None
            return found is not None and self._bits.has(found[0])

    def tell_of(self, path: str, sha256: str) -> bool:
        """Return whether any finished run has a row with this content at this path."""
        with self._reading:
            ledger = self._ledger
        return ledger.wrote(path, sha256)

    @cached_property
    def _own(self) -> Index:
        """The index of this run's rows alone."""
        identity, audit = self._target.identity(), self._target.audit
        own = [it for it in sealed_tables(audit, identity, [INSTANCES]) if it.run_id == self._target.run_id]
        return with_tables(Index(()), audit, identity, own)

    @cached_property
    def _earlier(self) -> Index:
        """The index by which the run skipped sources."""
        return open_index(self._target)

    @cached_property
    def _bits(self) -> Bits:
        return self._skipped.bits()

    @cached_property
    def _ledger(self) -> Ledger:
        return Ledger(self._target.audit, self._target.identity())
