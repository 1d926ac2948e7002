"""Comments, application segments, trailing bytes and other facts about compressed frames."""

import re
import struct
from collections.abc import Iterator

from pydicom.encaps import generate_fragments

from beamstop.dicom.deadline import check_time
from beamstop.errors import Quarantined

_JPEG, _J2K = b"\xff\xd8\xff", b"\xff\x4f\xff"
# ISO/IEC 10918-1 B.1.1.3 (JPEG, JPEG-LS): APP0 to APP15, COM. ISO/IEC 15444-1 A.2 (JPEG 2000): COM.
_JPEG_TEXT = frozenset({*range(0xE0, 0xF0), 0xFE})
_J2K_TEXT = frozenset({0x64})
_JPEG_LAST, _J2K_LAST = 0xDA, 0x90  # start of scan, start of tile part: pixels from here on
_JPEG_LS_FRAME = 0xF7
# ISO/IEC 10918-1 table B.1: C4, C8 and CC are not frame headers; C3, C7, CB and CF are for lossless frames.
_JPEG_FRAMES = frozenset({*range(0xC0, 0xD0), _JPEG_LS_FRAME} - {0xC4, 0xC8, 0xCC})
_JPEG_DCT = _JPEG_FRAMES - {0xC3, 0xC7, 0xCB, 0xCF, _JPEG_LS_FRAME}
_COD, _IRREVERSIBLE = 0x52, 0  # marker of JPEG 2000's coding style; its lossy wavelet
_JFIF, _ADOBE = 0xE0, 0xEE
_LONGEST_JP2_HEADER = 4096  # bytes, within which a codestream begins
_END = 0xD9  # of a JPEG image and of a JPEG 2000 codestream
_MARKER = re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]")  # a marker that ends a scan; D0 to D7 restart it
_PADDING = b"\0\xff"


def comments(encapsulated: bytes) -> bytes:
    """Return everything in the fragments that is not pixels, separated by line breaks.

    That is comments, application segments, and bytes after the end of a picture.

    Args:
        encapsulated: value of Pixel Data in a compressed transfer syntax (PS3.5 A.4).

    Returns:
        their bytes; may be empty. Only JPEG, JPEG-LS and JPEG 2000 have such segments; a truncated codestream
        is read to its end.

    Raises:
        Quarantined: `pixels_undecodable`: the value does not consist of fragments.
    """
    found: list[bytes] = []
    try:
        for fragment in generate_fragments(encapsulated):
            check_time()
            found += _said(fragment)
    except (ValueError, EOFError, struct.error):
        raise Quarantined("pixels_undecodable", "PixelData: fragments") from None
    return b"\n".join(found)


def end_of(codestream: bytes) -> int:
    """Return where a codestream ends: its length, unless more than padding follows the end marker.

    Decoders stop at the marker, so viewers do not show what follows. Only JPEG, JPEG-LS and JPEG 2000 have
    one.
    """
    end = len(codestream)
    try:
        if codestream.startswith(_JPEG):
            end = _end_of_jpeg(codestream)
        elif codestream.startswith(_J2K):
            end = _end_of_j2k(codestream)
    except (IndexError, ValueError, struct.error):  # cut short: there is no end
        pass
    return end if codestream[end:].strip(_PADDING) else len(codestream)


def is_lossy(codestream: bytes) -> bool:
    """Return whether a codestream was written with loss; False if it cannot be read.

    DCT-based JPEG is lossy (ISO/IEC 10918-1 B.2.2), JPEG-LS by its NEAR (ISO/IEC 14495-1 C.2.3), JPEG 2000
    and HTJ2K by the irreversible wavelet (ISO/IEC 15444-1 A.6.1).
    """
    try:
        if codestream.startswith(_JPEG):
            segments = dict(_headers(codestream, _JPEG_LAST))
            if _JPEG_LS_FRAME in segments:
                scan = segments[_JPEG_LAST]
                return scan[1 + 2 * scan[0]] > 0
            return not _JPEG_DCT.isdisjoint(segments)
        return codestream.startswith(_J2K) and dict(_headers(codestream, _J2K_LAST))[_COD][9] == _IRREVERSIBLE
    except LookupError:
        return False


def jpeg_size(codestream: bytes) -> tuple[int, int] | None:
    """Return lines and samples per line from a frame header (ISO 10918-1 B.2.2, ISO 14495-1 C.2.2)."""
    for marker, body in _headers(codestream, _JPEG_LAST):
        if marker in _JPEG_FRAMES and len(body) >= 5:
            lines, samples = struct.unpack_from(">HH", body, 1)
            return lines, samples
    return None


