"""What compressed frames say beside their pixels: comments and application segments."""

import struct

from pydicom.encaps import generate_fragments

from beamstop.errors import Quarantined

_JPEG, _J2K = b"\xff\xd8\xff", b"\xff\x4f\xff"
# ISO/IEC 10918-1 B.1.1.3 (JPEG, JPEG-LS): APP0 to APP15, COM. ISO/IEC 15444-1 A.2 (JPEG 2000): COM.
_JPEG_TEXT = frozenset({*range(0xE0, 0xF0), 0xFE})
_J2K_TEXT = frozenset({0x64})
_JPEG_LAST, _J2K_LAST = 0xDA, 0x90  # start of scan, start of tile part: pixels from here on


def comments(encapsulated: bytes) -> bytes:
    """Return the comments and application segments of all fragments, a line break between them.

    Args:
        encapsulated: value of Pixel Data in a compressed transfer syntax (PS3.5 A.4).

    Returns:
        their bytes; empty where there are none. A codestream that is no JPEG, JPEG-LS or JPEG 2000
        has no such segments; one that is cut short is read as far as it goes.

    Raises:
        Quarantined: `pixels_undecodable` when the value is not made of fragments.
    """
    found: list[bytes] = []
    try:
        fragments = list(generate_fragments(encapsulated))
    except (ValueError, EOFError, struct.error):
        raise Quarantined("pixels_undecodable", "PixelData: fragments") from None
    for fragment in fragments:
        if fragment.startswith(_JPEG):
            found += _segments(fragment, _JPEG_TEXT, _JPEG_LAST)
        elif fragment.startswith(_J2K):
            found += _segments(fragment, _J2K_TEXT, _J2K_LAST)
    return b"\n".join(found)


def _segments(codestream: bytes, wanted: frozenset[int], last: int) -> list[bytes]:
    found, at = [], 2
    while at + 4 <= len(codestream) and codestream[at] == 0xFF:
        marker = codestream[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker == last:
            break
        length = int.from_bytes(codestream[at + 2 : at + 4], "big")
        if marker in wanted:
            found.append(codestream[at + 4 : at + 2 + length])
        at += 2 + max(length, 2)
    return found
