"""The audit's integrity: whether any row or record of a finished run was changed, removed or added."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from beamstop.audit import (
    BUCKETS,
    FINDINGS,
    Outcome,
    Row,
    bucket_digest,
    is_row,
    leaf,
    merkle_root,
    record_mac,
    row_mac,
)
from beamstop.identity import Identity
from beamstop_pipeline.verify.disk_map import DiskMap
from beamstop_transforms.ledger.index import LEDGER, broken_files
from beamstop_transforms.ledger.sealed import INSTANCES as _INSTANCES
from beamstop_transforms.ledger.sealed import LISTS, PRUNED, RUNS, SIGNATURES, files_of, read_records
from beamstop_transforms.ledger.subjects import SUBJECTS, are_lines
from beamstop_transforms.ledger.target import is_run_id
from beamstop_transforms.parquet_files import batches_of, open_parquet, whole_of
from beamstop_transforms.record import Recorded
from beamstop_transforms.stores import PARTIAL, open_seekable, open_store, paths_in
from beamstop_transforms.tables import run_of

FOLDER = "verify"  # the folder of AUDIT with findings
_TABLES = (_INSTANCES, "changes", PRUNED)  # a record seals each of their files
_FOLDERS = (*_TABLES, RUNS, SIGNATURES, FOLDER, PARTIAL, SUBJECTS, LEDGER, LISTS)
_AT_ONCE = 1_000  # rows held as dicts
_DIGEST = re.compile("[0-9a-f]{32}")
_TABLE = re.compile(r"[^/]+-[0-9]{5}-of-[0-9]{5}\.parquet")
# Folders in `.partial` while a run is going on; they stay if it dies.
_LEFT = re.compile(r"run|suspects/[0-9a-f]{32,64}|(?:new|locks)/[0-9a-f]+|\d{8}T\d{6}Z-[0-9a-f]{11}[\w-]*/.+")
IDENTIFIERS = ("patient_id", "study_uid", "series_uid", "sop_instance_uid")


class Newest(NamedTuple):
    """The newest row of a source, as far as it is about the clean file.

    Attributes:
        run_id, outcome, source_digest, recipe_digest: as in `INSTANCES`.
        output_path, output_sha256: None unless written.
        identifiers: patient_id, study_uid, series_uid and sop_instance_uid; None where absent.
        disputed: path and SHA-256 of an earlier run's clean file, if the source has become disputed.
    """

    run_id: str
    outcome: str
    source_digest: str | None
    recipe_digest: str
    output_path: str | None
    output_sha256: str | None
    identifiers: tuple[str | None, ...]
    disputed: tuple[str, str] | None = None

    @classmethod
    def of(cls, values: Sequence[Any]) -> "Newest":
        """Return what JSON made a list of."""
        *others, identifiers, disputed = values
        return cls._make([*others, tuple(identifiers), disputed and tuple(disputed)])


@dataclass
class Audit:
    """The result of reading an audit.

    Attributes:
        findings: rows of `FINDINGS`, without `verify_id`.
        newest: source_id → newest row in finished runs, on disk.
        recipes: digest → recipe, as the records have them.
        rows: how many were read, in all runs.
        fits: how many keyed seals are right.
        is_sample: whether every run took a sample of the sources, so that most have no row.
    """

    findings: list[Row] = field(default_factory=list)
    newest: DiskMap[str, Newest] = field(default_factory=lambda: DiskMap(Newest.of))
    recipes: dict[str, Recorded] = field(default_factory=dict)
    rows: int = 0
    fits: int = 0
    is_sample: bool = False


def read_audit(audit: str, identity: Identity | None) -> Audit:
    """Check every run of an audit against its record.

    Checks: `row_changed`, `row_twice`, `row_count`, `rows_unreadable`, `root`, `record_changed`,
    `record_counts`, `no_record`, `table_changed`, `foreign_file`.

    Args:
        audit: the AUDIT folder or prefix.
        identity: of the runs' key; without it only counts and roots can be checked, which anybody who can
            write to AUDIT can forge.
    """
    result = Audit()
    records = {run_id: record for run_id, record in read_records(audit) if is_run_id(run_id)}
    result.is_sample = bool(records) and all(map(_took_a_sample, records.values()))
    tables: dict[str, list[str]] = defaultdict(list)
    for folder in _TABLES:
        for path in paths_in(audit, folder, ".parquet"):
            if is_run_id(run_of(path)):
                tables[run_of(path)].append(path)
    for run_id in sorted(tables.keys() | records.keys()):  # oldest first, so that the newest row wins
        if run_id in records:
            rows = [path for path in tables[run_id] if _name(path).startswith(f"{_INSTANCES}/")]
            _Run(run_id, identity, result).check(records[run_id], rows)
            changed = _changed(audit, records[run_id], tables[run_id]) if records[run_id] else []
            result.findings += [finding("table_changed", run_id=run_id, detail=name) for name in changed]
            for path in tables[run_id]:
                if _name(path).startswith(f"{PRUNED}/") and _name(path) not in changed:
                    _forget(path, result)
        else:
            result.findings.append(finding("no_record", run_id=run_id))
    result.findings += [finding("foreign_file", detail=where) for where in _foreign(audit, identity)]
    return result


def _took_a_sample(record: dict[str, Any]) -> bool:
    options = record.get("options")
    return isinstance(options, dict) and options.get("limit") is not None


def _changed(audit: str, record: dict[str, Any], paths: list[str]) -> list[str]:
    """Return the names of tables whose bytes differ from the sealed record.

    Bytes, not rows, are compared: a Parquet file can contain text that no row shows.
    """
    sealed, apart = files_of(audit, record), record.get("list")
    if isinstance(apart, dict) and not sealed:
        return [LISTS]  # the list is gone or changed: nothing is known about the tables
    there = {_name(path) for path in paths}
    expected = {name for name in sealed if name.partition("/")[0] in _TABLES}
    store = open_store(audit)
    return sorted(
        name
        for name in there | expected
        if (found := store.find(name)) is None or found.sha256 != sealed.get(name)
    )


def _foreign(audit: str, identity: Identity | None) -> Iterator[str | None]:
    """Yield every foreign file in AUDIT, by its folder if that is one of beamstop's."""
    for name in open_store(audit).names(""):
        folder, _, file = name.partition("/")
        if folder != LEDGER and not _is_ours(audit, folder, file, identity):
            yield f"in {folder}" if folder in _FOLDERS else None
    for _ in broken_files(audit, identity):
        yield f"in {LEDGER}"


