"""Sharpness: finds steps of grey that the noise around does not explain, as letters have them."""

import numpy as np

from beamstop.ocr.thresholds import Thresholds
from beamstop.pixels.box import Box
from beamstop.pixels.renditions import Mask, Picture, local_contrast


def stands_out(picture: Picture, box: Box, times: float, thresholds: Thresholds) -> bool:
    """Return whether the sharpest steps in a box are `times` the median step around it.

    Args:
        picture: uint8 (rows, columns).
        box: inside the picture.
        times: noise explains up to 2.6.
        thresholds: decide how far around, and which percentile counts as sharpest.
    """
    inside = _steps(picture[box.pixels])
    around = _steps(picture[box.grown(thresholds.around, *picture.shape).pixels])
    if not inside.size:
        return True
    return bool(np.percentile(inside, thresholds.percentile) >= times * max(np.median(around), 1))


def sharp(picture: Picture, thresholds: Thresholds) -> Mask:
    """Return a mask of areas with many steps that the noise around cannot explain, bool (rows, columns).

    Burned-in letters change their grey within two pixels; a detector's image is blurred by its optics.
    """
    import cv2

    block, crowd = thresholds.block, thresholds.crowd
    steps = np.zeros(picture.shape, np.uint8)
    steps[1:-1, 1:-1] = _steps(picture)
    rows, columns = picture.shape
    padded = np.pad(steps, ((0, -rows % block), (0, -columns % block)), mode="edge")
    down, across = padded.shape[0] // block, padded.shape[1] // block
    blocks = padded.reshape(down, block, across, block).transpose(0, 2, 1, 3).reshape(down, across, -1)
    usual = np.percentile(blocks[..., ::3], thresholds.usual, axis=-1, method="lower").astype(np.float32)
    most = np.clip(usual * thresholds.beyond, thresholds.floor, 255)
    limit = cv2.resize(most, padded.shape[::-1])[:rows, :columns]
    is_step = (steps >= limit).astype(np.uint8)
    count = cv2.boxFilter(is_step, cv2.CV_16U, (crowd, crowd), normalize=False)
    crowded = count > thresholds.share * crowd**2
    return cv2.dilate(crowded.astype(np.uint8), np.ones((2 * crowd + 1,) * 2, np.uint8)).astype(bool)


def sharpened(picture: Picture, thresholds: Thresholds) -> Picture:
    """Return a sharpened picture, in which blurred letters are separate."""
    import cv2

    grey = picture.astype(np.float32)
    more = grey + thresholds.unblur * (grey - cv2.GaussianBlur(grey, (0, 0), thresholds.unblurred))
    return np.asarray(np.clip(more, 0, 255), np.uint8)


def banded(picture: Picture, band: tuple[float, float]) -> Picture:
    """Return a picture in which blurred letters stand out, without noise and the slopes of anatomy."""
    import cv2

    grey = picture.astype(np.float32)
    finest, coarsest = band
    return local_contrast(cv2.GaussianBlur(grey, (0, 0), finest) - cv2.GaussianBlur(grey, (0, 0), coarsest))


def _steps(picture: Picture) -> Picture:
    """Return the larger of the grey steps down and across, over two pixels because text is smoothed."""
    import cv2

    if min(picture.shape) < 3:  # OpenCV refuses empty pictures
        return np.zeros([max(side - 2, 0) for side in picture.shape], np.uint8)
    across = cv2.absdiff(picture[2:, 2:], picture[2:, :-2])
    return np.asarray(cv2.max(across, cv2.absdiff(picture[2:, 2:], picture[:-2, 2:])), np.uint8)
