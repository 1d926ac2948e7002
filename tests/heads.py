"""Heads, chests and knees made in code, and the CT, MR and PT series that scanners would make of them.

These heads are independent of the template that beamstop registers to: they consist of ellipsoids, capsules
and boxes with textbook measures. Coordinates are LPS, in mm. A head's origin is the centre of its cranium.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset

from beamstop.testing import make_image

Points = NDArray[np.float64]
Array = NDArray[Any]

AIR, SKIN, FAT, MUSCLE, BONE, BRAIN, FLUID, EYE, CORD, LUNG = range(10)
# Value of each tissue, in the order above: HU in CT; arbitrary units with a typical contrast in MR and PT.
CONTRAST = {
    "CT": (-1000, 20, -90, 50, 900, 36, 8, 12, 36, -850),
    "T1": (0, 700, 950, 420, 60, 560, 170, 180, 480, 20),
    "T2": (0, 420, 640, 200, 50, 480, 980, 960, 420, 20),
    "PT": (0, 900, 700, 1500, 900, 9000, 600, 900, 2500, 500),
}
_CLASSES = {"CT": "2", "T1": "4", "T2": "4", "PT": "128"}
_EMPTY = 1e3


def sphere(points: Points, centre: Any, radii: Any) -> Array:
    """Return the approximate distance of points (3, …) from an ellipsoid, mm; less than 0 inside."""
    radii = np.broadcast_to(np.asarray(radii, float), (3,))
    scaled = [(points[axis] - centre[axis]) / radii[axis] for axis in range(3)]
    length = np.sqrt(sum(it * it for it in scaled))
    return np.asarray((length - 1) * float(radii.min()))


def capsule(points: Points, start: Any, end: Any, first: float, last: float) -> Array:
    """Return the distance from a rod with round ends of two radii, mm; less than 0 inside."""
    along = [b - a for a, b in zip(start, end, strict=True)]
    square = sum(it * it for it in along)
    part = sum((points[axis] - start[axis]) * along[axis] for axis in range(3)) / square
    part = np.clip(part, 0, 1)
    away = np.sqrt(sum((points[axis] - start[axis] - part * along[axis]) ** 2 for axis in range(3)))
    return np.asarray(away - (first + part * (last - first)))


def box(points: Points, centre: Any, radii: Any, power: float = 3.0) -> Array:
    """Return the approximate distance from a box with round edges, mm; less than 0 inside."""
    radii = np.asarray(radii, float)
    scaled = sum(np.abs((points[axis] - centre[axis]) / radii[axis]) ** power for axis in range(3))
    return np.asarray((scaled ** (1 / power) - 1) * float(radii.min()))


def joined(*parts: Array, soft: float = 8.0) -> Array:
    """Return the distance from the union of bodies; `soft` is the radius of the seams, mm."""
    whole = parts[0]
    for part in parts[1:]:
        near = np.clip(0.5 + 0.5 * (part - whole) / soft, 0, 1)
        whole = part * (1 - near) + whole * near - soft * near * (1 - near)
    return whole


@dataclass(frozen=True)
class Head:
    """A head.

    Attributes:
        size, wide, nose, jaw, cheeks, ears: sizes, times those of an average adult.
        turn: nodding, tilting and shaking, radians.
        at: its origin in patient coordinates, mm.
        has_neck: if False, the head ends at the chin.
    """

    size: float = 1.0
    wide: float = 1.0
    nose: float = 1.0
    jaw: float = 1.0
    cheeks: float = 1.0
    ears: float = 1.0
    turn: tuple[float, float, float] = (0.0, 0.0, 0.0)
    at: tuple[float, float, float] = (0.0, 0.0, 0.0)
    has_neck: bool = True

    def own(self, points: Points) -> Points:
        """Return patient coordinates (3, …) as coordinates of the head before it was turned and sized."""
        moved = [points[axis] - self.at[axis] for axis in range(3)]
        (cx, cy, cz), (sx, sy, sz) = np.cos(self.turn), np.sin(self.turn)
        turn = np.array(
            [
                [cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx],
                [sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx],
                [-sy, cy * sx, cy * cx],
            ]
        )
        turned = [sum(moved[row] * turn[row, axis] for row in range(3)) for axis in range(3)]
        return np.stack([turned[0] / (self.size * self.wide), turned[1] / self.size, turned[2] / self.size])

    def skin(self, own: Points) -> Array:
        """Return the distance from the skin, mm, for points in the head's own coordinates."""
        mirrored = np.stack([np.abs(own[0]), own[1], own[2]])
        cranium = sphere(own, (0, 0, 0), (76, 99, 92))
        face = box(own, (0, -45, -72), (60, 52, 62), 2.6)
        jaw = box(own, (0, -52, -106), (46, 46 * self.jaw, 24), 2.6)
        brow = capsule(mirrored, (0, -90, -24), (38, -82, -24), 8, 8)
        cheek = sphere(mirrored, (40, -74, -70), (20 * self.cheeks, 20, 22))
        chin = sphere(own, (0, -86 - 8 * (self.jaw - 1) * 10, -122), (20, 15, 15))
        head = joined(cranium, face, jaw, brow, cheek, chin, soft=14)
        socket = sphere(mirrored, (31, -110, -40), (20, 22, 13))
        head = np.maximum(head, -socket + 0.0)
        lids = sphere(mirrored, (31, -80, -40), (13, 12, 9))
        bridge = capsule(own, (0, -94, -36), (0, -98 - 20 * self.nose, -68), 7, 12)
        wings = sphere(mirrored, (11, -104 - 6 * self.nose, -72), (8, 9, 7))
        lips = joined(
            capsule(mirrored, (0, -102, -92), (20, -94, -94), 6, 3),
            capsule(mirrored, (0, -100, -102), (18, -93, -100), 6.5, 3),
            soft=1.0,
        )
        head = joined(head, lids, bridge, wings, lips, soft=5)
        mouth = capsule(mirrored, (0, -110, -97.5), (21, -98, -97.5), 1.2, 1.0)
        head = np.maximum(head, -mouth)
        slanted = np.stack([mirrored[0] - 0.35 * (mirrored[1] - 12), mirrored[1], mirrored[2]])
        ear = sphere(slanted, (74, 14, -42), (6 * self.ears, 17 * self.ears, 31 * self.ears))
        hollow = sphere(slanted, (82, 12, -42), (7, 9, 17))
        head = joined(head, np.maximum(ear, -hollow), soft=3)
        if self.has_neck:
            neck = capsule(own, (0, 18, -90), (0, 34, -230), 56, 60)
            head = joined(head, neck, soft=16)
        return np.asarray(head) * self.size

    def tissue(self, points: Points) -> Array:
        """Return the tissue at points (3, …) in patient coordinates, uint8."""
        own = self.own(points)
        skin = self.skin(own)
        mirrored = np.stack([np.abs(own[0]), own[1], own[2]])
        found = np.full(skin.shape, AIR, np.uint8)
        found[skin < 0] = SKIN
        found[skin < -2.0] = FAT
        found[skin < -4.5] = MUSCLE
        vault = sphere(own, (0, 0, 0), (76, 99, 92))
        upper = own[2] > np.where(own[1] < -15, -26 - 0.12 * (own[1] + 40), -62.0)
        bone = (vault < -6) & upper
        found[bone] = BONE
        found[(vault < -13) & upper & (own[2] > np.where(own[1] < -15, -23.0, -58.0))] = FLUID
        found[self.brain(own)] = BRAIN
        facial = (skin < -11) & (skin > -19) & (own[1] < -30) & (own[2] < -26) & (own[2] > -128)
        found[facial] = BONE
        orbit = sphere(mirrored, (31, -78, -39), (18, 22, 17)) < 0
        found[orbit & (skin < -3)] = FAT
        found[sphere(mirrored, (31, -82, -39), 12) < 0] = EYE
        spine = capsule(own, (0, 30, -60), (0, 38, -230), 15, 15) < 0
        found[spine & ~self.brain(own)] = BONE
        found[capsule(own, (0, 26, -52), (0, 33, -230), 6, 6) < 0] = CORD
        nasal = np.minimum(
            capsule(mirrored, (5, -96, -72), (5, -30, -66), 3.5, 5),
            capsule(own, (0, -32, -66), (0, -18, -220), 8, 9),
        )
        found[(nasal < 0) & ((skin < -3) | (own[2] > -90))] = AIR
        found[(sphere(mirrored, (30, -66, -68), (12, 14, 14)) < 0)] = AIR
        return found

    def brain(self, own: Points) -> Array:
        """Return which points, in the head's own coordinates, are brain."""
        vault = sphere(own, (0, 0, 0), (76, 99, 92))
        front = (vault < -15) & (own[2] > -21)
        back = (vault < -15) & (own[1] > -12) & (own[2] > -56)
        fold = np.abs(np.sin(own[0] / 7) * np.sin(own[1] / 8) * np.sin(own[2] / 7)) < 0.93
        return np.asarray((front | back) & fold)