def _is_ours(audit: str, folder: str, file: str, identity: Identity | None) -> bool:
    if folder == SUBJECTS:
        is_named = _DIGEST.fullmatch(file) is not None
        return is_named and (identity is None or are_lines(audit, file, identity))
    if folder == PARTIAL:
        return _LEFT.fullmatch(file) is not None
    if folder in (RUNS, LISTS):
        return file.endswith(".json") and is_run_id(file.removesuffix(".json"))
    if folder == SIGNATURES:
        return file.endswith(".dsse.json") and is_run_id(file.removesuffix(".dsse.json"))
    is_table = folder in _FOLDERS and _TABLE.fullmatch(file) is not None and is_run_id(run_of(file))
    return is_table and (folder != FOLDER or _has_findings(f"{audit.rstrip('/')}/{folder}/{file}"))


def _has_findings(path: str) -> bool:
    """Return whether a file is one that `beamstop verify` writes: no record seals those."""
    try:
        with open_seekable(path) as file:
            there = open_parquet(file)
            return there.schema_arrow.equals(FINDINGS, check_metadata=True) and _is_plain(there.metadata)
    except (OSError, ValueError):
        return False


def _is_plain(metadata: Any) -> bool:
    """Return whether a Parquet file contains nothing but its rows and their schema."""
    return set(metadata.metadata or {}) <= {b"ARROW:schema"}


def _name(path: str) -> str:
    return "/".join(path.split("/")[-2:])


def _forget(path: str, result: Audit) -> None:
    """Forget sources that are gone and whose clean files a run removed."""
    with open_seekable(path) as file:
        for row in whole_of(open_parquet(file)).to_pylist():
            known = result.newest.get(row["source_id"])
            if known is not None and known.output_path == row["output_path"]:
                del result.newest[row["source_id"]]


