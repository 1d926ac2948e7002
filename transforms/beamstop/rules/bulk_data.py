"""Bulk data: bytes and numbers other than pixels, which may contain a picture or text that is not searched.

Pixel data, overlays and icons are searched, documents are cleaned or refused, and curves are removed. Other
bulk data stay only where the standard has them, and only in their declared length:

* a lookup table in its descriptor's length, if it is a curve: text drawn into one has thousands of turns;
* a colour profile without its texts, cleaned by `icc_profiles`;
* a waveform in a waveform SOP class, in the length of its channels and samples; never sound;
* coordinates, indices and grids inside a sequence of their own group, spectra in MR Spectroscopy.
"""

import re
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from beamstop.dicom.elements import MALFORMED
from beamstop.errors import Quarantined
from beamstop.rules.operators import BY_ACTION, CannotCleanError, Context, Operator
from beamstop.standard.actions import Action

# Lookup table → its descriptor (PS3.3 C.7.6.3.1.5, C.7.9, C.11.1, C.11.2, C.11.4, C.11.14).
_DESCRIPTORS = {
    **{0x00281200 + number: 0x00281100 + number for number in (1, 2, 3, 4)},
    **{0x00281220 + number: 0x00281100 + number for number in (1, 2, 3, 4)},
    0x00283006: 0x00283002,
    0x00281408: 0x00281407,
}
_TABLE_VRS = frozenset({"OB", "OW", "SS", "UN", "US", "US or OW", "OB or OW"})  # others are wrong
_SEGMENTED = range(0x00281221, 0x00281225)
_MAX_ENTRIES = 1 << 16
_FEW_ENTRIES = 1 << 11
_TURNS = 16  # a long table may turn up or down at most once in this many entries

_WAVEFORM_SEQUENCE, _WAVEFORM_DATA = 0x54000100, 0x54001010
_WAVEFORM_CLASS = re.compile(r"1\.2\.840\.10008\.5\.1\.4\.1\.1\.9\.")  # PS3.4 B.5
_AUDIO_CLASS = re.compile(r"1\.2\.840\.10008\.5\.1\.4\.1\.1\.9\.4\.")
_SPECTROSCOPY = "1.2.840.10008.5.1.4.1.1.4.2"
_SPECTRA = frozenset({0x56000010, 0x56000020})

_ICC_PROFILE, _POLYGON = 0x00282000, 0x00181638
_ANYWHERE = frozenset({*_DESCRIPTORS, _ICC_PROFILE, _POLYGON})
_OVERLAYS, _OVERLAY_DATA = 0x6000, 0x3000
_PIXELS = range(0x7FE00001, 0x7FE00011)
_PIXEL_GROUPS, _PIXEL_GROUP, _ICON_IMAGE_SEQUENCE = range(0x7F00, 0x8000), 0x7FE0, 0x00880200
# Sequences' groups → other groups whose bulk data they may have: surfaces, tracks and annotations in each
# other, channels of waveforms.
_KIN = {
    0x0066: frozenset({0x0066, 0x006A}),
    0x006A: frozenset({0x0066, 0x006A}),
    0x5400: frozenset({0x003A, 0x5400}),
}


def has_no_place(path: tuple[int, ...], is_bytes: bool, sop_class: str) -> bool:
    """Return whether the standard has no bulk data, or no sequence of waveforms, at this place.

    Args:
        path: tags from the top level to the attribute, a standard one.
        is_bytes: its VR is one for bytes or many binary numbers (OB, OD, OF, OL, OV, OW, UN).
        sop_class: SOP Class UID of the instance.
    """
    tag, group = path[-1], path[-1] >> 16
    if tag == _WAVEFORM_SEQUENCE:
        return len(path) > 1 or not _WAVEFORM_CLASS.match(sop_class)
    if not is_bytes or tag in _ANYWHERE or tag in _PIXELS:
        return False
    if len(path) > 1:
        return path[-2] >> 16 not in _KIN.get(group, {group})
    is_overlay = group & 0xFF01 == _OVERLAYS and tag & 0xFFFF == _OVERLAY_DATA
    return not is_overlay and not (tag in _SPECTRA and sop_class == _SPECTROSCOPY)


