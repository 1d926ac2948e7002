"""The protocol of all stores, and their errors."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import NamedTuple, Protocol

from beamstop.errors import DeidError

BUCKETS = ("gs://", "s3://", "az://")  # how addresses in object stores begin
ABOUT = "beamstop"  # the key of our line in an object's metadata
PARTIAL = ".partial"  # the only hidden folder of a target: unfinished work


STAYS = "files there cannot be removed: retention, a hold, or no permission to delete"


class StoreError(DeidError):
    """A store cannot be used; the message says the remedy."""


class KeptError(StoreError):
    """A file cannot be removed: retention, a hold, or no permission to delete."""


class Found(NamedTuple):
    """A file or object that was found under a name.

    Attributes:
        version: changes with every write; `write` compares it.
        sha256: of the content, in hex.
        about: the line that `write` got; empty if it got none, or the store cannot keep one.
    """

    version: object
    sha256: str
    about: str = ""


class Store(Protocol):
    """Whole objects by name; a name is a relative path with `/`."""

    def find(self, name: str) -> Found | None:
        """Return what is found under a name; None if there is nothing."""

    def read(self, name: str) -> tuple[object, bytes] | None:
        """Return version and content of the file with a name; None if there is none."""

    def write(
        self, name: str, data: bytes, version: object | None, durable: bool = True, about: str = ""
    ) -> bool:
        """Write data under a name, atomically, if the name still has this version.

        Args:
            name: of the file.
            data: the whole content.
            version: as `find` or `read` returned it; None if there must be no file yet.
            durable: return only when the data would survive a power failure.
            about: a line of ASCII to keep with the content, if the store can: buckets can.

        Returns:
            False if the name has another version; then nothing was written. True also if exactly this content
            with exactly this line is there already: the response to an upload may have been lost.

        Raises:
            StoreError: nothing can be written there, such as on a full disk.
        """

    def keep(self, name: str, under: str) -> None:
        """Copy a file to another name, replacing any file of that name."""

    def together(self, contents: Sequence[bytes]) -> AbstractContextManager[None]:
        """Make it cheap to write these contents inside the `with` block; they are durable when it ends.

        Raises:
            StoreError: see `write`.
        """

    def remove(self, name: str) -> None:
        """Remove the file with a name, if there is one.

        Raises:
            KeptError: it cannot be removed.
        """

    def names(self, folder: str, since: datetime | None = None) -> Iterator[str]:
        """Yield the names below a folder; all names if `folder` is empty.

        Args:
            folder: name of the folder.
            since: leave out files last written before this time, by the store's clock.
        """

    def folders(self, folder: str) -> list[str]:
        """Return the names of the folders in a folder, sorted."""

    def clear(self, folder: str) -> None:
        """Remove a folder and all files in it, except files that cannot be removed."""


def is_remote(target: str) -> bool:
    """Return whether a path is an address in an object store."""
    return target.startswith(BUCKETS)


def is_elsewhere(path: str) -> bool:
    """Return whether a path is not local."""
    return is_remote(path) or is_dicomweb(path)


def is_dicomweb(target: str) -> bool:
    """Return whether a target is an imaging server."""
    return target.startswith("dicomweb:")
