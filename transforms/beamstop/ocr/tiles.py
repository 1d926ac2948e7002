"""Tiles of a picture, each of which a network processes at once."""

from collections.abc import Iterator
from functools import cache
from math import ceil

import numpy as np
from numpy.typing import NDArray

from beamstop.ocr.networks import Network
from beamstop.ocr.thresholds import THRESHOLDS, Thresholds
from beamstop.pixels.cover import covered
from beamstop.pixels.renditions import GROUND, Mask, Picture

Scores = NDArray[np.float32]
Part = tuple[slice, slice]


def tiles(picture: Picture, side: int, margin: int) -> Iterator[tuple[Part, Part]]:
    """Yield the core of each tile, and the tile with its margin; uniform parts are left out.

    Args:
        picture: uint8 (rows, columns).
        side: of a core, in pixels.
        margin: around it, in pixels.
    """
    rows, columns = picture.shape
    for top in range(0, rows, side):
        for left in range(0, columns, side):
            core = _content(
                picture, slice(top, min(top + side, rows)), slice(left, min(left + side, columns))
            )
            if core is not None:
                yield core, (_grown(core[0], margin, rows), _grown(core[1], margin, columns))


def _content(picture: Picture, down: slice, across: slice) -> Part | None:
    """Return the part of a tile that is not uniform; None if there is none."""
    import cv2

    tile = picture[down, across]
    kernel = np.ones((3, 3), np.uint8)
    differs = cv2.dilate(tile, kernel) != cv2.erode(tile, kernel)
    spans = [np.flatnonzero(differs.any(axis=axis)) for axis in (1, 0)]
    if not spans[0].size:
        return None
    down, across = (
        # Scores have half the size, so tiles begin at even rows and columns.
        slice(part.start + int(span[0]) // 2 * 2, min(part.start + int(span[-1]) // 2 * 2 + 2, part.stop))
        for part, span in zip((down, across), spans, strict=True)
    )
    return down, across


def tiles_of(areas: Mask, side: int, margin: int, thresholds: Thresholds) -> Iterator[tuple[Part, Part]]:
    """Yield tiles that contain all areas of a mask and little else; cores have uneven sizes.

    Args:
        areas: bool (rows, columns).
        side: of a core, in pixels, at most.
        margin: around it, in pixels.
        thresholds: have the sizes to which tiles are padded.
    """
    rows, columns = areas.shape
    for box in covered(areas, side, lambda length: sized(length + 2 * margin, thresholds)):
        yield box.pixels, box.grown(margin, rows, columns).pixels


def _grown(part: slice, margin: int, limit: int) -> slice:
    return slice(max(part.start - margin, 0), min(part.stop + margin, limit))


def inside(core: Part, tile: Part) -> Part:
    """Return the place of a core in its tile."""
    down, across = (
        slice(part.start - whole.start, part.stop - whole.start)
        for part, whole in zip(core, tile, strict=True)
    )
    return down, across


def halved(part: Part) -> Part:
    """Return the place of a part in scores of half the size."""
    down, across = (slice(side.start // 2, (side.stop + 1) // 2) for side in part)
    return down, across


def run_padded(network: Network, tile: Picture, thresholds: Thresholds) -> Scores:
    """Run a network on a tile, padded to one of few sizes."""
    rows, columns = tile.shape
    padding = (0, sized(rows, thresholds) - rows), (0, sized(columns, thresholds) - columns)
    return network.run(normalized(np.pad(tile, padding, constant_values=GROUND), thresholds))


def sized(pixels: int, thresholds: Thresholds) -> int:
    """Return the size to which a side is padded: each new size costs a network time and memory."""
    step = next(step for limit, step in thresholds.sizes if pixels <= limit)
    return ceil(pixels / step) * step


def normalized(picture: Picture, thresholds: Thresholds = THRESHOLDS) -> NDArray[np.float32]:
    """Return a grey picture as the batch of (1, 3, rows, columns) that the detectors were trained with."""
    import cv2

    batch = np.empty((1, 3, *picture.shape), np.float32)
    for channel, shades in zip(batch[0], _shades(thresholds), strict=True):
        cv2.LUT(picture, shades, dst=channel)
    return batch


@cache
def _shades(thresholds: Thresholds) -> NDArray[np.float32]:
    """Return the normalised value of each of 256 greys in each channel, (3, 256)."""
    mean, spread = (np.array(it, np.float32) * 255 for it in (thresholds.mean, thresholds.spread))
    return ((np.arange(256, dtype=np.float32)[:, None] - mean) / spread).T.copy()
