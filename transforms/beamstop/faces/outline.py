"""The outline of a body in a volume: the surface between air and skin.

Thresholds were set by hand; docs/faces.md describes them and measures the result.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from beamstop.faces.volume import Floats, Grid, Mask, Volume

Modality = Literal["CT", "MR", "PT"]
_SKIN = -300.0  # HU: between air (-1000) and skin (about 0)
_SEAM = 3.0  # mm: a part less than about twice as thick is a holder, a tube or a sheet, not the body
_NOSTRIL = 6.0  # mm: openings less than twice as wide are closed
_PT_SHARE = 0.06  # of the range up to the 99.5th percentile: skin takes up a tenth as much as muscle or brain
_LEVELS = 512  # bins of the histogram


@dataclass(frozen=True)
class Outline:
    """A body on a grid along the patient's axes.

    Attributes:
        grid: of all arrays.
        inside: which points lie in the volume.
        body: which points lie in the body, including the cavities that it encloses.
        distance: to the surface of the body, mm, float32; less than 0 inside.
    """

    grid: Grid
    inside: Mask
    body: Mask
    distance: Floats


def outline_of(
    volume: Volume, grid: Grid, modality: Modality, threshold: float, second: bool = False
) -> Outline | None:
    """Return the outline of the largest body on a grid, or of the second largest; None if there is none.

    A point beyond the volume counts as the nearest point inside, so that the edge of a picture is no skin.

    Args:
        volume: of one stack.
        grid: of the outline.
        modality: decides how parts that touch the body are separated from it.
        threshold: values above are tissue, see `threshold_of`.
        second: whether to return the second largest body.
    """
    from scipy import ndimage

    values, inside = volume.sampled(grid)
    tissue = (values > np.float32(threshold)) & inside
    seam = max(1, round(_SEAM / grid.step))
    # In CT, a thin head holder may touch the head: erosion separates it. In MR, bone is as dark as air and
    # separates the scalp from the head: dilation joins them.
    core = ~_grown(~tissue & inside, seam) & inside if modality == "CT" else _grown(tissue, 1)
    labels, count = ndimage.label(core)
    if count <= second:
        return None
    sizes = np.bincount(labels.ravel())[1:]
    core = labels == int(np.argsort(-sizes, kind="stable")[int(second)]) + 1
    body = tissue & (_grown(core, seam + 1) if modality == "CT" else core)
    if not inside.all():
        nearest = ndimage.distance_transform_edt(~inside, return_distances=False, return_indices=True)
        body = body[tuple(nearest)]
    body = ~_outside(body, round(_NOSTRIL / grid.step))
    return outline_around(grid, inside, body)


def outline_around(grid: Grid, inside: Mask, body: Mask) -> Outline:
    """Return the outline of a body, given its points on a grid."""
    from scipy import ndimage

    distance = ndimage.distance_transform_edt(~body) - ndimage.distance_transform_edt(body)
    # The surface lies half a step from the points on either side.
    distance = np.where(distance > 0, distance - 0.5, distance + 0.5) * grid.step
    return Outline(grid, inside, body, distance.astype(np.float32))


def _grown(mask: Mask, radius: int) -> Mask:
    """Return a mask dilated by a radius, in points along each axis."""
    from scipy import ndimage

    grown: Mask = ndimage.maximum_filter(mask.view(np.uint8), 2 * radius + 1, mode="constant").view(bool)
    return grown


def _outside(body: Mask, radius: int) -> Mask:
    """Return the air that is connected to the sides of the grid through openings wider than two radii."""
    from scipy import ndimage

    margin = radius + 2
    padded = np.pad(body, ((margin, margin), (margin, margin), (0, 0)))
    padded = np.pad(padded, ((0, 0), (0, 0), (margin, margin)), mode="edge")
    labels, count = ndimage.label(~_grown(padded, radius))
    sides = np.zeros(count + 1, bool)
    for face in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        sides[np.unique(face)] = True
    sides[0] = False
    air = _grown(sides[labels], radius) & ~padded
    return air[margin:-margin, margin:-margin, margin:-margin]


def threshold_of(volume: Volume, modality: Modality) -> float:
    """Return the value above which there is tissue.

    In MR: 12 % of the way from the brightness of air to that of tissue, but at least 2.5 times air.
    """
    if modality == "CT":
        return _SKIN
    values = volume.values
    low, high = (float(it) for it in np.percentile(values, (1.0, 99.5)))
    if not high > low:
        return high
    if modality == "PT":
        return low + _PT_SHARE * (high - low)
    noise = _noise(values)
    counts, edges = np.histogram(values, bins=_LEVELS, range=(low, high))
    bright = _mean_above(counts, edges, _otsu(counts, edges))
    return max(noise + 0.12 * (bright - noise), 2.5 * noise)


def _noise(values: Floats) -> float:
    """Return the brightness of air: the second lowest median of the eight corners of a volume."""
    places, rows, columns = (max(1, length // 10) for length in values.shape)
    corners = [
        float(np.median(values[z][:, y][:, :, x]))
        for z in (slice(0, places), slice(-places, None))
        for y in (slice(0, rows), slice(-rows, None))
        for x in (slice(0, columns), slice(-columns, None))
    ]
    return sorted(corners)[1]


def _otsu(counts: NDArray[np.int64], edges: NDArray[np.float64]) -> float:
    """Return the level that best separates a histogram into two classes, by Otsu's method."""
    centres = (edges[:-1] + edges[1:]) / 2
    weight = np.cumsum(counts)
    total = weight[-1]
    mean = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (mean[-1] * weight / total - mean) ** 2 / (weight * (total - weight))
    return float(centres[int(np.argmax(np.nan_to_num(between)))])


def _mean_above(counts: NDArray[np.int64], edges: NDArray[np.float64], level: float) -> float:
    centres = (edges[:-1] + edges[1:]) / 2
    above = centres >= level
    return float(np.sum(counts[above] * centres[above]) / max(int(np.sum(counts[above])), 1))
