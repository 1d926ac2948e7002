"""The Parquet tables of a run: partial files under `.partial` first, whole files under their names then."""

import hashlib
import io
import os
import uuid
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from apache_beam.pvalue import AsList, PCollection
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from beamstop.audit import Row
from beamstop_transforms.parquet_files import open_parquet, whole_of
from beamstop_transforms.step import Transform
from beamstop_transforms.stores import PARTIAL, open_store

_CODEC = "zstd"
PER_BUNDLE = 0  # as number of files: as many as come, and no rows are held to be shared out
_AT_ONCE = 1_000  # rows that wait as dicts
_LARGEST = 16 << 20  # bytes of rows, as Arrow holds them, in one file


@dataclass(frozen=True)
class Table:
    """One Parquet table of a run.

    Attributes:
        target: a folder or `gs://` prefix.
        folder: in the target; empty for none.
        run_id: how the names of the files begin.
        schema: of the rows.
        shards: number of files, more where they grow large; or `PER_BUNDLE`.
        private: local files of it are their owner's alone (mode 0600).
    """

    target: str
    folder: str
    run_id: str
    schema: pa.Schema
    shards: int
    private: bool = False

    @property
    def partial_schema(self) -> pa.Schema:
        """Of the rows of a partial file, which say what source they are of."""
        if "source_id" in self.schema.names:
            return self.schema
        return self.schema.append(pa.field("source_id", pa.string()))

    @property
    def partial_folder(self) -> str:
        """The folder of the partial files, below the target."""
        return f"{PARTIAL}/{self.run_id}/{self.folder or 'rows'}"

    def read(self, partial: str) -> pa.Table:
        """Return the rows of a partial file.

        Raises:
            FileNotFoundError: it is gone.
        """
        return whole_of(open_parquet(io.BytesIO(self.content(partial))))

    def content(self, partial: str) -> bytes:
        """Return a partial file as it is; raise as `read` does."""
        found = open_store(self.target).read(partial)
        if found is None:
            raise FileNotFoundError("a partial file is gone")
        return found[1]

    def put(self, name: str, rows: pa.Table) -> "Put":
        """Put a file in its place, whatever stands there."""
        buffer = io.BytesIO()
        pq.write_table(rows, buffer, compression=_CODEC)
        return self.put_content(name, buffer.getvalue())

    def put_all(self, rows: Iterable[Row]) -> "Put":
        """Put all rows into one file, whatever stands there."""
        buffer, left = io.BytesIO(), iter(rows)
        with pq.ParquetWriter(buffer, self.schema, compression=_CODEC) as out:
            while some := list(islice(left, _AT_ONCE)):
                out.write_batch(pa.RecordBatch.from_pylist(some, self.schema))
        return self.put_content(self.name(0, 1), buffer.getvalue())

    def name(self, number: int, files: int) -> str:
        """Return the name of one of so many files, below the target."""
        name = f"{self.run_id}-{number:05}-of-{files:05}.parquet"
        return f"{self.folder}/{name}" if self.folder else name

    def put_content(self, name: str, content: bytes) -> "Put":
        """Put a file that is made already in its place, whatever stands there."""
        store = open_store(self.target, self.private)
        found = store.find(name)  # a retried bundle writes it again
        store.write(name, content, found and found.version)
        return Put(name, hashlib.sha256(content).hexdigest())


class Put(NamedTuple):
    """A file in its place: its name below the target, and the SHA-256 of it, in hex."""

    name: str
    sha256: str


class PartialFile(NamedTuple):
    """A file on its way: where it is until it is whole, None for no rows; the name it ends under."""

    partial: str | None
    final: str


@dataclass(eq=False)
class WritePartialFiles(Transform):
    """Write rows to partial files; each try of a bundle writes files of its own, so that it may be repeated.

    For a table of `PER_BUNDLE`, rows may come in batches. Of several collections of rows each has files of
    its own then: a join of rows would be held by a runner as a whole.
    """

    table: Table

    def expand(self, rows: PCollection[Any] | tuple[PCollection[Any], ...]) -> PCollection[PartialFile]:
        """Return every `PartialFile`, at least one."""
        every = rows if isinstance(rows, tuple) else (rows,)
        if self.table.shards == PER_BUNDLE:
            write = beam.ParDo(_PartialFileFn(self.table))
            written = (
                tuple(it | f"Write{number}" >> write for number, it in enumerate(every)) | beam.Flatten()
            )
        else:
            shared = every | beam.Flatten() | "Shard" >> beam.Map(_shard, self.table)
            written = (
                shared | "Group" >> beam.GroupByKey() | "Write" >> beam.FlatMap(_write_group, self.table)
            )
        once = written.pipeline | "Once" >> beam.Create([self.table])
        return (
            once
            | "List" >> beam.FlatMap(_partial_files, AsList(written))
            | "Redistribute" >> beam.Reshuffle()
        )


