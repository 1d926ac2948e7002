"""Decisions: what the audit of earlier runs says was decided, for `--incremental`."""

import hashlib
import os
from collections.abc import Iterator
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from apache_beam.io.filesystems import FileSystems

from beamstop.audit import Outcome, Row
from beamstop_transforms.claims import Claimant
from beamstop_transforms.tables import matches

_NEEDED = (
    "source_id",
    "source_size",
    "source_version",
    "outcome",
    "reason",
    "sop_instance_uid",
    "recipe_digest",
    "beamstop_version",
)
# What a row says of the source itself, whatever became of it.
_OF_THE_SOURCE = ("source_id", "source_digest", "source_size", "source_version", "sop_class_uid", "modality")


class Decision(NamedTuple):
    """The newest row of a source, as short as millions of them must be.

    Attributes:
        seen: stands for the size and version that the source had.
        uid_key: stands for the SOP Instance UID of the clean file; None unless written.
        file: the Parquet file that has the row.
    """

    seen: bytes
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
        decision = self._newest.get(_short(source_id))
        return (
            decision if decision is not None and version and decision.seen == _seen(size, version) else None
        )

    @cached_property
    def _newest(self) -> dict[bytes, Decision]:
        newest: dict[bytes, Decision] = {}
        for path in self._files():
            with FileSystems.open(path) as file:
                for batch in pq.ParquetFile(file).iter_batches(columns=list(_NEEDED)):
                    for source_id, size, version, uid, holds in self._rows(batch):
                        if holds:
                            key = uid_key(uid) if uid else None
                            newest[_short(source_id)] = Decision(_seen(size, version), key, path)
                        else:
                            newest.pop(_short(source_id), None)
        return newest

    def _files(self) -> Iterator[str]:
        """Yield the Parquet files of finished runs, oldest run first."""
        records = matches(str(FileSystems.join(self._audit, "runs", "*.json")))
        finished = {os.path.basename(path).removesuffix(".json") for path in records}
        for path in matches(str(FileSystems.join(self._audit, "instances", "*.parquet"))):
            if _run_of(path) in finished:
                yield path

    def _rows(self, batch: Any) -> Iterator[tuple[str, int, str, str | None, bool]]:
        tried = pc.and_(
            pc.not_equal(batch["outcome"], str(Outcome.FAILED)),
            pc.not_equal(pc.fill_null(batch["reason"], ""), "occupied"),
        )
        same = pc.and_(
            pc.equal(batch["recipe_digest"], self._recipe_digest),
            pc.equal(batch["beamstop_version"], self._beamstop_version),
        )
        columns = [batch[name] for name in ("source_id", "source_size", "source_version", "sop_instance_uid")]
        return zip(*(it.to_pylist() for it in [*columns, pc.and_(tried, same)]), strict=True)


def _run_of(path: str) -> str:
    return os.path.basename(path).rsplit("-", 3)[0]  # <run_id>-00000-of-00001.parquet


def uid_key(sop_instance_uid: str) -> bytes:
    """Return 16 bytes that stand for a SOP Instance UID."""
    return hashlib.sha256(sop_instance_uid.encode()).digest()[:16]


def _short(source_id: str) -> bytes:
    return bytes.fromhex(source_id)[:16]


def _seen(size: int, version: str) -> bytes:
    return hashlib.sha256(f"{size}\0{version}".encode()).digest()[:16]


def held_row(held: Held) -> tuple[Row, Claimant]:
    """Return what the ledger says of a skipped source, and the claim that its clean file is."""
    table = _instances(held.file)
    (row,) = table.filter(pc.equal(table["source_id"], held.source_id)).to_pylist()
    claimant = Claimant(row["source_digest"], row["output_path"], row["output_sha256"])
    return {name: row[name] for name in _OF_THE_SOURCE}, claimant


@lru_cache(maxsize=2)  # held sources that are claimed again mostly stand in one file
def _instances(path: str) -> pa.Table:
    with FileSystems.open(path) as file:
        return pq.read_table(file, columns=[*_OF_THE_SOURCE, "output_path", "output_sha256"])
