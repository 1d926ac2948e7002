"""The part of a head that is blanked: everything in front of a smooth surface, facial skin, and the ears.

The surface is a vertical cylinder: elliptic at the eyes, about where the facial bones begin; squarer and
deeper below them. Only its size depends on the patient, so it follows nobody's features.

Lengths are mm in the template's coordinates (x left, y back, z up). The origin lies in the midbrain, the
nasion at y = -98, z = -28, the tip of the nose at y = -122, z = -65. The limits were set by hand;
docs/faces.md measures what they leave of a face and that they spare the brain.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beamstop.dicom.deadline import check_time
from beamstop.faces.head import Fit, from_template, template
from beamstop.faces.outline import Outline
from beamstop.faces.slices import Slice
from beamstop.faces.volume import Floats, Grid, Mask

Cells = NDArray[Any]

# z: from the brows to below the chin, with room for a large jaw and a beard.
_TOP, _BOTTOM = -3.0, -165.0
# y, z: behind this y lies the neck, where the rind (see below) already ends at this z.
_NECK = (-55.0, -140.0)
# From this z up to the top, the surface moves forward by up to 13 mm, as the frontal bone is near the skin.
_RAMP = (-30.0, 13.0)
# Half axes of the ellipse: to the side, to the front, to the front below the eyes, to the back.
_WIDE, _LONG, _LONG_LOW, _LONG_BACK = 66.0, 86.0, 54.0, 105.0
# Between these z, the surface goes back, and the exponent rises from 2 to 3: otherwise orbits and sinuses
# would open, which look like eyes. The brain before the surface ends at z = -26.
_EYES = (-46.0, -54.0)
_RIND = 10.0  # thickness of the skin that is blanked beside the cut, called the rind
_RIND_BACK, _CUT_BACK = -40.0, -25.0  # y: rear limits of the rind and of the cut
_EAR = (60.0, -30.0, 52.0, -98.0, -2.0)  # least |x|; y from, to; z from, to
_EAR_RIND = 5.0  # thickness of the skin that is blanked behind the surface within the box of an ear
_NASION, _SHALLOW = -24.0, 12.0  # above this z, nothing deeper than 12 mm below the skin is blanked
_BRAIN_MARGIN = 4.0  # kept around the template's brain
_OUTSIDE = np.float32(-1000.0)  # level beyond the grid: never blanked


@dataclass(frozen=True)
class Cut:
    """The region to blank, as a level set: points with a level above 0 are blanked.

    Attributes:
        grid: around the head, in patient coordinates.
        level: one value per grid point, float32, about the distance in mm to the edge of the region.
    """

    grid: Grid
    level: Floats

    def mask(self, piece: Slice) -> Mask | None:
        """Return the mask of the pixels to blank, bool (rows, columns); None if there are none."""
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
        """Return the rows and columns of a frame that may lie in the grid; None for each without any."""
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
    """Return the region to blank in a head.

    Args:
        fit: position, orientation and size of the head.
        outline: of the body around the head; its grid becomes that of the cut.
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
    """Return about how far points lie inside the blanked region, mm; less than 0 outside.

    Places are template coordinates that broadcast to one shape; depth is the distance below the skin, mm.
    """
    below_eyes = np.clip((_EYES[0] - z) / (_EYES[0] - _EYES[1]), 0.0, 1.0)
    long = np.where(y < 0, _LONG + (_LONG_LOW - _LONG) * below_eyes, _LONG_BACK)
    power = 2.0 + below_eyes
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
    head = template()
    beside_brain = from_template(head.brain, head.grid, x, y, z) - _BRAIN_MARGIN
    level: Cells = np.minimum.reduce([blanked, shallow, beside_brain])
    return level
