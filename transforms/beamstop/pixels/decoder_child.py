"""The decoding process: decodes one compressed frame at a time.

This file imports nothing of beamstop, so that the process starts fast and needs little memory.
"""

import json
import resource
import signal
import socket
import struct
import sys
import warnings
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID, JPEGExtended12Bit

Cells = NDArray[Any]

DEFLATED_FRAMES = UID("1.2.840.10008.1.2.8.1")
JPEG_LOSSY = frozenset({"1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"})
# Decoders need not agree to the bit on these: ISO leaves rounding and chrominance upsampling to them.
_LOSSY = JPEG_LOSSY | {"1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.203"}
REQUEST = struct.Struct("<?LQ")  # compare two decoders?; length of the description, of the codestream
# Verdict; lengths of the photometric interpretation, of the decoder's name, of the cells.
REPLY = struct.Struct("<BLLQ")
REFUSED, DECODED, DISPUTED = range(3)  # verdicts: no decoder reads it, one does, two do and disagree
_BLOCK, _COLOUR_BLOCK = 8, 16  # rows and columns per compared mean, if decoders may round
_FURTHEST = 1 / 16  # of the range of values: the largest difference of two means
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# What pydicom and the codecs raise on malformed pixel data.
DECODER_ERRORS = (
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


class PixelDescription(NamedTuple):
    """The header's description of every compressed frame (PS3.3 C.7.6.3); integers only."""

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

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a decoded frame: (rows, columns) or (rows, columns, 3)."""
        return (self.rows, self.columns, self.samples)[: 2 + (self.samples > 1)]


class Decoded(NamedTuple):
    """A frame that was decoded.

    Attributes:
        cells: of the shape and type in the header.
        photometric: their photometric interpretation, which decoding may have changed (YBR_RCT gives RGB).
        decoder: name of the decoder if it is not the first one of the syntax, otherwise empty.
    """

    cells: Cells
    photometric: str
    decoder: str = ""


class DisputedError(Exception):
    """Two decoders read different pictures from one codestream."""


Decode = Callable[[bytearray, PixelDescription, bool], Decoded]
_OneDecoder = Callable[[bytes, PixelDescription], tuple[Cells, str]]
_Decoders = tuple[tuple[str, _OneDecoder], ...]  # names and decoders; the first is the reference


def decode_codestream(
    codestream: bytes | bytearray, stated: PixelDescription, compare: bool = False
) -> Decoded:
    """Decode one frame with the first decoder of its syntax, or with two others that agree.

    Args:
        codestream: all fragments of the frame, joined.
        stated: its description in the header; Planar Configuration counts only for deflated native frames.
        compare: also have another decoder read it, if there is one.

    Raises:
    DisputedError: two decoders read different pictures.
        Exception: one of `DECODER_ERRORS`; its message may quote the codestream.
    """
    whole = bytes(codestream)
    decoders = _decoders(stated)
    reading = _reading(decoders, whole, stated)
    first = next(reading)
    fallback = first.decoder if first.decoder != decoders[0][0] else ""
    if not compare and not fallback:
        return first._replace(decoder="")
    try:
        other = next(reading)
    except DECODER_ERRORS:
        if fallback:  # not trusted on its own: some decoders fill in parts that they cannot read
            raise
    else:
        if not _agree(first.cells, other.cells, stated):
            raise DisputedError
    return first._replace(decoder=fallback)


def _reading(decoders: _Decoders, codestream: bytes, stated: PixelDescription) -> Iterator[Decoded]:
    """Yield the result of each decoder that reads a codestream; then raise the error of one that cannot."""
    failure: Exception = NotImplementedError()
    for name, decode in decoders:
        try:
            cells, photometric = decode(codestream, stated)
            decoded = Decoded(_conformed(cells, stated), photometric, name)
        except DECODER_ERRORS as error:
            failure = error
        else:
            yield decoded
    raise failure


def _conformed(cells: Cells, stated: PixelDescription) -> Cells:
    """Return cells in the declared type.

    Raises:
        ValueError: they have another shape, or do not fit.
    """
    if cells.shape != stated.shape:
        raise ValueError
    if cells.dtype == stated.dtype:
        return cells
    if cells.dtype.itemsize > stated.dtype.itemsize and cells.size:
        top = 1 << 8 * stated.dtype.itemsize
        if int(cells.max()) >= top or int(cells.min()) < -top // 2:
            raise ValueError
    if not stated.signed or cells.dtype.kind == "i":
        return cells.astype(stated.dtype)
    above = 8 * stated.dtype.itemsize - stated.bits_stored  # decoders that ignore the sign
    return (cells.astype(stated.dtype) << above) >> above


def _agree(one: Cells, other: Cells, stated: PixelDescription) -> bool:
    """Return whether two decoders agree: bit by bit, or in the means of blocks if they may round.

    Luminance is compared in smaller blocks than colour, because decoders upsample colour in different ways.
    """
    above = 8 * stated.dtype.itemsize - stated.bits_stored
    one, other = ((cells << above) >> above for cells in (one, other))  # ignores unused bits
    if stated.syntax not in _LOSSY:
        return np.array_equal(one, other)
    apart = one.astype(np.float32) - other
    furthest = _FURTHEST * (1 << stated.bits_stored)
    grey = apart if apart.ndim == 2 else apart @ _LUMA
    return _most(grey, _BLOCK) <= furthest and (apart.ndim == 2 or _most(apart, _COLOUR_BLOCK) <= furthest)


def _most(apart: NDArray[Any], side: int) -> float:
    """Return the largest mean of a block; the last blocks include the remainder at the edges."""
    for axis in range(2):
        starts = np.arange(0, max(apart.shape[axis] - side, 0) + 1, side)
        lengths = np.diff(starts, append=apart.shape[axis]).astype(np.float32)
        apart = np.add.reduceat(apart, starts, axis=axis)
        apart /= lengths.reshape(-1, *(1,) * (apart.ndim - 1 - axis))
    return float(np.abs(apart).max())


def _decoders(stated: PixelDescription) -> _Decoders:
    """Return the decoders of a syntax, the same first one on every worker."""
    if stated.syntax == JPEGExtended12Bit and stated.bits_stored > 8:
        return ("libjpeg-turbo", _libjpeg_turbo), ("gdcm", _gdcm_twelve_bits)
    return _DECODERS.get(stated.syntax, ())


def _pydicom(plugin: str) -> _OneDecoder:
    """Return a decoder that goes through one of pydicom's plugins."""

    def decode(codestream: bytes, stated: PixelDescription) -> tuple[Cells, str]:
        allocated = 8 if stated.syntax in JPEG_LOSSY else stated.bits_allocated  # 12 bits do not come here
        about: dict[str, Any] = {
            "correct_unused_bits": False,
            "number_of_frames": 1,
            "rows": stated.rows,
            "columns": stated.columns,
            "samples_per_pixel": stated.samples,
            "photometric_interpretation": stated.photometric,
            "planar_configuration": 0,  # the codestream says how its components lie (PS3.5 8.2)
            "bits_allocated": allocated,
            "bits_stored": stated.bits_stored if allocated > 8 else 8,  # GDCM aborts over 7 of 8
            "pixel_representation": int(stated.signed),
            "pixel_keyword": "PixelData",
            "decoding_plugin": plugin,
        }
        source = encapsulate([codestream], has_bot=False)
        raw = stated.syntax not in JPEG_LOSSY
        cells, properties = get_decoder(UID(stated.syntax)).as_array(source, index=0, raw=raw, **about)
        return cells, str(properties["photometric_interpretation"])

    return decode


def _libjpeg_turbo(codestream: bytes, stated: PixelDescription) -> tuple[Cells, str]:
    """Decode a JPEG; full-range YBR of a lossy one becomes RGB, as in pydicom, all else is unchanged."""
    import imagecodecs

    if stated.samples == 1:
        return imagecodecs.jpeg8_decode(codestream), stated.photometric
    if stated.syntax in JPEG_LOSSY and stated.photometric in ("YBR_FULL", "YBR_FULL_422"):
        return imagecodecs.jpeg8_decode(codestream, colorspace="YCBCR", outcolorspace="RGB"), "RGB"
    return imagecodecs.jpeg8_decode(codestream, colorspace="RGB", outcolorspace="RGB"), stated.photometric


def _gdcm_twelve_bits(codestream: bytes, stated: PixelDescription) -> tuple[Cells, str]:
    """Decode grey JPEG Extended of 12 bits, which pydicom does not ask GDCM for."""
    import gdcm

    if stated.samples > 1:
        raise NotImplementedError
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(codestream)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((stated.columns, stated.rows, 1))
    image.SetDataElement(element)
    grey = gdcm.PhotometricInterpretation.GetPIType("MONOCHROME2")
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(grey))
    syntax = gdcm.TransferSyntax.GetTSType(str.__str__(JPEGExtended12Bit))
    image.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    bits = stated.bits_stored
    image.SetPixelFormat(gdcm.PixelFormat(1, 16, bits, bits - 1, int(stated.signed)))
    decoded = image.GetBuffer().encode("utf-8", "surrogateescape")
    return np.frombuffer(decoded, "<u2").reshape(stated.shape), stated.photometric