def precision_of(codestream: bytes) -> int | None:
    """Return the bits per sample of the widest component of a JPEG, JPEG-LS or JPEG 2000; otherwise None."""
    if codestream.startswith(_JPEG):
        for marker, body in _headers(codestream, _JPEG_LAST):
            if marker in _JPEG_FRAMES and body:
                return body[0]
        return None
    start = codestream.find(b"\xff\x4f\xff\x51", 0, _LONGEST_JP2_HEADER)
    if start < 0 or len(codestream) < start + 42:
        return None
    (count,) = struct.unpack_from(">H", codestream, start + 40)
    bits = codestream[start + 42 : start + 42 + 3 * count : 3]
    return max(1 + (each & 0x7F) for each in bits) if bits else None


def jpeg_colour(codestream: bytes) -> str | None:
    """Return RGB or YBR if a JPEG or JPEG-LS of three components declares it, else None.

    As in pydicom: components named R, G and B, or else a JFIF segment. Adobe's segment is ignored, as by
    pydicom, DCMTK and GDCM.
    """
    if not codestream.startswith(_JPEG):
        return None
    has_jfif = False
    for marker, body in _headers(codestream, _JPEG_LAST):
        if marker in _JPEG_FRAMES and body[6::3].lower() == b"rgb":
            return "RGB"
        has_jfif = has_jfif or (marker == _JFIF and body.startswith(b"JFIF"))
    return "YBR" if has_jfif else None


def with_colour_of(codestream: bytes, original: bytes) -> bytes:
    """Return a JPEG with the component names and colour space of another one.

    Raises:
        LookupError, ValueError: the other one has other components, or one of the two is broken.
    """
    segments, names = [b"\xff\xd8"], b""
    for marker, body in _headers(original, _JPEG_LAST):
        if (marker, body[:4]) == (_JFIF, b"JFIF") or (marker, body[:5]) == (_ADOBE, b"Adobe"):
            segments.append(struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body)
        if marker in _JPEG_FRAMES:
            names = body[6::3]
    at = 2
    for marker, body in _headers(codestream, _JPEG_LAST):
        at += 4 + len(body)
        if marker in _JPEG_TEXT:
            continue
        named = bytearray(body)
        if marker in _JPEG_FRAMES:
            named[6::3] = names
        elif marker == _JPEG_LAST:
            named[1 : 1 + 2 * body[0] : 2] = names
        segments.append(struct.pack(">BBH", 0xFF, marker, len(body) + 2) + named)
    return b"".join(segments) + codestream[at:]


def _said(fragment: bytes) -> Iterator[bytes]:
    if fragment.startswith(_JPEG):
        yield from (body for marker, body in _headers(fragment, _JPEG_LAST) if marker in _JPEG_TEXT)
    elif fragment.startswith(_J2K):
        yield from (body for marker, body in _headers(fragment, _J2K_LAST) if marker in _J2K_TEXT)
    beyond = fragment[end_of(fragment) :]
    if beyond:
        yield beyond


def _end_of_jpeg(codestream: bytes) -> int:
    """Walk from segment to segment, and through each scan, to the end of the image (ISO/IEC 10918-1 B.1)."""
    at = 2
    while True:
        marker = codestream[at + 1]
        if codestream[at] != 0xFF:
            raise IndexError
        if marker == 0xFF:  # a fill byte
            at += 1
        elif marker == _END:
            return at + 2
        else:
            at += 2 + struct.unpack_from(">H", codestream, at + 2)[0]
            if marker == _JPEG_LAST:
                at = after_scan(codestream, at)


def after_scan(codestream: bytes, at: int) -> int:
    """Return the offset of the marker after a scan; in a scan, FF precedes less than 80 or is a restart."""
    found = _MARKER.search(codestream, at)
    if found is None:
        raise IndexError
    return found.start()


def _end_of_j2k(codestream: bytes) -> int:
    """Walk through the main header and from tile part to tile part (ISO/IEC 15444-1 A.4)."""
    at = 2
    while True:
        marker, length = struct.unpack_from(">HH", codestream, at)
        if marker == 0xFF00 | _END:
            return at + 2
        if marker == 0xFF00 | _J2K_LAST:
            (length,) = struct.unpack_from(">L", codestream, at + 6)
            if not length:  # the last tile part; no two of its bytes look like the marker
                return codestream.index(b"\xff\xd9", at) + 2
            at += length
        else:
            at += 2 + length


def _headers(codestream: bytes, last: int) -> Iterator[tuple[int, bytes]]:
    """Yield marker and body of the segments before the pixels."""
    at, marker = 2, 0
    while marker != last and at + 4 <= len(codestream) and codestream[at] == 0xFF:
        marker = codestream[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        length = int.from_bytes(codestream[at + 2 : at + 4], "big")
        yield marker, codestream[at + 4 : at + 2 + length]
        at += 2 + max(length, 2)
