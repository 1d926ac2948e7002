"""Cuts extras from compressed frames: comments, EXIF, thumbnails, boxes and slack.

Everything that a decoder needs to give the same pixels stays, byte for byte: headers, used tables, coded
data. JFIF stays without its thumbnail, Adobe's segment and HP's colour transform if they tell how colours are
meant, an ICC profile is cleaned, and of JP2 the boxes with the picture or its description stay.
"""

import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import NamedTuple

from pydicom.datadict import keyword_dict
from pydicom.dataset import Dataset
from pydicom.uid import UID, RLELossless

from beamstop.dicom.deadline import check_time
from beamstop.dicom.elements import MALFORMED
from beamstop.dicom.files import transfer_syntax_of
from beamstop.errors import PixelError
from beamstop.pixels.codestreams import after_scan
from beamstop.pixels.encapsulation import Fragments, Offsets, join, split
from beamstop.pixels.frames import frame_count, is_video, refuse_fragments
from beamstop.pixels.layout import PIXEL_TAGS, Layout, number_of

Cleaner = Callable[[bytes], bytes]

_JPEG, _J2K, _JP2, _JXL = b"\xff\xd8", b"\xff\x4f", b"\0\0\0\x0cjP  ", b"\0\0\0\x0cJXL "
_JXL_BARE = b"\xff\x0a"
_DEFLATED_FRAMES = "1.2.840.10008.1.2.8.1"
_PADDING = b"\0\xff"

# ISO/IEC 10918-1 B.1.1.3, ISO/IEC 14495-1 C.1.1
_SOI, _EOI, _SOS, _DQT, _DHT, _COM = 0xD8, 0xD9, 0xDA, 0xDB, 0xC4, 0xFE
_APP = range(0xE0, 0xF0)
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})  # markers without a length, meaningless outside of a scan
_FRAME_HEADERS = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
_LOSSLESS_HEADERS = frozenset({0xC3, 0xCB, 0xF7})
_PROGRESSIVE = frozenset({0xC2, 0xCA})
_HIERARCHICAL = frozenset({0xDE, *range(0xC5, 0xC8), *range(0xCD, 0xD0)})
# Frame headers, DHT and DAC, SOS, DQT, DNL, DRI, DHP, EXP, and JPEG-LS's frame header and presets.
_NEEDED = frozenset({*range(0xC0, 0xD0), *range(0xDA, 0xE0), 0xF7, 0xF8} - {0xC8})
_ICC = b"ICC_PROFILE\0"
_LARGEST_CHUNK = 65519  # bytes of a profile in one segment
_MOST_CHUNKS = 255

# ISO/IEC 15444-1 A.2, 15444-2 A.2, 15444-15 A.2
_SOT, _SOD, _EOC, _TLM = 0xFF90, 0xFF93, 0xFFD9, 0xFF55
_J2K_NEEDED = frozenset(
    {*range(0xFF50, 0xFF54), *range(0xFF55, 0xFF5A), *range(0xFF5C, 0xFF62), *range(0xFF72, 0xFF7A)}
)
_TILE_PART = b"\xff\x90\0\x0a"  # SOT and its length; packets never contain FF90
_J2K_DROPPED = frozenset({0xFF63, 0xFF64})  # CRG, COM
_JP2_BOXES = frozenset({b"jP  ", b"ftyp", b"jp2h", b"jp2c"})
_JP2_HEADERS = frozenset({b"ihdr", b"bpcc", b"colr", b"pclr", b"cmap", b"cdef"})
_JXL_BOXES = frozenset({b"JXL ", b"ftyp", b"jxll", b"jxlc", b"jxlp"})
_RLE_HEADER = struct.Struct("<16L")
_AT_ONCE = 1 << 20  # pixels


def clean_frames(dataset: Dataset, clean_profile: Cleaner) -> int:
    """Cut extras from compressed frames, in place; return the number of frames that had any.

    Bytes after the last frame of uncompressed pixel data are cut as well. Video and private transfer syntaxes
    are left unchanged.

    Args:
        dataset: one instance.
        clean_profile: returns an ICC profile without its texts; raises ValueError if it is not one.

    Raises:
        PixelError: `pixels_undecodable`: frames cannot be told apart, or one cannot be parsed.
    """
    bare = _bare(dataset, clean_profile)
    if bare is None:
        return 0
    dataset[bare.keyword].value = bare.value
    if bare.offsets is not None and "ExtendedOffsetTable" in dataset:
        dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = bare.offsets.values()
    return bare.cleaned


