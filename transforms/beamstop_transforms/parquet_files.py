"""Parquet files are read in the thread that asks: Arrow's own stay away from what Python made.

One of them that lets go of a file object of Python's while the interpreter ends aborts the process
("terminate called without an active exception"). Tables of a run are small: one thread is enough.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def open_parquet(file: Any) -> pq.ParquetFile:
    """Return an opened Parquet file; read it with `batches_of` or `whole_of`.

    Raises:
        pa.ArrowInvalid: it is none.
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
