"""Numbers that stand for texts: 64 bits each, a whole column at once, the same in every process."""

from hashlib import blake2b
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from beamstop.identity import Identity
from beamstop_transforms.instance import SOURCE_VERSION_LENGTH, version_digest
from beamstop_transforms.ledger.claims import uid_key

_DIGITS = np.full(256, 0, np.uint8)
_DIGITS[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16, dtype=np.uint8)


def numbers_of(texts: Any) -> Any:
    """Return one uint64 for each text of an Arrow column; 0 for null."""
    octets = (_NOTHING if text is None else _octets(text) for text in texts.to_pylist())
    return np.frombuffer(b"".join(octets), "<u8").astype(np.uint64)


def number_of(text: str) -> int:
    """Return the number that stands for one text."""
    return int.from_bytes(_octets(text), "little")


_NOTHING = bytes(8)


def _octets(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=8).digest()


def uid_numbers(uids: Any) -> Any:
    """Return one uint64 for each SOP Instance UID of an Arrow column; 0 for null."""
    octets = (_NOTHING if uid is None else uid_key(uid)[:8] for uid in uids.to_pylist())
    return np.frombuffer(b"".join(octets), ">u8").astype(np.uint64)


def uid_number(uid: str) -> int:
    """Return the number that stands for one SOP Instance UID."""
    return int.from_bytes(uid_key(uid)[:8], "big")


def digest_numbers(digests: Any) -> Any:
    """Return the first 64 bits of each of an Arrow column of digests in hex, as uint64."""
    first = pc.cast(pc.cast(pc.utf8_slice_codeunits(digests, 0, 16), pa.binary()), pa.binary(16))
    digits = _DIGITS[np.frombuffer(b"".join(first.to_pylist()), np.uint8).reshape(-1, 16)]
    octets = np.ascontiguousarray(digits[:, ::2] << 4 | digits[:, 1::2])
    return octets.view(">u8").ravel().astype(np.uint64)


def digest_number(digest: str) -> int:
    """Return the first 64 bits of one digest in hex."""
    return int(digest[:16], 16)


def version_numbers(rows: Any, identity: Identity) -> Any:
    """Return the number that stands for the source_version of each row, as uint64; 0 where it is empty.

    Audits before 0.2.0 have a generation or a time there: it counts as what is made of it now.

    Args:
        rows: a record batch with `source_id` and `source_version`.
        identity: of the runs' key.
    """
    versions = pc.fill_null(rows["source_version"], "")
    is_digest = pc.equal(pc.utf8_length(versions), SOURCE_VERSION_LENGTH)
    if not pc.all(is_digest).as_py():
        pairs = zip(rows["source_id"].to_pylist(), versions.to_pylist(), strict=True)
        digests = (
            it if len(it) == SOURCE_VERSION_LENGTH else version_digest(source_id, it, identity)
            for source_id, it in pairs
        )
        versions = pa.array([it or "0" * SOURCE_VERSION_LENGTH for it in digests], pa.string())
    return digest_numbers(versions)
