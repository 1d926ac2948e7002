"""Read ahead: fetch the next sources from an object store while earlier ones are processed."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from beamstop_transforms.archives import archive_of, is_member
from beamstop_transforms.instance import Source
from beamstop_transforms.read import read_source
from beamstop_transforms.stores import is_dicomweb, is_elsewhere

AT_ONCE = 8  # sources that are being fetched, or are fetched and waiting
_MOST_BYTES = 64 << 20  # of all these together: as much as a pack may have
_LARGEST = 256 << 20  # bytes of one that waits alone


class ReadAhead:
    """Fetches sources in object stores ahead of their use, within a budget of bytes.

    A source that alone exceeds the budget is fetched if no other one waits, so that a line is not idle while
    a large instance is processed and written.

    Args:
        max_bytes: larger sources are not fetched.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._pool = ThreadPoolExecutor(AT_ONCE)
        self._waiting: dict[int, Source] = {}  # number → one that is not taken yet, in order
        self._coming: dict[int, Future[bytes]] = {}  # number → the bytes of one of these
        self._added = 0
        self._held = 0

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(cancel_futures=True)

    def forget(self) -> None:
        """Fetch nothing more of what was made ready: it will not be taken, or is read again."""
        for number in list(self._waiting):
            self._drop(number)

    def ready(self, sources: Sequence[Source]) -> list[Source]:
        """Return the sources; remote ones carry their bytes, fetched when needed."""
        return [self._planned(source) for source in sources]

    def begin(self) -> None:
        """Fetch as many of the sources that are ready as the budget allows."""
        for number, source in self._waiting.items():
            if number not in self._coming:
                size = _size_of(source)
                fits = self._held + size <= _MOST_BYTES or (self._held == 0 and size <= _LARGEST)
                if len(self._coming) == AT_ONCE or not fits:
                    return
                self._fetch(number, source)

    def take(self, number: int) -> bytes | None:
        """Return the bytes of one source, and start fetching the next ones; None if it was forgotten.

        Sources are taken in order, so those before it that were not taken are forgotten.
        """
        source = self._waiting.get(number)
        if source is None:
            return None
        for passed in [it for it in self._waiting if it < number]:
            self._drop(passed)
        if number not in self._coming:
            self._fetch(number, source)
        self.begin()
        try:
            return self._coming[number].result()
        finally:
            self._drop(number)
            self.begin()

    def _drop(self, number: int) -> None:
        source, coming = self._waiting.pop(number), self._coming.pop(number, None)
        if coming is not None:
            coming.cancel()
            self._held -= _size_of(source)

    def _planned(self, source: Source) -> Source:
        fits = source.size <= min(self._max_bytes, _LARGEST) and is_far(source) and not source.suspect
        if not fits:
            return source
        number = self._added
        self._added += 1
        self._waiting[number] = source
        return replace(source, content=Coming(self, number))

    def _fetch(self, number: int, source: Source) -> None:
        self._held += _size_of(source)
        self._coming[number] = self._pool.submit(read_source, source, self._max_bytes)


def is_far(source: Source) -> bool:
    """Return whether a source is in an object store or an imaging server."""
    return is_elsewhere(archive_of(source.path) if is_member(source.path) else source.path)


def _size_of(source: Source) -> int:
    """Return the estimated size of a source in bytes: imaging servers do not tell it."""
    return _UNKNOWN if is_dicomweb(source.path) else source.size


_UNKNOWN = 16 << 20  # bytes assumed; so four are fetched at a time


class Coming:
    """The bytes of a source that are being fetched; they can be taken once, so that memory is freed."""

    def __init__(self, ahead: ReadAhead, number: int) -> None:
        self._ahead: ReadAhead | None = ahead
        self._number = number

    def take(self) -> bytes | None:
        """Return the bytes; None if they were taken before, or forgotten.

        Raises:
            Refusal: see `read_source`.
            StoreError: see `read_source`.
        """
        ahead, self._ahead = self._ahead, None
        return ahead.take(self._number) if ahead is not None else None

    def __reduce__(self) -> tuple[type["Gone"], tuple[()]]:
        return Gone, ()


class Gone:
    """Replaces `Coming` when a source is sent to another worker."""

    def take(self) -> bytes | None:
        """Return None: the source has to be read again."""
        return None
