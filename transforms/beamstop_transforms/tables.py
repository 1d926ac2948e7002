"""The Parquet tables of a run: first partial files in `.partial`, then whole files under their names."""

import hashlib
import io
import os
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.pvalue import AsList, PCollection
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from beamstop.audit import Row
from beamstop_transforms.losers import Losers, without_losers
from beamstop_transforms.parquet_files import open_parquet, whole_of
from beamstop_transforms.step import Transform
from beamstop_transforms.stores import PARTIAL, open_store
from beamstop_transforms.stores.ahead import ahead

_CODEC = "zstd"
_AT_ONCE = 1_000  # rows that wait as dicts
_LARGEST = 16 << 20  # bytes of rows in Arrow's memory for one partial file
_TOGETHER = 32 << 20  # bytes of partial files that make up one file
_FILES = 64  # a table is split into this many files before these grow larger, so that all workers have some
_MOST_TOGETHER = 1_000  # partial files in one file: their names are one element


@dataclass(frozen=True)
class Table:
    """One Parquet table of a run.

    Attributes:
        target: a folder or `gs://` prefix.
        folder: in the target; empty for the target itself.
        run_id: how the names of the files begin.
        schema: of the rows.
        private: local files can be read by their owner only (mode 0600).
        together: bytes of partial files that make up one file, at least, if there are so many.
        at_most: bytes of partial files in one file of a table that would have more than 64 otherwise.
    """

    target: str
    folder: str
    run_id: str
    schema: pa.Schema
    private: bool = False
    together: int = _TOGETHER
    at_most: int = _TOGETHER

    @property
    def partial_schema(self) -> pa.Schema:
        """The schema of a partial file: the table's, with the source of each row."""
        if "source_id" in self.schema.names:
            return self.schema
        return self.schema.append(pa.field("source_id", pa.string()))

    @property
    def partial_folder(self) -> str:
        """The folder of the partial files, below the target."""
        return f"{PARTIAL}/{self.run_id}/{self.folder or 'rows'}"

    def read(self, file: "PartialFile") -> Iterator[pa.Table]:
        """Yield the rows of the partial files that make up a file, one file after the other.

        Raises:
            FileNotFoundError: a partial file is gone.
        """
        for content in ahead(self._content, file.partials):
            yield whole_of(open_parquet(io.BytesIO(content)))

    def _content(self, partial: str) -> bytes:
        found = open_store(self.target).read(partial)
        if found is None:
            raise FileNotFoundError("a partial file is gone")
        return found[1]

    def put(self, name: str, parts: Iterable[pa.Table], schema: pa.Schema | None = None) -> "Put":
        """Write a file with all rows, replacing any of that name.

        Args:
            name: below the target.
            parts: the rows; one part is in memory at a time.
            schema: of the rows, if not that of the table.
        """
        buffer = io.BytesIO()
        with pq.ParquetWriter(buffer, schema or self.schema, compression=_CODEC) as out:
            for part in parts:
                out.write_table(part)
        return self.put_content(name, buffer.getvalue())

    def put_partial(self, rows: pa.Table) -> "Partial":
        """Write rows to a partial file of their own.

        It need not survive a power failure: a damaged one does not have the digest that its record names.
        """
        buffer, name = io.BytesIO(), f"{self.partial_folder}/{uuid.uuid4().hex}.parquet"
        pq.write_table(rows, buffer, compression=_CODEC)
        content = buffer.getvalue()
        open_store(self.target, self.private).write(name, content, None, durable=False)
        return Partial(name, len(content), hashlib.sha256(content).hexdigest())

    def grouped(self, partials: Iterable["Partial"]) -> Iterator[tuple["Partial", ...]]:
        """Yield the groups of partial files that make up one file each."""
        every = list(partials)
        share = sum(it.size for it in every) // _FILES
        return _grouped(every, max(self.together, min(share, self.at_most)))

    def name(self, number: int, files: int) -> str:
        """Return the name below the target of one of `many` files."""
        name = f"{self.run_id}-{number:05}-of-{files:05}.parquet"
        return f"{self.folder}/{name}" if self.folder else name

    def put_content(self, name: str, content: bytes) -> "Put":
        """Write a file with this content, replacing any of that name."""
        store = open_store(self.target, self.private)
        found = store.find(name)  # a retried bundle writes it again
        store.write(name, content, found and found.version)
        return Put(name, hashlib.sha256(content).hexdigest())


class Put(NamedTuple):
    """A file that is written: its name below the target, and its SHA-256 in hex."""

    name: str
    sha256: str


class Partial(NamedTuple):
    """A partial file: its name below the target, its size in bytes, and its SHA-256 in hex."""

    name: str
    size: int
    sha256: str


