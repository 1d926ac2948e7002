"""Finished: the row of one source with all that belongs to it in other tables."""

import pickle
from dataclasses import dataclass

import pyarrow as pa
from apache_beam.coders import Coder
from apache_beam.coders.typecoders import registry

from beamstop.audit import Row


@dataclass(eq=False)
class Finished:
    """What is known of one source when all is done about it but duplicates.

    Attributes:
        row: of the audit's `instances`, not complete yet; `contested` in it is the SOP Instance UID that
            others claim, too.
        is_last: of those that were put in their places together.
        changes: rows of the audit's `changes`.
        crosswalk: row of the crosswalk.
        attributes: row of the table of attributes.
    """

    row: Row
    is_last: bool = True
    changes: pa.RecordBatch | None = None
    crosswalk: Row | None = None
    attributes: Row | None = None


class FinishedCoder(Coder):
    """How Beam would send it elsewhere, and what it asks to know how large it is."""

    def encode(self, value: Finished) -> bytes:
        """Return it as bytes."""
        return pickle.dumps(value)

    def decode(self, encoded: bytes) -> Finished:
        """Return it from bytes."""
        finished: Finished = pickle.loads(encoded)  # noqa: S301  a worker of this run made it
        return finished

    def estimate_size(self, value: Finished) -> int:
        """Return about its size: Beam asks of some, and would encode them to see."""
        return 1_000 if value.changes is None else value.changes.get_total_buffer_size()

    def is_deterministic(self) -> bool:
        """Say that equal ones need not have equal bytes."""
        return False


registry.register_coder(Finished, FinishedCoder)
