"""Ways to break a DICOM file that know where its elements are."""

import struct
import zlib
from collections.abc import Callable
from random import Random
from typing import NamedTuple

UNDEFINED = 0xFFFFFFFF
LENGTHS = (0, 1, 2, 3, 7, 0x7FFF, 0xFFFE, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFC, 0xFFFFFFFE, UNDEFINED)
LONG_VRS = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"))
_SHORT_VRS = "AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US ?? \0\0"
VRS = (*sorted(LONG_VRS), *_SHORT_VRS.split(" "))
SYNTAXES = (
    *(f"1.2.840.10008.1.2{end}" for end in ("", ".1", ".2", ".5", ".1.99", ".1.98", ".4.50", ".4.51")),
    *(f"1.2.840.10008.1.2.4.{end}" for end in (57, 70, 80, 81, 90, 91, 102, 201, 202, 203, 7)),
    *("1.2.3.4", "", "\xff" * 8),
)
CHARSETS = (
    *("ISO_IR 6", "ISO_IR 100", "ISO_IR 192", "GB18030", "ISO_IR 13", "ISO_IR 166", "ISO 2022 IR 87"),
    *("\\ISO 2022 IR 87", "\\ISO 2022 IR 149", "ISO 2022 IR 13\\ISO 2022 IR 87\\ISO 2022 IR 159"),
    *("ISO_IR 999", "\\", "ISO_IR 192\\ISO_IR 100", "latin1", "utf-8", "ISO 2022 IR 58", "\x1b$B", ""),
)
VALUES = (
    *(b"", b" ", b"\0", b"-1", b"0", b"1e999", b"-1e-999", b"NaN", b"Infinity", b"9" * 400, b"0x10"),
    *(b"1\\2\\3", b"99999999", b"19991332", b"00000000", b"18000101-20991231", b"2024-02-30", b"YES", b"NO"),
    *(b"20240229235960.999999+9999", b"../../x", b"/etc/passwd", b"..", b"1.2.3/../../../x", b"1." * 40),
    *(b"1.2.840.10008.1.2", b"2.25." + b"9" * 80, b"\x1b$B\x1b(J\x1b$)C", b"\xff\xfe\xfd", b"\xc3\x28"),
    *(
        b"^^^^=^^^^=^^^^=",
        b"\\" * 200,
        b"^" * 200,
        b"=" * 200,
        b"\xed\xa0\x80",
        b"\x00\xd8\x00\xdc",
        b"A" * 70000,
    ),
    *(b"\xfe\xff\x00\xe0\xff\xff\xff\xff", b"%PDF-1.4 (" * 50, b"\x78\x9c" * 40, b"\xff\xd8\xff\xfe\xff\xff"),
    *(
        b"a@b.c " * 99,
        b"1 " * 999,
        b"QUFB" * 99,
        b"\x80" * 9,
        b"&#1114112;&#xD800;\\ud800%",
        b"20240101 " * 99,
    ),
)
# What says how to read values, pixels, overlays and documents; delimiters; groups that should not be there.
_TAGS = """
    00080005 00080016 00080018 00080060 00081140 00100010 00100020 00100030 0020000D 0020000E 00280002
    00280004 00280006 00280008 00280010 00280011 00280034 00280100 00280101 00280102 00280103 00280106
    00280301 00281050 00281051 00281052 00281053 00281056 00281101 00281102 00281103 00281201 00281221
    00282110 00283000 00420011 00880200 00186011 00041220 0040A120 0040A124 0040A160 0040A30A 0040A730
    00540400 50003000 52009229 52009230 60000010 60000011 60000050 60000100 60000102 60003000 60FE3000
    7FE00001 7FE00002 7FE00003 7FE00008 7FE00009 7FE00010 7FE00011 FFFCFFFC FFFEE000 FFFEE00D FFFEE0DD
    00020010 00020000 00000000 00090010 00091001 FFFFFFFF
"""
TAGS = tuple(int(tag, 16) for tag in _TAGS.split())
DEEP = 10_000


class Place(NamedTuple):
    """One element: where it begins, where its value begins and ends, its VR as written."""

    start: int
    value: int
    end: int
    vr: str | None


class File(NamedTuple):
    """The bytes of a file, the places of its elements in order, and how it is encoded."""

    data: bytes
    places: tuple[Place, ...]
    little: bool

    def head(self, tag: int, vr: str | None, length: int) -> bytes:
        """Return tag, VR and length as this file writes them; VR None is implicit."""
        order = "<" if self.little else ">"
        start = struct.pack(f"{order}HH", tag >> 16, tag & 0xFFFF)
        if vr is None:
            return start + struct.pack(f"{order}L", length & UNDEFINED)
        named = vr.encode("latin-1")
        if vr in LONG_VRS:
            return start + named + b"\0\0" + struct.pack(f"{order}L", length & UNDEFINED)
        return start + named + struct.pack(f"{order}H", length & 0xFFFF)


