"""A decoding process whose codestreams are orders: crash, hang, eat memory, print, or tell."""

import ctypes
import mmap
import os
import signal
import sys

import numpy as np

from beamstop.pixels.decoder_child import Decoded, DisputedError, PixelDescription, serve


def obey(codestream: bytearray, stated: PixelDescription, compare: bool) -> Decoded:
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
        os.write(int(sys.argv[1]), bytes([1]) + b"\xff" * 16)
    if order == "boast":
        return Decoded(cells, "MONOCHROME2", "Roe^Jane")
    if order == "disagree" and compare:
        raise DisputedError
    if order == "second crashes" and compare:
        os.abort()
    if order == "second hangs" and compare:
        signal.pause()
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
        return Decoded(cells, " ".join(name for name in os.environ if name.startswith("SECRET")) or "none")
    return Decoded(cells, "MONOCHROME2")


if __name__ == "__main__":
    serve(obey)
