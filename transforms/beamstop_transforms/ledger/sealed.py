"""The tables of AUDIT that count: those named, with their SHA-256, by records that the run's key sealed."""

import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from typing import Any, NamedTuple

from beamstop.audit import record_mac
from beamstop.identity import Identity
from beamstop_transforms.parquet_files import batches_of, open_parquet
from beamstop_transforms.stores import StoreError, open_store
from beamstop_transforms.stores.ahead import ahead

INSTANCES, PRUNED = "instances", "pruned"  # folders of AUDIT; `pruned` lists the files a run removed
RUNS, SIGNATURES, LISTS = "runs", "signatures", "lists"  # with many tables, a run's list is beside its record


class SealedTable(NamedTuple):
    """A table that a sealed record names.

    Attributes:
        name: below AUDIT.
        run_id: of the run that wrote it.
        sha256: of the file, in hex.
        subjects: the digest of the run's table of subjects; None if it had none.
    """

    name: str
    run_id: str
    sha256: str
    subjects: str | None = None

    @property
    def is_pruned(self) -> bool:
        """Whether it lists files that were pruned."""
        return self.name.startswith(f"{PRUNED}/")


def read_records(audit: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield run_id and record of every run that ended, oldest first; an unreadable record is empty.

    Args:
        audit: the AUDIT folder or prefix.
    """
    store = open_store(audit)
    names = {_run_named(it): it for it in store.names(RUNS) if it.endswith(".json")}
    run_ids = sorted(names)
    for run_id, found in zip(run_ids, ahead(store.read, [names[it] for it in run_ids]), strict=True):
        if found is not None:
            yield run_id, _parsed(found[1])


def is_broken(record: bytes) -> bool:
    """Return whether a record was made for a run that broke, of the parts that it had sealed."""
    return _parsed(record).get("broken") is True


def is_sealed(run_id: str, record: dict[str, Any], identity: Identity) -> bool:
    """Return whether this key sealed the record of this run."""
    return record.get("run_id") == run_id and record.get("mac") == record_mac(record, identity)


def sealed_records(audit: str, identity: Identity) -> Iterator[dict[str, Any]]:
    """Yield the records that this key sealed, oldest run first.

    Args:
        audit: the AUDIT folder or prefix.
        identity: of the runs' key.
    """
    for run_id, record in read_records(audit):
        if is_sealed(run_id, record, identity):
            yield record


def recovered_runs(audit: str, identity: Identity) -> tuple[str, ...]:
    """Return the runs that broke after the last one that ended properly, and that have a record by now.

    The work at the end of a run is not done for their rows: duplicates are not resolved, and there are no
    pictures for review.
    """
    found: list[str] = []
    for record in sealed_records(audit, identity):
        found = [*found, record["run_id"]] if record.get("broken") is True else []
    return tuple(found)


def list_name(run_id: str) -> str:
    """Return the name below AUDIT of the list of a run's tables; a run with few tables has no list."""
    return f"{LISTS}/{run_id}.json"


def files_of(audit: str, record: Mapping[str, Any]) -> dict[str, str]:
    """Return name → SHA-256 of the tables that a record names; empty if its list was changed."""
    named, apart = record.get("sha256"), record.get("list")
    if isinstance(apart, dict):
        name = list_name(str(record.get("run_id")))
        found = open_store(audit).read(name) if name.count("/") == 1 else None
        is_it = found is not None and hashlib.sha256(found[1]).hexdigest() == apart.get("sha256")
        named = _parsed(found[1]).get("sha256") if found is not None and is_it else None
    return named if isinstance(named, dict) else {}


def sealed_tables(
    audit: str, identity: Identity, folders: Iterable[str] = (INSTANCES, PRUNED)
) -> list[SealedTable]:
    """Return the tables that count, oldest run first; a run's pruned files come after its rows.

    A table that no sealed record names decides nothing: anybody who can write to AUDIT may have put it there.

    Raises:
        StoreError: the list of a run's tables is not what its record sealed.
    """
    wanted = tuple(f"{folder}/" for folder in folders)
    found = []
    for record in sealed_records(audit, identity):
        files = files_of(audit, record)
        if not files and "list" in record:
            name, run = list_name(record["run_id"]), f"{RUNS}/{record['run_id']}.json"
            why = f"{audit}/{name} is gone, or is not what its run sealed: restore it from a copy"
            raise StoreError(f"{why}, or remove {run} to process its sources again")
        for name, sha256 in sorted(files.items()):
            if name.startswith(wanted):
                found.append(SealedTable(name, record["run_id"], sha256, record.get("subjects")))
    return found


def rows_of(audit: str, table: SealedTable, columns: list[str]) -> Iterator[Any]:
    """Yield record batches of a table; none if the table is gone, or has another SHA-256 than in the record.

    Args:
        audit: the AUDIT folder or prefix.
        table: the table.
        columns: names of the columns to read.
    """
    found = open_store(audit).read(table.name)
    if found is not None and hashlib.sha256(found[1]).hexdigest() == table.sha256:
        with closing(open_parquet(io.BytesIO(found[1]))) as file:
            yield from batches_of(file, columns)


def is_lost(audit: str, table: SealedTable) -> bool:
    """Return whether a table is gone, or not what the record says."""
    found = open_store(audit).read(table.name)
    return found is None or hashlib.sha256(found[1]).hexdigest() != table.sha256


def _run_named(name: str) -> str:
    return name.removeprefix(f"{RUNS}/").removesuffix(".json")


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        record = json.loads(data, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON; raise ValueError if a name is there twice: the seal covers only the last."""
    result = dict(pairs)
    if len(result) < len(pairs):
        raise ValueError("a name stands twice")
    return result
