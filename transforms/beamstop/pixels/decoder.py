"""Start, watch and end the process that decodes compressed frames (`decoder_child.py`).

A codec that crashes or hangs takes nothing else with it.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path

import numpy as np

from beamstop.errors import PixelError
from beamstop.pixels import decoder_child as decoding
from beamstop.pixels.decoder_child import (
    DECODERS,
    DISPUTED,
    REFUSED,
    REPLY,
    REQUEST,
    Decoded,
    PixelDescription,
    receive,
)

_MEGABYTE = 1 << 20
_LONGEST = 16  # characters of a Code String (PS3.5 6.2); no decoder's name is longer
_SCRIPT = Path(decoding.__file__)
# The whole environment of the process: an exploited codec must not find a key there.
_ENVIRONMENT = ("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "PYTHONHOME", "PYTHONPATH")
_SETTINGS = {
    "OPENBLAS_NUM_THREADS": "1",
    # Keep freed memory for the next frame: allocating it again would cost more than the transfer.
    "MALLOC_MMAP_THRESHOLD_": str(1 << 25),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 27),
}


@dataclass(frozen=True)
class DecoderLimits:
    """What the decoding process may use.

    Attributes:
        memory: megabytes of address space.
        seconds: for one frame.
    """

    memory: int = 4096
    seconds: float = 600


class Decoder:
    """A process that decodes frame after frame, started for the first one.

    It ends with this process. If a frame kills it, the frame is tried once more in a new process, in case an
    earlier frame had damaged the old one. Threads take turns.

    Args:
        limits: enforced by the kernel.
        script: path of the script that the process runs.
    """

    def __init__(self, limits: DecoderLimits, script: Path = _SCRIPT) -> None:
        self._limits = limits
        self._script = script
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._link: socket.socket | None = None

    def decode(self, codestream: bytes, stated: PixelDescription, compare: bool = False) -> Decoded:
        """Decode one frame.

        Args:
            codestream: all fragments of the frame, joined.
            stated: its description in the header.
            compare: also have a second decoder read it. If one of the two crashes or hangs, decode without
                comparison.

        Returns:
            cells of `stated.shape` and `stated.dtype`, their photometric interpretation, and the name of the
            decoder if it is not the first one of the syntax.

        Raises:
            PixelError: `pixels_undecodable`, `decoders_disagree`, `decoder_crashed`, or `decoder_timeout`.
        """
        named = f"PixelData: {stated.syntax}"
        with self._lock:
            tries = [compare, False] if compare else [False]
            if self._process is not None:
                tries.insert(0, compare)
            while tries:
                compared = tries.pop(0)
                try:
                    return self._ask(codestream, stated, compared)
                except ConnectionError:
                    timeout = self._end() == -signal.SIGALRM
                    if timeout:
                        tries = [False] * compared
                except PixelError:
                    raise
                except BaseException:  # an unread response would be taken for the next one
                    self._end()
                    raise
        raise PixelError("decoder_timeout" if timeout else "decoder_crashed", named)

    def close(self) -> None:
        """End the process; the next frame starts another."""
        with self._lock:
            self._end()

    def _ask(self, codestream: bytes, stated: PixelDescription, compare: bool) -> Decoded:
        link = self._link or self._start()
        about = json.dumps(stated).encode()
        link.sendall(REQUEST.pack(compare, len(about), len(codestream)) + about)
        link.sendall(codestream)
        verdict, photometric, name, size = REPLY.unpack(_received(link, REPLY.size))
        if verdict in (REFUSED, DISPUTED):
            reason = "pixels_undecodable" if verdict == REFUSED else "decoders_disagree"
            raise PixelError(reason, f"PixelData: {stated.syntax}")
        if max(photometric, name) > _LONGEST or size != prod(stated.shape) * stated.dtype.itemsize:
            raise ConnectionAbortedError
        words = [_received(link, length).decode(errors="replace") for length in (photometric, name)]
        if words[1] not in DECODERS:
            raise ConnectionAbortedError
        cells = np.frombuffer(_received(link, size), stated.dtype).reshape(stated.shape)
        return Decoded(cells, *words)

    def _start(self) -> socket.socket:
        self._link, theirs = socket.socketpair()
        limits = (str(self._limits.memory * _MEGABYTE), str(self._limits.seconds))
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603
                # -P: do not import from the folder of the script
                [sys.executable, "-P", str(self._script), str(theirs.fileno()), *limits],
                env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ} | _SETTINGS,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # codecs print diagnostics
                pass_fds=[theirs.fileno()],
            )
        return self._link

    def _end(self) -> int:
        """End the process; return the cause of its death."""
        process, link = self._process, self._link
        self._process = self._link = None
        if link is not None:
            link.close()
        if process is None:
            return 0
        process.kill()  # does nothing to a dead process
        return process.wait()


def _received(link: socket.socket, size: int) -> bytearray:
    data = receive(link, size)
    if len(data) < size:
        raise ConnectionResetError
    return data


class _Shared:
    """The decoder of this process."""

    def __init__(self) -> None:
        self.limits = DecoderLimits()
        self.renew()
        os.register_at_fork(after_in_child=self.renew)  # two processes cannot share one decoder

    def renew(self) -> None:
        """Forget the decoder."""
        self.decoder = Decoder(self.limits)


@cache
def _shared() -> _Shared:
    """Return the decoder of this process; made at first use, so that an import leaves no hook."""
    return _Shared()


def limit_decoder(limits: DecoderLimits) -> None:
    """Set the limits of this process's decoding process."""
    shared = _shared()
    if limits != shared.limits:
        shared.decoder.close()
        shared.limits = limits
        shared.renew()


def decode_frame(codestream: bytes, stated: PixelDescription, compare: bool = False) -> Decoded:
    """Decode one frame in the decoding process of this process; see `Decoder.decode`."""
    return _shared().decoder.decode(codestream, stated, compare)