def dissect(data: bytes) -> File:
    """Find the elements of a file, those of items included, as far as it makes sense."""
    places: list[Place] = []
    at = 132 if data[128:132] == b"DICM" else 0
    little, is_meta = True, True
    while at + 8 <= len(data):
        if is_meta and data[at : at + 2] != b"\x02\0":
            is_meta, little = False, not data[at] == 0 < data[at + 1]
        order = "<" if little else ">"
        group, number = struct.unpack_from(f"{order}HH", data, at)
        vr = data[at + 4 : at + 6].decode("latin-1")
        if group == 0xFFFE or vr not in VRS[:-2]:
            (length,) = struct.unpack_from(f"{order}L", data, at + 4)
            place, written = at + 8, None
        elif vr in LONG_VRS:
            (length,) = struct.unpack_from(f"{order}L", data.ljust(at + 12), at + 8)
            place, written = at + 12, vr
        else:
            (length,) = struct.unpack_from(f"{order}H", data, at + 6)
            place, written = at + 8, vr
        end = place if length == UNDEFINED else min(place + length, len(data))
        if group != 0xFFFE:
            places.append(Place(at, place, end, written))
        if (group, number) == (0x7FE0, 0x0010) and length == UNDEFINED:
            break
        at = place if vr == "SQ" or group == 0xFFFE else end
    return File(data, tuple(places), little)


Mutation = Callable[[File, Random], bytes]


def flip(file: File, random: Random) -> bytes:
    """Change some bits, more often in the header than in pixels."""
    data = bytearray(file.data)
    reach = len(data) if random.random() < 0.3 else max(1, min(len(data), 4096))
    for _ in range(random.choice((1, 1, 2, 8, 64))):
        data[random.randrange(reach) % len(data)] ^= 1 << random.randrange(8)
    return bytes(data)


def cut(file: File, random: Random) -> bytes:
    """End the file at an element's start, value or end, or one byte beside, or anywhere."""
    if not file.places or random.random() < 0.3:
        return file.data[: random.randrange(len(file.data) + 1)]
    return file.data[: max(0, random.choice(random.choice(file.places)[:3]) + random.choice((-1, 0, 1)))]


def with_length(file: File, random: Random) -> bytes:
    """Claim another length for one element."""
    place = _some(file, random)
    if place is None:
        return flip(file, random)
    length = place.end - place.value
    rest = len(file.data) - place.value
    claimed = random.choice((*LENGTHS, length + 1, length - 1, length * 2, rest, rest + 1, rest - 8))
    head = file.head(_tag_at(file, place), place.vr, max(0, claimed))
    return file.data[: place.start] + head + file.data[place.value :]


def with_vr(file: File, random: Random) -> bytes:
    """Give one element another VR, its length in that VR's form or not."""
    place = _some(file, random)
    if place is None or place.vr is None:
        return with_length(file, random)
    vr = random.choice(VRS)
    if random.random() < 0.3:
        return file.data[: place.start + 4] + vr.encode("latin-1") + file.data[place.start + 6 :]
    head = file.head(_tag_at(file, place), vr, place.end - place.value)
    return file.data[: place.start] + head + file.data[place.value :]


def with_tag(file: File, random: Random) -> bytes:
    """Give one element another tag."""
    place = _some(file, random)
    if place is None:
        return flip(file, random)
    tag = random.choice(TAGS)
    order = "<" if file.little else ">"
    start = struct.pack(f"{order}HH", tag >> 16, tag & 0xFFFF)
    return file.data[: place.start] + start + file.data[place.start + 4 :]


def with_value(file: File, random: Random) -> bytes:
    """Give one element another value, with the length it has."""
    place = _some(file, random)
    if place is None:
        return flip(file, random)
    old = file.data[place.value : place.end]
    kinds = [random.choice(VALUES), random.randbytes(random.choice((1, 2, 4, 8, len(old)))), old * 2]
    kinds += [struct.pack("<H", random.choice((0, 1, 2, 3, 7, 8, 12, 13, 16, 17, 32, 64, 32767, 65535)))] * 2
    return _replaced(file, place, random.choice(kinds))


def with_charset(file: File, random: Random) -> bytes:
    """Say another Specific Character Set, in the first element that says one or before all others."""
    value = random.choice(CHARSETS).encode("latin-1")
    for place in file.places:
        if _tag_at(file, place) == 0x00080005:
            return _replaced(file, place, value)
    return _inserted(file, 0x00080005, "CS", value)


