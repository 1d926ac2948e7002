"""Losers: the sources that are duplicates and not written, packed for every worker."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from beamstop_transforms.instance import Lost
from beamstop_transforms.ledger.numbers import digest_numbers

_DUPLICATE = "duplicate"
# source_id of a loser and of the equal source that is written: 64 bytes.
_PAIR = np.dtype([("number", ">u8"), ("rest", "V24"), ("winner", "V32")])


class Losers(NamedTuple):
    """The losers, and why they lost.

    Attributes:
        pairs: source_id of each loser and of the equal source that is written, sorted.
        others: source_id → `Lost`, for all other losers.
    """

    pairs: bytes = b""
    others: Mapping[str, Lost] = MappingProxyType({})

    def get(self, source_id: str) -> Lost | None:
        """Return why a source is not written; None if it did not lose."""
        if (lost := self.others.get(source_id)) is not None or not self.pairs:
            return lost
        pairs, wanted = np.frombuffer(self.pairs, _PAIR), bytes.fromhex(source_id)
        at = int(np.searchsorted(self._numbers, np.uint64(int.from_bytes(wanted[:8], "big"))))
        for pair in pairs[at:]:
            found = pair.tobytes()
            if found[:8] != wanted[:8]:
                return None
            if found[:32] == wanted:
                return Lost(_DUPLICATE, found[32:].hex())
        return None

    @property
    def _numbers(self) -> Any:
        return np.frombuffer(self.pairs, _PAIR)["number"]

    def among(self, source_ids: Any) -> list[str]:
        """Return a mask of bool: which source_ids of an Arrow column are losers."""
        if not self:
            return []
        numbers = self._numbers
        at = np.searchsorted(numbers, digest_numbers(source_ids))
        may_be = np.zeros(len(at), bool)
        is_there = at < len(numbers)
        may_be[is_there] = numbers[at[is_there]] == digest_numbers(source_ids)[is_there]
        every = source_ids.to_pylist()
        found = [it for it, it_may in zip(every, may_be, strict=True) if it_may or it in self.others]
        return [it for it in found if self.get(it) is not None]

    def __bool__(self) -> bool:
        return bool(self.pairs or self.others)


class CollectLosers(beam.CombineFn):
    """Combine pairs of source_id and `Lost` into one `Losers`."""

    def create_accumulator(self) -> tuple[list[bytes], dict[str, Lost]]:
        """Return an empty accumulator."""
        return [], {}

    def add_input(
        self, accumulator: tuple[list[bytes], dict[str, Lost]], element: tuple[str, Lost]
    ) -> tuple[list[bytes], dict[str, Lost]]:
        """Add one loser."""
        source_id, lost = element[0], Lost(*element[1])
        if lost.reason == _DUPLICATE and len(lost.detail) == len(source_id):
            accumulator[0].append(bytes.fromhex(source_id + lost.detail))
        else:
            accumulator[1][source_id] = lost
        return accumulator

    def merge_accumulators(
        self, accumulators: Iterable[tuple[list[bytes], dict[str, Lost]]]
    ) -> tuple[list[bytes], dict[str, Lost]]:
        """Merge accumulators."""
        pairs, others = list[bytes](), dict[str, Lost]()
        for more, theirs in accumulators:
            pairs += more
            others |= theirs
        return pairs, others

    def compact(
        self, accumulator: tuple[list[bytes], dict[str, Lost]]
    ) -> tuple[list[bytes], dict[str, Lost]]:
        """Pack the pairs before they are sent to another worker."""
        return [b"".join(accumulator[0])], accumulator[1]

    def extract_output(self, accumulator: tuple[list[bytes], dict[str, Lost]]) -> Losers:
        """Return the result."""
        pairs = np.frombuffer(b"".join(accumulator[0]), _PAIR)
        order = np.argsort(pairs["number"].astype(np.uint64), kind="stable")
        return Losers(pairs[order].tobytes(), accumulator[1])


def without_losers(rows: pa.Table, losers: Losers) -> pa.Table:
    """Return a table without the rows of sources that lost to a duplicate."""
    if not losers:
        return rows
    lost = pa.array(losers.among(pc.unique(rows["source_id"])), pa.string())
    return rows.filter(pc.invert(pc.is_in(rows["source_id"], value_set=lost)))
