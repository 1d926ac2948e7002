"""Counts the elements in some bytes without making any."""

from typing import Literal

from pydicom.valuerep import EXPLICIT_VR_LENGTH_32, VR

from beamstop.errors import Failed

MAX_ELEMENTS = 2_000_000
SHORTEST_ELEMENT = 8  # bytes of tag and length (PS3.5 7.1)

_VRS = frozenset(vr.encode() for vr in VR if len(vr) == 2)
_LONG_VRS = frozenset(vr.encode() for vr in EXPLICIT_VR_LENGTH_32)
_ITEM_GROUPS = (b"\xfe\xff", b"\xff\xfe")
_ITEMS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")
_META = b"\x02\0"
_UNDEFINED = b"\xff\xff\xff\xff"
_PIXEL_DATA = (b"\xe0\x7f\x10\x00", b"\x7f\xe0\x00\x10")


def check_count(data: bytes, start: int, limit: int) -> None:
    """Check that a dataset has no more elements and items than a limit, at any depth.

    pydicom needs about 800 bytes for the eight of an empty element, so a small file could fill the memory.
    Data too short for that many elements are not examined.

    Args:
        data: a whole file, or an inflated dataset.
        start: where its first element begins. Each element shows whether its VR is explicit; the first after
            the file meta shows the byte order.
        limit: most elements.

    Raises:
        Failed: `too_large`.
    """
    at, count, end = start, 0, len(data) - SHORTEST_ELEMENT
    if end - at < limit * SHORTEST_ELEMENT:
        return
    order: Literal["little", "big"] = "little"
    is_meta, in_fragments = True, False
    while at <= end:
        count += 1
        if count > limit:
            raise Failed("too_large", "number of elements")
        vr, tag = data[at + 4 : at + 6], data[at : at + 4]
        if is_meta and tag[:2] != _META:
            is_meta, order = False, "big" if tag[0] == 0 < tag[1] else "little"
        if tag[:2] in _ITEM_GROUPS:
            is_item = tag in _ITEMS
            length = int.from_bytes(data[at + 4 : at + 8], order) if is_item and in_fragments else 0
            in_fragments &= is_item
            at += SHORTEST_ELEMENT + length
            continue
        head = SHORTEST_ELEMENT
        if vr in _LONG_VRS:
            head, coded = 12, data[at + 8 : at + 12]
        elif vr in _VRS:
            coded = data[at + 6 : at + 8]
        else:
            coded = data[at + 4 : at + 8]
        at += head
        in_fragments = coded == _UNDEFINED and tag in _PIXEL_DATA
        if not (coded == _UNDEFINED or vr == b"SQ" or data[at : at + 4] in _ITEMS):
            at += int.from_bytes(coded, order)
