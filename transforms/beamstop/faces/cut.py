"""What of a head is blanked: all in front of a smooth surface, the skin around it, and the ears.

The surface is a cylinder, elliptic at the eyes and squarer below, that lies about where the bones of the face
begin. Only its size depends on the head: it follows no feature of anybody's face. Places are in mm of the
template, whose origin lies in the midbrain; its nasion is at y = -98, z = -28, the tip of its nose at
y = -122, z = -65.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beamstop.dicom.deadline import check_time
from beamstop.faces.head import Fit, template
from beamstop.faces.outline import Outline
from beamstop.faces.slices import Slice
from beamstop.faces.volume import Floats, Grid, Mask

Cells = NDArray[Any]

_TOP, _BOTTOM = -3.0, -165.0  # brows; and under the chin, a large jaw and its beard allowed for
_NECK = (-55.0, -140.0)  # behind the one, which is neck, the rind ends at the other
_RAMP = (-30.0, 13.0)  # from here up to the top the surface comes forward by so much: there the bone is near
_WIDE, _LONG, _LONG_BACK = 66.0, 86.0, 105.0  # the ellipse: to the side, to the front, to the back
_EYES = (-46.0, -54.0)  # below, it is squarer: round it would open the sinuses, two holes like eyes
_RIND = 10.0  # of the skin, from the air in
_RIND_BACK, _CUT_BACK = -40.0, -25.0  # y: the rind, the cut go back to here
_EAR = (60.0, -30.0, 52.0, -98.0, -2.0)  # beyond x, between y and y, between z and z
_EAR_RIND = 5.0
_NASION, _SHALLOW = -24.0, 12.0  # above the one, nothing is blanked deeper than the other
_BRAIN_MARGIN = 4.0
_OUTSIDE = np.float32(-1000.0)
_TEMPLATE_EDGE = 2  # points at the rim of the template's grid


@dataclass(frozen=True)
class Cut:
    """What is blanked, as a level on a grid: more than 0 is blanked.

    Attributes:
        grid: around the face.
        level: at its points, about mm.
    """

    grid: Grid
    level: Floats

    def mask(self, piece: Slice) -> Mask | None:
        """Return which pixels of a frame are blanked; None for none."""
        from scipy import ndimage

        check_time()
        rows, columns = self._window(piece)
        if rows is None or columns is None:
            return None
        row, column = np.arange(rows.start, rows.stop)[:, None], np.arange(columns.start, columns.stop)[None]
        indices = [
            (origin + row * down + column * across - low) / self.grid.step
            for origin, down, across, low in zip(
                piece.origin, piece.down, piece.across, self.grid.low, strict=True
            )
        ]
        level = ndimage.map_coordinates(
            self.level, np.stack(indices), output=np.float32, order=1, mode="constant", cval=float(_OUTSIDE)
        )
        part = level > 0
        if not part.any():
            return None
        whole = np.zeros(piece.shape, bool)
        whole[rows, columns] = part
        return whole

    def _window(self, piece: Slice) -> tuple[slice | None, slice | None]:
        """Return the rows and columns of a frame that can lie in the grid."""
        low = np.array(self.grid.low)
        high = low + self.grid.step * (np.array(self.grid.shape) - 1)
        corners = np.array([[(low, high)[(it >> axis) & 1][axis] for axis in range(3)] for it in range(8)])
        away = np.sum((corners - np.array(piece.origin)) * piece.normal, axis=1)
        if away.min() > 0 or away.max() < 0:
            return None, None
        windows = []
        for step, count in ((piece.down, piece.shape[0]), (piece.across, piece.shape[1])):
            along = np.sum((corners - np.array(piece.origin)) * np.array(step), axis=1) / np.sum(
                np.square(step)
            )
            first, last = max(int(np.floor(along.min())), 0), min(int(np.ceil(along.max())) + 1, count)
            windows.append(slice(first, last) if first < last else None)
        return windows[0], windows[1]


def cut_of(fit: Fit, outline: Outline) -> Cut:
    """Return what is blanked of a head.

    Args:
        fit: where the head is.
        outline: of the body around it.
    """
    grid = outline.grid
    level = np.empty(grid.shape, np.float32)
    x, y = grid.axis(0)[:, None], grid.axis(1)[None, :]
    size = fit.pose.size
    for number, z in enumerate(grid.axis(2)):
        check_time()
        height = np.full((1, 1), z)
        across, back, up = fit.pose.template_of(x, y, height)
        depth = -outline.distance[:, :, number].astype(np.float64) / size
        level[:, :, number] = _level(across, back, up, depth)
    return Cut(grid, level)


def _level(x: Cells, y: Cells, z: Cells, depth: Cells) -> Cells:
    """Return how far, about, points lie inside what is blanked; depth is that below the skin."""
    long = np.where(y < 0, _LONG, _LONG_BACK)
    power = 2.0 + np.clip((_EYES[0] - z) / (_EYES[0] - _EYES[1]), 0.0, 1.0)
    beyond = ((np.abs(x / _WIDE) ** power + np.abs(y / long) ** power) ** (1 / power) - 1) * 75.0
    near_top = np.clip((z - _RAMP[0]) / (_TOP - _RAMP[0]), 0.0, 1.0) * _RAMP[1]
    heights = np.minimum(_TOP - z, z - _BOTTOM)
    front = np.minimum(np.minimum(beyond - near_top, _CUT_BACK - y), heights)
    above_neck = np.where(y < _NECK[0], heights, np.minimum(heights, z - _NECK[1]))
    rind = np.minimum(np.minimum(_RIND - near_top - depth, _RIND_BACK - y), above_neck)
    ear = np.minimum.reduce(
        [
            np.abs(x) - _EAR[0],
            np.minimum(y - _EAR[1], _EAR[2] - y),
            np.minimum(z - _EAR[3], _EAR[4] - z),
            np.maximum(beyond, _EAR_RIND - depth),
        ]
    )
    blanked = np.maximum(np.maximum(front, rind), ear)
    shallow = np.where(z > _NASION, _SHALLOW - depth, np.inf)
    beside_brain = _from_brain(x, y, z) - _BRAIN_MARGIN
    level: Cells = np.minimum.reduce([blanked, shallow, beside_brain])
    return level


def _from_brain(x: Cells, y: Cells, z: Cells) -> Cells:
    """Return the distance from the template's brain, mm."""
    from scipy import ndimage

    head = template()
    indices = [(axis - low) / head.grid.step for axis, low in zip((x, y, z), head.grid.low, strict=True)]
    found: Cells = ndimage.map_coordinates(
        head.brain, np.stack(np.broadcast_arrays(*indices)), output=np.float64, order=1, mode="nearest"
    )
    return found
