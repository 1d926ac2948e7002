"""SealParts: seal the rows of a run part by part, while it is going on."""

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, NamedTuple

import apache_beam as beam
import pyarrow as pa
from apache_beam import pvalue
from apache_beam.pvalue import PCollection
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from beamstop.audit import CHANGES, CROSSWALK
from beamstop_transforms.attributes import narrow_table
from beamstop_transforms.finished import Finished
from beamstop_transforms.ledger.parts import Part, put_part
from beamstop_transforms.pace import Pace
from beamstop_transforms.record import WITH_MARKS, Run, head_of, place_digests
from beamstop_transforms.step import Transform
from beamstop_transforms.stores.ahead import ahead
from beamstop_transforms.tables import Partial, Table

_INSTANCES, _CHANGES, _CROSSWALK, _ATTRIBUTES = "instances", "changes", "crosswalk", "attributes"
# Bytes of partial files that make up one file: of instances, whose rows are sealed once more, and of changes.
_INSTANCES_TOGETHER, _INSTANCES_AT_MOST = 4 << 20, 16 << 20
_CHANGES_AT_MOST = 256 << 20
_LARGEST = 16 << 20  # bytes of changes, as Arrow holds them, in one part
_MOST = 5_000  # rows in one part
_LONGEST_WAIT = 5.0  # seconds


class Parts(NamedTuple):
    """What SealParts returns: the partial files of each table."""

    instances: Any
    changes: Any
    crosswalk: Any
    attributes: Any


def tables_of(run: Run) -> dict[str, Table]:
    """Return the tables that a run writes rows of its sources to, by name."""
    run_id, audit = run.target.run_id, run.target.audit
    instances = Table(audit, _INSTANCES, run_id, WITH_MARKS)
    tables = {_INSTANCES: replace(instances, together=_INSTANCES_TOGETHER, at_most=_INSTANCES_AT_MOST)}
    if run.detail:
        tables[_CHANGES] = Table(audit, _CHANGES, run_id, CHANGES, at_most=_CHANGES_AT_MOST)
    if run.crosswalk is not None:
        tables[_CROSSWALK] = Table(run.crosswalk, "", run_id, CROSSWALK, private=True)
    if run.attributes is not None:
        tables[_ATTRIBUTES] = narrow_table(run.attributes, run_id)
    return tables


@dataclass(eq=False)
class SealParts(Transform):
    """Write the rows of sources to partial files, each part with its own record.

    A run that breaks loses at most the results of the last twentieth of its time, or of five seconds if
    stores are quick: the next `--incremental` run trusts the rest (`Conclude`).

    Attributes:
        run: the run, for the records of its parts.
    """

    run: Run

    def expand(self, finished: PCollection[Finished]) -> Parts:
        """Return the partial files; if a bundle was retried, those of the attempt that Beam committed."""
        tags = Parts._fields
        outputs = finished | "Seal" >> beam.ParDo(_SealFn(self.run)).with_outputs(*tags)
        return Parts(*(outputs[tag] for tag in tags))


class _SealFn(beam.DoFn):
    def __init__(self, run: Run) -> None:
        super().__init__()
        self._run = run

    def setup(self) -> None:
        self._identity = self._run.target.identity()
        self._tables = tables_of(self._run)
        self._head = head_of(self._run, self._identity)
        self._places = place_digests(self._run, self._identity)
        self._pace = Pace(_LONGEST_WAIT)

    def start_bundle(self) -> None:
        self._waiting: list[Finished] = []
        self._bytes = 0
        self._pace.done()

    def process(self, finished: Finished) -> Iterator[Any]:
        self._waiting.append(finished)
        if finished.changes is not None:
            self._bytes += finished.changes.get_total_buffer_size()
        is_full = self._bytes > _LARGEST or len(self._waiting) == _MOST
        if is_full or (finished.is_last and self._pace.is_due()):
            for table, partial in self._seal():
                yield pvalue.TaggedOutput(table, partial)

    def finish_bundle(self) -> Iterator[Any]:
        window = GlobalWindow()
        for table, partial in self._seal():
            yield pvalue.TaggedOutput(table, WindowedValue(partial, window.max_timestamp(), (window,)))

    def _seal(self) -> list[tuple[str, Partial]]:
        began = perf_counter()
        waiting, self._waiting, self._bytes = self._waiting, [], 0
        if not waiting:
            return []
        rows = [(name, it) for name, it in rows_of_tables(waiting, self._tables).items() if it.num_rows]
        # In parallel: in a bucket, each request is mostly waiting.
        put = ahead(lambda it: (it[0], self._tables[it[0]].put_partial(it[1])), rows)
        partials = list(put)
        part = Part(self._head, self._places, dict(partials))
        put_part(self._run.target.audit, uuid.uuid4().hex, part, self._identity)
        self._pace.done(perf_counter() - began)
        return partials


def rows_of_tables(finished: list[Finished], tables: Mapping[str, Table]) -> dict[str, pa.Table]:
    """Return the rows of each table, as its partial files have them."""
    dicts = {
        _INSTANCES: [it.row for it in finished],
        _CROSSWALK: [it.crosswalk for it in finished if it.crosswalk is not None],
        _ATTRIBUTES: [it.attributes for it in finished if it.attributes is not None],
    }
    batches = [it.changes for it in finished if it.changes is not None and it.changes.num_rows]
    return {
        name: pa.Table.from_batches(batches, CHANGES)
        if name == _CHANGES
        else pa.Table.from_pylist(dicts[name], table.partial_schema)
        for name, table in tables.items()
    }
