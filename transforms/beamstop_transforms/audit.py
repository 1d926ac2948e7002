"""WriteAudit: from the rows of a run to its Parquet files and its record."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import apache_beam as beam
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
from beamstop_transforms.png import NOT_RENDERED, OCCUPIED, PICTURES, WritePng
from beamstop_transforms.stores import PARTIAL, open_store
from beamstop_transforms.tables import PER_BUNDLE, Table, WriteTable
from beamstop_transforms.write import Target, open_claims


class UnreconciledError(DeidError):
    """The rows of a run are not its sources, one for one."""


class Drafts(NamedTuple):
    """What WriteAudit needs of the graph.

    Attributes:
        sources: every `Source` matched.
        skipped: one element per source that was left out, as an earlier run's row holds.
        rows: one row per other source, and one per skipped source whose earlier row holds no longer.
        changes: rows of `changes`.
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
        rows = drafts.rows | "Seal" >> beam.ParDo(_SealFn(run), losers)
        columns = Table(run.target.audit, "instances", run.target.run_id, INSTANCES, run.shards)
        files = [rows | "Columns" >> beam.Map(columns_of) | "WriteInstances" >> WriteTable(columns)]
        if run.detail:
            table = Table(run.target.audit, "changes", run.target.run_id, CHANGES, PER_BUNDLE)
            files.append(
                drafts.changes
                | "RunOfChange" >> beam.Map(_of_run, run.target.run_id)
                | "WriteChanges" >> WriteTable(table, losers)
            )
        if run.crosswalk is not None:
            table = Table(run.crosswalk, "", run.target.run_id, CROSSWALK, run.shards, "source_path")
            files.append(
                drafts.crosswalk
                | "WithoutLosers" >> beam.FlatMap(_winners, losers)
                | "WriteCrosswalk" >> WriteTable(table)
            )
        if run.attributes is not None:
            table_of_attributes = WriteAttributes(run.attributes, run.target.run_id, losers)
            files.append(drafts.attributes | "WriteAttributes" >> table_of_attributes)
        pictures: Any = {}
        if run.png is not None:
            pictures = AsDict(rows | "WritePng" >> WritePng(run.png, run.target.output))
        buckets = (
            rows
            | "ByBucket" >> beam.Map(lambda row: (bucket_of(row["source_id"]), (row["source_id"], leaf(row))))
            | "Buckets" >> beam.GroupByKey()
            | "Node" >> beam.MapTuple(_node)
        )
        recorded = (
            rows.pipeline
            | "Once" >> beam.Create([None])
            | "WriteRecord"
            >> beam.ParDo(
                _WriteRecordFn(run),
                AsSingleton(drafts.sources | "CountSources" >> Count.Globally()),
                AsSingleton(drafts.skipped | "CountSkipped" >> Count.Globally()),
                AsSingleton(rows | "Counts" >> beam.Map(counts_of) | "Tally" >> beam.CombineGlobally(_add)),
                AsDict(buckets),
                AsList(tuple(files) | "Files" >> beam.Flatten()),
                pictures,
            )
        )
        # A claim for each instance is more than one worker could remove in time.
        parts = recorded | "Tidy" >> beam.FlatMap(_tidy, run) | "SpreadParts" >> beam.Reshuffle()
        _ = parts | "Release" >> beam.Map(_release, run.target)
        return recorded


class _SealFn(beam.DoFn):
    """Complete every row: the losers' verdict, the run's columns, the MAC."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self._run = run

    def setup(self) -> None:
        self._identity = Identity(resolve_key(self._run.key))

    def process(self, row: Row, losers: Mapping[str, str]) -> Iterator[Row]:
        lost = losers.get(row["source_id"])
        if lost is not None:
            row = {**refused(row, Outcome.REJECTED, "WriteDicom", lost), "unchanged": False}
        yield complete(row, self._run.columns, self._identity)


def complete(row: Row, columns: Mapping[str, str], identity: Identity) -> Row:
    """Return a row with the run's columns and its MAC, and beside them what `counts_of` asks for."""
    more = {name: bool(row.get(name)) for name in ("unchanged", "overturned")}
    return {**sealed({**row, **columns}, identity), **more}


def columns_of(row: Row) -> Row:
    """Return of a complete row what the table has."""
    return {name: row[name] for name in INSTANCES.names}


def _of_run(row: Row, run_id: str) -> Row:
    return {**row, "run_id": run_id}


def _winners(row: Row, losers: Mapping[str, str]) -> Iterator[Row]:
    if row["source_id"] not in losers:
        yield {name: row[name] for name in CROSSWALK.names}


def _node(bucket: int, rows: Iterable[tuple[str, bytes]]) -> tuple[int, bytes]:
    listed = list(rows)
    leaves = dict(listed)
    if len(leaves) != len(listed):
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
        left_out: int,
        totals: Mapping[str, int],
        buckets: Mapping[int, bytes],
        files: list[str],
        pictures: Mapping[str, int],
    ) -> Iterator[dict[str, Any]]:
        tally = Counter(totals)  # Beam's coder makes a plain mapping of it
        skipped = left_out - tally["overturned"]
        if tally["rows"] != sources - skipped:
            raise UnreconciledError(f"{sources} sources, {skipped} skipped, but {tally['rows']} audit rows")
        more: dict[str, Any] = {}
        if self._run.png is not None:
            more["png"] = {code: pictures.get(code, 0) for code in (PICTURES, NOT_RENDERED, OCCUPIED)}
        record = put_record(self._run, counts(sources, skipped, tally), tally, buckets, files, more)
        yield record["counts"]


def _tidy(_: object, run: Run) -> list[str]:
    """Empty every `.partial` but for the claims; return the parts in which these are to be released."""
    for folder in filter(None, (run.target.audit, run.crosswalk, run.attributes, run.png)):
        if folder != run.target.workspace:
            open_store(folder).clear(PARTIAL)
    return open_claims(run.target).tidy()


def _release(part: str, target: Target) -> None:
    open_claims(target).release(part)


def put_record(
    run: Run,
    counted: Mapping[str, Any],
    tally: Mapping[str, int],
    buckets: Mapping[int, bytes],
    files: Iterable[str],
    more: Mapping[str, Any],
) -> dict[str, Any]:
    """Write AUDIT/runs/<run_id>.json, sealed, in place of what a try before left; return it.

    Args:
        run: which.
        counted: the counts that it says.
        tally: sum of `counts_of` all rows.
        buckets: number → inner node of the tree over the rows.
        files: the names of all other files.
        more: what it says beside.
    """
    run_id, identity, ended = run.target.run_id, Identity(resolve_key(run.key)), datetime.now(UTC)
    record = {
        "run_id": run_id,
        **run.record,
        "engines": _details(tally, "engine"),
        "counts": dict(counted),
        "started": run.started,
        "ended": ended.isoformat(timespec="milliseconds"),
        "seconds": round((ended - datetime.fromisoformat(run.started)).total_seconds(), 3),
        "files": sorted(files),
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
