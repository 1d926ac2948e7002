"""Where files are put: a local folder, a prefix in a bucket, an imaging server; behind one small protocol."""

import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from beamstop_transforms.stores import gcs, objects
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
        target: which.
        private: files that are written to a local folder are their owner's alone (mode 0600).
    """
    if is_dicomweb(target):
        return DicomwebStore(target)
    if _is_gcs(target):
        return gcs.GcsStore(target)
    return objects.ObjectStore(target) if is_remote(target) else LocalStore(target, private)


def _is_gcs(path: str) -> bool:
    return path.startswith("gs://")


def paths_in(target: str, folder: str, ending: str) -> list[str]:
    """Return the paths of what lies in a folder of a target and has this ending, sorted."""
    names = (name for name in open_store(target).names(folder) if name.endswith(ending))
    return sorted(f"{target.rstrip('/')}/{name}" for name in names)


def open_seekable(path: str) -> AbstractContextManager[Any]:
    """Open a file or object to read parts of it; a small object comes whole, in one request."""
    if _is_gcs(path):
        return gcs.open_object(path)
    return objects.open_object(path) if is_remote(path) else open(path, "rb")


def read_remote(path: str) -> bytes:
    """Return the bytes of one object.

    Raises:
        OSError: it cannot be had.
        StoreError: whoever asks is not known any more.
    """
    return gcs.read_object(path) if _is_gcs(path) else objects.read_object(path)


def read_range(path: str, start: int, length: int) -> bytes:
    """Return a part of a file or object, or what there is of it.

    Raises:
        OSError: it cannot be had.
        StoreError: whoever asks is not known any more.
    """
    if is_remote(path):
        return (gcs if _is_gcs(path) else objects).read_range(path, start, length)
    with open(path, "rb", opener=open_at_once) as file:
        file.seek(start)
        return file.read(length)


def version_of(path: str) -> tuple[int, str] | None:
    """Return size and version of a file or object as it stands now; None if it does not."""
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
    """Yield the objects whose addresses begin so, page by page."""
    return gcs.list_objects(address) if _is_gcs(address) else objects.list_objects(address)


def object_itself(address: str) -> Listed | None:
    """Return the object that has this address; None if none has."""
    address = address.rstrip("/")
    return gcs.object_itself(address) if _is_gcs(address) else objects.object_itself(address)


def list_level(address: str) -> Iterator[Listed | str]:
    """Yield the objects under a prefix up to the next `/`, and the longer prefixes that end there.

    The prefix itself stands for a level that is not to be held as a whole, but listed page by page.
    """
    return gcs.list_level(address) if _is_gcs(address) else objects.list_level(address)


def can_be_divided(address: str) -> bool:
    """Return whether `list_letters` is for this address."""
    return _is_gcs(address)


def list_letters(address: str) -> Iterator[Listed | str]:
    """Yield the objects under a `gs://` prefix if they fit one page, else prefixes by which they go apart."""
    return gcs.list_letters(address)


def check_remote(inputs: Iterable[str], targets: Iterable[str]) -> frozenset[str]:
    """Check that there are credentials, that the buckets exist and may be used, and imaging servers answer.

    Args:
        inputs: what is read.
        targets: what is written to, and read again; a small object is written and removed in each bucket.

    Returns:
        the buckets' targets in which what is written has to stay: retention, or no permission to delete.

    Raises:
        StoreError: one may not, or ignores conditions on a write; the message says the remedy.
    """
    inputs, targets = list(inputs), list(targets)
    for server in filter(is_dicomweb, [*inputs, *targets]):
        check_dicomweb(server)
    kept = gcs.check_buckets(filter(_is_gcs, inputs), filter(_is_gcs, targets))
    others = [[it for it in some if is_remote(it) and not _is_gcs(it)] for some in (inputs, targets)]
    kept |= check_objects(*others)
    return frozenset(it for it in targets if "/".join(it.split("/", 3)[:3]) in kept)
