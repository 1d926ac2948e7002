"""The decoding process: decodes one compressed frame at a time.

This file imports nothing of beamstop, so that the process starts fast and holds little.
"""

import json
import resource
import signal
import socket
import struct
import sys
import warnings
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID, JPEGExtended12Bit

Cells = NDArray[Any]

DEFLATED_FRAMES = UID("1.2.840.10008.1.2.8.1")
JPEG_LOSSY = frozenset({"1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"})
REQUEST = struct.Struct("<LQ")  # bytes of what is stated, of the codestream
REPLY = struct.Struct("<?LQ")  # decoded at all, bytes of the photometric interpretation, of the cells
# The reference decoder of each family, so that all workers decode alike; else pydicom's order.
_PLUGIN = {
    UID(f"1.2.840.10008.1.2.4.{number}"): {"decoding_plugin": plugin}
    for plugin, numbers in {"pyjpegls": (80, 81), "pylibjpeg": (90, 91, 201, 202, 203)}.items()
    for number in numbers
}
# What pydicom and the codecs raise on pixel data that are not what they claim to be.
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

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a decoded frame: (rows, columns) or (rows, columns, 3)."""
        return (self.rows, self.columns, self.samples)[: 2 + (self.samples > 1)]


Decode = Callable[[bytearray, PixelDescription], tuple[Cells, str]]


def decode_codestream(codestream: bytes | bytearray, stated: PixelDescription) -> tuple[Cells, str]:
    """Decode one frame.

    Args:
        codestream: all fragments of the frame, joined.
        stated: what the header says of it.

    Returns:
        cells and their photometric interpretation, which decoding may have changed (YBR_RCT gives RGB).

    Raises:
        Exception: one of `DECODER_ERRORS`; what it says may quote the codestream.
    """
    syntax = UID(stated.syntax)
    if syntax == DEFLATED_FRAMES:
        return _inflated(codestream, stated), stated.photometric
    if syntax == JPEGExtended12Bit and stated.bits_stored > 8:
        return _twelve_bits(bytes(codestream)), stated.photometric
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
    source = encapsulate([bytes(codestream)], has_bot=False)
    raw = syntax not in JPEG_LOSSY
    cells, properties = get_decoder(syntax).as_array(source, index=0, raw=raw, **about)
    return cells, str(properties["photometric_interpretation"])


def _inflated(codestream: bytes | bytearray, stated: PixelDescription) -> Cells:
    """Inflate a frame that is native beneath (PS3.5 A.4); it may not grow beyond what is stated."""
    size = int(np.prod(stated.shape)) * stated.dtype.itemsize
    inflater = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    native = inflater.decompress(codestream, size + 2)
    if not inflater.eof or any(native[size:]) or any(inflater.unused_data):
        raise ValueError
    flat = np.frombuffer(native, stated.dtype.newbyteorder("<"), size // stated.dtype.itemsize)
    if stated.planar:
        return np.moveaxis(flat.reshape(stated.samples, stated.rows, stated.columns), 0, -1)
    return flat.reshape(stated.shape)


def _twelve_bits(codestream: bytes) -> Cells:
    import imagecodecs

    cells: Cells = imagecodecs.jpeg8_decode(codestream)
    return cells


def receive(link: socket.socket, size: int) -> bytearray:
    """Return the next bytes of a connection, shortened only where it was closed before."""
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
            signal.setitimer(signal.ITIMER_REAL, seconds)  # SIGALRM ends a process, whatever it does
            _answer(link, decode, *REQUEST.unpack(head))
            signal.setitimer(signal.ITIMER_REAL, 0)


def _answer(link: socket.socket, decode: Decode, stated_size: int, size: int) -> None:
    stated = PixelDescription(*json.loads(receive(link, stated_size)))
    try:
        cells, photometric = decode(receive(link, size), stated)
        if cells.shape != stated.shape:
            raise ValueError
        flat = np.ascontiguousarray(cells, stated.dtype).reshape(-1).view(np.uint8)
    except DECODER_ERRORS:
        link.sendall(REPLY.pack(False, 0, 0))
        return
    named = photometric.encode()
    link.sendall(REPLY.pack(True, len(named), flat.size) + named)
    link.sendall(flat.data)


if __name__ == "__main__":
    serve(decode_codestream)
