"""WriteAudit: from the rows of a run to its Parquet files and its record."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import apache_beam as beam
import pyarrow as pa
from apache_beam import pvalue
from apache_beam.pvalue import AsDict, AsList, AsSingleton
from apache_beam.transforms.combiners import Count

from beamstop.audit import (
    CHANGES,
    CROSSWALK,
    INSTANCES,
    Outcome,
    Row,
    bucket_digest,
    bucket_of,
    leaf,
    record_mac,
    refused,
    seal,
    sealed,
)
from beamstop.errors import DeidError
from beamstop.identity import Identity
from beamstop.keys import resolve_key
from beamstop_transforms.attributes import WriteAttributes
from beamstop_transforms.devices import Device, Seen, added, as_recorded, commonest, seen_by_device
from beamstop_transforms.png import NOT_RENDERED, OCCUPIED, PICTURES, WritePng
from beamstop_transforms.prune import FindLeftovers, Prune, input_digests
from beamstop_transforms.release import Release
from beamstop_transforms.skip_decided import numbers_in
from beamstop_transforms.stores import PARTIAL, open_store
from beamstop_transforms.tables import PER_BUNDLE, Draft, Put, Table, WriteDrafts, WriteTable
from beamstop_transforms.write import Target, open_claims


class UnreconciledError(DeidError):
    """The rows of a run are not its sources, one for one."""


class Drafts(NamedTuple):
    """What WriteAudit needs of the graph.

    Attributes:
        sources: every `Source` matched.
        skipped: which sources were left out, as an earlier run's row holds; one element, see `numbers_in`.
        rows: one row per other source, and one per skipped source whose earlier row holds no longer;
            one collection, or several that need not be joined.
        changes: rows of `changes`, in batches.
        crosswalk: rows of the crosswalk.
        attributes: drafts of the rows of the table of attributes.
        losers: source_id and reason of the sources that lost to a duplicate.
    """

    sources: Any
    skipped: Any
    rows: Any
    changes: Any
    crosswalk: Any
    attributes: Any
    losers: Any


@dataclass(frozen=True)
class Run:
    """What the record says of a run.

    Attributes:
        target: output, audit and run_id.
        crosswalk: the CROSSWALK folder or prefix, if wanted.
        attributes: the ATTRIBUTES folder or prefix, if wanted.
        png: the PNG folder or prefix, if wanted.
        detail: whether `changes` is wanted.
        key: reference of the run's key.
        columns: columns of the audit that are the same for every row.
        record: what the run's JSON says beside counts and times.
        inputs: patterns; their keyed digests stand in the record.
        prune: whether clean files that no source stands for are removed; None if they are not looked for.
        started: UTC, ISO 8601.
        shards: Parquet files per table of rows, at least; or `PER_BUNDLE`.
    """

    target: Target
    crosswalk: str | None
    attributes: str | None
    png: str | None
    detail: bool
    key: str
    columns: Mapping[str, str]
    record: Mapping[str, Any]
    inputs: tuple[str, ...]
    prune: bool | None
    started: str
    shards: int


class WriteAudit(beam.PTransform):
    """Write AUDIT/instances and /changes, CROSSWALK, ATTRIBUTES, PNG; at last AUDIT/runs/<run_id>.json.

    The pipeline fails with `UnreconciledError` if the rows are not the sources, one for one.
    """

    def __init__(self, run: Run) -> None:
        super().__init__()
        self._run = run

    def expand(self, drafts: Any) -> Any:
        """From `Drafts`, return one element: the counts of the run."""
        run, losers = self._run, AsDict(drafts.losers)
        # Rows wait on disk for the losers' verdict, not in a runner's memory.
        table = Table(run.target.audit, "instances", run.target.run_id, _DRAFT, run.shards)
        published = drafts.rows | "DraftInstances" >> WriteDrafts(table)
        tags = (_TALLY, _NODES, _CLEAN, _DEVICES)
        instances = published | "WriteInstances" >> beam.ParDo(
            _WriteInstancesFn(run, table), losers
        ).with_outputs(*tags, main="files")
        files = [instances["files"]]
        if run.detail:
            table = Table(run.target.audit, "changes", run.target.run_id, CHANGES, PER_BUNDLE)
            files.append(drafts.changes | "WriteChanges" >> WriteTable(table, losers))
        if run.crosswalk is not None:
            table = Table(run.crosswalk, "", run.target.run_id, CROSSWALK, run.shards)
            files.append(drafts.crosswalk | "WriteCrosswalk" >> WriteTable(table, losers))
        if run.attributes is not None:
            table_of_attributes = WriteAttributes(run.attributes, run.target.run_id, losers)
            files.append(drafts.attributes | "WriteAttributes" >> table_of_attributes)
        pictures: Any = {}
        if run.png is not None:
            pictures = AsDict(instances[_CLEAN] | "WritePng" >> WritePng(run.png, run.target.output))
        devices = (
            instances[_DEVICES]
            | "ByDevice" >> beam.CombinePerKey(added)
            | "OneDevice" >> beam.Map(_one_device)
            | "Commonest" >> beam.CombineGlobally(commonest)
        )
        nodes = instances[_NODES] | "Buckets" >> beam.GroupByKey() | "Node" >> beam.MapTuple(_node)
        left: Any = {}
        removed: Any = 0
        since: Any = {}
        if run.prune is not None:
            leftovers = instances["files"] | "FindLeftovers" >> FindLeftovers(
                run.target, run.inputs, run.key, drafts.skipped
            )
            since = AsSingleton(leftovers.since)
            left = AsDict(
                leftovers.found | "Why" >> beam.Map(lambda it: it.why) | "Left" >> Count.PerElement()
            )
            if run.prune:
                lists, gone = leftovers.found | "Prune" >> Prune(run.target)
                files.append(lists)
                removed = AsSingleton(gone | "CountPruned" >> Count.Globally())
        recorded = (
            instances["files"].pipeline
            | "Once" >> beam.Create([None])
            | "WriteRecord"
            >> beam.ParDo(
                _WriteRecordFn(run),
                AsSingleton(drafts.sources | "CountSources" >> Count.Globally()),
                AsSingleton(drafts.skipped),
                AsSingleton(instances[_TALLY] | "Tally" >> beam.CombineGlobally(_add)),
                AsDict(nodes),
                AsSingleton(devices),
                AsList(tuple(files) | "Files" >> beam.Flatten()),
                pictures,
                since,
                left,
                removed,
            )
        )
        parts = recorded | "Tidy" >> beam.FlatMap(_tidy, run)
        _ = parts | "ReleaseClaims" >> Release(run.target, drafts.skipped)
        return recorded


class _WriteInstancesFn(beam.DoFn):
    """Complete every row of a draft: the losers' verdict, the run's columns, the MAC; give it its name.

    Yields the file; to the tally the counts; to the nodes, for each bucket of the Merkle tree, source_ids and
    leaves in 64 bytes a row; to the clean ones path and SHA-256 of every file that is written; to the
    devices what was written of each.
    """

    def __init__(self, run: Run, table: Table) -> None:
        super().__init__()
        self._run = run
        self._table = table

    def setup(self) -> None:
        self._identity = Identity(resolve_key(self._run.key))

    def process(self, draft: Draft, losers: Mapping[str, str]) -> Iterator[Any]:
        tally, nodes = Counter[str](), defaultdict[int, list[bytes]](list)
        batches: list[pa.RecordBatch] = []
        devices: list[tuple[Device, Seen]] = []
        rows = _DRAFT.empty_table() if draft.draft is None else self._table.read(draft.draft)
        for batch in rows.to_batches(max_chunksize=_AT_ONCE):
            rows_of_batch = [self._complete(row, losers) for row in batch.to_pylist()]
            for row in rows_of_batch:
                tally.update(counts_of(row))
                nodes[bucket_of(row["source_id"])] += [bytes.fromhex(row["source_id"]), leaf(row)]
                if self._run.png is not None and row["outcome"] == Outcome.WRITTEN:
                    yield pvalue.TaggedOutput(_CLEAN, (row["output_path"], row["output_sha256"]))
            devices += seen_by_device(rows_of_batch).items()
            batches.append(pa.RecordBatch.from_pylist(rows_of_batch, INSTANCES))
        yield self._table.put(draft.final, pa.Table.from_batches(batches, INSTANCES))
        yield pvalue.TaggedOutput(_TALLY, tally)
        for number, parts in nodes.items():
            yield pvalue.TaggedOutput(_NODES, (number, b"".join(parts)))
        for device in devices:
            yield pvalue.TaggedOutput(_DEVICES, device)

    def _complete(self, row: Row, losers: Mapping[str, str]) -> Row:
        lost = losers.get(row["source_id"])
        if lost is not None:
            row = {**refused(row, Outcome.REJECTED, "WriteDicom", lost), "unchanged": False, "device": None}
        return complete(row, self._run.columns, self._identity)


_TALLY, _NODES, _CLEAN, _DEVICES = "tally", "nodes", "clean", "devices"
_MARKS = ("unchanged", "overturned")  # for the counts alone
_DRAFT = pa.schema([*INSTANCES, *((name, pa.bool_()) for name in _MARKS), ("device", pa.list_(pa.string()))])
_AT_ONCE = 1_000  # rows held as dicts


def complete(row: Row, columns: Mapping[str, str], identity: Identity) -> Row:
    """Return a row with the run's columns and its MAC, and beside them what only the record tells."""
    marks = {name: bool(row.get(name)) for name in _MARKS}
    return {**sealed({**row, **columns}, identity), **marks, "device": row.get("device")}


