"""The figures of a report: an audit, read once, file by file, and added up."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from beamstop.audit import Outcome
from beamstop.changes import elements_in
from beamstop.steps.judge_face import MAY_SHOW, REMOVED
from beamstop_pipeline.errors import ConfigurationError
from beamstop_pipeline.report.cells import Cells
from beamstop_pipeline.verify.audit import FOLDER
from beamstop_transforms.ledger.numbers import digest_numbers, number_of, numbers_of
from beamstop_transforms.ledger.sealed import PRUNED, SIGNATURES, read_records
from beamstop_transforms.parquet_files import open_parquet, whole_of
from beamstop_transforms.stores import open_seekable, open_store, paths_in
from beamstop_transforms.stores.ahead import ahead
from beamstop_transforms.tables import run_of

KEYS = [
    "outcome",
    "reason",
    "modality",
    "sop_class_uid",
    "transfer_syntax_uid",
    "methods",
    "recipe_digest",
]
PARTS = ["ms_read", "ms_pixels", "ms_attributes", "ms_check", "ms_write"]
SUMS = [
    "bytes_in",
    "bytes_out",
    "elements_removed",
    "elements_emptied",
    "elements_replaced",
    "elements_kept",
    "uids_remapped",
    "dates_shifted",
    "frames",
    "frames_examined",
    "text_boxes_hidden",
    "text_boxes_kept",
    "text_boxes_faint",
    "text_residue",
    "identifiers_checked",
    "leaks_found",
    *PARTS,
]
FLAGS = {
    "images": "frames",
    "looked_at": "frames_examined",
    "with_text": "text_boxes_hidden",
    "with_faint": "text_boxes_faint",
    "with_kept": "text_boxes_kept",
    "with_residue": "text_residue",
    "changed": "pixels_changed",
}
FACES = {"face_may_show": MAY_SHOW, "face_removed": REMOVED}  # column → code in the detail of written rows
_FAINT = "text_boxes_faint"  # not a column of the audit: counted from `changes`
_COLUMNS = dict.fromkeys([*KEYS, "source_id", "detail", "output_path", "pixels_changed", *SUMS])
_READ = [name for name in _COLUMNS if name != _FAINT]
_EDGES = np.logspace(-2, 8, 1001)  # milliseconds, 2.3 % apart
_EXAMPLES = 5
_READERS = 4  # files read at the same time: a store has latency, but enough bandwidth
_AT_ONCE = 100_000  # rows that are added up together
_OUTCOMES = [str(outcome) for outcome in Outcome]


class Example(NamedTuple):
    """A source that somebody should look at: the start of its source_id, and the detail of its row."""

    source_id: str
    detail: str | None


@dataclass
class Rows:
    """Rows of the audit, added up.

    Attributes:
        cells: one row for each combination of `KEYS` that occurs: number, sums of `SUMS`, `FLAGS`, `FACES`.
        times: histogram of instances by total time, with edges `_EDGES`.
        aside: outcome, reason and modality → the first few sources that were quarantined or failed.
        residue: output paths of the first few clean files with residue.
    """

    cells: Cells
    times: np.ndarray[Any, Any] = field(default_factory=lambda: np.zeros(len(_EDGES) - 1, np.int64))
    aside: dict[tuple[str, str, str], list[Example]] = field(default_factory=dict)
    residue: list[str] = field(default_factory=list)

    def total(self, name: str) -> int:
        """Return the sum of a column over all rows."""
        return int(self.cells.total(name))

    @property
    def outcomes(self) -> dict[str, int]:
        """How many sources ended in each outcome."""
        counted = self.cells.sums("outcome")
        return {outcome: counted.get(outcome, 0) for outcome in _OUTCOMES}

    def percentile(self, share: float) -> float:
        """Return a percentile of the time per instance in milliseconds, to 2.3 %."""
        if not self.times.any():
            return 0.0
        reached = np.searchsorted(np.cumsum(self.times), share * self.times.sum())
        return float(_EDGES[min(int(reached), len(_EDGES) - 2) + 1])


class Faint:
    """How many boxes of faint text each source has in each run, from `changes`; 16 bytes per source.

    Args:
        source_ids: run_id and a column of source_ids, one for each box.
    """

    def __init__(self, source_ids: Iterable[tuple[str, Any]]) -> None:
        every = [_of_run(run_id, column) for run_id, column in source_ids]
        self._sources, self._boxes = np.unique(
            np.concatenate([np.empty(0, np.uint64), *every]), return_counts=True
        )

    def of(self, source_ids: Any, run_id: str) -> Any:
        """Return the number for each of a column of source_ids of one run."""
        if not len(self._sources):
            return np.zeros(len(source_ids), np.int64)
        numbers = _of_run(run_id, source_ids)
        at = np.minimum(np.searchsorted(self._sources, numbers), len(self._sources) - 1)
        return np.where(self._sources[at] == numbers, self._boxes[at], 0)


def _of_run(run_id: str, source_ids: Any) -> Any:
    """Return a number for each source of a run; it differs from run to run."""
    return digest_numbers(source_ids) ^ np.uint64(number_of(run_id))


class DeviceSeen(NamedTuple):
    """Counts of one device in the run's record; all devices without a name are one.

    Attributes:
        is_new: there are earlier records, and none of them names it.
        example: SOP Instance UID of one of its clean instances.
    """

    name: str
    is_new: bool
    written: int
    with_text: int
    hidden: int
    kept: int
    example: str


class Fate(NamedTuple):
    """Two runs compared: outcomes then and now, sources that are new, sources that are gone."""

    moves: dict[tuple[str, str], int]
    new: dict[str, int]
    unseen: dict[str, int]


class Rule(NamedTuple):
    """How many rows of `changes` a rule has, by action."""

    rule: str
    action: str
    elements: int


@dataclass(frozen=True)
class Figures:
    """All figures of a report.

    Attributes:
        record: of the newest run.
        run: rows of the newest run.
        standing: the archive as it is now: the newest row of every source in all runs that ended, except
            those whose clean file was pruned since.
        newest: file of instances → mask of its rows that are in `standing`.
        records: of all runs that ended, oldest first.
        fate: comparison with the run before; None if there is none.
        rules: the rules that acted most often, most first; empty without `changes`.
        why: code → text boxes of the run, hidden and kept.
        has_changes: whether every run with rows has `changes`.
        faint: boxes of faint text by run and source.
        devices: of the run, the commonest first.
        patients, studies: of the clean files; a study without PatientID counts as a patient.
        pruned: how many clean files runs removed.
        signed: how many records have a signature, right or wrong.
        disputed: output paths of clean files that stay although another source has their SOP Instance UID
            and other content.
        verified: verify_id and findings by check of the last `beamstop verify`; None if there was none.
        found: findings by check of every `beamstop verify` since the newest run: a later one may have
            checked less.
        unfinished: run_ids that have rows but no record.
        unreadable: names of files that could not be read, below AUDIT.
        disagreeing: sentences about records that disagree with their rows.
    """

    record: dict[str, Any]
    run: Rows
    standing: Rows
    newest: dict[str, Any]
    records: list[dict[str, Any]]
    fate: Fate | None
    rules: list[Rule]
    why: dict[str, int]
    has_changes: bool
    faint: Faint
    devices: list[DeviceSeen]
    patients: int
    studies: int
    pruned: int
    signed: int
    disputed: list[str]
    verified: tuple[str, dict[str, int]] | None
    found: dict[str, int]
    unfinished: list[str]
    unreadable: list[str]
    disagreeing: list[str]

    @property
    def doubts(self) -> list[str]:
        """The reasons why this report may be incomplete or wrong; empty if there are none."""
        found = [f"{name}: a file of the audit that cannot be read" for name in self.unreadable]
        return found + self.disagreeing

    @property
    def recipes(self) -> dict[str, str]:
        """Digest → name of every recipe in a record."""
        told = (record.get("recipe", {}) for record in self.records)
        return {str(it["digest"]): str(it.get("name", "")) for it in told if "digest" in it}


def read_figures(audit: str) -> Figures:
    """Add up an audit: the state after all runs that ended, and the newest run.

    This takes the memory of a few files, and 26 bytes per row to find the newest row of each source.

    Args:
        audit: the AUDIT folder or prefix.

    Raises:
        ConfigurationError: no run has ended there.
    """
    records = sorted(
        (record for _, record in read_records(audit) if record.get("run_id")),
        key=lambda it: str(it["run_id"]),
    )
    files = paths_in(audit, "instances", ".parquet")
    unfinished = sorted({run_of(path) for path in files} - {str(record["run_id"]) for record in records})
    if not records:
        raise ConfigurationError(
            f"AUDIT {audit}: no run has ended there"
            + (": run it again first" if files else "; check the path")
        )
    run_id = str(records[-1]["run_id"])
    files = [path for path in files if run_of(path) not in unfinished]
    reader = _Reader(audit)
    fates = {path: _fates(table) for path, table in reader.read(files, ["source_id", "outcome"])}
    newest = dict(zip(fates, _newest(list(fates.values())), strict=True))
    before = str(records[-2]["run_id"]) if len(records) > 1 else None
    pruned = _pruned(reader, {str(record["run_id"]) for record in records})
    _forget_pruned(reader, newest, pruned)
    rules, why = _changes(reader, run_id)
    faint = _faint(reader, {run_of(path) for path in fates})
    patients, studies = _people(reader, newest)
    run, standing = _rows(reader.read(list(fates), _READ), newest, run_id, faint)
    return Figures(
        record=records[-1],
        run=run,
        standing=standing,
        newest=newest,
        records=records,
        fate=_compared(fates, before, run_id) if before else None,
        rules=rules,
        why=why,
        has_changes=all(
            _has_changes(reader, it) for it in records if str(it["run_id"]) in map(run_of, fates)
        ),
        faint=faint,
        devices=_devices(records),
        patients=patients,
        studies=studies,
        pruned=len(pruned),
        signed=sum(1 for name in open_store(audit).names(SIGNATURES) if name.endswith(".dsse.json")),
        disputed=_disputed(reader, newest, standing),
        verified=_verified(reader),
        found=_found(reader, [it for it in reader.all_files(FOLDER) if run_of(it) > run_id]),
        unfinished=unfinished,
        unreadable=sorted(reader.unreadable),
        disagreeing=list(_disagreeing(records, fates)),
    )


class _Reader:
    """Reads Parquet files of an audit, a few ahead, and notes unreadable ones."""

    def __init__(self, audit: str) -> None:
        self._audit = audit
        self.unreadable: set[str] = set()

    def files(self, table: str, run_id: str | None = None) -> list[str]:
        """Return the files of a table for one run, or for the last run that has any."""
        paths = self.all_files(table)
        wanted = run_id or (run_of(paths[-1]) if paths else None)
        return [path for path in paths if run_of(path) == wanted]

    def all_files(self, table: str) -> list[str]:
        """Return the files of a table for all runs."""
        return paths_in(self._audit, table, ".parquet")

    def read(self, paths: list[str], columns: list[str]) -> Iterator[tuple[str, pa.Table]]:
        """Yield path and table of the readable files, in order."""
        tables = ahead(partial(_read, columns=columns), paths, _READERS)
        for path, table in zip(paths, tables, strict=True):
            if table is None:
                self.unreadable.add(path.removeprefix(self._audit).lstrip("/"))
            else:
                yield path, table


def _read(path: str, columns: list[str]) -> pa.Table | None:
    """Return columns of a file; None if it is broken or lacks a column."""
    try:
        with open_seekable(path) as file:
            parquet = open_parquet(file)
            whole = set(columns) <= set(parquet.schema_arrow.names)
            return whole_of(parquet, columns) if whole else None
    except (OSError, ValueError):  # Arrow raises ValueError for a broken file
        return None


_FATE = np.dtype([("source", "u8"), ("outcome", "u1")])


def _fates(table: pa.Table) -> Any:
    """Return source (64 bits of its keyed digest) and outcome (a number) of every row."""
    fates = np.zeros(len(table), _FATE)
    fates["source"] = digest_numbers(table["source_id"])
    fates["outcome"] = pc.index_in(table["outcome"], pa.array(_OUTCOMES)).to_numpy()
    return fates


def _newest(fates: list[Any]) -> list[Any]:
    """Return for each file a mask of the rows that no later run replaced; files are sorted by run."""
    sources = np.concatenate([np.empty(0, "u8"), *(fate["source"] for fate in fates)])
    order = np.argsort(sources, kind="stable")
    last = np.ones(len(sources), bool)
    last[:-1] = sources[order][1:] != sources[order][:-1]
    newest = np.zeros(len(sources), bool)
    newest[order[last]] = True
    return np.split(newest, np.cumsum([len(fate) for fate in fates])[:-1]) if fates else []


class _Removed(NamedTuple):
    """A clean file that a run removed."""

    run_id: str
    source_id: str
    output_path: str


def _pruned(reader: "_Reader", run_ids: set[str]) -> list[_Removed]:
    """Return the clean files that finished runs removed."""
    paths = [path for path in reader.all_files(PRUNED) if run_of(path) in run_ids]
    columns = list(_Removed._fields)
    return [_Removed(**row) for _, table in reader.read(paths, columns) for row in table.to_pylist()]


def _forget_pruned(reader: "_Reader", newest: dict[str, Any], pruned: list[_Removed]) -> None:
    """Remove from the newest rows those whose clean file the same run or a later one removed."""
    if not pruned:
        return
    last = {(it.source_id, it.output_path): it.run_id for it in sorted(pruned)}
    sources = pa.array(sorted({it.source_id for it in pruned}), pa.string())
    for path, table in reader.read(list(newest), ["source_id", "output_path"]):
        mask = newest[path]
        for at in np.flatnonzero(pc.is_in(table["source_id"], sources).to_numpy(zero_copy_only=False) & mask):
            source, place = table["source_id"][int(at)].as_py(), table["output_path"][int(at)].as_py()
            if run_of(path) <= last.get((source, place), ""):
                mask[at] = False


def _people(reader: "_Reader", newest: dict[str, Any]) -> tuple[int, int]:
    """Return the numbers of patients and studies in the newest rows."""
    patients, studies = np.empty(0, np.uint64), np.empty(0, np.uint64)
    for path, table in reader.read(list(newest), ["patient_id", "study_uid"]):
        stands = table.filter(pa.array(newest[path]))
        study = stands["study_uid"]
        patient = pc.coalesce(
            pc.if_else(pc.equal(stands["patient_id"], ""), None, stands["patient_id"]), study
        )
        patients = np.union1d(patients, numbers_of(pc.drop_null(patient.unique())))
        studies = np.union1d(studies, numbers_of(pc.drop_null(study.unique())))
    return len(patients), len(studies)


def _disagreeing(records: list[dict[str, Any]], fates: dict[str, Any]) -> Iterator[str]:
    """Yield a sentence for every record whose numbers disagree with its rows."""
    counted: dict[str, Counter[str]] = {}
    for path, fate in fates.items():
        codes, numbers = np.unique(fate["outcome"], return_counts=True)
        named = zip((_OUTCOMES[code] for code in codes), numbers.tolist(), strict=True)
        counted.setdefault(run_of(path), Counter()).update(dict(named))
    for record in records:
        run_id, said = str(record["run_id"]), record.get("counts", {})
        for outcome in _OUTCOMES:
            number = counted.get(run_id, Counter())[outcome]
            if said.get(outcome) != number:
                yield f"run {run_id}: the record says {said.get(outcome)} {outcome}, the rows say {number}"


def _compared(fates: dict[str, Any], before: str, now: str) -> Fate:
    then, this = (
        np.concatenate([np.empty(0, _FATE), *(fate for path, fate in fates.items() if run_of(path) == run)])
        for run in (before, now)
    )
    _, was, became = np.intersect1d(then["source"], this["source"], return_indices=True)
    moves = Counter(zip(then["outcome"][was].tolist(), this["outcome"][became].tolist(), strict=True))
    new = Counter(np.delete(this["outcome"], became).tolist())
    unseen = Counter(np.delete(then["outcome"], was).tolist())
    return Fate(
        {(_OUTCOMES[a], _OUTCOMES[b]): n for (a, b), n in sorted(moves.items())},
        {_OUTCOMES[code]: n for code, n in sorted(new.items())},
        {_OUTCOMES[code]: n for code, n in sorted(unseen.items())},
    )


def _rows(
    tables: Iterable[tuple[str, pa.Table]], newest: dict[str, Any], run_id: str, faint: Faint
) -> tuple[Rows, Rows]:
    """Return the rows of a run added up, and the rows that no later run has replaced."""
    ours: list[Rows] = []
    standing: list[Rows] = []
    for table in _together(_marked(tables, newest, run_id, faint)):
        ours.append(_added_up(table.filter(table["is_ours"])))
        standing.append(_added_up(table.filter(table["is_newest"])))
    return _joined(ours), _joined(standing)


def _marked(
    tables: Iterable[tuple[str, pa.Table]], newest: dict[str, Any], run_id: str, faint: Faint
) -> Iterator[pa.Table]:
    for path, table in tables:
        marks = {
            _FAINT: faint.of(table["source_id"], run_of(path)),
            "is_ours": np.full(len(table), run_of(path) == run_id),
            "is_newest": newest[path],
        }
        for name, mark in marks.items():
            table = table.append_column(name, pa.array(mark))
        yield table


def _together(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Join small tables, so that thousands of small files take as long as one large file."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if sum(map(len, waiting)) >= _AT_ONCE:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)


def _added_up(table: pa.Table) -> Rows:
    methods = pc.binary_join(table["methods"].combine_chunks(), " ")
    columns = {name: pc.fill_null(methods if name == "methods" else table[name], "") for name in KEYS}
    for name in SUMS:
        columns[name] = pc.fill_null(table[name], 0)
    for name, source in FLAGS.items():
        is_set = pc.greater(pc.fill_null(pc.cast(table[source], pa.int64()), 0), 0)
        columns[name] = pc.cast(is_set, pa.int64())
    is_written = pc.equal(columns["outcome"], str(Outcome.WRITTEN))
    for name, code in FACES.items():
        says_so = pc.match_substring_regex(pc.fill_null(table["detail"], ""), f"(^|; ){code}(;|$)")
        columns[name] = pc.cast(pc.and_(is_written, says_so), pa.int64())
    columns["n"] = pa.array(np.ones(len(table), np.int64))
    took = np.sum([columns[part].to_numpy() for part in PARTS], axis=0)
    has_residue = pc.greater(columns["text_residue"], 0)
    return Rows(
        _grouped(pa.Table.from_pydict(columns)),
        np.histogram(np.clip(took, _EDGES[0], _EDGES[-1]), _EDGES)[0],
        _aside(table),
        pc.drop_null(table.filter(has_residue)["output_path"])[:_EXAMPLES].to_pylist(),
    )


def _disputed(reader: _Reader, newest: dict[str, Any], standing: Rows) -> list[str]:
    """Return the paths where the claimants of disputed UIDs were last written, if there are any."""
    if not standing.cells.where(reason=_CONFLICT).cells:
        return []
    columns = ["source_id", "reason", "detail", "output_path"]
    sources: set[str] = set()
    for path, table in reader.read(list(newest), columns):
        is_disputed = pc.and_(
            pa.array(newest[path]), pc.fill_null(pc.equal(table["reason"], _CONFLICT), False)
        )
        for row in table.filter(is_disputed).to_pylist():
            sources.update((row["source_id"], *(row["detail"] or "").split()))
    written: dict[str, str] = {}
    for _, table in reader.read(list(newest), columns):
        is_wanted = pc.and_(
            pc.is_in(table["source_id"], pa.array(sorted(sources))), pc.is_valid(table["output_path"])
        )
        for row in table.filter(is_wanted).to_pylist():
            written[row["source_id"]] = row["output_path"]
    return sorted(set(written.values()))


_CONFLICT = "duplicate_conflict"
_ADDED = [*SUMS, *FLAGS, *FACES, "n"]


def _grouped(table: pa.Table) -> Cells:
    grouped = table.group_by(KEYS, use_threads=False).aggregate([(name, "sum") for name in _ADDED])
    names = [name.removesuffix("_sum") for name in grouped.column_names]
    return Cells(grouped.rename_columns(names).to_pylist())


def _aside(table: pa.Table) -> dict[tuple[str, str, str], list[Example]]:
    found: dict[tuple[str, str, str], list[Example]] = {}
    wanted = pc.is_in(table["outcome"], pa.array([str(Outcome.QUARANTINED), str(Outcome.FAILED)]))
    columns = table.filter(wanted).select(["outcome", "reason", "modality", "source_id", "detail"])
    for outcome, reason, modality, source_id, detail in zip(
        *(column.to_pylist() for column in columns.columns), strict=True
    ):
        few = found.setdefault((outcome, reason, modality or ""), [])
        if len(few) < _EXAMPLES:
            few.append(Example(source_id, detail))
    return found


def _joined(parts: Iterable[Rows]) -> Rows:
    listed = list(parts)
    whole = Rows(Cells.joined((part.cells for part in listed), KEYS, _ADDED))
    for part in listed:
        whole.times = whole.times + part.times
        whole.residue = (whole.residue + part.residue)[:_EXAMPLES]
        for key, few in part.aside.items():
            whole.aside[key] = (whole.aside.get(key, []) + few)[:_EXAMPLES]
    return whole


def _changes(reader: _Reader, run_id: str) -> tuple[list[Rule], dict[str, int]]:
    """Return the rules that acted most often in a run, and its text boxes by code."""
    rules: Counter[tuple[str, str]] = Counter()
    why: Counter[str] = Counter()
    columns = ["rule", "action", "why"]
    for table in _together(table for _, table in reader.read(reader.files("changes", run_id), columns)):
        for row in table.group_by(columns, use_threads=False).aggregate([([], "count_all")]).to_pylist():
            if elements := elements_in(row["why"]):
                rules[row["rule"] or "", row["action"]] += row["count_all"] * elements
            else:
                why[row["why"]] += row["count_all"]
    named = [Rule(rule, action, count) for (rule, action), count in rules.most_common(_RULES)]
    return named, dict(why.most_common())


def _faint(reader: _Reader, run_ids: set[str]) -> Faint:
    """Return the boxes of faint text in these runs."""
    paths = [path for path in reader.all_files("changes") if run_of(path) in run_ids]
    return Faint(
        (run_of(path), table.filter(pc.equal(table["why"], "faint_text"))["source_id"])
        for path, table in reader.read(paths, ["why", "source_id"])
    )


def _has_changes(reader: _Reader, record: dict[str, Any]) -> bool:
    """Return whether a run that hid text has a row per text box."""
    detail = record.get("options", {}).get("audit_detail")
    return bool(reader.files("changes", str(record["run_id"]))) if detail is None else detail == "changes"


_RULES = 15


def _devices(records: list[dict[str, Any]]) -> list[DeviceSeen]:
    """Return the devices of the last record."""
    *earlier, now = ({_device_name(it): it for it in record.get("devices", ())} for record in records)
    known = {name for devices in earlier for name in devices}
    return [
        DeviceSeen(
            name,
            bool(known) and bool(name) and name not in known,
            it["written"],
            it["with_text"],
            it["text_boxes_hidden"],
            it["text_boxes_kept"],
            it["example"],
        )
        for name, it in now.items()
    ]


def _device_name(device: dict[str, Any]) -> str:
    return " ".join(filter(None, (device["manufacturer"], device["model"])))


def _verified(reader: _Reader) -> tuple[str, dict[str, int]] | None:
    paths = reader.files(FOLDER)
    return (run_of(paths[-1]), _found(reader, paths)) if paths else None


def _found(reader: _Reader, paths: list[str]) -> dict[str, int]:
    """Return the findings of `beamstop verify` by check, with the newest count of each check."""
    found: dict[str, int] = {}
    for _, table in reader.read(paths, ["check"]):
        found |= Counter(table["check"].to_pylist())
    return found


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return the differences of two records in recipe, options, versions, standard and engines.

    >>> differences({"versions": {"pydicom": "3.0.1"}}, {"versions": {"pydicom": "3.0.2"}})
    [('versions: pydicom', '3.0.1', '3.0.2')]
    """
    told = [dict(_flat(record)) for record in (before, now)]
    names = sorted(told[0].keys() | told[1].keys())
    pairs = [(name, told[0].get(name, "not recorded"), told[1].get(name, "not recorded")) for name in names]
    return [pair for pair in pairs if pair[1] != pair[2]]


_COMPARED = ("recipe", "options", "versions", "standard", "engines")


def _flat(record: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for part in _COMPARED:
        yield from _leaves(part, record.get(part))


def _leaves(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, below in value.items():
            yield from _leaves(f"{name}: {key}", below)
    elif value is not None:
        yield name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
