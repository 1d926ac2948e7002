"""Compressed frames (PS3.5 A.4)."""

import struct
from contextlib import suppress
from dataclasses import replace
from io import BytesIO

import numpy as np
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.uid import (
    JPEG2000,
    UID,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    RLELossless,
)

from beamstop.dicom.elements import MALFORMED
from beamstop.errors import PixelError
from beamstop.identity import Identity
from beamstop.pixels.codestreams import end_of, is_lossy, jpeg_colour, jpeg_size, precision_of
from beamstop.pixels.decoder import decode_frame
from beamstop.pixels.decoder_child import DEFLATED_FRAMES, JPEG_LOSSY, PixelDescription
from beamstop.pixels.encapsulation import Offsets, Split, join, split
from beamstop.pixels.encoders import encode_frame
from beamstop.pixels.frame import Cells, Frame, Frames
from beamstop.pixels.jpeg_blocks import UnsupportedError, blank, model
from beamstop.pixels.layout import Layout
from beamstop.pixels.renditions import Mask

MAX_NATIVE_BYTES = (1 << 32) - 2  # the largest length of PixelData (PS3.5 7.1)


_METHODS = {  # PS3.3 C.7.6.1.1.5.1; all others are JPEG
    **dict.fromkeys(("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"), "ISO_14495_1"),
    **dict.fromkeys(("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"), "ISO_15444_1"),
    **dict.fromkeys((f"1.2.840.10008.1.2.4.{number}" for number in (201, 202, 203)), "ISO_15444_15"),
}


# Where Planar Configuration may be 1 (PS3.5 8.2).
_BY_PLANES = frozenset({RLELossless, DEFLATED_FRAMES})
# A second decoder is expensive for frames of a million samples and JPEG 2000: it reads one instance in eight.
_ONE_IN = 8
_MANY_SAMPLES = 1 << 20
_DEAR = frozenset({JPEG2000, JPEG2000Lossless})


_CHROMA_REACH = 4  # pixels that smooth enlargement of subsampled chrominance reaches


# Lossless JPEG is written with all of its chrominance.
_WHOLE = {syntax: {"YBR_FULL_422": "YBR_FULL"} for syntax in (JPEGLossless, JPEGLosslessSV1)}


_QUANTISED = 16  # of 256: the largest error of a level by coarse quantisation of DC


