"""The risk of the data that stay: how many patients share what somebody may know about one of them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from beamstop.audit import Outcome
from beamstop.rules.profile import FULL_DATES
from beamstop_pipeline.errors import ConfigurationError
from beamstop_pipeline.report.figures import Figures
from beamstop_transforms.ledger.numbers import numbers_of
from beamstop_transforms.parquet_files import open_parquet, whole_of
from beamstop_transforms.stores import open_seekable, paths_in
from beamstop_transforms.tables import run_of

SMALLEST = 11  # patients; smaller groups are not printed, as is usual for public trial data
# What an acquaintance may know, as the page calls it → attributes.
_KNOWN = {
    "sex": ("PatientSex",),
    "age": ("PatientAge", "PatientBirthDate"),
    "size": ("PatientSize",),
    "weight": ("PatientWeight",),
    "ethnic group": ("EthnicGroup",),
    "region": ("CountryOfResidence", "RegionOfResidence"),
    "institution": ("InstitutionName",),
    "dates": ("StudyDate",),
    "modality": ("Modality",),
}
_WORDS = (
    "StudyDescription",
    "SeriesDescription",
    "ProtocolName",
    "RequestedProcedureDescription",
    "PerformedProcedureStepDescription",
)
_EXAMINED = ("BodyPartExamined", "StudyDescription")  # sensitive: nobody should learn these about a patient
_UID, _PATIENT, _STUDY = "SOPInstanceUID", "PatientID", "StudyInstanceUID"
RARE = "rare procedure words"
_BINS = ((1, 1), (2, 4), (5, SMALLEST - 1), (SMALLEST, None))
_SHOWN = 12
_WORD = r"[^\W\d_]{3,}"


@dataclass(frozen=True)
class Risk:
    """How well patients can be singled out, by the table of attributes.

    Attributes:
        files: clean files with a row in the table of attributes.
        missing: clean files without one.
        patients: in these files.
        known: the compared facts: those of `_KNOWN` that clean files have, and rare words.
        k: patients in the smallest group that shares all facts.
        unique: patients who share them with nobody.
        small: patients in groups of fewer than `SMALLEST`.
        sizes: how large groups are → groups, patients.
        alone: each fact on its own → number of values, smallest group, patients in small groups.
        groups: the largest groups that are not small: what they share, and how many they are.
        hidden_groups: groups that are small.
        diversity: of groups by all facts but rare words, how many different examinations the least diverse
            one has; None if no attribute tells what was examined.
        same_examination: patients in groups that share one examination.
        rare_words: words of procedures that fewer than `SMALLEST` patients have.
        are_dates_moved: whether dates are left out because they were shifted.
    """

    files: int
    missing: int
    patients: int
    known: list[str]
    k: int
    unique: int
    small: int
    sizes: list[tuple[str, int, int]]
    alone: list[tuple[str, int, int, int]]
    groups: list[tuple[str, int]]
    hidden_groups: int
    diversity: int | None
    same_examination: int
    rare_words: int
    are_dates_moved: bool = field(default=True)

    def sentences(self) -> Iterator[str]:
        """Yield the sentences for page 1."""
        if not self.known:
            yield "The clean files have nothing that somebody may know about a patient, such as age or sex."
            return
        both, these = (" together", "these") if len(self.known) > 1 else ("", "this")
        yield (
            f"By {_and(self.known)}{both} {self.unique:,} of {self.patients:,} patients are alone, "
            f"{self.small:,} are in groups of fewer than {SMALLEST} (k = {self.k}): anybody who knows "
            f"{these} about somebody may find their pictures. The annex has the figures."
        )
        if self.missing:
            are = "1 clean file is" if self.missing == 1 else f"{self.missing:,} clean files are"
            had = "its run" if self.missing == 1 else "their runs"
            yield f"{are} not in these figures: {had} had no --attributes."


def measure(figures: Figures, attributes: str) -> Risk:
    """Measure the risk of the present clean files.

    Args:
        figures: of the audit.
        attributes: ATTRIBUTES of the runs, a folder or prefix.

    Raises:
        ConfigurationError: there is no table of these runs.
    """
    table = _patients_table(figures, attributes)
    options = figures.record.get("recipe", {}).get("options") or ()
    are_moved = FULL_DATES not in options
    patients = _by_patient(table, are_moved)
    words = _rare_words(table)
    shared = [name for name in patients.column_names if name not in (_PATIENT, *_EXAMINED)]
    rare = _per_patient(words, RARE, patients[_PATIENT]) if len(words) else None
    every = patients if rare is None else patients.append_column(RARE, rare)
    known = [*shared, *([RARE] if rare is not None else [])]
    sizes, groups = _groups(every, known)
    least, same = _diversity(patients, shared)
    return Risk(
        files=len(table),
        missing=figures.standing.outcomes[Outcome.WRITTEN] - len(table),
        patients=len(patients),
        known=known,
        k=int(sizes.min()) if len(sizes) else 0,
        unique=int((sizes == 1).sum()),
        small=int(sizes[sizes < SMALLEST].sum()),
        sizes=[_bin(sizes, low, high) for low, high in _BINS],
        alone=[(name, *_alone(every, name)) for name in known],
        groups=groups,
        hidden_groups=int((sizes < SMALLEST).sum()),
        diversity=least,
        same_examination=same,
        rare_words=len(words[RARE].unique()) if len(words) else 0,
        are_dates_moved=are_moved,
    )


def _patients_table(figures: Figures, attributes: str) -> pa.Table:
    """Return the newest row of every present clean file that has one."""
    run_ids = {str(record["run_id"]) for record in figures.records}
    paths = [path for path in paths_in(attributes, "", ".parquet") if run_of(path) in run_ids]
    if not paths:
        raise ConfigurationError(
            f"--attributes {attributes}: no table of a run in AUDIT is there; name the ATTRIBUTES of the runs"
        )
    wanted = [_UID, _PATIENT, _STUDY, *dict.fromkeys((*sum(_KNOWN.values(), ()), *_WORDS, *_EXAMINED))]
    table = pa.concat_tables([_read(path, wanted) for path in paths]).combine_chunks()  # the oldest run first
    uids = numbers_of(table[_UID].combine_chunks()) if len(table) else np.empty(0, np.uint64)
    _, last = np.unique(uids[::-1], return_index=True)
    newest = len(uids) - 1 - last
    stand = newest[np.isin(uids[newest], _standing(figures))]
    return table.take(pa.array(np.sort(stand)))


def _read(path: str, wanted: list[str]) -> pa.Table:
    try:
        with open_seekable(path) as file:
            parquet = open_parquet(file)
            there = [name for name in wanted if name in parquet.schema_arrow.names]
            table = whole_of(parquet, there)
    except (OSError, ValueError):  # Arrow raises ValueError for a broken file
        raise ConfigurationError(
            "--attributes: a table there cannot be read; run again, or leave it out"
        ) from None
    columns = {name: table[name] if name in there else pa.nulls(len(table), pa.string()) for name in wanted}
    return pa.table(columns)


def _standing(figures: Figures) -> Any:
    """Return a number for every SOP Instance UID of the present clean files."""
    found = [np.empty(0, np.uint64)]
    for path, mask in figures.newest.items():
        with open_seekable(path) as file:
            table = whole_of(open_parquet(file), ["outcome", "sop_instance_uid"])
        written = table.filter(pc.and_(pa.array(mask), pc.equal(table["outcome"], str(Outcome.WRITTEN))))
        found.append(numbers_of(written["sop_instance_uid"].combine_chunks()))
    return np.concatenate(found)


def _by_patient(table: pa.Table, are_moved: bool) -> pa.Table:
    """Return one row per patient: for each fact, all distinct values as one text."""
    patient = pc.coalesce(pc.if_else(pc.equal(table[_PATIENT], ""), None, table[_PATIENT]), table[_STUDY], "")
    patients = pa.table({_PATIENT: pc.unique(patient)}).sort_by(_PATIENT)
    for name, keywords in (*_KNOWN.items(), *((it, (it,)) for it in _EXAMINED)):
        if name == "dates" and are_moved:
            continue
        texts = [pc.fill_null(table[keyword], "") for keyword in keywords]
        values = pc.utf8_trim_whitespace(pc.binary_join_element_wise(*texts, " "))
        if pc.any(pc.not_equal(values, "")).as_py():
            pairs = pa.table({_PATIENT: patient, name: values})
            patients = patients.append_column(name, _per_patient(pairs, name, patients[_PATIENT]))
    return patients


def _per_patient(pairs: pa.Table, name: str, patients: Any) -> Any:
    """Return for each patient the distinct values of a column, sorted and joined; empty if there are none."""
    distinct = pairs.group_by([_PATIENT, name], use_threads=False).aggregate([])
    ordered = distinct.sort_by([(_PATIENT, "ascending"), (name, "ascending")])
    listed = ordered.group_by(_PATIENT, use_threads=False).aggregate([(name, "list")])
    joined = pc.binary_join(listed[f"{name}_list"].combine_chunks(), ", ")
    at = pc.index_in(patients, value_set=listed[_PATIENT].combine_chunks())
    return pc.fill_null(pc.take(joined, at), "")


def _rare_words(table: pa.Table) -> pa.Table:
    """Return patient and word, for each word of a procedure that few patients have."""
    patient = pc.coalesce(pc.if_else(pc.equal(table[_PATIENT], ""), None, table[_PATIENT]), table[_STUDY], "")
    pairs = []
    for keyword in _WORDS:
        texts = pa.table({_PATIENT: patient, RARE: pc.fill_null(table[keyword], "")})
        for who, text in zip(*(it.to_pylist() for it in _distinct(texts).columns), strict=True):
            pairs += [(who, word) for word in re.findall(_WORD, text.casefold())]
    columns = list(zip(*sorted(set(pairs)), strict=True)) or [(), ()]
    words = pa.table({_PATIENT: pa.array(columns[0], pa.string()), RARE: pa.array(columns[1], pa.string())})
    counted = words.group_by(RARE, use_threads=False).aggregate([([], "count_all")])
    rare = counted.filter(pc.less(counted["count_all"], SMALLEST))[RARE]
    return words.filter(pc.is_in(words[RARE], value_set=rare.combine_chunks()))


def _distinct(table: pa.Table) -> pa.Table:
    return table.group_by(table.column_names, use_threads=False).aggregate([])


def _groups(patients: pa.Table, known: list[str]) -> tuple[Any, list[tuple[str, int]]]:
    """Return the sizes of all groups that share all facts, and the largest groups that may be shown."""
    if not known:
        return np.array([len(patients)] if len(patients) else [], np.int64), []
    counted = patients.group_by(known, use_threads=False).aggregate([([], "count_all")])
    sizes = counted["count_all"].to_numpy()
    large = counted.filter(pc.greater_equal(counted["count_all"], SMALLEST))
    shown = []
    for row in large.to_pylist():
        number = row.pop("count_all")
        shown.append(
            ("; ".join(f"{name} {row[name] or 'not said'}" for name in known if name != RARE), number)
        )
    return sizes, sorted(shown, key=lambda it: (-it[1], it[0]))[:_SHOWN]


def _alone(patients: pa.Table, name: str) -> tuple[int, int, int]:
    sizes = patients.group_by(name, use_threads=False).aggregate([([], "count_all")])["count_all"].to_numpy()
    return len(sizes), int(sizes.min()), int(sizes[sizes < SMALLEST].sum())


def _diversity(patients: pa.Table, shared: list[str]) -> tuple[int | None, int]:
    """Return how many examinations the least diverse group has, and how many patients share one."""
    examined = [name for name in _EXAMINED if name in patients.column_names]
    if not examined or not shared or not len(patients):
        return None, 0
    what = pc.binary_join_element_wise(*(patients[name] for name in examined), "\n")
    grouped = (
        patients.append_column("examined", what)
        .group_by(shared, use_threads=False)
        .aggregate([("examined", "count_distinct"), ([], "count_all")])
    )
    different = grouped["examined_count_distinct"].to_numpy()
    return int(different.min()), int(grouped["count_all"].to_numpy()[different == 1].sum())


def _bin(sizes: Any, low: int, high: int | None) -> tuple[str, int, int]:
    inside = sizes[(sizes >= low) & (sizes <= (high or np.inf))]
    name = f"{low} or more" if high is None else str(low) if low == high else f"{low} to {high}"
    return name, len(inside), int(inside.sum())


def _and(names: list[str]) -> str:
    """Return names as a list in a sentence.

    >>> _and(["sex"]), _and(["sex", "age", "modality"])
    ('sex', 'sex, age and modality')
    """
    *before, last = names
    return f"{', '.join(before)} and {last}" if before else last
