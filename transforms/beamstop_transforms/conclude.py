"""Conclude: give a broken run a record of its sealed rows, so that later runs trust them."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from beamstop.audit import INSTANCES, bucket_digest, bucket_of, leaf
from beamstop.identity import Identity
from beamstop_transforms.attributes import attributes_schema, names_in, widened
from beamstop_transforms.devices import Device, Seen, added, as_recorded, commonest, seen_by_device
from beamstop_transforms.ledger.numbers import digest_numbers, numbers_of
from beamstop_transforms.ledger.parts import Part, broken_runs, read_parts
from beamstop_transforms.ledger.sealed import INSTANCES as _INSTANCES
from beamstop_transforms.ledger.sealed import rows_of, sealed_tables
from beamstop_transforms.record import (
    Run,
    complete,
    counts_of,
    place_digests,
    put_broken_record,
    record_name,
)
from beamstop_transforms.seal_parts import tables_of
from beamstop_transforms.stores import open_store
from beamstop_transforms.tables import Partial, PartialFile, Put

_CHANGES, _ATTRIBUTES = "changes", "attributes"
_AT_ONCE = 1_000  # rows held as dicts
_LAST = 99_999  # files are numbered from here down: if the run is still alive, it numbers its own from 0 up
_SIGNATURE = ("outcome", "reason", "source_digest", "output_path", "output_sha256")
_ASKED = ("source_id", "sop_instance_uid", "contested", *_SIGNATURE)


class Concluded(NamedTuple):
    """A broken run that now has a record: its id, and how many rows count."""

    run_id: str
    rows: int


def conclude(run: Run) -> list[Concluded]:
    """Write a record for each run that broke before this one; return these runs.

    A row counts if its part is sealed with this run's key and was written for the same OUTPUT and AUDIT as
    this run's, if all sealed rows of the source agree, and if no other source claims its SOP Instance UID,
    because the broken run may not have resolved duplicates. All other sources are processed again.

    Args:
        run: this run.
    """
    identity, audit = run.target.identity(), run.target.audit
    places, concluded = place_digests(run, identity), []
    for run_id in broken_runs(audit):
        if run_id < run.target.run_id and open_store(audit).find(record_name(run_id)) is None:
            parts = [it for it in read_parts(audit, run_id, identity) if dict(it.places) == places]
            of_it = replace(run, target=replace(run.target, run_id=run_id))
            if rows := _Broken(of_it, parts, identity).conclude():
                concluded.append(Concluded(run_id, rows))
    return concluded


class _Broken:
    """One run that broke.

    Args:
        run: the broken run, with the places of the run that concludes it.
        parts: the parts that it had sealed.
        identity: of the key.
    """

    def __init__(self, run: Run, parts: list[Part], identity: Identity) -> None:
        self._audit, self._identity, self._signing_key = run.target.audit, identity, run.signing_key
        self._tables = tables_of(replace(run, detail=any(_CHANGES in it.tables for it in parts)))
        self._parts = [it for it in parts if self._is_whole(it)]
        self._tally = Counter[str]()
        self._nodes: dict[int, list[bytes]] = defaultdict(list)
        self._devices: dict[Device, Seen] = {}

    def conclude(self) -> int:
        """Write its tables and its record; return how many rows count."""
        columns = [self._columns_of(it) for it in self._parts]
        masks = self._masks(columns)
        if not any(it.any() for it in masks):
            return 0
        counting = [
            numbered["source_id"].filter(pa.array(mask))
            for numbered, mask in zip(columns, masks, strict=True)
        ]
        files = [put for name in self._tables for put in self._put(name, counting)]
        nodes = {number: _node(parts) for number, parts in self._nodes.items()}
        more = {"devices": as_recorded(commonest([self._devices]))}
        head = self._parts[0].head
        put_broken_record(
            self._audit, head, self._tally, nodes, files, more, self._identity, self._signing_key
        )
        return self._tally["rows"]

    def _is_whole(self, part: Part) -> bool:
        """Return whether the partial files of a part match its record."""
        if _INSTANCES not in part.tables or not part.tables.keys() <= self._tables.keys():
            return False
        for name, partial in part.tables.items():
            found = open_store(self._tables[name].target).find(partial.name)
            if found is None or found.sha256 != partial.sha256:
                return False
        return True

    def _columns_of(self, part: Part) -> pa.Table:
        """Return the columns of a part by which it is decided whether its rows count."""
        file = PartialFile((part.tables[_INSTANCES].name,), "")
        return pa.concat_tables(it.select(_ASKED) for it in self._tables[_INSTANCES].read(file))

    def _masks(self, columns: list[pa.Table]) -> list[Any]:
        """Return a mask of bool for each part: which of its rows count."""
        every = pa.concat_tables(columns).combine_chunks() if columns else None
        if every is None or not len(every):
            return [np.zeros(len(it), bool) for it in columns]
        sources = digest_numbers(every["source_id"].combine_chunks())
        uids = numbers_of(every["sop_instance_uid"].combine_chunks())
        texts = [pc.fill_null(every[name], "") for name in _SIGNATURE]
        signatures = numbers_of(pc.binary_join_element_wise(*texts, "\n").combine_chunks())
        contested = numbers_of(every["contested"].combine_chunks())
        counts = (
            _first_of_each(sources, signatures) & (contested == 0) & ~np.isin(uids, contested[contested > 0])
        )
        counts &= ~np.isin(uids, _claimed_twice(uids[counts & (uids > 0)]))
        mine = counts & (uids > 0)
        counts &= ~np.isin(uids, self._held_by_others(uids[mine], sources[mine]))
        return np.split(counts, np.cumsum([len(it) for it in columns])[:-1])

    def _held_by_others(self, uids: Any, sources: Any) -> Any:
        """Return the UIDs that finished runs have written from another source."""
        order = np.argsort(uids)
        uids, sources = uids[order], sources[order]
        found = [np.empty(0, np.uint64)]
        for table in sealed_tables(self._audit, self._identity, [_INSTANCES]) if len(uids) else ():
            for batch in rows_of(self._audit, table, ["source_id", "sop_instance_uid"]):
                theirs = numbers_of(batch["sop_instance_uid"])
                at = np.minimum(np.searchsorted(uids, theirs), len(uids) - 1)
                other = (uids[at] == theirs) & (sources[at] != digest_numbers(batch["source_id"]))
                found.append(theirs[other])
        return np.concatenate(found)

    def _put(self, name: str, counting: list[pa.ChunkedArray]) -> Iterator[Put]:
        """Write the files of one table."""
        table = self._tables[name]
        of = {it.tables[name].name: number for number, it in enumerate(self._parts) if name in it.tables}
        groups = list(table.grouped(it.tables[name] for it in self._parts if name in it.tables))

        def rows(group: tuple[Partial, ...]) -> Iterator[pa.Table]:
            for partial in group:
                wanted = counting[of[partial.name]].combine_chunks()
                for it in table.read(PartialFile((partial.name,), "")):
                    # If a bundle was retried, the first part with the source counts.
                    yield it.filter(pc.is_in(it["source_id"], value_set=wanted))

        schema = table.schema
        if name == _ATTRIBUTES:
            names = frozenset[str]().union(*(names_in(it) for group in groups for it in rows(group)))
            schema = attributes_schema(names)
        for number, group in enumerate(groups):
            found: Iterable[pa.Table] = rows(group)
            if name == _INSTANCES:
                found, schema = (self._completed(it) for it in rows(group)), INSTANCES
            elif name == _ATTRIBUTES:
                found = (widened(it, schema) for it in rows(group))
            else:
                found = (it.select(schema.names) for it in rows(group))
            yield table.put(table.name(_LAST - number, len(groups)), found, schema)

    def _completed(self, rows: pa.Table) -> pa.Table:
        """Return rows of instances in the form of the audit, and add them to the counts."""
        head = self._parts[0].head
        same = {
            "run_id": head["run_id"],
            "recipe_digest": head["recipe"]["digest"],
            "beamstop_version": head["versions"]["beamstop"],
        }
        batches = []
        for batch in rows.to_batches(max_chunksize=_AT_ONCE):
            done = [complete(row, same, self._identity) for row in batch.to_pylist()]
            for row in done:
                self._tally.update(counts_of(row))
                self._nodes[bucket_of(row["source_id"])] += [bytes.fromhex(row["source_id"]), leaf(row)]
            for device, seen in seen_by_device(done).items():
                self._devices[device] = added(
                    [seen, *([self._devices[device]] if device in self._devices else [])]
                )
            batches.append(pa.RecordBatch.from_pylist(done, INSTANCES))
        return pa.Table.from_batches(batches, INSTANCES)


def _first_of_each(sources: Any, signatures: Any) -> Any:
    """Return a mask of bool: the first row of each source, but none of a source whose rows disagree."""
    order = np.argsort(sources, kind="stable")
    ordered, said = sources[order], signatures[order]
    is_first = np.ones(len(order), bool)
    is_first[1:] = ordered[1:] != ordered[:-1]
    group = np.cumsum(is_first) - 1
    differs = np.zeros(group[-1] + 1, bool)
    differs[group[said != said[is_first][group]]] = True
    result = np.zeros(len(order), bool)
    result[order[is_first]] = ~differs
    return result


def _claimed_twice(uids: Any) -> Any:
    found, counts = np.unique(uids, return_counts=True)
    return found[counts > 1]


def _node(parts: list[bytes]) -> bytes:
    return bucket_digest(dict(zip(parts[::2], parts[1::2], strict=True)))
