"""Covering the marked pixels of a picture with few, tight rectangles, so that the rest costs nothing."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from beamstop.pixels.box import Box

_BLOCK = 32  # pixels: rectangles are divided at its multiples
_EACH = 40_000  # pixels whose processing takes as long as starting with a rectangle

Mask = NDArray[np.bool_]
Cost = NDArray[np.float64]


def covered(mask: Mask, side: int, processed: Callable[[int], int]) -> Iterator[Box]:
    """Yield disjoint rectangles that contain all marked pixels, each as small as its pixels allow.

    A rectangle is divided where the two parts, without their unmarked margins, are cheaper to process.

    Args:
        mask: bool (rows, columns).
        side: the longest side of a rectangle, in pixels.
        processed: maps a side of a rectangle to the pixels that are processed for it, its margin included.
    """
    rows, columns = mask.shape
    down, across = -(-rows // _BLOCK), -(-columns // _BLOCK)
    blocks = np.zeros((down * _BLOCK, across * _BLOCK), bool)
    blocks[:rows, :columns] = mask
    marked: Mask = blocks.reshape(down, _BLOCK, across, _BLOCK).max(axis=(1, 3))
    sizes = np.array([processed(count * _BLOCK) for count in range(max(down, across) + 1)], np.float64)
    sizes[-(-side // _BLOCK) + 1 :] = np.inf
    for part in _divided(marked, Box(0, 0, across, down), sizes):
        top, left = part.y * _BLOCK, part.x * _BLOCK
        shown = mask[top : part.bottom * _BLOCK, left : part.right * _BLOCK]
        inside = _trimmed(shown, Box(0, 0, shown.shape[1], shown.shape[0]))
        if inside is not None:
            yield Box(left + inside.x, top + inside.y, inside.width, inside.height)


def _divided(marked: Mask, part: Box, sizes: Cost) -> Iterator[Box]:
    """Yield a part of the blocks, or what it is divided into."""
    whole = _trimmed(marked, part)
    if whole is None:
        return
    cost = sizes[whole.height] * sizes[whole.width] + _EACH
    shown = marked[whole.pixels]
    by_row, by_column = _cut_costs(shown, sizes), _cut_costs(shown.T, sizes)
    at_row, at_column = int(np.argmin(by_row)), int(np.argmin(by_column))
    least = min(by_row[at_row], by_column[at_column])
    if least >= cost and np.isfinite(cost):
        yield whole
        return
    if np.isinf(least):  # too large even when divided
        is_high = whole.height >= whole.width
        at_row, at_column = whole.height // 2, whole.width // 2
    else:
        is_high = bool(by_row[at_row] <= by_column[at_column])
    if is_high:
        middle = whole.y + at_row
        parts = (
            whole.between(whole.x, whole.y, whole.right, middle),
            whole.between(whole.x, middle, whole.right, whole.bottom),
        )
    else:
        middle = whole.x + at_column
        parts = (
            whole.between(whole.x, whole.y, middle, whole.bottom),
            whole.between(middle, whole.y, whole.right, whole.bottom),
        )
    for half in parts:
        yield from _divided(marked, half, sizes)


def _cut_costs(shown: Mask, sizes: Cost) -> Cost:
    """Return what two trimmed parts cost if the blocks are cut above each row; infinite above the first."""
    rows, columns = shown.shape
    at = np.arange(rows)
    there = shown.any(axis=1)
    first = np.where(there, shown.argmax(axis=1), columns)
    last = np.where(there, columns - shown[:, ::-1].argmax(axis=1), 0)
    costs = np.full(rows, np.inf)
    if rows > 1:
        width = np.maximum.accumulate(last) - np.minimum.accumulate(first)
        height = np.maximum.accumulate(np.where(there, at, 0)) + 1
        beyond = np.maximum.accumulate(last[::-1])[::-1] - np.minimum.accumulate(first[::-1])[::-1]
        start = np.minimum.accumulate(np.where(there, at, rows)[::-1])[::-1]
        above = sizes[height[:-1]] * sizes[width[:-1]]
        costs[1:] = above + sizes[rows - start[1:]] * sizes[beyond[1:]] + 2 * _EACH
    return costs


def _trimmed(marked: Mask, part: Box) -> Box | None:
    """Return the smallest part that contains all that is marked in a part; None if nothing is."""
    shown = marked[part.pixels]
    down, across = (np.flatnonzero(shown.any(axis=axis)) for axis in (1, 0))
    if not down.size:
        return None
    return Box.of_edges(
        part.x + int(across[0]),
        part.y + int(down[0]),
        part.x + int(across[-1]) + 1,
        part.y + int(down[-1]) + 1,
    )
