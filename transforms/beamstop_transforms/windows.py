"""WriteWindows: write the rows of a stream to Parquet files, with a record for each window."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import PCollection
from apache_beam.transforms.trigger import AccumulationMode, AfterCount, AfterWatermark
from apache_beam.transforms.window import FixedWindows
from apache_beam.utils.windowed_value import WindowedValue

from beamstop.audit import CHANGES, INSTANCES, Row, bucket_digest, bucket_of, leaf
from beamstop_transforms.devices import as_recorded, commonest, seen_by_device
from beamstop_transforms.finished import Finished
from beamstop_transforms.instance import GENERATION
from beamstop_transforms.record import (
    WITH_MARKS,
    Run,
    columns_of,
    complete,
    counts,
    counts_of,
    put_record,
    record_name,
)
from beamstop_transforms.seal_parts import rows_of_tables, tables_of
from beamstop_transforms.step import Transform
from beamstop_transforms.stores import open_store
from beamstop_transforms.tables import PartialFile, Table

_LARGEST = 16 << 20  # bytes of changes in Arrow's memory for one partial file
_LATEST = 31 * 24 * 3600  # seconds of allowed lateness: no message is older, so that none is dropped


def into_windows(seconds: float) -> Any:
    """Return the transform that assigns elements to windows; late elements form parts of their own."""
    return beam.WindowInto(
        FixedWindows(seconds),
        trigger=AfterWatermark(late=AfterCount(1)),
        accumulation_mode=AccumulationMode.DISCARDING,
        allowed_lateness=_LATEST,
    )


@dataclass(eq=False)
class WriteWindows(Transform):
    """Write AUDIT/instances, /changes and CROSSWALK; for each window with rows, finally AUDIT/runs/<id>.json.

    In the audit each window is a run, with its id, its files, and its record with counts and seal. Rows wait
    in partial files, of which only the names are grouped by window.
    """

    run: Run

    def expand(self, finished: PCollection[Finished]) -> PCollection[dict[str, Any]]:
        """Take `Finished` sources; return the counts of each window when its record is written."""
        pieces = finished | "Keep" >> beam.ParDo(_KeepFn(self.run)).with_output_types(Piece)
        grouped = pieces | "Key" >> beam.Map(_alone) | "ByWindow" >> beam.GroupByKey()
        return grouped | "Write" >> beam.ParDo(_WriteWindowFn(self.run))


Piece = dict[str, str]  # name of a table → name of a partial file of it


def _alone(piece: Piece) -> tuple[str, Piece]:
    return "", piece


def window_id(stream: str, end: datetime, part: int) -> str:
    """Return the run_id of a window of a stream; ids sort by time, and each late part has its own.

    >>> window_id("20260102T030405Z-00a1b2c3d4e", datetime(2026, 1, 2, 3, 10, tzinfo=UTC), 0)
    '20260102T031000Z-00a1b2c3d4e'
    """
    name = f"{end.strftime('%Y%m%dT%H%M%SZ')}-{stream.partition('-')[2]}"
    return f"{name}-late{part:06}" if part else name  # zero-padded, so that names sort by number


def _tables(run: Run) -> dict[str, Table]:
    """Return the tables of a stream or window; rows of instances also have their object's generation."""
    tables = tables_of(run)
    with_generation = WITH_MARKS.append(pa.field(GENERATION, pa.string()))
    return tables | {"instances": replace(tables["instances"], schema=with_generation)}


