"""FindLeftovers, Prune: find clean files whose source is gone or changed; remove them with --prune."""

import io
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam import pvalue
from apache_beam.pvalue import AsList, AsSingleton, PCollection

from beamstop.audit import PRUNED_FILES, Outcome, Row
from beamstop.pixels.png import is_ours
from beamstop_transforms.ledger.history import History, Leftover
from beamstop_transforms.ledger.sealed import PRUNED, SealedTable
from beamstop_transforms.ledger.skipped import Skipped
from beamstop_transforms.ledger.target import Target, is_run_id
from beamstop_transforms.parquet_files import open_parquet, whole_of
from beamstop_transforms.paths import NONE, is_clean_path
from beamstop_transforms.step import Transform
from beamstop_transforms.stores import open_store
from beamstop_transforms.tables import Put, Table, WritePartialFiles, WriteTable, run_of

_SINCE = "since"
CROSSWALK, ATTRIBUTES = "crosswalk", "attributes"  # tables with rows of clean files, besides the audit
_IDS = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")  # a clean path has these


class Leftovers(NamedTuple):
    """What FindLeftovers returns.

    Attributes:
        found: every `Leftover`.
        since: one element, see `History.since`.
    """

    found: Any
    since: Any


@dataclass(eq=False)
class FindLeftovers(Transform):
    """Compare the ledger with the sources of this run.

    A source counts as gone if this run did not find it, although it searched all patterns of the run that has
    the source's newest row. A source outside of this run's patterns does not count as gone.

    Attributes:
        target: OUTPUT, AUDIT, run.
        inputs: this run's patterns.
        skipped: the sources that `SkipDecided` skipped.
        subjects: the digest of this run's table of subjects; None if it has none.
    """

    target: Target
    inputs: tuple[str, ...] = field(repr=False)
    skipped: Any = field(repr=False)
    subjects: str | None = None

    def expand(self, files: PCollection[Put]) -> Leftovers:
        """Take this run's tables of instances, which must be written; return `Leftovers`."""
        find = beam.ParDo(
            _FindFn(self.target, self.inputs, self.subjects), AsList(files), AsSingleton(self.skipped)
        )
        once = files.pipeline | "Once" >> beam.Create([None])
        outputs = once | "Find" >> find.with_outputs(_SINCE, main="found")
        return Leftovers(outputs["found"], outputs[_SINCE])


class _FindFn(beam.DoFn):
    def __init__(self, target: Target, inputs: tuple[str, ...], subjects: str | None) -> None:
        super().__init__()
        self._subjects = subjects
        self._target = target
        self._inputs = inputs

    def process(self, _: None, files: list[Put], skipped: Skipped) -> Iterator[Any]:
        run_id, subjects = self._target.run_id, self._subjects
        own = [SealedTable(it.name, run_id, it.sha256, subjects) for it in sorted(files)]
        history = History(self._target, own, self._inputs, skipped.bits())
        yield from history.leftovers()
        yield pvalue.TaggedOutput(_SINCE, history.since)


FILES, PICTURES = "files", "pictures"  # kinds of removed things; for rows, the kind is the name of the table


@dataclass(eq=False)
class Prune(Transform):
    """Remove leftovers that a run wrote and nobody has changed; a leftover whose source failed stays.

    Their pictures, and their rows in the crosswalk and the table of attributes, are removed with them. All of
    it is listed first, in AUDIT/pruned, so that removing may be repeated.

    Attributes:
        target: OUTPUT, AUDIT, run.
        png: the PNG folder or prefix; None if there is none.
        tables: name → folder or prefix of a table with rows of clean files.
    """

    target: Target
    png: str | None = None
    tables: Mapping[str, str] = field(default_factory=dict)

    def expand(self, found: PCollection[Leftover]) -> tuple[PCollection[Put], PCollection[tuple[str, int]]]:
        """Take `Leftover`; return the lists in AUDIT, and kind → how many were removed."""
        table = Table(self.target.audit, PRUNED, self.target.run_id, PRUNED_FILES)
        ours = (
            found
            | "Redistribute" >> beam.Reshuffle()
            | "Ours" >> beam.FlatMap(_ours, self.target)
            | "Keep" >> beam.Reshuffle()  # the list and the removal must see the same elements
        )
        written = ours | "List" >> WritePartialFiles(table)
        lists = written | "WriteLists" >> WriteTable(table, even_empty=False)
        listed = AsList(lists)
        counts = [ours | "Remove" >> beam.Map(_remove, self.target.output, listed)]
        paths = ours | "Paths" >> beam.Map(lambda row: row["output_path"])
        if self.png is not None:
            counts.append(
                paths
                | "BySeries" >> beam.Map(_series_of)
                | "Series" >> beam.GroupByKey()
                | "Pictures" >> beam.FlatMap(_pictures, self.png)
                | "KeepPictures" >> beam.Reshuffle()  # as above
                | "RemovePictures" >> beam.Map(_remove_picture, self.png, listed)
            )
        if self.tables:
            every = AsSingleton(paths | "Every" >> beam.CombineGlobally(CollectPaths()))
            counts.append(
                found.pipeline
                | "Tables" >> beam.Create(sorted(self.tables.items()), reshuffle=False)
                | "Files" >> beam.FlatMapTuple(_files)
                | "SpreadFiles" >> beam.Reshuffle()
                | "Count" >> beam.FlatMap(_counted, every)
                | "KeepCounts" >> beam.Reshuffle()  # as above
                | "RemoveRows" >> beam.Map(_remove_rows, every, listed)
            )
        return lists, tuple(counts) | "All" >> beam.Flatten() | "Sum" >> beam.CombinePerKey(sum)


