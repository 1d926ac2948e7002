"""What is packed in bytes: found wherever it begins, in a time that grows with the size."""

import random
import struct
import zlib

import pytest

from beamstop.errors import Quarantined
from beamstop.leaks.embedded_text import unpacked

TEXT = b"seen by Dr. Smithers of Riverside"


def stored(data: bytes, last: bool = False) -> bytes:
    """Return an uncompressed block (RFC 1951 3.2.4) behind the head of a stream."""
    return b"\x78\x01" + bytes([last]) + struct.pack("<HH", len(data), 0xFFFF ^ len(data)) + data


def test_a_stream_behind_false_heads_is_found() -> None:
    noise = random.Random(5).randbytes(200_000)
    assert TEXT in list(unpacked(b"\x78\x9c" * 1000 + noise + zlib.compress(TEXT) + noise))


def test_a_stream_without_an_end_is_found_as_far_as_it_goes() -> None:
    assert any(TEXT[:20] in part for part in unpacked(zlib.compress(TEXT, 0)[:-9]))


def test_a_stream_in_a_stream_is_found_in_its_text() -> None:
    assert TEXT in list(unpacked(zlib.compress(b"a " * 50 + zlib.compress(TEXT), 0)))


def test_a_stream_behind_another_is_found() -> None:
    assert TEXT in list(unpacked(zlib.compress(b"another text") + zlib.compress(TEXT)))


def test_many_small_streams_are_all_found() -> None:
    many = b"".join(zlib.compress(b"text number %d" % number) for number in range(5000))
    assert sum(part.startswith(b"text number") for part in unpacked(many)) == 5000


def test_heads_that_each_hold_all_that_follow_are_uncertain() -> None:
    """4.4 kB of them ended a run after 40 minutes."""
    data = b""
    for _ in range(4400 // 7):
        data = stored(data)
    with pytest.raises(Quarantined, match="attributes_uncertain"):
        list(unpacked(data))


def test_a_text_full_of_false_heads_is_no_flood() -> None:
    assert list(unpacked(b"x^2 + x^3 + x^4 = y; " * 20_000)) == []
