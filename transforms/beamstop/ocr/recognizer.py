"""The recognisers: each reads one line of text, and returns its confidence.

PP-OCR's reads Latin letters with and without diacritics, Chinese and Japanese; EasyOCR's english_g2 reads
English.
"""

from math import ceil
from pathlib import Path
from typing import NamedTuple, Protocol
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from beamstop.errors import DeidError
from beamstop.ocr.networks import letters_of, load
from beamstop.ocr.thresholds import THRESHOLDS, Thresholds
from beamstop.ocr.tiles import sized
from beamstop.ocr.weights import ENGLISH, PP_OCR, find, weights_of
from beamstop.pixels.renditions import Picture

Reading = tuple[str | None, float | None]

_PPOCR_LANGUAGES = (
    "af az bs ca ch_sim ch_tra cs cy da de en es et eu fi fr ga gl hr hu id is it ja ku la lb lt lv mi ms mt "
    "nl no oc pl pt ro rs_latin sk sl sq sv sw tl tr uz"
)
PPOCR_LANGUAGES = frozenset(_PPOCR_LANGUAGES.split())
"""EasyOCR's codes, and ISO 639's where it has none, of what PP-OCR's recogniser has all letters of."""

# The letters for english_g2's outputs; the first output means none (easyocr.config, gen2).
_ENGLISH_LETTERS = (
    "0123456789!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ €ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)


class Recognizer(Protocol):
    """Reads crops of a grey picture."""

    def __call__(self, crop: Picture) -> Reading:
        """Return the text and how sure it is, 0 to 1; None where there is too little to be read.

        In areas without text, hardly anything but single letters is read with more than 0.3.
        """


class Readable(NamedTuple):
    """What can be read on this machine.

    Attributes:
        file: of the recogniser, see `weights.find`; None if no requested language can be read.
        unread: requested languages that cannot be read.
    """

    file: Path | None
    unread: tuple[str, ...]


def readable(
    languages: tuple[str, ...], recognizer: str = "ppocr", given: str | Path | None = None
) -> Readable:
    """Return the recogniser for some languages, and the languages that it does not read.

    Args:
        languages: EasyOCR's codes.
        recognizer: `ppocr`, or `easyocr`, whose english_g2 is also used if PP-OCR's is not installed.
        given: folder of weights, see `weights.find`.

    Raises:
        DeidError: no such recogniser.
    """
    if recognizer not in ("ppocr", "easyocr"):
        raise DeidError(f"no recognizer {recognizer!r}: ppocr or easyocr")
    ppocr = find(PP_OCR, given) if recognizer == "ppocr" else None
    file = ppocr or find(ENGLISH, given)
    read = PPOCR_LANGUAGES if ppocr else frozenset({"en"} if file else ())
    unread = tuple(language for language in languages if language not in read)
    return Readable(file if len(unread) < len(languages) else None, unread)


def load_recognizer(file: Path, thresholds: Thresholds = THRESHOLDS) -> Recognizer:
    """Return the recogniser of a file from `weights.find`.

    Raises:
        DeidError: the file is not the published one.
    """
    kind = PpOcrRecognizer if weights_of(file) == PP_OCR else EasyOcrRecognizer
    return kind(file, thresholds)


class PpOcrRecognizer:
    """PP-OCR's recogniser, with PaddleOCR's processing before and after it."""

    def __init__(self, file: Path, thresholds: Thresholds = THRESHOLDS) -> None:
        self._thresholds = thresholds
        self._network = load(file)
        self._letters = ["", *letters_of(file), " "]

    def __call__(self, crop: Picture) -> Reading:
        """Return the text and how sure it is, 0 to 1; None where there is too little to be read.

        A crop that is higher than wide is also read turned by 90° either way; the most confident reading
        counts.
        """
        rows, columns = crop.shape
        if min(rows, columns) < self._thresholds.least:
            return None, None
        readings = [self._read(crop)]
        if rows > columns and readings[0][1] < self._thresholds.upright:
            readings += [self._read(np.rot90(crop, turns)) for turns in (1, 3)]
        return max(readings, key=lambda reading: reading[1])

    def _read(self, crop: Picture) -> tuple[str, float]:
        odds = self._network.run(self._batch(crop))[0]
        best, sure = odds.argmax(axis=1), odds.max(axis=1).astype(np.float64)
        fresh = np.insert(best[1:] != best[:-1], 0, True) & (best > 0)
        text = "".join(self._letters[number] for number in best[fresh])
        # Confidence in spaces is left out: it is often a toss-up, and unrelated to the letters.
        letters = fresh & (best < len(self._letters) - 1)
        # Full-width letters, and a superscript 2 as in cm², become ASCII.
        return normalize("NFKC", text).strip(), _together(sure[letters])

    def _batch(self, crop: Picture) -> NDArray[np.float32]:
        import cv2

        height = self._thresholds.height
        rows, columns = crop.shape
        size = max(round(height * columns / rows), 1), height
        line = cv2.resize(crop, size, interpolation=cv2.INTER_AREA if rows > height else cv2.INTER_LINEAR)
        wide = sized(size[0], self._thresholds)  # the last column fills up
        grey = np.pad(line.astype(np.float32) / 127.5 - 1, ((0, 0), (0, wide - size[0])), mode="edge")
        return np.broadcast_to(grey, (1, 3, height, wide)).copy()


class EasyOcrRecognizer:
    """EasyOCR's english_g2, with EasyOCR's processing before and after it."""

    def __init__(self, file: Path, thresholds: Thresholds = THRESHOLDS) -> None:
        self._thresholds = thresholds
        self._network = load(file)

    def __call__(self, crop: Picture) -> Reading:
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
        text = "".join(_ENGLISH_LETTERS[number - 1] for number in fresh if number)
        return text, _together(sure[best > 0])


def _together(sure: NDArray[np.float64]) -> float:
    """Return the confidence in a line from that in its letters; 0 if it has none."""
    return float(sure.prod() ** (2 / np.sqrt(len(sure)))) if len(sure) else 0.0


def in_a_letter(confidence: float, letters: int) -> float:
    """Return the mean confidence in each letter of a line that is read with a confidence; see `_together`."""
    return confidence ** (1 / (2 * np.sqrt(letters))) if letters else 0.0


def _line(crop: Picture, height: int) -> Picture | None:
    """Return a crop scaled to the height of a line; one higher than wide gets that as its width."""
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
    """Stretch the greys between the 10 and 90 percentiles if there is little contrast."""
    low, high = np.percentile(line, (10, 90))
    if (high - low) / max(10, high + low) >= enough:
        return line
    stretched = (line - low + 25) * (200 / max(10, high - low))
    return np.asarray(np.clip(stretched, 0, 255), np.uint8)
