"""Rows of numbers on disk, sorted by the first number, in sealed blocks that are read one by one.

Only the first number of each block is in memory: 12 MB for a hundred million rows. Files are not mapped,
because a memory limit may count their pages. A block is trusted only if its tag is right.
"""

import os
import tempfile
from collections.abc import Iterable, Iterator
from hashlib import blake2b, file_digest, sha256
from threading import Lock
from typing import Any

import numpy as np

from beamstop_transforms.stores import StoreError, is_remote, open_store
from beamstop_transforms.stores.local import file_inside

BLOCK = 64  # rows
FILE_BLOCKS = 1 << 13  # blocks per file: some 24 MB, which are in memory while it is written
_TAG = 16  # bytes
_END = 1 << 64


class SealBrokenError(StoreError):
    """Rows on disk are missing, or not what the key sealed."""


class Shelf:
    """A folder of files below a target; each process fetches a file of a bucket once.

    Args:
        target: a folder or prefix.
        folder: the name of the folder in it.
    """

    def __init__(self, target: str, folder: str) -> None:
        self._target, self._folder = target, folder
        self._store = open_store(target)

    def read(self, name: str) -> bytes | None:
        """Return a whole file; None if it is not there."""
        found = self._store.read(self._path(name))
        return found and found[1]

    def write(self, name: str, data: bytes) -> None:
        """Write a file, replacing any of that name; without fsync, for it can be rebuilt."""
        found = self._store.find(self._path(name))
        self._store.write(self._path(name), data, found and found.version, durable=False)

    def digest(self, name: str) -> str | None:
        """Return the digest of a file, as `write_sorted` computes it; None if it is not there."""
        if is_remote(self._target):
            data = self.read(name)
            return None if data is None else sha256(data).hexdigest()
        try:
            with open(file_inside(self._target, self._path(name)), "rb") as file:
                return file_digest(file, sha256).hexdigest()
        except FileNotFoundError:
            return None

    def names(self) -> set[str]:
        """Return the names of all files."""
        return {it.removeprefix(f"{self._folder}/") for it in self._store.names(self._folder)}

    def remove(self, name: str) -> None:
        """Remove a file, if it is there.

        Raises:
            KeptError: the store does not allow removing it.
        """
        self._store.remove(self._path(name))

    def open(self, name: str) -> int:
        """Return the descriptor of a file with random access.

        Raises:
            SealBrokenError: it is not there.
        """
        if not is_remote(self._target):
            try:
                return os.open(file_inside(self._target, self._path(name)), os.O_RDONLY)
            except FileNotFoundError:
                raise SealBrokenError(f"{self._folder}/{name} is gone") from None
        data = self.read(name)
        if data is None:
            raise SealBrokenError(f"{self._folder}/{name} is gone")
        with tempfile.TemporaryFile() as file:  # it has no name, so that nobody else can write to it
            file.write(data)
            file.flush()
            return os.dup(file.fileno())

    def _path(self, name: str) -> str:
        return f"{self._folder}/{name}"


