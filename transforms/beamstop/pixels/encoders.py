"""Encodes one frame again without loss, in transfer syntaxes for which there is an encoder."""

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.pixels.encoders.base import get_encoder
from pydicom.uid import UID, JPEG2000Lossless, JPEGLSLossless

from beamstop.pixels.codestreams import with_colour_of
from beamstop.pixels.decoder_child import DEFLATED_FRAMES

Cells = NDArray[Any]


def encode_frame(
    syntax: UID, cells: Cells, bits_stored: int, photometric: str, original: bytes = b""
) -> bytes | None:
    """Encode a frame so that it decodes to exactly the same values; None if that is impossible.

    If the family of a lossy syntax has a lossless mode (JPEG-LS, JPEG 2000, HTJ2K), that mode is used: every
    decoder of the syntax reads it, and unchanged parts lose nothing further.

    Args:
        syntax: of the instance.
        cells: (rows, columns) or (rows, columns, 3), integers.
        bits_stored: of the dataset.
        photometric: of the dataset; with YBR_RCT the cells are RGB.
        original: the codestream that is replaced; lossless JPEG declares the same colours as this.
    """
    encoder = _ENCODERS.get(syntax)
    if encoder is None:
        return None
    try:
        encoded = encoder(np.ascontiguousarray(cells), bits_stored, photometric)
        return with_colour_of(encoded, original) if encoder is _jpeg_lossless and original else encoded
    except (LookupError, NotImplementedError, RuntimeError, TypeError, ValueError):
        return None  # the encoder does not support it


def _rle(cells: Cells, _bits_stored: int, _photometric: str) -> bytes:
    """Encode byte planes, most significant first, each row on its own (PS3.5 G)."""
    import imagecodecs

    planes = cells.reshape(*cells.shape[:2], -1)
    big = planes.astype(planes.dtype.newbyteorder(">"))
    segments = [
        b"".join(imagecodecs.packbits_encode(row.tobytes()) for row in plane)
        for sample in np.moveaxis(big, -1, 0)
        for plane in np.moveaxis(np.ascontiguousarray(sample)[..., None].view(np.uint8), -1, 0)
    ]
    segments = [segment + bytes(len(segment) % 2) for segment in segments]
    if len(segments) > 15:
        raise ValueError
    offsets = np.zeros(16, "<u4")
    offsets[0] = len(segments)
    offsets[1 : len(segments) + 1] = 64 + np.cumsum([0, *map(len, segments[:-1])])
    return offsets.tobytes() + b"".join(segments)


def _pydicom(syntax: UID) -> Callable[[Cells, int, str], bytes]:
    """Return an encoder that goes through pydicom's plugins."""

    def encode(cells: Cells, bits_stored: int, photometric: str) -> bytes:
        samples = cells.shape[2] if cells.ndim == 3 else 1
        encoded: bytes = get_encoder(syntax).encode(
            cells.astype(cells.dtype.newbyteorder("<")).tobytes(),
            rows=cells.shape[0],
            columns=cells.shape[1],
            samples_per_pixel=samples,
            photometric_interpretation=photometric,
            planar_configuration=0,
            bits_allocated=cells.dtype.itemsize * 8,
            bits_stored=bits_stored,
            pixel_representation=int(np.issubdtype(cells.dtype, np.signedinteger)),
            number_of_frames=1,
        )
        return encoded

    return encode


def _htj2k(cells: Cells, _bits_stored: int, photometric: str) -> bytes:
    import imagecodecs

    return bytes(imagecodecs.htj2k_encode(cells, reversible=True, rgb=photometric == "YBR_RCT"))


def _htj2k_rpcl(cells: Cells, _bits_stored: int, photometric: str) -> bytes:
    """Encode with tile length markers, down to a picture of 64 rows or columns (PS3.5 10.18)."""
    import imagecodecs

    halvings = max(5, (min(cells.shape[:2]) - 1).bit_length() - 6)
    encoded = imagecodecs.htj2k_encode(
        cells, reversible=True, rgb=photometric == "YBR_RCT", resolutions=halvings, tlm=True
    )
    return bytes(encoded)


def _deflate(cells: Cells, _bits_stored: int, _photometric: str) -> bytes:
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    native = cells.astype(cells.dtype.newbyteorder("<")).tobytes()
    return deflater.compress(native + bytes(len(native) % 2)) + deflater.flush()


def _jpeg_lossless(cells: Cells, bits_stored: int, _photometric: str) -> bytes:
    """Encode by first-order prediction, selection value 1, which both .57 and .70 allow."""
    import imagecodecs

    colour = "UNKNOWN" if cells.ndim == 3 else None  # no conversion, and no declaration of colours
    if bits_stored <= 8 and cells.dtype.itemsize > 1:
        cells = (cells & 0xFF).astype(np.uint8)
    encoded = imagecodecs.jpeg8_encode(
        cells.view(f"u{cells.dtype.itemsize}"),
        lossless=True,
        predictor=1,
        bitspersample=max(bits_stored, 2),
        colorspace=colour,
        outcolorspace=colour,
    )
    return bytes(encoded)


_ENCODERS: dict[UID, Callable[[Cells, int, str], bytes]] = {
    UID("1.2.840.10008.1.2.5"): _rle,
    DEFLATED_FRAMES: _deflate,
    UID("1.2.840.10008.1.2.4.57"): _jpeg_lossless,
    UID("1.2.840.10008.1.2.4.70"): _jpeg_lossless,
    UID("1.2.840.10008.1.2.4.80"): _pydicom(JPEGLSLossless),
    UID("1.2.840.10008.1.2.4.81"): _pydicom(JPEGLSLossless),
    UID("1.2.840.10008.1.2.4.90"): _pydicom(JPEG2000Lossless),
    UID("1.2.840.10008.1.2.4.91"): _pydicom(JPEG2000Lossless),
    UID("1.2.840.10008.1.2.4.201"): _htj2k,
    UID("1.2.840.10008.1.2.4.202"): _htj2k_rpcl,
    UID("1.2.840.10008.1.2.4.203"): _htj2k,
}
