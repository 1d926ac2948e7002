"""Inputs that grow, many kinds of them, and how the time that each takes grows with its size.

    python -m tests.hostile.growing [--only WORD] [--recipe NAME] [--largest KILOBYTES] [--part 2/3] [--seconds N]

Each kind is made in three sizes, each four times the one before, and sent through the whole chain. CPU time may
grow with the size: between the last two sizes by an exponent of `STEEPEST` at most, and by `SLOWEST` seconds a
megabyte. What takes less than `TOO_SHORT` seconds is not judged, for there the clock decides.
"""

import argparse
import base64
import gzip
import math
import random
import struct
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from time import perf_counter, process_time
from typing import NamedTuple

from tests.hostile.target import KEEPING, KEY, bright

from beamstop import deidentify_bytes
from beamstop.dicom.deadline import working_until
from beamstop.errors import Refusal
from beamstop.recipe.load import load_recipe, parse_recipe
from beamstop.recipe.model import Recipe

STEEPEST, SLOWEST, TOO_SHORT, OVERRUN = 1.4, 10.0, 1.0, 10.0
SIZES = (1 << 16, 1 << 18, 1 << 20)
_STEP = 4
PICTURES = 50.0  # of eight bytes each, 131,072 a megabyte
_RECIPES = ("default", "research")

_META, _IMPLICIT, _EXPLICIT = 0x00020010, "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
_JPEG, _JPEG_LS, _JPEG_2000, _RLE = (f"1.2.840.10008.1.2.{end}" for end in ("4.50", "4.80", "4.90", "5"))
_CT, _SR, _SECONDARY, _CDA, _OBJ, _STL = (
    f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("2", "88.33", "7", "104.2", "104.4", "104.3")
)
_LONG = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"))
_UNDEFINED = 0xFFFFFFFF

Make = Callable[[int], bytes]


class Kind(NamedTuple):
    """A way to grow: from a size in bytes to a file of about that size, and the seconds a megabyte it may take."""

    name: str
    make: Make
    slowest: float = SLOWEST


class Growth(NamedTuple):
    """How a kind grew: seconds of CPU for each size that was tried, exponent and rate of the last."""

    seconds: tuple[float, ...]
    exponent: float
    rate: float
    outcome: str
    slowest: float

    @property
    def is_fine(self) -> bool:
        """Whether it grows with its size, and not too steeply."""
        return self.seconds[-1] < TOO_SHORT or (self.exponent <= STEEPEST and self.rate <= self.slowest)


# Files


def _element(tag: int, vr: str, value: bytes, implicit: bool = False) -> bytes:
    value += b"\0" * (len(value) % 2)
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    if implicit:
        return head + struct.pack("<L", len(value)) + value
    if vr in _LONG:
        return head + vr.encode() + bytes(2) + struct.pack("<L", len(value)) + value
    return head + vr.encode() + struct.pack("<H", len(value)) + value


def _items(*items: bytes) -> bytes:
    return b"".join(struct.pack("<HHL", 0xFFFE, 0xE000, len(item)) + item for item in items)


def _file(
    elements: dict[int, tuple[str, bytes]], syntax: str = _IMPLICIT, sop_class: str = _CT, tail: bytes = b""
) -> bytes:
    """Return a file of its patient's elements and some more, the last of which may be `tail`, as it is."""
    implicit = syntax == _IMPLICIT
    plain = {
        0x00080016: ("UI", sop_class.encode()),
        0x00080018: ("UI", b"1.2.3.4.5.6"),
        0x00080020: ("DA", b"20240229"),
        0x00080060: ("CS", b"CT"),
        0x00080090: ("PN", b"Grabowski^Ludmila"),
        0x00100010: ("PN", b"Voziox^Marta"),
        0x00100020: ("LO", b"PX77120554"),
        0x00100030: ("DA", b"19610317"),
        0x00101040: ("LO", b"Hauptstrasse 12, 69120 Xylberg"),
        0x00102154: ("SH", b"+49 6221 558 9012"),
        0x0020000D: ("UI", b"1.2.3.4"),
        0x0020000E: ("UI", b"1.2.3.4.5"),
    } | elements
    body = b"".join(_element(tag, *plain[tag], implicit) for tag in sorted(plain))
    meta = _element(0x00020002, "UI", sop_class.encode()) + _element(0x00020003, "UI", b"1.2.3.4.5.6")
    meta += _element(_META, "UI", syntax.encode())
    start = _element(0x00020000, "UL", struct.pack("<L", len(meta)))
    return bytes(128) + b"DICM" + start + meta + body + tail