@dataclass(frozen=True)
class Chest:
    """A trunk with lungs, from the shoulders down; its origin is the centre of its top."""

    at: tuple[float, float, float] = (0.0, 0.0, 0.0)
    length: float = 300.0

    def tissue(self, points: Points) -> Array:
        """Return the tissue at points (3, …) in patient coordinates, uint8."""
        own = np.stack([points[axis] - self.at[axis] for axis in range(3)])
        trunk = box(own, (0, 0, -self.length / 2), (185, 115, self.length / 2), 2.6)
        shoulders = capsule(own, (-190, 10, -40), (190, 10, -40), 48, 48)
        skin = joined(trunk, shoulders, soft=20)
        found = np.full(skin.shape, AIR, np.uint8)
        found[skin < 0] = SKIN
        found[skin < -2] = FAT
        found[skin < -18] = MUSCLE
        found[sphere(np.stack([np.abs(own[0]), own[1], own[2]]), (75, 0, -150), (60, 80, 115)) < 0] = LUNG
        found[capsule(own, (0, 70, -10), (0, 70, -self.length + 10), 18, 18) < 0] = BONE
        return found


@dataclass(frozen=True)
class Knee:
    """A knee with parts of thigh and shank, along z."""

    at: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def tissue(self, points: Points) -> Array:
        """Return the tissue at points (3, …) in patient coordinates, uint8."""
        own = np.stack([points[axis] - self.at[axis] for axis in range(3)])
        skin = joined(
            capsule(own, (0, 0, 0), (0, 10, 170), 62, 80),
            capsule(own, (0, 0, 0), (0, 8, -170), 60, 52),
            sphere(own, (0, -52, 5), (24, 16, 24)),
            soft=12,
        )
        found = np.full(skin.shape, AIR, np.uint8)
        found[skin < 0] = SKIN
        found[skin < -2] = FAT
        found[skin < -9] = MUSCLE
        found[capsule(own, (0, 5, 8), (0, 5, 170), 30, 16) < 0] = BONE
        found[capsule(own, (0, 5, -8), (0, 5, -170), 30, 15) < 0] = BONE
        return found


