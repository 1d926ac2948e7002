"""Where files are put: a local folder, a `gs://` prefix or an imaging server, behind one small protocol."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any

from beamstop_transforms.stores.base import PARTIAL, Found, Store, StoreError, is_dicomweb, is_remote
from beamstop_transforms.stores.dicomweb import DicomwebStore, check_dicomweb
from beamstop_transforms.stores.gcs import (
    GcsStore,
    check_buckets,
    list_letters,
    list_level,
    list_remote,
    open_object,
    read_remote,
)
from beamstop_transforms.stores.local import LocalStore

__all__ = [
    "PARTIAL",
    "Found",
    "Store",
    "StoreError",
    "check_remote",
    "is_dicomweb",
    "is_remote",
    "list_letters",
    "list_level",
    "list_remote",
    "open_seekable",
    "open_store",
    "paths_in",
    "read_remote",
]


def open_store(target: str, private: bool = False) -> Store:
    """Return the store of a local folder, `gs://` prefix or `dicomweb:` service.

    Args:
        target: which.
        private: files that are written to a local folder are their owner's alone (mode 0600).
    """
    if is_dicomweb(target):
        return DicomwebStore(target)
    return GcsStore(target) if is_remote(target) else LocalStore(target, private)


def paths_in(target: str, folder: str, ending: str) -> list[str]:
    """Return the paths of what lies in a folder of a target and has this ending, sorted."""
    names = (name for name in open_store(target).names(folder) if name.endswith(ending))
    return sorted(f"{target.rstrip('/')}/{name}" for name in names)


def open_seekable(path: str) -> AbstractContextManager[Any]:
    """Open a file or object to read parts of it; a small object comes whole, in one request."""
    return open_object(path) if is_remote(path) else open(path, "rb")


def check_remote(inputs: Iterable[str], targets: Iterable[str]) -> None:
    """Check that there are credentials, that the buckets exist and may be used, and imaging servers answer.

    Args:
        inputs: what is read.
        targets: what is written to, and read again.

    Raises:
        StoreError: one may not, as far as can be told without reading or writing an object.
    """
    inputs, targets = list(inputs), list(targets)
    for server in filter(is_dicomweb, [*inputs, *targets]):
        check_dicomweb(server)
    check_buckets(filter(is_remote, inputs), filter(is_remote, targets))
