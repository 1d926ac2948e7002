"""Finished: one source's audit row, with its rows in other tables."""

import pickle
from dataclasses import dataclass

import pyarrow as pa
from apache_beam.coders import Coder
from apache_beam.coders.typecoders import registry

from beamstop.audit import Row
from beamstop_transforms.instance import LARGEST_SIZE


@dataclass(eq=False)
class Finished:
    """Everything known about one source, before duplicates are resolved.

    Attributes:
        row: of the audit's `instances`, not complete yet; its `contested` is a SOP Instance UID that others
            also claim.
        is_last: whether this is the last of the files that were put in place together.
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
    """Encodes a `Finished` for Beam, and estimates its size."""

    def encode(self, value: Finished) -> bytes:
        """Return it as bytes."""
        return pickle.dumps(value)

    def decode(self, encoded: bytes) -> Finished:
        """Return it from bytes."""
        finished: Finished = pickle.loads(encoded)  # noqa: S301  a worker of this run made it
        return finished

    def estimate_size(self, value: Finished) -> int:
        """Return the approximate size; without this Beam, which samples sizes, would encode it."""
        return 1_000 if value.changes is None else min(value.changes.get_total_buffer_size(), LARGEST_SIZE)

    def is_deterministic(self) -> bool:
        """Return False: equal objects may have different bytes."""
        return False


registry.register_coder(Finished, FinishedCoder)
