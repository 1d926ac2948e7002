"""A first look at an archive."""

import random

import apache_beam as beam
from apache_beam.testing.util import assert_that, equal_to

from beamstop_transforms.instance import Source
from beamstop_transforms.sample import Sample

SOURCES = [
    Source(f"/archive/{folder:02}/{number:03}.dcm", number, "")
    for folder in range(20)
    for number in range(50)
]


def test_a_sample_is_the_same_in_whatever_order_sources_come() -> None:
    other = random.Random(1).sample(SOURCES, len(SOURCES))
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        one, two = (
            pipeline
            | name >> beam.Create(it)
            | f"Sample{name}" >> Sample(7)
            | f"List{name}" >> beam.combiners.ToList()
            for name, it in (("one", SOURCES), ("two", other))
        )
        same = (
            (one, two)
            | beam.Flatten()
            | beam.Map(lambda it: tuple(sorted(s.path for s in it)))
            | beam.Distinct()
        )
        assert_that(same | beam.combiners.Count.Globally(), equal_to([1]))
        assert_that(one | "Length" >> beam.Map(len), equal_to([7]))


def test_a_sample_is_spread_over_the_folders() -> None:
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        folders = (
            pipeline | beam.Create(SOURCES) | Sample(60) | beam.Map(lambda it: it.path[:11]) | beam.Distinct()
        )
        assert_that(folders | beam.combiners.Count.Globally(), equal_to([20]))


def test_a_sample_of_more_than_there_are_is_all() -> None:
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        assert_that(pipeline | beam.Create(SOURCES[:3]) | Sample(10), equal_to(SOURCES[:3]))
