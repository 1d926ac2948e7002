"""Volumes made of stacks of frames, and their values on grids along the patient's axes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beamstop.dicom.deadline import check_time
from beamstop.faces.slices import Slice, Stack

Cells = NDArray[Any]
Mask = NDArray[np.bool_]
Floats = NDArray[np.float32]
_FINE = 2.0  # mm: smaller pixels are averaged to about this size, the step of the fine search for a head


@dataclass(frozen=True)
class Grid:
    """A grid along the patient's axes: left, posterior, superior (PS3.3 C.7.6.2.1.1).

    Attributes:
        low: its first point, mm.
        shape: number of points along each axis.
        step: distance between points, mm.
    """

    low: tuple[float, float, float]
    shape: tuple[int, int, int]
    step: float

    @classmethod
    def around(cls, low: NDArray[np.float64], high: NDArray[np.float64], step: float) -> "Grid":
        """Return the grid that covers a box, given its lowest and highest corner, (3,), mm."""
        start = np.floor(low / step) * step
        count = np.ceil((high - start) / step).astype(int) + 1
        return cls((float(start[0]), float(start[1]), float(start[2])), tuple(map(int, count)), step)  # type: ignore[arg-type]

    def axis(self, number: int) -> Cells:
        """Return the coordinates of its points along one axis, mm."""
        return self.low[number] + self.step * np.arange(self.shape[number])


@dataclass(frozen=True)
class Volume:
    """The values of a stack, in pixels of about 2 mm.

    Attributes:
        stack: the frames.
        values: (places, rows, columns), float32; blocks of pixels are averaged, and of several frames in one
            place the brightest value counts.
        joined: rows and columns in one block.
    """

    stack: Stack
    values: Floats
    joined: tuple[int, int]

    def box(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the lowest and highest corner of the box around the volume, mm."""
        corners = []
        for place in self.stack.places:
            piece = place[0]
            rows, columns = piece.shape
            for row in (0, rows - 1):
                for column in (0, columns - 1):
                    corner = (
                        np.array(piece.origin) + row * np.array(piece.down) + column * np.array(piece.across)
                    )
                    corners.append(corner)
        return np.min(corners, axis=0), np.max(corners, axis=0)

    def sampled(self, grid: Grid) -> tuple[Floats, Mask]:
        """Return the values at the points of a grid, and which points lie inside the volume."""
        from scipy import ndimage

        values = np.zeros(grid.shape, np.float32)
        inside = np.zeros(grid.shape, bool)
        x, y = grid.axis(0)[:, None], grid.axis(1)[None, :]
        for number, z in enumerate(grid.axis(2)):
            places, rows, columns = self._indices(x, y, z)
            indices = np.stack([places, rows, columns])
            values[:, :, number] = ndimage.map_coordinates(
                self.values, indices, output=np.float32, order=1, mode="nearest"
            )
            high, wide = self.values.shape[1:]
            inside[:, :, number] = (
                (places > -0.5)
                & (places < len(self.stack.offsets) - 0.5)
                & (rows > -0.5)
                & (rows < high - 0.5)
                & (columns > -0.5)
                & (columns < wide - 0.5)
            )
        return values, inside

    def _indices(self, x: Cells, y: Cells, z: float) -> tuple[Cells, Cells, Cells]:
        """Return fractional indices of place, row and column for points (x, y) at one height z, all in mm."""
        first = self.stack.places[0][0]
        normal, offsets = first.normal, np.array(self.stack.offsets)
        away = x * normal[0] + y * normal[1] + z * normal[2]
        if len(offsets) > 1:
            number = np.clip(np.searchsorted(offsets, away) - 1, 0, len(offsets) - 2)
            places = number + (away - offsets[number]) / (offsets[number + 1] - offsets[number])
        else:
            places = (away - offsets[0]) / 5.0
            number = np.zeros(away.shape, int)
        # With a tilted gantry, each plane is shifted sideways against the one before: interpolate the origin.
        origins = np.array([place[0].origin for place in self.stack.places])
        upper = origins[np.minimum(number + 1, len(offsets) - 1)]
        part = (places - number)[..., None]
        origin = origins[number] + np.clip(part, -0.5, 1.5) * (upper - origins[number])
        across, down = np.array(first.across), np.array(first.down)
        dx, dy, dz = x - origin[..., 0], y - origin[..., 1], z - origin[..., 2]
        rows = (dx * down[0] + dy * down[1] + dz * down[2]) / np.sum(down * down)
        columns = (dx * across[0] + dy * across[1] + dz * across[2]) / np.sum(across * across)
        high, wide = self.joined
        return places, (rows + 0.5) / high - 0.5, (columns + 0.5) / wide - 0.5


def volume_of(stack: Stack, values_of: Callable[[Slice], Cells]) -> Volume:
    """Return the volume of a stack.

    Args:
        stack: its phase images are skipped at places that also have other frames.
        values_of: decodes a frame and returns its real values, (rows, columns).
    """
    first = stack.places[0][0]
    joined = tuple(
        max(1, int(min(_FINE / float(np.sqrt(np.sum(np.square(step)))) + 0.25, length)))
        for step, length in zip((first.down, first.across), first.shape, strict=True)
    )
    planes = []
    for place in stack.places:
        check_time()
        shown: Sequence[Slice] = [it for it in place if not it.is_phase] or place
        plane: Floats | None = None
        for piece in shown:
            joint = _joined(values_of(piece), joined[0], joined[1])
            plane = joint if plane is None else np.maximum(plane, joint)
        planes.append(plane)
    return Volume(stack, np.stack([it for it in planes if it is not None]), (joined[0], joined[1]))


def _joined(values: Cells, high: int, wide: int) -> Floats:
    """Return the means of blocks of pixels; incomplete blocks are filled with their edge values."""
    rows, columns = values.shape
    padded = np.pad(values, ((0, -rows % high), (0, -columns % wide)), mode="edge").astype(np.float64)
    blocks = padded.reshape(padded.shape[0] // high, high, padded.shape[1] // wide, wide)
    joined: Floats = blocks.mean(axis=(1, 3)).astype(np.float32)
    return joined
