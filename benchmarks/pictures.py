"""Pictures with invented text burned in, and where each word is: seeded, so that anyone can draw them again.

Backgrounds are anatomy-like shapes drawn here and, where they suit, real ones of pydicom's test files.
Needs Pillow and Debian's fonts-dejavu-core.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

TUNING_SEED, REPORTING_SEED = 11, 2029  # the first to choose thresholds by, the second for figures alone

FONTS = Path("/usr/share/fonts/truetype/dejavu")
FACES = ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSansMono.ttf", "DejaVuSerif.ttf")
_LATIN = (
    "SMITH^JOHN A", "Meier, Hannelore", "Jürgen Müller-Lüdenscheidt", "DOE JANE", "François Lefèvre",
    "García Núñez, Íñigo", "O'Brien Siobhán", "Østergård, Åse", "Nowak Łukasz", "KOWALSKI^PIOTR",
    "ID: 4711-0815", "MRN 00923881", "Acc# A123456789", "PID 77-31-90", "DOB 12.03.1956", "1956-03-12",
    "03/12/1956 F", "12-MAR-1956", "07:45:12 AM", "Study 2019.11.04 08:15", "St. Mary's Hospital",
    "Klinikum Nord", "Dr. R. Okafor", "Ref: Dr Weiß", "Tel 030-4567891", "Ward 7B Bed 3", "Age 063Y",
)  # fmt: skip
_OTHER = ("Иванов Пётр", "Дата 12.03.1956", "Παπαδόπουλος Νίκος", "Αθήνα 1956", "Ελένη Κ.", "Смирнова Анна")
_MARKERS = ("R", "L", "RCC", "LMLO", "AP", "ERECT")

# White on white is no text: of a glyph counts what is this much brighter or darker than its ground, of
# black to white, and a word of which so much shows.
_SEEN, _READABLE = 0.02, 0.25

Values = NDArray[Any]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Word:
    """One burned-in word: where its glyphs are, and what kind of trial it is."""

    top: int
    left: int
    glyphs: Mask
    kind: str  # latin, other (script), marker
    style: str  # white, bright, faint, dark, boxed
    height: int  # of the font, pixels

    def covered(self, hidden: Mask) -> float:
        """Return how much of the glyphs a mask of the picture covers, 0 to 1."""
        rows, columns = self.glyphs.shape
        under = hidden[self.top : self.top + rows, self.left : self.left + columns]
        return float((under & self.glyphs).sum() / max(self.glyphs.sum(), 1))


@dataclass(frozen=True)
class Picture:
    """One picture: stored values of one frame, how to read them, and its words."""

    name: str
    modality: str
    values: Values
    photometric: str
    bits_stored: int
    words: tuple[Word, ...]
    sop_class: str = ""
    stays: Mask | None = None  # what is no text and has to stay

    def dataset(self) -> Dataset:
        """Return it as an instance with native pixel data."""
        values = self.values
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.SOPInstanceUID = generate_uid(entropy_srcs=[self.name])
        if self.sop_class:
            dataset.SOPClassUID = self.sop_class
        dataset.Modality = self.modality
        dataset.Rows, dataset.Columns = values.shape[:2]
        dataset.SamplesPerPixel = 3 if values.ndim == 3 else 1
        if values.ndim == 3:
            dataset.PlanarConfiguration = 0
        dataset.PhotometricInterpretation = self.photometric
        dataset.BitsAllocated = values.dtype.itemsize * 8
        dataset.BitsStored = self.bits_stored
        dataset.HighBit = self.bits_stored - 1
        dataset.PixelRepresentation = int(values.dtype.kind == "i")
        data = values.tobytes()
        dataset.add_new("PixelData", "OW" if dataset.BitsAllocated > 8 else "OB", data + bytes(len(data) % 2))
        return dataset

    def grey(self) -> NDArray[np.uint8]:
        """Return what a reader would be given: 8 bits between two percentiles, MONOCHROME1 inverted."""
        plane = self.values.astype(np.float32)
        plane = plane.mean(axis=-1) if plane.ndim == 3 else plane
        low, high = np.percentile(plane, (0.5, 99.5))
        shown: NDArray[np.uint8] = (np.clip((plane - low) / max(high - low, 1), 0, 1) * 255).astype(np.uint8)
        return 255 - shown if self.photometric == "MONOCHROME1" else shown


# Modality → size, bits, signed, smallest and largest font; drawn by `_ground`.
@dataclass(frozen=True)
class _Kind:
    shapes: tuple[tuple[int, int], ...]
    bits: int
    signed: bool
    fonts: tuple[int, int]
    ground: Callable[[np.random.Generator, tuple[int, int]], NDArray[np.float32]]
    photometric: tuple[str, ...] = ("MONOCHROME2",)


def draw(seed: int, counts: dict[str, tuple[int, int]]) -> Iterator[Picture]:
    """Yield pictures with text and pictures without.

    Args:
        seed: the same one draws the same pictures; fewer are the first ones of more.
        counts: modality → how many with and how many without text.
    """
    for modality, (written, blank) in counts.items():
        number = list(_KINDS).index(modality)
        for index in range(written):
            random = np.random.default_rng([seed, number, 1, index])
            yield _picture(random, modality, f"{modality}-{seed}-text-{index:03}", True)
        for index in range(blank):
            random = np.random.default_rng([seed, number, 0, index])
            yield _picture(random, modality, f"{modality}-{seed}-blank-{index:03}", False)


def ground(random: np.random.Generator, modality: str) -> NDArray[np.float32]:
    """Return a picture without text, 0..1, drawn or of pydicom's."""
    real, kind = _real(modality), _KINDS[modality]
    if real and random.random() < 0.4:
        plane = real[random.integers(len(real))].copy()
        return plane[:: -1 if random.random() < 0.5 else 1]
    return kind.ground(random, kind.shapes[random.integers(len(kind.shapes))])


