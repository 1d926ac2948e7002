"""Line ends: networks find a part of a line, if it is blurred or crosses an edge; the box is extended."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beamstop.ocr.thresholds import Thresholds
from beamstop.pixels.renditions import Picture
from beamstop.text.boxes import TextBox

_REACH = 5  # letters that blurring by one reaches, and more
_FINEST = 4  # pixels to which a letter is reduced to be blurred away, and the smallest height of letters

Levels = NDArray[np.floating[Any]]


def followed(picture: Picture, boxes: Sequence[TextBox], thresholds: Thresholds) -> list[TextBox]:
    """Return the same boxes, each extended to the left and right as far as similar letters continue.

    Only boxes wider than high are extended: for others, the direction of writing is unknown. Doubted ones are
    not, because they count beside others as far as these reach.

    Args:
        picture: uint8 (rows, columns), as `renditions.local_contrast` makes it.
        boxes: found in it.
        thresholds: decide what is similar.
    """
    ends = {
        box: _followed(box, *strokes, picture.shape[0], thresholds)
        for band in _bands([box for box in boxes if box.width > box.height and not box.doubted])
        for strokes in (_strokes(picture, band),)
        for box in band
    }
    return [ends.get(box, box) for box in boxes]


def _bands(boxes: Iterable[TextBox]) -> list[list[TextBox]]:
    """Group boxes with letters of about the same height, each close to the one above."""
    bands: list[list[TextBox]] = []
    for box in sorted(boxes, key=lambda box: (_letter(box), box.y)):
        last = bands[-1][-1] if bands else box
        if bands and _letter(last) == _letter(box) and box.y - last.y < _REACH * _letter(box):
            bands[-1].append(box)
        else:
            bands.append([box])
    return bands


def _letter(box: TextBox) -> int:
    """Return about the height of the letters, a power of two, so that few pictures are computed."""
    return 1 << max(box.height.bit_length() - 2, _FINEST.bit_length() - 1)


def _followed(box: TextBox, levels: Levels, first: int, rows: int, thresholds: Thresholds) -> TextBox:
    """Return a box extended to the ends of its line.

    Args:
        box: wider than high.
        levels: strokes around it, all columns.
        first: row of the picture that the levels begin at.
        rows: of the picture.
        thresholds: decide what is similar.
    """
    high, top = box.height, box.y - first
    line = levels[top : top + high].mean(axis=0)
    beside = [
        levels[max(start - first, 0) : max(start, 0) - first + high // 2].mean(axis=0)
        for start in (box.y - high // 2, box.bottom)
        if 0 <= start + high // 4 < rows
    ]
    ground = np.minimum.reduce(beside) if beside else np.zeros(levels.shape[1])
    there = float(np.median(line[box.x : box.right]))
    alike = (line >= thresholds.alike * there) & (line >= thresholds.above_ground * ground)
    limits = next(limits for longest, limits in thresholds.continued if max(rows, levels.shape[1]) <= longest)
    gap, most = (round(limit * high) for limit in limits)
    left = box.x - _reach(alike[: box.x][::-1], gap, most)
    right = box.right + _reach(alike[box.right :], gap, most)
    return replace(box, x=left, width=right - left)


def _strokes(picture: Picture, band: list[TextBox]) -> tuple[Levels, int]:
    """Return how much each pixel in the rows of a band differs from its surroundings, and the first row.

    The scale is that of letters' strokes.
    """
    import cv2

    letter = _letter(band[0])
    first = max(min(box.y - box.height for box in band), 0)
    last = max(box.bottom + box.height for box in band)
    above = max(first - _REACH * letter, 0)
    grey = picture[above : last + _REACH * letter].astype(np.float32)
    fine = cv2.GaussianBlur(grey, (0, 0), letter / 8)
    # So wide a blur is the same at a quarter of the letters' size, and costs much less there.
    few = cv2.resize(grey, None, fx=_FINEST / letter, fy=_FINEST / letter, interpolation=cv2.INTER_AREA)
    coarse = cv2.resize(cv2.GaussianBlur(few, (0, 0), _FINEST), grey.shape[::-1])
    apart = np.abs(fine - coarse)
    levels: Levels = cv2.blur(apart, (letter | 1, 1))
    return levels[first - above : last - above], first


def _reach(alike: Iterable[np.bool_], gap: int, most: int) -> int:
    """Return how far a run of True continues, skipping gaps; 0 if that is more than `most`."""
    reached = 0
    for at, it in enumerate(alike):
        if it:
            reached = at + 1
        elif at - reached >= gap:
            break
    return reached if reached <= most else 0
