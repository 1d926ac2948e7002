"""Grey renditions of a decoded frame, in which text shows; and its black value."""

from dataclasses import dataclass
from functools import cache
from hashlib import shake_256
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from beamstop.dicom.elements import MALFORMED
from beamstop.pixels.cover import covered

Values = NDArray[Any]
Picture = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Plane = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Renditions:
    """Every number that determines a rendition (docs/detectors.md).

    Attributes:
        ground: grey of pixels like their surroundings.
        gain: grey of one deviation from the local mean.
        window: pixels, of the local mean and deviation; the widest net measured.
        fill: pixels, for measuring the noise that replaces blanked areas.
        colourful: spread of the channels, 0 to 1, from which on a pixel counts as coloured.
        coloured: share of coloured pixels from which on a second rendition is made.
        tinted: share of coloured pixels from which on hues are rendered as well.
        hue: difference of a hue, of 255, that may be noise.
        sampled: about how many pixels are used to choose the hues.
        luma: weights of red, green and blue.
    """

    ground: int = 96
    gain: int = 48
    window: int = 63
    fill: int = 63
    colourful: float = 32 / 255
    coloured: float = 0.001
    tinted: float = 0.05
    hue: float = 2.0
    sampled: int = 65536
    luma: tuple[float, float, float] = (0.299, 0.587, 0.114)


RENDITIONS = Renditions()
GROUND = RENDITIONS.ground
_SEEN = RENDITIONS.window // 2 + RENDITIONS.fill // 2  # pixels around one that its rendition depends on
_GRAIN = 509  # period of the noise in pixels; prime, so that no tile repeats it
_LUMA = np.array(RENDITIONS.luma, np.float32)


def local_contrast(
    plane: NDArray[np.floating[Any]], unit: float = 1.0, hidden: Mask | None = None
) -> Picture:
    """Normalise by the mean and deviation of the surroundings: text shows on any ground, without a window.

    Args:
        plane: (rows, columns), finite.
        unit: a difference that may be noise.
        hidden: (rows, columns), blanked areas. They do not affect their surroundings, and show noise like
            that around: beside even grey, noise left between blanked boxes looks like letters. Anything but
            black in them still shows.

    Returns:
        uint8 (rows, columns); pixels like their surroundings are GROUND.
    """
    import cv2

    size = (RENDITIONS.window, RENDITIONS.window)
    centred = (plane - np.median(plane[::4, ::4])).astype(np.float32)
    if hidden is None or not hidden.any():
        mean = cv2.boxFilter(centred, -1, size)
        square = cv2.sqrBoxFilter(centred, -1, size)
    else:
        seen = (~hidden).astype(np.float32)
        share = np.maximum(cv2.boxFilter(seen, -1, size), 1e-6)
        mean = cv2.boxFilter(centred * seen, -1, size) / share
        square = cv2.sqrBoxFilter(centred * seen, -1, size) / share
        mean[hidden] = np.median(centred[hidden])
    # In place: of a radiograph each step is a plane of 20 MB.
    np.subtract(square, mean * mean, out=square)
    deviation = np.sqrt(np.maximum(square, 0, out=square), out=square)
    deviation += unit
    contrast = np.divide(np.subtract(centred, mean, out=centred), deviation, out=deviation)
    contrast *= RENDITIONS.gain
    if hidden is not None and hidden.any():
        contrast += _noise_like(contrast, hidden)
    contrast += GROUND
    picture: Picture = np.clip(contrast, 0, 255, out=contrast).astype(np.uint8)
    return picture


