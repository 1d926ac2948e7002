"""Decisions: what the audit of earlier runs says was decided, for `--incremental`."""

import os
from collections.abc import Iterator
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from apache_beam.utils.shared import Shared

from beamstop.audit import Outcome, Row
from beamstop_transforms.ledger.claims import Claimant, uid_key
from beamstop_transforms.ledger.numbers import digest_number, digest_numbers, number_of, numbers_of
from beamstop_transforms.ledger.target import Target, open_claims
from beamstop_transforms.stores import open_seekable, paths_in
from beamstop_transforms.stores.ahead import ahead
from beamstop_transforms.tables import run_of

PRUNED = "pruned"  # the folder of AUDIT that says which clean files a run removed

_NEEDED = (
    "source_id",
    "source_size",
    "source_version",
    "sop_instance_uid",
    "outcome",
    "reason",
    "recipe_digest",
    "beamstop_version",
)
# What a row says of the source itself, whatever became of it.
_OF_THE_SOURCE = ("source_id", "source_digest", "source_size", "source_version", "sop_class_uid", "modality")

# The newest row of a source, in 37 + 8 bytes: every worker process holds one for each of millions of sources.
_ENTRY = np.dtype(
    [
        ("source", "u8"),  # stands for the source_id
        ("size", "i8"),
        ("version", "i8"),
        ("uid", "u8"),  # stands for the SOP Instance UID of the clean file; 0 unless written
        ("file", "u4"),  # which Parquet file has the row
        ("decides", "?"),
    ]
)


class Decisions:
    """What finished runs decided with one recipe and one version of beamstop.

    A source that failed is not decided, nor one whose place was occupied, nor one whose clean file was
    pruned; nor a duplicate, once anything was pruned: what it lost to may be gone. A run without a record
    did not finish: its rows decide nothing, and where it may have written nothing is decided any more.

    Args:
        target: OUTPUT, AUDIT, and the run that asks.
        recipe_digest, beamstop_version: what a row must agree with.
    """

    def __init__(self, target: Target, recipe_digest: str, beamstop_version: str) -> None:
        self._target = target
        self._recipe_digest = recipe_digest
        self._beamstop_version = beamstop_version
        self._shared = Shared()

    def shared(self) -> "Decisions":
        """Return the one object that all who ask in this process share: it holds the arrays."""
        return self._shared.acquire(lambda: self)

    def holds(self, source_id: str, size: int, version: str) -> bool:
        """Say whether a source is decided and has not changed since."""
        number, entries = digest_number(source_id), self._entries
        at = int(np.searchsorted(self._sources, np.uint64(number)))
        if at == len(entries) or not version:
            return False
        entry = entries[at]
        same = (int(entry["source"]), int(entry["size"]), int(entry["version"])) == (
            number,
            size,
            int(version),
        )
        return bool(same and entry["decides"])

    def are_any(self) -> bool:
        """Say whether anything was decided at all."""
        return len(self._entries) > 0

    def holders(self, sop_instance_uid: str, skipped: Any) -> Iterator[tuple[Row, Claimant]]:
        """Yield what the ledger says of each skipped source with this UID, and the claim that its file is.

        Args:
            sop_instance_uid: the UID.
            skipped: sorted `digest_number` of every source that this run skips.
        """
        uids, order = self._by_uid
        number = np.uint64(number_of(sop_instance_uid))
        first, last = (int(np.searchsorted(uids, number, side, sorter=order)) for side in ("left", "right"))
        for at in range(first, last):
            entry = self._entries[order[at]]
            found = int(np.searchsorted(skipped, entry["source"]))
            if found < len(skipped) and skipped[found] == entry["source"]:
                yield _held_row(self._files[entry["file"]], int(entry["source"]))

    @cached_property
    def _sources(self) -> Any:
        return np.ascontiguousarray(self._entries["source"])  # else every search would copy it

    @cached_property
    def _by_uid(self) -> tuple[Any, Any]:
        uids = np.ascontiguousarray(self._entries["uid"])
        return uids, np.argsort(uids, kind="stable")

    @cached_property
    def _files(self) -> list[str]:
        """The Parquet files of finished runs, oldest run first, what a run pruned after its rows."""
        return finished_files(self._target.audit)

    @cached_property
    def _entries(self) -> Any:
        """The newest entry of every source, sorted by source."""
        pruned = max([number for number, path in enumerate(self._files) if is_pruned(path)], default=0)
        left_open = frozenset(open_claims(self._target).left_open())

        def read(number: int) -> Any:
            return self._entries_in(number, number < pruned, left_open)

        every = np.concatenate([np.empty(0, _ENTRY), *ahead(read, range(len(self._files)))])
        every = every[np.argsort(every["source"], kind="stable")]
        newest = np.ones(len(every), bool)
        newest[:-1] = every["source"][1:] != every["source"][:-1]
        return every[newest]

    def _entries_in(self, number: int, before_pruning: bool, left_open: frozenset[bytes]) -> Any:
        path, parts = self._files[number], [np.empty(0, _ENTRY)]
        columns = ["source_id"] if is_pruned(path) else list(_NEEDED)
        with open_seekable(path) as file:
            for batch in pq.ParquetFile(file).iter_batches(columns=columns):
                parts.append(self._entries_of(batch, number, before_pruning, left_open))
        return np.concatenate(parts)

    def _entries_of(self, batch: Any, number: int, before_pruning: bool, left_open: frozenset[bytes]) -> Any:
        entries = np.zeros(batch.num_rows, _ENTRY)
        entries["file"] = number
        entries["source"] = digest_numbers(batch["source_id"])
        if is_pruned(self._files[number]):
            return entries
        versions = pc.if_else(pc.equal(batch["source_version"], ""), None, batch["source_version"])
        entries["size"] = batch["source_size"].to_numpy(zero_copy_only=False)
        entries["version"] = pc.fill_null(pc.cast(versions, pa.int64()), 0)
        entries["uid"] = numbers_of(batch["sop_instance_uid"])
        entries["decides"] = self._decides(batch, before_pruning, left_open)
        return entries

    def _decides(self, batch: Any, before_pruning: bool, left_open: frozenset[bytes]) -> Any:
        """Return for each row whether it decides: a mask of bool, (rows,)."""
        again = ["occupied", *(["duplicate", "duplicate_conflict"] if before_pruning else [])]
        tried = pc.and_(
            pc.not_equal(batch["outcome"], str(Outcome.FAILED)),
            pc.invert(pc.is_in(batch["reason"], value_set=pa.array(again))),
        )
        same = pc.and_(
            pc.equal(batch["recipe_digest"], self._recipe_digest),
            pc.equal(batch["beamstop_version"], self._beamstop_version),
        )
        decides = pc.fill_null(pc.and_(tried, same), False).to_numpy(zero_copy_only=False)
        if left_open:
            uids = batch["sop_instance_uid"].to_pylist()
            decides &= np.array([uid is None or uid_key(uid) not in left_open for uid in uids])
        return decides


