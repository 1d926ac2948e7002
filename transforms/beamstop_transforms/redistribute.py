"""Redistribute: send sources to all workers, many in one element: a runner may hold them all at once."""

import pickle
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import apache_beam as beam
from apache_beam.pvalue import PCollection
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from beamstop_transforms.instance import Source
from beamstop_transforms.step import Transform

_MOST = 32  # sources in one pack
_ALONE = 256  # sources that go alone, so that a small archive has work for every worker


@dataclass(eq=False)
class Redistribute(Transform):
    """Share sources out among workers, whoever found them; only paths cross this shuffle."""

    def expand(self, sources: PCollection[Source]) -> PCollection[Source]:
        """Return the sources."""
        packs = sources | "Pack" >> beam.ParDo(_PackFn())
        return packs | "Reshuffle" >> beam.Reshuffle() | "Unpack" >> beam.FlatMap(unpack)


class Packing:
    """Puts sources into packs, more in one the more there are. Names that are alike take little room."""

    def __init__(self) -> None:
        self._waiting: list[Source] = []
        self._seen = 0

    def add(self, source: Source) -> Iterator[bytes]:
        """Take a source; yield a pack when it is full."""
        self._waiting.append(source)
        self._seen += 1
        if len(self._waiting) >= min(self._seen // _ALONE + 1, _MOST):
            yield from self.finish()

    def finish(self) -> Iterator[bytes]:
        """Yield what waits, if anything does."""
        if self._waiting:
            yield pack(self._waiting)
        self._waiting = []


def pack(sources: Iterable[Source]) -> bytes:
    """Return sources as bytes."""
    return zlib.compress(pickle.dumps([(it.path, it.size, it.version) for it in sources]), 1)


def unpack(packed: bytes) -> Iterator[Source]:
    """Yield the sources of a pack."""
    for found in pickle.loads(zlib.decompress(packed)):  # noqa: S301  a worker of this run made it
        yield Source(*found)


class _PackFn(beam.DoFn):
    def start_bundle(self) -> None:
        self._packing = Packing()

    def process(self, source: Source) -> Iterator[bytes]:
        return self._packing.add(source)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        window = GlobalWindow()
        for packed in self._packing.finish():
            yield WindowedValue(packed, window.max_timestamp(), (window,))