def has_extras(dataset: Dataset, clean_profile: Cleaner) -> bool:
    """Return whether compressed frames have extras.

    Raises:
        PixelError: see `clean_frames`.
    """
    return _bare(dataset, clean_profile) is not None


class _Bare(NamedTuple):
    value: bytes
    offsets: Offsets | None
    cleaned: int
    keyword: str = "PixelData"


def _bare(dataset: Dataset, clean_profile: Cleaner) -> _Bare | None:
    """Return pixel data without extras; None if they have none."""
    syntax = transfer_syntax_of(dataset)
    if not any(keyword in dataset for keyword in PIXEL_TAGS) or is_video(syntax):
        return None
    try:
        if not syntax.is_encapsulated:
            return _bare_native(dataset)
        if "PixelData" not in dataset:
            return None
    except ValueError:  # not one that pydicom knows
        return None
    try:
        extended = None
        if "ExtendedOffsetTable" in dataset:
            lengths = dataset.get("ExtendedOffsetTableLengths", b"")
            extended = Offsets.of(dataset.ExtendedOffsetTable, lengths)
        found = split(dataset["PixelData"].value or b"", frame_count(dataset), extended)
        area = _area(dataset) if syntax == RLELossless else 0
        cleaned = []
        for frame in found.frames:
            check_time()
            cleaned.append(_cleaned(frame, syntax, area, clean_profile))
    except MALFORMED:
        raise PixelError("pixels_undecodable", f"PixelData: {syntax}") from None
    count = sum(it is not None for it in cleaned)
    if count == 0 and found.is_exact:
        return None
    frames = [old if new is None else (new,) for old, new in zip(found.frames, cleaned, strict=True)]
    return _Bare(*join(frames, found.has_table), max(count, 1))


