"""Pictures of the kinds that text hiding finds hard: soft, coloured, anatomy like letters, traces."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pictures import _LATIN, FACES, Picture, Word, _ellipse, _glyphs, _smooth
from pydicom.uid import (
    CTImageStorage,
    MRImageStorage,
    SecondaryCaptureImageStorage,
    UltrasoundImageStorage,
    VLEndoscopicImageStorage,
    VLMicroscopicImageStorage,
    VLPhotographicImageStorage,
)

Plane = NDArray[np.float32]
Random = np.random.Generator
Mask = NDArray[np.bool_]


def draw_hard(seed: int, kinds: dict[str, int]) -> Iterator[Picture]:
    """Yield pictures of some kinds, so many of each; the same seed draws the same ones."""
    for kind, count in kinds.items():
        number = list(KINDS).index(kind)
        for index in range(count):
            random = np.random.default_rng([seed, 77, number, index])
            yield replace(KINDS[kind](random), name=f"{kind}-{seed}-{index:03}")


def _write(
    random: Random,
    image: NDArray[np.float32],
    lines: list[str],
    place: tuple[int, int],
    height: int,
    colour: Any,
) -> list[Word]:
    """Blend lines into an image, (rows, columns) or (rows, columns, 3); return the words."""
    face = str(random.choice(FACES))
    glyphs, boxes = _glyphs(tuple(lines), height, face)
    top, left = place
    rows, columns = min(glyphs.shape[0], image.shape[0] - top), min(glyphs.shape[1], image.shape[1] - left)
    if rows <= 0 or columns <= 0:
        return []
    cover = glyphs[:rows, :columns]
    cover = cover[..., None] if image.ndim == 3 else cover
    under = image[top : top + rows, left : left + columns]
    under += cover * (np.asarray(colour, np.float32) - under)
    words = []
    for y, x, h, w in boxes:
        mask = np.zeros((rows, columns), bool)
        mask[y : y + h, x : x + w] = glyphs[:rows, :columns][y : y + h, x : x + w] > 0.4
        where = np.argwhere(mask)
        if len(where) > 8:
            (y0, x0), (y1, x1) = where.min(axis=0), where.max(axis=0) + 1
            words.append(
                Word(top + int(y0), left + int(x0), mask[y0:y1, x0:x1].copy(), "latin", "hard", height)
            )
    return words


def _lines(random: Random, count: int, names: tuple[str, ...] = _LATIN) -> list[str]:
    return [str(it) for it in random.choice(names, size=count, replace=True)]


def _picture(
    values: NDArray[Any],
    modality: str,
    sop_class: str,
    words: list[Word],
    bits: int = 8,
    stays: Mask | None = None,
) -> Picture:
    photometric = "RGB" if values.ndim == 3 else "MONOCHROME2"
    return Picture("", modality, values, photometric, bits, tuple(words), sop_class, stays)


def _bytes(image: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    return np.asarray(np.round(np.clip(image, 0, 1) * 255), np.uint8)


def _noise(random: Random, shape: tuple[int, ...], share: float) -> Plane:
    return np.asarray(random.standard_normal(shape) * share, np.float32)


def _blobs(random: Random, shape: tuple[int, int]) -> Plane:
    plane = _ellipse(shape, 0.5, 0.5, random.uniform(0.3, 0.42), random.uniform(0.34, 0.44)) * np.float32(
        random.uniform(0.25, 0.45)
    )
    for _ in range(random.integers(4, 9)):
        y, x = random.uniform(0.25, 0.75, 2)
        plane += cv2.GaussianBlur(
            _ellipse(shape, y, x, *random.uniform(0.03, 0.1, 2), random.uniform(0, 3)), None, shape[0] / 60
        ) * np.float32(random.uniform(-0.15, 0.5))
    return plane + np.float32(0.03)


def _film(random: Random) -> Picture:
    """Return a digitised film, its letters as soft as film and digitiser make them."""
    shape = (int(random.integers(1320, 2000)), int(random.integers(1050, 1500)))
    plane = _blobs(random, shape)
    words = []
    for corner in random.permutation(5)[: random.integers(2, 5)]:
        height = int(random.integers(24, 56))
        lines = _lines(random, int(random.integers(1, 3)))
        wide = max(len(line) for line in lines) * height * 0.62
        high = len(lines) * height * 1.3
        top = [20, 20, shape[0] - high - 20, shape[0] - high - 20, shape[0] * random.uniform(0.3, 0.6)][
            corner
        ]
        left = [
            20,
            shape[1] - wide - 20,
            20,
            shape[1] - wide - 20,
            shape[1] * random.uniform(0.2, 0.4),
        ][corner]
        words += _write(
            random, plane, lines, (int(top), max(int(left), 5)), height, random.uniform(0.75, 1.0)
        )
    plane = cv2.GaussianBlur(plane, None, random.uniform(2.0, 6.0))
    plane = plane + _noise(random, shape, random.uniform(0.002, 0.025))
    values = np.round(np.clip(plane, 0, 1) * 4095).astype(np.uint16)
    return _picture(values, "OT", SecondaryCaptureImageStorage, words, 12)


def _letter(random: Random, soft: bool) -> Picture:
    zoom = random.uniform(0.8, 1.3)
    shape = (int(1754 * zoom), int(1240 * zoom))
    plane = np.float32(random.uniform(0.82, 0.94)) + _smooth(random, shape, 60) * np.float32(
        random.uniform(0.005, 0.03)
    )
    words: list[Word] = []
    top = int(random.integers(60, 160))
    for _ in range(random.integers(4, 10)):
        height = int(random.integers(18, 34) * zoom)
        text = _lines(random, int(random.integers(1, 3)))
        words += _write(random, plane, [" ".join(text)], (top, int(90 * zoom)), height, 0.08)
        top += int(height * random.uniform(1.4, 2.6))
    sigma = random.uniform(2.2, 4.0) if soft else random.uniform(0.4, 1.0)
    plane = cv2.GaussianBlur(plane, None, sigma) + _noise(random, shape, random.uniform(0.002, 0.015))
    return _picture(_bytes(plane), "OT", SecondaryCaptureImageStorage, words)


def _enlarged(random: Random) -> Picture:
    shape = (int(random.integers(400, 520)), int(random.integers(400, 560)))
    plane = _blobs(random, shape) + _noise(random, shape, 0.01)
    words: list[Word] = []
    for top in (8, shape[0] // 2, shape[0] - 40):
        height = int(random.integers(13, 24))
        words += _write(
            random, plane, _lines(random, 1), (top, int(random.integers(5, shape[1] // 2))), height, 0.95
        )
    zoom = random.uniform(3.2, 4.2)
    plane = cv2.resize(plane, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC)
    grown = []
    for word in words:
        glyphs = cv2.resize(word.glyphs.astype(np.float32), None, fx=zoom, fy=zoom) > 0.5
        grown.append(replace(word, top=int(word.top * zoom), left=int(word.left * zoom), glyphs=glyphs))
    return _picture(_bytes(plane), "OT", SecondaryCaptureImageStorage, grown)


def _fan(random: Random, shape: tuple[int, int]) -> tuple[Plane, Mask]:
    down, across = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    y, x = down + shape[0] * 0.05, across - shape[1] / 2
    reach, angle = np.hypot(y, x), np.arctan2(x, y)
    inside = (np.abs(angle) < random.uniform(0.5, 0.8)) & (reach > shape[0] * 0.12) & (reach < shape[0] * 0.9)
    speckle = np.abs(_smooth(random, shape, 2)) * (0.2 + 0.14 * _smooth(random, shape, 50))
    return np.where(inside, np.clip(speckle, 0, 0.9), 0).astype(np.float32), inside


def _photo(random: Random) -> Picture:
    """Return a photo of an ultrasound's screen, taken from the side."""
    shape = (600, 800)
    screen = np.repeat(_fan(random, shape)[0][..., None], 3, axis=-1) + np.float32(0.04)
    ink: list[Word] = []
    for place in ((12, 14), (12, 520), (555, 14), (300, 330)):
        height = int(random.integers(18, 28))
        ink += _write(
            random, screen, _lines(random, int(random.integers(1, 2))), place, height, (0.95, 0.93, 0.8)
        )
    size = (1500, 2000)
    jitter = random.uniform(-70, 70, (4, 2))
    to = np.array([[200, 160], [1800, 160], [1800, 1340], [200, 1340]]) + jitter
    corners = np.array([[0, 0], [799, 0], [799, 599], [0, 599]])
    turn = cv2.getPerspectiveTransform(corners.astype(np.float32), to.astype(np.float32))
    photo = np.full((*size, 3), np.float32(random.uniform(0.1, 0.4)))
    seen = cv2.warpPerspective(screen, turn, size[::-1])
    photo = np.where(
        cv2.warpPerspective(np.ones(shape, np.uint8), turn, size[::-1])[..., None] > 0, seen, photo
    )
    words = []
    for word in ink:
        flat = np.zeros(shape, np.float32)
        h, w = word.glyphs.shape
        flat[word.top : word.top + h, word.left : word.left + w] = word.glyphs
        mask = cv2.warpPerspective(flat, turn, size[::-1]) > 0.5
        where = np.argwhere(mask)
        (y0, x0), (y1, x1) = where.min(axis=0), where.max(axis=0) + 1
        words.append(replace(word, top=int(y0), left=int(x0), glyphs=mask[y0:y1, x0:x1].copy()))
    photo = cv2.GaussianBlur(photo.astype(np.float32), None, random.uniform(1.5, 3.5))
    photo = photo + _noise(random, photo.shape, 0.015)
    return _picture(_bytes(photo), "XC", VLPhotographicImageStorage, words)


