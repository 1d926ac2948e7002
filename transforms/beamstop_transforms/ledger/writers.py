"""The ledger: which clean files earlier runs wrote, according to their audit."""

from collections.abc import Iterable
from functools import cached_property
from threading import Lock

import pyarrow.compute as pc

from beamstop.identity import Identity
from beamstop_transforms.ledger.index import Index, index_of
from beamstop_transforms.ledger.numbers import digest_number, number_of
from beamstop_transforms.ledger.sealed import RUNS, rows_of
from beamstop_transforms.stores import open_store


class Ledger:
    """The clean files that sealed tables of earlier runs name. AUDIT/ledger is opened at first use.

    Args:
        audit: the AUDIT folder or prefix.
        identity: of the runs' key.
        without: run_ids whose tables do not count.
    """

    def __init__(self, audit: str, identity: Identity, without: Iterable[str] = ()) -> None:
        self._audit = audit
        self._identity = identity
        self._without = frozenset(without)
        self._opening = Lock()

    def has_runs(self) -> bool:
        """Return whether any run has left a record; does not open AUDIT/ledger."""
        return any(open_store(self._audit).names(RUNS))

    def wrote(self, path: str, sha256: str) -> bool:
        """Return whether a run wrote this content at this path."""
        return self._writer(path, sha256) is not None

    def is_writer(self, source_id: str, path: str, sha256: str) -> bool:
        """Return whether this source was the last from which a run wrote this content at this path."""
        found = self._writer(path, sha256)
        return found is not None and found[0] == digest_number(source_id)

    def source_of(self, path: str, sha256: str) -> str | None:
        """Return the source_id of the last source from which a run wrote this content at this path."""
        found = self._writer(path, sha256)
        if found is None:
            return None
        source, table = found
        for batch in rows_of(self._audit, self._index.tables[table].sealed, ["source_id", "output_path"]):
            named = batch.filter(pc.fill_null(pc.equal(batch["output_path"], path), False))["source_id"]
            for source_id in named.to_pylist():
                if digest_number(source_id) == source:
                    return str(source_id)
        return None

    def _writer(self, path: str, sha256: str) -> tuple[int, int] | None:
        with self._opening:  # once, whichever thread is the first to ask
            index = self._index
        return index.source_of(number_of(path), digest_number(sha256), self._without)

    @cached_property
    def _index(self) -> Index:
        return index_of(self._audit, self._identity)
