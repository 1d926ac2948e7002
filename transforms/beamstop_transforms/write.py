"""WriteDicom: put the clean instance in its place, once, whatever is retried or comes twice."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from time import perf_counter
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam import pvalue
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue
from pydicom.dataset import Dataset
from pydicom.uid import UID

from beamstop.audit import Outcome, Row, refused
from beamstop.dicom.elements import text_of
from beamstop.dicom.tags import tag_name
from beamstop.errors import Quarantined
from beamstop_transforms.attributes import attributes_draft
from beamstop_transforms.devices import device_of
from beamstop_transforms.instance import Instance, Placed
from beamstop_transforms.ledger.claims import Claim, Claimant, Claims
from beamstop_transforms.ledger.writers import Ledger
from beamstop_transforms.step import StepFn
from beamstop_transforms.stores import PARTIAL, is_dicomweb, open_store

STEP = "WriteDicom"
_COLUMN = "ms_write"
_LONGEST_COMPONENT = 128
_PATIENT_ID, _STUDY, _SERIES, _INSTANCE = 0x00100020, 0x0020000D, 0x0020000E, 0x00080018
_CHANGES, _CROSSWALK, _ATTRIBUTES, _CLAIMS = "changes", "crosswalk", "attributes", "claims"


class Written(NamedTuple):
    """What WriteDicom returns.

    Attributes:
        rows: one audit row per instance, written or not, before duplicates are settled.
        changes: rows of the audit's `changes`, a `pyarrow.RecordBatch` for each instance.
        crosswalk: rows that tie a source to its clean file.
        attributes: drafts of the rows of the table of attributes; none unless asked for.
        claims: SOP Instance UID, and whether it must be settled when all is written.
    """

    rows: Any
    changes: Any
    crosswalk: Any
    attributes: Any
    claims: Any


@dataclass(frozen=True)
class Target:
    """Where clean files go and what is known of it.

    Attributes:
        output: the OUTPUT folder or prefix.
        audit: the AUDIT folder or prefix, whose earlier runs are the ledger.
        run_id: of this run.
        first_wins: of several sources with one SOP Instance UID the first is written, not the one with the
            lowest digest: what is written stays.
    """

    output: str
    audit: str
    run_id: str
    first_wins: bool = False

    @property
    def workspace(self) -> str:
        """Where claims are kept: an imaging server holds nothing but instances."""
        return self.audit if is_dicomweb(self.output) else self.output


def open_claims(target: Target) -> Claims:
    """Return the claims of a run."""
    files, kept = open_store(target.output), open_store(target.workspace)
    return Claims(kept, target.run_id, files, target.first_wins)


class WriteDicom(beam.PTransform):
    """Write every instance to OUTPUT/<PatientID>/<Study>/<Series>/<SOP Instance UID>.dcm.

    Args:
        target: where to.
        attributes: also yield what the table of attributes takes.
        incremental: yield every claim, not only contested ones: a skipped source may hold the UID.
        together: leave what belongs to a row, under `changes` and `crosswalk`, in it; in a stream nothing
            could tell when all of it has come.
    """

    def __init__(
        self, target: Target, attributes: bool = False, incremental: bool = False, together: bool = False
    ) -> None:
        super().__init__()
        self._arguments = (target, attributes, incremental, together)

    def expand(self, instances: Any) -> Any:
        """Return `Written`."""
        work = beam.ParDo(_WriteDicomFn(*self._arguments))
        tags = (_CHANGES, _CROSSWALK, _ATTRIBUTES, _CLAIMS)
        outputs = instances | "WriteDicom" >> work.with_outputs(*tags, main="rows")
        return Written(outputs["rows"], *(outputs[tag] for tag in tags))


class _WriteDicomFn(StepFn):
    step = STEP
    column = _COLUMN

    def __init__(self, target: Target, attributes: bool, incremental: bool, together: bool) -> None:
        super().__init__()
        self._target = target
        self._attributes = attributes
        self._incremental = incremental
        self._together = together

    def setup(self) -> None:
        super().setup()
        self._placing = Placing(self._target)

    def start_bundle(self) -> None:
        self._waiting: list[Instance] = []
        self._bytes = 0
        self._began = perf_counter()

    def process(self, instance: Instance) -> Iterator[Any]:
        self._waiting.append(instance)
        self._bytes += len(instance.finished.data)
        late = perf_counter() - self._began > _LONGEST_WAIT
        # What comes in a window must go in it.
        if self._together or late or len(self._waiting) == _MOST or self._bytes > _LARGEST:
            yield from self._place_waiting()

    def finish_bundle(self) -> Iterator[Any]:
        window = GlobalWindow()
        for found in self._place_waiting():
            tagged = isinstance(found, pvalue.TaggedOutput)
            value = WindowedValue(found.value if tagged else found, window.max_timestamp(), (window,))
            yield pvalue.TaggedOutput(found.tag, value) if tagged else value

    def _place_waiting(self) -> Iterator[Any]:
        """Put all that wait in their places, and the disk to work once."""
        waiting, self._waiting, self._bytes, self._began = self._waiting, [], 0, perf_counter()
        with self._placing.together(waiting):
            rows = [self.attempt(instance) for instance in waiting]
        each = 1000 * (perf_counter() - self._began) / max(len(waiting), 1)
        for instance, row in zip(waiting, rows, strict=True):
            if row is None:
                instance.milliseconds[_COLUMN] = round(each, 3)
            yield from self._told(instance, row)
        self._began = perf_counter()

    def _told(self, instance: Instance, row: Row | None) -> Iterator[Any]:
        placed = instance.placed
        if placed is None:
            yield row
            return
        if placed.contested or self._incremental:
            yield pvalue.TaggedOutput(_CLAIMS, (placed.sop_instance_uid, placed.contested))
        if placed.lost is not None:
            yield refused(instance.row(), Outcome.REJECTED, self.step, placed.lost)
            return
        row = written_row(instance, placed)
        changes = instance.change_rows(self._target.run_id, placed.sop_instance_uid)
        tie = crosswalk_row(instance, row)
        if self._together:
            yield {**row, _CHANGES: changes, _CROSSWALK: tie}
            return
        yield row
        if changes.num_rows:
            yield pvalue.TaggedOutput(_CHANGES, changes)
        yield pvalue.TaggedOutput(_CROSSWALK, tie)
        if instance.table is not None:
            yield pvalue.TaggedOutput(_ATTRIBUTES, instance.table)

    def work(self, instance: Instance) -> None:
        if self._attributes:
            instance.table = attributes_draft(instance.source_id, instance.read)
        instance.placed = self._placing.place(instance)


# Instances that wait to be written: so many, so many bytes, for so many seconds at most.
_MOST, _LARGEST, _LONGEST_WAIT = 64, 16 << 20, 1.0


class Placing:
    """Puts clean files into OUTPUT by DESIGN's rules for duplicates and second runs."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._run_id = target.run_id
        self._store = open_store(target.output)
        self._aside = open_store(target.workspace)
        self._claims = open_claims(target)
        self._ledger = Ledger(target.audit)

    def together(self, instances: Iterable[Instance]) -> AbstractContextManager[None]:
        """Make it cheap to place these instances inside; what is placed is durable when it ends."""
        return self._store.together([it.finished.data for it in instances])

    def place(self, instance: Instance) -> Placed:
        """Put one clean file in its place.

        Raises:
            Quarantined: `no_sop_instance_uid`, `unsafe_path` or `occupied`.
            Failed: `not_stored`, by an imaging server.
        """
        path, data = clean_path(instance.read, self._target.output), instance.finished.data
        uid, sha256 = text_of(instance.read, _INSTANCE), hashlib.sha256(data).hexdigest()
        if self._target.first_wins and self._is_anothers(uid, path, sha256, instance.source_id):
            return Placed(uid, path, sha256, "duplicate_conflict", contested=False, unchanged=False)
        me = Claimant(instance.source_digest or "", path, sha256)
        claim = self._claims.join(uid, instance.source_id, me)
        waits = False
        alone = len(claim.claimants) == 1 and not claim.earlier and claim.before[path] is None
        while claim.winner == instance.source_id:
            found = None if alone else self._store.find(path)
            if found is not None and found.sha256 == sha256:
                break
            if found is not None and not claim.made(path, found.sha256):
                waits = self._must_wait(uid, path, found.sha256, instance.source_id)
            if waits:
                self._put_aside(uid, instance.source_id, data)
                break
            if self._store.write(path, data, found and found.version):
                break
            alone = False
            claim = self._claims.read(uid)  # another worker was here, or a try before: look again
        lost = claim.losers().get(instance.source_id)
        contested = not self._target.first_wins and (waits or len(claim.claimants) > 1)
        return Placed(uid, path, sha256, lost, contested, claim.before[path] == sha256)

    def _is_anothers(self, uid: str, path: str, sha256: str, source_id: str) -> bool:
        """Say whether an earlier run put another source's file there, which stays."""
        found = self._store.find(path)
        return (
            found is not None
            and found.sha256 != sha256
            and not self._claims.read(uid).made(path, found.sha256)
            and self._ledger.wrote(path, found.sha256)
            and not self._ledger.is_writer(source_id, path, found.sha256)
        )

    def _must_wait(self, uid: str, path: str, present: str, source_id: str) -> bool:
        """Say whether what stands there is another source's, which may yet win in this run.

        Raises:
            Quarantined: `occupied`: no run of ours put it there.
        """
        wrote = self._ledger.wrote(path, present)
        if not wrote and not self._claims.made_before(uid, path, present):
            raise Quarantined("occupied")
        return wrote and not self._ledger.is_writer(source_id, path, present)

    def _put_aside(self, uid: str, source_id: str, data: bytes) -> None:
        name = aside(self._run_id, uid, source_id)
        found = self._aside.find(name)
        self._aside.write(name, data, found and found.version)

    def settle(self, sop_instance_uid: str, holders: Mapping[str, Claimant] | None = None) -> dict[str, str]:
        """Finish one contested UID when every source has been seen; may be repeated.

        The winner's file takes its place if it was put aside; files of losers at other paths go, if
        this run made them or the ledger says that they are the losers'.

        Args:
            sop_instance_uid: the UID.
            holders: sources that this run skipped and that have it, by source_id; each is a claimant
                if its file stands.

        Returns:
            source_id → reason of the losers.
        """
        if self._target.first_wins:
            return {}  # all was said when it was written
        claim = self._claims.read(sop_instance_uid)
        for source_id, claimant in (holders or {}).items():
            # Once joined it stays: when this is repeated its file may have been replaced.
            if source_id not in claim.claimants and self._stands(claimant):
                claim = self._claims.join(sop_instance_uid, source_id, claimant)
        winner = claim.claimants[claim.winner]
        waiting = self._aside.read(aside(self._run_id, sop_instance_uid, claim.winner))
        if waiting is not None:
            found = self._store.find(winner.path)
            if found is None or found.sha256 != winner.sha256:
                self._store.write(winner.path, waiting[1], found and found.version)
        for loser in claim.losers():
            lost = claim.claimants[loser]
            if lost.path != winner.path and self._may_go(sop_instance_uid, claim, loser):
                self._store.remove(lost.path)
        return claim.losers()

    def _may_go(self, sop_instance_uid: str, claim: Claim, source_id: str) -> bool:
        """Say whether what stands at a loser's path is its own and was made by a run of ours.

        Nothing there may go, too: a run that died may have left empty folders.
        """
        mine = claim.claimants[source_id]
        found = self._store.find(mine.path)
        return found is None or (
            found.sha256 == mine.sha256
            and (
                claim.before[mine.path] is None
                or self._ledger.is_writer(source_id, mine.path, mine.sha256)
                or self._claims.made_before(sop_instance_uid, mine.path, mine.sha256)
            )
        )

    def _stands(self, claimant: Claimant) -> bool:
        found = self._store.find(claimant.path)
        return found is not None and found.sha256 == claimant.sha256


