"""FindLeftovers, Prune: clean files that no source stands for any more, removed only when asked."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam import pvalue
from apache_beam.pvalue import AsList, PCollection

from beamstop.audit import PRUNED_FILES, Outcome, Row
from beamstop_transforms.ledger.history import History, Leftover
from beamstop_transforms.ledger.numbers import numbers_in
from beamstop_transforms.ledger.sealed import PRUNED, SealedTable
from beamstop_transforms.ledger.target import Target
from beamstop_transforms.paths import is_clean_path
from beamstop_transforms.step import Transform
from beamstop_transforms.stores import open_store
from beamstop_transforms.tables import Put, Table, WritePartialFiles, WriteTable

_SINCE = "since"


class Leftovers(NamedTuple):
    """What FindLeftovers returns.

    Attributes:
        found: every `Leftover`.
        since: one element: how many sources are gone and changed, and whether it is known which are gone.
    """

    found: Any
    since: Any


@dataclass(eq=False)
class FindLeftovers(Transform):
    """Compare what the ledger says with the sources of this run.

    A source counts as gone if this run did not find it although all patterns of the run that has its
    newest row were looked through: what lies outside of this run's patterns is not gone.

    Attributes:
        target: OUTPUT, AUDIT, run.
        inputs: this run's patterns.
        skipped: what `SkipDecided` left out.
    """

    target: Target
    inputs: tuple[str, ...] = field(repr=False)
    skipped: Any = field(repr=False)

    def expand(self, files: PCollection[Put]) -> Leftovers:
        """From this run's tables of instances, which must stand, return `Leftovers`."""
        find = beam.ParDo(_FindFn(self.target, self.inputs), AsList(files), AsList(self.skipped))
        once = files.pipeline | "Once" >> beam.Create([None])
        outputs = once | "Find" >> find.with_outputs(_SINCE, main="found")
        return Leftovers(outputs["found"], outputs[_SINCE])


class _FindFn(beam.DoFn):
    def __init__(self, target: Target, inputs: tuple[str, ...]) -> None:
        super().__init__()
        self._target = target
        self._inputs = inputs

    def process(self, _: None, files: list[Put], skipped: list[bytes]) -> Iterator[Any]:
        own = [SealedTable(it.name, self._target.run_id, it.sha256) for it in sorted(files)]
        history = History(self._target, own, self._inputs, numbers_in(skipped))
        yield from history.leftovers()
        yield pvalue.TaggedOutput(_SINCE, history.since)


@dataclass(eq=False)
class Prune(Transform):
    """Remove leftovers that a run wrote and nobody has changed; those whose source failed stay.

    What is removed is listed first, in AUDIT/pruned, so that all of it may be repeated.
    """

    target: Target

    def expand(self, found: PCollection[Leftover]) -> tuple[PCollection[Put], PCollection[int]]:
        """From `Leftover`, return the lists in AUDIT, and one element for each file removed."""
        table = Table(self.target.audit, PRUNED, self.target.run_id, PRUNED_FILES)
        ours = (
            found
            | "Redistribute" >> beam.Reshuffle()
            | "Ours" >> beam.FlatMap(_ours, self.target)
            | "Keep" >> beam.Reshuffle()  # what is listed and what is removed must be the same
        )
        written = ours | "List" >> WritePartialFiles(table)
        lists = written | "WriteLists" >> WriteTable(table, even_empty=False)
        return lists, ours | "Remove" >> beam.Map(_remove, self.target.output, AsList(lists))


def _ours(left: Leftover, target: Target) -> Iterator[Row]:
    if left.why == Outcome.FAILED:
        return  # it is tried again, and says nothing of the instance
    if not is_clean_path(left.path):
        return  # no run of ours wrote it
    found = open_store(target.output).find(left.path)
    if found is None or found.sha256 == left.sha256:
        yield {
            "run_id": target.run_id,
            "source_id": left.source_id,
            "output_path": left.path,
            "output_sha256": left.sha256,
            "why": left.why,
        }


def _remove(row: Mapping[str, Any], output: str, _lists: list[Put]) -> int:
    store = open_store(output)
    found = store.find(row["output_path"])
    if found is not None and found.sha256 == row["output_sha256"]:
        store.remove(row["output_path"])
    return 1