def finding(check: str, **more: Any) -> Row:
    """Return a row of `FINDINGS` without `verify_id`."""
    return {
        **dict.fromkeys(FINDINGS.names[1:]),
        "check": check,
        **more,
    }


class _Run:
    """One run, compared with its record."""

    def __init__(self, run_id: str, identity: Identity | None, result: Audit) -> None:
        self._run_id = run_id
        self._identity = identity
        self._result = result
        self._leaves = DiskMap[str, str]()
        self._outcomes: Counter[str] = Counter()

    def check(self, record: dict[str, Any], files: list[str]) -> None:
        """Read the run's rows and compare their totals with the record."""
        recipe = record.get("recipe")
        if isinstance(recipe, dict):
            recorded = Recorded.of(record)
            self._result.recipes[recorded.digest] = recorded
        for path in files:
            try:
                self._read(path)
            except (OSError, ValueError) as error:  # Arrow raises ValueError for a broken file
                self._find("rows_unreadable", detail=type(error).__name__)
        if record:
            self._compare(record)
        else:
            self._find("record_changed", detail="no object of JSON, or a name stands in it twice")

    def _read(self, path: str) -> None:
        with open_seekable(path) as file:
            for batch in batches_of(open_parquet(file)):
                for at in range(0, batch.num_rows, _AT_ONCE):
                    for row in batch.slice(at, _AT_ONCE).to_pylist():
                        self._add(row)

    def _add(self, row: Row) -> None:
        source_id, run_id = str(row.get("source_id")), self._run_id
        self._result.rows += 1
        self._outcomes[str(row.get("outcome"))] += 1
        if not is_row(row) or row["run_id"] != run_id or not self._is_sealed(row):
            self._find("row_changed", source_id=source_id)
        if not _is_digest(source_id):
            return
        if source_id in self._leaves:
            self._find("row_twice", source_id=source_id)
        self._leaves[source_id] = leaf(row).hex()
        self._result.newest[source_id] = Newest(
            run_id,
            str(row.get("outcome")),
            row.get("source_digest"),
            str(row.get("recipe_digest")),
            row.get("output_path"),
            row.get("output_sha256"),
            tuple(row.get(name) for name in IDENTIFIERS),
            self._disputed(row) if row.get("reason") == "duplicate_conflict" else None,
        )

    def _disputed(self, row: Row) -> tuple[str, str] | None:
        """Return path and SHA-256 of the file that an earlier row left in OUTPUT for a disputed source."""
        former = self._result.newest.get(row["source_id"])
        if former is not None and former.output_path and former.output_sha256:
            return former.output_path, former.output_sha256
        return former and former.disputed

    def _is_sealed(self, row: Row) -> bool:
        if self._identity is None:
            return True
        fits: bool = row["mac"] == row_mac(row, self._identity)
        self._result.fits += fits
        return fits

    def _compare(self, record: dict[str, Any]) -> None:
        count = self._outcomes.total()
        said = record.get("integrity")
        nodes = {number: bucket_digest(self._bucket(number)) for number in range(BUCKETS)}
        if not isinstance(said, dict) or said.get("rows") != count:
            self._find("row_count", detail=f"{count} rows")
        if not isinstance(said, dict) or said.get("root") != merkle_root(nodes):
            self._find("root")
        counts = record.get("counts")
        if not isinstance(counts, dict) or any(counts.get(it) != self._outcomes[it] for it in Outcome):
            self._find("record_counts")
        if self._identity is not None:
            fits = record.get("mac") == record_mac(record, self._identity)
            self._result.fits += fits
            if not fits or record.get("run_id") != self._run_id:
                self._find("record_changed")

    def _bucket(self, number: int) -> dict[str, bytes]:
        """Return source_id → leaf of the rows in a bucket of the Merkle tree."""
        leaves = self._leaves.between(f"{number:02x}", f"{number:02x}g")
        return {source_id: bytes.fromhex(it) for source_id, it in leaves}

    def _find(self, check: str, **more: Any) -> None:
        self._result.findings.append(finding(check, run_id=self._run_id, **more))


def _is_digest(source_id: str) -> bool:
    return len(source_id) == 64 and not set(source_id) - set("0123456789abcdef")
