"""Reads one line of text: EasyOCR's english_g2 with what EasyOCR does before and after it."""

from math import ceil
from pathlib import Path

import numpy as np

from beamstop.ocr.networks import load
from beamstop.ocr.thresholds import THRESHOLDS, Thresholds
from beamstop.ocr.weights import ENGLISH
from beamstop.pixels.renditions import Picture

# What the network's outputs stand for, the first for nothing (easyocr.config, gen2).
_LETTERS = {
    ENGLISH: "0123456789!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ €"
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
}


class Recognizer:
    """Reads crops of a grey picture."""

    def __init__(self, weights: Path, thresholds: Thresholds = THRESHOLDS) -> None:
        self._thresholds = thresholds
        self._network = load(weights)
        self._letters = _LETTERS[weights.name]

    def __call__(self, crop: Picture) -> tuple[str | None, float | None]:
        """Return the text and how sure it is, 0 to 1; None where there is too little to be read."""
        line = _line(crop, self._thresholds.line)
        if line is None:
            return None, None
        text, sure = self._read(line)
        if sure < self._thresholds.unsure:
            again, surer = self._read(_contrasted(line, self._thresholds.contrast))
            if surer >= sure:
                text, sure = again, surer
        return text, sure

    def _read(self, line: Picture) -> tuple[str, float]:
        batch = (line.astype(np.float32) / 255 - 0.5) / 0.5
        height = self._thresholds.line
        width = ceil(line.shape[1] / height) * height  # the last column fills up
        batch = np.pad(batch, ((0, 0), (0, width - line.shape[1])), mode="edge")
        scores = self._network.run(np.ascontiguousarray(batch[None, None]))[0].astype(np.float64)
        odds = np.exp(scores - scores.max(axis=1, keepdims=True))
        odds /= odds.sum(axis=1, keepdims=True)
        best, sure = odds.argmax(axis=1), odds.max(axis=1)
        fresh = best[np.insert(best[1:] != best[:-1], 0, True)]
        text = "".join(self._letters[number - 1] for number in fresh if number)
        written = sure[best > 0]
        return text, float(written.prod() ** (2 / np.sqrt(len(written)))) if len(written) else 0.0


def _line(crop: Picture, height: int) -> Picture | None:
    """Return a crop in the height of a line; what is higher than wide is as wide as a line is high."""
    import cv2

    rows, columns = crop.shape
    if not rows or not columns:
        return None
    wide = columns >= rows
    size = (int(height * columns / rows), height) if wide else (height, int(height * rows / columns))
    scaled = cv2.resize(crop, size, interpolation=cv2.INTER_LINEAR)
    if not wide:
        size = (ceil(height * size[0] / size[1]), height)
        scaled = cv2.resize(scaled, size, interpolation=cv2.INTER_AREA)
    return np.asarray(scaled, np.uint8)


def _contrasted(line: Picture, enough: float) -> Picture:
    """Stretch what lies between the tenths of dark and bright, where there is little contrast."""
    low, high = np.percentile(line, (10, 90))
    if (high - low) / max(10, high + low) >= enough:
        return line
    stretched = (line - low + 25) * (200 / max(10, high - low))
    return np.asarray(np.clip(stretched, 0, 255), np.uint8)
