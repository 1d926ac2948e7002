"""Decisions: what the audit of earlier runs says was decided, for `--incremental`."""

import hashlib
import os
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from beamstop.audit import Outcome, Row
from beamstop_transforms.claims import Claimant
from beamstop_transforms.stores import open_seekable, paths_in
from beamstop_transforms.tables import run_of

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

# The newest row of a source, in 36 + 8 bytes: every worker process holds one for each of millions of sources.
_ENTRY = np.dtype(
    [
        ("source", "u8"),  # stands for the source_id
        ("seen", "u8"),  # stands for size and version; 0 if the row decides nothing
        ("uid", "u8", 2),  # stands for the SOP Instance UID of the clean file; 0 unless written
        ("file", "u4"),  # which Parquet file has the row
    ]
)


class Decision(NamedTuple):
    """What holds of a source by its newest row.

    Attributes:
        uid_key: stands for the SOP Instance UID of the clean file; None unless written.
        file: the Parquet file that has the row.
    """

    uid_key: bytes | None
    file: str


class Held(NamedTuple):
    """A clean file that a skipped source has in OUTPUT: the source, and the Parquet file with its row."""

    source_id: str
    file: str


class Decisions:
    """What finished runs decided with one recipe and one version of beamstop.

    A source that failed is not decided, nor one whose place was occupied. A run without a record did
    not finish: its rows decide nothing.

    Args:
        audit: the AUDIT folder or prefix.
        recipe_digest, beamstop_version: what a row must agree with.
    """

    def __init__(self, audit: str, recipe_digest: str, beamstop_version: str) -> None:
        self._audit = audit
        self._recipe_digest = recipe_digest
        self._beamstop_version = beamstop_version

    def find(self, source_id: str, size: int, version: str) -> Decision | None:
        """Return the decision on a source, None if there is none or the source has changed since."""
        number, entries = _number(source_id), self._entries
        at = int(np.searchsorted(self._sources, np.uint64(number)))
        if at == len(entries) or not version:
            return None
        entry = entries[at]
        if (int(entry["source"]), int(entry["seen"])) != (number, _seen(size, version)):
            return None
        return Decision(entry["uid"].tobytes() if entry["uid"].any() else None, self._files[entry["file"]])

    @cached_property
    def _sources(self) -> Any:
        return np.ascontiguousarray(self._entries["source"])  # else every search would copy it

    @cached_property
    def _files(self) -> list[str]:
        """The Parquet files of finished runs, oldest run first."""
        records = paths_in(self._audit, "runs", ".json")
        finished = {os.path.basename(path).removesuffix(".json") for path in records}
        every = paths_in(self._audit, "instances", ".parquet")
        return [path for path in every if run_of(path) in finished]

    @cached_property
    def _entries(self) -> Any:
        """The newest entry of every source, sorted by source."""
        parts = [np.empty(0, _ENTRY)]
        for number, path in enumerate(self._files):
            with open_seekable(path) as file:
                for batch in pq.ParquetFile(file).iter_batches(columns=list(_NEEDED)):
                    parts.append(self._entries_of(batch, number))
        every = np.concatenate(parts)
        del parts
        every = every[np.argsort(every["source"], kind="stable")]
        newest = np.ones(len(every), bool)
        newest[:-1] = every["source"][1:] != every["source"][:-1]
        return every[newest]

    def _entries_of(self, batch: Any, number: int) -> Any:
        entries = np.zeros(batch.num_rows, _ENTRY)
        entries["file"] = number
        entries["source"] = [_number(it) for it in batch["source_id"].to_pylist()]
        sizes, versions = batch["source_size"].to_pylist(), batch["source_version"].to_pylist()
        seen = [_seen(size, version) for size, version in zip(sizes, versions, strict=True)]
        entries["seen"] = np.where(self._decides(batch), np.array(seen, "u8"), np.uint64(0))
        keys = b"".join(uid_key(uid) if uid else _NO_UID for uid in batch["sop_instance_uid"].to_pylist())
        entries["uid"] = np.frombuffer(keys, "u8").reshape(-1, 2)
        return entries

    def _decides(self, batch: Any) -> Any:
        """Return for each row whether it decides: a mask of bool, (rows,)."""
        tried = pc.and_(
            pc.not_equal(batch["outcome"], str(Outcome.FAILED)),
            pc.not_equal(pc.fill_null(batch["reason"], ""), "occupied"),
        )
        same = pc.and_(
            pc.equal(batch["recipe_digest"], self._recipe_digest),
            pc.equal(batch["beamstop_version"], self._beamstop_version),
        )
        return pc.fill_null(pc.and_(tried, same), False).to_numpy(zero_copy_only=False)


_NO_UID = bytes(16)


def uid_key(sop_instance_uid: str) -> bytes:
    """Return 16 bytes that stand for a SOP Instance UID."""
    return hashlib.sha256(sop_instance_uid.encode()).digest()[:16]


def _number(source_id: str) -> int:
    """Return 64 bits of a source_id, which is a keyed digest."""
    return int(source_id[:16], 16)


def _seen(size: int, version: str) -> int:
    """Return 64 bits that stand for size and version; never 0."""
    digest = hashlib.blake2b(f"{size}\0{version}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") or 1


def held_row(held: Held) -> tuple[Row, Claimant]:
    """Return what the ledger says of a skipped source, and the claim that its clean file is."""
    table = _instances(held.file)
    (row,) = table.filter(pc.equal(table["source_id"], held.source_id)).to_pylist()
    claimant = Claimant(row["source_digest"], row["output_path"], row["output_sha256"])
    return {name: row[name] for name in _OF_THE_SOURCE}, claimant


@lru_cache(maxsize=2)  # held sources that are claimed again mostly stand in one file
def _instances(path: str) -> pa.Table:
    with open_seekable(path) as file:
        return pq.read_table(file, columns=[*_OF_THE_SOURCE, "output_path", "output_sha256"])
