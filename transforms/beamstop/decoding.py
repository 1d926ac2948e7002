"""Decoding one compressed frame with the reference decoder of its transfer syntax."""

import struct
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID, JPEGExtended12Bit

from beamstop.errors import PixelError

Cells = NDArray[Any]

JPEG_LOSSY = frozenset({"1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"})
# The reference decoder of each family, so that all workers decode alike; else pydicom's order.
_PLUGIN = {
    UID(f"1.2.840.10008.1.2.4.{number}"): {"decoding_plugin": plugin}
    for plugin, numbers in {"pyjpegls": (80, 81), "pylibjpeg": (90, 91, 201, 202, 203)}.items()
    for number in numbers
}
# What pydicom and the codecs raise on pixel data that are not what they claim to be.
BROKEN = (
    ArithmeticError,
    AttributeError,
    BufferError,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)


class Stated(NamedTuple):
    """What the header says of every compressed frame (PS3.3 C.7.6.3); integers only."""

    syntax: str
    rows: int
    columns: int
    samples: int
    photometric: str
    planar: bool
    bits_allocated: int
    bits_stored: int
    signed: bool

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of a decoded frame, in the byte order of the machine."""
        return np.dtype(f"{'i' if self.signed else 'u'}{self.bits_allocated // 8}")


def decode_codestream(codestream: bytes, stated: Stated) -> tuple[Cells, str]:
    """Decode one frame.

    Args:
        codestream: all fragments of the frame, joined.
        stated: what the header says of it.

    Returns:
        (rows, columns) or (rows, columns, 3) of `stated.dtype`, an array of its own, and the photometric
        interpretation of it, which decoding may have changed (YBR_RCT gives RGB).

    Raises:
        PixelError: `pixels_undecodable`.
    """
    syntax = UID(stated.syntax)
    try:
        if syntax == JPEGExtended12Bit and stated.bits_stored > 8:
            return _twelve_bits(codestream).astype(stated.dtype), stated.photometric
        about: dict[str, Any] = {
            "correct_unused_bits": False,
            "number_of_frames": 1,
            "rows": stated.rows,
            "columns": stated.columns,
            "samples_per_pixel": stated.samples,
            "photometric_interpretation": stated.photometric,
            "planar_configuration": int(stated.planar),
            "bits_allocated": stated.bits_allocated,
            "bits_stored": stated.bits_stored,
            "pixel_representation": int(stated.signed),
            "pixel_keyword": "PixelData",
        } | _PLUGIN.get(syntax, {})
        source = encapsulate([codestream], has_bot=False)
        raw = syntax not in JPEG_LOSSY
        cells, properties = get_decoder(syntax).as_array(source, index=0, raw=raw, **about)
    except BROKEN:
        raise PixelError("pixels_undecodable", f"PixelData: {stated.syntax}") from None
    return cells.astype(stated.dtype), str(properties["photometric_interpretation"])


def _twelve_bits(codestream: bytes) -> Cells:
    import imagecodecs

    cells: Cells = imagecodecs.jpeg8_decode(codestream)
    return cells
