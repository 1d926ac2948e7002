"""Traces: an ECG or a curve of breathing is one thin line across a picture, unlike letters."""

import numpy as np
from numpy.typing import NDArray

from beamstop.ocr.thresholds import Thresholds
from beamstop.pixels.renditions import GROUND, Mask, Picture


def without_traces(picture: Picture, thresholds: Thresholds) -> Picture:
    """Return a picture without its traces; itself if it has none. Anything beside or across a trace stays.

    A trace has one stroke in every column: touching letters have columns with two strokes and more, and
    blurred ones are as thick as they are high.

    Args:
        picture: uint8 (rows, columns), as `renditions.local_contrast` makes it.
        thresholds: decide what is a trace.
    """
    import cv2

    if max(picture.shape) > thresholds.traced:
        return picture
    drawn = np.zeros(picture.shape, np.uint8)
    for ink in (picture > GROUND + thresholds.ink, picture < GROUND - thresholds.ink):
        _mark_traces(drawn, ink, thresholds)
    if not drawn.any():
        return picture
    erased = cv2.dilate(drawn, np.ones((5, 5), np.uint8)).astype(bool)
    seen = (~erased).astype(np.float32)
    size = (thresholds.crowd, thresholds.crowd)
    around = cv2.boxFilter(picture * seen, -1, size) / np.maximum(cv2.boxFilter(seen, -1, size), 1e-6)
    return np.where(erased, around, picture).astype(np.uint8)


def _mark_traces(drawn: NDArray[np.uint8], ink: Mask, thresholds: Thresholds) -> None:
    """Mark the pixels of traces among connected ink, in place."""
    import cv2

    _, labels, stats, _ = cv2.connectedComponentsWithStats(ink.astype(np.uint8), connectivity=8)
    least = thresholds.across * ink.shape[1]
    wide, high, area = stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT], stats[:, cv2.CC_STAT_AREA]
    is_long = (wide >= least) & (wide >= thresholds.wide * high) & (area <= thresholds.thin * wide * high)
    for label in (np.flatnonzero(is_long[1:]) + 1).tolist():
        left, top, width, height, _ = (int(value) for value in stats[label])
        part = slice(top, top + height), slice(left, left + width)
        line = labels[part] == label
        drawn[part] |= (line & _is_trace(line, least, thresholds)).astype(np.uint8)


def _is_trace(line: Mask, least: float, thresholds: Thresholds) -> Mask:
    """Return for each column of connected ink whether it belongs to a trace, bool (columns,)."""
    import cv2

    strokes = (np.diff(line.astype(np.int8), axis=0, prepend=0) == 1).sum(axis=0)
    several = (strokes > 1).astype(np.uint8)[None]
    size = thresholds.touching
    # Where a trace turns, a column or two have two strokes; letters have more of them.
    letters = cv2.morphologyEx(several, cv2.MORPH_OPEN, np.ones((1, size), np.uint8))
    near = cv2.dilate(letters, np.ones((1, 2 * thresholds.around + 1), np.uint8))
    free: Mask = near[0] == 0
    edges = np.flatnonzero(np.diff(np.concatenate([[False], free, [False]]).astype(np.int8)))
    for start, stop in edges.reshape(-1, 2):
        if stop - start < least:
            free[start:stop] = False
    return free
