"""Line ends: of a blurred line, networks find only some words; this extends their boxes to the whole line."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beamstop.ocr.thresholds import Thresholds
from beamstop.pixels.renditions import Picture
from beamstop.text.boxes import TextBox

Levels = NDArray[np.floating[Any]]


def followed(picture: Picture, boxes: Sequence[TextBox], thresholds: Thresholds) -> list[TextBox]:
    """Return the same boxes, each extended to the left and right as far as similar letters continue.

    Only boxes wider than high are extended: for others, the direction of writing is unknown.

    Args:
        picture: uint8 (rows, columns), as `renditions.local_contrast` makes it.
        boxes: found in it.
        thresholds: decide what is similar.
    """
    strokes: dict[int, Levels] = {}
    return [_followed(picture, box, strokes, thresholds) if box.width > box.height else box for box in boxes]


def _followed(picture: Picture, box: TextBox, strokes: dict[int, Levels], thresholds: Thresholds) -> TextBox:
    high = box.height
    letter = 1 << max(high.bit_length() - 2, 2)  # a power of two, so that few pictures are computed
    if letter not in strokes:
        strokes[letter] = _strokes(picture, letter)
    levels = strokes[letter]
    rows, columns = levels.shape
    line = levels[box.y : box.bottom].mean(axis=0)
    beside = [
        levels[max(top, 0) : max(top, 0) + high // 2].mean(axis=0)
        for top in (box.y - high // 2, box.bottom)
        if 0 <= top + high // 4 < rows
    ]
    ground = np.minimum.reduce(beside) if beside else np.zeros(columns)
    there = float(np.median(line[box.x : box.right]))
    alike = (line >= thresholds.alike * there) & (line >= thresholds.above_ground * ground)
    gap = round(thresholds.word_gap * high)
    left = box.x - _reach(alike[: box.x][::-1], gap)
    right = box.right + _reach(alike[box.right :], gap)
    return replace(box, x=left, width=right - left)


def _strokes(picture: Picture, letter: int) -> Levels:
    """Return how much each pixel differs from its surroundings, at the scale of letters' strokes."""
    import cv2

    grey = picture.astype(np.float32)
    fine = cv2.GaussianBlur(grey, (0, 0), letter / 8)
    apart = np.abs(fine - cv2.GaussianBlur(grey, (0, 0), letter))
    levels: Levels = cv2.blur(apart, (letter | 1, 1))
    return levels


def _reach(alike: Iterable[np.bool_], gap: int) -> int:
    """Return how far a run of True continues, skipping gaps."""
    reached = 0
    for at, it in enumerate(alike):
        if it:
            reached = at + 1
        elif at - reached >= gap:
            break
    return reached