def columns_of(row: Row) -> Row:
    """Return of a complete row what the table has."""
    return {name: row[name] for name in INSTANCES.names}


def _one_device(found: tuple[Device, Seen]) -> dict[Device, Seen]:
    return dict([found])


def _node(bucket: int, parts: Iterable[bytes]) -> tuple[int, bytes]:
    packed = b"".join(parts)
    leaves = {packed[at : at + 32]: packed[at + 32 : at + 64] for at in range(0, len(packed), 64)}
    if 64 * len(leaves) != len(packed):
        raise UnreconciledError("a source has more than one audit row")
    return bucket, bucket_digest(leaves)


def counts_of(row: Row) -> Counter[str]:
    """Return what one complete row adds to the run's counts; a key with a slash is a detail."""
    counts = Counter({row["outcome"]: 1, "rows": 1})
    counts["bytes_in"] = row["bytes_in"]
    counts["bytes_out"] = row["bytes_out"]
    counts["text_boxes_hidden"] = row["text_boxes_hidden"] or 0
    counts["unchanged"] = int(row["unchanged"])
    counts["overturned"] = int(row["overturned"])
    if row["reason"]:
        counts[f"{row['outcome']}/{row['reason']}"] = 1
    if row["engine"]:
        counts[f"engine/{row['engine']}"] = 1
    return counts


