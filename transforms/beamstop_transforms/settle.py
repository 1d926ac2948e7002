"""Settle: say which sources lost to a duplicate, when all have been seen."""

from collections.abc import Iterator
from typing import Any

import apache_beam as beam

from beamstop_transforms.write import Placing, Target


class Settle(beam.PTransform):
    """Finish every contested SOP Instance UID."""

    def __init__(self, target: Target) -> None:
        super().__init__()
        self._target = target

    def expand(self, contested: Any) -> Any:
        """Return source_id and reason of every source that is not written after all."""
        return contested | beam.Distinct() | "Settle" >> beam.ParDo(_SettleFn(self._target))


class _SettleFn(beam.DoFn):
    def __init__(self, target: Target) -> None:
        super().__init__()
        self._target = target

    def setup(self) -> None:
        self._placing = Placing(self._target)

    def process(self, sop_instance_uid: str) -> Iterator[tuple[str, str]]:
        yield from self._placing.settle(sop_instance_uid).items()
