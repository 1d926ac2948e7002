"""Make the template head for the removal of faces: transforms/beamstop/data/head.npz.

    python tools/head_template.py FOLDER     with the unpacked wheels of pydeface 2.1.0 and deepbet 1.0.2

pydeface ships the mean of many heads (MIT, licences/head.md). This tool resamples it along the patient's
axes, makes it symmetrical, and thresholds it at the skin. The file holds two masks of 2 mm voxels, the head
and the brain. Needs numpy, scipy and torch.
"""

import gzip
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, optimize

ROOT = Path(__file__).parents[1]
STEP = 2.0  # mm
LOW = np.array([-96.0, -140.0, -130.0])  # first point of the template's grid, LPS, mm
SHAPE = (97, 126, 116)
SKIN = 55  # brightness of the mean head at its skin
Volume = NDArray[Any]


def main() -> int:
    """Write the file; return the exit code."""
    values, affine = _nifti(Path(sys.argv[1], "pydeface", "data", "mean_reg2mean.nii.gz"))
    straight = _symmetrical(_on_patient_axes(values, affine))
    head = ndimage.binary_opening(straight > SKIN, _ball(3))
    labels, _ = ndimage.label(head)
    head = labels == np.argmax(np.bincount(labels.ravel())[1:]) + 1
    head = ndimage.binary_closing(np.pad(head, 8, mode="edge"), _ball(6))[8:-8, 8:-8, 8:-8]
    # The mean head ends 18 mm above the bottom of the grid: repeat its last slice.
    head[:, :, :9] = head[:, :, 9:10]
    # Remove a piece of a coil in front of a brow.
    head[:, : int((-100 - LOW[1]) / STEP), int((-20 - LOW[2]) / STEP) :] = False
    head = np.stack([ndimage.binary_fill_holes(head[:, :, z]) for z in range(SHAPE[2])], axis=2)
    brain = _brain(straight, Path(sys.argv[1], "data", "models", "model.pt"))
    np.savez_compressed(
        ROOT / "transforms" / "beamstop" / "data" / "head.npz",
        head=np.packbits(head),
        brain=np.packbits(brain),
        shape=np.array(SHAPE, np.int32),
        low=LOW.astype(np.int32),
        step=np.array(int(STEP), np.int32),
    )
    print(f"head {head.sum() * STEP**3 / 1000:.0f} ml, brain {brain.sum() * STEP**3 / 1000:.0f} ml")
    return 0


def _nifti(path: Path) -> tuple[Volume, Volume]:
    data = gzip.decompress(path.read_bytes())
    shape = struct.unpack("<3h", data[42:48])
    values = np.frombuffer(data, "<i2", offset=352, count=int(np.prod(shape))).reshape(shape, order="F")
    return values.astype(float), np.array(struct.unpack("<12f", data[280:328])).reshape(3, 4)


def _grid(low: Volume, shape: tuple[int, ...]) -> Volume:
    axes = [start + STEP * np.arange(count) for start, count in zip(low, shape, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1)


# First point (mm, LPS) and shape of a larger grid, which leaves room to turn the head.
_WIDE_LOW, _WIDE = np.array([-100.0, -130.0, -130.0]), (101, 131, 121)


def _on_patient_axes(values: Volume, affine: Volume) -> Volume:
    """Return the mean head on the larger grid, LPS; the NIfTI file is RAS."""
    points = _grid(_WIDE_LOW, _WIDE) * [-1, -1, 1]
    indices = np.linalg.solve(affine[:, :3], (points - affine[:, 3]).reshape(-1, 3).T)
    return ndimage.map_coordinates(values, indices, order=1, cval=0).reshape(_WIDE)


def _symmetrical(wide: Volume) -> Volume:
    """Return the average of the head and its mirror image, with the plane of symmetry at x = 0."""
    upper = ndimage.zoom(np.minimum(wide, 250)[:, :, 30:], 0.5, order=1)
    points = np.stack(np.meshgrid(*map(np.arange, upper.shape), indexing="ij"), -1).reshape(-1, 3) * 1.0
    middle = (np.array(upper.shape) - 1) / 2

    def normal(plane: Volume) -> Volume:
        across = np.array([1.0, plane[1], plane[2]])
        return across / np.linalg.norm(across)

    def unlike(plane: Volume) -> float:
        away = (points - middle) @ normal(plane) - plane[0]
        mirrored = points - 2 * away[:, None] * normal(plane)
        seen = ndimage.map_coordinates(upper, mirrored.T, order=1, mode="nearest")
        return float(np.mean((seen - upper.ravel()) ** 2))

    starts = [[[off, 0, 0], [off + 1, 0, 0], [off, 0.05, 0], [off, 0, 0.05]] for off in (-2, 2)]
    options = [{"xatol": 1e-3, "fatol": 1e-3, "initial_simplex": start} for start in starts]
    fits = [optimize.minimize(unlike, [0, 0, 0], method="Nelder-Mead", options=it) for it in options]
    plane = min(fits, key=lambda fit: fit.fun).x
    x_axis = normal(plane)
    y_axis = np.array([0, 1.0, 0]) - x_axis[1] * x_axis
    y_axis /= np.linalg.norm(y_axis)
    axes = np.stack([x_axis, y_axis, np.cross(x_axis, y_axis)], 1)
    scale = (np.array([*_WIDE[:2], _WIDE[2] - 30]) - 1) / (np.array(upper.shape) - 1)
    origin = _WIDE_LOW + STEP * ((middle + plane[0] * x_axis) * scale + [0, 0, 30])
    for axis, index in ((y_axis, 1), (axes[:, 2], 2), (y_axis, 1)):
        origin = origin - axis * origin[index] / axis[index]
    indices = (origin + _grid(LOW, SHAPE) @ axes.T - _WIDE_LOW) / STEP
    seen = ndimage.map_coordinates(wide, indices.reshape(-1, 3).T, order=1, cval=0).reshape(SHAPE)
    return (seen + seen[::-1]) / 2


def _brain(values: Volume, network: Path) -> Volume:
    """Return the mask of brain and brain stem, by deepbet's second network."""
    import torch

    model = torch.jit.load(str(network), map_location="cpu").eval()
    part = slice(8, -8), slice(8, -14), slice(22, 110)  # the brain and a margin of a tenth
    found = np.zeros(values.shape, bool)
    # The network expects volumes whose y axis points the other way.
    around = torch.from_numpy(values[:, ::-1][part].copy()).float()
    cube = torch.nn.functional.interpolate(around[None, None], (256, 256, 256), mode="nearest-exact")
    low, high = (float(np.quantile(values, it)) for it in (0.005, 0.995))
    scaled = ((cube - low) / (high - low)).clamp(0, 1)
    with torch.no_grad():
        seen = model(0.226 * (scaled - scaled.mean()) / scaled.std() + 0.449)[:, 1:2]
    found[part] = (
        torch.nn.functional.interpolate(seen, around.shape, mode="nearest-exact")[0, 0].numpy() > 0.5
    )
    brain = found[:, ::-1]
    labels, _ = ndimage.label(brain)
    brain = labels == np.argmax(np.bincount(labels.ravel())[1:]) + 1
    brain = ndimage.binary_fill_holes(ndimage.binary_closing(brain, _ball(2)))
    return brain | brain[::-1]


def _ball(radius: int) -> Volume:
    axes = np.ogrid[tuple(slice(-radius, radius + 1) for _ in range(3))]
    return sum(axis * axis for axis in axes) <= radius * radius


if __name__ == "__main__":
    sys.exit(main())
