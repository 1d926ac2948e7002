"""The layout of pixel data: the Image Pixel Module of an instance, checked (PS3.3 C.7.6.3)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from pydicom.datadict import keyword_dict
from pydicom.dataset import Dataset

from beamstop.dicom.elements import MALFORMED, text_of
from beamstop.dicom.views import view_of
from beamstop.errors import PixelError

# A frame larger than this is refused before anything of its size is allocated.
MAX_FRAME_BYTES = 1 << 30
_PHOTOMETRIC_INTERPRETATION = 0x00280004


PIXEL_TAGS = {
    "PixelData": "(7FE0,0010)",
    "FloatPixelData": "(7FE0,0008)",
    "DoubleFloatPixelData": "(7FE0,0009)",
}


_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422", "YBR_PARTIAL_420", "YBR_RCT", "YBR_ICT")


@dataclass(frozen=True)
class Layout:
    """The Image Pixel Module of an instance, checked (PS3.3 C.7.6.3)."""

    keyword: str
    rows: int
    columns: int
    frames: int
    samples: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    photometric: str
    planar: bool
    compressed: bool = False

    @classmethod
    def of(cls, dataset: Dataset, compressed: bool = False) -> "Layout":
        """Read and check it.

        Args:
            dataset: one instance.
            compressed: the codestreams, not the header, tell how components and subsampled chrominance are
                arranged.

        Raises:
            PixelError: `pixels_undecodable`, naming the attribute.
        """
        keyword = next(name for name in PIXEL_TAGS if name in dataset)
        bits = {"FloatPixelData": 32, "DoubleFloatPixelData": 64}.get(keyword)
        allocated = bits or number_of(dataset, "BitsAllocated")
        stored = bits or number_of(dataset, "BitsStored")
        samples = number_of(dataset, "SamplesPerPixel")
        layout = cls(
            keyword=keyword,
            rows=number_of(dataset, "Rows"),
            columns=number_of(dataset, "Columns"),
            frames=number_of_frames(dataset),
            samples=samples,
            bits_allocated=allocated,
            bits_stored=stored,
            high_bit=stored - 1 if bits else number_of(dataset, "HighBit", stored - 1),
            signed=not bits and number_of(dataset, "PixelRepresentation", 0) == 1,
            photometric=text_of(dataset, _PHOTOMETRIC_INTERPRETATION),
            planar=samples > 1 and number_of(dataset, "PlanarConfiguration", 0) == 1,
            compressed=compressed,
        )
        layout._check()
        return layout

    def _check(self) -> None:
        colour = self.photometric in _COLOUR
        checks = {
            "Rows": self.rows > 0,
            "Columns": self.columns > 0,
            "NumberOfFrames": self.frames > 0,
            "SamplesPerPixel": self.samples == (3 if colour else 1),
            "BitsAllocated": self.bits_allocated in (1, 8, 16, 32, 64),
            "BitsStored": 0 < self.bits_stored <= self.bits_allocated,
            "HighBit": self.bits_stored - 1 <= self.high_bit < self.bits_allocated,
            "PhotometricInterpretation": colour
            or self.photometric in ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"),
            "Columns of YBR_FULL_422": not self.halved or self.compressed or self.columns % 2 == 0,
        }
        for keyword, holds in checks.items():
            if not holds:
                raise PixelError("pixels_undecodable", keyword)
        if self.cells * self.itemsize > MAX_FRAME_BYTES:
            raise PixelError("pixels_undecodable", "Rows, Columns")

    @property
    def floating(self) -> bool:
        """Whether samples are floating point numbers."""
        return self.keyword != "PixelData"

    @property
    def halved(self) -> bool:
        """Whether chrominance is sampled for every second column only (PS3.3 C.7.6.3.1.2)."""
        return self.photometric in ("YBR_FULL_422", "YBR_PARTIAL_422")

    @property
    def shift(self) -> int:
        """How many bits the stored value is above the low end of its cell."""
        return self.high_bit + 1 - self.bits_stored

    @property
    def cells(self) -> int:
        """Samples per decoded frame."""
        return self.rows * self.columns * self.samples

    @property
    def cells_stored(self) -> int:
        """Samples per frame as it is stored uncompressed."""
        return self.cells * 2 // 3 if self.halved else self.cells

    @property
    def native_bytes(self) -> int:
        """Bytes of all frames uncompressed, without padding to an even length."""
        return (self.bits_allocated * self.cells_stored * self.frames + 7) // 8

    @property
    def itemsize(self) -> int:
        """Bytes per decoded sample."""
        return max(self.bits_allocated // 8, 1)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of a decoded frame, in the byte order of the machine."""
        kind = "f" if self.floating else "i" if self.signed else "u"
        return np.dtype(f"{kind}{self.itemsize}")


def number_of_frames(dataset: Dataset) -> int:
    """Return the declared number of frames; 1 if it is missing or not a number."""
    try:
        return number_of(dataset, "NumberOfFrames", 1) or 1
    except PixelError:
        return 1


def number_of(dataset: Dataset, keyword: str, default: int | None = None) -> int:
    """Return the number in an attribute; a raw element stays raw, and is written as it was read.

    Raises:
        PixelError: `pixels_undecodable`, with the keyword: there is neither a number nor a default.
    """
    try:
        element: Any = dataset._dict.get(keyword_dict[keyword])  # type: ignore[call-overload]
        if element is not None and element.is_raw and element.VR == "US" and len(element.value or b"") == 2:
            return int.from_bytes(element.value, "little" if element.is_little_endian else "big")
        value: Any = view_of(dataset).get(keyword) if element is not None else None
        return int(default if value is None and default is not None else value)
    except MALFORMED:
        raise PixelError("pixels_undecodable", keyword) from None