def aside(run_id: str, sop_instance_uid: str, source_id: str) -> str:
    """Return the name under which a file waits to replace what another source wrote."""
    name = hashlib.sha256(f"{sop_instance_uid}/{source_id}".encode()).hexdigest()[:32]
    return f"{PARTIAL}/{run_id}/aside/{name}"


def output_path(dataset: Dataset) -> str:
    """Return where a clean instance belongs below OUTPUT.

    Raises:
        Quarantined: `no_sop_instance_uid`, or `unsafe_path` with the keyword of the culprit.
    """
    if not text_of(dataset, _INSTANCE):
        raise Quarantined("no_sop_instance_uid")
    return "/".join(_component(dataset, tag) for tag in (_PATIENT_ID, _STUDY, _SERIES, _INSTANCE)) + ".dcm"


def instance_path(dataset: Dataset) -> str:
    """Return where an imaging server has a clean instance, below its URL (PS3.18 10.1.1).

    Raises:
        Quarantined: `no_sop_instance_uid`, or `unsafe_path` with the keyword of the culprit.
    """
    if not text_of(dataset, _INSTANCE):
        raise Quarantined("no_sop_instance_uid")
    levels = {"studies": _STUDY, "series": _SERIES, "instances": _INSTANCE}
    for tag in levels.values():
        if not UID(text_of(dataset, tag)).is_valid:
            raise Quarantined("unsafe_path", tag_name(tag))
    return "/".join(f"{level}/{text_of(dataset, tag)}" for level, tag in levels.items())