def _noise_like(contrast: NDArray[np.floating[Any]], hidden: Mask) -> NDArray[np.float32]:
    """Return noise for blanked areas, as strong as around them, and none elsewhere.

    Letters nearby cannot make it stronger than one deviation.
    """
    import cv2

    size = (RENDITIONS.fill, RENDITIONS.fill)
    seen = (~hidden).astype(np.float32)
    share = cv2.boxFilter(seen, -1, size)
    strength = np.minimum(np.abs(contrast), RENDITIONS.gain).astype(np.float32) * seen
    # Of normal noise the mean of the absolute is 0.8 deviations.
    deviation = cv2.boxFilter(strength, -1, size) / np.maximum(share, 1e-6) / 0.8
    deviation[(share < 1e-6) | ~hidden] = 0
    rows, columns = contrast.shape
    times = -(-rows // _GRAIN), -(-columns // _GRAIN)
    noise: NDArray[np.float32] = deviation * np.tile(_grain(), times)[:rows, :columns]
    return noise


@cache
def _grain() -> NDArray[np.float32]:
    """Return noise of deviation 1, nearly normal, the same in every process and version of numpy."""
    drawn = np.frombuffer(shake_256(b"grain").digest(4 * _GRAIN**2), np.uint8).reshape(4, _GRAIN, _GRAIN)
    total = drawn.sum(axis=0, dtype=np.float32) - np.float32(4 * 127.5)
    noise: NDArray[np.float32] = total / np.float32(np.sqrt(4 * (256**2 - 1) / 12))
    return noise


def noise_unit(values: Values, bits_stored: int) -> float:
    """Return a difference that may be noise: a step of 8 bits, up to four with more bits.

    Where values are floating point or use more than 16 bits: 1/65535 of their spread.
    """
    spread = 0.0
    if values.dtype.itemsize > 2:
        finite = values[np.isfinite(values)].astype(np.float64)
        spread = float(np.ptp(finite)) / 65535 if finite.size else 0.0
    step = 0.0 if np.issubdtype(values.dtype, np.floating) else min(4.0, 2.0**bits_stored / 256)
    return max(step, spread) or 1.0


def pictures(
    values: Values,
    photometric: str,
    bits_stored: int,
    dataset: Dataset,
    unit: float | None = None,
    hidden: Mask | None = None,
    shown: Mask | None = None,
) -> list[Picture]:
    """Return grey renditions of one frame; text shows in at least one.

    Args:
        values: stored values, (rows, columns) or (rows, columns, 3).
        photometric: of the values.
        bits_stored: gives the range of colours.
        dataset: has the palette.
        unit: from `noise_unit`, of the frame before anything was hidden in it; by default that of the values.
        hidden: blanked areas, None for none.
        shown: areas to render, None for all; the rest is GROUND.
    """
    table = _palette(dataset, bits_stored) if photometric == "PALETTE COLOR" else None
    if table is not None or values.ndim == 3:
        rgb = _rgb(values, photometric, bits_stored) if table is None else table[_indices(values, len(table))]
        return [_only(picture, shown) for picture in _colour_pictures(rgb, hidden)]
    unit = unit or noise_unit(values, bits_stored)
    if shown is None:
        return [local_contrast(_grey(values, photometric), unit, hidden)]
    picture = np.full(values.shape, GROUND, np.uint8)
    for box in covered(shown, max(values.shape), lambda length: length + 2 * _SEEN):
        around = box.grown(_SEEN, *values.shape)
        part = local_contrast(
            _grey(values[around.pixels], photometric), unit, None if hidden is None else hidden[around.pixels]
        )
        top, left = box.y - around.y, box.x - around.x
        picture[box.pixels] = part[top : top + box.height, left : left + box.width]
    return [_only(picture, shown)]


def _grey(values: Values, photometric: str) -> Plane:
    """Return grey values as finite floating-point numbers, bright for white."""
    plane: Plane = values.astype(np.float64 if values.dtype.itemsize > 2 else np.float32)
    plane = _finite(plane, values)
    return -plane if photometric == "MONOCHROME1" else plane


def _finite(plane: Plane, values: Values) -> Plane:
    """Return a plane of values with 0 for what is no number; integers are all numbers."""
    if np.issubdtype(values.dtype, np.floating):
        return np.nan_to_num(plane, nan=0.0, posinf=0.0, neginf=0.0)
    return plane


def _only(picture: Picture, shown: Mask | None) -> Picture:
    """Return a picture with GROUND outside the areas to be shown."""
    return picture if shown is None else np.where(shown, picture, np.uint8(GROUND))


def planes(values: Values, photometric: str, bits_stored: int, dataset: Dataset) -> list[Plane]:
    """Return grey planes of one frame, finite, with their brightness; for colour, combined channels.

    Args:
        values: stored values, (rows, columns) or (rows, columns, 3).
        photometric: of the values.
        bits_stored: gives the range of colours.
        dataset: has the palette.
    """
    table = _palette(dataset, bits_stored) if photometric == "PALETTE COLOR" else None
    if table is not None:
        return _colour_planes(table[_indices(values, len(table))])
    if values.ndim == 3:
        return _colour_planes(_rgb(values, photometric, bits_stored))
    return [_finite(values.astype(np.float32), values)]


def black(
    cells: Values, values: Values, photometric: str, bits_stored: int, shift: int, dataset: Dataset
) -> Any:
    """Return the cell, or three cells, for black.

    MONOCHROME2 takes the darkest pixel of the frame that is not padding, MONOCHROME1 the brightest:
    0 would be grey in signed CT, and padding would be transparent (PS3.3 C.7.5.1.1.2).
    """
    if values.ndim == 3:
        middle = 1 << (bits_stored - 1)
        colours = {
            "YBR_FULL": (0, middle, middle),
            "YBR_FULL_422": (0, middle, middle),
            "YBR_PARTIAL_422": (16 << max(bits_stored - 8, 0), middle, middle),
        }
        return np.array(colours.get(photometric, (0, 0, 0)), np.int64).astype(cells.dtype) << shift
    if photometric == "PALETTE COLOR":
        table = _palette(dataset, bits_stored)
        if table is not None:
            return cells.dtype.type(int(np.argmin(table @ _LUMA)) << shift)
    usable = not_padding(values, dataset)
    if photometric == "MONOCHROME1":
        return cells.flat[np.argmax(np.where(usable, values, values[usable].min()))]
    return cells.flat[np.argmin(np.where(usable, values, values[usable].max()))]


def not_padding(values: Values, dataset: Dataset) -> Mask:
    """Return a mask: values that are numbers and not padding (PS3.3 C.7.5.1.1.2), or else all."""
    usable = np.isfinite(values)
    padding = dataset.get("PixelPaddingValue", dataset.get("FloatPixelPaddingValue"))
    if padding is not None:
        limit = dataset.get("PixelPaddingRangeLimit", dataset.get("FloatPixelPaddingRangeLimit", padding))
        low, high = sorted((float(padding), float(limit)))
        beside = usable & ~((values >= low) & (values <= high))
        usable = beside if beside.any() else usable
    return usable if usable.any() else np.ones(values.shape, dtype=bool)


def _indices(values: Values, size: int) -> NDArray[np.intp]:
    return values.astype(np.intp) & (size - 1)


def _palette(dataset: Dataset, bits_stored: int) -> NDArray[np.float32] | None:
    """Return the colour, 0 to 1, of every stored value; None without a usable palette."""
    from pydicom.pixels.processing import apply_color_lut

    if bits_stored > 16:
        return None
    every = np.arange(1 << bits_stored, dtype=np.uint16)[None]
    try:
        colours = apply_color_lut(every, dataset)[0, :, :3]
    except MALFORMED:
        return None
    table: NDArray[np.float32] = colours.astype(np.float32) / np.float32(max(int(colours.max()), 1))
    return table


def _rgb(values: Values, photometric: str, bits_stored: int) -> NDArray[np.float32]:
    """Return red, green and blue, 0 to 1 (PS3.3 C.7.6.3.1.2)."""
    scaled: NDArray[np.float32] = values.astype(np.float32) / np.float32((1 << bits_stored) - 1)
    if not photometric.startswith("YBR"):
        return scaled
    light, blue, red = scaled[..., 0], scaled[..., 1] - 0.5, scaled[..., 2] - 0.5
    rgb: NDArray[np.float32] = np.stack(
        [light + 1.402 * red, light - 0.344136 * blue - 0.714136 * red, light + 1.772 * blue], axis=-1
    )
    return rgb.clip(0, 1)


def _colour_planes(rgb: NDArray[np.float32]) -> list[Plane]:
    """Return the brightest channel, 0 to 255; and luma if there is colour."""
    brightest, coloured = _brightest(rgb)
    planes = [brightest, rgb @ _LUMA] if coloured > RENDITIONS.coloured else [brightest]
    return [plane * 255 for plane in planes]


def _brightest(rgb: NDArray[np.float32]) -> tuple[Plane, float]:
    """Return the brightest channel, and which share of the pixels is coloured."""
    red, green, blue = (rgb[..., channel] for channel in range(3))  # numpy is slow along the last axis
    brightest = np.maximum(np.maximum(red, green), blue)
    coloured = brightest - np.minimum(np.minimum(red, green), blue) > RENDITIONS.colourful
    return brightest, float(coloured.mean())


def _colour_pictures(rgb: NDArray[np.float32], hidden: Mask | None) -> list[Picture]:
    """Render the brightest channel; luma if there is colour; shadows and hues if there is much of it.

    Hues show text as bright as its ground by its colour. Spread shadows show black letters on dark colours.
    """
    planes = _colour_planes(rgb)
    pictures = [local_contrast(plane, hidden=hidden) for plane in planes]
    brightest, coloured = _brightest(rgb)
    if len(pictures) > 1 and coloured > RENDITIONS.tinted:
        # Rounded, so that renditions are equal on machines whose arithmetic differs in the last bit.
        shadows = np.round(np.cbrt(brightest) * (255 * 16)) / 16
        pictures.append(local_contrast(shadows, hidden=hidden))
        seen = rgb if hidden is None else rgb[~hidden]
        pictures += [
            local_contrast(rgb @ axis * 255, RENDITIONS.hue, hidden) for axis in _hues(seen.reshape(-1, 3))
        ]
    return pictures


def _hues(colours: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Return the two axes along which colours vary least, (3,) each: rare colours stand out in them.

    They are rounded, so that renditions are equal on machines whose arithmetic differs in the last bit.
    """
    some = colours[:: max(len(colours) // RENDITIONS.sampled, 1)].astype(np.float64)
    centred = some - some.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    rounded = np.round(axes[:, :2].T * 16) / 16
    return [np.asarray(axis * np.sign(axis[np.argmax(np.abs(axis))]), np.float32) for axis in rounded]
