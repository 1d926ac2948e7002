"""What is packed in bytes: found wherever it begins, in a time that grows with the size."""

import base64
import gzip
import random
import struct
import zlib
from collections.abc import Callable

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


NAME = b"Smithers, Jo"  # 16 letters of base64


@pytest.mark.parametrize(
    ("data", "first"),
    [
        (base64.b64encode(NAME), NAME),
        (b"\x01" + base64.b64encode(NAME) + b"\x02", NAME),
        (base64.b64encode(NAME) + b"A", NAME),  # one letter more is no byte
        (base64.b64encode(NAME + b"!"), NAME + b"!"),
        (base64.b64encode(NAME + b"?>"), NAME + b"?>"),
        (base64.urlsafe_b64encode(b"\xff\xef\xbe" + NAME), b"\xff\xef\xbe" + NAME),
        (base64.b64encode(NAME)[:8] + b"\r\n" + base64.b64encode(NAME)[8:], NAME),
        (base64.b64encode(NAME)[:15], None),
        (b"x." + base64.b64encode(NAME)[:15], None),
        (b"1234567890123456", None),
        (b"ABCDEFGHIJKLMNOP", None),
        (b"abcdefghijklmnop", None),
    ],
)
def test_base64_is_read_from_16_letters_on(data: bytes, first: bytes | None) -> None:
    assert next(unpacked(data), None) == first


def test_base64_is_read_from_each_of_its_first_four_letters() -> None:
    letters = base64.b64encode(NAME)
    assert [part.hex() for part in unpacked(letters)] == [
        NAME.hex(),
        "db5a5d1a195c9ccb08129b",
        "d6974686572732c204a6",
        "a5d1a195c9ccb08129",
    ]
    for before in range(4):
        assert list(unpacked(b"QUF"[:before] + letters))[before] == NAME


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"#536d697468657273#", b"Smithers"),
        (b"#536D697468657273#", b"Smithers"),
        (b"#A536d697468657273#", b"Smithers"),
        (b"#536d6974686572730#", b"Smithers"),
        (b"#536d6974686572090d0a#", b"Smither\t\r\n"),
        (b"#536d69746865727f#", None),
        (b"#536d697401657273#", None),
        (b"#536d69746865727#", None),
    ],
)
def test_hexadecimal_is_read_from_16_digits_on_where_it_is_text(data: bytes, text: bytes | None) -> None:
    found = {part for part in unpacked(data) if part.startswith(b"Smith")}
    assert found == ({text} if text else set())


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"Sm%69th", b"Smith"),
        (b"Sm=69th", b"Smith"),
        (b"a=\r\nb=\nc", b"abc"),
        (b"%6", None),
        (b"=zz", None),
        (b"Sm&#105;th", b"Smith"),
        (b"Sm&#x69;th&#X69;", b"Smithi"),
        (b"a&#0;b&#1;c", b"ab\1c"),
        (b"&#1114111;", "\U0010ffff".encode()),
        (b"&#1114112;x", b"x"),
        (b"&#x10ffff;", "\U0010ffff".encode()),
        (b"&#x110000;x", b"x"),
        (b"&#55296;x", b"?x"),  # half of a pair
        (b"M&uuml;ller &amp; S&oslash;n", b"Muller &amp; Son"),
        (b"M&uuml;ller &amp; &Eacute;va", b"Muller &amp; Eva"),
        (b"\\u004d\\u00fcller", "Müller".encode()),
        (b"\\u004", None),
    ],
)
def test_a_code_becomes_its_character(data: bytes, text: bytes | None) -> None:
    assert list(unpacked(data, layers=1)) == ([] if text is None else [text])


@pytest.mark.parametrize("pack", [zlib.compress, lambda text: gzip.compress(text, mtime=0)])
def test_a_stream_is_read_from_four_letters_on(pack: Callable[[bytes], bytes]) -> None:
    assert list(unpacked(b"\0\0" + pack(b"abcd") + b"\0")) == [b"abcd"]
    assert list(unpacked(b"\0\0" + pack(b"abc") + b"\0")) == []


@pytest.mark.parametrize("level", [0, 1, 6, 9])
@pytest.mark.parametrize("size", [4, 63, 64, 65, 320, 321, 5000])
def test_a_stream_of_any_level_and_size_is_read_whole(level: int, size: int) -> None:
    text = random.Random(size).randbytes(size)
    assert text in list(unpacked(b"\0\0" + zlib.compress(text, level) + b"\0", layers=1))


def test_packings_are_opened_three_deep() -> None:
    packed = [zlib.compress(b"deep text")]
    for _ in range(3):
        packed.append(zlib.compress(packed[-1], 0))
    assert list(unpacked(packed[3])) == [packed[2], packed[1], packed[0]]
    assert list(unpacked(packed[3], layers=4)) == [packed[2], packed[1], packed[0], b"deep text"]
    assert list(unpacked(packed[0], layers=0)) == []


def test_strings_of_a_pdf_are_read_as_they_are_shown_and_each_by_itself() -> None:
    pdf = b"%PDF-1.4 [(Smi) -20 (th) 3.5 (ers)] TJ (\\123mith\\\ners) <536D6974686>"
    pdf += b" (a\\053b\\)c) (\\1234\\\r\n)"
    assert list(unpacked(pdf, layers=0)) == [b"Smithers\nSmi\nth\ners\nSmithers\nSmith`\na+b)c\nS4"]
    assert list(unpacked(pdf[1:], layers=0)) == []


def test_strings_of_a_pdf_are_read_in_what_is_packed_in_it() -> None:
    pdf = b"%PDF-1.4 " + zlib.compress(b"x (one) x")
    assert list(unpacked(pdf)) == [b"", b"x (one) x", b"one"]
    assert list(unpacked(zlib.compress(b"%PDF-1.4 (one)"))) == [b"%PDF-1.4 (one)", b"one"]


def test_streams_may_grow_to_a_limit_together() -> None:
    stream = zlib.compress(b"x" * 1000)
    assert list(unpacked(stream * 2, limit=2000)) == [b"x" * 1000] * 2
    with pytest.raises(Quarantined, match="attributes_uncertain"):
        list(unpacked(stream * 2, limit=1999))