def with_syntax(file: File, random: Random) -> bytes:
    """Say another transfer syntax."""
    for place in file.places:
        if file.data[place.start : place.start + 4] == b"\x02\0\x10\0":
            return _replaced(file, place, random.choice(SYNTAXES).encode("latin-1"))
    return flip(file, random)


def without(file: File, random: Random) -> bytes:
    """Take out one element."""
    place = _some(file, random)
    return file.data if place is None else file.data[: place.start] + file.data[place.end :]


def doubled(file: File, random: Random) -> bytes:
    """Repeat one element, there or elsewhere."""
    place, other = _some(file, random), _some(file, random)
    if place is None or other is None:
        return flip(file, random)
    at = other.start if random.random() < 0.5 else place.end
    return file.data[:at] + file.data[place.start : place.end] + file.data[at:]


def deep(file: File, random: Random) -> bytes:
    """Put in a sequence of sequences; with or without ends."""
    depth = random.choice((2, 99, 101, 1000, DEEP))
    vr = None if not file.places or file.places[-1].vr is None else random.choice(("SQ", "UN"))
    tag = random.choice((0x00081140, 0x0040A730, 0x00091001, 0x00089215, 0x00189999))
    item = file.head(0xFFFEE000, None, UNDEFINED)
    nested = (file.head(tag, vr, UNDEFINED) + item) * depth
    end = file.head(0xFFFEE00D, None, 0) + file.head(0xFFFEE0DD, None, 0)
    ends = end * random.choice((depth, depth, 0, 1))
    at = _after_meta(file)
    return file.data[:at] + nested + ends + file.data[at:]


def many(file: File, random: Random) -> bytes:
    """Put in very many small elements or items."""
    count = random.choice((100, 5000))
    at = _after_meta(file)
    vr = None if not file.places or file.places[-1].vr is None else "LO"
    if random.random() < 0.5:
        heads = (file.head(0x00090010 + number, vr, 2) for number in range(count))
        inside = b"".join(head + b"ab" for head in heads)
    else:
        items = file.head(0xFFFEE000, None, 0) * count
        inside = file.head(0x00081140, vr and "SQ", len(items)) + items
    return file.data[:at] + inside + file.data[at:]


def deflated(file: File, random: Random) -> bytes:
    """Say that it is deflated, and deflate it, a long run of zeros behind it or the stream cut."""
    at = _after_meta(file)
    zeros = bytes(random.choice((0, 0, 1 << 16, 1 << 22)))
    pressed = zlib.compressobj(wbits=-15)
    stream = pressed.compress(file.data[at:] + zeros) + pressed.flush()
    stream = stream[: random.choice((len(stream), len(stream), len(stream) // 2))]
    for place in file.places:
        if file.data[place.start : place.start + 4] == b"\x02\0\x10\0":
            changed = _replaced(file, place, b"1.2.840.10008.1.2.1.99")
            return changed[: len(changed) - (len(file.data) - at)] + stream
    return file.data[:at] + stream


MUTATIONS: tuple[Mutation, ...] = (
    *(flip, cut, with_length, with_vr, with_tag, with_value, with_value, with_charset, with_syntax, without),
    *(doubled, deep, many, deflated),
)


def mutated(data: bytes, seed: int) -> bytes:
    """Break a file in one to four ways that a seed decides on."""
    random = Random(seed)
    for _ in range(random.choice((1, 1, 1, 2, 2, 3, 4))):
        if not data:
            break
        data = random.choice(MUTATIONS)(dissect(data), random)
    return data


def _some(file: File, random: Random) -> Place | None:
    return random.choice(file.places) if file.places else None


def _tag_at(file: File, place: Place) -> int:
    order = "<" if file.little else ">"
    group, element = struct.unpack_from(f"{order}HH", file.data.ljust(place.start + 4, b"\0"), place.start)
    return int(group) << 16 | int(element)


def _replaced(file: File, place: Place, value: bytes) -> bytes:
    value += b" " * (len(value) % 2)
    head = file.head(_tag_at(file, place), place.vr, len(value))
    return file.data[: place.start] + head + value + file.data[place.end :]


def _inserted(file: File, tag: int, vr: str, value: bytes) -> bytes:
    value += b" " * (len(value) % 2)
    at = _after_meta(file)
    is_implicit = bool(file.places) and file.places[-1].vr is None
    return file.data[:at] + file.head(tag, None if is_implicit else vr, len(value)) + value + file.data[at:]


def _after_meta(file: File) -> int:
    starts = [place.start for place in file.places if file.data[place.start : place.start + 2] != b"\x02\0"]
    return min(starts, default=len(file.data))