def is_unseen_picture(path: tuple[int, ...]) -> bool:
    """Return whether an attribute belongs to a picture that is not searched, and to no module.

    Those are pixel data and overlays in items, except an icon's own pixels, and the retired groups 7Fxx.

    Args:
        path: tags from the top level to it, standard ones.
    """
    tag = path[-1]
    group, sequences = tag >> 16, path[:-1]
    if group & 0xFF01 == _OVERLAYS:
        return bool(sequences)
    if group not in _PIXEL_GROUPS:
        return False
    if group != _PIXEL_GROUP or tag not in _PIXELS:
        return True
    return bool(sequences) and (
        sequences[-1] != _ICON_IMAGE_SEQUENCE or sequences.count(_ICON_IMAGE_SEQUENCE) > 1
    )


def operator_of(tag: int, sop_class: str) -> Operator | None:
    """Return the operator that cuts bulk data to its length or cleans a colour profile; else None."""
    if tag in _DESCRIPTORS:
        return _CUT_TABLE
    if tag == _ICC_PROFILE:
        return BY_ACTION[Action.C]
    if tag == _WAVEFORM_DATA:
        return _REFUSE_SOUND if _AUDIO_CLASS.match(sop_class) else _CUT_WAVEFORM
    return None


class CutLookupTable(Operator):
    """C: a lookup table, cut to the length in its descriptor.

    Raises:
        CannotCleanError: it has no descriptor, is neither bytes nor binary integers, or is not a curve.
    """

    action = Action.C

    def apply(self, element: DataElement, context: Context) -> DataElement | None:
        if element.is_empty:
            return element
        if element.VR not in _TABLE_VRS:
            raise CannotCleanError
        entries, bits = _described(context.dataset, _DESCRIPTORS[element.tag])
        value = element.value
        if not isinstance(value, bytes):
            numbers = _integers(value)
            if _is_noise(np.array(numbers[:entries])):
                raise CannotCleanError
            return (
                element
                if len(numbers) <= entries
                else DataElement(element.tag, element.VR, numbers[:entries])
            )
        if element.tag in _SEGMENTED:
            end = _end_of_segments(value, entries, bits)
        else:
            end = _end_of_table(len(value), entries, bits)
            # Then it is visible in the frames.
            is_needed = context.dataset.get("PhotometricInterpretation") == "PALETTE COLOR"
            orders = ("<u2", ">u2") if end >= 2 * entries else ("u1",)  # in either byte order
            even = value[: end - end % 2]
            if not is_needed and all(_is_noise(np.frombuffer(even, order)) for order in orders):
                raise CannotCleanError
        return element if end >= len(value) else DataElement(element.tag, "OW", value[:end] + bytes(end % 2))


class CutWaveform(Operator):
    """C: the samples of a waveform, cut to its number of channels and samples.

    Raises:
        CannotCleanError: their number is not declared.
    """

    action = Action.C

    def apply(self, element: DataElement, context: Context) -> DataElement | None:
        if element.is_empty:
            return element
        value, item = element.value, context.dataset
        counts = [
            _number(item, keyword)
            for keyword in ("WaveformBitsAllocated", "NumberOfWaveformChannels", "NumberOfWaveformSamples")
        ]
        end = counts[0] * counts[1] * counts[2] // 8
        if not isinstance(value, bytes) or not 0 < end <= len(value):
            raise CannotCleanError
        end += end % 2
        return element if end >= len(value) else DataElement(element.tag, element.VR, value[:end])


