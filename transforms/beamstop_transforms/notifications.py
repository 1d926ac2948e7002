"""Notified: turn Pub/Sub's notifications of new objects in Cloud Storage into sources."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
from apache_beam.coders import VarIntCoder
from apache_beam.pipeline import Pipeline
from apache_beam.pvalue import PCollection
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import ReadModifyWriteStateSpec, TimerSpec, on_timer

from beamstop_transforms.instance import Source
from beamstop_transforms.step import Transform
from beamstop_transforms.stores import PARTIAL

_FINALIZED = "OBJECT_FINALIZE"
_REMEMBERED = 7 * 24 * 3600  # seconds: Pub/Sub's default for how long it keeps a message


@dataclass(eq=False)
class ReadNotifications(Transform):
    """Read messages from a Pub/Sub subscription, with their attributes."""

    subscription: str = field(repr=False)

    def expand(self, pipeline: Pipeline) -> PCollection[Any]:
        """Return the messages."""
        from apache_beam.io.gcp.pubsub import ReadFromPubSub

        return pipeline | ReadFromPubSub(subscription=self.subscription, with_attributes=True)


@dataclass(eq=False)
class Notified(Transform):
    """Find the sources in notifications, each generation of an object once.

    A notification may be delivered again, even after one of a newer generation; then it is ignored.

    Attributes:
        targets: the job's own folders and prefixes; new objects there are not sources.
    """

    targets: Iterable[str] = field(repr=False)

    def __post_init__(self) -> None:
        self.targets = tuple(f"{target.rstrip('/')}/" for target in self.targets)

    def expand(self, messages: PCollection[Any]) -> PCollection[Source]:
        """Return the sources."""
        return (
            messages
            | "Sources" >> beam.FlatMap(_named, self.targets).with_output_types(tuple[str, Source])
            | "Newest" >> beam.ParDo(_NewestFn()).with_output_types(Source)
        )


def _named(message: Any, targets: tuple[str, ...]) -> Iterator[tuple[str, Source]]:
    source = notified_source(message.attributes or {}, message.data or b"")
    if source is not None and not source.path.startswith(targets):
        yield source.path, source


def notified_source(attributes: Mapping[str, str], data: bytes) -> Source | None:
    """Return the source of a notification, None if it has none.

    Args:
        attributes: of the message.
        data: the object's metadata as JSON; empty if the notification is configured without it.
    """
    if attributes.get("eventType") != _FINALIZED:
        return None
    bucket, name, generation = map(attributes.get, ("bucketId", "objectId", "objectGeneration"))
    if not bucket or not name or not (generation or "").isdecimal():
        return None
    if name.endswith("/") or f"/{PARTIAL}/" in f"/{name}":
        return None
    return Source(f"gs://{bucket}/{name}", _size(data), str(generation))


def _size(data: bytes) -> int:
    try:
        return int(json.loads(data)["size"])
    except (ValueError, LookupError, TypeError):
        return 0  # the notification does not say


_NEWEST = ReadModifyWriteStateSpec("newest", VarIntCoder())
_FORGET = TimerSpec("forget", TimeDomain.WATERMARK)
_NEWEST_STATE, _FORGET_TIMER = beam.DoFn.StateParam(_NEWEST), beam.DoFn.TimerParam(_FORGET)


class _NewestFn(beam.DoFn):
    """Pass a source on if it is newer than all earlier ones with its name."""

    def process(
        self,
        named: tuple[str, Source],
        timestamp: Any = beam.DoFn.TimestampParam,
        newest: Any = _NEWEST_STATE,
        forget: Any = _FORGET_TIMER,
    ) -> Iterator[Source]:
        source, generation = named[1], int(named[1].version)
        if (newest.read() or 0) >= generation:
            return
        newest.write(generation)
        forget.set(timestamp + _REMEMBERED)
        yield source

    @on_timer(_FORGET)
    def forget(self, newest: Any = _NEWEST_STATE) -> None:
        newest.clear()