@dataclass(frozen=True)
class Hand:
    """An upright hand whose palm faces to the side; its origin is the centre of the palm."""

    at: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def tissue(self, points: Points) -> Array:
        """Return the tissue at points (3, …) in patient coordinates, uint8."""
        own = np.stack([points[axis] - self.at[axis] for axis in range(3)])
        fingers = [capsule(own, (0, y, 40), (0, y, 110), 8, 7) for y in (-36, -18, 0, 18, 36)]
        wrist = capsule(own, (0, 0, -40), (0, 0, -160), 28, 30)
        skin = joined(box(own, (0, 0, 0), (14, 42, 50)), wrist, *fingers, soft=6)
        found = np.full(skin.shape, AIR, np.uint8)
        found[skin < 0] = SKIN
        found[skin < -2] = FAT
        found[skin < -4] = MUSCLE
        return found


@dataclass(frozen=True)
class Bodies:
    """Several bodies in one scan; where they overlap, the last one counts."""

    parts: tuple[Any, ...]

    def tissue(self, points: Points) -> Array:
        """Return the tissue at points (3, …) in patient coordinates, uint8."""
        found = self.parts[0].tissue(points)
        for part in self.parts[1:]:
            other = part.tissue(points)
            found = np.where(other != AIR, other, found)
        return found


