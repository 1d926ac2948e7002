"""Where files are read and written: local folders, buckets and imaging servers, behind one small protocol."""

import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from beamstop_transforms.stores import gcs, local, objects
from beamstop_transforms.stores.base import (
    BUCKETS,
    PARTIAL,
    Found,
    Store,
    StoreError,
    is_dicomweb,
    is_elsewhere,
    is_remote,
)
from beamstop_transforms.stores.check_objects import check_objects
from beamstop_transforms.stores.dicomweb import DicomwebStore, check_dicomweb
from beamstop_transforms.stores.local import LocalStore, open_at_once

__all__ = [
    "BUCKETS",
    "PARTIAL",
    "Found",
    "Store",
    "StoreError",
    "can_be_divided",
    "check_remote",
    "is_dicomweb",
    "is_elsewhere",
    "is_remote",
    "list_letters",
    "list_level",
    "list_remote",
    "object_itself",
    "open_at_once",
    "open_seekable",
    "open_store",
    "paths_in",
    "read_range",
    "read_remote",
    "version_of",
]


def open_store(target: str, private: bool = False) -> Store:
    """Return the store of a local folder, a prefix in a bucket, or a `dicomweb:` service.

    Args:
        target: path or address.
        private: files written to a local folder can be read by their owner only (mode 0600).

    Raises:
        StoreError: it is empty: that would be the root of the file system.
    """
    if not target:
        raise StoreError(
            "a folder's name is empty, as of a variable that is not set; . is the current folder"
        )
    if is_dicomweb(target):
        return DicomwebStore(target)
    if _is_gcs(target):
        return gcs.GcsStore(target)
    return objects.ObjectStore(target) if is_remote(target) else LocalStore(target, private)


def _is_gcs(path: str) -> bool:
    return path.startswith("gs://")


def paths_in(target: str, folder: str, ending: str) -> list[str]:
    """Return the paths of the files in a folder of a target that have this ending, sorted."""
    names = (name for name in open_store(target).names(folder) if name.endswith(ending))
    if is_remote(target):
        return sorted(f"{target.rstrip('/')}/{name}" for name in names)
    return sorted(local.file_inside(target.rstrip("/"), name) for name in names)


def open_seekable(path: str) -> AbstractContextManager[Any]:
    """Open a file or object to read parts of it; a small object is read as a whole, in one request."""
    if _is_gcs(path):
        return gcs.open_object(path)
    return objects.open_object(path) if is_remote(path) else open(path, "rb")


def read_remote(path: str) -> bytes:
    """Return the bytes of one object.

    Raises:
        OSError: it cannot be read.
        StoreError: the credentials are no longer valid.
    """
    return gcs.read_object(path) if _is_gcs(path) else objects.read_object(path)


def read_range(path: str, start: int, length: int) -> bytes:
    """Return a range of bytes of a file or object; fewer bytes if it ends before.

    Raises:
        OSError: it cannot be read.
        StoreError: the credentials are no longer valid.
    """
    if is_remote(path):
        return (gcs if _is_gcs(path) else objects).read_range(path, start, length)
    with open(path, "rb", opener=open_at_once) as file:
        file.seek(start)
        return file.read(length)


def version_of(path: str) -> tuple[int, str] | None:
    """Return size and version of a file or object as it is now; None if there is none."""
    if is_remote(path):
        found = object_itself(path)
        return found and found[1:]
    try:
        about = os.stat(path)
    except OSError:
        return None
    return about.st_size, str(about.st_mtime_ns)


Listed = tuple[str, int, str]  # path, size and version of an object


def list_remote(address: str) -> Iterator[Listed]:
    """Yield the objects whose addresses have this prefix, page by page."""
    return gcs.list_objects(address) if _is_gcs(address) else objects.list_objects(address)


def object_itself(address: str) -> Listed | None:
    """Return the object with this address; None if there is none."""
    address = address.rstrip("/")
    return gcs.object_itself(address) if _is_gcs(address) else objects.object_itself(address)


def list_level(address: str) -> Iterator[Listed | str]:
    """Yield the objects under a prefix up to the next `/`, and the longer prefixes that end there.

    If the prefix itself is yielded, its level is too large to be held in memory: list it page by page.
    """
    return gcs.list_level(address) if _is_gcs(address) else objects.list_level(address)


def can_be_divided(address: str) -> bool:
    """Return whether `list_letters` works for this address."""
    return _is_gcs(address)


def list_letters(address: str) -> Iterator[Listed | str]:
    """Yield the objects under a `gs://` prefix if they fit one page, otherwise longer prefixes."""
    return gcs.list_letters(address)


def check_remote(inputs: Iterable[str], targets: Iterable[str]) -> frozenset[str]:
    """Check that there are credentials, that buckets exist and may be used, and that imaging servers answer.

    Args:
        inputs: paths and addresses to read from.
        targets: folders and prefixes to write to and read back; a small object is written to each bucket and
            removed again.

    Returns:
        the targets in which objects cannot be removed: retention, or no permission to delete.

    Raises:
        StoreError: a store may not be used, or ignores conditions on writes; the message says the remedy.
    """
    inputs, targets = list(inputs), list(targets)
    for server in filter(is_dicomweb, [*inputs, *targets]):
        check_dicomweb(server)
    kept = gcs.check_buckets(filter(_is_gcs, inputs), filter(_is_gcs, targets))
    others = [[it for it in some if is_remote(it) and not _is_gcs(it)] for some in (inputs, targets)]
    kept |= check_objects(*others)
    return frozenset(it for it in targets if "/".join(it.split("/", 3)[:3]) in kept)
