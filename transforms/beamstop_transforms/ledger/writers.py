"""The ledger: what earlier runs wrote, read from their audit."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from beamstop_transforms.ledger.numbers import number_of, numbers_of
from beamstop_transforms.stores import open_seekable, paths_in
from beamstop_transforms.stores.ahead import ahead
from beamstop_transforms.tables import run_of


class Ledger:
    """What the audit of earlier runs says was written; loaded when first asked, columns needed only.

    Args:
        audit: the AUDIT folder or prefix.
        counts: says of a run_id whether its rows count; all do, whether it ended or not, unless given.
    """

    def __init__(self, audit: str, counts: Callable[[str], bool] = bool) -> None:
        self._audit = audit
        self._counts = counts

    def wrote(self, path: str, sha256: str) -> bool:
        """Say whether a run wrote this content at this path."""
        return self._writer(path, sha256) is not None

    def is_writer(self, source_id: str, path: str, sha256: str) -> bool:
        """Say whether this source was the last from which a run wrote this content at this path."""
        return self._writer(path, sha256) == number_of(source_id)

    def _writer(self, path: str, sha256: str) -> int | None:
        high, low = number_of(path), number_of(sha256)
        at = int(np.searchsorted(self._highs, np.uint64(high)))
        for entry in self._writers[at:]:
            if int(entry["high"]) != high:
                break
            if int(entry["low"]) == low:
                return int(entry["source"])
        return None

    @cached_property
    def _highs(self) -> Any:
        return np.ascontiguousarray(self._writers["high"])  # else every search would copy it

    @cached_property
    def _writers(self) -> Any:
        """One entry for each path and content, sorted; the newest run has the last word."""
        parts = [np.empty(0, _ENTRY)]
        # Sorted by name, the files are sorted by run.
        paths = paths_in(self._audit, "instances", ".parquet")
        parts += ahead(_entries_in, [path for path in paths if self._counts(run_of(path))])
        every = np.concatenate(parts)
        del parts
        every = every[np.lexsort((every["low"], every["high"]))]  # stable
        newest = np.ones(len(every), bool)
        newest[:-1] = every[_SAME][1:] != every[_SAME][:-1]
        return every[newest]


def _entries_in(path: str) -> Any:
    parts = [np.empty(0, _ENTRY)]
    with open_seekable(path) as file:
        for batch in pq.ParquetFile(file).iter_batches(columns=list(_COLUMNS.values())):
            written = batch.filter(batch["output_path"].is_valid())
            entries = np.empty(written.num_rows, _ENTRY)
            for name, column in _COLUMNS.items():
                entries[name] = numbers_of(written[column])
            parts.append(entries)
    return np.concatenate(parts)


_COLUMNS = {"high": "output_path", "low": "output_sha256", "source": "source_id"}
_SAME = ["high", "low"]
# 24 + 8 bytes for each of millions of files instead of their names
_ENTRY = np.dtype([(name, "u8") for name in _COLUMNS])