class _KeepFn(beam.DoFn):
    """Writes a bundle's rows of each window to partial files."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self._run = run

    def setup(self) -> None:
        self._tables = _tables(self._run)

    def start_bundle(self) -> None:
        self._waiting: dict[Any, dict[str, Finished]] = {}
        self._bytes = 0

    def process(self, finished: Finished, window: Any = beam.DoFn.WindowParam) -> Iterator[WindowedValue]:
        newest = self._waiting.setdefault(window, {})
        source_id = finished.row["source_id"]
        if source_id not in newest or _is_newer(finished.row, newest[source_id].row):
            newest[source_id] = finished
        if finished.changes is not None:
            self._bytes += finished.changes.get_total_buffer_size()
        if self._bytes > _LARGEST:
            yield from self.finish_bundle()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        waiting, self._waiting, self._bytes = self._waiting, {}, 0
        for window, newest in waiting.items():
            rows = rows_of_tables(list(newest.values()), self._tables)
            piece = {
                name: self._tables[name].put_partial(it).name for name, it in rows.items() if it.num_rows
            }
            yield WindowedValue(piece, window.max_timestamp(), (window,))


class _WriteWindowFn(beam.DoFn):
    def __init__(self, run: Run) -> None:
        super().__init__()
        self._run = run

    def setup(self) -> None:
        self._identity = self._run.target.identity()
        self._partial = _tables(self._run)

    def process(
        self,
        group: tuple[str, Iterable[Piece]],
        window: Any = beam.DoFn.WindowParam,
        pane: Any = beam.DoFn.PaneInfoParam,
    ) -> Iterator[dict[str, Any]]:
        start, end = (at.to_utc_datetime().replace(tzinfo=UTC) for at in (window.start, window.end))
        run_id = window_id(self._run.target.run_id, end, pane.index)
        run = replace(self._run, target=replace(self._run.target, run_id=run_id), started=start.isoformat())
        pieces = sorted(group[1], key=lambda it: it["instances"])
        try:
            counted = self._write(run, pieces, end)
        except FileNotFoundError:
            counted = self._counted_before(run)
        for piece in pieces:
            for name, partial in piece.items():
                open_store(self._partial[name].target).remove(partial)
        yield counted

    def _counted_before(self, run: Run) -> dict[str, Any]:
        """Return the counts of a window that an earlier try finished; raise if none did."""
        found = open_store(run.target.audit).read(record_name(run.target.run_id))
        if found is None:
            raise FileNotFoundError("a partial file is gone")
        counted: dict[str, Any] = json.loads(found[1])["counts"]
        return counted

    def _write(self, run: Run, pieces: list[Piece], end: datetime) -> dict[str, Any]:
        newest = self._newest(pieces)
        held = [newest[source_id] for source_id in sorted(newest)]
        rows = [complete(row, run.columns, self._identity) for _, row in held]
        files = []
        for name, table in tables_of(run).items():
            final = table.name(0, 1)
            if name == "instances":
                whole = pa.Table.from_pylist([columns_of(row) for row in rows], INSTANCES)
                files.append(table.put(final, [whole], INSTANCES))
            else:
                kept = self._belonging(name, pieces, newest, run.target.run_id)
                files.append(table.put(final, (it.select(table.schema.names) for it in kept)))
        tally: Counter[str] = Counter()
        leaves: dict[int, dict[str, bytes]] = {}
        for row in rows:
            tally.update(counts_of(row))
            leaves.setdefault(bucket_of(row["source_id"]), {})[row["source_id"]] = leaf(row)
        buckets = {number: bucket_digest(it) for number, it in leaves.items()}
        devices = as_recorded(commonest([seen_by_device(rows)]))
        more = {"stream": self._run.target.run_id, "window_end": end.isoformat(), "devices": devices}
        record = put_record(run, counts(len(rows), 0, tally), tally, buckets, files, more)
        counted: dict[str, Any] = record["counts"]
        return counted

    def _newest(self, pieces: list[Piece]) -> dict[str, tuple[int, Row]]:
        """Return for each source the row of its newest generation, and the number of its piece."""
        newest: dict[str, tuple[int, Row]] = {}
        for number, piece in enumerate(pieces):
            for rows in self._partial["instances"].read(PartialFile((piece["instances"],), "")):
                for row in rows.to_pylist():
                    known = newest.get(row["source_id"])
                    if known is None or _is_newer(row, known[1]):
                        newest[row["source_id"]] = number, row
        return newest

    def _belonging(
        self, name: str, pieces: list[Piece], newest: Mapping[str, tuple[int, Row]], run_id: str
    ) -> Iterator[pa.Table]:
        """Yield the rows of another table that belong to the newest rows."""
        of_piece: dict[int, list[str]] = {}
        for source_id, (number, _) in newest.items():
            of_piece.setdefault(number, []).append(source_id)
        for number, piece in enumerate(pieces):
            wanted = pa.array(of_piece.get(number, []), pa.string())
            partials = (piece[name],) if name in piece else ()
            for rows in self._partial[name].read(PartialFile(partials, "")):
                kept = rows.filter(pc.is_in(rows["source_id"], value_set=wanted))
                if name == "changes":
                    kept = kept.set_column(0, CHANGES.field("run_id"), pa.repeat(run_id, len(kept)))
                yield kept


def _is_newer(row: Row, known: Row) -> bool:
    """Return whether a row is of a newer or the same generation, so that it replaces the other row."""
    return int(known[GENERATION]) <= int(row[GENERATION])
