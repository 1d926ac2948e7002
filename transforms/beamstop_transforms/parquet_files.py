"""Reads Parquet files in the calling thread, without Arrow's own threads.

An Arrow thread that releases a Python file object during interpreter shutdown aborts the process ("terminate
called without an active exception"). Tables of a run are small, so one thread is enough.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def open_parquet(file: Any) -> pq.ParquetFile:
    """Return an opened Parquet file; read it with `batches_of` or `whole_of`.

    Raises:
        pa.ArrowInvalid: it is not a Parquet file.
    """
    return pq.ParquetFile(file, pre_buffer=False)


def batches_of(parquet: pq.ParquetFile, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a file in batches; of some columns, or all."""
    names = None if columns is None else list(columns)
    yield from parquet.iter_batches(columns=names, use_threads=False)


def whole_of(parquet: pq.ParquetFile, columns: Sequence[str] | None = None) -> pa.Table:
    """Return all rows of a file; of some columns, or all."""
    names = None if columns is None else list(columns)
    return parquet.read(columns=names, use_threads=False)
