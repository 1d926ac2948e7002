"""Sample: take some sources of an archive, spread over it, for a first look."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import apache_beam as beam
from apache_beam.pvalue import PCollection
from apache_beam.transforms.combiners import Top

from beamstop_transforms.instance import Source
from beamstop_transforms.step import Transform


@dataclass(eq=False)
class Sample(Transform):
    """Take a number of sources, the same ones each time, in whatever order they are found.

    Attributes:
        number: of sources; all if there are no more.
    """

    number: int

    def expand(self, sources: PCollection[Source]) -> PCollection[Source]:
        """Return those whose paths have the lowest digests, which favours no folder."""
        taken = sources | "Lowest" >> Top.Of(self.number, key=_rank, reverse=True)
        return taken | "Each" >> beam.FlatMap(_each)


def _rank(source: Source) -> bytes:
    return hashlib.sha256(source.raw_path).digest()


def _each(sources: Iterable[Source]) -> Iterable[Source]:
    return sources
