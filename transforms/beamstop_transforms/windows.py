"""WriteWindows: from the rows of a stream to Parquet files and a record for each window."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.transforms.trigger import AccumulationMode, AfterCount, AfterWatermark
from apache_beam.transforms.window import FixedWindows

from beamstop.audit import CHANGES, CROSSWALK, INSTANCES, Row, bucket_digest, bucket_of, leaf
from beamstop.identity import Identity
from beamstop.keys import resolve_key
from beamstop_transforms.audit import Run, columns_of, complete, counts, counts_of, put_record
from beamstop_transforms.tables import Table

_LATEST = 31 * 24 * 3600  # seconds: no message is older, so that none comes too late to be written


class StreamDrafts(NamedTuple):
    """What WriteWindows needs of the graph: as in `Drafts`."""

    rows: Any
    changes: Any
    crosswalk: Any


def into_windows(seconds: float) -> Any:
    """Return the transform that puts elements into windows; what is late is not lost but a part of its own."""
    return beam.WindowInto(
        FixedWindows(seconds),
        trigger=AfterWatermark(late=AfterCount(1)),
        accumulation_mode=AccumulationMode.DISCARDING,
        allowed_lateness=_LATEST,
    )


class WriteWindows(beam.PTransform):
    """Write AUDIT/instances, /changes and CROSSWALK; for each window with rows, last AUDIT/runs/<id>.json.

    To whoever reads the audit, each window is a run: its id, its files, its record with counts and seal.
    """

    def __init__(self, run: Run) -> None:
        super().__init__()
        self._run = run

    def expand(self, drafts: Any) -> Any:
        """From `StreamDrafts`, return the counts of each window when its record stands."""
        named = {"instances": drafts.rows}
        if self._run.detail:
            named["changes"] = drafts.changes
        if self._run.crosswalk is not None:
            named["crosswalk"] = drafts.crosswalk
        return (
            tuple(rows | f"Of{name}" >> beam.Map(_of, name) for name, rows in named.items())
            | "All" >> beam.Flatten()
            | "ByWindow" >> beam.GroupByKey()
            | "Write" >> beam.ParDo(_WriteWindowFn(self._run))
        )


def _of(row: Row, name: str) -> tuple[str, tuple[str, Row]]:
    return "", (name, row)


def window_id(stream: str, end: datetime, part: int) -> str:
    """Return the run_id of a window of a stream: sorts by time, and is its own for each part that is late.

    >>> window_id("20260102T030405Z-00a1b2c3d4e", datetime(2026, 1, 2, 3, 10, tzinfo=UTC), 0)
    '20260102T031000Z-00a1b2c3d4e'
    """
    name = f"{end.strftime('%Y%m%dT%H%M%SZ')}-{stream.partition('-')[2]}"
    return f"{name}-late{part}" if part else name


class _WriteWindowFn(beam.DoFn):
    def __init__(self, run: Run) -> None:
        super().__init__()
        self._run = run

    def setup(self) -> None:
        self._identity = Identity(resolve_key(self._run.key))

    def process(
        self,
        group: tuple[str, Iterable[tuple[str, Row]]],
        window: Any = beam.DoFn.WindowParam,
        pane: Any = beam.DoFn.PaneInfoParam,
    ) -> Iterator[dict[str, Any]]:
        start, end = (at.to_utc_datetime().replace(tzinfo=UTC) for at in (window.start, window.end))
        stream = self._run.target.run_id
        run_id = window_id(stream, end, pane.index)
        run = replace(self._run, target=replace(self._run.target, run_id=run_id), started=start.isoformat())
        columns = {**run.columns, "run_id": run_id}
        rows = [complete(row, columns, self._identity) for row in _newest(_named("instances", group[1]))]
        files = [_table(run, "instances", INSTANCES).put_all(map(columns_of, rows))]
        if run.detail:
            changes = ({**row, "run_id": run_id} for row in _named("changes", group[1]))
            files.append(_table(run, "changes", CHANGES).put_all(changes))
        if run.crosswalk is not None:
            ties = _named("crosswalk", group[1])
            files.append(Table(run.crosswalk, "", run_id, CROSSWALK, 1).put_all(map(_tie, ties)))
        tally: Counter[str] = Counter()
        leaves: dict[int, dict[str, bytes]] = {}
        for row in rows:
            tally.update(counts_of(row))
            leaves.setdefault(bucket_of(row["source_id"]), {})[row["source_id"]] = leaf(row)
        buckets = {number: bucket_digest(it) for number, it in leaves.items()}
        more = {"stream": stream, "window_end": end.isoformat()}
        yield put_record(run, counts(len(rows), 0, tally), tally, buckets, files, more)["counts"]


def _table(run: Run, name: str, schema: Any) -> Table:
    return Table(run.target.audit, name, run.target.run_id, schema, 1)


def _named(name: str, elements: Iterable[tuple[str, Row]]) -> Iterator[Row]:
    return (row for its_name, row in elements if its_name == name)


def _newest(rows: Iterable[Row]) -> list[Row]:
    """Return one row of each source, that of its newest generation, as the newest run's row would hold."""
    newest: dict[str, Row] = {}
    for row in rows:
        known = newest.get(row["source_id"])
        if known is None or int(known["source_version"]) <= int(row["source_version"]):
            newest[row["source_id"]] = row
    return [newest[source_id] for source_id in sorted(newest)]


def _tie(row: Row) -> Row:
    return {name: row[name] for name in CROSSWALK.names}