class PartialFile(NamedTuple):
    """A file to be made: its partial files, none if it has no rows, and its final name."""

    partials: tuple[str, ...]
    final: str


@dataclass(eq=False)
class WritePartialFiles(Transform):
    """Write rows to partial files; each try of a bundle writes its own files, so that it may be repeated.

    Rows may come in batches. Each of several collections of rows has its own files, because a runner would
    hold a join of them in memory. Only names cross to other workers.
    """

    table: Table

    def expand(self, rows: PCollection[Any] | tuple[PCollection[Any], ...]) -> PCollection[Partial]:
        """Return every `Partial`."""
        every = rows if isinstance(rows, tuple) else (rows,)
        write = beam.ParDo(_PartialFileFn(self.table))
        return tuple(it | f"Write{number}" >> write for number, it in enumerate(every)) | beam.Flatten()


@dataclass(eq=False)
class NumberFiles(Transform):
    """Assign partial files to files of a table; many small ones make up one file."""

    table: Table

    def expand(self, partials: PCollection[Partial]) -> PCollection[PartialFile]:
        """Return every `PartialFile`, at least one."""
        once = partials.pipeline | "Once" >> beam.Create([self.table])
        listed = once | "List" >> beam.FlatMap(_partial_files, AsList(partials))
        return listed | "Redistribute" >> beam.Reshuffle()


@dataclass(eq=False)
class WriteTable(Transform):
    """Combine partial files into the whole files of a table, under their final names.

    Attributes:
        table: the table.
        losers: side input, `Losers`: the sources that are duplicates and have no row.
        even_empty: write a file even if there are no rows.
    """

    table: Table
    losers: Any = field(default_factory=Losers)
    even_empty: bool = True

    def expand(self, partials: PCollection[Partial]) -> PCollection[Put]:
        """Return `Put` for every file."""
        files = partials | "NumberFiles" >> NumberFiles(self.table)
        return files | "Publish" >> beam.FlatMap(_publish, self.table, self.even_empty, self.losers)


class Waiting:
    """Rows that wait to be written."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._rows: list[Row] = []
        self._batches: list[pa.RecordBatch] = []
        self._bytes = 0

    def add(self, rows: Row | pa.RecordBatch) -> Iterator[Partial]:
        """Add rows; yield a partial file when there are enough for one."""
        if isinstance(rows, pa.RecordBatch):
            self._keep(rows)
        else:
            self._rows.append(rows)
        if len(self._rows) == _AT_ONCE:
            self._pack()
        if self._bytes > _LARGEST:
            yield self._write()

    def finish(self) -> Iterator[Partial]:
        """Yield the partial file of the remaining rows, if there are any."""
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

    def _write(self) -> Partial:
        rows, self._batches, self._bytes = pa.Table.from_batches(self._batches), [], 0
        return self._table.put_partial(rows)


class _PartialFileFn(beam.DoFn):
    def __init__(self, table: Table) -> None:
        super().__init__()
        self._table = table

    def start_bundle(self) -> None:
        self._waiting = Waiting(self._table)

    def process(self, rows: Row | pa.RecordBatch) -> Iterator[Partial]:
        return self._waiting.add(rows)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        window = GlobalWindow()
        for partial in self._waiting.finish():
            yield WindowedValue(partial, window.max_timestamp(), (window,))


def run_of(path: str) -> str:
    """Return the run_id in the name of a table's file.

    >>> run_of("/audit/instances/20260102T030405Z-07fdeadbeef-00000-of-00001.parquet")
    '20260102T030405Z-07fdeadbeef'
    """
    return os.path.basename(path).rsplit("-", 3)[0]


def _grouped(partials: Iterable[Partial], together: int) -> Iterator[tuple[Partial, ...]]:
    """Yield groups of partial files of about this many bytes, each for one file."""
    waiting: list[Partial] = []
    size = 0
    for it in partials:
        if waiting and (size + it.size > together or len(waiting) == _MOST_TOGETHER):
            yield tuple(waiting)
            waiting, size = [], 0
        waiting.append(it)
        size += it.size
    if waiting:
        yield tuple(waiting)


def _partial_files(table: Table, written: list[Partial]) -> Iterator[PartialFile]:
    groups = list(table.grouped(Partial(*it) for it in sorted(written))) or [()]
    for number, group in enumerate(groups):
        yield PartialFile(tuple(it.name for it in group), table.name(number, len(groups)))


def _publish(file: PartialFile, table: Table, even_empty: bool, losers: Losers) -> Iterator[Put]:
    if file.partials or even_empty:
        parts = (without_losers(rows, losers) for rows in table.read(file))
        yield table.put(file.final, (rows.select(table.schema.names) for rows in parts))
