"""Frames that are not compressed."""

from io import BytesIO
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import UID

from beamstop.errors import PixelError
from beamstop.pixels.frame import Cells, Frame, Frames
from beamstop.pixels.layout import Layout


class _NativeFrames(Frames):
    """Frames that are not compressed: only the bytes of changed frames change."""

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
        self._per_frame, expected = layout.cells_stored, layout.native_bytes
        if len(data) < expected:
            raise PixelError("pixels_undecodable", f"{layout.keyword}: length")
        if any(memoryview(data)[expected + expected % 2 :]):  # unused bits may hold text
            if layout.halved and len(data) >= expected * 3 // 2:  # not subsampled, although declared so
                raise PixelError("pixels_undecodable", f"{layout.keyword}: length")
            data = data[:expected] + bytes(expected % 2)
            self.changed = True
        self._data = pairs_swapped(data) if self._swapped else data
        self._new: BytesIO | None = None  # replaces the data without a further copy
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
        """Return the present bytes."""
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
        """Return the bits of all bytes of a frame, the frame's range of bits, the range of bytes."""
        first, count = index * self._per_frame, self._per_frame
        at = first // 8
        packed = np.frombuffer(self._read(at, (first + count + 7) // 8 - at), np.uint8)
        return np.unpackbits(packed, bitorder="little"), slice(first % 8, first % 8 + count), at


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