def _jpegsof3(codestream: bytes, stated: PixelDescription) -> tuple[Cells, str]:
    import imagecodecs

    return imagecodecs.jpegsof3_decode(codestream), stated.photometric


def _charls(codestream: bytes, stated: PixelDescription) -> tuple[Cells, str]:
    import imagecodecs

    return imagecodecs.jpegls_decode(codestream), stated.photometric


def _openjpeg(codestream: bytes, stated: PixelDescription) -> tuple[Cells, str]:
    import imagecodecs

    return imagecodecs.jpeg2k_decode(codestream, planar=False), _without_transform(stated)


def _openjph(codestream: bytes, stated: PixelDescription) -> tuple[Cells, str]:
    import imagecodecs

    return imagecodecs.htj2k_decode(codestream, planar=False), _without_transform(stated)


def _without_transform(stated: PixelDescription) -> str:
    """Return the photometric interpretation of components after JPEG 2000's own transform was undone."""
    return "RGB" if stated.photometric in ("YBR_RCT", "YBR_ICT") else stated.photometric


def _packbits(codestream: bytes, stated: PixelDescription) -> tuple[Cells, str]:
    """Decode RLE Lossless: one plane behind the other."""
    import imagecodecs

    little = stated.dtype.newbyteorder("<")
    flat = np.frombuffer(imagecodecs.dicomrle_decode(codestream, little), little)
    planes = flat.reshape(stated.samples, stated.rows, stated.columns)
    return np.moveaxis(planes, 0, -1).reshape(stated.shape), stated.photometric