@dataclass(frozen=True)
class Holder:
    """A plastic head holder behind a head, and a table."""

    def tissue(self, points: Points) -> Array:
        """Return the tissue at points (3, …) in patient coordinates, uint8."""
        x, y, z = points
        ring = np.abs(np.sqrt(x * x + (y - 5) ** 2) - 118) < 2.5
        table = (np.abs(y - 150) < 4) & (np.abs(x) < 200)
        found = np.full(ring.shape, AIR, np.uint8)
        found[(ring & (y > 30) & (z > -120)) | table] = MUSCLE
        return found


AXIAL = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
CORONAL = ((1.0, 0.0, 0.0), (0.0, 0.0, -1.0))
SAGITTAL = ((0.0, 1.0, 0.0), (0.0, 0.0, -1.0))


@dataclass(frozen=True)
class Scan:
    """The geometry and contrast of a scan.

    Attributes:
        contrast: a key of `CONTRAST`.
        across, down: direction cosines of rows and columns.
        shape: rows and columns.
        spacing: of pixels, mm.
        apart: distance of slices along `along`, mm.
        count: number of slices.
        centre: of the volume, mm.
        along: direction from slice to slice; None for their normal. Any other direction tilts the gantry.
        noise: standard deviation, in units of the contrast.
        seed: of the noise.
        header: attributes to add or replace; those with None are deleted.
    """

    contrast: str = "CT"
    across: tuple[float, float, float] = AXIAL[0]
    down: tuple[float, float, float] = AXIAL[1]
    shape: tuple[int, int] = (64, 64)
    spacing: float = 4.0
    apart: float = 4.0
    count: int = 64
    centre: tuple[float, float, float] = (0.0, -10.0, -35.0)
    along: tuple[float, float, float] | None = None
    noise: float = 0.0
    seed: int = 1
    header: dict[str, Any] = field(default_factory=dict)

    def origin(self, number: int) -> Points:
        """Return the centre of the first pixel of a slice, mm."""
        across, down = np.array(self.across), np.array(self.down)
        along = np.array(self.along) if self.along else np.cross(across, down)
        middle = np.array(self.centre) + (number - (self.count - 1) / 2) * self.apart * along
        rows, columns = self.shape
        return np.asarray(
            middle - across * self.spacing * (columns - 1) / 2 - down * self.spacing * (rows - 1) / 2
        )

    def places(self, number: int) -> Points:
        """Return the patient coordinates of the pixels of a slice, (3, rows, columns), mm."""
        rows, columns = np.mgrid[: self.shape[0], : self.shape[1]]
        origin = self.origin(number)
        return np.stack(
            [
                origin[axis] + self.spacing * (columns * self.across[axis] + rows * self.down[axis])
                for axis in range(3)
            ]
        )

    def tissues(self, body: Any) -> Iterator[Array]:
        """Yield the tissue in the pixels of each slice, uint8 (rows, columns)."""
        for number in range(self.count):
            yield body.tissue(self.places(number))

    def values(self, body: Any) -> Iterator[Array]:
        """Yield the real values of each slice, float (rows, columns), with noise."""
        rng = np.random.default_rng(self.seed)
        level = np.array(CONTRAST[self.contrast], float)
        for tissue in self.tissues(body):
            plain = level[tissue]
            if self.contrast == "CT":
                yield plain + rng.normal(0, self.noise, plain.shape) if self.noise else plain
            elif self.noise:  # Rician, as in a magnitude image
                real, imaginary = rng.normal(0, self.noise, (2, *plain.shape))
                yield np.sqrt((plain + real) ** 2 + imaginary**2)
            else:
                yield plain


def series(body: Any, scan: Scan) -> list[FileDataset]:
    """Return the single-frame instances of a series."""
    made = []
    for number, values in enumerate(scan.values(body)):
        stored = (
            np.round(values + 1024).clip(0, 4095)
            if scan.contrast == "CT"
            else np.round(values).clip(0, 32767)
        )
        made.append(instance(scan, number, stored.astype(np.uint16)))
    return made


