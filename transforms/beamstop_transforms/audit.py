"""WriteAudit: write the rows of a run to Parquet files, and the run's record."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import apache_beam as beam
import pyarrow as pa
from apache_beam import pvalue
from apache_beam.pvalue import AsDict, AsList, AsSingleton, PCollection
from apache_beam.transforms.combiners import Count

from beamstop.audit import (
    INSTANCES,
    Outcome,
    Row,
    bucket_digest,
    bucket_of,
    leaf,
)
from beamstop.errors import DeidError
from beamstop_transforms.attributes import WriteAttributes
from beamstop_transforms.devices import Device, Seen, added, as_recorded, commonest, seen_by_device
from beamstop_transforms.ledger.index import Index, index_of, with_tables
from beamstop_transforms.ledger.sealed import INSTANCES as SEALED_INSTANCES
from beamstop_transforms.ledger.sealed import rows_of, sealed_tables
from beamstop_transforms.ledger.skipped import Skipped
from beamstop_transforms.ledger.target import Target, is_run_id, open_claims
from beamstop_transforms.losers import CollectLosers, Losers
from beamstop_transforms.png import NOT_RENDERED, OCCUPIED, PICTURES, WritePng
from beamstop_transforms.prune import ATTRIBUTES, CROSSWALK, FILES, FindLeftovers, Prune
from beamstop_transforms.record import Run, complete, counts, counts_of, put_record
from beamstop_transforms.release import Release
from beamstop_transforms.seal_parts import Parts, tables_of
from beamstop_transforms.skip_decided import nothing_skipped
from beamstop_transforms.step import Transform
from beamstop_transforms.stores import PARTIAL, open_store
from beamstop_transforms.tables import (
    NumberFiles,
    Partial,
    PartialFile,
    Put,
    Table,
    WritePartialFiles,
    WriteTable,
)


class UnreconciledError(DeidError):
    """A run does not have exactly one row for each source."""


class JobOutputs(NamedTuple):
    """The inputs of WriteAudit; a custom pipeline may leave some out.

    Attributes:
        rows: one row per source that was not skipped, and one per skipped source whose earlier row is no
            longer true; one collection or a tuple of several. Rows in `parts` are not repeated here.
        sources: every `Source` that was found; None if only the rows name them.
        skipped: one element, `Skipped`: the sources that were skipped, because an earlier row decides them.
        changes: rows of `changes`, in batches.
        crosswalk: rows of the crosswalk.
        attributes: rows of the table of attributes, from `attributes_of`.
        losers: source_id and `Lost` of the sources that are duplicates and not written.
        parts: the output of `SealParts`, with rows of all tables.
    """

    rows: Any
    sources: Any = None
    skipped: Any = None
    changes: Any = None
    crosswalk: Any = None
    attributes: Any = None
    losers: Any = None
    parts: Parts | None = None


@dataclass(eq=False)
class WriteAudit(Transform):
    """Write AUDIT/instances and /changes, CROSSWALK, ATTRIBUTES and PNG; finally AUDIT/runs/<run_id>.json.

    The pipeline fails with `UnreconciledError` unless there is exactly one row for each source.

    Attributes:
        run: the run, for its record.
    """

    run: Run

    def _extract_input_pvalues(self, pvalueish: JobOutputs) -> tuple[JobOutputs, dict[str, PCollection[Any]]]:
        _, inputs = super()._extract_input_pvalues(pvalueish)
        return pvalueish, {name: it for name, it in inputs.items() if it is not None}

    def _partials(self, outputs: JobOutputs, tables: Mapping[str, Table]) -> dict[str, PCollection[Partial]]:
        """Return the partial files of each table that is written, from single rows and from parts."""
        found = {}
        for name, table in tables.items():
            rows = outputs.rows if name == "instances" else getattr(outputs, name)
            alone = [] if rows is None else [rows | f"Partial_{name}" >> WritePartialFiles(table)]
            in_parts = [] if outputs.parts is None else [getattr(outputs.parts, name)]
            if alone or in_parts:
                found[name] = (*alone, *in_parts) | f"Both_{name}" >> beam.Flatten()
        return found

    def expand(self, outputs: JobOutputs) -> PCollection[dict[str, Any]]:
        """Return one element: the counts of the run.

        Raises:
            ValueError: the run wants a crosswalk or a table of attributes and `outputs` has no rows for it.
        """
        run, tables = self.run, tables_of(self.run)
        partials = self._partials(outputs, tables)
        for name in ("crosswalk", "attributes"):
            if name in tables and name not in partials:
                raise ValueError(f"the run wants {name}: pass WriteDicom's as JobOutputs.{name}")
        losers: Any = Losers()
        if outputs.losers is not None:
            losers = AsSingleton(outputs.losers | "Losers" >> beam.CombineGlobally(CollectLosers()))
        # Rows wait on disk, not in a runner's memory, until it is known which sources are duplicates.
        numbered = partials["instances"] | "NumberFiles" >> NumberFiles(tables["instances"])
        skipped = outputs.skipped
        if skipped is None:
            skipped = nothing_skipped(numbered.pipeline)
        tags = (_TALLY, _NODES, _CLEAN, _DEVICES)
        instances = numbered | "WriteInstances" >> beam.ParDo(
            _WriteInstancesFn(run, tables["instances"]), losers
        ).with_outputs(*tags, main="files")
        files = [instances["files"]]
        if "changes" in partials:
            files.append(partials["changes"] | "WriteChanges" >> WriteTable(tables["changes"], losers))
        if run.crosswalk is not None:
            files.append(partials["crosswalk"] | "WriteCrosswalk" >> WriteTable(tables["crosswalk"], losers))
        if run.attributes is not None:
            table_of_attributes = WriteAttributes(run.attributes, run.target.run_id, losers)
            files.append(partials["attributes"] | "WriteAttributes" >> table_of_attributes)
        pictures: Any = {}
        if run.png is not None:
            clean = instances[_CLEAN]
            if run.target.recovered:
                kept = numbered.pipeline | "Recovered" >> beam.Create([run.target.recovered])
                clean = (clean, kept | "Kept" >> beam.FlatMap(_clean_files, run)) | "Clean" >> beam.Flatten()
            pictures = AsDict(clean | "WritePng" >> WritePng(run.png, run.target.output))
        devices = (
            instances[_DEVICES]
            | "ByDevice" >> beam.CombinePerKey(added)
            | "OneDevice" >> beam.Map(_one_device)
            | "Commonest" >> beam.CombineGlobally(commonest)
        )
        nodes = instances[_NODES] | "Buckets" >> beam.GroupByKey() | "Node" >> beam.MapTuple(_node)
        left: Any = {}
        removed: Any = {}
        since: Any = {}
        if run.prune is not None:
            find = FindLeftovers(run.target, run.inputs, skipped, run.subjects)
            leftovers = instances["files"] | "FindLeftovers" >> find
            since = AsSingleton(leftovers.since)
            left = AsDict(
                leftovers.found | "Why" >> beam.Map(lambda it: it.why) | "Left" >> Count.PerElement()
            )
            if run.prune:
                beside = {CROSSWALK: run.crosswalk, ATTRIBUTES: run.attributes}
                rows_in = {name: place for name, place in beside.items() if place is not None}
                lists, gone = leftovers.found | "Prune" >> Prune(run.target, run.png, rows_in)
                files.append(lists)
                removed = AsDict(gone)
        sources: Any = None
        if outputs.sources is not None:
            sources = AsSingleton(outputs.sources | "CountSources" >> Count.Globally())
        recorded = (
            numbered.pipeline
            | "Once" >> beam.Create([None])
            | "WriteRecord"
            >> beam.ParDo(
                _WriteRecordFn(run),
                sources,
                AsSingleton(skipped),
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
        _ = parts | "ReleaseClaims" >> Release(run.target, skipped)
        return recorded


class _WriteInstancesFn(beam.DoFn):
    """Complete the rows of partial files (duplicates, the run's columns, MAC) and write them as one file.

    Yields the file. Further outputs: the counts; for each bucket of the Merkle tree, source_ids and leaves in
    64 bytes a row; path and SHA-256 of every clean file; how many files each device has.
    """

    def __init__(self, run: Run, table: Table) -> None:
        super().__init__()
        self._run = run
        self._table = table

    def setup(self) -> None:
        self._identity = self._run.target.identity()

    def process(self, file: PartialFile, losers: Losers) -> Iterator[Any]:
        tally, nodes = Counter[str](), defaultdict[int, list[bytes]](list)
        batches: list[pa.RecordBatch] = []
        devices: list[tuple[Device, Seen]] = []
        for rows in self._table.read(file):
            for batch in rows.to_batches(max_chunksize=_AT_ONCE):
                rows_of_batch = [self._complete(row, losers) for row in batch.to_pylist()]
                for row in rows_of_batch:
                    tally.update(counts_of(row))
                    nodes[bucket_of(row["source_id"])] += [bytes.fromhex(row["source_id"]), leaf(row)]
                    if self._run.png is not None and row["outcome"] == Outcome.WRITTEN:
                        yield pvalue.TaggedOutput(_CLEAN, (row["output_path"], row["output_sha256"]))
                devices += seen_by_device(rows_of_batch).items()
                batches.append(pa.RecordBatch.from_pylist(rows_of_batch, INSTANCES))
        whole = pa.Table.from_batches(batches, INSTANCES)
        yield self._table.put(file.final, [whole], INSTANCES)
        yield pvalue.TaggedOutput(_TALLY, tally)
        for number, parts in nodes.items():
            yield pvalue.TaggedOutput(_NODES, (number, b"".join(parts)))
        for device in devices:
            yield pvalue.TaggedOutput(_DEVICES, device)

    def _complete(self, row: Row, losers: Losers) -> Row:
        lost = losers.get(row["source_id"])
        if lost is not None:
            row = {**lost.row(row, "WriteDicom"), "unchanged": False, "device": None}
        return complete(row, self._run.columns, self._identity)


_TALLY, _NODES, _CLEAN, _DEVICES = "tally", "nodes", "clean", "devices"
_AT_ONCE = 1_000  # rows held as dicts


def _clean_files(run_ids: tuple[str, ...], run: Run) -> Iterator[tuple[str, str]]:
    """Yield path and SHA-256 of every file that a row of certain earlier runs names."""
    for table in sealed_tables(run.target.audit, run.target.identity(), [SEALED_INSTANCES]):
        if table.run_id in run_ids:
            for batch in rows_of(run.target.audit, table, ["output_path", "output_sha256"]):
                written = batch.filter(batch["output_path"].is_valid())
                yield from zip(*(column.to_pylist() for column in written.columns), strict=True)


def _one_device(found: tuple[Device, Seen]) -> dict[Device, Seen]:
    return dict([found])


def _node(bucket: int, parts: Iterable[bytes]) -> tuple[int, bytes]:
    packed = b"".join(parts)
    leaves = {packed[at : at + 32]: packed[at + 32 : at + 64] for at in range(0, len(packed), 64)}
    if 64 * len(leaves) != len(packed):
        raise UnreconciledError("a source has more than one audit row")
    return bucket, bucket_digest(leaves)


def _add(counters: Iterable[Counter[str]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for counter in counters:
        total.update(counter)
    return total


class _WriteRecordFn(beam.DoFn):
    """Compare rows with sources, write the run's record when all files are there, and tidy up."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self._run = run

    def process(
        self,
        _: None,
        sources: int | None,
        left_out: Skipped,
        totals: Mapping[str, int],
        buckets: Mapping[int, bytes],
        devices: Mapping[Device, Seen],
        files: list[Put],
        pictures: Mapping[str, int],
        since: Mapping[str, Any],
        left: Mapping[str, int],
        removed: Mapping[str, int],
    ) -> Iterator[dict[str, Any]]:
        tally = Counter(totals)  # Beam's coder turns a Counter into a dict
        skipped = left_out.sources - tally["overturned"]
        if sources is None:
            sources = tally["rows"] + skipped
        if tally["rows"] != sources - skipped:
            raise UnreconciledError(f"{sources} sources, {skipped} skipped, but {tally['rows']} audit rows")
        more: dict[str, Any] = {"devices": as_recorded(devices)}
        if self._run.prune is not None:
            beside = {name: number for name, number in sorted(removed.items()) if name != FILES}
            more["since"] = {
                **since,
                "left": dict(sorted(left.items())),
                "pruned": removed.get(FILES, 0),
                "pruned_beside": beside,
            }
        if self._run.png is not None:
            more["png"] = {code: pictures.get(code, 0) for code in (PICTURES, NOT_RENDERED, OCCUPIED)}
        record = put_record(self._run, counts(sources, skipped, tally), tally, buckets, files, more)
        yield record["counts"]


def _tidy(_: object, run: Run) -> list[str]:
    """Empty every `.partial` except for claims; return the parts that have claims to release."""
    _make_ledger(run.target)
    for folder in filter(None, (run.target.audit, run.crosswalk, run.attributes, run.png)):
        if folder != run.target.workspace:
            store = open_store(folder)
            for left in store.folders(PARTIAL):  # and not the mark of a run that goes on, which lies beside
                store.clear(f"{PARTIAL}/{left}")
    return open_claims(run.target).tidy()


def _make_ledger(target: Target) -> None:
    """If a run has died, build the part of AUDIT/ledger that `Release` needs: once, not on every worker."""
    runs = open_store(target.workspace).folders(PARTIAL)
    if any(is_run_id(it) and it != target.run_id for it in runs):
        identity = target.identity()
        tables = sealed_tables(target.audit, identity, [SEALED_INSTANCES])
        own = [it for it in tables if it.run_id == target.run_id]
        with_tables(Index(()), target.audit, identity, own)
        index_of(target.audit, identity)