def _histology_ground(random: Random, shape: tuple[int, int]) -> Plane:
    pink = np.array([0.86, 0.62, 0.8], np.float32) + random.uniform(-0.06, 0.06, 3).astype(np.float32)
    image = np.ones((*shape, 3), np.float32) * pink
    image += (_smooth(random, shape, 25) * np.float32(0.06))[..., None] * np.array(
        [0.6, 1.3, 0.7], np.float32
    )
    for _ in range(shape[0] * shape[1] // int(random.integers(260, 600))):
        centre = int(random.integers(shape[1])), int(random.integers(shape[0]))
        axes = int(random.integers(2, 6)), int(random.integers(2, 6))
        shade = np.array([0.38, 0.25, 0.55]) + random.uniform(-0.08, 0.08, 3)
        cv2.ellipse(image, centre, axes, float(random.uniform(0, 180)), 0, 360, shade.tolist(), -1)
    return cv2.GaussianBlur(image, None, 0.7)


def _mucosa_ground(random: Random, shape: tuple[int, int]) -> Plane:
    image = np.ones((*shape, 3), np.float32) * np.array([0.85, 0.48, 0.38], np.float32)
    image += (_smooth(random, shape, 40) * np.float32(0.08))[..., None]
    for _ in range(30):
        start = random.uniform(0, 1, 2) * shape[::-1]
        steps = np.cumsum(random.normal(0, 3, (40, 2)) + random.normal(0, 3, 2), axis=0)
        cv2.polylines(image, [(start + steps).astype(np.int32)], False, (0.7, 0.3, 0.28), 1)
    return cv2.GaussianBlur(image, None, 0.8)


def _same_luma(random: Random, image: Plane, place: tuple[int, int, int, int]) -> NDArray[np.float32]:
    """Return a colour of about the brightness of a part of an image, and another hue."""
    top, left, high, wide = place
    ground = image[top : top + high, left : left + wide].reshape(-1, 3).mean(axis=0)
    luma = np.array([0.299, 0.587, 0.114])
    while True:
        colour = random.uniform(0, 1, 3)
        gap = float(ground @ luma - colour @ luma)
        if abs(gap) < 0.08 and np.linalg.norm(colour - ground) > 0.3:
            return colour.astype(np.float32)


def _coloured(random: Random, ground: Callable[[Random, tuple[int, int]], Plane], uid: str) -> Picture:
    shape = (int(random.integers(220, 520)), int(random.integers(340, 700)))
    image = ground(random, shape)
    words: list[Word] = []
    top = 6
    while top < shape[0] - 40 and len(words) < 12:
        height = int(random.integers(13, 28))
        left = int(random.integers(4, shape[1] // 3))
        colour = _same_luma(random, image, (top, left, height, 150))
        words += _write(random, image, _lines(random, 1), (top, left), height, colour)
        top += height + int(random.integers(15, 60))
    image += _noise(random, image.shape, 0.01)
    return _picture(_bytes(image), "GM" if "77.1.2" in uid else "ES", uid, words)


def _doppler(random: Random) -> Picture:
    shape = (int(random.integers(220, 480)), int(random.integers(340, 640)))
    flow = _smooth(random, shape, float(random.uniform(10, 25)))
    image = np.zeros((*shape, 3), np.float32)
    warm, cold = np.clip(flow, 0, 1.5) / 1.5, np.clip(-flow, 0, 1.5) / 1.5
    image[..., 0] = np.clip(warm * 1.6, 0, 1)
    image[..., 1] = np.clip(warm * 0.9, 0, 1) + np.clip(cold * 0.8, 0, 1)
    image[..., 2] = np.clip(cold * 1.8, 0, 1)
    words: list[Word] = []
    dark = random.random() < 0.5
    for top in range(8, shape[0] - 40, int(random.integers(50, 110))):
        height = int(random.integers(16, 26))
        colour = (0, 0, 0) if dark else random.uniform(0.3, 1, 3)
        words += _write(
            random, image, _lines(random, 1), (top, int(random.integers(4, shape[1] // 3))), height, colour
        )
    return _picture(_bytes(image + _noise(random, image.shape, 0.01)), "US", UltrasoundImageStorage, words)


def _ultrasound(random: Random) -> Picture:
    """Return an ultrasound with noise in its black and text along its edges."""
    shape = [(480, 640), (600, 800), (540, 720)][int(random.integers(3))]
    plane, _ = _fan(random, shape)
    plane += np.float32(0.012)
    words: list[Word] = []
    for corner in range(4):
        height = int(random.integers(12, 22))
        lines = _lines(random, int(random.integers(1, 3)))
        high, gap = int(len(lines) * height * 1.3) + 4, int(random.integers(1, 12))
        glyphs, _ = _glyphs(tuple(lines), height, FACES[0])
        top = gap if corner < 2 else shape[0] - high - gap
        left = gap if corner % 2 == 0 else max(shape[1] - glyphs.shape[1] - gap, 0)
        words += _write(random, plane, lines, (top, left), height, random.uniform(0.6, 1))
    image = np.repeat(plane[..., None], 3, axis=-1)
    image = image + _noise(random, (*shape, 1), random.uniform(0.003, 0.02))
    return _picture(_bytes(image), "US", UltrasoundImageStorage, words)


def _echo(random: Random) -> Picture:
    """Return an echocardiogram with its ECG, which has to stay."""
    shape = [(480, 640), (600, 800)][int(random.integers(2))]
    plane, _ = _fan(random, shape)
    image = np.repeat(plane[..., None], 3, axis=-1)
    x = np.arange(shape[1], dtype=np.float64)
    period = random.uniform(45, 140)
    phase = ((x + random.uniform(0, period)) % period) / period
    beat = (
        0.18 * np.exp(-(((phase - 0.2) / 0.03) ** 2))
        - 0.15 * np.exp(-(((phase - 0.33) / 0.012) ** 2))
        + np.exp(-(((phase - 0.36) / 0.014) ** 2))
        - 0.3 * np.exp(-(((phase - 0.39) / 0.014) ** 2))
        + 0.28 * np.exp(-(((phase - 0.62) / 0.06) ** 2))
    )
    tall = random.uniform(15, 60)
    y = shape[0] - random.uniform(14, 30) - beat * tall + random.normal(0, 0.4, shape[1])
    points = np.stack([x, y], axis=1).astype(np.int32)
    stays = np.zeros(shape, np.uint8)
    thick = int(random.integers(1, 3))
    cv2.polylines(stays, [points], False, 1, thick)
    colours = [(0.2, 1, 0.3), (1, 1, 0.2), (0.3, 1, 1), (0.9, 0.3, 0.8), (1, 1, 1)]
    image[stays > 0] = colours[int(random.integers(5))]
    words: list[Word] = []
    for place in ((4, 8), (4, shape[1] - 190)):
        words += _write(
            random, image, _lines(random, 1), place, int(random.integers(12, 17)), (0.9, 0.9, 0.9)
        )
    image = image + _noise(random, (*shape, 1), random.uniform(0, 0.01))
    return _picture(_bytes(image), "US", UltrasoundImageStorage, words, stays=stays > 0)


def _signed(plane: Plane) -> NDArray[np.int16]:
    return np.asarray(np.round(np.clip(plane, 0, 1) * 4095 - 1024), np.int16)


def _teeth_ct(random: Random) -> Picture:
    side = int(random.integers(256, 512))
    shape = (side, side)
    plane = _ellipse(shape, 0.52, 0.5, 0.42, 0.33) * np.float32(0.28)
    count = int(random.integers(10, 17))
    a, b = random.uniform(0.18, 0.26), random.uniform(0.22, 0.34)
    for number in range(count):
        angle = np.pi * (number + 0.5) / count
        y, x = 0.5 - b * np.sin(angle), 0.5 - a * np.cos(angle)
        tooth = _ellipse(
            shape, y, x, random.uniform(0.015, 0.025), random.uniform(0.015, 0.022), angle
        ) * np.float32(random.uniform(0.5, 0.7))
        root = _ellipse(shape, y, x, 0.006, 0.006) * np.float32(0.4)
        plane = np.maximum(plane, tooth - root)
    return _picture(_signed(plane + 0.02 + _noise(random, shape, 0.006)), "CT", CTImageStorage, [], 16)


def _panoramic(random: Random) -> Picture:
    shape = (int(random.integers(220, 420)), int(random.integers(440, 900)))
    plane = np.full(shape, 0.25, np.float32) + _smooth(random, shape, 40) * np.float32(0.03)
    count = int(random.integers(8, 15))
    wide = shape[1] * 0.75 / count
    for number in range(count):
        x = shape[1] * 0.125 + (number + 0.5) * wide
        for side in (-1, 1):
            tall = shape[0] * random.uniform(0.09, 0.13)
            y = shape[0] * 0.5 + side * tall * 0.8
            crown = np.array(
                [
                    [x - wide * 0.38, y - tall * 0.6],
                    [x + wide * 0.38, y - tall * 0.6],
                    [x + wide * 0.36, y + tall * 0.6],
                    [x - wide * 0.36, y + tall * 0.6],
                ]
            )
            cv2.fillPoly(plane, [crown.astype(np.int32)], random.uniform(0.7, 0.95))
            tip = y + side * tall * 2.2
            root = np.array(
                [
                    [x - wide * 0.3, y + side * tall * 0.6],
                    [x + wide * 0.3, y + side * tall * 0.6],
                    [x, tip],
                ]
            )
            cv2.fillPoly(plane, [root.astype(np.int32)], random.uniform(0.5, 0.65))
            cv2.line(plane, (int(x), int(y)), (int(x), int(tip)), 0.35, 1)
    plane = cv2.GaussianBlur(plane, None, 1.0) + _noise(random, shape, 0.008)
    values = np.round(np.clip(plane, 0, 1) * 4095).astype(np.uint16)
    return _picture(values, "PX", "1.2.840.10008.5.1.4.1.1.1.1", [], 12)


def _sulci(random: Random) -> Picture:
    side = int(random.integers(220, 512))
    shape = (side, side)
    brain, skull = _ellipse(shape, 0.5, 0.5, 0.4, 0.34), _ellipse(shape, 0.5, 0.5, 0.45, 0.39)
    plane = skull * np.float32(0.8) - _ellipse(shape, 0.5, 0.5, 0.43, 0.37) * np.float32(0.7) + brain * 0.55
    folds = np.abs(_smooth(random, shape, side / random.uniform(18, 40)))
    inner = _ellipse(shape, 0.5, 0.5, 0.27, 0.2)
    dark = (folds < random.uniform(0.12, 0.25)) & (brain > 0.9) & (inner < 0.5)
    plane[dark] = 0.12
    plane += inner * np.float32(0.12)
    for x in (0.46, 0.54):
        plane -= _ellipse(shape, 0.5, x, 0.1, 0.02) * np.float32(0.5)
    plane = cv2.GaussianBlur(plane, None, random.uniform(0.6, 1.0))
    plane = np.abs(plane + _noise(random, shape, random.uniform(0.005, 0.02)))
    return _picture(np.round(np.clip(plane, 0, 1) * 2000).astype(np.uint16), "MR", MRImageStorage, [], 12)


def _ribs(random: Random) -> Picture:
    side = int(random.integers(380, 513))
    shape = (side, side)
    wide, high = random.uniform(0.4, 0.46), random.uniform(0.28, 0.36)
    plane = _ellipse(shape, 0.5, 0.5, high, wide) * np.float32(0.3)
    for x in (0.31, 0.69):
        lung = _ellipse(shape, 0.48, x, high * 0.68, 0.13)
        plane = plane * (1 - lung) + lung * np.float32(0.06)
    for _ in range(20):
        x, y = random.choice([0.31, 0.69]) + random.uniform(-0.08, 0.08), random.uniform(0.35, 0.6)
        plane += _ellipse(shape, y, x, 0.004, 0.004) * np.float32(0.25)
    for angle in np.arange(0, 2 * np.pi, 2 * np.pi / random.integers(12, 22)) + random.uniform(0, 1):
        y, x = 0.5 + high * 0.86 * np.sin(angle), 0.5 + wide * 0.88 * np.cos(angle)
        size = random.uniform(0.008, 0.013), random.uniform(0.018, 0.032)
        rib = _ellipse(shape, y, x, *size, angle + np.pi / 2 + random.uniform(-0.3, 0.3))
        core = _ellipse(shape, y, x, size[0] * 0.5, size[1] * 0.6, angle + np.pi / 2)
        plane = np.maximum(plane, rib * np.float32(0.75) - core * np.float32(0.3))
    body = _ellipse(shape, 0.5 + high * 0.62, 0.5, 0.05, 0.05)
    plane = np.maximum(
        plane, body * np.float32(0.7) - _ellipse(shape, 0.5 + high * 0.62, 0.5, 0.03, 0.03) * np.float32(0.4)
    )
    return _picture(
        _signed(plane + 0.02 + _noise(random, shape, random.uniform(0.004, 0.012))),
        "CT",
        CTImageStorage,
        [],
        16,
    )


def _spine(random: Random) -> Picture:
    shape = (int(random.integers(340, 512)), int(random.integers(230, 400)))
    plane = np.full(shape, 0.05, np.float32)
    plane[:, shape[1] // 5 : -shape[1] // 5] = 0.3
    count = int(random.integers(6, 11))
    tall = shape[0] / count
    bend = random.uniform(0.02, 0.08)
    for number in range(count):
        x = shape[1] * (0.45 + bend * np.sin(number / count * np.pi))
        top = number * tall + tall * 0.15
        wide = shape[1] * 0.08
        body = ((x - wide, top), (x + wide, top), (x + wide, top + tall * 0.7), (x - wide, top + tall * 0.7))
        cv2.fillPoly(plane, [np.array(body, np.int32)], random.uniform(0.75, 0.9))
        x += wide * 2.2
        process = (
            (x, top),
            (x + wide * 1.5, top + tall * 0.3),
            (x + wide * 1.4, top + tall * 0.5),
            (x, top + 5),
        )
        cv2.fillPoly(plane, [np.array(process, np.int32)], random.uniform(0.6, 0.8))
    plane = cv2.GaussianBlur(plane, None, 0.8) + _noise(random, shape, 0.012)
    return _picture(
        np.round(np.clip(np.abs(plane), 0, 1) * 2000).astype(np.uint16), "MR", MRImageStorage, [], 12
    )


def _slide_tile(random: Random) -> Picture:
    side = int(random.choice([240, 256, 512]))
    image = _histology_ground(random, (side, side)) + _noise(random, (side, side, 3), 0.01)
    return _picture(_bytes(image), "SM", "1.2.840.10008.5.1.4.1.1.77.1.6", [])


def _line_pairs(random: Random) -> Picture:
    side = int(random.integers(256, 512))
    shape = (side, side)
    plane = _ellipse(shape, 0.5, 0.5, 0.45, 0.45) * np.float32(0.3) + np.float32(0.02)
    for _ in range(random.integers(4, 9)):
        angle, reach = random.uniform(0, 2 * np.pi), random.uniform(0.1, 0.32) * side
        y, x = int(side / 2 + reach * np.sin(angle)), int(side / 2 + reach * np.cos(angle))
        thick, tall = int(random.integers(2, 6)), int(random.integers(12, 40))
        for bar in range(int(random.integers(3, 7))):
            at = x + bar * 2 * thick
            if random.random() < 0.7:
                plane[y : y + tall, at : at + thick] = 0.75
    return _picture(_signed(plane + _noise(random, shape, 0.006)), "CT", CTImageStorage, [], 16)


def _patch(random: Random, image: Plane) -> None:
    """Draw a patch of Doppler colours into an ultrasound, of any size, in place."""
    rows, columns = image.shape[:2]
    high, wide = int(random.integers(30, rows // 2)), int(random.integers(30, columns // 2))
    top = int(random.integers(rows // 6, rows - high - rows // 8))
    left = int(random.integers(columns // 6, columns - wide - columns // 6))
    flow = _smooth(random, (high, wide), float(random.uniform(5, 20)))
    there = np.abs(flow) > random.uniform(0.2, 0.7)
    warm, cold = np.clip(flow, 0, 1.5) / 1.5, np.clip(-flow, 0, 1.5) / 1.5
    colour = np.stack([warm * 1.6, warm * 0.9 + cold * 0.8, cold * 1.8], axis=-1).clip(0, 1)
    part = image[top : top + high, left : left + wide]
    part[there] = colour[there]


def _flow(random: Random) -> Picture:
    """Return an ultrasound with a patch of Doppler, and text at its corners, beside the patch and on it."""
    shape = [(240, 320), (480, 640), (600, 800)][int(random.integers(3))]
    plane, _ = _fan(random, shape)
    image = np.repeat(plane[..., None], 3, axis=-1)
    _patch(random, image)
    stays = (np.ptp(image, axis=-1) > 0.15) if random.random() < 0.6 else None
    words: list[Word] = []
    for place in ((4, 8), (30, 8)):
        words += _write(
            random, image, _lines(random, 1), place, int(random.integers(12, 18)), (0.9, 0.9, 0.9)
        )
    if stays is None:  # text on the patch: what is hidden of it is right
        coloured = np.argwhere(np.ptp(image, axis=-1) > 0.15)
        top, left = coloured[int(random.integers(len(coloured)))] if len(coloured) else (60, 60)
        left = min(max(int(left) - 30, 4), shape[1] - 150)
        shade = (1, 1, 1) if random.random() < 0.7 else (0.95, 0.9, 0.2)
        words += _write(
            random, image, _lines(random, 1), (int(top), left), int(random.integers(12, 20)), shade
        )
    image = image + _noise(random, (*shape, 1), random.uniform(0, 0.01))
    return _picture(_bytes(image), "US", UltrasoundImageStorage, words, stays=stays)


def _traces(random: Random) -> Picture:
    """Return an echocardiogram with an ECG, or two traces, anywhere; colour Doppler and a line beside it."""
    shape = [(480, 640), (600, 800), (768, 1024)][int(random.integers(3))]
    plane, _ = _fan(random, shape)
    image = np.repeat(plane[..., None], 3, axis=-1)
    if random.random() < 0.6:
        _patch(random, image)
    x = np.arange(shape[1], dtype=np.float64)
    stays = np.zeros(shape, np.uint8)
    for number in range(int(random.integers(1, 3))):
        period = random.uniform(35, 160)
        phase = ((x + random.uniform(0, period)) % period) / period
        if number:  # breathing, or a pressure
            beat = 0.5 * np.sin(x / random.uniform(30, 90)) + 0.2 * np.sin(x / random.uniform(8, 20))
        else:
            beat = (
                0.15 * np.exp(-(((phase - 0.2) / 0.03) ** 2))
                + random.choice([1, 1, -0.8]) * np.exp(-(((phase - 0.36) / 0.018) ** 2))
                - 0.25 * np.exp(-(((phase - 0.4) / 0.014) ** 2))
                + 0.25 * np.exp(-(((phase - 0.62) / 0.06) ** 2))
            )
        tall = random.uniform(12, 70)
        y = shape[0] * random.uniform(0.15, 0.95) - beat * tall + random.normal(0, 0.3, shape[1])
        first, last = sorted(int(it) for it in random.uniform(0, 1, 2) * shape[1])
        if last - first < shape[1] // 2:
            first, last = 0, shape[1]
        points = np.stack([x, y], axis=1).astype(np.int32)[first:last]
        trace = np.zeros(shape, np.uint8)
        cv2.polylines(trace, [points], False, 1, int(random.integers(1, 4)))
        if random.random() < 0.4:  # the bar that sweeps over it
            at = int(random.integers(first + 20, last - 20))
            trace[:, at : at + int(random.integers(6, 16))] = 0
        image[trace > 0] = np.float32(random.uniform(0.2, 1, 3)).clip(0, 1) ** 0.5
        stays |= trace
    words: list[Word] = []
    for place in ((4, 8), (4, shape[1] - 190)):
        words += _write(
            random, image, _lines(random, 1), place, int(random.integers(12, 17)), (0.9, 0.9, 0.9)
        )
    if random.random() < 0.4:  # a name right above the trace, or across it
        at = np.argwhere(stays)[int(random.integers(int(stays.sum())))]
        top = max(int(at[0]) - int(random.integers(-4, 40)), 30)
        left = min(max(int(at[1]), 4), shape[1] - 160)
        before = image.copy()
        words += _write(
            random, image, _lines(random, 1), (top, left), int(random.integers(12, 17)), (1, 1, 1)
        )
        beside = cv2.dilate((np.abs(image - before).max(axis=-1) > 0.02).astype(np.uint8), np.ones((25, 25)))
        stays &= 1 - beside
    image = image + _noise(random, (*shape, 1), random.uniform(0, 0.01))
    return _picture(_bytes(image), "US", UltrasoundImageStorage, words, stays=stays > 0)


def _specks(random: Random) -> Picture:
    """Return a picture of an endoscope with highlights, which have to stay, and text or none."""
    shape = [(240, 320), (480, 640), (576, 720), (1080, 1280)][int(random.integers(4))]
    image = _mucosa_ground(random, shape)
    bright = np.zeros(shape, np.float32)
    for _ in range(int(random.integers(4, 30))):
        y, x = random.uniform(0.15, 0.85, 2) * shape
        for _ in range(int(random.integers(1, 9))):
            spot = (int(x + random.normal(0, shape[0] / 40)), int(y + random.normal(0, shape[0] / 40)))
            axes = (int(random.integers(1, 3 + shape[0] // 60)), int(random.integers(1, 3 + shape[0] // 100)))
            cv2.ellipse(bright, spot, axes, random.uniform(0, 180), 0, 360, 1.0, -1)
    bright = cv2.GaussianBlur(bright, None, random.uniform(0.5, 1.5))
    image += bright[..., None] * (np.float32(1) - image)
    down, across = np.mgrid[: shape[0], : shape[1]]
    lens = np.hypot(down - shape[0] / 2, across - shape[1] / 2) < shape[0] * random.uniform(0.48, 0.7)
    image[~lens] = 0.02
    words: list[Word] = []
    if random.random() < 0.5:
        for place in ((6, 6), (30, 6)):
            words += _write(
                random, image, _lines(random, 1), place, int(random.integers(12, 18)), (0.9, 0.9, 0.9)
            )
    image = image + _noise(random, (*shape, 1), random.uniform(0, 0.01))
    return _picture(_bytes(image), "ES", VLEndoscopicImageStorage, words, stays=(bright > 0.3) & lens)


def _blurred(random: Random) -> Picture:
    """Return a picture of up to 1,280 pixels with large letters, blurred and of little contrast."""
    shape = (int(random.integers(500, 1280)), int(random.integers(500, 1280)))
    plane = _blobs(random, shape)
    words: list[Word] = []
    for part in range(int(random.integers(1, 3))):
        height = int(random.integers(64, 110))
        line = _lines(random, 1)
        left = int(random.integers(5, max(shape[1] - int(len(line[0]) * height * 0.62), 6)))
        top = int(shape[0] * (0.08 + 0.5 * part))
        ground = float(plane[top : top + height, left : left + height * 3].mean())
        shade = ground + random.uniform(0.12, 0.4)
        words += _write(random, plane, line, (top, left), height, shade)
    plane = cv2.GaussianBlur(plane, None, random.uniform(4.0, 9.0))
    plane = plane + _noise(random, shape, random.uniform(0.002, 0.03))
    values = np.round(np.clip(plane, 0, 1) * 4095).astype(np.uint16)
    return _picture(values, "OT", SecondaryCaptureImageStorage, words, 12)


_CODES = (
    "QRCode",
    "MicroQRCode",
    "DataMatrix",
    "Aztec",
    "PDF417",
    "Code128",
    "Code39",
    "Code93",
    "ITF",
    "EAN13",
)


def _codes(random: Random) -> Picture:
    """Return a picture with one code that a reader still decodes, and its square as a word."""
    import zxingcpp

    while True:
        shape = (int(random.integers(480, 900)), int(random.integers(600, 1200)))
        kind, module = str(random.choice(_CODES)), int(random.integers(2, 5))
        content = "40063813339" + "31" * (kind == "EAN13") + "3" * (kind == "ITF")
        drawn = zxingcpp.create_barcode(content, getattr(zxingcpp.BarcodeFormat, kind))
        code = np.array(zxingcpp.write_barcode_to_image(drawn, scale=module, add_quiet_zones=True))
        rows, columns = code.shape
        if rows >= shape[0] or columns >= shape[1]:
            continue
        plane = _blobs(random, shape)
        top, left = int(random.integers(0, shape[0] - rows)), int(random.integers(0, shape[1] - columns))
        shade, ink = random.uniform(0.4, 1.0), random.uniform(0.1, 0.9)
        plane[top : top + rows, left : left + columns] = np.where(code > 127, shade, shade * (1 - ink))
        plane = cv2.GaussianBlur(plane, None, random.uniform(0.3, 0.3 * module))
        plane += _noise(random, shape, random.uniform(0, 0.02))
        word = Word(top, left, code <= 127, "code", "hard", rows)
        picture = _picture(_bytes(plane), "OT", SecondaryCaptureImageStorage, [word])
        if [read.text for read in zxingcpp.read_barcodes(picture.values)]:
            return picture


KINDS: dict[str, Callable[[Random], Picture]] = {
    "film": _film,
    "soft-letter": lambda random: _letter(random, soft=True),
    "letter": lambda random: _letter(random, soft=False),
    "enlarged": _enlarged,
    "photo": _photo,
    "histology": lambda random: _coloured(random, _histology_ground, VLMicroscopicImageStorage),
    "mucosa": lambda random: _coloured(random, _mucosa_ground, VLEndoscopicImageStorage),
    "doppler": _doppler,
    "ultrasound": _ultrasound,
    "echo": _echo,
    "teeth": _teeth_ct,
    "panoramic": _panoramic,
    "sulci": _sulci,
    "ribs": _ribs,
    "spine": _spine,
    "slide": _slide_tile,
    "line-pairs": _line_pairs,
    "flow": _flow,
    "traces": _traces,
    "specks": _specks,
    "blurred": _blurred,
    "codes": _codes,
}