def _inflated(codestream: bytes, stated: PixelDescription) -> tuple[Cells, str]:
    """Inflate a deflated native frame (PS3.5 A.4), to its declared size at most."""
    size = int(np.prod(stated.shape)) * stated.dtype.itemsize
    inflater = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    native = inflater.decompress(codestream, size + 2)
    if not inflater.eof or any(native[size:]) or any(inflater.unused_data):
        raise ValueError
    flat = np.frombuffer(native, stated.dtype.newbyteorder("<"), size // stated.dtype.itemsize)
    if stated.planar:
        cells = np.moveaxis(flat.reshape(stated.samples, stated.rows, stated.columns), 0, -1)
    else:
        cells = flat.reshape(stated.shape)
    return cells, stated.photometric


_GDCM, _TURBO = ("gdcm", _pydicom("gdcm")), ("libjpeg-turbo", _libjpeg_turbo)
_DECODERS: dict[str, _Decoders] = {
    DEFLATED_FRAMES: (("zlib", _inflated),),
    "1.2.840.10008.1.2.5": (("pydicom", _pydicom("pydicom")), ("imagecodecs", _packbits)),
    **{
        f"1.2.840.10008.1.2.4.{number}": decoders
        for numbers, decoders in {
            (50, 51): (_GDCM, _TURBO, ("pillow", _pydicom("pillow"))),
            (57, 70): (_GDCM, _TURBO, ("jpegsof3", _jpegsof3)),
            (80, 81): (("pyjpegls", _pydicom("pyjpegls")), ("charls", _charls), _GDCM),
            (90, 91): (("pylibjpeg", _pydicom("pylibjpeg")), ("openjpeg", _openjpeg), _GDCM),
            (201, 202): (
                ("pylibjpeg", _pydicom("pylibjpeg")),
                ("openjph", _openjph),
                ("openjpeg", _openjpeg),
            ),
            (203,): (("pylibjpeg", _pydicom("pylibjpeg")), ("openjpeg", _openjpeg)),  # OpenJPH: 256 becomes 0
        }.items()
        for number in numbers
    },
}

# Names of decoders that may replace the first one of a syntax.
DECODERS = frozenset({"", *(name for decoders in _DECODERS.values() for name, _ in decoders[1:])})


def receive(link: socket.socket, size: int) -> bytearray:
    """Return the next bytes of a connection; fewer only if it was closed."""
    data = bytearray(size)
    view, at = memoryview(data), 0
    while at < size:
        count = link.recv_into(view[at:])
        if count == 0:
            break
        at += count
    del view
    return data[:at] if at < size else data


def serve(decode: Decode) -> None:
    """Decode frames for the process that started this one, until it closes the connection.

    The arguments of the command line are the descriptor of the connection, the limit of this
    process's memory in bytes, and that of the time for a frame in seconds; the kernel enforces both.
    """
    descriptor, memory, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a dump would put pixels on the disk
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    with socket.socket(fileno=descriptor) as link:
        while len(head := receive(link, REQUEST.size)) == REQUEST.size:
            signal.setitimer(signal.ITIMER_REAL, seconds)  # SIGALRM ends the process, even inside a codec
            _answer(link, decode, *REQUEST.unpack(head))
            signal.setitimer(signal.ITIMER_REAL, 0)


def _answer(link: socket.socket, decode: Decode, compare: bool, stated_size: int, size: int) -> None:
    stated = PixelDescription(*json.loads(receive(link, stated_size)))
    try:
        decoded = decode(receive(link, size), stated, compare)
        if decoded.cells.shape != stated.shape:
            raise ValueError
        flat = np.ascontiguousarray(decoded.cells, stated.dtype).reshape(-1).view(np.uint8)
    except DisputedError:
        link.sendall(REPLY.pack(DISPUTED, 0, 0, 0))
        return
    except DECODER_ERRORS:
        link.sendall(REPLY.pack(REFUSED, 0, 0, 0))
        return
    photometric, name = decoded.photometric.encode(), decoded.decoder.encode()
    link.sendall(REPLY.pack(DECODED, len(photometric), len(name), flat.size) + photometric + name)
    link.sendall(flat.data)


if __name__ == "__main__":
    serve(decode_codestream)
