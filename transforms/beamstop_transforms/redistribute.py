"""Redistribute: send sources to all workers, packed: a runner may hold all elements in memory."""

import pickle
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
from apache_beam.metrics.metric import Metrics
from apache_beam.pvalue import PCollection
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from beamstop.dicom.limits import DEFAULT_LIMITS
from beamstop_transforms.instance import Source
from beamstop_transforms.ledger.attempts import Attempts
from beamstop_transforms.metrics import LISTED
from beamstop_transforms.read_ahead import AT_ONCE, ReadAhead, is_far
from beamstop_transforms.step import Transform

_MOST = 32  # sources in one pack
_ALONE = 256  # the first sources, one per pack, so that a small archive has work for every worker
_LARGEST = 64 << 20  # bytes of the sources of one pack
_TOGETHER_FOR = 1.0  # seconds of estimated work for which even a few remote sources are packed together
_LONGEST = 120.0  # seconds of estimated work in one pack: at the end, all wait for the last one
_OPEN = 8  # packs that are filled in rotation
_MEGABYTE = 1 << 20


@dataclass(frozen=True)
class Work:
    """An estimate of how long a source takes, by its size: nothing else is known before it is read.

    Attributes:
        each: seconds for each source.
        megabyte: further seconds for each megabyte.
    """

    each: float
    megabyte: float

    def of(self, source: Source) -> float:
        """Return the estimated seconds for a source."""
        return self.each + self.megabyte * source.size / _MEGABYTE


# Measured on a shared CPU: docs/performance.md. Text detection takes 0.3 s a frame, and a frame of a
# compressed cine has some 50 kB.
HEADERS, TEXT = Work(0.005, 0.05), Work(0.4, 6.0)


@dataclass(eq=False)
class Redistribute(Transform):
    """Distribute sources evenly among workers; only paths cross this shuffle.

    Attributes:
        work: estimates how long a source takes.
        attempts: notes which packs workers process; None for no notes.
        max_bytes: larger sources are not read ahead.
    """

    work: Work = field(default=HEADERS)
    attempts: Attempts | None = None
    max_bytes: int = DEFAULT_LIMITS.bytes

    def expand(self, sources: PCollection[Source]) -> PCollection[Source]:
        """Return the sources."""
        packs = sources | "Pack" >> beam.ParDo(_PackFn(self.work))
        unpack = beam.ParDo(_UnpackFn(self.attempts, self.max_bytes))
        return packs | "Reshuffle" >> beam.Reshuffle() | "Unpack" >> unpack


class Packing:
    """Puts sources into packs; the more sources there are, the larger the packs. They are compressed.

    Number, bytes and estimated work of its sources limit a pack. Neighbours go into different packs, so that
    a series of large instances is distributed.

    Args:
        work: estimates how long a source takes.
    """

    def __init__(self, work: Work = HEADERS) -> None:
        self._work = work
        self._open: list[list[Source]] = [[] for _ in range(_OPEN)]
        self._loads = [(0, 0.0)] * _OPEN  # bytes and seconds
        self._seen = 0

    def add(self, source: Source) -> Iterator[bytes]:
        """Add a source; yield packs that are full."""
        number = self._seen % _OPEN
        self._seen += 1
        size, seconds = self._loads[number]
        load = size + source.size, seconds + self._work.of(source)
        if self._open[number] and _is_too_much(load):
            yield from self._close(number)
            load = source.size, self._work.of(source)
        self._open[number].append(source)
        self._loads[number] = load
        many = min(self._seen // _ALONE + 1, _MOST)
        if is_far(source) and load[1] < _TOGETHER_FOR:
            many = max(many, AT_ONCE)  # sources that are fetched at the same time must be in one pack
        if len(self._open[number]) >= many or _is_too_much(load):
            yield from self._close(number)

    def finish(self) -> Iterator[bytes]:
        """Yield the remaining packs."""
        for number in range(_OPEN):
            yield from self._close(number)

    def _close(self, number: int) -> Iterator[bytes]:
        if self._open[number]:
            yield pack(self._open[number])
        self._open[number], self._loads[number] = [], (0, 0.0)


def _is_too_much(load: tuple[int, float]) -> bool:
    return load[0] > _LARGEST or load[1] > _LONGEST


def pack(sources: Iterable[Source]) -> bytes:
    """Return sources as bytes."""
    return zlib.compress(pickle.dumps([_packed(it) for it in sources]), 1)


def _packed(source: Source) -> tuple[Any, ...]:
    plain = source.path, source.size, source.version
    return (*plain, source.suspect, source.span) if source.suspect or source.span else plain


def unpack(packed: bytes) -> Iterator[Source]:
    """Yield the sources of a pack."""
    for found in pickle.loads(zlib.decompress(packed)):  # noqa: S301  a worker of this run made it
        yield Source(*found)


class _PackFn(beam.DoFn):
    def __init__(self, work: Work) -> None:
        super().__init__()
        self._work = work

    def setup(self) -> None:
        self._listed = Metrics.counter("Redistribute", LISTED)

    def start_bundle(self) -> None:
        self._packing = Packing(self._work)

    def process(self, source: Source) -> Iterator[bytes]:
        self._listed.inc()
        return self._packing.add(source)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        window = GlobalWindow()
        for packed in self._packing.finish():
            yield WindowedValue(packed, window.max_timestamp(), (window,))


class NotingFn(beam.DoFn):
    """Yields sources that are read ahead, and notes which pack is being processed."""

    def __init__(self, attempts: Attempts | None, max_bytes: int) -> None:
        super().__init__()
        self._attempts = attempts
        self._max_bytes = max_bytes
        self._at: bytes | None = None

    def setup(self) -> None:
        """Start threads that read ahead."""
        self._ahead = ReadAhead(self._max_bytes)

    def start_bundle(self) -> None:
        """Remove the note of the pack in which the bundle before this one failed."""
        self._forget()
        self._ahead.forget()

    def unpacked(self, packed: bytes) -> Iterator[Source]:
        """Yield the sources of a pack."""
        yield from self.noted(packed, self._ahead.ready(list(unpack(packed))))

    def noted(self, packed: bytes, sources: list[Source]) -> Iterator[Source]:
        """Yield sources, and keep a note that they are being processed.

        Args:
            packed: the pack, the same bytes in every try.
            sources: what is in it.
        """
        if self._attempts is None:
            yield from sources
            return
        self._at = packed
        # The chain is fused: each yield completes a source.
        yield from self._attempts.sources(packed, sources)
        self._at = None

    def teardown(self) -> None:
        """End the threads, and remove the note of a failed pack."""
        self._forget()
        self._ahead.close()

    def _forget(self) -> None:
        """Remove the note of a pack that ended with an exception: its worker is alive."""
        if self._attempts is not None and self._at is not None:
            self._attempts.forget(self._at)
        self._at = None


class _UnpackFn(NotingFn):
    """Holds a pack from elsewhere back until the next one comes, which is fetched meanwhile."""

    def start_bundle(self) -> None:
        super().start_bundle()
        self._held: tuple[bytes, list[Source]] | None = None

    def process(self, packed: bytes) -> Iterator[Source]:
        sources = self._ahead.ready(list(unpack(packed)))
        if not any(map(is_far, sources)):
            yield from self.noted(packed, sources)
            return
        self._ahead.begin()
        held, self._held = self._held, (packed, sources)
        if held is not None:
            yield from self.noted(*held)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        window = GlobalWindow()
        if self._held is not None:
            for source in self.noted(*self._held):
                yield WindowedValue(source, window.max_timestamp(), (window,))
