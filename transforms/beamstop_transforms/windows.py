"""WriteWindows: from the rows of a stream to Parquet files and a record for each window."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import PCollection
from apache_beam.transforms.trigger import AccumulationMode, AfterCount, AfterWatermark
from apache_beam.transforms.window import FixedWindows

from beamstop.audit import CHANGES, CROSSWALK, INSTANCES, Row, bucket_digest, bucket_of, leaf
from beamstop_transforms.devices import as_recorded, commonest, seen_by_device
from beamstop_transforms.instance import GENERATION
from beamstop_transforms.record import Run, columns_of, complete, counts, counts_of, put_record
from beamstop_transforms.step import Transform
from beamstop_transforms.tables import Put, Table

_LATEST = 31 * 24 * 3600  # seconds: no message is older, so that none comes too late to be written


def into_windows(seconds: float) -> Any:
    """Return the transform that puts elements into windows; what comes late is a part of its own."""
    return beam.WindowInto(
        FixedWindows(seconds),
        trigger=AfterWatermark(late=AfterCount(1)),
        accumulation_mode=AccumulationMode.DISCARDING,
        allowed_lateness=_LATEST,
    )


@dataclass(eq=False)
class WriteWindows(Transform):
    """Write AUDIT/instances, /changes and CROSSWALK; for each window with rows, last AUDIT/runs/<id>.json.

    To whoever reads the audit, each window is a run: its id, its files, its record with counts and seal.
    """

    run: Run

    def expand(self, rows: PCollection[Row]) -> PCollection[dict[str, Any]]:
        """From rows with what belongs to them, return the counts of each window when its record stands."""
        grouped = rows | "Key" >> beam.Map(_alone) | "ByWindow" >> beam.GroupByKey()
        return grouped | "Write" >> beam.ParDo(_WriteWindowFn(self.run))


def _alone(row: Row) -> tuple[str, Row]:
    return "", row


def window_id(stream: str, end: datetime, part: int) -> str:
    """Return the run_id of a window of a stream: sorts by time, and is its own for each part that is late.

    >>> window_id("20260102T030405Z-00a1b2c3d4e", datetime(2026, 1, 2, 3, 10, tzinfo=UTC), 0)
    '20260102T031000Z-00a1b2c3d4e'
    """
    name = f"{end.strftime('%Y%m%dT%H%M%SZ')}-{stream.partition('-')[2]}"
    return f"{name}-late{part:06}" if part else name  # as texts they sort by number


class _WriteWindowFn(beam.DoFn):
    def __init__(self, run: Run) -> None:
        super().__init__()
        self._run = run

    def setup(self) -> None:
        self._identity = self._run.target.identity()

    def process(
        self,
        group: tuple[str, Iterable[Row]],
        window: Any = beam.DoFn.WindowParam,
        pane: Any = beam.DoFn.PaneInfoParam,
    ) -> Iterator[dict[str, Any]]:
        start, end = (at.to_utc_datetime().replace(tzinfo=UTC) for at in (window.start, window.end))
        stream = self._run.target.run_id
        run_id = window_id(stream, end, pane.index)
        run = replace(self._run, target=replace(self._run.target, run_id=run_id), started=start.isoformat())
        columns = run.columns
        newest = _newest(group[1])
        rows = [complete(row, columns, self._identity) for row in newest]
        files = [_table(run, "instances", INSTANCES).put_all(map(columns_of, rows))]
        if run.detail:
            files.append(_put_changes(_table(run, "changes", CHANGES), newest))
        if run.crosswalk is not None:
            ties = (_tie(row["crosswalk"]) for row in newest if "crosswalk" in row)
            files.append(Table(run.crosswalk, "", run_id, CROSSWALK, 1, private=True).put_all(ties))
        tally: Counter[str] = Counter()
        leaves: dict[int, dict[str, bytes]] = {}
        for row in rows:
            tally.update(counts_of(row))
            leaves.setdefault(bucket_of(row["source_id"]), {})[row["source_id"]] = leaf(row)
        buckets = {number: bucket_digest(it) for number, it in leaves.items()}
        devices = as_recorded(commonest([seen_by_device(rows)]))
        more = {"stream": stream, "window_end": end.isoformat(), "devices": devices}
        yield put_record(run, counts(len(rows), 0, tally), tally, buckets, files, more)["counts"]


def _table(run: Run, name: str, schema: Any) -> Table:
    return Table(run.target.audit, name, run.target.run_id, schema, 1)


def _put_changes(table: Table, rows: Iterable[Row]) -> Put:
    batches = [row["changes"] for row in rows if "changes" in row]
    changes = pa.Table.from_batches(batches, CHANGES)
    of_the_window = pa.repeat(table.run_id, len(changes))
    return table.put(table.name(0, 1), changes.set_column(0, CHANGES.field("run_id"), of_the_window))


def _newest(rows: Iterable[Row]) -> list[Row]:
    """Return one row of each source, that of its newest generation, as the newest run's row would hold."""
    newest: dict[str, Row] = {}
    for row in rows:
        known = newest.get(row["source_id"])
        if known is None or int(known[GENERATION]) <= int(row[GENERATION]):
            newest[row["source_id"]] = row
    return [newest[source_id] for source_id in sorted(newest)]


def _tie(row: Row) -> Row:
    return {name: row[name] for name in CROSSWALK.names}
