"""Sources on their way to all workers."""

import os

import apache_beam as beam
from apache_beam.testing.util import assert_that, equal_to

from beamstop_transforms.instance import Source
from beamstop_transforms.redistribute import Packing, Redistribute, unpack

SOURCES = [
    Source(f"/archive/{number // 500:05}/{number:08}.dcm", number, str(number)) for number in range(20_000)
]


def packs(sources: list[Source]) -> list[bytes]:
    packing = Packing()
    return [*(it for source in sources for it in packing.add(source)), *packing.finish()]


def test_every_source_arrives_once_as_it_was() -> None:
    odd = Source(os.fsdecode(b"/archive/\xff\n.dcm"), 0, "")
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        spread = pipeline | beam.Create([*SOURCES[:1000], odd]) | Redistribute()
        assert_that(spread, equal_to([*SOURCES[:1000], odd]))


def test_the_first_sources_go_alone_and_later_ones_together() -> None:
    sizes = [len(list(unpack(it))) for it in packs(SOURCES)]
    assert sum(sizes) == len(SOURCES)
    assert sizes[:255] == [1] * 255
    assert max(sizes) == sizes[-2] == 32


def test_a_source_of_many_takes_few_bytes() -> None:
    """A local runner holds all of them at once."""
    assert sum(map(len, packs(SOURCES))) < 50 * len(SOURCES)
