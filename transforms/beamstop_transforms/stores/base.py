"""What every store can do, and what goes wrong with one."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import NamedTuple, Protocol

from beamstop.errors import DeidError

BUCKETS = ("gs://", "s3://", "az://")  # how addresses in object stores begin
ABOUT = "beamstop"  # the name of what is kept beside an object, among its metadata
PARTIAL = ".partial"  # the one hidden folder of a target that holds what is not finished


STAYS = "what is written cannot be removed: retention, a hold, or no permission to delete"


class StoreError(DeidError):
    """An object store that cannot be used as asked; the message says the remedy."""


class KeptError(StoreError):
    """What stands there cannot be removed: retention, a hold, or no permission to delete."""


class Found(NamedTuple):
    """What stands under a name.

    Attributes:
        version: changes with every write; what `write` compares with.
        sha256: of the content, in hex.
        about: what `write` got to keep beside the content; empty if nothing, or no room for it.
    """

    version: object
    sha256: str
    about: str = ""


class Store(Protocol):
    """Whole objects by name; a name is a relative path with `/`."""

    def find(self, name: str) -> Found | None:
        """Return what stands under a name."""

    def read(self, name: str) -> tuple[object, bytes] | None:
        """Return version and content of what stands under a name."""

    def write(
        self, name: str, data: bytes, version: object | None, durable: bool = True, about: str = ""
    ) -> bool:
        """Put data under a name, at once and whole, if it still has this version.

        Args:
            name: where to.
            data: the whole content.
            version: as `find` or `read` returned it; None if nothing may stand there.
            durable: do not return before the data would survive a loss of power.
            about: a line of ASCII to be kept beside the content, where a store has room for it: buckets.

        Returns:
            False if the name has another version: nothing was done. True also if what stands there is this
            very content with this very line: an upload whose answer was lost.

        Raises:
            StoreError: nothing can be written there, such as on a full disk.
        """

    def keep(self, name: str, under: str) -> None:
        """Put what stands under a name under another one as well, in place of what stands there."""

    def together(self, contents: Sequence[bytes]) -> AbstractContextManager[None]:
        """Make it cheap to write these contents inside; what is written is durable when it ends.

        Raises:
            StoreError: see `write`.
        """

    def remove(self, name: str) -> None:
        """Remove what stands under a name, if anything does.

        Raises:
            KeptError: it has to stay.
        """

    def names(self, folder: str, since: datetime | None = None) -> Iterator[str]:
        """Yield the names below a folder; all names for the empty one.

        Args:
            folder: which.
            since: leave out what was last written before, by the store's clock.
        """

    def folders(self, folder: str) -> list[str]:
        """Return the names of the folders in a folder, sorted."""

    def clear(self, folder: str) -> None:
        """Remove a folder with all in it, but what has to stay."""


def is_remote(target: str) -> bool:
    """Return whether a path is an address in an object store."""
    return target.startswith(BUCKETS)


def is_elsewhere(path: str) -> bool:
    """Return whether a path is no local one."""
    return is_remote(path) or is_dicomweb(path)


def is_dicomweb(target: str) -> bool:
    """Return whether a target is an imaging server."""
    return target.startswith("dicomweb:")
