"""WriteDicom: write clean instances, and return their audit rows."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from time import perf_counter
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam import pvalue
from apache_beam.pvalue import PCollection
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from beamstop.audit import Outcome, Row
from beamstop.dicom.elements import MALFORMED, text_of
from beamstop_transforms.attributes import attributes_of
from beamstop_transforms.contested import Pack, SeenPacks
from beamstop_transforms.devices import device_of
from beamstop_transforms.finished import Finished
from beamstop_transforms.instance import Instance, Placed, Seen
from beamstop_transforms.ledger.target import Target
from beamstop_transforms.metrics import Counters
from beamstop_transforms.pace import Pace
from beamstop_transforms.paths import INSTANCE, PATIENT_ID, SERIES, STUDY
from beamstop_transforms.placing import Placing
from beamstop_transforms.step import Transform, attempt
from beamstop_transforms.stores import is_remote

STEP = "WriteDicom"
_COLUMN = "ms_write"
_CHANGES, _CROSSWALK, _ATTRIBUTES, _CLAIMS = "changes", "crosswalk", "attributes", "claims"


class Written(NamedTuple):
    """What WriteDicom returns.

    Attributes:
        rows: one audit row per instance, written or not, before duplicates are resolved; `Finished` with
            `together`.
        changes: rows of the audit's `changes`, a `pyarrow.RecordBatch` per instance.
        crosswalk: rows that tie a source to its clean file.
        attributes: partial files of the table of attributes; none unless asked for.
        claims: which sources have which SOP Instance UIDs, if these may have to be resolved at the end; in
            packs, see `FindContested`.
    """

    rows: Any
    changes: Any
    crosswalk: Any
    attributes: Any
    claims: Any


@dataclass(eq=False)
class WriteDicom(Transform):
    """Write every instance to OUTPUT/<PatientID>/<Study>/<Series>/<SOP Instance UID>.dcm.

    An instance that an earlier step refused is not written; its row is passed on.

    Attributes:
        target: the target to write to.
        attributes: also yield rows of the table of attributes.
        incremental: yield every claim, not only contested ones: a skipped source may have the UID. For
            buckets every claim is yielded anyway.
        together: keep a row and all that belongs to it together, as `Finished`.
        at_once: no instance waits for others, so that it stays in its window of a stream.
    """

    target: Target
    attributes: bool = False
    incremental: bool = False
    together: bool = False
    at_once: bool = False

    def expand(self, instances: PCollection[Instance]) -> Written:
        """Take instances that CheckLeaks has finished; return their rows and claims."""
        how = (self.attributes, self.incremental, self.together, self.at_once)
        work = beam.ParDo(_WriteDicomFn(self.target, *how))
        tags = (_CHANGES, _CROSSWALK, _ATTRIBUTES, _CLAIMS)
        outputs = instances | STEP >> work.with_outputs(*tags, main="rows")
        return Written(outputs["rows"], *(outputs[tag] for tag in tags))


class _WriteDicomFn(beam.DoFn):
    """Places instances in groups, so that the disk is synced once per group."""

    def __init__(
        self, target: Target, attributes: bool, incremental: bool, together: bool, at_once: bool
    ) -> None:
        super().__init__()
        self._target = target
        self._attributes = attributes
        self._incremental = incremental
        self._together = together
        self._at_once = at_once

    def setup(self) -> None:
        self._placing = Placing(self._target)
        self._counters = Counters(STEP)
        self._pace = Pace(_LONGEST_WAIT)
        # In a remote store, placing is mostly waiting.
        self._pool = ThreadPoolExecutor(_AT_ONCE) if is_remote(self._target.output) else None

    def teardown(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()

    def start_bundle(self) -> None:
        self._seen = SeenPacks()
        self._waiting: list[Instance] = []
        self._bytes = 0
        self._pace.done()

    def process(self, instance: Instance) -> Iterator[Any]:
        if instance.refusal is not None:
            yield Finished(instance.refusal) if self._together else instance.refusal
            return
        self._waiting.append(instance)
        self._bytes += len(instance.encoded.data)
        if self._at_once or self._pace.is_due() or len(self._waiting) == _MOST or self._bytes > _LARGEST:
            yield from self._place_waiting()

    def finish_bundle(self) -> Iterator[Any]:
        window = GlobalWindow()
        found_last = [*self._place_waiting(), *map(_claims, self._seen.rest())]
        self._placing.end_bundle()
        for found in found_last:
            tagged = isinstance(found, pvalue.TaggedOutput)
            value = WindowedValue(found.value if tagged else found, window.max_timestamp(), (window,))
            yield pvalue.TaggedOutput(found.tag, value) if tagged else value

    def _place_waiting(self) -> Iterator[Any]:
        """Place all waiting instances, with one sync of the disk."""
        waiting, self._waiting, self._bytes = self._waiting, [], 0
        began = perf_counter()
        with self._placing.together(waiting):
            rows = self._rows_of(waiting)
        spent = perf_counter() - began
        each = 1000 * spent / max(len(waiting), 1)
        for number, (instance, row) in enumerate(zip(waiting, rows, strict=True), start=1):
            if row is None:
                instance.milliseconds[_COLUMN] = round(each, 3)
            yield from self._outputs_of(instance, row, each, number == len(waiting))
        self._pace.done(spent if self._pool is not None else 0.0)

    def _rows_of(self, instances: list[Instance]) -> list[Row | None]:
        """Place instances; those of one UID one after the other, in order. Errors: see `attempt`."""
        if self._pool is None or len(instances) < 2:
            return [attempt(STEP, _COLUMN, self._work, instance) for instance in instances]
        of_one_uid = dict[str, list[int]]()
        for number, instance in enumerate(instances):
            of_one_uid.setdefault(_uid_of(instance), []).append(number)

        def work(numbers: list[int]) -> list[tuple[int, Row | None]]:
            return [(it, attempt(STEP, _COLUMN, self._work, instances[it])) for it in numbers]

        rows = dict(chain.from_iterable(self._pool.map(work, of_one_uid.values())))
        return [rows[number] for number in range(len(instances))]

    def _outputs_of(
        self, instance: Instance, row: Row | None, milliseconds: float, is_last: bool
    ) -> Iterator[Any]:
        placed = instance.placed
        if row is None and placed is not None and placed.lost is not None:
            row = placed.lost.row(instance.row(), STEP)
        self._counters.count(instance, milliseconds, row, str(Outcome.WRITTEN))
        everything = self._incremental or self._target.objects_first
        if placed is not None and (placed.contested or everything):
            seen = Seen.of(instance.source_id, placed)
            yield from map(_claims, self._seen.add(placed.sop_instance_uid, seen))
        contested = placed.sop_instance_uid if placed is not None and placed.contested else None
        if row is not None or placed is None:
            yield Finished({**(row or {}), "contested": contested}, is_last) if self._together else row
            return
        row = written_row(instance, placed)
        changes = instance.change_rows(self._target.run_id, placed.sop_instance_uid)
        tie = crosswalk_row(instance, row)
        if self._together:
            yield Finished({**row, "contested": contested}, is_last, changes, tie, instance.table)
            return
        yield row
        if changes.num_rows:
            yield pvalue.TaggedOutput(_CHANGES, changes)
        yield pvalue.TaggedOutput(_CROSSWALK, tie)
        if instance.table is not None:
            yield pvalue.TaggedOutput(_ATTRIBUTES, instance.table)

    def _work(self, instance: Instance) -> None:
        if self._attributes:
            instance.table = attributes_of(instance.source_id, instance.dataset)
        instance.placed = self._placing.place(instance)


def _claims(pack: Pack) -> Any:
    return pvalue.TaggedOutput(_CLAIMS, pack)


def _uid_of(instance: Instance) -> str:
    try:
        return text_of(instance.dataset, INSTANCE)
    except MALFORMED:
        return ""


_AT_ONCE = 16  # instances that are placed at the same time

# Limits of instances that wait to be written: number, bytes, seconds.
_MOST, _LARGEST, _LONGEST_WAIT = 64, 16 << 20, 1.0


def written_row(instance: Instance, placed: Placed) -> Row:
    """Return the audit row of a written instance; `unchanged` and `device` are only for the record."""
    dataset = instance.dataset
    return {
        **instance.row(),
        "outcome": str(Outcome.WRITTEN),
        "step": STEP,
        "patient_id": text_of(dataset, PATIENT_ID).strip() or None,
        "study_uid": text_of(dataset, STUDY).strip() or None,
        "series_uid": text_of(dataset, SERIES).strip() or None,
        "sop_instance_uid": placed.sop_instance_uid,
        "output_path": placed.path,
        "output_sha256": placed.sha256,
        "bytes_out": len(instance.encoded.data),
        "unchanged": placed.unchanged,
        "device": list(device_of(dataset)),
    }


def crosswalk_row(instance: Instance, row: Row) -> Row:
    """Return the row that links a source to its clean file; keep it under other access rights."""
    original = instance.report.original._asdict()
    return {
        "source_id": instance.source_id,
        "source_path": instance.source.raw_path.decode(errors="backslashreplace"),
        **{f"original_{name}": value for name, value in original.items()},
        **{name: row[name] for name in _OF_THE_CLEAN_FILE},
    }


_OF_THE_CLEAN_FILE = ("patient_id", "study_uid", "series_uid", "sop_instance_uid", "output_path")
