"""Sources on their way to all workers."""

import os
from itertools import pairwise

import apache_beam as beam
from apache_beam.testing.util import assert_that, equal_to

from beamstop_transforms.instance import Source
from beamstop_transforms.redistribute import HEADERS, TEXT, Packing, Redistribute, Work, unpack

SOURCES = [
    Source(f"/archive/{number // 500:05}/{number:08}.dcm", number, str(number)) for number in range(20_000)
]


MANY = [Source(f"/archive/{number}", 1_000, "") for number in range(20_000)]  # so that packs are large


def packs(sources: list[Source], work: Work = HEADERS) -> list[bytes]:
    packing = Packing(work)
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
    assert max(sizes) == sizes[-9] == 32


def test_a_source_of_many_takes_few_bytes() -> None:
    """A local runner holds all of them at once."""
    assert sum(map(len, packs(SOURCES))) < 50 * len(SOURCES)


def of_large(work: Work, size: int, number: int = 2_000) -> list[list[Source]]:
    """Return the packs of so many sources of one size that come after many small ones."""
    large = [Source(f"/archive/large/{it}", size, "") for it in range(number)]
    unpacked = [list(unpack(it)) for it in packs([*MANY, *large], work)]
    return [it for it in unpacked if all(source.size == size for source in it)]


def test_a_pack_has_64_megabytes_at_most_or_a_source_alone() -> None:
    assert max(len(it) for it in of_large(HEADERS, 5 << 20)) == 12
    assert {len(it) for it in of_large(HEADERS, 100 << 20, 80)} == {1}


def test_a_pack_in_which_text_is_looked_for_has_two_minutes_of_work_at_most() -> None:
    assert max(len(it) for it in of_large(TEXT, 1 << 20)) == 18
    assert max(len(it) for it in of_large(TEXT, 39_000)) == 32


def test_neighbours_go_into_different_packs() -> None:
    for it in packs(MANY)[1_000:1_100]:
        numbers = [int(source.path.rpartition("/")[2]) for source in unpack(it)]
        assert {after - before for before, after in pairwise(numbers)} == {8}
