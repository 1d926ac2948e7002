"""Files that options name: regular files, or pipes that end, of a bounded size."""

import errno
import os
import select
import stat
from contextlib import closing
from io import BytesIO
from time import monotonic
from typing import IO

MOST = 4 << 20  # bytes; recipes, keys and answers of reviewers are smaller
_SECONDS = 30  # for what is read from a pipe
_AT_ONCE = 1 << 16


def open_given(path: str | os.PathLike[str], most: int = MOST) -> IO[bytes]:
    """Open a file that an option names. What a pipe has (`<(…)`, /dev/stdin) is read at once.

    Args:
        path: of the file.
        most: bytes of the largest file.

    Raises:
        OSError: it cannot be opened, is a device, a folder or a socket, is too large, or is a pipe that
            nobody writes to or ends within half a minute; `strerror` says which.
    """
    kind = os.stat(path).st_mode
    if not (stat.S_ISREG(kind) or stat.S_ISFIFO(kind)):  # to open a device may do something
        raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    file = open(handle, "rb")  # noqa: SIM115  the caller closes it
    about = os.fstat(handle)
    if stat.S_ISFIFO(about.st_mode):
        with closing(file):
            return BytesIO(_from_pipe(handle, most, path))
    if not stat.S_ISREG(about.st_mode) or about.st_size > most:
        file.close()
        raise OSError(errno.EFBIG, f"larger than {most >> 20} MB", os.fspath(path))
    return file


def read_given(path: str | os.PathLike[str], most: int = MOST) -> bytes:
    """Return the content of a file that an option names; raises as `open_given` does."""
    with open_given(path, most) as file:
        return file.read(most)


def _from_pipe(handle: int, most: int, path: str | os.PathLike[str]) -> bytes:
    data, until = bytearray(), monotonic() + _SECONDS
    while select.select([handle], [], [], max(0.0, until - monotonic()))[0]:
        part = os.read(handle, _AT_ONCE)
        data += part
        if len(data) > most:
            raise OSError(errno.EFBIG, f"larger than {most >> 20} MB", os.fspath(path))
        if not part:
            if not data:
                raise OSError(errno.ENODATA, "nobody writes to this pipe", os.fspath(path))
            return bytes(data)
    raise OSError(errno.ETIMEDOUT, f"a pipe that does not end within {_SECONDS} s", os.fspath(path))