def _bare_native(dataset: Dataset) -> _Bare | None:
    """Return uncompressed pixel data without the bytes after the last frame, which no reader shows."""
    refuse_fragments(dataset)
    try:
        layout = Layout.of(dataset)
    except PixelError:  # their end is unknown
        return None
    data, end = dataset.get_item(keyword_dict[layout.keyword]).value or b"", layout.native_bytes
    behind = memoryview(data)[end + end % 2 :]
    if not any(behind) or (layout.halved and len(data) >= end * 3 // 2):  # not subsampled, although declared
        return None
    return _Bare(data[:end] + bytes(end % 2), None, 1, layout.keyword)


def _area(dataset: Dataset) -> int:
    return number_of(dataset, "Rows") * number_of(dataset, "Columns")


def _cleaned(fragments: Fragments, syntax: UID, area: int, clean_profile: Cleaner) -> bytes | None:
    """Return a frame without extras, of even length; None if it has none."""
    whole = b"".join(fragments)
    bare = bare_frame(whole, syntax, area, clean_profile)
    if whole.startswith(bare) and not whole[len(bare) :].strip(_PADDING) and len(whole) - len(bare) <= 1:
        return None
    return bare + bytes(len(bare) % 2)


def bare_frame(frame: bytes, syntax: str, area: int, clean_profile: Cleaner) -> bytes:
    """Return a compressed frame with nothing except what a decoder needs to give the same pixels.

    Args:
        frame: all its fragments, joined.
        syntax: transfer syntax. Unless it is RLE or deflated, the coding is known by how the frame begins.
        area: rows times columns; used only for RLE Lossless.
        clean_profile: see `clean_frames`.

    Raises:
        ValueError, IndexError, struct.error, zlib.error: it cannot be parsed.
    """
    if syntax == RLELossless:
        return _bare_rle(frame, area)
    if syntax == _DEFLATED_FRAMES:
        return _bare_deflated(frame)
    if frame.startswith(_JPEG):
        return _bare_jpeg(frame, clean_profile)
    if frame.startswith(_J2K):
        return _bare_j2k(frame)
    if frame.startswith(_JP2):
        return b"".join(_bare_jp2(frame, clean_profile))
    if frame.startswith(_JXL):
        return b"".join(_box(kind, body) for kind, body in _boxes(frame) if kind in _JXL_BOXES)
    if frame.startswith(_JXL_BARE):
        return frame  # has no place for extras, and does not tell its length
    raise ValueError("not a codestream of the standard's")


class _Segment:
    """One marker segment of a JPEG, with the coded data that follow a scan's header."""

    def __init__(self, marker: int, body: bytes, coded: bytes = b"") -> None:
        self.marker = marker
        self.body = body
        self.coded = coded
        self.tables = list(_tables(marker, body)) if marker in (_DQT, _DHT) else []

    def encoded(self) -> bytes:
        """Return its bytes; empty if it has only unused tables."""
        body = self.body
        if self.tables and not all(it.used for it in self.tables):
            body = b"".join(it.data for it in self.tables if it.used)
            if not body:
                return b""
        return struct.pack(">BBH", 0xFF, self.marker, len(body) + 2) + body + self.coded


class _Table:
    """A quantisation or Huffman table: destination, bytes, whether any scan uses it."""

    def __init__(self, place: tuple[int, int], data: bytes) -> None:
        self.place = place
        self.data = data
        self.used = False


def _tables(marker: int, body: bytes) -> Iterator[_Table]:
    """Yield the tables of a DQT or DHT segment (ISO/IEC 10918-1 B.2.4.1, B.2.4.2)."""
    at = 0
    while at < len(body):
        kind, number = body[at] >> 4, body[at] & 15
        if marker == _DQT:
            length, place = 1 + 64 * (1 + kind), (_DQT, number)
        else:
            length, place = 17 + sum(body[at + 1 : at + 17]), (kind, number)
        if at + length > len(body) or kind > 1:
            raise ValueError("a table is cut")
        yield _Table(place, body[at : at + length])
        at += length


def _bare_jpeg(frame: bytes, clean_profile: Cleaner) -> bytes:
    segments, profile, where = list[_Segment](), dict[int, bytes](), None
    seen = set[int]()
    for segment in _segments(frame):
        if segment.marker == 0xE2 and segment.body.startswith(_ICC) and len(segment.body) > len(_ICC) + 2:
            profile.setdefault(segment.body[len(_ICC)], segment.body[len(_ICC) + 2 :])
            where = len(segments) if where is None else where
        elif segment.marker in _APP:
            kept = _application(segment.marker, segment.body)
            is_late = _SOS in seen or (segment.marker == 0xE0 and 0xE0 in seen)
            if kept is not None and not is_late:  # decoders use the first JFIF segment before the scans
                segments.append(_Segment(segment.marker, kept))
                seen.add(segment.marker)
        elif segment.marker in _NEEDED:
            segments.append(segment)
            seen.add(segment.marker)
        elif segment.marker != _COM:
            raise ValueError("a segment of an unknown kind")
    if _SOS not in seen:
        raise ValueError("no scan")
    if sum(it.marker in _FRAME_HEADERS for it in segments) > 1 and seen.isdisjoint(_HIERARCHICAL):
        raise ValueError("a picture behind the picture")
    _mark_used(segments)
    if where is not None:
        segments[where:where] = _profile_segments(profile, clean_profile)
    return b"\xff\xd8" + b"".join(it.encoded() for it in segments) + b"\xff\xd9"


def _segments(frame: bytes) -> Iterator[_Segment]:
    """Yield the segments of a JPEG up to its end, without the bytes between them, which decoders skip."""
    at = 2
    while True:
        at = frame.index(b"\xff", at)
        while frame[at] == 0xFF:
            at += 1
        marker = frame[at]
        at += 1
        if marker == _EOI:
            return
        if marker == 0 or marker in _STANDALONE:
            continue
        if marker == _SOI:
            raise ValueError("a picture in the picture")
        (length,) = struct.unpack_from(">H", frame, at)
        if length < 2 or at + length > len(frame):
            raise ValueError("a segment is cut")
        body, at = frame[at + 2 : at + length], at + length
        if marker == _SOS:
            end = after_scan(frame, at)
            yield _Segment(marker, body, frame[at:end])
            at = end
        else:
            yield _Segment(marker, body)


def _application(marker: int, body: bytes) -> bytes | None:
    """Return the part of an application segment that tells how colours are meant; None if it has none."""
    if marker == 0xE0 and body.startswith(b"JFIF\0") and len(body) >= 14:
        return body[:12] + b"\0\0"  # no thumbnail (ISO/IEC 10918-5 10.1)
    if marker == 0xEE and body.startswith(b"Adobe") and len(body) >= 12:
        return body[:12]  # ISO/IEC 10918-6 6.5.3
    if marker == 0xE8 and body.startswith(b"mrfx") and len(body) >= 5:
        return body[:5]  # the colour transform of HP's JPEG-LS, which CharLS undoes
    return None


def _profile_segments(chunks: dict[int, bytes], clean_profile: Cleaner) -> list[_Segment]:
    """Return the segments of a cleaned profile; none if it is not a profile (ICC.1 B.4)."""
    with suppress(ValueError):
        profile = clean_profile(b"".join(chunks[number] for number in sorted(chunks)))
        parts = [profile[at : at + _LARGEST_CHUNK] for at in range(0, len(profile), _LARGEST_CHUNK)]
        if len(parts) <= _MOST_CHUNKS:
            head = (_ICC + bytes((number, len(parts))) for number in range(1, len(parts) + 1))
            return [_Segment(0xE2, one + part) for one, part in zip(head, parts, strict=True)]
    return []


def _mark_used(segments: Sequence[_Segment]) -> None:
    """Mark the tables that a scan uses: the last ones defined before it begins."""
    standing: dict[tuple[int, int], _Table] = {}
    kind, quantised = 0, dict[int, int]()
    for segment in segments:
        if segment.marker in _HIERARCHICAL:
            for table in (table for it in segments for table in it.tables):
                table.used = True
            return
        standing |= {it.place: it for it in segment.tables}
        if segment.marker in _FRAME_HEADERS:
            kind, body = segment.marker, segment.body
            quantised = {body[at]: body[at + 2] for at in range(6, 6 + 3 * body[5], 3)}
        elif segment.marker == _SOS and kind != 0xF7:
            for place in _places(segment.body, kind, quantised):
                if place in standing:
                    standing[place].used = True


def _places(scan: bytes, kind: int, quantised: dict[int, int]) -> Iterator[tuple[int, int]]:
    """Yield the destinations of the tables that a scan uses (ISO/IEC 10918-1 B.2.3)."""
    count = scan[0]
    first, last = scan[1 + 2 * count], scan[2 + 2 * count]
    for at in range(1, 1 + 2 * count, 2):
        component, direct, alternating = scan[at], scan[at + 1] >> 4, scan[at + 1] & 15
        if kind in _LOSSLESS_HEADERS:
            yield 0, direct
            continue
        yield _DQT, quantised[component]
        if kind not in _PROGRESSIVE or first == 0:
            yield 0, direct
        if kind not in _PROGRESSIVE or last > 0:
            yield 1, alternating


class _TilePart(NamedTuple):
    head: bytes
    body: bytes


def _bare_j2k(frame: bytes) -> bytes:
    """Return a JPEG 2000 codestream without comments (ISO/IEC 15444-1 A.4)."""
    at, main = 2, list[tuple[int, bytes]]()
    while (marker := struct.unpack_from(">H", frame, at)[0]) != _SOT:
        at, body = _j2k_segment(frame, at, marker)
        if marker not in _J2K_DROPPED:
            main.append((marker, body))
    parts, has_end = [], False
    while at < len(frame) and not has_end:
        (marker,) = struct.unpack_from(">H", frame, at)
        if marker == _EOC:
            has_end = True
        elif marker == _SOT:
            at, part = _tile_part(frame, at)
            parts.append(part)
        else:
            raise ValueError("no tile part")
    if not has_end or not parts:
        raise ValueError("cut short")
    lengths = iter([len(it.head) + len(it.body) for it in parts])
    header = b"".join(
        struct.pack(">HH", marker, 2 + len(body)) + (_lengths(body, lengths) if marker == _TLM else body)
        for marker, body in main
    )
    return b"\xff\x4f" + header + b"".join(it.head + it.body for it in parts) + b"\xff\xd9"


def _j2k_segment(frame: bytes, at: int, marker: int) -> tuple[int, bytes]:
    (length,) = struct.unpack_from(">H", frame, at + 2)
    if marker not in _J2K_NEEDED | _J2K_DROPPED or length < 2 or at + 2 + length > len(frame):
        raise ValueError("a segment of an unknown kind, or cut")
    return at + 2 + length, frame[at + 4 : at + 2 + length]


def _tile_part(frame: bytes, start: int) -> tuple[int, _TilePart]:
    """Return the offset of a tile part's end, its header without comments, and its packets."""
    (length,) = struct.unpack_from(">L", frame, start + 6)
    if not length:  # the last one, which goes to the end: packets never contain a marker
        length = frame.index(b"\xff\xd9", start) - start
    end, at, kept = start + length, start + 12, [b""]
    if end > len(frame) or length < 14:
        raise ValueError("a tile part is cut")
    while (marker := struct.unpack_from(">H", frame, at)[0]) != _SOD:
        begin = at
        at, _ = _j2k_segment(frame, at, marker)
        if marker not in _J2K_DROPPED:
            kept.append(frame[begin:at])
    header, packets = b"".join(kept), frame[at:end]
    if _TILE_PART in packets:
        raise ValueError("a tile part in a tile part")
    said = struct.unpack_from(">L", frame, start + 6)[0] and 12 + len(header) + len(packets)
    head = frame[start : start + 6] + struct.pack(">L", said) + frame[start + 10 : start + 12] + header
    return end, _TilePart(head, packets)


def _lengths(body: bytes, lengths: Iterator[int]) -> bytes:
    """Return a TLM segment with the new lengths of tile parts (ISO/IEC 15444-1 A.7.1)."""
    tile, long = body[1] >> 4 & 3, body[1] >> 6 & 1
    form = ">L" if long else ">H"
    step = tile + struct.calcsize(form)
    if tile > 2 or (len(body) - 2) % step:
        raise ValueError("a table of tile parts is cut")
    tiles = [body[at : at + tile] for at in range(2, len(body), step)]
    now = list(islice(lengths, len(tiles)))
    if len(now) < len(tiles):
        raise ValueError("a table of tile parts has too many")
    return body[:2] + b"".join(it + struct.pack(form, length) for it, length in zip(tiles, now, strict=True))


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and content of the boxes in a file or in a box (ISO/IEC 15444-1 I.4)."""
    at = 0
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">L4s", data, at)
        head = 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, at + 8)
            head = 16
        end = at + length if length else len(data)
        if end > len(data) or (length and length < head):
            raise ValueError("a box is cut")
        yield kind, data[at + head : end]
        at = end


def _box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">L4s", 8 + len(body), kind) + body


def _bare_jp2(frame: bytes, clean_profile: Cleaner) -> Iterator[bytes]:
    for kind, body in _boxes(frame):
        if kind == b"jp2c":
            yield _box(kind, _bare_j2k(body))
            return  # readers ignore boxes after the picture
        if kind == b"jp2h":
            yield _box(kind, b"".join(_jp2_headers(body, clean_profile)))
        elif kind in _JP2_BOXES:
            yield _box(kind, body)
    raise ValueError("no codestream")


def _jp2_headers(body: bytes, clean_profile: Cleaner) -> Iterator[bytes]:
    for kind, inside in _boxes(body):
        if kind == b"colr" and inside[0] != 1:  # a profile, not a colour space by number (I.5.3.3)
            yield _box(kind, inside[:3] + clean_profile(inside[3:]))
        elif kind in _JP2_HEADERS:
            yield _box(kind, inside)


def _bare_rle(frame: bytes, area: int) -> bytes:
    """Return RLE segments without the bytes after the coded data (PS3.5 annex G)."""
    count, *offsets = _RLE_HEADER.unpack_from(frame)
    starts = offsets[:count]
    if not 0 < count <= 15 or starts != sorted(set(starts)) or starts[0] < 64:
        raise ValueError("no RLE header")
    bounds = zip(starts, [*starts[1:], len(frame)], strict=True)
    segments = [_bare_rle_segment(frame[start:end], area) for start, end in bounds]
    places, at = [], 64
    for segment in segments:
        places.append(at)
        at += len(segment)
    return _RLE_HEADER.pack(count, *places, *([0] * (15 - count))) + b"".join(segments)


def _bare_rle_segment(segment: bytes, area: int) -> bytes:
    at = made = 0
    while made < area:
        check_time()
        goal = min(area, made + _AT_ONCE)
        while made < goal:
            code = segment[at]
            if code < 128:
                at += code + 2
                made += code + 1
            elif code > 128:
                at += 2
                made += 257 - code
            else:
                at += 1
    if at > len(segment):
        raise ValueError("an RLE segment is cut")
    is_bare = len(segment) - at <= 1 and not segment[at:].strip(b"\0")
    return segment if is_bare else segment[:at] + bytes(at % 2)


def _bare_deflated(frame: bytes) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    rest = frame
    while not inflater.eof:
        if not rest and not inflater.unconsumed_tail:
            raise ValueError("a deflated frame is cut")
        inflater.decompress(inflater.unconsumed_tail or rest, 1 << 20)
        rest = b""
    return frame[: len(frame) - len(inflater.unused_data) - len(inflater.unconsumed_tail)]
