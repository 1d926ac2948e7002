"""The outline of a body in a volume: where air ends and skin begins."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from beamstop.faces.volume import Floats, Grid, Mask, Volume

Modality = Literal["CT", "MR", "PT"]
_SKIN = -300.0  # HU: half way between air and skin
_SEAM = 3.0  # mm: what is thinner is no part of the body but a holder, a tube, a sheet
_NOSTRIL = 6.0  # mm: openings narrower than twice this are closed
_PT_SHARE = 0.06  # of the bright end: skin takes up a tenth of what muscle and brain do
_LEVELS = 512


@dataclass(frozen=True)
class Outline:
    """Where the body is.

    Attributes:
        grid: of all arrays.
        inside: lies in the volume.
        body: is body, with what it encloses.
        distance: to its surface, mm: less than 0 in the body, more in the air outside.
    """

    grid: Grid
    inside: Mask
    body: Mask
    distance: Floats


def outline_of(
    volume: Volume, grid: Grid, modality: Modality, threshold: float, second: bool = False
) -> Outline | None:
    """Return the outline of the largest body on a grid, or of the second largest; None where there is none.

    Beyond the volume its nearest point counts, so that an edge of the picture is no skin.
    """
    from scipy import ndimage

    values, inside = volume.sampled(grid)
    tissue = (values > np.float32(threshold)) & inside
    seam = max(1, round(_SEAM / grid.step))
    # In CT a holder touches the head, and is thin. In MR bone is as dark as air, and parts off the scalp.
    core = ~_grown(~tissue & inside, seam) & inside if modality == "CT" else _grown(tissue, 1)
    labels, count = ndimage.label(core)
    if count <= second:
        return None
    sizes = np.bincount(labels.ravel())[1:]
    core = labels == int(np.argsort(-sizes, kind="stable")[int(second)]) + 1
    body = tissue & (_grown(core, seam + 1) if modality == "CT" else core)
    if not inside.all():  # beyond the picture: as at its edge
        nearest = ndimage.distance_transform_edt(~inside, return_distances=False, return_indices=True)
        body = body[tuple(nearest)]
    body = ~_outside(body, round(_NOSTRIL / grid.step))
    distance = ndimage.distance_transform_edt(~body) - ndimage.distance_transform_edt(body)
    # Half a point on either side: the surface lies between two points.
    distance = np.where(distance > 0, distance - 0.5, distance + 0.5) * grid.step
    return Outline(grid, inside, body, distance.astype(np.float32))


def _grown(mask: Mask, radius: int) -> Mask:
    """Return what lies within a radius of a mask, in points along each axis."""
    from scipy import ndimage

    grown: Mask = ndimage.maximum_filter(mask.view(np.uint8), 2 * radius + 1, mode="constant").view(bool)
    return grown


def _outside(body: Mask, radius: int) -> Mask:
    """Return the air around a body: from the sides of the grid, through what is wider than twice a radius."""
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
    """Return the value above which there is tissue."""
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
    """Return the brightness of air: of the darkest two of the eight corners of a volume."""
    places, rows, columns = (max(1, length // 10) for length in values.shape)
    corners = [
        float(np.median(values[z][:, y][:, :, x]))
        for z in (slice(0, places), slice(-places, None))
        for y in (slice(0, rows), slice(-rows, None))
        for x in (slice(0, columns), slice(-columns, None))
    ]
    return sorted(corners)[1]


def _otsu(counts: NDArray[np.int64], edges: NDArray[np.float64]) -> float:
    """Return the level that parts a histogram into two kinds most unlike."""
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