def instance(scan: Scan, number: int, stored: Array) -> FileDataset:
    """Return one slice as an instance, from its stored values."""
    is_ct = scan.contrast == "CT"
    header: dict[str, Any] = {
        "SOPClassUID": f"1.2.840.10008.5.1.4.1.1.{_CLASSES[scan.contrast]}",
        "Modality": {"T1": "MR", "T2": "MR"}.get(scan.contrast, scan.contrast),
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "StudyInstanceUID": "1.2.3.4",
        "SeriesInstanceUID": "1.2.3.4.5",
        "SOPInstanceUID": f"1.2.3.4.5.{number + 1}",
        "FrameOfReferenceUID": "1.2.3.4.9",
        "InstanceNumber": number + 1,
        "BodyPartExamined": "HEAD",
        "BitsStored": 12 if is_ct else 16,
        "PixelSpacing": [scan.spacing, scan.spacing],
        "SliceThickness": scan.apart,
        "ImagePositionPatient": [round(float(it), 4) for it in scan.origin(number)],
        "ImageOrientationPatient": [round(it, 8) for it in (*scan.across, *scan.down)],
        "PatientName": "Roe^Jane",
        "PatientID": "R-1001",
    }
    if scan.contrast in ("CT", "PT"):
        header |= {"RescaleSlope": 1, "RescaleIntercept": -1024 if is_ct else 0}
    made = make_image(stored, **header | scan.header)
    for keyword, value in scan.header.items():
        if value is None:
            delattr(made, keyword)
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    return made


def multi_frame(instances: list[FileDataset]) -> FileDataset:
    """Return single-frame instances as one multi-frame instance of the enhanced class."""
    first = instances[0]
    frames = np.stack([np.frombuffer(it.PixelData, "<u2").reshape(it.Rows, it.Columns) for it in instances])
    enhanced = {"2": "2.1", "4": "4.1", "128": "130"}[str(first.SOPClassUID).rsplit(".", 1)[1]]
    made = make_image(
        frames,
        SOPClassUID=f"1.2.840.10008.5.1.4.1.1.{enhanced}",
        Modality=first.Modality,
        ImageType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"],
        StudyInstanceUID=first.StudyInstanceUID,
        SeriesInstanceUID=first.SeriesInstanceUID,
        SOPInstanceUID=first.SOPInstanceUID,
        FrameOfReferenceUID=first.FrameOfReferenceUID,
        BodyPartExamined=first.BodyPartExamined,
        BitsStored=first.BitsStored,
        PatientName=first.PatientName,
        PatientID=first.PatientID,
    )
    shared, measures, transform, orientation = Dataset(), Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = first.PixelSpacing, first.SliceThickness
    orientation.ImageOrientationPatient = first.ImageOrientationPatient
    shared.PixelMeasuresSequence = [measures]
    shared.PlaneOrientationSequence = [orientation]
    if "RescaleSlope" in first:
        transform.RescaleSlope, transform.RescaleIntercept = first.RescaleSlope, first.RescaleIntercept
        transform.RescaleType = "HU"
        shared.PixelValueTransformationSequence = [transform]
    made.SharedFunctionalGroupsSequence = [shared]
    made.PerFrameFunctionalGroupsSequence = [_frame(it) for it in instances]
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    return made


def _frame(instance: FileDataset) -> Dataset:
    frame, position = Dataset(), Dataset()
    position.ImagePositionPatient = instance.ImagePositionPatient
    frame.PlanePositionSequence = [position]
    return frame


def people() -> dict[str, Head]:
    """Return heads of several ages, sexes, sizes and poses."""
    adult = Head()
    return {
        "average": adult,
        "large, wide jaw": Head(size=1.08, wide=1.03, jaw=1.15, nose=1.2),
        "small, narrow": Head(size=0.93, wide=0.95, nose=0.8, cheeks=0.9),
        "child": Head(size=0.82, nose=0.6, jaw=0.9, cheeks=1.1),
        "nodding down": replace(adult, turn=(0.3, 0.0, 0.0)),
        "chin up": replace(adult, turn=(-0.3, 0.0, 0.0)),
        "turned and tilted": replace(adult, turn=(0.1, 0.15, 0.35)),
        "long nose, big ears": Head(nose=1.5, ears=1.25, wide=0.97),
    }
