"""WriteAttributes: from the attributes of clean instances to one wide Parquet table.

Which columns there are is known only when the whole run has been seen. The drafts are therefore narrow,
a map of names and texts for each instance; they are widened file by file under all names that occur, so
that no worker ever holds more than one batch of rows and the names.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.io.filesystems import FileSystems
from apache_beam.pvalue import AsList, AsSingleton
from pydicom.dataset import Dataset

from beamstop.audit import Row
from beamstop.kskit import attributes_row
from beamstop_transforms.tables import CODEC, PER_BUNDLE, Table, matches, without_losers, write_drafts

_MAP = "attributes"
_DRAFT = pa.schema([("source_id", pa.string()), (_MAP, pa.map_(pa.string(), pa.string()))])
_ALWAYS = "SOPInstanceUID"  # of every clean instance: the column that a table without rows has, too


def attributes_draft(source_id: str, dataset: Dataset) -> Row:
    """Return what `WriteAttributes` takes of one clean instance."""
    texts = {name: _storable(str(text)) for name, text in attributes_row(dataset).items()}
    return {"source_id": source_id, _MAP: list(texts.items())}


def _storable(text: str) -> str:
    return text.encode(errors="replace").decode()  # a lone surrogate is no text for Parquet


def attributes_schema(names: Iterable[str]) -> pa.Schema:
    """Return the schema of a table with these columns: all text, in alphabetical order."""
    return pa.schema([(name, pa.string()) for name in sorted({_ALWAYS, *names})])


class WriteAttributes(beam.PTransform):
    """Write ATTRIBUTES/<run_id>-*.parquet: one row per clean instance, the same columns in every file.

    Args:
        target: the ATTRIBUTES folder or prefix.
        run_id: of this run.
        losers: side input; source_id → reason of the sources that lost to a duplicate and have no row.
    """

    def __init__(self, target: str, run_id: str, losers: Any) -> None:
        super().__init__()
        self._table = Table(target, "", run_id, _DRAFT, PER_BUNDLE)
        self._losers = losers

    def expand(self, rows: Any) -> Any:
        """From the rows of `attributes_draft`, return the names of the files, below their target."""
        written = rows | "Drafts" >> write_drafts(self._table)
        drafts = (
            rows.pipeline
            | "Once" >> beam.Create([self._table])
            | "List" >> beam.FlatMap(_drafts, AsList(written))
            | "Spread" >> beam.Reshuffle()
        )
        names = (
            drafts | "Names" >> beam.Map(_names, self._losers) | "Together" >> beam.CombineGlobally(_union)
        )
        return drafts | "Widen" >> beam.Map(_publish, self._table, AsSingleton(names), self._losers)


def _drafts(table: Table, _written: list[str]) -> list[str]:
    return table.drafts()  # for why not what was written, see tables.py


def _names(draft: str, losers: Mapping[str, str]) -> frozenset[str]:
    """Return the names that occur in one draft; only they are read."""
    found: set[str] = set()
    for batch in _batches(draft, losers, ["source_id", f"{_MAP}.key_value.key"]):
        found.update(batch[_MAP].flatten().field("key").unique().to_pylist())
    return frozenset(found)


def _union(sets: Iterable[frozenset[str]]) -> frozenset[str]:
    return frozenset().union(*sets)


def _publish(draft: str, table: Table, names: frozenset[str], losers: Mapping[str, str]) -> str:
    """Widen one draft and give it its name; may be repeated."""
    final = table.final(draft)
    if matches(draft):
        schema, wide = attributes_schema(names), f"{draft}.wide"
        with FileSystems.create(wide) as file, pq.ParquetWriter(file, schema, compression=CODEC) as out:
            for batch in _batches(draft, losers):
                out.write_batch(_widened(batch, schema))
        FileSystems.rename([wide], [final])
        FileSystems.delete([draft])
    return table.name(final)


def _batches(draft: str, losers: Mapping[str, str], columns: list[str] | None = None) -> Iterator[Any]:
    with FileSystems.open(draft) as file:
        for batch in pq.ParquetFile(file).iter_batches(batch_size=1000, columns=columns):
            yield without_losers(batch, losers)


def _widened(batch: Any, schema: pa.Schema) -> Any:
    rows = [dict(pairs) for pairs in batch[_MAP].to_pylist()]
    columns = [pa.array([row.get(name) for row in rows], pa.string()) for name in schema.names]
    return pa.record_batch(columns, schema)
