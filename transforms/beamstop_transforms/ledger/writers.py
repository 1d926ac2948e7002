"""The ledger: what earlier runs wrote, read from their audit."""

from functools import cached_property
from threading import Lock
from typing import Any

import numpy as np
import pyarrow.compute as pc

from beamstop.identity import Identity
from beamstop_transforms.ledger.numbers import digest_number, digest_numbers, number_of, numbers_of
from beamstop_transforms.ledger.sealed import INSTANCES, RUNS, SealedTable, rows_of, sealed_tables
from beamstop_transforms.stores import open_store
from beamstop_transforms.stores.ahead import ahead


class Ledger:
    """What the sealed tables of earlier runs say was written; loaded when first asked, columns needed only.

    Args:
        audit: the AUDIT folder or prefix.
        identity: of the runs' key.
        without: runs whose tables do not count.
    """

    def __init__(self, audit: str, identity: Identity, without: tuple[str, ...] = ()) -> None:
        self._audit = audit
        self._identity = identity
        self._without = without
        self._loading = Lock()

    def has_runs(self) -> bool:
        """Return whether any run has left a record; nothing is loaded for it."""
        return any(open_store(self._audit).names(RUNS))

    def wrote(self, path: str, sha256: str) -> bool:
        """Say whether a run wrote this content at this path."""
        return self._writer(path, sha256) is not None

    def is_writer(self, source_id: str, path: str, sha256: str) -> bool:
        """Say whether this source was the last from which a run wrote this content at this path."""
        return self._writer(path, sha256) == number_of(source_id)

    def source_of(self, path: str, sha256: str) -> str | None:
        """Return the source_id of the last source from which a run wrote this content at this path."""
        entry = self._entry(path, sha256)
        if entry is None:
            return None
        for batch in rows_of(self._audit, self._tables[entry["table"]], ["source_id", "output_path"]):
            named = batch.filter(pc.fill_null(pc.equal(batch["output_path"], path), False))["source_id"]
            for source_id in named.to_pylist():
                if number_of(source_id) == int(entry["source"]):
                    return str(source_id)
        return None

    def _writer(self, path: str, sha256: str) -> int | None:
        entry = self._entry(path, sha256)
        return entry and int(entry["source"])

    def _entry(self, path: str, sha256: str) -> Any:
        high, low = number_of(path), digest_number(sha256)
        with self._loading:  # once, whichever thread is the first to ask
            highs, writers = self._highs, self._writers
        at = int(np.searchsorted(highs, np.uint64(high)))
        for entry in writers[at:]:
            if int(entry["high"]) != high:
                break
            if int(entry["low"]) == low:
                return entry
        return None

    @cached_property
    def _tables(self) -> list[SealedTable]:
        tables = sealed_tables(self._audit, self._identity, [INSTANCES])
        return [it for it in tables if it.run_id not in self._without]

    @cached_property
    def _highs(self) -> Any:
        return np.ascontiguousarray(self._writers["high"])  # else every search would copy it

    @cached_property
    def _writers(self) -> Any:
        """One entry for each path and content, sorted; the newest run has the last word."""
        parts = [np.empty(0, _ENTRY)]
        parts += ahead(self._entries_in, range(len(self._tables)))
        every = np.concatenate(parts)
        del parts
        every = every[np.lexsort((every["low"], every["high"]))]  # stable
        newest = np.ones(len(every), bool)
        newest[:-1] = every[_SAME][1:] != every[_SAME][:-1]
        return every[newest]

    def _entries_in(self, number: int) -> Any:
        parts = [np.empty(0, _ENTRY)]
        for batch in rows_of(self._audit, self._tables[number], _COLUMNS):
            written = batch.filter(batch["output_path"].is_valid())
            entries = np.empty(written.num_rows, _ENTRY)
            entries["table"] = number
            entries["high"] = numbers_of(written["output_path"])
            entries["low"] = digest_numbers(written["output_sha256"])
            entries["source"] = numbers_of(written["source_id"])
            parts.append(entries)
        return np.concatenate(parts)


_COLUMNS = ["output_path", "output_sha256", "source_id"]
_SAME = ["high", "low"]
# 28 + 8 bytes for each of millions of files instead of their names
_ENTRY = np.dtype([("high", "u8"), ("low", "u8"), ("source", "u8"), ("table", "u4")])
