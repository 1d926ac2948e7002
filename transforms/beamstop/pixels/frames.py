"""The frames of an instance: decoded one by one, put back, all others left as they are."""

import re
import struct
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from io import BytesIO
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, RLELossless

from beamstop.dicom.files import transfer_syntax_of
from beamstop.errors import PixelError
from beamstop.pixels.codestreams import end_of, is_lossy, jpeg_size
from beamstop.pixels.decoder import decode_frame
from beamstop.pixels.decoder_process import BROKEN, JPEG_LOSSY, Stated
from beamstop.pixels.encapsulation import Offsets, Split, join, split
from beamstop.pixels.encoders import encode_frame
from beamstop.pixels.jpeg_blocks import Box, UnsupportedError, blank, model
from beamstop.pixels.pixel_value_range import StatedRange
from beamstop.pixels.renditions import Mask, Picture, black, noise_unit, pictures

Cells = NDArray[Any]

# A frame larger than this is refused before anything of its size is allocated.
MAX_FRAME_BYTES = 1 << 30
MAX_NATIVE_BYTES = (1 << 32) - 2  # what the length of PixelData can say (PS3.5 7.1)

# MPEG2, MPEG-4 AVC and HEVC (PS3.5 8.2.5 to 8.2.9)
_VIDEO = re.compile(r"1\.2\.840\.10008\.1\.2\.4\.10[0-8](\.1)?")
_STANDARD = re.compile(r"1\.2\.840\.10008\.[0-9.]+")
_METHODS = {  # PS3.3 C.7.6.1.1.5.1; what is not here is JPEG
    **dict.fromkeys(("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"), "ISO_14495_1"),
    **dict.fromkeys(("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"), "ISO_15444_1"),
    **dict.fromkeys((f"1.2.840.10008.1.2.4.{number}" for number in (201, 202, 203)), "ISO_15444_15"),
}
_CHROMA_REACH = 4  # pixels that smooth enlargement of subsampled chrominance reaches
_QUANTISED = 16  # of 256: how far the coarsest quantisation of DC can miss a level
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

    @classmethod
    def of(cls, dataset: Dataset) -> "Layout":
        """Read and check it.

        Raises:
            PixelError: `pixels_undecodable`, naming the attribute.
        """
        keyword = next(name for name in PIXEL_TAGS if name in dataset)
        bits = {"FloatPixelData": 32, "DoubleFloatPixelData": 64}.get(keyword)
        allocated = bits or _number(dataset, "BitsAllocated")
        stored = bits or _number(dataset, "BitsStored")
        samples = _number(dataset, "SamplesPerPixel")
        layout = cls(
            keyword=keyword,
            rows=_number(dataset, "Rows"),
            columns=_number(dataset, "Columns"),
            frames=_number(dataset, "NumberOfFrames", 1) or 1,
            samples=samples,
            bits_allocated=allocated,
            bits_stored=stored,
            high_bit=stored - 1 if bits else _number(dataset, "HighBit", stored - 1),
            signed=not bits and _number(dataset, "PixelRepresentation", 0) == 1,
            photometric=str(dataset.get("PhotometricInterpretation") or ""),
            planar=samples > 1 and _number(dataset, "PlanarConfiguration", 0) == 1,
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
            "Columns of YBR_FULL_422": not self.halved or self.columns % 2 == 0,
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
        """How far the stored value lies from the low end of its cell."""
        return self.high_bit + 1 - self.bits_stored

    @property
    def cells(self) -> int:
        """Samples per decoded frame."""
        return self.rows * self.columns * self.samples

    @property
    def itemsize(self) -> int:
        """Bytes per decoded sample."""
        return max(self.bits_allocated // 8, 1)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of a decoded frame, in the byte order of the machine."""
        kind = "f" if self.floating else "i" if self.signed else "u"
        return np.dtype(f"{kind}{self.itemsize}")


@dataclass
class Frame:
    """One decoded frame.

    Attributes:
        cells: (rows, columns) or (rows, columns, 3); of the layout's dtype, with the bits that are
            not part of the stored value still in them.
        layout: of the instance.
        photometric: of the cells, which decoding may have changed (YBR_RCT gives RGB).
        dataset: of the instance, for padding value and palette.
        unit: rows and columns that can only be filled together, counted from the upper left corner.
        boxes: x, y, width, height of what was blackened.
        cleared: unused bits were cleared.
    """

    cells: Cells
    layout: Layout
    photometric: str
    dataset: Dataset
    unit: tuple[int, int] = (1, 1)
    boxes: list[Box] = field(default_factory=list)
    cleared: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.layout.rows, self.layout.columns

    def values(self) -> Cells:
        """Return the stored values, without what else is in their cells."""
        layout = self.layout
        if layout.floating or layout.bits_stored == layout.itemsize * 8:
            return self.cells
        above = layout.itemsize * 8 - 1 - layout.high_bit
        return (self.cells << above) >> (above + layout.shift)  # arithmetic shift where signed

    def pictures(self, hidden: Mask | None = None) -> list[Picture]:
        """Return grey renditions in which text shows, whatever its brightness and ground."""
        stored = self.layout.bits_stored
        return pictures(self.values(), self.photometric, stored, self.dataset, self._unit, hidden)

    def blacken(self, x: int, y: int, width: int, height: int) -> Box:
        """Fill a box with what is black in this photometric interpretation; return it as it was filled."""
        high, wide = self.unit
        rows, columns = self.shape
        left, top = x - x % wide, y - y % high
        right, bottom = (
            min(-(-(x + width) // wide) * wide, columns),
            min(-(-(y + height) // high) * high, rows),
        )
        self.cells[top:bottom, left:right] = self.black
        box = left, top, right - left, bottom - top
        self.boxes.append(box)
        return box

    @cached_property
    def _unit(self) -> float:
        return noise_unit(self.values(), self.layout.bits_stored)

    @cached_property
    def black(self) -> Any:
        """The cell, or three, that boxes are filled with."""
        return black(
            self.cells,
            self.values(),
            self.photometric,
            self.layout.bits_stored,
            self.layout.shift,
            self.dataset,
        )

    def clear_unused_bits(self) -> bool:
        """Clear what lies outside the stored values; return whether there was anything.

        Signed values may be sign-extended or not, but all in the same way.
        """
        layout = self.layout
        if layout.floating or layout.bits_stored == layout.itemsize * 8:
            return False
        values = self.values()
        mask = values.dtype.type((1 << layout.bits_stored) - 1)
        alone = (values & mask) << layout.shift
        extended = values if layout.signed and layout.shift == 0 else alone
        if np.array_equal(self.cells, alone) or np.array_equal(self.cells, extended):
            return False
        self.cells, self.cleared = extended, True
        return True


class Frames(ABC):
    """The frames of one instance.

    Attributes:
        keyword, tag, vr: of the pixel data element.
        range: of the pixel values that the dataset states; wants to see each distinct frame.
        changed: something was put or cut, so that `write` has something to do.
    """

    def __init__(self, dataset: Dataset, layout: Layout) -> None:
        self._dataset = dataset
        self._layout = layout
        self.range = StatedRange(dataset, layout.samples == 1 and not layout.floating)
        element = dataset[layout.keyword]
        self.keyword = layout.keyword
        self.tag = PIXEL_TAGS[layout.keyword]
        self.vr = element.VR if element.VR in ("OB", "OW", "OF", "OD") else "OW"
        self.changed = False

    def __len__(self) -> int:
        return self._layout.frames

    @abstractmethod
    def stored(self, index: int) -> bytes | memoryview:
        """Return the frame as it is stored; equal bytes mean equal frames."""

    @abstractmethod
    def decode(self, index: int) -> Frame:
        """Decode one frame.

        Raises:
            PixelError: `pixels_undecodable`.
        """

    @abstractmethod
    def put(self, index: int, frame: Frame) -> None:
        """Store what `decode` gave, changed."""

    @abstractmethod
    def repeat(self, first: int, index: int) -> None:
        """Store at `index` what was put at `first`, if anything was."""

    @abstractmethod
    def _write(self) -> None: ...

    def write(self) -> None:
        """Write what was put into the dataset, and keep what it says of its pixels true."""
        if self.changed:
            self._write()
            self.range.keep_true(self._layout.signed)


class _NativeFrames(Frames):
    """Frames that are not compressed: only the bytes of what is put change."""

    def __init__(self, dataset: Dataset, layout: Layout, syntax: UID) -> None:
        super().__init__(dataset, layout)
        if layout.photometric == "YBR_PARTIAL_420":
            raise PixelError("pixels_undecodable", "PhotometricInterpretation")
        data = dataset[layout.keyword].value or b""
        self._order: Literal["<", ">"] = "<" if syntax.is_little_endian else ">"
        if self._order == ">" and self.vr == "OW" and layout.itemsize > 2:
            # PS3.5 6.2 swaps the bytes of each word, some writers those of a whole sample.
            raise PixelError("pixels_undecodable", f"{layout.keyword}: {layout.bits_allocated} bits in words")
        self._swapped = self._order == ">" and self.vr == "OW" and layout.itemsize == 1
        self._per_frame = layout.cells * 2 // 3 if layout.halved else layout.cells
        bits = layout.bits_allocated * self._per_frame * layout.frames
        expected = (bits + 7) // 8
        if len(data) < expected:
            raise PixelError("pixels_undecodable", f"{layout.keyword}: length")
        if any(memoryview(data)[expected + expected % 2 :]):  # what no reader shows may still hold text
            if layout.halved and len(data) >= expected * 3 // 2:  # not subsampled, whatever it says
                raise PixelError("pixels_undecodable", f"{layout.keyword}: length")
            data = data[:expected] + bytes(expected % 2)
            self.changed = True
        self._data = pairs_swapped(data) if self._swapped else data
        self._new: BytesIO | None = None  # what replaces the data; holds them once, and so does its value
        self._put: set[int] = set()

    def stored(self, index: int) -> bytes | memoryview:
        if self._layout.bits_allocated == 1:
            return self._bits(index).tobytes()
        size = self._per_frame * self._layout.itemsize
        return self._read(index * size, size)

    def decode(self, index: int) -> Frame:
        layout = self._layout
        if layout.bits_allocated == 1:
            return Frame(self._shaped(self._bits(index)), layout, layout.photometric, self._dataset)
        flat = np.frombuffer(self.stored(index), layout.dtype.newbyteorder(self._order)).astype(layout.dtype)
        if layout.halved:
            cells = _widened(flat.reshape(layout.rows, layout.columns // 2, 4))
        else:
            cells = self._shaped(flat)
        unit = (1, 2) if layout.halved else (1, 1)  # two columns share one chrominance
        return Frame(cells, layout, layout.photometric, self._dataset, unit)

    def put(self, index: int, frame: Frame) -> None:
        self._put.add(index)
        self.changed = True
        layout = self._layout
        if layout.bits_allocated == 1:
            self._put_bits(index, frame.cells.ravel())
            return
        if layout.halved:
            cells = _narrowed(frame.cells)
        else:
            cells = np.moveaxis(frame.cells, -1, 0) if layout.planar else frame.cells
        size = self._per_frame * layout.itemsize
        self._store(index * size, cells.astype(layout.dtype.newbyteorder(self._order)).tobytes())

    def repeat(self, first: int, index: int) -> None:
        if first not in self._put:
            return
        if self._layout.bits_allocated == 1:
            self._put_bits(index, self._bits(first))
        else:
            size = self._per_frame * self._layout.itemsize
            self._store(index * size, self._read(first * size, size))
        self._put.add(index)

    def _store(self, at: int, data: bytes | memoryview) -> None:
        if self._new is None:
            self._new = BytesIO(self._data)
        self._new.seek(at)
        self._new.write(data)

    def _read(self, at: int, size: int) -> bytes | memoryview:
        """Return bytes as they are now."""
        if self._new is None:
            return memoryview(self._data)[at : at + size]
        self._new.seek(at)
        return self._new.read(size)

    def _write(self) -> None:
        data = self._new.getvalue() if self._new is not None else self._data
        self._dataset[self.keyword].value = pairs_swapped(data) if self._swapped else data

    def _shaped(self, flat: Cells) -> Cells:
        layout = self._layout
        if layout.planar:
            planes = flat.reshape(layout.samples, layout.rows, layout.columns)
            return np.ascontiguousarray(np.moveaxis(planes, 0, -1))
        if layout.samples > 1:
            return flat.reshape(layout.rows, layout.columns, layout.samples)
        return flat.reshape(layout.rows, layout.columns)

    def _bits(self, index: int) -> NDArray[np.uint8]:
        """Return one frame of single bits; frames follow each other without padding (PS3.5 8.1.1)."""
        around, inside, _ = self._around(index)
        return around[inside]

    def _put_bits(self, index: int, bits: NDArray[np.uint8]) -> None:
        around, inside, at = self._around(index)
        around[inside] = bits
        self._store(at, np.packbits(around, bitorder="little").tobytes())

    def _around(self, index: int) -> tuple[NDArray[np.uint8], slice, int]:
        """Return the bits of all bytes that a frame is in, which of them it is, and where the bytes are."""
        first, count = index * self._per_frame, self._per_frame
        at = first // 8
        packed = np.frombuffer(self._read(at, (first + count + 7) // 8 - at), np.uint8)
        return np.unpackbits(packed, bitorder="little"), slice(first % 8, first % 8 + count), at


class _EncapsulatedFrames(Frames):
    """Compressed frames: what is put is encoded again where that loses nothing.

    In sequential JPEG, lossy by nature, the blocks are blanked and all others keep their bits. Where
    neither can be had, all frames are decoded and the whole instance goes to Explicit VR Little Endian,
    which every reader can read.
    """

    def __init__(self, dataset: Dataset, layout: Layout, syntax: UID) -> None:
        super().__init__(dataset, layout)
        if layout.floating or layout.bits_allocated == 1:
            raise PixelError("pixels_undecodable", f"{layout.keyword}: {syntax}")
        self._syntax = syntax
        self._frames, self._has_table, is_exact = self._split(dataset[layout.keyword].value or b"")
        self.changed = not is_exact
        for index in range(len(self._frames)):
            self._cut(index)
        self._plain: dict[int, Cells] = {}
        self._put: set[int] = set()
        self._lossy = False  # what was put had lost something before
        self._photometric: str | None = None

    def stored(self, index: int) -> bytes:
        return b"".join(self._frames[index])

    def decode(self, index: int) -> Frame:
        frame = self._decoded(self.stored(index))
        if frame.photometric != (self._photometric or frame.photometric):
            raise self._undecodable()
        self._photometric = frame.photometric
        if self._syntax in JPEG_LOSSY:
            with suppress(UnsupportedError):  # such a frame is not blanked by blocks
                frame.unit = model(self.stored(index)).unit
        return frame

    def put(self, index: int, frame: Frame) -> None:
        self.changed = True
        self._put.add(index)
        self._lossy = self._lossy or is_lossy(self.stored(index))
        encoded = self._blanked(index, frame) if self._syntax in JPEG_LOSSY else self._encoded(frame)
        if encoded is None:
            self._plain[index] = frame.cells
        else:
            self._frames[index] = (encoded,)

    def repeat(self, first: int, index: int) -> None:
        if first in self._put:
            self._put.add(index)
            self._frames[index] = self._frames[first]
            if first in self._plain:
                self._plain[index] = self._plain[first]

    def _encoded(self, frame: Frame) -> bytes | None:
        """Encode a frame in the syntax of the instance; None if that does not give it back exactly."""
        stated = self._layout.photometric.replace("YBR_ICT", "YBR_RCT")  # the codestream says which
        if frame.photometric != stated and (stated, frame.photometric) != ("YBR_RCT", "RGB"):
            return None
        encoded = encode_frame(self._syntax, frame.cells, self._layout.bits_stored, stated)
        if encoded is None or not np.array_equal(self._decoded(encoded).cells, frame.cells):
            return None
        return encoded + bytes(len(encoded) % 2)

    def _blanked(self, index: int, frame: Frame) -> bytes | None:
        """Blank the blocks of a JPEG; None where that cannot be done or does not decode as it should."""
        layout = self._layout
        if frame.cleared or layout.shift or layout.signed or layout.photometric == "PALETTE COLOR":
            return None
        original = self.stored(index)
        try:
            colour = model(original)
            middle = 1 << (layout.bits_stored - 1)
            if layout.samples == 1:
                levels = [int(frame.black)]
            elif colour.transform == 0 or colour.identifiers == b"RGB" or layout.photometric == "RGB":
                levels = [0, 0, 0]
            else:
                levels = [0, middle, middle]
            encoded, filled = blank(original, frame.boxes, levels)
            after = self._decoded(encoded)
        except (UnsupportedError, PixelError):
            return None
        reach = _CHROMA_REACH if colour.subsampled else 0
        beyond = ~_grown(filled, reach)
        same = np.array_equal(after.cells[beyond], frame.cells[beyond])
        miss = np.abs(after.cells[filled].astype(np.int64) - frame.black)
        away = np.median(miss, axis=0) if colour.subsampled else miss.max(axis=0)
        if not same or np.any(away > _QUANTISED * middle / 128):
            return None
        return encoded + bytes(len(encoded) % 2)

    def _decoded(self, encoded: bytes) -> Frame:
        layout = self._layout
        if not _size_agrees(encoded, layout.rows, layout.columns):
            raise self._undecodable()
        stated = Stated(
            syntax=self._syntax,
            rows=layout.rows,
            columns=layout.columns,
            samples=layout.samples,
            photometric=layout.photometric,
            planar=layout.planar,
            bits_allocated=layout.bits_allocated,
            bits_stored=layout.bits_stored,
            signed=layout.signed,
        )
        cells, photometric = decode_frame(encoded, stated)
        return Frame(cells, layout, photometric, self._dataset)

    def _split(self, data: bytes) -> Split:
        extended = None
        try:
            if "ExtendedOffsetTable" in self._dataset:
                lengths = self._dataset.get("ExtendedOffsetTableLengths", b"")
                extended = Offsets.of(self._dataset.ExtendedOffsetTable, lengths)
            found = split(data, self._layout.frames, extended)
        except BROKEN:
            raise self._undecodable() from None
        if self._syntax == RLELossless and any(len(frame) > 1 for frame in found.frames):
            raise self._undecodable()
        return found

    def _cut(self, index: int) -> None:
        """Cut what follows the end of a codestream: no reader shows it, but it may hold text."""
        codestream = self.stored(index)
        if not codestream:
            raise self._undecodable()
        end = end_of(codestream)
        if end < len(codestream):
            self._frames[index] = (codestream[:end] + bytes(end % 2),)
            self.changed = True

    def _undecodable(self) -> PixelError:
        return PixelError("pixels_undecodable", f"{self.keyword}: {self._syntax}")

    def _write(self) -> None:
        if self._plain:
            self._write_native()
            return
        if self._layout.photometric == "YBR_ICT" and len(self._put) == len(self):
            self._dataset.PhotometricInterpretation = "YBR_RCT"
        self._state_lossy()
        self._dataset[self.keyword].value, offsets = join(self._frames, self._has_table)
        if "ExtendedOffsetTable" in self._dataset:
            starts, lengths = offsets.values()
            self._dataset.ExtendedOffsetTable, self._dataset.ExtendedOffsetTableLengths = starts, lengths

    def _write_native(self) -> None:
        dataset, layout = self._dataset, self._layout
        if layout.cells * layout.itemsize * layout.frames > MAX_NATIVE_BYTES:
            raise PixelError("pixels_unsupported", f"{self.keyword}: too large to decode")
        data = BytesIO()
        for index in range(layout.frames):
            cells = self._plain.pop(index) if index in self._plain else self.decode(index).cells
            data.write(cells.astype(layout.dtype.newbyteorder("<")).tobytes())
        data.write(bytes(data.tell() % 2))
        for keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
            if keyword in dataset:
                delattr(dataset, keyword)
        self.vr = "OB" if layout.bits_allocated <= 8 else "OW"
        dataset[self.keyword] = DataElement(self.keyword, self.vr, data.getvalue())
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        if self._photometric:
            dataset.PhotometricInterpretation = self._photometric.replace("_422", "")
        if layout.samples > 1:
            dataset.PlanarConfiguration = 0
        self._state_lossy()

    def _state_lossy(self) -> None:
        """Once lossy, always lossy, however it is written now (PS3.3 C.7.6.1.1.5)."""
        if self._lossy:
            self._dataset.LossyImageCompression = "01"
            if "LossyImageCompressionMethod" not in self._dataset:
                self._dataset.LossyImageCompressionMethod = _METHODS.get(self._syntax, "ISO_10918_1")


def open_frames(dataset: Dataset) -> Frames | None:
    """Return the frames of the top-level pixel data, None where there are none.

    Raises:
        PixelError: `pixels_undecodable`, or `pixels_unsupported` for video.
    """
    present = [keyword for keyword in PIXEL_TAGS if keyword in dataset]
    if not present:
        return None
    if len(present) > 1:  # PS3.3 C.7.6.3: one of them
        raise PixelError("pixels_undecodable", ", ".join(present))
    syntax = transfer_syntax_of(dataset)
    if _VIDEO.fullmatch(syntax):
        raise PixelError("pixels_unsupported", f"{present[0]}: {syntax}")
    try:
        encapsulated = syntax.is_encapsulated
    except ValueError:  # not one that pydicom knows
        named = syntax if _STANDARD.fullmatch(syntax) else "private transfer syntax"
        raise PixelError("pixels_undecodable", f"{present[0]}: {named}") from None
    layout = Layout.of(dataset)
    return (_EncapsulatedFrames if encapsulated else _NativeFrames)(dataset, layout, syntax)


def frame_count(dataset: Dataset) -> int:
    """Return how many frames an instance says it has: 0 without pixel data, 1 where it does not say."""
    if not any(keyword in dataset for keyword in PIXEL_TAGS):
        return 0
    try:
        return _number(dataset, "NumberOfFrames", 1) or 1
    except PixelError:
        return 1


def _number(dataset: Dataset, keyword: str, default: int | None = None) -> int:
    try:
        value = dataset.get(keyword)
        return int(default if value is None and default is not None else value)
    except BROKEN:
        raise PixelError("pixels_undecodable", keyword) from None


def pairs_swapped(data: bytes) -> bytes:
    """Swap the bytes of each word: 8-bit samples in OW, big endian (PS3.5 A.3)."""
    even = np.frombuffer(data + bytes(len(data) % 2), "u2")
    return even.byteswap().tobytes()


def _widened(groups: Cells) -> Cells:
    """Turn Y1 Y2 B R into Y1 B R, Y2 B R (PS3.3 C.7.6.3.1.2)."""
    rows, pairs, _ = groups.shape
    cells = np.empty((rows, pairs, 2, 3), groups.dtype)
    cells[..., 0] = groups[..., :2]
    cells[..., 1:] = groups[..., None, 2:]
    return cells.reshape(rows, pairs * 2, 3)


def _narrowed(cells: Cells) -> Cells:
    """Undo `_widened`."""
    rows, columns, _ = cells.shape
    pairs = cells.reshape(rows, columns // 2, 2, 3)
    return np.concatenate([pairs[..., 0], pairs[:, :, 0, 1:]], axis=-1)


def _grown(area: Mask, reach: int) -> Mask:
    import cv2

    kernel = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    return cv2.dilate(area.astype(np.uint8), kernel).astype(bool)


def _size_agrees(codestream: bytes, rows: int, columns: int) -> bool:
    """Say whether a codestream claims the size the header does, before a decoder allocates it."""
    if codestream.startswith(b"\xff\xd8"):
        return jpeg_size(codestream) == (rows, columns)
    start = codestream.find(b"\xff\x4f\xff\x51", 0, 4096)
    if start < 0 or len(codestream) < start + 24:
        return True
    right, bottom, left, top = struct.unpack_from(">4L", codestream, start + 8)
    return (bottom - top, right - left) == (rows, columns)