def _ours(left: Leftover, target: Target) -> Iterator[Row]:
    if left.why == Outcome.FAILED:
        return  # a failed source is tried again: its clean file may be right
    if not is_clean_path(left.path):
        return  # no run of beamstop wrote it
    found = open_store(target.output).find(left.path)
    if found is None or found.sha256 == left.sha256:
        yield {
            "run_id": target.run_id,
            "source_id": left.source_id,
            "output_path": left.path,
            "output_sha256": left.sha256,
            "why": left.why,
        }


def _remove(row: Mapping[str, Any], output: str, _lists: list[Put]) -> tuple[str, int]:
    store = open_store(output)
    found = store.find(row["output_path"])
    if found is not None and found.sha256 == row["output_sha256"]:
        store.remove(row["output_path"])
    return FILES, 1


_FRAME = re.compile(r"(-\d{4,})?\.png")


def _series_of(path: str) -> tuple[str, str]:
    """Return the folder of a clean file as key, and the file."""
    return path.rpartition("/")[0], path


def _pictures(series: tuple[str, Iterable[str]], png: str) -> Iterator[str]:
    """Yield the names of the pictures that beamstop made of some clean files of a series."""
    folder, paths = series
    stems, store = {path.removesuffix(".dcm") for path in paths}, open_store(png)
    for name in store.names(folder):
        if _FRAME.sub("", name) in stems and (found := store.read(name)) is not None and is_ours(found[1]):
            yield name


def _remove_picture(name: str, png: str, _lists: list[Put]) -> tuple[str, int]:
    open_store(png).remove(name)
    return PICTURES, 1


class Paths(NamedTuple):
    """Paths of clean files, in 16 bytes each.

    Attributes:
        packed: the digests of the paths, sorted.
    """

    packed: bytes = b""

    def mask(self, paths: Iterable[str]) -> Any:
        """Return a mask of bool: which of some paths are among these."""
        mine = np.frombuffer(self.packed, _DIGEST)
        others = np.frombuffer(b"".join(map(_digest_of, paths)), _DIGEST)
        at = np.minimum(np.searchsorted(mine, others), max(len(mine) - 1, 0))
        return mine[at] == others if len(mine) else np.zeros(len(others), bool)

    def __bool__(self) -> bool:
        return bool(self.packed)


_DIGEST = np.dtype([("high", ">u8"), ("low", ">u8")])


def _digest_of(path: str) -> bytes:
    return blake2b(path.encode(), digest_size=_DIGEST.itemsize).digest()


class CollectPaths(beam.CombineFn):
    """Combine paths into one `Paths`."""

    def create_accumulator(self) -> list[bytes]:
        """Return an empty accumulator."""
        return []

    def add_input(self, accumulator: list[bytes], element: str) -> list[bytes]:
        """Add one path."""
        accumulator.append(_digest_of(element))
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[list[bytes]]) -> list[bytes]:
        """Merge accumulators."""
        return [it for some in accumulators for it in some]

    def compact(self, accumulator: list[bytes]) -> list[bytes]:
        """Pack the digests before they are sent to another worker."""
        return [b"".join(accumulator)]

    def extract_output(self, accumulator: list[bytes]) -> Paths:
        """Return the result."""
        return Paths(np.unique(np.frombuffer(b"".join(accumulator), _DIGEST)).tobytes())


class _File(NamedTuple):
    """A file of a table: the table's name, its folder, and the file's name there."""

    table: str
    place: str
    name: str


def _files(table: str, place: str) -> Iterator[_File]:
    """Yield the files of a table, whichever run wrote them."""
    for file in open_store(place).names(""):
        if "/" not in file and file.endswith(".parquet") and is_run_id(run_of(file)):
            yield _File(table, place, file)


def _counted(file: _File, paths: Paths) -> Iterator[tuple[_File, int]]:
    """Yield a file with rows of removed clean files, and how many there are."""
    found = open_store(file.place).read(file.name) if paths else None
    if found is not None:
        with closing(open_parquet(io.BytesIO(found[1]))) as parquet:
            if number := int(_goes(parquet, file.table, paths).sum()):
                yield file, number


def _remove_rows(counted: tuple[_File, int], paths: Paths, _lists: list[Put]) -> tuple[str, int]:
    """Rewrite a file of a table without the rows of removed clean files."""
    file, number = _File(*counted[0]), counted[1]
    store = open_store(file.place, private=file.table == CROSSWALK)
    while (found := store.read(file.name)) is not None:
        with closing(open_parquet(io.BytesIO(found[1]))) as parquet:
            left = whole_of(parquet).filter(pa.array(~_goes(parquet, file.table, paths)))
        buffer = io.BytesIO()
        pq.write_table(left, buffer, compression="zstd")
        if store.write(file.name, buffer.getvalue(), found[0]):
            break
    return file.table, number


def _goes(parquet: pq.ParquetFile, table: str, paths: Paths) -> Any:
    """Return a mask of bool: which rows of a file are about removed clean files."""
    columns = _columns(table)
    ids = whole_of(parquet, [it for it in columns if it in parquet.schema_arrow.names])
    return paths.mask(_paths_of(ids, columns))


def _columns(table: str) -> tuple[str, ...]:
    return ("output_path",) if table == CROSSWALK else _IDS


def _paths_of(ids: pa.Table, columns: tuple[str, ...]) -> Iterator[str]:
    """Yield, for each row of a table, the path of its clean file."""
    if columns != _IDS:
        yield from ids["output_path"].to_pylist()
        return
    nothing = [None] * len(ids)
    values = [ids[it].to_pylist() if it in ids.column_names else nothing for it in columns]
    for parts in zip(*values, strict=True):
        yield "/".join((part or "").strip() or NONE for part in parts) + ".dcm"
