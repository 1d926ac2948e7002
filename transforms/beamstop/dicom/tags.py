"""Tags: their names and VRs, and whose private creator an element belongs to."""

from functools import lru_cache
from typing import Any

from pydicom.datadict import dictionary_VR, keyword_for_tag


@lru_cache(maxsize=65536)
def tag_text(tag: int) -> str:
    """Write a tag as the standard does.

    >>> tag_text(0x00100010)
    '(0010,0010)'
    """
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


@lru_cache(maxsize=65536)
def tag_name(tag: int) -> str:
    """Return the keyword of a tag, or the tag itself if it has none.

    >>> tag_name(0x00100010), tag_name(0x00110010)
    ('PatientName', '(0011,0010)')
    """
    return tag_text(tag) if tag & 0x10000 else keyword_for_tag(tag) or tag_text(tag)


def vr_of(tag: int, raw_vr: str | None) -> str:
    """Return how to read an attribute: as the file says, else as the data dictionary, else UN.

    >>> vr_of(0x00100010, None), vr_of(0x60023000, "UN"), vr_of(0x00110010, None)
    ('PN', 'OB or OW', 'UN')
    """
    if raw_vr and raw_vr != "UN":
        return raw_vr
    return _dictionary_vr(tag)


@lru_cache(maxsize=65536)
def _dictionary_vr(tag: int) -> str:
    try:
        return str(dictionary_VR(tag))
    except KeyError:
        return "UN"


def private_block_start(tag: int) -> int:
    """Return the tag of the creator element of a private element's block (PS3.5 7.8.1)."""
    return (tag & 0xFFFF0000) | ((tag >> 8) & 0xFF)


def creator_text(element: Any) -> str:
    """Return the text of a private creator (LO, PS3.5 7.8.1), raw or not."""
    value = element.value or b""
    return (value.decode("latin-1") if isinstance(value, bytes) else str(value)).strip(" \0")


def is_private_creator(tag: int) -> bool:
    """Return whether a tag is one that reserves a private block: odd group, element 0010-00FF."""
    return bool(tag & 0x10000) and 0x10 <= tag & 0xFFFF <= 0xFF
