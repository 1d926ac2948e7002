"""Read ahead: fetch the next sources of a pack from an object store while earlier ones are processed."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from beamstop_transforms.archives import archive_of, is_member
from beamstop_transforms.instance import Source
from beamstop_transforms.read import read_source
from beamstop_transforms.stores import is_dicomweb, is_elsewhere

AT_ONCE = 8  # sources that are being fetched, or are fetched and waiting
_MOST_BYTES = 64 << 20  # of all these together: as much as a pack may have


class ReadAhead:
    """Fetches sources in object stores ahead of their use, within a budget of bytes.

    Args:
        max_bytes: larger sources are not fetched.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._pool = ThreadPoolExecutor(AT_ONCE)

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(cancel_futures=True)

    def ready(self, sources: Sequence[Source]) -> list[Source]:
        """Return the sources; remote ones carry their bytes, fetched when needed."""
        if not any(map(is_far, sources)):
            return list(sources)
        return list(_Fetching(self._pool, sources, self._max_bytes).sources())


def is_far(source: Source) -> bool:
    """Return whether a source is in an object store or an imaging server."""
    return is_elsewhere(archive_of(source.path) if is_member(source.path) else source.path)


class _Fetching:
    """The sources of one pack, of which the next ones are being fetched."""

    def __init__(self, pool: ThreadPoolExecutor, sources: Sequence[Source], max_bytes: int) -> None:
        self._pool = pool
        self._sources = sources
        self._max_bytes = max_bytes
        self._coming: dict[int, Future[bytes]] = {}
        self._begun = 0
        self._held = 0

    def sources(self) -> Iterator[Source]:
        for number, source in enumerate(self._sources):
            fits = source.size <= min(self._max_bytes, _MOST_BYTES) and is_far(source) and not source.suspect
            yield replace(source, content=Coming(self, number)) if fits else source

    def take(self, number: int) -> bytes:
        """Return the bytes of one source, and start fetching the next ones."""
        self._begin(number)
        coming = self._coming.pop(number, None)
        try:
            return (
                coming.result() if coming is not None else read_source(self._sources[number], self._max_bytes)
            )
        finally:
            self._held -= _size_of(self._sources[number])

    def _begin(self, number: int) -> None:
        self._begun = max(self._begun, number)
        while self._begun < min(number + AT_ONCE, len(self._sources)):
            source = self._sources[self._begun]
            if self._begun > number and self._held + _size_of(source) > _MOST_BYTES:
                return
            self._held += _size_of(source)
            self._coming[self._begun] = self._pool.submit(read_source, source, self._max_bytes)
            self._begun += 1


def _size_of(source: Source) -> int:
    """Return the estimated size of a source in bytes: imaging servers do not tell it."""
    return _UNKNOWN if is_dicomweb(source.path) else source.size


_UNKNOWN = 16 << 20  # bytes assumed; so four are fetched at a time


class Coming:
    """The bytes of a source that are being fetched; they can be taken once, so that memory is freed."""

    def __init__(self, fetching: _Fetching, number: int) -> None:
        self._fetching: _Fetching | None = fetching
        self._number = number

    def take(self) -> bytes | None:
        """Return the bytes; None if they were taken before.

        Raises:
            Refusal: see `read_source`.
            StoreError: see `read_source`.
        """
        fetching, self._fetching = self._fetching, None
        return fetching.take(self._number) if fetching is not None else None

    def __reduce__(self) -> tuple[type["Gone"], tuple[()]]:
        return Gone, ()


class Gone:
    """Replaces `Coming` when a source is sent to another worker."""

    def take(self) -> bytes | None:
        """Return None: the source has to be read again."""
        return None
