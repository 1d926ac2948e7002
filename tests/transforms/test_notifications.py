"""From notifications to sources, each generation of an object once; from rows to windows."""

import json
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.io.gcp.pubsub import PubsubMessage
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.testing.test_pipeline import TestPipeline as Pipeline
from apache_beam.testing.test_stream import TestStream as Stream
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.window import TimestampedValue

from beamstop_transforms.instance import Source
from beamstop_transforms.notifications import Notified, notified_source


def attributes(name: str = "a.dcm", generation: int = 7, event: str = "OBJECT_FINALIZE") -> dict[str, str]:
    return {
        "eventType": event,
        "bucketId": "b",
        "objectId": name,
        "objectGeneration": str(generation),
        "payloadFormat": "JSON_API_V1",
    }


def test_a_new_object_is_a_source() -> None:
    data = json.dumps({"name": "a.dcm", "size": "123"}).encode()
    assert notified_source(attributes(), data) == Source("gs://b/a.dcm", 123, "7")


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff", b"[]", b'{"size": null}'])
def test_a_size_that_is_not_told_is_zero(data: bytes) -> None:
    assert notified_source(attributes(), data) == Source("gs://b/a.dcm", 0, "7")


@pytest.mark.parametrize(
    "other",
    [
        {},
        {"eventType": "OBJECT_FINALIZE"},
        attributes(event="OBJECT_DELETE"),
        attributes(event="OBJECT_METADATA_UPDATE"),
        attributes(name="folder/"),
        attributes(name=".partial/x"),
        attributes(name="out/.partial/x"),
        {**attributes(), "objectGeneration": "x"},
    ],
)
def test_what_is_no_new_object_is_no_source(other: dict[str, str]) -> None:
    assert notified_source(other, b"") is None


def test_each_generation_comes_through_once_and_never_after_a_newer_one() -> None:
    names = [("a", 1), ("a", 1), ("b", 5), ("out/c", 1), ("a", 3), ("a", 2), ("b", 5), ("outside", 1)]
    messages = [PubsubMessage(b"", attributes(*it)) for it in names]
    stream = Stream()
    for at, message in enumerate(messages):
        stream = stream.add_elements([TimestampedValue(message, at)]).advance_watermark_to(at)
    options = PipelineOptions([], runner="BundleBasedDirectRunner")
    options.view_as(StandardOptions).streaming = True
    with Pipeline(options=options) as pipeline:
        found = pipeline | stream.advance_watermark_to_infinity() | Notified(["gs://b/out"])
        paths: Any = found | beam.Map(lambda source: (source.path, source.version))
        expected = [("gs://b/a", "1"), ("gs://b/b", "5"), ("gs://b/a", "3"), ("gs://b/outside", "1")]
        assert_that(paths, equal_to(expected))
