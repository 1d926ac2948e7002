"""The physics in Siemens' CSA image headers, converted to the vendor's plain private elements.

A CSA header is a block of a hundred named values, including identifiers, and is removed as a whole. The
values needed for diffusion, slice timing and distortion correction are numbers; newer systems write these as
separate elements, and in that form they are kept.
"""

import math
import re
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from pydicom import Dataset

_GROUP, _CREATOR = 0x0029, "SIEMENS CSA HEADER"
_IMAGE_HEADER = 0x10
_MAGIC = b"SV10"
_TAG = struct.Struct("<64si4sii4x")
_ITEM = struct.Struct("<4i")
_MAX_TAGS, _MAX_ITEMS = 1024, 2048
_NUMBER = re.compile(r"[-+]?[0-9]{1,12}(?:\.[0-9]{1,16})?(?:[eE][-+]?[0-9]{1,3})?\Z")
_TERMS = frozenset({"BMATRIX", "DIRECTIONAL", "ISOTROPIC", "NONE"})
_MAX_DS = 16  # characters (PS3.5 6.2)
_RANGES = {"US": range(1 << 16), "IS": range(-(1 << 31), 1 << 31)}
_HEADER, _SDI = "SIEMENS MR HEADER", "SIEMENS MR SDI 02"
# Name → group, creator, element, VR, number of values (0: any number).
_KEPT = {
    "NumberOfImagesInMosaic": (0x0019, _HEADER, 0x0A, "US", 1),
    "SliceMeasurementDuration": (0x0019, _HEADER, 0x0B, "DS", 1),
    "B_value": (0x0019, _HEADER, 0x0C, "IS", 1),
    "DiffusionDirectionality": (0x0019, _HEADER, 0x0D, "CS", 1),
    "DiffusionGradientDirection": (0x0019, _HEADER, 0x0E, "FD", 3),
    "ImaRelTablePosition": (0x0019, _HEADER, 0x14, "IS", 3),
    "TimeAfterStart": (0x0019, _HEADER, 0x16, "DS", 1),
    "RealDwellTime": (0x0019, _HEADER, 0x18, "IS", 1),
    "B_matrix": (0x0019, _HEADER, 0x27, "FD", 6),
    "BandwidthPerPixelPhaseEncode": (0x0019, _HEADER, 0x28, "FD", 1),
    "MosaicRefAcqTimes": (0x0019, _HEADER, 0x29, "FD", 0),
    "PhaseEncodingDirectionPositive": (0x0021, _SDI, 0x1C, "IS", 1),
}


class Physics(NamedTuple):
    """One value as a plain private element."""

    group: int
    creator: str
    element: int  # in its block
    vr: str
    value: Any


def csa_physics(dataset: Dataset) -> list[Physics]:
    """Return the acquisition data in the CSA image header of an instance.

    Raw elements stay raw. An unreadable header yields nothing. Values are left out unless they are numbers in
    the range of their VR or one of the vendor's terms; the caller has to check whether they identify
    somebody.
    """
    data = _image_header(dataset)
    if not data.startswith(_MAGIC):
        return []
    found = []
    try:
        for name, texts in _values(data):
            if name in _KEPT and (physics := _physics(name, texts)) is not None:
                found.append(physics)
    except (struct.error, ValueError):
        return []
    return found


def _image_header(dataset: Dataset) -> bytes:
    """Return the header's bytes; empty if there is none."""
    elements: dict[int, Any] = dataset._dict  # type: ignore[assignment]
    for block in range(0x10, 0x100):
        creator = elements.get(_GROUP << 16 | block)
        if creator is None:
            continue
        text = creator.value.decode("latin-1") if isinstance(creator.value, bytes) else str(creator.value)
        header = elements.get(_GROUP << 16 | block << 8 | _IMAGE_HEADER)
        if text.strip(" \0") == _CREATOR and header is not None and isinstance(header.value, bytes):
            return header.value
    return b""


def _values(data: bytes) -> Iterator[tuple[str, list[str]]]:
    """Yield the names and values of a header of the second kind (SV10).

    Raises:
        struct.error: it ends too early.
        ValueError: it is not such a header.
    """
    tags = int.from_bytes(data[8:12], "little")
    if not 0 < tags <= _MAX_TAGS:
        raise ValueError("tags")
    at = 16
    for _ in range(tags):
        raw_name, _, _, _, items = _TAG.unpack_from(data, at)
        at += _TAG.size
        if not 0 <= items <= _MAX_ITEMS:
            raise ValueError("items")
        texts = []
        for _ in range(items):
            length = _ITEM.unpack_from(data, at)[1]
            at += _ITEM.size
            if not 0 <= length <= len(data) - at:
                raise ValueError("length")
            texts.append(data[at : at + length].split(b"\0")[0].decode("latin-1").strip())
            at += (length + 3) // 4 * 4
        yield raw_name.split(b"\0")[0].decode("latin-1"), [text for text in texts if text]


def _physics(name: str, texts: list[str]) -> Physics | None:
    group, creator, element, vr, many = _KEPT[name]
    if not texts or (many and len(texts) != many):
        return None
    if vr == "CS":
        return Physics(group, creator, element, vr, texts[0]) if texts[0] in _TERMS else None
    if not all(map(_NUMBER.match, texts)):
        return None
    values: list[Any] = [float(text) for text in texts]
    if not all(map(math.isfinite, values)):
        return None
    if vr in _RANGES:
        if not all(value.is_integer() and int(value) in _RANGES[vr] for value in values):
            return None
        values = [int(value) for value in values]
    elif vr == "DS":
        values = [text if len(text) <= _MAX_DS else f"{float(text):.9g}" for text in texts]
    return Physics(group, creator, element, vr, values if len(values) > 1 else values[0])
