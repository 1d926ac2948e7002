"""Skip: leave out the sources that an earlier run has decided."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam import pvalue
from apache_beam.utils.shared import Shared

from beamstop.identity import Identity
from beamstop.keys import resolve_key
from beamstop_transforms.decisions import Decisions, Held
from beamstop_transforms.instance import Source, source_id_of

_SKIPPED, _HELD = "skipped", "held"


class Skipping(NamedTuple):
    """What Skip returns.

    Attributes:
        fresh: the sources to be worked on.
        skipped: source_id of each of the others.
        held: key of the SOP Instance UID, and `Held`, for those of them that have a clean file.
    """

    fresh: Any
    skipped: Any
    held: Any


class Skip(beam.PTransform):
    """Leave out sources whose newest row in the audit has their size and version, recipe and beamstop.

    Args:
        decisions: of earlier runs, loaded once per worker process; None to leave out nothing.
        key: reference of the run's key, for the keyed digests of the paths.
    """

    def __init__(self, decisions: Decisions | None, key: str) -> None:
        super().__init__()
        self._decisions = decisions
        self._key = key

    def expand(self, sources: Any) -> Any:
        """Return `Skipping`."""
        if self._decisions is None:
            nothing = [sources.pipeline | f"No{tag}" >> beam.Create([]) for tag in (_SKIPPED, _HELD)]
            return Skipping(sources, *nothing)
        skip = beam.ParDo(_SkipFn(self._decisions, self._key))
        outputs = sources | skip.with_outputs(_SKIPPED, _HELD, main="fresh")
        return Skipping(outputs["fresh"], outputs[_SKIPPED], outputs[_HELD])


class _SkipFn(beam.DoFn):
    def __init__(self, decisions: Decisions, key: str) -> None:
        super().__init__()
        self._pickled = decisions
        self._key = key
        self._shared = Shared()

    def setup(self) -> None:
        self._decisions = self._shared.acquire(lambda: self._pickled)
        self._identity = Identity(resolve_key(self._key))

    def process(self, source: Source) -> Iterator[Any]:
        source_id = source_id_of(source, self._identity)
        decision = self._decisions.find(source_id, source.size, source.version)
        if decision is None:
            yield source
            return
        yield pvalue.TaggedOutput(_SKIPPED, source_id)
        if decision.uid_key is not None:
            yield pvalue.TaggedOutput(_HELD, (decision.uid_key, Held(source_id, decision.file)))
