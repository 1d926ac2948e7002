"""Three ways to a mask of the face, measured on heads made in code.

    python benchmarks/face_ways.py --packages FOLDER

1. beamstop's: a template's skin laid onto the patient's.
2. A template with a mask, laid on by mutual information (pydeface's template and mask, SimpleITK 2.5.7).
3. The brain first (deepbet 1.0.2), then a plane before and below it, as quickshear has it.

FOLDER is that of benchmarks/faces.py, with SimpleITK.
"""

import argparse
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from faces import _brain_extraction, _geometry, _values
from numpy.typing import NDArray
from pydicom.dataset import FileDataset
from tests.heads import CORONAL, Head, Scan, people, series

from beamstop.faces.series import look_at_series

Array = NDArray[Any]
_BEFORE_BRAIN = 10.0  # mm


def main() -> None:
    """Print a row for each head and way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--packages", type=Path, required=True)
    packages = parser.parse_args().packages
    extract = _brain_extraction(packages)
    print("| head | way | face blanked | brain blanked | rest of the head blanked | CPU s |")
    print("|---|---|--:|--:|--:|--:|")
    plain = Scan(shape=(128, 128), spacing=2.0, apart=2.0, count=132, centre=(0, -10, -40), noise=40)
    coronal = replace(plain, across=CORONAL[0], down=CORONAL[1], count=120)
    average, turned = Head(), people()["turned and tilted"]
    for name, head, scan in (
        ("T1, average", average, replace(plain, contrast="T1")),
        ("T1, turned and tilted", turned, replace(plain, contrast="T1")),
        ("T1, child", people()["child"], replace(plain, contrast="T1")),
        ("T2, coronal, average", average, replace(coronal, contrast="T2")),
        ("CT, chin up", people()["chin up"], replace(plain, noise=20)),
    ):
        instances = series(head, scan)
        own = np.stack([head.own(scan.places(number)) for number in range(scan.count)], axis=1)
        skin = np.stack([head.skin(head.own(scan.places(number))) for number in range(scan.count)])
        brain = np.stack([head.brain(head.own(scan.places(number))) for number in range(scan.count)])
        ahead = _forward(head, scan)
        face = (skin < 0) & ahead & (own[1] < -60) & (own[2] < -27) & (own[2] > -130)
        rest = (skin < 0) & ~brain & (own[1] > -60)
        ways = {
            "skin to skin": partial(_skin, instances),
            "mutual information": partial(_mutual_information, instances, packages),
            "brain and plane": partial(_plane, instances, extract),
        }
        for way, mask_of in ways.items():
            started = time.process_time()
            mask = mask_of()
            seconds = time.process_time() - started
            shares = (f"{100 * mask[it].mean():.1f} %" for it in (face, brain, rest))
            print(f"| {name} | {way} | {' | '.join(shares)} | {seconds:.0f} |", flush=True)


def _forward(head: Head, scan: Scan) -> Array:
    """Return which voxels have nothing but air before them."""
    free = []
    for number in range(scan.count):
        own = head.own(scan.places(number))
        free.append(
            np.all(
                [head.skin(own - np.array([0, it, 0])[:, None, None]) > 0 for it in (4, 12, 25, 40)], axis=0
            )
        )
    return np.stack(free)


def _skin(instances: list[FileDataset]) -> Array:
    masks = []
    for it, finding in zip(instances, look_at_series(instances, "remove"), strict=True):
        packed = finding.masks[0] if finding.masks else None
        bits = np.unpackbits(np.frombuffer(packed or bytes(it.Rows * it.Columns // 8 + 1), np.uint8))
        masks.append(bits[: it.Rows * it.Columns].reshape(it.Rows, it.Columns) > 0)
    return np.stack(masks)


def _mutual_information(instances: list[FileDataset], packages: Path) -> Array:
    import SimpleITK

    fixed = _itk(SimpleITK, instances)
    folder = packages / "pydeface" / "data"
    moving, mask = (
        SimpleITK.ReadImage(str(folder / it), SimpleITK.sitkFloat32)
        for it in ("mean_reg2mean.nii.gz", "facemask.nii.gz")
    )
    start = SimpleITK.CenteredTransformInitializer(
        fixed, moving, SimpleITK.AffineTransform(3), SimpleITK.CenteredTransformInitializerFilter.MOMENTS
    )
    method = SimpleITK.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(48)
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(0.1)
    method.SetInterpolator(SimpleITK.sitkLinear)
    method.SetOptimizerAsGradientDescent(1.0, 150, 1e-6, 10)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([4, 2, 1])
    method.SetSmoothingSigmasPerLevel([3, 1, 0])
    method.SetInitialTransform(start, inPlace=False)
    found = method.Execute(fixed, moving)
    kept = SimpleITK.Resample(mask, fixed, found, SimpleITK.sitkNearestNeighbor, 1.0)
    return np.asarray(SimpleITK.GetArrayFromImage(kept) < 0.5)


def _itk(itk: Any, instances: list[FileDataset]) -> Any:
    first, steps = _geometry(instances)
    image = itk.GetImageFromArray(_values(instances).astype(np.float32))
    sizes = np.sqrt(np.sum(steps**2, axis=0))
    image.SetOrigin(first.tolist())
    image.SetSpacing(sizes[::-1].tolist())
    image.SetDirection((steps / sizes)[:, ::-1].ravel().tolist())
    return image


def _plane(instances: list[FileDataset], extract: Any) -> Array:
    """Blank what lies beyond a plane that touches the brain before and below it, from left to right."""
    values = _values(instances)
    brain = extract(instances, values)
    first, steps = _geometry(instances)
    low = np.floor(np.min([first, first + steps @ (np.array(values.shape) - 1)], axis=0))
    seen = np.argwhere(brain.any(axis=0)) * 1.5
    size = np.abs(steps @ (np.array(values.shape) - 1))
    highest = low[1] + 1.5 * int(size[1] / 1.5)
    outline = np.stack([highest - seen[:, 0], low[2] + seen[:, 1]], axis=1).astype(np.float32)  # back, up
    hull = cv2.convexHull(outline)[:, 0]
    following = np.roll(hull, -1, axis=0)
    edges = following - hull
    lengths = np.sqrt(np.sum(edges**2, axis=1))
    normals = np.stack([edges[:, 1], -edges[:, 0]], axis=1) / np.maximum(lengths, 1e-6)[:, None]
    outward = np.sign(np.sum(normals * (hull - hull.mean(axis=0)), axis=1))
    normals *= outward[:, None]
    is_before_and_below = (normals[:, 0] < -0.3) & (normals[:, 1] < -0.3)
    longest = int(np.argmax(np.where(is_before_and_below, lengths, 0)))
    normal, point = normals[longest], hull[longest]
    index = np.stack(np.meshgrid(*map(np.arange, values.shape), indexing="ij"))
    places = np.tensordot(steps, index, axes=1) + first[:, None, None, None]
    beyond = (places[1] - point[0]) * normal[0] + (places[2] - point[1]) * normal[1]
    return np.asarray(beyond > _BEFORE_BRAIN)


if __name__ == "__main__":
    main()
