"""Reads ordinary files: little endian, elements of known length.

This reads most files in half of pydicom's time. pydicom continues at the first element that is not ordinary.
The result is the same as from pydicom's own reader.
"""

from collections.abc import Callable
from io import BytesIO
from struct import Struct
from typing import Any, cast

from pydicom.charset import convert_encodings, default_encoding
from pydicom.dataelem import RawDataElement, empty_value_for_VR
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.filereader import data_element_generator
from pydicom.tag import BaseTag
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian
from pydicom.valuerep import EXPLICIT_VR_LENGTH_16, EXPLICIT_VR_LENGTH_32

from beamstop.dicom.elements import UNDEFINED_LENGTH
from beamstop.errors import Failed

StopWhen = Callable[[BaseTag, str | None, int], bool]
Elements = dict[BaseTag, Any]

_PREFIX_AT = 128
_SHORTEST_ELEMENT = 8
_META_GROUP, _FIRST_GROUP, _ITEM_GROUP = 0x0002, 0x0008, 0xFFFE
_TRANSFER_SYNTAX_UID = 0x00020010
_SPECIFIC_CHARACTER_SET = 0x00080005
_SHORT = Struct("<HH2sH").unpack_from
_LONG = Struct("<L").unpack_from
_IMPLICIT = Struct("<HHL").unpack_from


def _empty_value(vr: str | None) -> bytes | None:
    """Return pydicom's value of an empty raw element."""
    return cast("bytes | None", empty_value_for_VR(vr, raw=True))


# VR as bytes: VR as text, whether its length has four bytes (PS3.5 7.1.2), and pydicom's empty value.
_VRS = {
    str(vr).encode(): (str(vr), vr in EXPLICIT_VR_LENGTH_32, _empty_value(str(vr)))
    for vr in (*EXPLICIT_VR_LENGTH_16, *EXPLICIT_VR_LENGTH_32)
}
_NOT_PLAIN = frozenset({ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian})


def read_fast(data: bytes, stream: BytesIO, stop_when: StopWhen) -> FileDataset | None:
    """Read a Part 10 file; None if only pydicom can read it.

    Args:
        data: the whole file.
        stream: over the same bytes; pydicom continues with it at the first element of undefined length.
        stop_when: pydicom's callback for every element.

    Raises:
        Failed: `truncated`, an element ends beyond the file.
    """
    if data[_PREFIX_AT : _PREFIX_AT + 4] != b"DICM":
        return None
    meta: Elements = {}
    at = _read_explicit(data, _PREFIX_AT + 4, meta, _META_GROUP, _META_GROUP)
    syntax = meta.get(BaseTag(_TRANSFER_SYNTAX_UID))
    if at is None or syntax is None or not syntax.value:
        return None
    name = syntax.value.decode("latin-1").rstrip("\0 ")
    if name in _NOT_PLAIN or not name.startswith("1.2.840.10008."):
        return None
    elements: Elements = {}
    implicit = name == ImplicitVRLittleEndian
    read = _read_implicit if implicit else _read_explicit
    at = read(data, at, elements, _FIRST_GROUP, _ITEM_GROUP - 1)
    if at is None or not elements:
        return None
    charset = elements.get(BaseTag(_SPECIFIC_CHARACTER_SET))
    encoding = default_encoding if charset is None else _encodings(charset)
    if len(data) - at < _SHORTEST_ELEMENT:
        if at < len(data) and is_cut(data[at:], max(elements, key=int)):
            raise Failed("truncated")
    else:
        stream.seek(at)
        rest = data_element_generator(stream, implicit, True, stop_when, encoding=encoding)
        try:
            elements.update((element.tag, element) for element in rest)
        except EOFError:
            raise Failed("truncated") from None
    inner = Dataset(elements, parent_encoding=default_encoding)
    dataset = FileDataset(stream, inner, data[:_PREFIX_AT], FileMetaDataset(meta), implicit, True)
    dataset.set_original_encoding(implicit, True, encoding)
    return dataset


def is_cut(rest: bytes, last: int) -> bool:
    """Return whether trailing bytes, too few for an element, are the beginning of an element.

    Text transfers and tapes add line ends, Ctrl-Z, blanks and zeros; these may also be the group of a next
    element.

    Args:
        rest: one to seven bytes, or none.
        last: tag of the last element.
    """
    if not rest.strip(b"\0\r\n\x1a"):
        return False
    if rest.strip(b"\0\t\r\n\x1a "):
        return True
    group = (rest + b"\0")[:2]
    return max(int.from_bytes(group, "little"), int.from_bytes(group, "big")) > last >> 16


def _read_explicit(data: bytes, at: int, elements: Elements, first_group: int, last_group: int) -> int | None:
    """Add elements up to a group or an undefined length; return the offset, None if data are not ordinary."""
    size = len(data)
    while at + _SHORTEST_ELEMENT <= size:
        group, number, vr, length = _SHORT(data, at)
        if group > last_group:
            return at
        known = _VRS.get(vr)
        if known is None or group < first_group:
            return None
        name, is_long, empty = known
        start = at + 8
        if is_long:
            if at + 12 > size:
                raise Failed("truncated")
            (length,) = _LONG(data, start)
            if length == UNDEFINED_LENGTH:
                return at
            start += 4
        end = start + length
        if end > size:
            raise Failed("truncated")
        tag = BaseTag(group << 16 | number)
        value = data[start:end] if length else empty
        elements[tag] = RawDataElement(tag, name, length, value, start, False, True)
        at = end
    return at


def _read_implicit(data: bytes, at: int, elements: Elements, first_group: int, last_group: int) -> int | None:
    """Do as `_read_explicit` does, for implicit VR."""
    size = len(data)
    if data[at + 4 : at + 6].isalpha():  # a VR, although the syntax is implicit
        return None
    empty = _empty_value(None)
    while at + _SHORTEST_ELEMENT <= size:
        group, number, length = _IMPLICIT(data, at)
        if not first_group <= group <= last_group:
            return None
        if length == UNDEFINED_LENGTH:
            return at
        start = at + 8
        end = start + length
        if end > size:
            raise Failed("truncated")
        tag = BaseTag(group << 16 | number)
        value = data[start:end] if length else empty
        elements[tag] = RawDataElement(tag, None, length, value, start, True, True)
        at = end
    return at


def _encodings(charset: RawDataElement) -> list[str]:
    value = (charset.value or b"").decode("latin-1").rstrip("\0 ")
    return convert_encodings([part.strip() for part in value.split("\\")])
