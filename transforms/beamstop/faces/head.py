"""Find a head: fit the skin of a template to the outline of a body.

Thresholds were set by hand; docs/faces.md lists those of a good fit, and measures the result.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from beamstop.dicom.deadline import check_time
from beamstop.faces.outline import Outline, outline_around
from beamstop.faces.volume import Floats, Grid, Mask

Points = NDArray[Any]

_POINTS = 2400  # sampled on the template's skin; a third of them in the coarse search
_LOWEST = -110.0  # mm: the template is cut off a little below
VERTEX = 83.0  # mm above the template's origin
_FACE = (-15.0, -60.0)  # z, y in mm: the face lies below this z and in front of this y
_FAR = 20.0  # mm: larger distances from the skin are clipped to this
_CLOSE = 5.0  # mm: closer points lie on the skin
_ROUNDS_COARSE, _ROUNDS_FINE = 12, 25
_KEPT = 3  # coarse poses that are refined
# Differences of shift (mm) and turn (radians) below which two poses count as one.
_SAME = np.array([12.0, 12.0, 12.0, 0.15, 0.15, 0.15])
_WORTH = 1.5  # times the best coarse cost: poses above are not refined
# Standard deviations of turns (radians) and of the logarithms of sizes; the shift is free.
_PRIOR = np.array([np.inf, np.inf, np.inf, 0.35, 0.25, 0.25, 0.10, 0.10, 0.10])
_MOST = 1.45, 0.62  # times the template's size: the largest head, and a newborn's
# Turns to start from, in radians: nodding (x), tilting (y), shaking (z).
_UPRIGHT = ((-0.35, 0.0, 0.0), (0.0, 0.0, 0.0), (0.35, 0.0, 0.0))
_TURNED = (
    *((0.0, 0.0, shake) for shake in (-0.7, 0.7, -1.4, 1.4)),
    *((0.0, tilt, 0.0) for tilt in (-0.5, 0.5)),
    (-0.7, 0.0, 0.0),
    (0.7, 0.0, 0.0),
)
# Least share of the seen skin that must lie on the body's skin: part of a head, a whole one, face, neck.
_GOOD, _GOOD_WHOLE, _GOOD_FACE, _GOOD_NECK = 0.8, 0.83, 0.6, 0.6
# Largest share of the seen skin deep in the body; least share of the skin that must be in the volume.
_BURIED, _SEEN = 0.05, 0.25
_UNLIKE = 0.16  # largest difference of the logarithms of two sizes: 17 %
_NECK = (-70.0, -40.0, 60)  # neck and jaw lie below this z and behind this y; judged from 60 points on
WHOLE = 0.8  # share of the skin that must be in the volume: a whole head may lack its top or its neck
_SMALL = 0.78  # times the template's size: a smaller part of a head is more likely a neck or a limb
# z of the chin; y of the ears, behind which head holders lie; and how far from the template's skin something
# lies beside the head (mm): less far is a large nose.
_CHIN, _EARS, _BESIDE = -100.0, 15.0, (15.0, 30.0)
_PADDED = 20  # points around the template within which the distance to its skin is known
# Poses are rounded to 1/64 mm, and to 1/16384 in turns and sizes, so that all machines blank the same pixels.
_UNITS = np.array([64.0] * 3 + [16384.0] * 6)


_Values = tuple[float, ...]


class Template(NamedTuple):
    """The average head that ships with beamstop, in its own coordinates.

    Attributes:
        points: on the skin, (n, 3), mm.
        is_face: which of them belong to the face, (n,).
        grid: of `brain`.
        brain: distance to the surface of the brain, mm; less than 0 inside.
        grid_around, skin: the same for the skin, on a grid that reaches further.
    """

    points: Points
    is_face: Mask
    grid: Grid
    brain: Floats
    grid_around: Grid
    skin: Floats


@dataclass(frozen=True)
class Pose:
    """Position, orientation and size of the template in the patient.

    Attributes:
        values: shift in mm (3), turns about x, y and z in radians (3), logarithms of the sizes (3).
    """

    values: tuple[float, ...]

    def placed(self, points: Points) -> Points:
        """Return patient coordinates of points in template coordinates, (n, 3), mm."""
        turn = _turn(np.array(self.values))
        sized = points * np.exp(np.array(self.values[6:9]))
        placed: Points = _product(sized, turn) + np.array(self.values[:3])
        return placed

    def turned(self, directions: Points) -> Points:
        """Return directions in the patient of directions in template coordinates, (n, 3)."""
        return _product(directions, _turn(np.array(self.values)))

    def template_of(self, x: Points, y: Points, z: Points) -> tuple[Points, Points, Points]:
        """Return template coordinates of points in patient coordinates, one array per axis, mm."""
        turn, sizes = _turn(np.array(self.values)), np.exp(np.array(self.values[6:9]))
        dx, dy, dz = x - self.values[0], y - self.values[1], z - self.values[2]
        turned = [dx * turn[0, it] + dy * turn[1, it] + dz * turn[2, it] for it in range(3)]
        return turned[0] / sizes[0], turned[1] / sizes[1], turned[2] / sizes[2]

    @property
    def size(self) -> float:
        """Mean size of the head, times that of the template."""
        return float(np.exp(sum(self.values[6:9]) / 3))


@dataclass(frozen=True)
class Fit:
    """How well the template fits.

    Attributes:
        pose: of the template.
        seen: share of the template's skin that lies in the volume.
        close: share of the seen skin that lies on the body's skin.
        face_seen, face_close: the same for the face alone.
        buried: share of the seen skin that lies deep in the body, as that of a head never does.
        neck_close: share of the seen skin of neck and jaw that lies on the body's skin; 1 if too little of it
            is seen. It is low for a brain without its skull.
    """

    pose: Pose
    seen: float
    close: float
    face_seen: float
    face_close: float
    buried: float
    neck_close: float

    @property
    def is_good(self) -> bool:
        """Whether this is a head, given that the series shows the head or something near it."""
        has_face = self.face_seen < 0.1 or self.face_close >= _GOOD_FACE
        sizes = self.pose.values[6:9]
        is_like = (
            max(sizes) - min(sizes) <= _UNLIKE and self.neck_close >= _GOOD_NECK and self.buried <= _BURIED
        )
        if self.seen >= WHOLE:
            return has_face and is_like and self.close >= _GOOD_WHOLE
        is_part = self.seen >= _SEEN and self.pose.size >= _SMALL
        return has_face and is_like and is_part and self.close >= _GOOD


@cache
def template() -> Template:
    """Return the template that ships with beamstop."""
    from scipy import ndimage

    with as_file(files("beamstop") / "data" / "head.npz") as path, np.load(path) as stored:
        shape = tuple(int(it) for it in stored["shape"])
        count = int(np.prod(shape))
        head, brain = (np.unpackbits(stored[it], count=count).reshape(shape) > 0 for it in ("head", "brain"))
        low, step = stored["low"], float(stored["step"])
    grid = Grid((float(low[0]), float(low[1]), float(low[2])), (shape[0], shape[1], shape[2]), step)
    edge = head & ~ndimage.binary_erosion(head, border_value=1)
    points = np.argwhere(edge) * step + low
    points = points[points[:, 2] > _LOWEST]
    points = points[np.linspace(0, len(points) - 1, _POINTS).astype(int)]
    is_face = (points[:, 2] < _FACE[0]) & (points[:, 1] < _FACE[1])
    padded = np.pad(head, _PADDED)
    around = Grid.around(low - _PADDED * step, low + (np.array(shape) - 1 + _PADDED) * step, step)
    return Template(points, is_face, grid, _signed(brain, step), around, _signed(padded, step))


def from_template(distance: Floats, grid: Grid, x: Points, y: Points, z: Points) -> Points:
    """Return distances that the template holds, at template coordinates that broadcast to one shape, mm."""
    from scipy import ndimage

    indices = [(axis - low) / grid.step for axis, low in zip((x, y, z), grid.low, strict=True)]
    found: Points = ndimage.map_coordinates(
        distance, np.stack(np.broadcast_arrays(*indices)), output=np.float64, order=1, mode="nearest"
    )
    return found


class Beside(NamedTuple):
    """What lies beside a head, above the chin.

    Attributes:
        touching: volume of what is joined to the head and lies near its skin, in front of the ears, mm³.
        other: the largest part of the body that is not joined to the head at this height, as a raised arm or
            another head may be; None if there is none.
    """

    touching: float
    other: Outline | None


def beside_head(pose: Pose, outline: Outline) -> Beside:
    """Return what lies beside a head.

    Args:
        pose: of the head.
        outline: of the body that it belongs to.
    """
    from scipy import ndimage

    head, grid = template(), outline.grid
    away = np.empty(grid.shape, np.float32)
    is_above, is_front = np.empty(grid.shape, bool), np.empty(grid.shape, bool)
    x, y = grid.axis(0)[:, None], grid.axis(1)[None, :]
    for number, height in enumerate(grid.axis(2)):
        check_time()
        placed = pose.template_of(x, y, np.full((1, 1), height))
        away[:, :, number] = from_template(head.skin, head.grid_around, *placed)
        is_above[:, :, number], is_front[:, :, number] = placed[2] > _CHIN, placed[1] < _EARS
    parts, count = ndimage.label(outline.body & outline.inside & is_above)
    own = int(np.argmax(np.bincount(parts[away < 0], minlength=2)[1:])) + 1
    near = (parts == own) & is_front & (away > _BESIDE[0]) & (away < _BESIDE[1])
    sizes = np.bincount(parts.ravel(), minlength=own + 1)
    sizes[[0, own]] = 0
    other = outline_around(grid, outline.inside, parts == int(np.argmax(sizes))) if count > 1 else None
    return Beside(float(np.sum(near)) * grid.step**3, other)


def _signed(mask: Mask, step: float) -> Floats:
    from scipy import ndimage

    away = ndimage.distance_transform_edt(~mask) - ndimage.distance_transform_edt(mask)
    signed: Floats = (np.where(away > 0, away - 0.5, away + 0.5) * step).astype(np.float32)
    return signed


# Returns the outline of the body around a pose of the template, in fine steps; None if there is no body.
Finer = Callable[[Pose], Outline | None]


def find_head(coarse: Outline, fine_outline: Finer) -> Fit | None:
    """Return the best fit of the template; None if there is none.

    Upright heads are tried first. Turned and tilted ones count only if the whole head is seen.

    Args:
        coarse: outline of the whole volume, in steps of 4 mm.
        fine_outline: returns the outline around a pose, in steps of 2 mm.
    """
    best = _best(coarse, fine_outline, _UPRIGHT)
    if best is None or not best.is_good:
        turned = _best(coarse, fine_outline, _TURNED)
        if turned is not None and turned.is_good and turned.seen >= WHOLE:
            return turned
    return best


def _best(coarse: Outline, fine_outline: Finer, turns: tuple[tuple[float, ...], ...]) -> Fit | None:
    skin = template()
    subset = skin.points[::3]
    tried: list[tuple[float, _Values, _Values]] = []
    for start in _starts(coarse, turns):
        check_time()
        reached, cost = _settle(start, start, subset, coarse, _ROUNDS_COARSE)
        tried.append((cost, tuple(reached.tolist()), tuple(start.tolist())))
    tried.sort()
    best: tuple[float, Fit] | None = None
    for values, begun in _unlike(tried):
        check_time()
        fine = fine_outline(Pose(values))
        if fine is None:
            continue
        settled, cost = _settle(np.array(values), np.array(begun), skin.points, fine, _ROUNDS_FINE)
        pose = Pose(tuple(float(it) for it in np.round(settled * _UNITS) / _UNITS))
        if best is None or cost < best[0] - 1e-6:
            best = cost, _judged(pose, fine)
    return best[1] if best else None


def _unlike(tried: list[tuple[float, _Values, _Values]]) -> list[tuple[_Values, _Values]]:
    """Return the best poses with their starts, without those that nearly repeat a better one."""
    kept: list[tuple[_Values, _Values]] = []
    for cost, values, start in tried:
        is_new = all(np.any(np.abs(np.array(values) - np.array(it))[:6] > _SAME) for it, _ in kept)
        if is_new and len(kept) < _KEPT and cost <= _WORTH * tried[0][0]:
            kept.append((values, start))
    return kept


def _starts(coarse: Outline, turns: tuple[tuple[float, ...], ...]) -> tuple[Points, ...]:
    """Return poses to start from: below the top of the body and at other heights, in each of some turns."""
    body, grid = coarse.body & coarse.inside, coarse.grid
    heights = grid.axis(2)[np.any(body, axis=(0, 1))]
    top, bottom = float(heights.max()), float(heights.min())
    lowest = max(bottom, top - 520.0) - 60.0
    highest = top + 90.0
    found = []
    for origin in np.arange(top - VERTEX, lowest, -45.0).tolist() + [
        it for it in (top - VERTEX + 45.0, top - VERTEX + 90.0, top - VERTEX + 135.0) if it <= highest
    ]:
        near = np.abs(grid.axis(2) - origin) <= 40.0
        columns = np.any(body[:, :, near], axis=2)
        if not columns.any():
            columns = np.any(body, axis=2)
        x, y = grid.axis(0)[columns.any(axis=1)], grid.axis(1)[columns.any(axis=0)]
        centre = (float(x.min() + x.max()) / 2, float(y.min() + y.max()) / 2)
        size = min(max((float(y.max() - y.min())) / 205.0, 0.75), 1.1)
        found += [np.array([*centre, origin, *turn, *[np.log(size)] * 3]) for turn in turns]
    return tuple(found)


def _settle(
    values: Points, start: Points, points: Points, outline: Outline, rounds: int
) -> tuple[Points, float]:
    """Move a pose until the template's skin lies on the body's (Levenberg-Marquardt).

    Args:
        values: of the pose, (9,).
        start: pose whose turns are the likeliest, (9,).
        points: on the template's skin, (n, 3), mm.
        outline: of the body.
        rounds: greatest number of steps.

    Returns:
        the pose, and its cost.
    """
    damping = 1e-2
    cost, gradient, curvature = _sums(values, start, points, outline)
    for _ in range(rounds):
        scaled = curvature + damping * np.diag(np.diag(curvature) + 1e-9)
        try:
            step = np.linalg.solve(scaled, -gradient)
        except np.linalg.LinAlgError:
            break
        step = np.clip(step, -_STRIDE, _STRIDE)
        new = values + step
        new[6:9] = np.clip(new[6:9], np.log(_MOST[1]), np.log(_MOST[0]))
        new_cost, new_gradient, new_curvature = _sums(new, start, points, outline)
        if new_cost < cost:
            values, gradient, curvature = new, new_gradient, new_curvature
            gained, cost = cost - new_cost, new_cost
            damping = max(damping / 3, 1e-4)
            if gained < 1e-5:
                break
        else:
            damping *= 5
            if damping > 1e4:
                break
    return values, cost


# Longest step in one round: shift (mm), turns (radians), logarithms of sizes.
_STRIDE = np.array([15.0] * 3 + [0.15] * 3 + [0.06] * 3)
_SOFT = 4.0  # mm: points further from the skin get less and less weight
_WEIGHT = 0.6  # of the prior, relative to the fit
_UNSEEN = 6.0  # mm: a point beyond the volume costs a third of this squared


def _sums(values: Points, start: Points, points: Points, outline: Outline) -> tuple[float, Points, Points]:
    """Return the mean cost of a pose, its gradient (9,), and its Gauss-Newton Hessian (9, 9)."""
    placed = Pose(tuple(values)).placed(points)
    distance, slopes, seen = _sampled(outline, placed)
    distance = np.clip(distance, -_FAR, _FAR)
    weight = np.where(seen, 1.0 / (1.0 + (distance / _SOFT) ** 2), 0.0)
    loss = np.where(seen, _SOFT**2 * np.log1p((distance / _SOFT) ** 2), _UNSEEN**2 / 3)
    sides = _sides(values, points)
    jacobian = np.einsum("ni,nij->nj", slopes, sides)
    jacobian = np.where((np.abs(distance) < _FAR)[:, None], jacobian, 0.0)
    total = len(points)
    # The prior: turns near those of the start, and three sizes near each other. Their mean, the size of the
    # head, has a prior of its own, with a standard deviation of 15 %.
    centre = values - start
    centre[6:9] = values[6:9] - np.mean(values[6:9])
    common = float(np.mean(values[6:9]))
    prior = centre / _PRIOR
    prior[:3] = 0.0
    cost = float(np.sum(loss)) / total + _WEIGHT * (float(np.sum(prior * prior)) + (common / 0.15) ** 2)
    gradient = 2 * np.einsum("n,nj->j", weight * distance, jacobian) / total
    gradient += 2 * _WEIGHT * prior / _PRIOR
    gradient[6:9] += 2 * _WEIGHT * common / 0.15**2 / 3
    curvature = 2 * np.einsum("n,ni,nj->ij", weight, jacobian, jacobian, optimize=False) / total
    curvature += 2 * _WEIGHT * np.diag(1 / _PRIOR**2)
    curvature[6:9, 6:9] += 2 * _WEIGHT / 0.15**2 / 9
    return cost, gradient, curvature


def _sampled(outline: Outline, points: Points) -> tuple[Points, Points, Mask]:
    """Return distance to skin (mm), its gradient along each axis, and which points lie in the volume."""
    from scipy import ndimage

    grid = outline.grid
    indices = ((points - np.array(grid.low)) / grid.step).T
    inside = np.all((indices >= 0) & (indices <= (np.array(grid.shape) - 1)[:, None]), axis=0)
    nearest = np.clip(np.round(indices).astype(int), 0, (np.array(grid.shape) - 1)[:, None])
    seen = inside & outline.inside[tuple(nearest)]

    def at(places: Points) -> Points:
        found: Points = ndimage.map_coordinates(
            outline.distance, places, output=np.float64, order=1, mode="nearest"
        )
        return found

    slopes = []
    for axis in range(3):
        step = np.zeros((3, 1))
        step[axis] = 1.0
        slopes.append((at(indices + step) - at(indices - step)) / (2 * grid.step))
    return at(indices), np.stack(slopes, axis=1), seen


def _judged(pose: Pose, outline: Outline) -> Fit:
    skin = template()
    distance, _, seen = _sampled(outline, pose.placed(skin.points))
    close = np.abs(distance) <= _CLOSE
    face = skin.is_face & seen
    neck = (skin.points[:, 2] < _NECK[0]) & (skin.points[:, 1] > _NECK[1]) & seen
    return Fit(
        pose,
        seen=_share(seen, np.ones_like(seen)),
        close=_share(close, seen),
        face_seen=_share(seen, skin.is_face),
        face_close=_share(close, face),
        buried=_share(distance < -2 * _CLOSE, seen),
        neck_close=_share(close, neck) if np.sum(neck) >= _NECK[2] else 1.0,
    )


def _share(part: Mask, whole: Mask) -> float:
    return float(np.sum(part & whole)) / max(int(np.sum(whole)), 1)


def _turn(values: Points) -> Points:
    """Return the rotation matrix of a pose: nodding (x), then tilting (y), then shaking (z)."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(values[3:6]), np.sin(values[3:6])
    return np.array(
        [
            [cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx],
            [sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx],
            [-sy, cy * sx, cy * cx],
        ]
    )


def _sides(values: Points, points: Points) -> Points:
    """Return the derivative of placed points by each value of a pose: (points, axes, values)."""
    sized = points * np.exp(values[6:9])
    moved = np.zeros((len(points), 3, 9))
    moved[:, 0, 0] = moved[:, 1, 1] = moved[:, 2, 2] = 1.0
    small = 1e-6
    for angle in range(3, 6):
        more, less = values.copy(), values.copy()
        more[angle] += small
        less[angle] -= small
        moved[:, :, angle] = _product(sized, (_turn(more) - _turn(less)) / (2 * small))
    turn = _turn(values)
    for axis in range(3):
        moved[:, :, 6 + axis] = sized[:, axis, None] * turn[:, axis]
    return moved


def _product(points: Points, matrix: Points) -> Points:
    """Return points times a transposed matrix, without BLAS, which rounds differently on each machine."""
    x, y, z = (points[:, axis, None] * matrix[:, axis] for axis in range(3))
    product: Points = x + y + z
    return product
