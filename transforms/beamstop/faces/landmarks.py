"""Whether a head shows a face: the tip of a nose between the inner corners of two eyes, by curvature.

A tip is convex each way, a corner concave each way, as the curvatures of the surface say (after Colombo,
Cusano and Schettini, Pattern Recognition 2006;39:444). docs/faces.md measures how often this errs.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beamstop.dicom.deadline import check_time
from beamstop.faces.head import Pose
from beamstop.faces.volume import Floats, Grid

Array = NDArray[Any]

_SMOOTH = 4.0  # mm: smaller shapes are not landmarks, unless a caller looks closer
_TIP, _PIT = 1 / 40, -1 / 60  # per mm: a tip of a nose is at least so convex each way, a corner so concave
# The inner corners of adults' eyes are 31 to 39 mm apart in the means of 118 groups, SD 1.5 to 3.2
# (PMC9029890), and their noses 41 to 55 mm high (doi 10.1186/s40902-019-0191-7, 2 SD); the tip, which stands
# out, is a little further from each corner. Children's are down to half of that.
_CORNERS_APART, _TIP_AWAY, _UNEVEN = (17.0, 50.0), (20.0, 62.0), 0.25
_FORWARD = 5.0  # mm that a tip lies before both corners
_STEEP = 4.0  # mm that a surface falls per mm to the side; where it falls more, it is torn
_MARGIN = 6.0  # mm from the edge of what is seen, and from where it is torn

# Directions to look from, in degrees of nodding and shaking, in the head's own orientation.
_VIEWS = [(nod, shake) for nod in (-20, -10, 0, 10, 20) for shake in (-40, -20, 0, 20, 40)]
_CENTRE = np.array([[0.0, -60.0, -45.0]])  # template coordinates, mm: of the views
_SIDE, _NEAR, _FAR = 110.0, -100.0, 60.0  # mm from there: half the width of a view; where it begins and ends
# Directions are rounded to 1/16384, and surfaces to 1/1024 mm, so that all machines find the same landmarks.
_TURN_UNITS, _DEPTH_UNITS = 16384.0, 1024.0


def look_for_landmarks(
    values: Floats, grid: Grid, pose: Pose, levels: Sequence[float], air: float
) -> Iterator[bool]:
    """Render a head from in front, and yield for each rendering whether it has the landmarks of a face.

    Args:
        values: on the points of the grid.
        grid: around the head.
        pose: of the head.
        levels: surfaces to render: values above are tissue.
        air: value beyond the grid.

    Yields:
        one result for each direction and level.
    """
    from scipy import ndimage

    beside, ahead = np.arange(-_SIDE, _SIDE, grid.step), np.arange(_NEAR, _FAR, grid.step)
    centre = (pose.placed(_CENTRE)[0] - np.array(grid.low)) / grid.step
    for nod, shake in _VIEWS:
        check_time()
        (ca, cb), (sa, sb) = np.cos(np.radians((nod, shake))), np.sin(np.radians((nod, shake)))
        forward, right = np.array([-sb * ca, cb * ca, sa]), np.array([cb, sb, 0.0])
        directions = pose.turned(np.stack([forward, np.cross(forward, right), right]))
        forward, down, right = np.round(directions * _TURN_UNITS) / _TURN_UNITS / grid.step
        places = [
            centre[axis]
            + forward[axis] * ahead[:, None, None]
            + down[axis] * beside[:, None]
            + right[axis] * beside
            for axis in range(3)
        ]
        seen = ndimage.map_coordinates(
            values, np.stack(places), output=np.float32, order=1, mode="constant", cval=air
        )
        for level in levels:
            body = seen > np.float32(level)
            depth = np.where(body.any(axis=0), body.argmax(axis=0) * grid.step, np.inf)
            yield has_landmarks(depth, grid.step)


def has_landmarks(depth: Array, step: float, smooth: float = _SMOOTH) -> bool:
    """Return whether a surface has the tip of a nose, and the inner corners of two eyes where they belong.

    Args:
        depth: distance of the surface in mm, in rows from the top down; infinite where there is no surface.
        step: between rows and columns, mm.
        smooth: smaller shapes are not landmarks, mm.
    """
    from scipy import ndimage

    hit = np.isfinite(depth)
    if not hit.any():
        return False
    nearest = ndimage.distance_transform_edt(~hit, return_distances=False, return_indices=True)
    filled = depth[tuple(nearest)]
    torn = ndimage.maximum_filter(filled, 3) - ndimage.minimum_filter(filled, 3) > _STEEP * step
    surface = np.round(ndimage.gaussian_filter(filled, smooth / step) * _DEPTH_UNITS) / _DEPTH_UNITS
    down, right = np.gradient(surface, step)
    (down_down, down_right), right_right = np.gradient(down, step), np.gradient(right, step)[1]
    tilt = 1 + down * down + right * right
    gauss = (right_right * down_down - down_right * down_right) / (tilt * tilt)
    mean = (1 + down * down) * right_right - 2 * right * down * down_right + (1 + right * right) * down_down
    mean /= 2 * tilt * np.sqrt(tilt)
    away = np.sqrt(np.maximum(mean * mean - gauss, 0))
    inner = ndimage.distance_transform_edt(np.pad(hit & ~torn, 1))[1:-1, 1:-1] * step > _MARGIN
    tips = _strongest(mean - away, inner & (mean - away > _TIP), surface, step)
    corners = _strongest(-mean - away, inner & (mean + away < _PIT), surface, step)
    return any(_is_face(tip, *pair) for pair in combinations(corners, 2) for tip in tips)


def _strongest(strength: Array, mask: Array, surface: Array, step: float) -> list[Array]:
    """Return the strongest point of each patch of a mask: down, right, away, mm."""
    from scipy import ndimage

    labels, count = ndimage.label(mask)
    found = ndimage.maximum_position(strength, labels, range(1, count + 1)) if count else []
    return [np.array([row * step, column * step, surface[row, column]]) for row, column in found]


def _is_face(tip: Array, one: Array, other: Array) -> bool:
    apart, *away = (float(np.sqrt(np.sum((a - b) ** 2))) for a, b in ((one, other), (tip, one), (tip, other)))
    return (
        _CORNERS_APART[0] <= apart <= _CORNERS_APART[1]
        and _TIP_AWAY[0] <= min(away)
        and max(away) <= _TIP_AWAY[1]
        and max(away) - min(away) <= _UNEVEN * max(away)
        and tip[0] > max(one[0], other[0])
        and tip[2] < min(one[2], other[2]) - _FORWARD
    )
