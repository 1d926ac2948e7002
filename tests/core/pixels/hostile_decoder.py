"""A decoding process whose codestreams are orders: crash, hang, eat memory, print, or tell."""

import ctypes
import mmap
import os
import signal
import sys

import numpy as np

from beamstop.pixels.decoder_child import Cells, PixelDescription, serve


def obey(codestream: bytearray, stated: PixelDescription) -> tuple[Cells, str]:
    order = codestream.decode()
    cells = np.zeros(stated.shape, stated.dtype)
    if order == "segfault":
        ctypes.string_at(0)
    if order == "abort":
        os.abort()
    if order == "exit":
        sys.exit("patient")
    if order == "hang":
        signal.pause()
    if order == "loop":
        while True:
            pass
    if order == "eat":
        cells = np.ones(1 << 30)
    if order == "map":
        mmap.mmap(-1, 1 << 31)
    if order == "print":
        os.write(1, b"patient")
        os.write(2, b"patient")
    if order == "lie":
        os.write(int(sys.argv[1]), bytes([1]) + b"\xff" * 12)
    if order == "poison":
        os.environ["POISONED"] = "1"
    if order == "suffer" and "POISONED" in os.environ:
        os.abort()
    if order == "fault":
        raise ValueError("patient")
    if order == "other shape":
        cells = cells[1:]
    if order == "pid":
        cells[:] = os.getpid()
    if order == "environment":
        return cells, " ".join(name for name in os.environ if name.startswith("SECRET")) or "none"
    return cells, "MONOCHROME2"


if __name__ == "__main__":
    serve(obey)