def _filled(piece: bytes, size: int) -> bytes:
    return (piece * (size // len(piece) + 1))[:size]


# Texts: each VR with each fragment

_BY_VR = {
    "AE": 0x00080054, "AS": 0x00101010, "AT": 0x00280009, "CS": 0x00080008, "DA": 0x00080023,
    "DS": 0x00180050, "DT": 0x0008002A, "FD": 0x00189073, "FL": 0x00089459, "IS": 0x00200013,
    "LO": 0x0008103E, "LT": 0x00204000, "OB": 0x00181638, "OD": 0x00720073, "OF": 0x00640009,
    "OL": 0x00660129, "OW": 0x00181638, "PN": 0x00101001, "SH": 0x00180010, "SL": 0x00186020,
    "SS": 0x00280106, "ST": 0x00082111, "TM": 0x00080033, "UC": 0x00080119, "UI": 0x00081195,
    "UL": 0x00186016, "UN": 0x00204000, "UR": 0x00081190, "US": 0x00280010, "UT": 0x0040A160,
}  # fmt: skip
_OWN = "Voziox"
_ZLIB = zlib.compress(b"Voziox^Marta PX77120554", 9)
_STORED = zlib.compress(b"A stored block with some text in it", 0)
_FRAGMENTS: dict[str, bytes] = {
    **{
        f"letter {name}": piece
        for name, piece in {
            "a": b"a", "A": b"A", "a blank": b"a ", "A blank": b"A ", "A point": b"A. ", "Ab": b"Ab ",
            "x": b"x", "O'": b"O'", "A-": b"A-", "a_": b"a_", "von": b"von ", "de la": b"de la ",
        }.items()
    },
    **{
        f"separator {piece.decode('latin-1')!r}": piece
        for piece in (
            *(b" ", b"\n", b"\r\n", b"\t", b"\f", b".", b",", b"-", b"/", b"^", b"=", b"\\", b"_", b"@", b":", b"(", b")"),
            *(b"()", b"[", b"]", b"<", b">", b"\"", b"'", b"&", b"%", b"#", b"+", b"\0", b"\x1b", b"\xff", b"\xe4", b"|", b"~", b";"),
        )
    },
    **{
        f"number {piece.decode()!r}": piece
        for piece in (
            *(b"0", b"1", b"9", b"0 ", b"1 ", b"12 ", b"1.", b"1.2", b"0.", b"1-", b"1/", b"12:", b"12:30 ", b"0x", b"1e9 "),
            *(b"123-45-6789 ", b"06221 558 9012 ", b"+49 ", b"+1 (", b"(0", b"01 23 45 67 89 ", b"1000000 ", b"2.25.1"),
            *(b"19610317", b"20240229 ", b"2024-02-29 ", b"29.02.2024 ", b"1/2/2004 ", b"2004-", b"12 Mar 2004 ", b"March 12, 2004 "),
            *(b"Mar ", b"Mar 2004 ", b"29.", b"1-2-20 ", b"3.11.63 ", b"20040312185059 ", b"10:00 am ", b"at 12:30 ", b"(2024)"),
        )
    },
    **{
        f"words {piece.decode()!r}": piece
        for piece in (
            *(b"Mr. ", b"Mr ", b"MR ", b"Dr. Dr. ", b"Dr. Wood ", b"Prof. Dr. med. ", b"dr. ", b"Mrs. Smith ", b"CT CHEST "),
            *(b"MRN: ", b"MRN 12345 ", b"id: ", b"id:", b"no 123456 ", b"acc ", b"tel ", b"tel: +1 ", b"phone:0 ", b"Fall-Nr. "),
            *(b"patient name: ", b"name: Smith ", b"read by ", b"read by J. Smith ", b"signed by: ", b"J. Smith, MD ", b"Smith MD "),
            *(b"12 Main Street ", b"12 A A A ", b"12 bis rue ", b"Calle ", b"Calle de la ", b"Hauptstrasse ", b"D-10117 Berlin "),
            *(b"Boston, MA 02115 ", b"San Antonio, TX ", b"69120 Heidelberg ", b"SW1A 1AA ", b"K1A 0B1 ", b"P.O. Box 1 ", b"born "),
            *(b"a@b.c ", b"a@", b"a.b@", b"http://", b"www.", b"https://a.b/c?d=e&", b"90 year ", b"age 95 ", b"aged ", b"91Y "),
            *(b"Voziox ", b"VOZIOX^", b"Voziox", b"(Voziox) ", b"Voziox, ", b"M. ", b"Marta Voziox ", b"V. ", b"PX77120554 "),
            *(b"PX-77-", b"77120554 ", b"7 7 1 2 ", b"1.2.3.4.5 ", b"Hauptstrasse 12, ", b"6221 ", b"Grabowski's ", b"unknownwordx "),
        )
    },
    **{
        f"packed {name}": piece
        for name, piece in {
            "zlib head 01": b"\x78\x01", "zlib head 5e": b"\x78\x5e", "zlib head 9c": b"\x78\x9c", "zlib head da": b"\x78\xda",
            "gzip head": b"\x1f\x8b\x08", "gzip head and flags": b"\x1f\x8b\x08\x1c\0\0\0\0\0\0", "zlib": _ZLIB,
            "stored": _STORED, "gzip": gzip.compress(b"Some text in here", mtime=0), "cut zlib": _ZLIB[:-6],
            "stored open": _STORED[:2] + b"\0\x08\0\xf7\xff" + b"12345678", "fixed block": b"\x78\x9c\x4b\x4c\x4a",
            "zlib in base64": base64.b64encode(_ZLIB), "base64": base64.b64encode(b"Some text in base64. "),
            "base64 cut": b"QUJDREVGR0hJSktMTU5 ", "base64 lines": base64.encodebytes(b"a text" * 30),
            "base64 of base64": base64.b64encode(base64.b64encode(b"Some text in base64. ")), "QUJD": b"QUJD",
            "hexadecimal": b"566f7a696f78", "hexadecimal in upper case": b"4D617274612E", "hexadecimal cut": b"566f7a696f78566f7a ",
            "percent": b"%41", "equals": b"=41", "soft breaks": b"=\r\n", "decimal": b"&#77;", "hex code": b"&#x4d;",
            "unicode": b"\\u004d", "entity": b"&uuml;", "open entity": b"&#", "amp": b"&amp;",
            "pdf": b"%PDF-1.4 ", "pdf string": b"(a)Tj ", "pdf array": b"[(a)-5(b)] TJ ", "pdf open array": b"%PDF-[(a",
            "pdf open": b"%PDF-((((", "pdf hex": b"<41 42>", "pdf open hex": b"%PDF-<41", "pdf escapes": b"%PDF-(\\051\\",
            "jpeg head": b"\xff\xd8\xff\xe0\0\x10JFIF", "png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
            "hl7": b"PID|1||PX77120554^^^A||Voziox^Marta||19610317\r", "hl7 head": b"MSH|^~\\&|A|B|",
            "json": b'{"a":"b","c":[1,2,', "json open": b"[", "json text": b'"PatientName": "Voziox", ',
            "xml": b"<a b='c'><d>e</d></a>", "xml open": b"<a>", "xml entity": b"<!ENTITY a '&b;'>", "rtf": b"{\\rtf1 \\'e4 ",
            "item": b"\xfe\xff\0\xe0\xff\xff\xff\xff", "item ends": b"\xfe\xff\r\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0",
            "sequence": b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff",
        }.items()
    },
    **{
        f"letters {name}": piece
        for name, piece in {
            "accented": "ä".encode(), "accented in Latin-1": b"\xe4\xf6 ", "Han": "李".encode(), "Han name": "李娜 ".encode(),
            "kana": "ヤマダ".encode(), "half-width": "ﾔﾏﾀﾞ".encode(), "Thai": "สมชาย".encode(), "Arabic": "محمد ".encode(),
            "Hebrew": "כהן ".encode(), "Russian": "Иванов ".encode(), "full width": "１２３".encode(), "combining": "e\u0301".encode(),
            "marks": "\u0301".encode(), "UTF-16": "Voziox ".encode("utf-16-le"), "UTF-16 other": "Voziox ".encode("utf-16-be"),
            "GB18030": "李".encode("gb18030"), "Shift-JIS": "山田".encode("shift_jis"), "escape JIS": b"\x1b$B;3ED\x1b(B",
            "escape open": b"\x1b$B;3ED", "escapes": b"\x1b(B\x1b$B", "escape KS": b"\x1b$)C\xb1\xe8", "lead bytes": b"\xc3",
            "bad UTF-8": b"\xc3\x28", "emoji": "😀".encode(),
        }.items()
    },
}  # fmt: skip


def _text_kinds() -> Iterator[Kind]:
    for vr, tag in _BY_VR.items():
        for name, piece in _FRAGMENTS.items():
            yield Kind(f"{vr} of {name}", lambda size, v=vr, t=tag, p=piece: _one(v, t, _filled(p, size)))


def _one(vr: str, tag: int, value: bytes) -> bytes:
    charset = {0x00080005: ("CS", b"ISO_IR 192")} if vr in {"LT", "PN", "UT", "ST"} else {}
    # The implicit syntax says no VR, and has 32 bits for every length.
    syntax = _EXPLICIT if vr in {"OB", "OW", "UN"} else _IMPLICIT
    return _file(charset | {tag: (vr, value)}, syntax, _SR if vr == "UT" else _CT)


def _nested_kinds() -> Iterator[Kind]:
    """Texts of two parts: a half of one fragment and a half of what it opens or closes."""
    pairs = {
        "brackets": (b"(", b")"), "brackets round a name": (b"(", b"Voziox" + b")"), "square": (b"[", b"]"), "tags": (b"<a>", b"</a>"),
        "quotes": (b"\"'", b"'\""), "json": (b'{"a":[', b"]}"), "zlib and zeros": (b"\x78\x9c", b"\0"),
        "zlib and ones": (b"\x78\x01\x01", b"\xff"), "digits and letters": (b"1", b"a"), "blanks and a name": (b" ", b"Voziox "),
        "names and blanks": (b"Voziox", b" "), "points and digits": (b".", b"1"), "base64 and text": (b"QUJD", b"a b c "),
    }  # fmt: skip
    for name, (left, right) in pairs.items():
        for vr in ("LT", "UT", "UN", "PN", "OB"):
            yield Kind(
                f"{vr} of two halves, {name}",
                lambda size, v=vr, a=left, b=right: _one(v, _BY_VR[v], _halves(a, b, size)),
            )


def _halves(left: bytes, right: bytes, size: int) -> bytes:
    count = size // (len(left) + len(right.removeprefix(b"Voziox")))
    if right.startswith(b"Voziox"):
        return left * count + b"Voziox" + right.removeprefix(b"Voziox") * count
    return left * count + right * count


def _distinct(size: int, one: Callable[[random.Random, int], str], between: str = " ") -> bytes:
    """Return many different words, the same every time."""
    chance, parts, length, number = random.Random(7), [], 0, 0
    while length < size:
        parts.append(one(chance, number))
        length += len(parts[-1].encode()) + len(between)
        number += 1
    return between.join(parts).encode()[:size]


def _word(chance: random.Random, letters: int = 8) -> str:
    return "".join(chance.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(letters))


_WRITERS: dict[str, Callable[[random.Random, int], str]] = {
    "words": lambda chance, n: _word(chance),
    "capital words": lambda chance, n: _word(chance).capitalize(),
    "numbers": lambda chance, n: str(10_000_000 + n),
    "short numbers": lambda chance, n: str(n),
    "codes": lambda chance, n: f"AB{n:07}X",
    "dates": lambda chance, n: f"{1930 + n % 90}{1 + n % 12:02}{1 + n % 28:02}",
    "written dates": lambda chance, n: f"{1 + n % 28}.{1 + n % 12}.{1930 + n % 90}",
    "spoken dates": lambda chance, n: f"{1 + n % 28} Mar {1930 + n % 90}",
    "UIDs": lambda chance, n: f"1.2.826.0.1.{n}.{n}",
    "mails": lambda chance, n: f"{_word(chance)}@{_word(chance)}.org",
    "telephones": lambda chance, n: f"0{6221 + n % 99} {5580000 + n}",
    "names": lambda chance, n: f"{_word(chance).capitalize()}^{_word(chance).capitalize()}",
    "titled names": lambda chance, n: f"Dr. {_word(chance).capitalize()}",
    "names of one family": lambda chance, n: f"Voziox^{_word(chance)}",
    "Han names": lambda chance, n: chr(0x4E00 + n % 20000) + chr(0x4E00 + n * 7 % 20000),
    "accented names": lambda chance, n: f"ü{_word(chance)}é",
    "addresses": lambda chance, n: f"{1 + n} {_word(chance).capitalize()} Street",
    "Russian names": lambda chance, n: "".join(chr(0x430 + chance.randrange(32)) for _ in range(7)),
}
_HOLDERS = {
    "OtherPatientNames": (0x00101001, "PN"), "OtherPatientIDs": (0x00101000, "LO"), "PatientAddress": (0x00101040, "LO"),
    "PatientTelephoneNumbers": (0x00102154, "SH"), "SeriesDescription": (0x0008103E, "LO"), "StudyDate": (0x00080020, "DA"),
    "ReferringPhysicianName": (0x00080090, "PN"), "ImageComments": (0x00204000, "LT"), "UIDs": (0x00081195, "UI"),
    "InstitutionName": (0x00080080, "LO"), "private": (0x00091001, "UN"),
}  # fmt: skip


def _distinct_kinds() -> Iterator[Kind]:
    """Different words in one attribute; and the same in a text beside it, so that both grow."""
    for what, writer in _WRITERS.items():
        for holder, (tag, vr) in _HOLDERS.items():
            for between in (" ", "\\"):
                name = f"{what} in {holder} between {between!r}"
                yield Kind(
                    name,
                    lambda n, t=tag, v=vr, w=writer, b=between: _file(_holding(t, v, _distinct(n, w, b))),
                )
            yield Kind(
                f"{what} in {holder} and in a text",
                lambda n, t=tag, v=vr, w=writer: _file(
                    _holding(t, v, _distinct(n // 2, w, "\\")) | {0x00204000: ("LT", _distinct(n // 2, w))}
                ),
            )
            yield Kind(
                f"{what} in {holder} and in many texts",
                lambda n, t=tag, v=vr, w=writer: _file(
                    _holding(t, v, _distinct(n // 2, w, "\\"))
                    | {0x00081140: ("SQ", _texts(_distinct(n // 2, w)))}
                ),
            )


def _holding(tag: int, vr: str, value: bytes) -> dict[int, tuple[str, bytes]]:
    block = {0x00090010: ("LO", b"SOMEBODY")} if tag >> 16 & 1 else {}
    return {0x00080005: ("CS", b"ISO_IR 192"), **block, tag: (vr, value)}


def _texts(text: bytes) -> bytes:
    parts = (text[at : at + 100] for at in range(0, len(text), 100))
    return _items(*(_element(0x0008103E, "LO", part, implicit=True) for part in parts))


# Structures


def _structure_kinds() -> Iterator[Kind]:
    implicit = {"implicit": True}
    inner = {
        "nothing": b"",
        "a UID": _element(0x00081155, "UI", b"1.2.3.4.5.6.7", **implicit),
        "a date": _element(0x00080020, "DA", b"20240229", **implicit),
        "a name": _element(0x00101001, "PN", b"Voziox^Marta", **implicit),
        "a text": _element(0x0008103E, "LO", b"seen by Voziox", **implicit),
        "an age": _element(0x00101010, "AS", b"091Y", **implicit),
        "a code": _element(0x00080100, "SH", b"121181", **implicit)
        + _element(0x00080102, "SH", b"DCM", **implicit),
        "a character set": _element(0x00080005, "CS", b"ISO_IR 192", **implicit),
        "a private block": _element(0x00090010, "LO", b"SIEMENS CSA HEADER", **implicit)
        + _element(0x00091008, "CS", b"IMAGE NUM 4", **implicit),
        "a private sequence": _element(0x00090010, "LO", b"ANY", **implicit)
        + _element(0x00091001, "SQ", _items(b""), **implicit),
        "pixels": _element(0x7FE00010, "OW", b"abcd", **implicit),
        "a plane": _element(0x60000010, "US", b"\1\0", **implicit)
        + _element(0x60003000, "OW", b"\1\0", **implicit),
    }
    sequences = {
        "ReferencedImageSequence": 0x00081140, "ContentSequence": 0x0040A730, "ProcedureCodeSequence": 0x00081032,
        "IconImageSequence": 0x00880200, "OtherPatientIDsSequence": 0x00101002, "SharedFunctionalGroups": 0x52009229,
        "WaveformSequence": 0x54000100, "GraphicAnnotationSequence": 0x00700001, "OriginalAttributesSequence": 0x04000561,
        "RequestAttributesSequence": 0x00400275, "unknown": 0x00189999, "OverlaySequence": 0x00081130,
    }  # fmt: skip
    for where, tag in sequences.items():
        for name, item in inner.items():
            yield Kind(f"items of {where} with {name}", lambda n, t=tag, i=item: _many_items(n, t, i))
            yield Kind(f"chains of {where} with {name}", lambda n, t=tag, i=item: _chains(n, t, i))
    for vr in _BY_VR:
        yield Kind(f"private elements of {vr}", lambda n, v=vr: _private(n, v, b"12345678"))
        yield Kind(f"private elements of {vr}, empty", lambda n, v=vr: _private(n, v, b""))
        yield Kind(f"unknown elements of {vr}", lambda n, v=vr: _unknown(n, v))
        yield Kind(f"values of {vr}", lambda n, v=vr, t=_BY_VR[vr]: _file({t: (v, _filled(b"1\\", n))}))
    yield Kind("creators", lambda n: _creators(n))
    yield Kind("groups", lambda n: _file({}, tail=_groups(n)))
    yield Kind("character sets", lambda n: _file({0x00080005: ("CS", _filled(b"ISO 2022 IR 87\\", n))}))
    yield Kind("other character sets", lambda n: _file({0x00080005: ("CS", _filled(b"\\ISO_IR 192", n))}))
    yield Kind(
        "elements doubled", lambda n: _file({}, tail=_filled(_element(0x00204000, "LT", b"ab", True), n))
    )
    yield Kind("unfinished items", lambda n: _file({}, tail=_filled(struct.pack("<HHLHHL", 0x20, 0x9999, _UNDEFINED, 0xFFFE, 0xE000, _UNDEFINED), n)))  # fmt: skip
    yield Kind("deflated texts", lambda n: _deflated(n, b"Dr. Voziox "))
    yield Kind("deflated zeros", lambda n: _deflated(n * 8, b"\0"))


def _many_items(size: int, tag: int, item: bytes) -> bytes:
    one = _items(item)
    return _file({tag: ("SQ", _filled(one, size // len(one) * len(one)))})


def _chains(size: int, tag: int, item: bytes) -> bytes:
    """Return many items, each the outermost of fifty."""
    chain = item
    for _ in range(50):
        chain = _element(tag, "SQ", _items(chain), implicit=True)
    return _many_items(size, tag, chain)


def _private(size: int, vr: str, value: bytes) -> bytes:
    each = len(_element(0x00091000, vr, value))
    elements: dict[int, tuple[str, bytes]] = {}
    for number in range(max(1, size // each)):
        group, place = 0x0009 + 2 * (number // (0xF0 * 256)), number % (0xF0 * 256)
        block = 0x10 + place // 256
        elements[group << 16 | block] = ("LO", b"SOMEBODY")
        elements[group << 16 | block << 8 | place % 256] = (vr, value)
    return _file(elements, _EXPLICIT)


def _unknown(size: int, vr: str) -> bytes:
    count = max(1, size // len(_element(0x00189000, vr, b"12345678")))
    tags = (0x01000000 + 0x20000 * (number // 0xF000) + number % 0xF000 + 1 for number in range(count))
    return _file(dict.fromkeys(tags, (vr, b"12345678")), _EXPLICIT)


def _creators(size: int) -> bytes:
    tags = (0x00090010 + 0x20000 * (number // 0xF0) + number % 0xF0 for number in range(size // 20))
    return _file({tag: ("LO", b"SOMEBODY %d" % (tag & 0xFFFF)) for tag in tags}, _EXPLICIT)


def _groups(size: int) -> bytes:
    count = min(size // 10, 0x6FFF)
    return b"".join(
        _element((0x0020 + 2 * number) << 16 | 0x9999, "SH", b"ab", True) for number in range(count)
    )


def _deflated(size: int, piece: bytes) -> bytes:
    whole = _file({0x00204000: ("UT", _filled(piece, size))}, _EXPLICIT)
    first = 132 + 12  # behind the group length
    at = first + struct.unpack_from("<L", whole, first - 4)[0]
    meta = _with_syntax(whole[first:at], "1.2.840.10008.1.2.1.99")
    pressed = zlib.compressobj(wbits=-15)
    start = whole[:132] + _element(0x00020000, "UL", struct.pack("<L", len(meta)))
    return start + meta + pressed.compress(whole[at:]) + pressed.flush()


def _with_syntax(meta: bytes, syntax: str) -> bytes:
    before = meta.index(b"\x02\0\x10\0")
    return meta[:before] + _element(_META, "UI", syntax.encode())


# Pictures

_GREY = {
    0x00280002: ("US", b"\1\0"), 0x00280004: ("CS", b"MONOCHROME2"), 0x00280010: ("US", b"\x08\0"), 0x00280011: ("US", b"\x08\0"),
    0x00280100: ("US", b"\x08\0"), 0x00280101: ("US", b"\x08\0"), 0x00280102: ("US", b"\7\0"), 0x00280103: ("US", b"\0\0"),
}  # fmt: skip


def _picture_kinds() -> Iterator[Kind]:
    yield Kind("native frames", lambda n: _native(n, distinct=True), PICTURES)
    yield Kind("native frames alike", lambda n: _native(n, distinct=False))
    yield Kind("one native frame", lambda n: _native_wide(n))
    yield Kind(
        "bytes behind native frames",
        lambda n: _file(_GREY | {0x7FE00010: ("OW", bytes(n))}, _EXPLICIT, _SECONDARY),
    )
    for syntax in (_JPEG, _JPEG_LS, _JPEG_2000, _RLE):
        for name, (table, frames) in {
            "fragments": (b"", lambda n: [b"ab"] * (n // 10)),
            "empty fragments": (b"", lambda n: [b""] * (n // 8)),
            "offsets": (b"\0\0\0\0", lambda n: [b"\xff\xd8\xff\xd9"]),
            "frame heads": (b"", lambda n: [b"\xff\xd8\xff\xe0"] * (n // 12)),
        }.items():
            yield Kind(
                f"{name} of {syntax}",
                lambda n, s=syntax, t=table, f=frames: _compressed(
                    s, _filled(t, n // 4 * 4) if t else b"", f(n)
                ),
            )
        for name, piece in _SEGMENTS.items():
            yield Kind(
                f"segments {name} of {syntax}",
                lambda n, s=syntax, p=piece: _compressed(s, b"", [b"\xff\xd8" + _filled(p, n) + b"\xff\xd9"]),
            )
            yield Kind(
                f"codestream of {name} of {syntax}",
                lambda n, s=syntax, p=piece: _compressed(s, b"", [b"\xff\x4f\xff\x51" + _filled(p, n)]),
            )
    for name, piece in {
        "planes": b"\1\0", "empty planes": b"\0\0", "full planes": b"\xff\xff"
    }.items():  # fmt: skip
        yield Kind(f"frames of an overlay, {name}", lambda n, p=piece: _overlay(n, p), PICTURES)
    for name, tag in {
        "WaveformData": 0x54001010, "AudioSampleData": 0x50003000 | 0x2000, "RedPalette": 0x00281201,
        "SegmentedRedPalette": 0x00281221, "LUTData": 0x00283006, "ICCProfile": 0x00282000, "CurveData": 0x50003000,
        "EncapsulatedDocument": 0x00420011, "SpectroscopyData": 0x56000020, "EscapeTriplets": 0x00281100 | 0x9B,
        "PointCoordinatesData": 0x00660016, "TrackPointIndexList": 0x00660129, "VectorGridData": 0x00640009,
        "MACs": 0x04000120, "AnimatedCurve": 0x50FE3000, "ContourData": 0x30060050,
    }.items():  # fmt: skip
        for fill, piece in {
            "zeros": b"\0",
            "zlib heads": b"\x78\x9c",
            "text": b"Dr. Voziox ",
            "noise": _ZLIB,
        }.items():
            yield Kind(
                f"{name} of {fill}",
                lambda n, t=tag, p=piece: _file({t: ("OW", _filled(p, n))}, _EXPLICIT, _SECONDARY),
            )


_SEGMENTS = {
    "COM": b"\xff\xfe\0\x04ab", "APP1": b"\xff\xe1\0\x08Exif\0\0", "DHT": b"\xff\xc4\0\x14\0\1" + bytes(15) + b"\5",
    "DQT": b"\xff\xdb\0\x43\0" + b"\1" * 64, "SOF": b"\xff\xc0\0\x0b\x08\0\x08\0\x08\1\1\x11\0",
    "SOS": b"\xff\xda\0\x08\1\1\0\0\x3f\0\x00", "RST": b"\xff\xd0", "SOI": b"\xff\xd8", "EOI": b"\xff\xd9", "fill": b"\xff",
    "DNL": b"\xff\xdc\0\4\0\x08", "DRI": b"\xff\xdd\0\4\0\1", "zero lengths": b"\xff\xe0\0\0", "short lengths": b"\xff\xe0\0\2",
    "SOT": b"\xff\x90\0\x0a\0\0\0\0\0\x0e\0\1\xff\x93", "jp2 boxes": b"\0\0\0\x08free", "uuid boxes": b"\0\0\0\x18uuid" + b"a" * 16,
    "COM 2000": b"\xff\x64\0\5\0\1a", "noise": bytes(random.Random(1).randrange(256) for _ in range(997)), "zeros": b"\0",
}  # fmt: skip


def _native(size: int, distinct: bool) -> bytes:
    count = max(1, size // 64)
    frames = b"".join(struct.pack("<L", number if distinct else 7) * 16 for number in range(count))
    header = _GREY | {0x00280008: ("IS", str(count).encode()), 0x7FE00010: ("OW", frames)}
    return _file(header, _EXPLICIT, _SECONDARY)


def _native_wide(size: int) -> bytes:
    rows = struct.pack("<H", min(0xFFFF, size // 512))
    pixels = _filled(b"\1\2\3\4\5\6\7\0" * 8, min(0xFFFF, size // 512) * 512)
    header = _GREY | {0x00280010: ("US", rows), 0x00280011: ("US", b"\0\2"), 0x7FE00010: ("OW", pixels)}
    return _file(header, _EXPLICIT, _SECONDARY)


def _compressed(syntax: str, table: bytes, fragments: list[bytes]) -> bytes:
    head = struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OB", 0, _UNDEFINED)
    even = [it + b"\0" * (len(it) % 2) for it in fragments]
    pixels = head + _items(table, *even) + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    return _file(_GREY, syntax, _SECONDARY, pixels)


def _overlay(size: int, piece: bytes) -> bytes:
    count = max(1, size // 8)
    plane = {
        0x60000010: ("US", b"\x08\0"), 0x60000011: ("US", b"\x08\0"), 0x60000015: ("IS", str(count).encode()),
        0x60000040: ("CS", b"G"), 0x60000050: ("SS", b"\1\0\1\0"), 0x60000100: ("US", b"\1\0"), 0x60000102: ("US", b"\0\0"),
        0x60003000: ("OW", _filled(piece, count * 8)),
    }  # fmt: skip
    return _file(_GREY | plane | {0x7FE00010: ("OW", bytes(64))}, _EXPLICIT, _SECONDARY)


# Documents


def _document_kinds() -> Iterator[Kind]:
    start = b'<ClinicalDocument xmlns="urn:hl7-org:v3">'
    end = b"</ClinicalDocument>"
    pieces = {
        "ids": b'<id root="1.2.3" extension="PX1"/>', "texts": b"<text>Dr. Voziox</text>",
        "names": b"<name><family>Voziox</family></name>", "addresses": b"<addr><city>Xylberg</city></addr>",
        "sections": b"<component><section><title>T</title></section></component>", "times": b'<effectiveTime value="20240229"/>',
        "authors": b"<author><time/><name>Voziox</name></author>", "telecoms": b'<telecom value="tel:+4962215589012"/>',
    }  # fmt: skip
    for name, piece in pieces.items():
        for depth in (0, 200):
            yield Kind(
                f"CDA of {name}, {depth} deep",
                lambda n, p=piece, d=depth: _document(
                    _CDA,
                    start + b"<component>" * d + _filled(p, n // len(p) * len(p)) + b"</component>" * d + end,
                ),
            )
    yield Kind("CDA of distinct names", lambda n: _document(_CDA, start + _cda_names(n) + end))
    for name, piece in {
        "vertices": b"v 1.0 2.0 3.0\n", "names": b"o Voziox\n", "comments": b"# Voziox\n", "continued": b"v 1 \\\n",
        "files": b"mtllib a b c\n", "faces": b"f 1/2/3 " * 9 + b"\n", "one line": b"f 1/2/3 ",
    }.items():  # fmt: skip
        yield Kind(f"OBJ of {name}", lambda n, p=piece: _document(_OBJ, _filled(p, n)))
    for name, piece in {
        "facets": b"facet normal 0 0 1\n", "vertices": b"vertex 1 2 3\n", "solids": b"solid Voziox\n", "blanks": b" ", "lines": b"\n",
        "digits": b"vertex 1", "one number": b"1",
    }.items():  # fmt: skip
        yield Kind(f"STL of {name}", lambda n, p=piece: _document(_STL, b"solid a\n" + _filled(p, n)))


def _cda_names(size: int) -> bytes:
    words = _distinct(size // 8, lambda chance, n: _word(chance).capitalize()).decode().split()
    return b"".join(f"<name><family>{word}</family></name><text>{word}</text>".encode() for word in words)


def _document(sop_class: str, payload: bytes) -> bytes:
    return _file({0x00420011: ("OB", payload)}, _EXPLICIT, sop_class)


# Layers of packing


def _layer_kinds() -> Iterator[Kind]:
    texts = {
        "text": b"Dr. Voziox and others. ",
        "zlib heads": b"\x78\x9c",
        "zeros": b"\0",
        "base64": b"QUJDREVG",
    }
    layers: dict[str, Callable[[bytes], bytes]] = {
        "zlib": zlib.compress, "stored": lambda data: zlib.compress(data, 0), "gzip": lambda data: gzip.compress(data, mtime=0),
        "base64": base64.b64encode, "base64 in lines": base64.encodebytes, "hexadecimal": lambda data: data.hex().encode(),
        "cut zlib": lambda data: zlib.compress(data)[:-5], "heads and zlib": lambda data: b"\x78\x9c" * 500 + zlib.compress(data),
        "stored, open": lambda data: b"".join(
            b"\x78\x01\0" + struct.pack("<HH", len(part), 0xFFFF ^ len(part)) + part
            for part in (data[at : at + 60000] for at in range(0, len(data), 60000))
        ),
    }  # fmt: skip
    for text, piece in texts.items():
        for outer, wrap in layers.items():
            for inner, inner_wrap in layers.items():
                yield Kind(
                    f"{outer} of {inner} of {text}",
                    lambda n, p=piece, a=wrap, b=inner_wrap: _one("OW", _BY_VR["OW"], a(b(_filled(p, n)))),
                )
    yield Kind("stored in stored", _stored_in_stored)
    yield Kind("stored that overlap", _overlapping)


def _stored_in_stored(size: int) -> bytes:
    data = b"Dr. Voziox"
    while len(data) < size:
        data = zlib.compress(data + bytes(64), 0)
    return _one("OW", _BY_VR["OW"], data)


def _overlapping(size: int) -> bytes:
    """Return heads of streams, each of which holds all that follow: what ended a run after 40 minutes."""
    head, data = b"\x78\x01\0", b""
    for _ in range(size // 7):
        length = min(len(data), 0xFFFF)
        data = head + struct.pack("<HH", length, 0xFFFF ^ length) + data
    return _one("OW", _BY_VR["OW"], data)


def kinds() -> list[Kind]:
    """Return every kind."""
    return [
        *_text_kinds(), *_nested_kinds(), *_distinct_kinds(), *_structure_kinds(), *_picture_kinds(), *_document_kinds(),
        *_layer_kinds(),
    ]  # fmt: skip


def recipe_of(name: str) -> Recipe:
    """Return a recipe that ships, or `keeping`: one that keeps and cleans all it can, documents among it."""
    return parse_recipe(f"{KEEPING}\nencapsulated: clean") if name == "keeping" else load_recipe(name)


def measured(kind: Kind, recipe: Recipe, sizes: tuple[int, ...] = SIZES) -> Growth:
    """Return how the time of one kind grows; larger sizes are not tried once one took ten seconds."""
    seconds: list[float] = []
    lengths: list[int] = []
    outcome = ""
    for size in sizes:
        data = kind.make(size)
        began = process_time()
        try:
            deidentify_bytes(data, recipe, KEY, bright)
            outcome = "written"
        except Refusal as refusal:
            outcome = f"{type(refusal).__name__.lower()} {refusal.reason}"
        seconds.append(process_time() - began)
        lengths.append(max(size, len(data)))  # what is packed well counts as what it unpacks to
        if seconds[-1] > 10:
            break
    exponent = 0.0
    if len(seconds) > 1 and lengths[-1] > lengths[-2]:
        exponent = math.log(max(seconds[-1], 1e-3) / max(seconds[-2], 1e-3)) / math.log(
            lengths[-1] / lengths[-2]
        )
    return Growth(tuple(seconds), exponent, seconds[-1] / lengths[-1] * (1 << 20), outcome, kind.slowest)


def overrun(kind: Kind, recipe: Recipe, size: int, seconds: float) -> float:
    """Return by how much one file takes longer than it may: below 0 where it was done, or failed, in time."""
    data = kind.make(size)
    began = perf_counter()
    with working_until(began + seconds), suppress(Refusal):
        deidentify_bytes(data, recipe, KEY, bright)
    return perf_counter() - began - seconds


def main() -> int:
    """Try all kinds; print what grows too steeply, and the slowest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="kinds with this in their names")
    parser.add_argument(
        "--recipe", action="append", help="default and research unless given; keeping is another"
    )
    parser.add_argument("--largest", type=int, default=SIZES[-1] >> 10, help="kilobytes")
    parser.add_argument("--part", default="1/1", help="2/3 is the second third of them")
    parser.add_argument("--all", action="store_true", help="print every kind")
    parser.add_argument(
        "--seconds", type=float, help="give each file so much time, and see by how much it overruns"
    )
    options = parser.parse_args()
    sizes = tuple((options.largest << 10) // _STEP**power for power in (2, 1, 0))
    number, parts = map(int, options.part.split("/"))
    chosen = [kind for kind in kinds() if options.only in kind.name][number - 1 :: parts]
    if options.seconds:
        return _all_overruns(chosen, options.recipe or _RECIPES, options.largest << 10, options.seconds)
    found: list[tuple[Growth, str, str]] = []
    for name in options.recipe or _RECIPES:
        recipe = recipe_of(name)
        for kind in chosen:
            growth = measured(kind, recipe, sizes)
            found.append((growth, name, kind.name))
            if options.all or not growth.is_fine:
                print(_line(growth, name, kind.name), flush=True)
    print("slowest:")
    for growth, name, kind_name in sorted(found, key=lambda it: -it[0].rate)[:15]:
        print(_line(growth, name, kind_name))
    bad = sum(not growth.is_fine for growth, *_ in found)
    print(f"{len(chosen)} kinds, {len(found)} trials, {bad} grow too steeply")
    return int(bad > 0)


def _all_overruns(chosen: list[Kind], names: Sequence[str], size: int, seconds: float) -> int:
    worst = sorted(
        (
            (overrun(kind, recipe_of(name), size, seconds), name, kind.name)
            for name in names
            for kind in chosen
        ),
        reverse=True,
    )
    for most, name, kind in worst[:15]:
        print(f"{most:7.2f} s more than {seconds:.1f}  {name:9} {kind}")
    bad = sum(most > OVERRUN for most, *_ in worst)
    print(f"{len(worst)} trials, {bad} overran by more than {OVERRUN:.0f} s")
    return int(bad > 0)


def _line(growth: Growth, recipe: str, kind: str) -> str:
    times = " ".join(f"{it:6.2f}" for it in growth.seconds)
    return f"{times}  ^{growth.exponent:4.2f} {growth.rate:7.2f} s/MB  {recipe:9} {growth.outcome:32} {kind}"


if __name__ == "__main__":
    sys.exit(main())