def finished(
    random: np.random.Generator,
    modality: str,
    name: str,
    plane: NDArray[np.float32],
    words: list[Word],
    photometric: str | None = None,
) -> Picture:
    """Return a plane that was written on as a picture of its modality."""
    kind = _KINDS[modality]
    photometric = photometric or str(random.choice(kind.photometric))
    return Picture(name, modality, _stored(plane, kind, photometric), photometric, kind.bits, tuple(words))


def burn_line(
    plane: NDArray[np.float32],
    text: str,
    top: int,
    left: int,
    height: int,
    face: str,
    colour: float,
    kind: str,
) -> Word:
    """Burn one line into a plane, as one word."""
    glyphs, _ = _glyphs((text,), height, face)
    under = plane[top : top + glyphs.shape[0], left : left + glyphs.shape[1]]
    glyphs = glyphs[: under.shape[0], : under.shape[1]]
    if under.mean() > 0.6:
        colour = 1 - colour
    under += glyphs * (colour - under)
    return Word(top, left, glyphs > 0.4, kind, "line", height)


def length(text: str, height: int, face: str) -> int:
    """Return how many columns a line takes."""
    return _glyphs((text,), height, face)[0].shape[1]


def _picture(random: np.random.Generator, modality: str, name: str, written: bool) -> Picture:
    kind = _KINDS[modality]
    plane = ground(random, modality)
    photometric = str(random.choice(kind.photometric))
    words: list[Word] = []
    if written:
        words = _write(random, plane, kind)
    elif modality in ("CR", "DX", "MG") and random.random() < 0.5:
        words = [word for word in _line(random, plane, str(random.choice(_MARKERS)), 40, "marker") if word]
    return finished(random, modality, name, plane, words, photometric)