def _add(counters: Iterable[Counter[str]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for counter in counters:
        total.update(counter)
    return total


class _WriteRecordFn(beam.DoFn):
    """Reconcile, write the run's record when every file stands, tidy up."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self._run = run

    def process(
        self,
        _: None,
        sources: int,
        left_out: bytes,
        totals: Mapping[str, int],
        buckets: Mapping[int, bytes],
        devices: Mapping[Device, Seen],
        files: list[Put],
        pictures: Mapping[str, int],
        since: Mapping[str, Any],
        left: Mapping[str, int],
        pruned: int,
    ) -> Iterator[dict[str, Any]]:
        tally = Counter(totals)  # Beam's coder makes a plain mapping of it
        skipped = len(numbers_in(left_out)) - tally["overturned"]
        if tally["rows"] != sources - skipped:
            raise UnreconciledError(f"{sources} sources, {skipped} skipped, but {tally['rows']} audit rows")
        more: dict[str, Any] = {"devices": as_recorded(devices)}
        if self._run.prune is not None:
            more["since"] = {**since, "left": dict(sorted(left.items())), "pruned": pruned}
        if self._run.png is not None:
            more["png"] = {code: pictures.get(code, 0) for code in (PICTURES, NOT_RENDERED, OCCUPIED)}
        record = put_record(self._run, counts(sources, skipped, tally), tally, buckets, files, more)
        yield record["counts"]


def _tidy(_: object, run: Run) -> list[str]:
    """Empty every `.partial` but for the claims; return the parts in which there are any to be released."""
    for folder in filter(None, (run.target.audit, run.crosswalk, run.attributes, run.png)):
        if folder != run.target.workspace:
            open_store(folder).clear(PARTIAL)
    return open_claims(run.target).tidy()


def put_record(
    run: Run,
    counted: Mapping[str, Any],
    tally: Mapping[str, int],
    buckets: Mapping[int, bytes],
    files: Iterable[Put],
    more: Mapping[str, Any],
) -> dict[str, Any]:
    """Write AUDIT/runs/<run_id>.json, sealed, in place of what a try before left; return it.

    Args:
        run: which.
        counted: the counts that it says.
        tally: sum of `counts_of` all rows.
        buckets: number → inner node of the tree over the rows.
        files: all other files; those of AUDIT, which lie in a folder of it, are sealed.
        more: what it says beside.
    """
    run_id, identity, ended = run.target.run_id, Identity(resolve_key(run.key)), datetime.now(UTC)
    put = sorted(files)
    record = {
        "run_id": run_id,
        **run.record,
        "inputs": input_digests(run.inputs, identity),
        "engines": _details(tally, "engine"),
        "counts": dict(counted),
        "started": run.started,
        "ended": ended.isoformat(timespec="milliseconds"),
        "seconds": round((ended - datetime.fromisoformat(run.started)).total_seconds(), 3),
        "files": [it.name for it in put],
        "sha256": {it.name: it.sha256 for it in put if "/" in it.name},
        "integrity": seal(buckets, tally["rows"], run_id, identity),
        **more,
    }
    record["mac"] = record_mac(record, identity)
    store, name = open_store(run.target.audit), record_name(run_id)
    found = store.find(name)
    store.write(name, json.dumps(record, indent=1).encode(), found and found.version)
    return record


def counts(sources: int, skipped: int, tally: Counter[str]) -> dict[str, Any]:
    """Return the counts of a run as its record has them."""
    return {
        "sources": sources,
        **{str(outcome): tally[str(outcome)] for outcome in Outcome},
        "unchanged": tally["unchanged"],
        "skipped": skipped,
        "bytes_in": tally["bytes_in"],
        "bytes_out": tally["bytes_out"],
        "text_boxes_hidden": tally["text_boxes_hidden"],
        "reasons": {
            key: n for key, n in sorted(tally.items()) if "/" in key and not key.startswith("engine/")
        },
    }


def _details(tally: Mapping[str, int], kind: str) -> list[str]:
    return sorted(key.partition("/")[2] for key in tally if key.startswith(f"{kind}/"))


def record_name(run_id: str) -> str:
    """Return the name of a run's record below AUDIT."""
    return f"runs/{run_id}.json"