class RefuseSound(Operator):
    """Refuses sound: a voice identifies the speaker, and may name the patient.

    Raises:
        Quarantined: `payload_uncleanable`.
    """

    action = Action.C

    def apply(self, element: DataElement, context: Context) -> DataElement | None:
        if element.is_empty:
            return element
        raise Quarantined("payload_uncleanable", "WaveformData: sound")


_CUT_TABLE, _CUT_WAVEFORM, _REFUSE_SOUND = CutLookupTable(), CutWaveform(), RefuseSound()
BULK_OPERATORS: tuple[Operator, ...] = (_CUT_TABLE, _CUT_WAVEFORM, _REFUSE_SOUND)


def _integers(value: Any) -> list[int]:
    """Return the numbers of a value; none for text under a VR for numbers."""
    numbers = [value] if isinstance(value, int) else value
    if not isinstance(numbers, MultiValue | list) or not all(isinstance(number, int) for number in numbers):
        raise CannotCleanError
    return list(numbers)


def _number(item: Dataset, keyword: str) -> int:
    try:
        return int(item.get(keyword) or 0)
    except MALFORMED:
        raise CannotCleanError from None


def _described(dataset: Dataset, descriptor: int) -> tuple[int, int]:
    """Return number of entries and bits of a lookup table (PS3.3 C.7.6.3.1.5): 0 means 65536 entries."""
    element: Any = dataset.get(descriptor)
    try:
        value = element.value
        numbers = struct.unpack("<3H", value) if isinstance(value, bytes) else tuple(map(int, value))
        entries, _, bits = numbers
    except (AttributeError, *MALFORMED):
        raise CannotCleanError from None
    if not 0 <= entries <= _MAX_ENTRIES or not 0 < bits <= 16:
        raise CannotCleanError
    return entries or _MAX_ENTRIES, bits


def _end_of_table(length: int, entries: int, bits: int) -> int:
    """Return the end of a table in bytes; one of 8 bits may have a byte or a word per entry."""
    if bits > 8 or length >= 2 * entries:
        return min(length, 2 * entries)
    return min(length, entries + entries % 2)


def _end_of_segments(value: bytes, entries: int, bits: int) -> int:
    """Return the end of the segments that expand to this many entries (PS3.3 C.7.9.2).

    Raises:
        CannotCleanError: they are cut short, expand to another number, or are of an unknown kind.
    """
    width = 1 if bits == 8 else 2
    for order in ("u1",) if width == 1 else ("<u2", ">u2"):
        numbers = np.frombuffer(value[: len(value) - len(value) % width], order).tolist()
        end = _segments_end(numbers, entries, width)
        if end is not None:
            return end * width
    raise CannotCleanError


def _segments_end(numbers: list[int], entries: int, width: int) -> int | None:
    places: dict[int, int] = {}  # offset of a segment → number of segments before it
    sums = [0]  # number of segments → entries to which they expand
    at = made = 0
    while made < entries:
        kind, count = numbers[at : at + 2] if at + 2 <= len(numbers) else (-1, 0)
        if kind == 0:
            gives, length = count, 2 + count
        elif kind == 1 and made:
            gives, length = count, 3
        elif kind == 2 and at + 4 <= len(numbers):
            low, high = numbers[at + 2 : at + 4]
            first = places.get((high << 8 * width | low) // width, len(sums))
            if first + count >= len(sums):
                return None
            gives, length = sums[first + count] - sums[first], 4
        else:
            return None
        if not gives or at + length > len(numbers):
            return None
        if kind != 2:
            places[at] = len(sums) - 1
            sums.append(sums[-1] + gives)
        at, made = at + length, made + gives
    return at if made == entries else None


def _is_noise(numbers: NDArray[Any]) -> bool:
    """Return whether numbers turn up and down more often than a curve does, like lines of a picture."""
    if len(numbers) <= _FEW_ENTRIES:
        return False
    steps = np.sign(np.diff(numbers.astype(np.int64)))
    steps = steps[steps != 0]
    return int(np.count_nonzero(steps[1:] != steps[:-1])) > len(numbers) // _TURNS