def _stored(plane: NDArray[np.float32], kind: _Kind, photometric: str) -> Values:
    """Turn 0..1 (text may be beyond) into stored values."""
    top = (1 << kind.bits) - 1
    if photometric == "RGB":
        tint = np.array([1.0, 0.96, 0.9], np.float32)
        return np.round(np.clip(plane[..., None] * tint, 0, 1) * 255).astype(np.uint8)
    values = np.round(np.clip(plane, 0, 1) * top)
    if photometric == "MONOCHROME1":
        values = top - values
    if kind.signed:
        return (values - (top + 1) // 2).astype(np.int16)
    return values.astype(np.uint8 if kind.bits <= 8 else np.uint16)


def _write(random: np.random.Generator, plane: NDArray[np.float32], kind: _Kind) -> list[Word]:
    """Burn in one to three blocks of lines; return the words."""
    words: list[Word] = []
    for _ in range(random.integers(1, 4)):
        height = int(random.integers(*kind.fonts))
        turns = int(random.choice([0, 0, 0, 0, 0, 1, 2, 3]))
        style = str(random.choice(["bright", "bright", "white", "faint", "dark", "boxed"]))
        face = str(random.choice(FACES))
        other = random.random() < 0.15
        lines = list(random.choice(_OTHER if other else _LATIN, size=random.integers(1, 6), replace=True))
        words += _block(
            random, plane, lines, height, turns, style, face, "other" if other else "latin", words
        )
    return words


def _line(
    random: np.random.Generator, plane: NDArray[np.float32], text: str, height: int, kind: str
) -> list[Word]:
    return _block(random, plane, [text], height, 0, "white", FACES[1], kind, [])


def _block(
    random: np.random.Generator,
    plane: NDArray[np.float32],
    lines: list[str],
    height: int,
    turns: int,
    style: str,
    face: str,
    kind: str,
    taken: list[Word],
) -> list[Word]:
    glyphs, boxes = _glyphs(tuple(lines), height, face)
    glyphs = np.rot90(glyphs, turns)
    rows, columns = glyphs.shape
    for _ in range(20):
        if rows >= plane.shape[0] - 4 or columns >= plane.shape[1] - 4:
            return []
        edge = random.random() < 0.6  # scanners write into corners
        top = int(
            random.choice([3, plane.shape[0] - rows - 3])
            if edge
            else random.integers(2, plane.shape[0] - rows - 1)
        )
        left = int(
            random.choice([3, plane.shape[1] - columns - 3])
            if edge
            else random.integers(2, plane.shape[1] - columns - 1)
        )
        if not any(_meet(top, left, rows, columns, word) for word in taken):
            break
    else:
        return []
    under = plane[top : top + rows, left : left + columns]
    before = under.copy()
    _burn(random, under, glyphs, style)
    shows = np.abs(under - before) >= _SEEN
    found = []
    for y, x, h, w in boxes:
        mask = np.zeros(np.rot90(glyphs, -turns).shape, bool)
        mask[y : y + h, x : x + w] = np.rot90(glyphs, -turns)[y : y + h, x : x + w] > 0.4
        drawn = np.rot90(mask, turns)
        mask = drawn & shows
        where = np.argwhere(mask)
        if mask.sum() > _READABLE * drawn.sum():
            (y0, x0), (y1, x1) = where.min(axis=0), where.max(axis=0) + 1
            found.append(Word(top + int(y0), left + int(x0), mask[y0:y1, x0:x1].copy(), kind, style, height))
    return found


def _burn(
    random: np.random.Generator, under: NDArray[np.float32], glyphs: NDArray[np.float32], style: str
) -> None:
    """Blend glyphs into a part of a plane."""
    ground, noise = float(under.mean()), float(under.std())
    if style == "boxed":
        under[:] = ground = 0.02
    up = (
        1.0 if ground < 0.6 or style == "boxed" else -1.0
    )  # away from the ground, so that there is something to see
    colours = {
        "white": 1.0 if up > 0 else 0.0,
        "boxed": float(random.uniform(0.4, 1.0)),
        "bright": ground + up * float(random.uniform(0.35, 0.6)),
        "faint": ground + up * max(3 * noise, 0.08),
        "dark": 0.0 if ground > 0.3 else ground + 0.4,
    }
    under += glyphs * (float(np.clip(colours[style], 0, 1)) - under)


@cache
def _font(face: str, height: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(FONTS / face), height)


def _glyphs(
    lines: tuple[str, ...], height: int, face: str
) -> tuple[NDArray[np.float32], list[tuple[int, int, int, int]]]:
    """Return coverage 0..1 of the lines, and (y, x, h, w) of every word."""
    font = _font(face, height)
    step = round(height * 1.3)
    width = max(int(font.getlength(line)) for line in lines) + 4
    canvas = Image.new("L", (width, step * len(lines) + 4))
    pen = ImageDraw.Draw(canvas)
    boxes = []
    for number, line in enumerate(lines):
        pen.text((2, number * step), line, fill=255, font=font)
        at = 0
        for word in line.split(" "):
            left = 2 + int(font.getlength(line[:at]))
            boxes.append((number * step, left, step, int(font.getlength(word)) + 1))
            at += len(word) + 1
    return np.asarray(canvas, np.float32) / 255, boxes


def _meet(top: int, left: int, rows: int, columns: int, word: Word) -> bool:
    height, width = word.glyphs.shape
    return (
        top < word.top + height + 4
        and word.top < top + rows + 4
        and left < word.left + width + 4
        and word.left < left + columns + 4
    )


def _smooth(random: np.random.Generator, shape: tuple[int, int], scale: float) -> NDArray[np.float32]:
    """Return noise of a grain, mean 0 and deviation about 1."""
    import cv2

    small = random.standard_normal((max(int(shape[0] / scale), 2), max(int(shape[1] / scale), 2))).astype(
        np.float32
    )
    return np.asarray(cv2.resize(small, shape[::-1], interpolation=cv2.INTER_CUBIC), np.float32)


def _ellipse(
    shape: tuple[int, int], y: float, x: float, b: float, a: float, turn: float = 0.0
) -> NDArray[np.float32]:
    """Return a soft-edged ellipse, 0..1; places and axes as parts of the shape."""
    down, across = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    dy, dx = down / shape[0] - y, across / shape[1] - x
    u, v = dx * np.cos(turn) + dy * np.sin(turn), dy * np.cos(turn) - dx * np.sin(turn)
    distance = np.sqrt((u / a) ** 2 + (v / b) ** 2)
    return np.clip((1 - distance) * 40, 0, 1).astype(np.float32)


def _ct(random: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float32]:
    plane = np.zeros(shape, np.float32)
    plane += _ellipse(shape, 0.5, 0.5, 0.36, 0.44) * 0.3
    for _ in range(random.integers(5, 14)):
        y, x = random.uniform(0.28, 0.72, 2)
        plane += _ellipse(shape, y, x, *random.uniform(0.02, 0.12, 2), random.uniform(0, 3)) * random.uniform(
            -0.12, 0.12
        )
    for _ in range(random.integers(2, 8)):  # bone
        y, x = random.uniform(0.25, 0.75, 2)
        plane = np.maximum(
            plane, _ellipse(shape, y, x, *random.uniform(0.01, 0.05, 2)) * random.uniform(0.4, 0.7)
        )
    plane += (
        _smooth(random, shape, 2) * 0.01 * (plane > 0.05)
        + random.standard_normal(shape).astype(np.float32) * 0.006
    )
    return plane + 0.01


def _mr(random: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float32]:
    plane = _ellipse(shape, 0.5, 0.5, 0.42, 0.36) * (
        0.25 + 0.08 * _smooth(random, shape, 12) + 0.04 * _smooth(random, shape, 4)
    )
    plane = plane + _ellipse(shape, 0.5, 0.5, 0.42, 0.36) * 0.1 - _ellipse(shape, 0.5, 0.5, 0.39, 0.33) * 0.08
    return np.abs(plane + random.standard_normal(shape).astype(np.float32) * 0.015)


def _seen_by_a_detector(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """Blur anatomy by 0.4 mm at 0.14 mm a pixel, as focal spot and scintillator do; ink comes after."""
    import cv2

    return np.asarray(cv2.GaussianBlur(plane, None, 1.2), np.float32)


def _radiograph(random: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float32]:
    plane = 0.45 + 0.12 * _smooth(random, shape, 500) + 0.02 * _smooth(random, shape, 40)
    for number in range(random.integers(6, 12)):  # ribs
        y = 0.12 + number * 0.07
        side = _ellipse(shape, y, 0.28, 0.05, 0.2, 0.35) + _ellipse(shape, y, 0.72, 0.05, 0.2, -0.35)
        inner = _ellipse(shape, y, 0.28, 0.035, 0.18, 0.35) + _ellipse(shape, y, 0.72, 0.035, 0.18, -0.35)
        plane += (side - inner) * 0.08
    plane += _ellipse(shape, 0.6, 0.5, 0.5, 0.06) * 0.2
    plane = _seen_by_a_detector(plane)
    plane += random.standard_normal(shape).astype(np.float32) * 0.008
    border = int(random.integers(0, shape[1] // 10))
    if border:
        plane[:, :border] = plane[:, -border:] = 0.01
    return plane.astype(np.float32)


def _breast(random: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float32]:
    outline = _ellipse(shape, 0.5, 0.0, 0.42, 0.72)
    tissue = (
        0.4
        + 0.07 * _smooth(random, shape, 120)
        + 0.04 * _smooth(random, shape, 25)
        + 0.02 * _smooth(random, shape, 6)
    )
    plane = outline * tissue + random.standard_normal(shape).astype(np.float32) * 0.004 * outline
    return np.maximum(plane, 0).astype(np.float32)


def _fan(random: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float32]:
    down, across = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    y, x = down + shape[0] * 0.1, across - shape[1] / 2
    reach, angle = np.hypot(y, x), np.arctan2(x, y)
    inside = (np.abs(angle) < 0.6) & (reach > shape[0] * 0.2) & (reach < shape[0] * 0.98)
    speckle = np.abs(_smooth(random, shape, 3)) * (0.25 + 0.12 * _smooth(random, shape, 60))
    plane = np.where(inside, np.clip(speckle, 0, 0.9), 0).astype(np.float32)
    bar = slice(int(shape[0] * 0.2), int(shape[0] * 0.6))
    plane[bar, -30:-18] = np.linspace(1, 0, bar.stop - bar.start, dtype=np.float32)[:, None]
    return plane


def _screen(random: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float32]:
    plane = np.full(shape, float(random.choice([0.02, 0.1, 0.85, 1.0])), np.float32)
    for _ in range(random.integers(1, 4)):  # panels, curves
        y, x = int(random.integers(shape[0] // 2)), int(random.integers(shape[1] // 2))
        h, w = int(random.integers(60, shape[0] // 2)), int(random.integers(80, shape[1] // 2))
        panel = plane[y : y + h, x : x + w]
        panel[:] = float(random.uniform(0, 1))
        curve = (np.sin(np.linspace(0, 12, panel.shape[1])) * 0.3 + 0.5) * (panel.shape[0] - 3)
        for thick in range(2):
            panel[curve.astype(int) + thick, np.arange(panel.shape[1])] = float(random.uniform(0, 1))
    return plane


_EITHER = ("MONOCHROME1", "MONOCHROME2")
_KINDS = {
    "CT": _Kind(((512, 512),), 12, True, (9, 26), _ct),
    "MR": _Kind(((256, 256), (384, 320), (512, 512)), 12, False, (8, 20), _mr),
    "CR": _Kind(((2140, 1760),), 12, False, (16, 48), _radiograph, _EITHER),
    "DX": _Kind(((2400, 2000), (2048, 2500)), 14, False, (16, 48), _radiograph, _EITHER),
    "MG": _Kind(((3328, 2560), (2294, 1914)), 14, False, (18, 48), _breast, _EITHER),
    "US": _Kind(((768, 1024), (600, 800), (480, 640)), 8, False, (9, 28), _fan, ("MONOCHROME2", "RGB")),
    "SC": _Kind(((768, 1024), (1024, 1280)), 8, False, (9, 36), _screen, ("MONOCHROME2", "RGB")),
}  # fmt: skip

# Test files of pydicom without text, for anatomy that no formula draws.
_FILES = {"CT": ("CT_small.dcm", "693_J2KR.dcm"), "MR": ("MR_small.dcm", "MR2_J2KR.dcm")}


@cache
def _real(modality: str) -> list[NDArray[np.float32]]:
    """Return real pictures, 0..0.7, not smaller than text needs."""
    import cv2
    from pydicom import dcmread
    from pydicom.data import get_testdata_file

    found = []
    for name in _FILES.get(modality, ()):
        path = get_testdata_file(name, download=False)
        if path is None:
            continue
        plane = dcmread(path).pixel_array.astype(np.float32)
        if min(plane.shape) < 256:
            plane = cv2.resize(plane, (384, 384), interpolation=cv2.INTER_CUBIC)
        low, high = np.percentile(plane, (0.1, 99.9))
        found.append(np.clip((plane - low) / (high - low), 0, 1.2).astype(np.float32) * 0.7)
    return found
