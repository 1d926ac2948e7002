"""A local folder as a store."""

import errno
import fcntl
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime
from io import FileIO

from beamstop_transforms.stores.base import PARTIAL, Found, StoreError


class LocalStore:
    """A folder; new folders can be used by their owner only (mode 0700).

    A file is written under `.partial` and then moved, so that it is whole when its final name appears.
    Lock files keep processes of one machine from writing the same name at the same time.
    """

    def __init__(self, root: str, private: bool = False) -> None:
        self._mode = 0o600 if private else 0o666  # minus the process's umask
        self._root = root  # a text: for a small file, pathlib would take as long as all the rest
        self._staged: dict[int, str] = {}  # id of a content → path of the file that has it, already durable
        self._changed: set[str] | None = None  # folders whose entries are not yet durable

    def find(self, name: str) -> Found | None:
        """See `Store`."""
        if os.path.islink(inside(self._root, name)):
            return Found(self._version_of(name), "")  # whatever it leads to is not ours
        found = self.read(name)
        return found and Found(found[0], hashlib.sha256(found[1]).hexdigest())

    def read(self, name: str) -> tuple[object, bytes] | None:
        """See `Store`."""
        try:
            with open(file_inside(self._root, name), "rb") as file:
                return _version(os.fstat(file.fileno())), file.read()
        except FileNotFoundError:
            return None

    def write(
        self, name: str, data: bytes, version: object | None, durable: bool = True, about: str = ""
    ) -> bool:
        """See `Store`."""
        inside(self._root, name)
        with self._usable():
            temporary = self._staged.pop(id(data), None) or self._temporary(data, durable)
            try:
                with self._locked(name):
                    if self._version_of(name) != version:
                        return False
                    target = self._at(name)
                    _move(temporary, target)
            finally:
                _unlink(temporary)
            if durable and self._changed is not None:
                self._changed.add(os.path.dirname(target))
            elif durable:
                _sync(os.path.dirname(target))
            return True

    def keep(self, name: str, under: str) -> None:
        """See `Store`; as a hard link if the file system has these."""
        source, target = file_inside(self._root, name), inside(self._root, under)
        with self._usable():
            _make_folder(os.path.dirname(target))
            _unlink(target)
            try:
                os.link(source, target)
            except OSError:
                shutil.copyfile(source, target)

    @contextmanager
    def together(self, contents: Sequence[bytes]) -> Iterator[None]:
        """See `Store`; a disk syncs many files at once in hardly more time than one."""
        staged: list[str] = []
        try:
            with self._usable(), ThreadPoolExecutor(_AT_ONCE) as threads:
                staged += [self._temporary(it, durable=False) for it in contents if len(contents) > 1]
                list(threads.map(_sync, staged))
                self._staged = {id(content): path for content, path in zip(contents, staged, strict=False)}
                self._changed = set()
                yield
                list(threads.map(_sync, self._changed))
        finally:
            for path in staged:
                _unlink(path)
            self._staged, self._changed = {}, None

    def remove(self, name: str) -> None:
        """See `Store`; also removes folders that become empty. Nothing behind a link is removed."""
        if not _has_link_above(self._root, name):
            _unlink(self._at(name))
            self._remove_empty(name)

    def _remove_empty(self, name: str) -> None:
        """Remove the folders above a name that are empty."""
        while name := os.path.dirname(name):
            try:
                os.rmdir(self._at(name))
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
                    raise
                if error.errno != errno.ENOENT:
                    break

    def names(self, folder: str, since: datetime | None = None) -> Iterator[str]:
        """See `Store`."""
        for here, _, files in os.walk(file_inside(self._root, folder)):
            for file in files:
                path = os.path.join(here, file)
                if since is None or os.lstat(path).st_mtime >= since.timestamp():
                    yield os.path.relpath(path, self._root)

    def folders(self, folder: str) -> list[str]:
        """See `Store`."""
        try:
            with os.scandir(file_inside(self._root, folder)) as entries:
                return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
        except FileNotFoundError:
            return []

    def clear(self, folder: str) -> None:
        """See `Store`; folders that become empty are removed too."""
        if not _has_link_above(self._root, folder):
            shutil.rmtree(self._at(folder), ignore_errors=True)
            self._remove_empty(folder)

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _temporary(self, data: bytes, durable: bool) -> str:
        path = inside(self._root, f"{PARTIAL}/new/{uuid.uuid4().hex}")
        _make_folder(os.path.dirname(path))
        try:
            with open(path, "xb", buffering=0, opener=self._open) as file:
                _write_all(file, data)
                if durable:
                    os.fsync(file.fileno())
        except BaseException:
            _unlink(path)
            raise
        return path

    def _open(self, path: str, flags: int) -> int:
        return os.open(path, flags, self._mode)

    @contextmanager
    def _usable(self) -> Iterator[None]:
        """Raise StoreError if the whole folder cannot be used, not one file alone."""
        try:
            yield
        except OSError as error:
            number = error.errno or 0
            if number in _OF_THE_PLACE or not os.access(self._root, os.W_OK | os.X_OK):
                raise StoreError(f"{self._root}: {os.strerror(number)}") from None
            raise

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        # All names share 256 lock files: a lock file for each name would double the number of files.
        lock = f"{PARTIAL}/locks/{hashlib.sha256(name.encode()).hexdigest()[:2]}"
        path = file_inside(self._root, lock)
        _make_folder(os.path.dirname(path))
        with open(path, "wb", buffering=0, opener=_open_itself) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _version_of(self, name: str) -> object | None:
        try:
            return _version(os.lstat(self._at(name)))
        except FileNotFoundError:
            return None