class _EncapsulatedFrames(Frames):
    """Compressed frames: a changed frame is encoded again if that loses nothing.

    In sequential JPEG, which is lossy, blocks are blanked and all others keep their bits. If neither is
    possible, all frames are decoded, and the whole instance becomes Explicit VR Little Endian, which every
    reader can read.

    With `compare`, a second decoder reads the first decoded frame. If that is expensive, it does so only for
    some instances, selected by a keyed digest of the SOP Instance UID; without a key, for all.
    """

    def __init__(
        self, dataset: Dataset, layout: Layout, syntax: UID, compare: bool, identity: Identity | None
    ) -> None:
        super().__init__(dataset, layout)
        is_dear = syntax in _DEAR or layout.cells >= _MANY_SAMPLES
        self._compare = compare and (not is_dear or _is_chosen(dataset, identity))
        if layout.floating or layout.bits_allocated == 1:
            raise PixelError("pixels_undecodable", f"{layout.keyword}: {syntax}")
        self._syntax = syntax
        self._frames, self._has_table, is_exact = self._split(dataset[layout.keyword].value or b"")
        self.changed = not is_exact
        for index in range(len(self._frames)):
            self._cut(index)
        self._plain: dict[int, Cells] = {}
        self._put: set[int] = set()
        self._lossy = False  # the changed frame had been lossy before
        self._photometric: str | None = None
        self._stated: set[str] = set()  # photometric interpretations of the codestreams that were decoded
        self._high_bits: set[int] = set()

    def stored(self, index: int) -> bytes:
        return b"".join(self._frames[index])

    def decode(self, index: int) -> Frame:
        codestream = self.stored(index)
        frame = self._decoded(codestream, self._compare)
        self._compare = False
        if frame.photometric != (self._photometric or frame.photometric):
            raise self._undecodable()
        self._photometric = frame.photometric
        self._stated.add(self._stated_photometric(codestream))
        if frame.cells.any():  # an empty frame fits every layout
            self._high_bits.add(frame.layout.high_bit)
        if len(self._high_bits) > 1:
            raise PixelError("pixels_undecodable", "HighBit")
        if self._syntax in JPEG_LOSSY:
            with suppress(UnsupportedError):  # such a frame is not blanked by blocks
                frame.unit = model(codestream).unit
        return frame

    def put(self, index: int, frame: Frame) -> None:
        self.changed = True
        self._put.add(index)
        self._lossy = self._lossy or is_lossy(self.stored(index))
        encoded = self._blanked(index, frame) if self._syntax in JPEG_LOSSY else self._encoded(index, frame)
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

    def _encoded(self, index: int, frame: Frame) -> bytes | None:
        """Encode a frame in the syntax of the instance; None if it cannot be decoded to the same values."""
        original = self.stored(index)
        stated = self._stated_photometric(original).replace("YBR_ICT", "YBR_RCT")  # the codestream says which
        if frame.photometric != stated and (stated, frame.photometric) != ("YBR_RCT", "RGB"):
            return None
        is_by_planes = self._layout.planar and self._syntax == DEFLATED_FRAMES
        cells = np.moveaxis(frame.cells, -1, 0) if is_by_planes else frame.cells
        encoded = encode_frame(self._syntax, cells, self._layout.bits_stored, stated, original)
        if encoded is None or not np.array_equal(self._decoded(encoded).cells, frame.cells):
            return None
        return encoded + bytes(len(encoded) % 2)

    def _blanked(self, index: int, frame: Frame) -> bytes | None:
        """Blank the blocks of a JPEG; None if that is impossible or does not decode as expected."""
        layout = self._layout
        if not frame.boxes:  # single pixels were changed, not boxes
            return None
        if frame.cleared or frame.layout.shift or layout.signed or layout.photometric == "PALETTE COLOR":
            return None
        original = self.stored(index)
        try:
            colour = model(original)
            middle = 1 << (layout.bits_stored - 1)
            if layout.samples == 1:
                levels = [int(frame.black)]
            elif self._stated_photometric(original) == "RGB":
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

    def _decoded(self, encoded: bytes, compare: bool = False) -> Frame:
        layout = self._layout
        if not _size_agrees(encoded, layout.rows, layout.columns):
            raise self._undecodable()
        stated = PixelDescription(
            syntax=self._syntax,
            rows=layout.rows,
            columns=layout.columns,
            samples=layout.samples,
            photometric=self._stated_photometric(encoded),
            planar=layout.planar,
            bits_allocated=layout.bits_allocated,
            bits_stored=layout.bits_stored,
            signed=layout.signed,
        )
        cells, photometric, decoder = decode_frame(encoded, stated, compare)
        if decoder:
            self.decoders.add(decoder)
        return Frame(cells, self._placed(encoded, cells), photometric, self._dataset)

    def _placed(self, codestream: bytes, cells: Cells) -> Layout:
        """Return the layout with the real position of the values: from bit 0 on, whatever High Bit says.

        High Bit counts for native pixels, also deflated ones, and for codestreams that have all bits of a
        cell, if the bits below the values are empty, or only these are not: an overlay over black.
        """
        layout = self._layout
        if not layout.shift or self._syntax in _BY_PLANES:
            return layout
        precision = precision_of(codestream) or 0
        bits, above = cells.view(f"u{layout.itemsize}"), layout.itemsize * 8 - layout.bits_stored
        is_low = np.any(bits & ((1 << layout.shift) - 1)) and np.any(bits >> layout.shift)
        if precision > layout.high_bit and not is_low:
            return layout
        fits = not np.any(bits >> layout.bits_stored) or np.array_equal(cells << above >> above, cells)
        if not precision or not fits:
            raise PixelError("pixels_undecodable", "HighBit")
        return replace(layout, high_bit=layout.bits_stored - 1)

    def _stated_photometric(self, codestream: bytes) -> str:
        """Return the photometric interpretation of components: the codestream's, otherwise the header's."""
        stated = self._layout.photometric
        colour = jpeg_colour(codestream) if self._layout.samples > 1 else None
        if colour == "RGB":
            return "RGB"
        if colour == "YBR" and not stated.startswith("YBR"):
            return "YBR_FULL_422" if self._syntax == JPEGBaseline8Bit else "YBR_FULL"
        return stated

    def _split(self, data: bytes) -> Split:
        extended = None
        try:
            if "ExtendedOffsetTable" in self._dataset:
                lengths = self._dataset.get("ExtendedOffsetTableLengths", b"")
                extended = Offsets.of(self._dataset.ExtendedOffsetTable, lengths)
            found = split(data, self._layout.frames, extended)
        except MALFORMED:
            raise self._undecodable() from None
        if self._syntax == RLELossless and any(len(frame) > 1 for frame in found.frames):
            raise self._undecodable()
        return found

    def _cut(self, index: int) -> None:
        """Cut the bytes after the end of a codestream: no reader shows them, but they may contain text."""
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
        self._state_colour()
        if self._put:
            self._state_bits()
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
        self._state_bits()

    def _state_bits(self) -> None:
        for high_bit in self._high_bits - {self._layout.high_bit}:
            self._dataset.HighBit = high_bit

    def _state_colour(self) -> None:
        """Make the header's colour attributes match the codestreams, if frames were changed."""
        dataset, stated = self._dataset, self._layout.photometric
        if not self._put:
            return
        if self._layout.planar and self._syntax not in _BY_PLANES:
            dataset.PlanarConfiguration = 0  # PS3.5 8.2
        if len(self._stated) == 1:
            (stated,) = self._stated
        if len(self._put) == len(self):
            stated = {"YBR_ICT": "YBR_RCT", **_WHOLE.get(self._syntax, {})}.get(stated, stated)
        if stated != self._layout.photometric:
            dataset.PhotometricInterpretation = stated

    def _state_lossy(self) -> None:
        """Set Lossy Image Compression: once lossy, always lossy (PS3.3 C.7.6.1.1.5)."""
        if self._lossy:
            self._dataset.LossyImageCompression = "01"
            if "LossyImageCompressionMethod" not in self._dataset:
                self._dataset.LossyImageCompressionMethod = _METHODS.get(self._syntax, "ISO_10918_1")


def _is_chosen(dataset: Dataset, identity: Identity | None) -> bool:
    """Return whether this instance is selected; nobody can predict that without the key."""
    uid = str(dataset.get("SOPInstanceUID") or "")
    return identity is None or identity.digest("second decoder", uid)[0] % _ONE_IN == 0


def _grown(area: Mask, reach: int) -> Mask:
    import cv2

    kernel = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    return cv2.dilate(area.astype(np.uint8), kernel).astype(bool)


def _size_agrees(codestream: bytes, rows: int, columns: int) -> bool:
    """Return whether a codestream has the header's size, before a decoder allocates it."""
    if codestream.startswith(b"\xff\xd8"):
        return jpeg_size(codestream) == (rows, columns)
    start = codestream.find(b"\xff\x4f\xff\x51", 0, 4096)
    if start < 0 or len(codestream) < start + 24:
        return True
    right, bottom, left, top = struct.unpack_from(">4L", codestream, start + 8)
    return (bottom - top, right - left) == (rows, columns)
