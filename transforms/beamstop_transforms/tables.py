"""The Parquet tables of a run: drafts under `.partial` first, whole files under their names at the end."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from apache_beam.io.filesystems import FileSystems
from apache_beam.io.parquetio import WriteToParquet
from apache_beam.pvalue import AsList

from beamstop_transforms.stores import PARTIAL, is_remote

CODEC = "zstd"
PER_BUNDLE = 0  # as number of files: as many as come, and no rows are held to be shared out


@dataclass(frozen=True)
class Table:
    """One Parquet table: target, folder in it, run, schema, number of files or `PER_BUNDLE`."""

    target: str
    folder: str
    run_id: str
    schema: pa.Schema
    shards: int

    @property
    def draft(self) -> str:
        """Where the files are until they are whole."""
        return str(FileSystems.join(self.target, PARTIAL, self.run_id, self.folder or "rows", "part"))

    def final(self, draft: str) -> str:
        """Return the path that a draft ends under."""
        name = f"{self.run_id}{os.path.basename(draft).removeprefix('part')}"
        return str(FileSystems.join(self.target, *filter(None, [self.folder]), name))

    def drafts(self) -> list[str]:
        """Return the drafts that are there; make the folder that they end in."""
        if not is_remote(self.target):
            os.makedirs(os.path.dirname(self.final(self.draft)), mode=0o700, exist_ok=True)
        return matches(f"{self.draft}-*.parquet")

    def name(self, final: str) -> str:
        """Return what the run's record calls a file: its name below the target."""
        return final.removeprefix(self.target).lstrip("/")


def write_drafts(table: Table) -> Any:
    """Return the transform that writes rows of the table's schema to its drafts."""
    return WriteToParquet(
        table.draft, table.schema, codec=CODEC, file_name_suffix=".parquet", num_shards=table.shards
    )


class WriteTable(beam.PTransform):
    """Write rows to Parquet under `.partial`, then give the whole files their names."""

    def __init__(self, table: Table, losers: Any = None) -> None:
        super().__init__()
        self._table = table
        self._losers = losers

    def expand(self, rows: Any) -> Any:
        """Return the names of the files, below their target."""
        drafts = rows | "Drafts" >> write_drafts(self._table)
        losers = {} if self._losers is None else self._losers
        once = rows.pipeline | "Once" >> beam.Create([self._table])
        return once | "Publish" >> beam.FlatMap(_publish, AsList(drafts), losers)


def _publish(table: Table, _drafts: list[str], losers: Mapping[str, str]) -> Iterator[str]:
    """Move whole files to their names, without rows of sources that lost to a duplicate; yield the names.

    Which files there are is read from the folder: when WriteToParquet's last step is retried it does
    not name again what it has finished before. For that reason, too, this may be repeated.
    """
    for draft in table.drafts():
        whole = _without(draft, losers, table.schema) if losers else draft
        FileSystems.rename([whole], [table.final(draft)])
        if whole != draft:
            FileSystems.delete([draft])
    for final in matches(table.final("part-*.parquet")):
        yield table.name(final)


def matches(pattern: str) -> list[str]:
    """Return the paths that a pattern matches, sorted."""
    return sorted(about.path for about in FileSystems.match([pattern])[0].metadata_list)


def _without(draft: str, losers: Mapping[str, str], schema: pa.Schema) -> str:
    kept = f"{draft}.kept"
    with (
        FileSystems.open(draft) as old,
        FileSystems.create(kept) as new,
        pq.ParquetWriter(new, schema, compression=CODEC) as out,
    ):
        for batch in pq.ParquetFile(old).iter_batches():
            out.write_batch(without_losers(batch, losers).cast(schema))
    return kept


def without_losers(batch: Any, losers: Mapping[str, str]) -> Any:
    """Return a record batch without the rows of sources that lost to a duplicate."""
    lost = pa.array(sorted(losers), pa.string())
    return batch.filter(pc.invert(pc.is_in(batch["source_id"], value_set=lost)))