@dataclass(eq=False)
class WriteTable(Transform):
    """Write rows to Parquet under `.partial`, then the whole files under their names.

    Attributes:
        table: which.
        losers: side input; by source_id, the sources that are duplicates and have no row.
    """

    table: Table
    losers: Any = None

    def expand(self, rows: PCollection[Any]) -> PCollection[Put]:
        """Return `Put` for every file."""
        partial = rows | "PartialFiles" >> WritePartialFiles(self.table)
        return partial | "Publish" >> beam.Map(_publish, self.table, self.losers or {})


def write_rows(table: Table, rows: Iterable[Row]) -> Iterator[str]:
    """Write rows to partial files; yield where they are, below the target."""
    waiting = _Waiting(table)
    for row in rows:
        yield from waiting.add(row)
    yield from waiting.finish()


class _Waiting:
    """Rows that wait to be written."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._rows: list[Row] = []
        self._batches: list[pa.RecordBatch] = []
        self._bytes = 0

    def add(self, rows: Row | pa.RecordBatch) -> Iterator[str]:
        if isinstance(rows, pa.RecordBatch):
            self._keep(rows)
        else:
            self._rows.append(rows)
        if len(self._rows) == _AT_ONCE:
            self._pack()
        if self._bytes > _LARGEST:
            yield self._write()

    def finish(self) -> Iterator[str]:
        self._pack()
        if self._batches:
            yield self._write()

    def _pack(self) -> None:
        if self._rows:
            self._keep(pa.RecordBatch.from_pylist(self._rows, self._table.partial_schema))
            self._rows = []

    def _keep(self, batch: pa.RecordBatch) -> None:
        self._batches.append(batch)
        self._bytes += batch.get_total_buffer_size()  # nbytes takes 25 times as long

    def _write(self) -> str:
        rows, self._batches, self._bytes = pa.Table.from_batches(self._batches), [], 0
        return self._table.put(f"{self._table.partial_folder}/{uuid.uuid4().hex}.parquet", rows).name


class _PartialFileFn(beam.DoFn):
    def __init__(self, table: Table) -> None:
        super().__init__()
        self._table = table

    def start_bundle(self) -> None:
        self._waiting = _Waiting(self._table)

    def process(self, rows: Row | pa.RecordBatch) -> Iterator[str]:
        return self._waiting.add(rows)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        window = GlobalWindow()
        for name in self._waiting.finish():
            yield WindowedValue(name, window.max_timestamp(), (window,))


def run_of(path: str) -> str:
    """Return the run that a file of a table is of.

    >>> run_of("/audit/instances/20260102T030405Z-07fdeadbeef-00000-of-00001.parquet")
    '20260102T030405Z-07fdeadbeef'
    """
    return os.path.basename(path).rsplit("-", 3)[0]


def _shard(row: Row, table: Table) -> tuple[int, Row]:
    return zlib.crc32(row["source_id"].encode()) % table.shards, row


def _write_group(group: tuple[int, Iterable[Row]], table: Table) -> Iterator[str]:
    return write_rows(table, group[1])


def _partial_files(table: Table, written: list[str]) -> Iterator[PartialFile]:
    names: list[str | None] = [*sorted(written)] or [None]
    for number, name in enumerate(names):
        yield PartialFile(name, table.name(number, len(names)))


def _publish(file: PartialFile, table: Table, losers: Mapping[str, Any]) -> Put:
    if file.partial is None:
        return table.put(file.final, table.schema.empty_table())
    if not losers and table.schema == table.partial_schema:
        return table.put_content(file.final, table.content(file.partial))
    rows = without_losers(table.read(file.partial), losers)
    return table.put(file.final, rows.select(table.schema.names))


def without_losers(rows: Any, losers: Mapping[str, Any]) -> Any:
    """Return a table without the rows of sources that lost to a duplicate."""
    lost = pa.array(sorted(losers), pa.string())
    return rows.filter(pc.invert(pc.is_in(rows["source_id"], value_set=lost)))
