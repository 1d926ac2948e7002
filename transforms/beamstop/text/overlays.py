"""Overlay planes (60xx, PS3.3 C.9.2): text in them, and overlays in unused bits of the pixel data."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from beamstop.changes import Change
from beamstop.dicom.deadline import check_time
from beamstop.dicom.elements import MALFORMED
from beamstop.dicom.files import transfer_syntax_of
from beamstop.errors import PixelError
from beamstop.pixels.box import Box
from beamstop.pixels.frames import open_frames
from beamstop.pixels.layout import MAX_FRAME_BYTES
from beamstop.pixels.native import pairs_swapped
from beamstop.pixels.renditions import GROUND, Mask, Picture, Plane, local_contrast
from beamstop.text.detector import TextDetector
from beamstop.text.hiding import TextRemainsError, search_and_hide
from beamstop.text.judge import TextJudge

_GROUPS = range(0x6000, 0x6100, 2)
_ROWS, _COLUMNS, _FRAMES, _BIT_POSITION, _DATA = 0x0010, 0x0011, 0x0015, 0x0102, 0x3000


@dataclass
class _Plane:
    """One frame of an overlay; 1 is drawn, 0 is not."""

    bits: NDArray[np.uint8]

    @property
    def shape(self) -> tuple[int, int]:
        rows, columns = self.bits.shape
        return rows, columns

    def pictures(self, hidden: Mask | None = None, shown: Mask | None = None) -> list[Picture]:
        picture = local_contrast(self.bits.astype(np.float32) * 255, hidden=hidden)
        return [picture if shown is None else np.where(shown, picture, np.uint8(GROUND))]

    def planes(self) -> list[Plane]:
        return [self.bits.astype(np.float32) * 255]

    def blank(self, box: Box) -> Box:
        self.bits[box.pixels] = 0
        return box


def hide_overlay_text(
    dataset: Dataset,
    judge: TextJudge,
    detector: TextDetector,
    is_removed: Callable[[tuple[int, ...]], bool] = lambda path: False,
) -> list[Change]:
    """Clear text from every overlay plane that has data of its own, in place.

    Overlays in unused bits of the pixel data are cleared with the frames (`hiding.hide_text_in_frames`).

    Args:
        dataset: one instance.
        judge: decides what may stay in this instance.
        detector: finds and reads text.
        is_removed: tells whether the recipe removes the attribute at a path of tags; such planes are skipped.

    Returns:
    one change per box, with the tag of its Overlay Data; and one per plane that was removed because its
    data do not fit its rows and columns, or these are not declared.

    Raises:
    PixelError: `text_remains`: new text was found twice more after hiding.
    """
    changes = []
    for group in _GROUPS:
        if (group, _DATA) in dataset and not is_removed((group << 16 | _DATA,)):
            changes += _clean_group(dataset, group, judge, detector)
    return changes


def clear_embedded_overlays(dataset: Dataset) -> bool:
    """Clear overlays that the header declares in unused bits of the pixels, in place (PS3.5 8.1.1).

    Returns:
        whether there was anything in these bits.

    Raises:
        PixelError: the pixels cannot be decoded, or a bit position is not a number.
    """
    groups = (group for group in _GROUPS if group << 16 | _BIT_POSITION in dataset._dict)
    are_stated = any(_number(dataset, group, _BIT_POSITION, 0) for group in groups)
    frames = open_frames(dataset) if are_stated else None
    if frames is None:
        return False
    for index in range(len(frames)):
        check_time()
        frame = frames.decode(index)
        frames.range.see(frame.values())
        if frame.clear_unused_bits():
            frames.put(index, frame)
        frames.range.see_again(frame.values())
    frames.write()
    return frames.changed


def _clean_group(dataset: Dataset, group: int, judge: TextJudge, detector: TextDetector) -> list[Change]:
    name = f"({group:04X},3000)"
    element = dataset[group, _DATA]
    vr = element.VR if element.VR in ("OB", "OW") else "OW"
    if not element.value:  # without data there is no plane, whatever else the group has
        _remove_group(dataset, group)
        return []
    shape = _shape(dataset, group, element.value)
    if shape is None:  # every reader interprets it differently, and none shows the original drawing
        _remove_group(dataset, group)
        return [Change("", name, vr, "X", "text", why="overlay")]
    count = math.prod(shape)
    big = vr == "OW" and not transfer_syntax_of(dataset).is_little_endian
    stored = pairs_swapped(element.value) if big else element.value
    bits = np.unpackbits(np.frombuffer(stored, np.uint8), bitorder="little")
    changes: list[Change] = []
    for index, plane in enumerate(bits[:count].reshape(shape)):
        check_time()
        if plane.any():
            try:
                search = search_and_hide(_Plane(plane), judge, detector, f"{name} frame {index}")
            except TextRemainsError as error:
                raise error.placed(changes, name, vr, index) from None
            changes += search.changes(name, vr, index)
    beyond = bits[count:]
    if any(change.action == "X" for change in changes) or beyond.any():
        beyond[:] = 0
        cleared = np.packbits(bits, bitorder="little").tobytes()
        element.value = pairs_swapped(cleared) if big else cleared
    return changes


def _shape(dataset: Dataset, group: int, data: Any) -> tuple[int, int, int] | None:
    """Return frames, rows and columns of a plane; None if its data do not fit them."""
    try:
        shape = (
            _number(dataset, group, _FRAMES, 1),
            _number(dataset, group, _ROWS),
            _number(dataset, group, _COLUMNS),
        )
    except PixelError:
        return None
    fits = isinstance(data, bytes) and min(shape) > 0 and math.prod(shape) <= len(data) * 8
    return shape if fits and math.prod(shape[1:]) <= MAX_FRAME_BYTES else None


def _remove_group(dataset: Dataset, group: int) -> None:
    for tag in [tag for tag in dataset._dict if tag >> 16 == group]:
        del dataset[tag]


def _number(dataset: Dataset, group: int, element: int, default: int | None = None) -> int:
    found = dataset.get(Tag(group, element))
    value: Any = None if found is None or found.value == "" else found.value
    try:
        return int(default if value is None and default is not None else value)
    except MALFORMED:
        raise PixelError("pixels_undecodable", f"({group:04X},3000)") from None
