"""Limits on what one instance may demand of a machine."""

from dataclasses import dataclass

from pydicom.dataset import Dataset

from beamstop.dicom.element_count import MAX_ELEMENTS
from beamstop.dicom.elements import MALFORMED
from beamstop.errors import Failed

MAX_DEPTH = 100  # items in items; real objects stay below 15
DEEPEST = 150  # largest allowed setting: the limit of Python's stack
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


@dataclass(frozen=True)
class Limits:
    """Instances beyond them are failed without further work.

    Attributes:
        bytes: of a source, and of a deflated dataset when inflated.
        frames: of an instance.
        pixels: rows times columns.
        seconds: for an instance, from reading to writing; checked in every loop.
        decoder_memory: megabytes of the process that decodes compressed frames.
        elements: of an instance, items among them, at all depths together.
        depth: items in items, `DEEPEST` at most.
    """

    bytes: int = 4 << 30
    frames: int = 1_000_000
    pixels: int = 1 << 28
    seconds: float = 1800.0
    decoder_memory: int = 4096
    elements: int = MAX_ELEMENTS
    depth: int = MAX_DEPTH


DEFAULT_LIMITS = Limits()


def check_limits(dataset: Dataset, limits: Limits) -> None:
    """Check what the header claims of the pixels, before anything of that size is allocated.

    Unreadable numbers are left to decoding, which refuses them.

    Raises:
        Failed: `too_large`, naming the attributes.
    """
    if not any(keyword in dataset for keyword in _PIXELS):
        return
    if _number(dataset, "NumberOfFrames") > limits.frames:
        raise Failed("too_large", "NumberOfFrames")
    if _number(dataset, "Rows") * _number(dataset, "Columns") > limits.pixels:
        raise Failed("too_large", "Rows, Columns")


def _number(dataset: Dataset, keyword: str) -> int:
    try:
        return int(dataset.get(keyword) or 0)
    except MALFORMED:
        return 0