def clean_path(dataset: Dataset, output: str) -> str:
    """Return where a clean instance belongs below OUTPUT, whatever that is."""
    return instance_path(dataset) if is_dicomweb(output) else output_path(dataset)


def _component(dataset: Dataset, tag: int) -> str:
    value = text_of(dataset, tag).strip()
    if not value:
        return "NONE"
    plain = value.isprintable() and not value.startswith(".") and not {"/", "\\"} & set(value)
    if not plain or len(value.encode()) > _LONGEST_COMPONENT:
        raise Quarantined("unsafe_path", tag_name(tag))
    return value


def written_row(instance: Instance, placed: Placed) -> Row:
    """Return the audit row of a written instance; `unchanged` and `device` are for the record alone."""
    dataset = instance.read
    return {
        **instance.row(),
        "outcome": str(Outcome.WRITTEN),
        "step": STEP,
        "patient_id": text_of(dataset, _PATIENT_ID).strip() or None,
        "study_uid": text_of(dataset, _STUDY).strip() or None,
        "series_uid": text_of(dataset, _SERIES).strip() or None,
        "sop_instance_uid": placed.sop_instance_uid,
        "output_path": placed.path,
        "output_sha256": placed.sha256,
        "bytes_out": len(instance.finished.data),
        "unchanged": placed.unchanged,
        "device": list(device_of(dataset)),
    }


def crosswalk_row(instance: Instance, row: Row) -> Row:
    """Return what ties a source to its clean file; only for a place with other access rights."""
    original = instance.applied.original._asdict()
    return {
        "source_id": instance.source_id,
        "source_path": instance.source.raw_path.decode(errors="backslashreplace"),
        **{f"original_{name}": value for name, value in original.items()},
        **{name: row[name] for name in _OF_THE_CLEAN_FILE},
    }


_OF_THE_CLEAN_FILE = ("patient_id", "study_uid", "series_uid", "sop_instance_uid", "output_path")
