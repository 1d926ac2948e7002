"""WriteAttributes: write the attributes of clean instances to one wide Parquet table.

The columns are known only at the end of the run. So partial files are narrow: a map of names and texts for
each instance. Then they are widened, file by file, to all names that occur. No worker has more than one batch
of rows and the names in memory.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import AsSingleton, PCollection
from pydicom.dataset import Dataset

from beamstop.audit import Row
from beamstop.kskit.attributes import attributes_row
from beamstop_transforms.losers import Losers, without_losers
from beamstop_transforms.step import Transform
from beamstop_transforms.tables import NumberFiles, Partial, PartialFile, Put, Table
from beamstop_transforms.typed import TYPE, TYPED, typed

_MAP = "attributes"
_NARROW = pa.schema([("source_id", pa.string()), (_MAP, pa.map_(pa.string(), pa.string()))])
_ALWAYS = "SOPInstanceUID"  # every clean instance has one; also the column of a table without rows


def attributes_of(source_id: str, dataset: Dataset) -> Row:
    """Return one clean instance as an element for `WriteAttributes`."""
    texts = {name: _storable(str(text)) for name, text in attributes_row(dataset).items()}
    return {"source_id": source_id, _MAP: list(texts.items())}


def _storable(text: str) -> str:
    return text.encode(errors="replace").decode()  # Parquet refuses lone surrogates


def attributes_schema(names: Iterable[str]) -> pa.Schema:
    """Return the schema of a table: a column of text for each name, in alphabetical order, and `typed`."""
    return pa.schema([*((name, pa.string()) for name in sorted({_ALWAYS, *names})), (TYPED, TYPE)])


@dataclass(eq=False)
class WriteAttributes(Transform):
    """Make ATTRIBUTES/<run_id>-*.parquet: one row per clean instance, the same columns in every file.

    Attributes:
        target: the ATTRIBUTES folder or prefix.
        run_id: of this run.
        losers: side input, `Losers`: the sources that are duplicates and have no row.
    """

    target: str
    run_id: str
    losers: Any

    def expand(self, partials: PCollection[Partial]) -> PCollection[Put]:
        """Take partial files with rows of `attributes_of`; return `Put` for every file."""
        table = narrow_table(self.target, self.run_id)
        partial = partials | "NumberFiles" >> NumberFiles(table)
        names = (
            partial
            | "Names" >> beam.Map(_names, table, self.losers)
            | "Together" >> beam.CombineGlobally(_union)
        )
        return partial | "Widen" >> beam.Map(_publish, table, AsSingleton(names), self.losers)


def narrow_table(target: str, run_id: str) -> Table:
    """Return the table of the partial files; its rows are those of `attributes_of`."""
    return Table(target, "", run_id, _NARROW)


def _names(file: PartialFile, table: Table, losers: Losers) -> frozenset[str]:
    """Return the names that occur in the partial files that make up one file."""
    return frozenset().union(*(names_in(without_losers(rows, losers)) for rows in table.read(file)))


def names_in(rows: Any) -> frozenset[str]:
    """Return the names that occur in some rows of partial files."""
    return frozenset(name for it in rows.to_batches() for name in it[_MAP].keys.unique().to_pylist())


def _union(sets: Iterable[frozenset[str]]) -> frozenset[str]:
    return frozenset().union(*sets)


def _publish(file: PartialFile, table: Table, names: frozenset[str], losers: Losers) -> Put:
    """Widen partial files and write them as one file; may be repeated."""
    rows = (without_losers(it, losers) for it in table.read(file))
    schema = attributes_schema(names)
    return table.put(file.final, (widened(it, schema) for it in rows), schema)


def widened(rows: Any, schema: pa.Schema) -> Any:
    """Return rows of partial files as a table with all columns."""
    return pa.Table.from_batches([_widened(it, schema) for it in rows.to_batches(max_chunksize=1000)], schema)


def _widened(batch: Any, schema: pa.Schema) -> Any:
    rows = [dict(pairs) for pairs in batch[_MAP].to_pylist()]
    columns = [pa.array([row.get(name) for row in rows], pa.string()) for name in schema.names[:-1]]
    columns.append(pa.array([typed(row) for row in rows], TYPE))
    return pa.record_batch(columns, schema)