class SortedRows:
    """Rows that `write_sorted` has written.

    Args:
        shelf: the folder of their files.
        name: how the names of their files begin.
        dtype: of a row; its first field, by which rows are sorted, is a little-endian number of 64 bits.
        count: how many rows there are.
        key: 32 bytes that seal these rows and no others.
    """

    def __init__(self, shelf: Shelf, name: str, dtype: Any, count: int, key: bytes) -> None:
        self._shelf, self._name, self._dtype, self._count, self._key = shelf, name, dtype, count, key
        self._size = dtype.itemsize
        self._stride = BLOCK * self._size + _TAG
        self._blocks = -(-count // BLOCK)
        self._files: dict[int, int] = {}
        self._opening = Lock()
        self._fences = self._read_fences()

    def __len__(self) -> int:
        return self._count

    def __del__(self) -> None:
        for descriptor in self.__dict__.get("_files", {}).values():
            os.close(descriptor)

    def find(self, number: int) -> Iterator[tuple[int, bytes]]:
        """Yield position and bytes of every row that begins with a number.

        Raises:
            SealBrokenError: a block is not what was sealed.
        """
        wanted, size = number.to_bytes(8, "little"), self._size
        block = max(int(np.searchsorted(self._fences, np.uint64(number))) - 1, 0)
        while block < self._blocks and int(self._fences[block]) <= number:
            data = self._read(block, block + 1)
            at = data.find(wanted)
            while at >= 0:
                if at % size == 0:
                    yield block * BLOCK + at // size, data[at : at + size]
                at = data.find(wanted, at + 1)
            block += 1

    def between(self, low: int, high: int) -> tuple[int, Any]:
        """Return the rows with low <= number < high, and before them the position of the first one.

        Raises:
            SealBrokenError: see `find`.
        """
        first = max(int(np.searchsorted(self._fences, np.uint64(low))) - 1, 0)
        last = self._blocks if high >= _END else int(np.searchsorted(self._fences, np.uint64(high)))
        rows = np.frombuffer(self._read(first, max(last, first)), self._dtype)
        numbers = np.ascontiguousarray(rows[self._dtype.names[0]])
        begin = int(np.searchsorted(numbers, np.uint64(low)))
        end = len(rows) if high >= _END else int(np.searchsorted(numbers, np.uint64(high)))
        return first * BLOCK + begin, rows[begin:end]

    def _read(self, first: int, last: int) -> bytes:
        """Return the rows of consecutive blocks."""
        parts = []
        while first < last:
            number, at = divmod(first, FILE_BLOCKS)
            until = min(last, (number + 1) * FILE_BLOCKS)
            length = (until - first - 1) * self._stride + self._length(until - 1)
            data = os.pread(self._file(number), length, at * self._stride)
            if len(data) < length:
                raise SealBrokenError(f"{self._name}: a file is shorter than it was")
            parts += [self._opened(data, it - first, it) for it in range(first, until)]
            first = until
        return b"".join(parts) if len(parts) != 1 else parts[0]

    def _opened(self, data: bytes, at: int, block: int) -> bytes:
        end = at * self._stride + self._length(block)
        rows = data[at * self._stride : end - _TAG]
        if _tag(rows, self._key, block) != data[end - _TAG : end]:
            raise SealBrokenError(f"{self._name}: a block is not what was sealed")
        return rows

    def _length(self, block: int) -> int:
        return min(BLOCK, self._count - block * BLOCK) * self._size + _TAG

    def _file(self, number: int) -> int:
        found = self._files.get(number)
        if found is None:
            with self._opening:
                if number not in self._files:
                    self._files[number] = self._shelf.open(_file_name(self._name, number))
                found = self._files[number]
        return found

    def _read_fences(self) -> Any:
        if self._count == 0:
            return np.empty(0, np.uint64)
        data = self._shelf.read(_fences_name(self._name)) or b""
        if data[-_TAG:] != _tag(data[:-_TAG], self._key, self._blocks):
            raise SealBrokenError(f"{self._name}: the first numbers of its blocks are not what was sealed")
        return np.frombuffer(data[:-_TAG], "<u8").astype(np.uint64)


def write_sorted(
    shelf: Shelf, name: str, dtype: Any, parts: Iterable[Any], key: bytes
) -> tuple[int, dict[str, str]]:
    """Write rows that arrive sorted, one file at a time; return their number, and file name → digest.

    Args:
        shelf: the folder to write to.
        name: how the names of the files begin.
        dtype: see `SortedRows`.
        parts: arrays of rows, sorted within and among each other.
        key: 32 bytes that seal these rows and no others.
    """
    waiting: list[Any] = []
    count = number = 0
    fences: list[bytes] = []
    files: dict[str, str] = {}

    def write(file: str, data: bytes) -> None:
        shelf.write(file, data)
        files[file] = sha256(data).hexdigest()

    def put(rows: Any) -> None:
        nonlocal number
        fences.append(np.ascontiguousarray(rows[dtype.names[0]][::BLOCK]).astype("<u8").tobytes())
        write(_file_name(name, number), _sealed(rows, key, number * FILE_BLOCKS))
        number += 1

    for part in parts:
        waiting.append(part)
        count += len(part)
        while sum(map(len, waiting)) >= _FILE_ROWS:
            every = np.concatenate(waiting)
            put(every[:_FILE_ROWS])
            waiting = [every[_FILE_ROWS:].copy()]
    if any(map(len, waiting)):
        put(np.concatenate(waiting))
    if count:
        packed = b"".join(fences)
        write(_fences_name(name), packed + _tag(packed, key, -(-count // BLOCK)))
    return count, files


_FILE_ROWS = FILE_BLOCKS * BLOCK


def _sealed(rows: Any, key: bytes, first_block: int) -> bytes:
    data, step = memoryview(rows.tobytes()), BLOCK * rows.dtype.itemsize
    sealed = bytearray()
    for at in range(0, len(data), step):
        block = data[at : at + step]
        sealed += block
        sealed += _tag(block, key, first_block + at // step)
    return bytes(sealed)


def _tag(data: bytes | memoryview, key: bytes, number: int) -> bytes:
    return blake2b(data, digest_size=_TAG, key=key, salt=number.to_bytes(8, "little")).digest()


def _file_name(name: str, number: int) -> str:
    return f"{name}-{number:05}"


def _fences_name(name: str) -> str:
    return f"{name}-fences"
