"""Sample: take some sources from all over an archive, for a first look."""

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
        number: how many sources; all if there are fewer.
    """

    number: int

    def expand(self, sources: PCollection[Source]) -> PCollection[Source]:
        """Return the sources whose paths have the lowest digests, so that no folder is favoured."""
        taken = sources | "Lowest" >> Top.Of(self.number, key=_rank, reverse=True)
        return taken | "Each" >> beam.FlatMap(_each)


def _rank(source: Source) -> bytes:
    return hashlib.sha256(source.raw_path).digest()


def _each(sources: Iterable[Source]) -> Iterable[Source]:
    return sources