def finished_files(audit: str, also: str | None = None) -> list[str]:
    """Return the Parquet files of runs that ended, oldest run first, what a run pruned after its rows.

    Args:
        audit: the AUDIT folder or prefix.
        also: a run that counts as one that ended.
    """
    records = paths_in(audit, "runs", ".json")
    finished = {os.path.basename(path).removesuffix(".json") for path in records} | {also}
    every = [*paths_in(audit, "instances", ".parquet"), *paths_in(audit, PRUNED, ".parquet")]
    return sorted(
        (path for path in every if run_of(path) in finished), key=lambda it: (run_of(it), is_pruned(it), it)
    )


def is_pruned(path: str) -> bool:
    """Say whether a file tells what was pruned."""
    return os.path.basename(os.path.dirname(path)) == PRUNED


def _held_row(path: str, source: int) -> tuple[Row, Claimant]:
    table = _instances(path)
    at = int(np.flatnonzero(digest_numbers(table["source_id"].combine_chunks()) == np.uint64(source))[0])
    (row,) = table.slice(at, 1).to_pylist()
    claimant = Claimant(row["source_digest"], row["output_path"], row["output_sha256"])
    return {name: row[name] for name in _OF_THE_SOURCE}, claimant


@lru_cache(maxsize=2)  # held sources that are claimed again mostly stand in one file
def _instances(path: str) -> pa.Table:
    with open_seekable(path) as file:
        return pq.read_table(file, columns=[*_OF_THE_SOURCE, "output_path", "output_sha256"])