# Errors that every other file of the folder would have, too.
_OF_THE_PLACE = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE}
)


def inside(root: str, name: str) -> str:
    """Return the path of a name below a folder.

    Raises:
        StoreError: a folder on the way is a link, which may lead anywhere.
    """
    if _has_link_above(root, name):
        raise _link_in(root)
    return f"{root}/{name}"


def file_inside(root: str, name: str) -> str:
    """Return the same for what will be read, which must not be a link itself.

    Raises:
        StoreError: it is a link itself, too.
    """
    path = inside(root, name)
    if name and os.path.islink(path):
        raise _link_in(root)
    return path


def _link_in(root: str) -> StoreError:
    # Not by its name: a folder may be named by a PatientID that the recipe keeps.
    return StoreError(
        f"{root}: something in it is a link, which beamstop neither follows nor makes: "
        "find it with `find -type l`, and remove it"
    )


def _has_link_above(root: str, name: str) -> bool:
    """Return whether a folder above a name is a link; the root may be one."""
    while name := os.path.dirname(name):
        if os.path.islink(f"{root}/{name}"):
            return True
    return False


def _open_itself(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def _move(temporary: str, target: str) -> None:
    """Move a file to its name and make its folders, again if `remove` removes them meanwhile."""
    while True:
        _make_folder(os.path.dirname(target))
        try:
            return os.replace(temporary, target)
        except FileNotFoundError:
            if not os.path.exists(temporary):
                raise


def _write_all(file: FileIO, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def _unlink(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)


def open_at_once(path: str, flags: int) -> int:
    """Open a file without waiting: a named pipe in an archive must not stop the worker."""
    return os.open(path, flags | os.O_NONBLOCK)


def _version(about: os.stat_result) -> object:
    return about.st_ino, about.st_mtime_ns, about.st_size


def _make_folder(path: str) -> None:
    if not path or os.path.isdir(path):
        return
    _make_folder(os.path.dirname(path))
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        if os.path.islink(path) and not os.path.isdir(path):
            raise  # it leads nowhere; else another process made the folder meanwhile


_AT_ONCE = 16  # files that are synced at the same time


def _sync(path: str) -> None:
    """Wait until the content of a file, or the entries of a folder, would survive a power failure."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
