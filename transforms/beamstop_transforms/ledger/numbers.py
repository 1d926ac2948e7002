"""Numbers that stand for texts: 64 bits each, a whole column at once, the same in every process."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pandas.util import hash_array

_DIGITS = np.full(256, 0, np.uint8)
_DIGITS[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16, dtype=np.uint8)


def numbers_of(texts: Any) -> Any:
    """Return one uint64 for each text of an Arrow column; 0 for null."""
    values = texts.to_numpy(zero_copy_only=False)
    there = np.array([text is not None for text in values], bool)
    found = np.zeros(len(values), np.uint64)
    found[there] = hash_array(values[there], categorize=False)
    return found


def number_of(text: str) -> int:
    """Return the number that stands for one text."""
    return int(numbers_of(pa.array([text]))[0])


def digest_numbers(digests: Any) -> Any:
    """Return the first 64 bits of each of an Arrow column of digests in hex, as uint64."""
    first = pc.cast(pc.cast(pc.utf8_slice_codeunits(digests, 0, 16), pa.binary()), pa.binary(16))
    digits = _DIGITS[np.frombuffer(b"".join(first.to_pylist()), np.uint8).reshape(-1, 16)]
    octets = np.ascontiguousarray(digits[:, ::2] << 4 | digits[:, 1::2])
    return octets.view(">u8").ravel().astype(np.uint64)


def digest_number(digest: str) -> int:
    """Return the first 64 bits of one digest in hex."""
    return int(digest[:16], 16)


def numbers_in(skipped: bytes) -> Any:
    """Return the sorted `digest_number` of every source that was skipped."""
    return np.sort(np.frombuffer(skipped, np.uint64))
