"""Skipped: which sources a run skipped, with one bit for each row of the ledger."""

import zlib
from collections.abc import Iterable
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np


class Skipped(NamedTuple):
    """Which sources a run skipped.

    Attributes:
        sources: how many.
        packed: a bit for each position of the index that the run began with, compressed; may be empty.
    """

    sources: int = 0
    packed: bytes = b""

    def bits(self) -> "Bits":
        """Return the bits, decompressed."""
        return Bits(np.frombuffer(zlib.decompress(self.packed), np.uint8) if self.packed else _NONE)


_NONE = np.empty(0, np.uint8)


class Bits:
    """A set of positions of the index.

    Args:
        bits: bytes, eight positions in each, the lowest bit first.
    """

    def __init__(self, bits: Any) -> None:
        self._bits = bits

    def has(self, position: int) -> bool:
        """Return whether a position is in the set."""
        at = position >> 3
        return at < len(self._bits) and bool(self._bits[at] >> (position & 7) & 1)

    def mask(self, positions: Any) -> Any:
        """Return a mask of bool: which of these positions are in the set."""
        if not len(self._bits):
            return np.zeros(len(positions), bool)
        at = positions >> 3
        is_there = at < len(self._bits)
        found = self._bits[np.where(is_there, at, 0)] >> (positions & 7).astype(np.uint8) & 1
        return is_there & (found > 0)


def packed_positions(positions: Iterable[int]) -> bytes:
    """Return positions as bytes, as `CollectSkipped` takes them."""
    return np.array(list(positions), "<u8").tobytes()


def positions_in(packed: bytes) -> list[int]:
    """Return the positions that `packed_positions` packed, in order."""
    return [int(it) for it in np.frombuffer(packed, "<u8")]


class CollectSkipped(beam.CombineFn):
    """Combine outputs of `packed_positions` into one `Skipped`; workers exchange compressed bits."""

    def create_accumulator(self) -> tuple[int, Any]:
        """Return an empty set."""
        return 0, _NONE

    def add_input(self, accumulator: tuple[int, Any], element: bytes) -> tuple[int, Any]:
        """Add packed positions."""
        positions = np.frombuffer(element, "<u8").astype(np.int64)
        if not len(positions):
            return accumulator
        bits = _fitting(_opened(accumulator[1]), int(positions.max()) // 8 + 1)
        np.bitwise_or.at(bits, positions >> 3, np.left_shift(1, positions & 7).astype(np.uint8))
        return accumulator[0] + len(positions), bits

    def merge_accumulators(self, accumulators: Iterable[tuple[int, Any]]) -> tuple[int, Any]:
        """Merge several sets."""
        count, bits = 0, _NONE
        for more, others in accumulators:
            theirs = _opened(others)
            bits = _fitting(bits, len(theirs))
            bits[: len(theirs)] |= theirs
            count += more
        return count, bits

    def compact(self, accumulator: tuple[int, Any]) -> tuple[int, Any]:
        """Compress the bits before they are sent to another worker."""
        bits = accumulator[1]
        return accumulator[0], bits if isinstance(bits, bytes) else zlib.compress(bits.tobytes(), 1)

    def extract_output(self, accumulator: tuple[int, Any]) -> Skipped:
        """Return the bits, compressed, and their number."""
        count, packed = self.compact(accumulator)
        return Skipped(count, packed if count else b"")


def _opened(bits: Any) -> Any:
    return np.frombuffer(zlib.decompress(bits), np.uint8) if isinstance(bits, bytes) else bits


def _fitting(bits: Any, length: int) -> Any:
    """Return a writable copy of the bits, at least this many bytes long."""
    if len(bits) >= length and bits.flags.writeable:
        return bits
    grown = np.zeros(max(length, len(bits), 2 * len(bits) * (length > len(bits))), np.uint8)
    grown[: len(bits)] = bits
    return grown
