"""The elements of the graph: a source to read, and the instance made from it."""

import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import inf
from time import perf_counter
from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypeVar, overload

import pyarrow as pa
from apache_beam.coders import Coder
from apache_beam.coders.typecoders import registry

from beamstop.audit import CHANGES, Outcome, Row, refused, registered_uid
from beamstop.dicom.elements import MALFORMED, text_of
from beamstop.identity import Identity
from beamstop.standard.defined_terms import defined_modality
from beamstop_transforms.stores.base import is_remote

if TYPE_CHECKING:
    from pydicom.dataset import Dataset, FileDataset

    from beamstop.dicom.files import Encoded
    from beamstop.faces.series import FaceFinding
    from beamstop.steps.apply_recipe import AttributeReport
    from beamstop.steps.judge_face import FaceNote
    from beamstop.text.hiding import PixelReport


_T = TypeVar("_T")


class Content(Protocol):
    """The bytes of a source that another thread fetches."""

    def take(self) -> bytes | None:
        """Return the bytes; None if they are no longer there."""


@dataclass(frozen=True)
class Source:
    """One file or object to be de-identified.

    Attributes:
        path: local path, address in an object store, or member of an archive (see `archives`); bytes that are
            not UTF-8 are surrogate escapes.
        size: bytes, as listed.
        version: generation on gs://, ETag on s3:// and az://, modification time in nanoseconds locally, for a
            member of a zip its checksum and date, of a tar the tar's version; empty where unknown.
        suspect: a reason not to read it; empty for none.
        span: offset and length in bytes of a member of a tar, with its header; None for others.
        content: gives its bytes if they are read ahead, see `ReadAhead`.
        face: the finding for its series, see `GroupSeries`; None if the series was not searched.
    """

    path: str
    size: int
    version: str
    suspect: str = ""
    span: tuple[int, int] | None = None
    content: "Content | None" = field(default=None, repr=False, compare=False)
    face: "FaceFinding | None" = field(default=None, repr=False, compare=False)

    def __getstate__(self) -> dict[str, object]:
        """Return what is sent to other workers: without bytes, and without the finding about these."""
        return {**vars(self), "face": None}

    @property
    def raw_path(self) -> bytes:
        """The path as bytes, as the file system has it."""
        return os.fsencode(self.path)


def source_id_of(source: Source, identity: Identity) -> str:
    """Return the keyed digest of a source's path, in hex."""
    return identity.digest("source-path", source.raw_path).hex()


SOURCE_VERSION_LENGTH = 32  # hex digits


def version_digest(source_id: str, version: str, identity: Identity) -> str:
    """Return a keyed digest of a source's version for the audit, in hex; empty if the version is unknown.

    A plain modification time could tell when the patient was examined.

    Args:
        source_id: of the source.
        version: see `Source`.
        identity: of the run's key.
    """
    return identity.digest("source-version", source_id, version).hex()[:SOURCE_VERSION_LENGTH] * bool(version)


class Lost(NamedTuple):
    """Why a source without a fault is not written.

    Attributes:
        reason: `duplicate` or `duplicate_conflict`.
        detail: source_ids of the others.
    """

    reason: str
    detail: str

    def row(self, row: Row, step: str) -> Row:
        """Return the audit row that replaces the source's earlier row."""
        is_equal = self.reason == "duplicate"
        outcome = Outcome.REJECTED if is_equal else Outcome.QUARANTINED
        return refused(row, outcome, step, self.reason, self.detail)


class Placed(NamedTuple):
    """The result of placing one clean file.

    Attributes:
        sop_instance_uid: of the clean file.
        path: below OUTPUT.
        sha256: of the file.
        lost: why this source is not written; None if it is, as far as known now.
        contested: other sources claim the UID, or the file waits to replace another source's file.
        unchanged: the same file was there before this run.
    """

    sop_instance_uid: str
    path: str
    sha256: str
    lost: Lost | None
    contested: bool
    unchanged: bool


class Seen(NamedTuple):
    """A note that a source of this run has a clean file.

    Attributes:
        path: of its clean file.
        source: the beginning of its source_id.
        contested: see `Placed`.
    """

    path: str
    source: str
    contested: bool

    @classmethod
    def of(cls, source_id: str, placed: Placed) -> "Seen":
        """Return the note for a source."""
        return cls(placed.path, beginning_of(source_id), placed.contested)


def beginning_of(source_id: str) -> str:
    """Return enough of a source_id to tell the source from all others with the same UID."""
    return source_id[:16]


GENERATION = "generation"  # key of a row, in no table: a stream finds the newest of several rows by it


class FromStep(Generic[_T]):
    """An attribute that a step sets; reading it before that step raises a LookupError."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> None: ...

    @overload
    def __get__(self, instance: object, owner: type) -> _T: ...

    def __get__(self, instance: object | None, owner: type) -> _T | None:
        if instance is None:
            return None  # the default of the dataclass
        value: _T | None = instance.__dict__.get(self._name)
        if value is None:
            raise LookupError(f"{self._name}: not there yet; a step before this one was left out")
        return value

    def __set__(self, instance: object, value: _T | None) -> None:
        instance.__dict__[self._name] = value


@dataclass(eq=False, repr=False)
class Instance:
    """One instance on its way from reading to writing; never crosses a shuffle.

    A step may change it in place, because it has one consumer.

    Attributes:
        source: where it comes from.
        source_id: keyed digest of the source's path, in hex.
        source_digest: keyed digest of the source's bytes, in hex; None until read.
        dataset: set by ReadDicom; de-identified after ApplyRecipe, proved clean after CheckLeaks.
        bytes_in: bytes read.
        face: what RemoveFace knows of a face; None before it.
        pixels: what HideText did; None before it.
        engine: fingerprint of the text detector, where one was used.
        report: set by ApplyRecipe: what it did.
        methods: CID 7050 codes that Insert wrote.
        identifiers_checked, leaks_found: counts of CheckLeaks.
        encoded: set by CheckLeaks: the finished file; `encoded.data` are its bytes.
        table: its row of the table of attributes; None unless asked for.
        placed: what WriteDicom did with it; None before it.
        refusal: the audit row of a refused instance; None if it is not refused.
        milliseconds: column of the audit → milliseconds.
        deadline: time of `perf_counter` after which the instance is failed (`beamstop.dicom.deadline`).
        source_version: see `version_digest`.
    """

    source: Source
    source_id: str
    source_digest: str | None = None
    dataset: FromStep["FileDataset"] = FromStep()
    bytes_in: int = 0
    face: "FaceNote | None" = None
    pixels: "PixelReport | None" = None
    engine: str | None = None
    report: FromStep["AttributeReport"] = FromStep()
    methods: tuple[str, ...] = ()
    identifiers_checked: int = 0
    leaks_found: int = 0
    encoded: FromStep["Encoded"] = FromStep()
    table: Row | None = None
    placed: Placed | None = None
    refusal: Row | None = None
    milliseconds: dict[str, float] = field(default_factory=dict)
    deadline: float = inf
    source_version: str = ""

    def has(self, attribute: str) -> bool:
        """Return whether a step has set `dataset`, `report` or `encoded`."""
        return self.__dict__.get(attribute) is not None

    def refuse(self, row: Row) -> None:
        """Refuse the instance: only its audit row is kept."""
        self.refusal = row
        self.dataset = self.report = self.encoded = self.face = self.pixels = self.table = None

    @contextmanager
    def timed(self, column: str) -> Iterator[None]:
        """Add the time spent inside to one of the audit's `ms_` columns."""
        started = perf_counter()
        try:
            yield
        finally:
            spent = 1000 * (perf_counter() - started)
            self.milliseconds[column] = round(self.milliseconds.get(column, 0.0) + spent, 3)

    def row(self) -> Row:
        """Return the audit row of this instance so far."""
        row: Row = {
            "source_id": self.source_id,
            "source_digest": self.source_digest,
            "source_size": self.source.size,
            "source_version": self.source_version,
            "bytes_in": self.bytes_in,
            "engine": self.engine,
            "identifiers_checked": self.identifiers_checked,
            "leaks_found": self.leaks_found,
            "methods": list(self.methods),
            **self.milliseconds,
        }
        if is_remote(self.source.path):
            row[GENERATION] = self.source.version
        if self.has("dataset"):
            row |= _codes(self.dataset)
        if self.pixels is not None:
            row |= {name: getattr(self.pixels, name) for name in _PIXEL_COLUMNS}
        if detail := "; ".join(self._details()):
            row["detail"] = detail
        if self.face is not None and self.face.pixels_changed:
            row["pixels_changed"] = True
        if self.has("report"):
            row |= {column: getattr(self.report, name) for column, name in _ATTRIBUTE_COLUMNS.items()}
        return row

    def _details(self) -> Iterator[str]:
        """Yield the texts for `detail` of a written instance."""
        if self.face is not None and self.face.code:
            yield self.face.code
        if self.pixels is not None and self.pixels.decoders:
            yield f"PixelData: read by {', '.join(self.pixels.decoders)}"

    def change_rows(self, run_id: str, sop_instance_uid: str) -> pa.RecordBatch:
        """Return the rows of the audit's `changes`: one for every element acted on and every text box."""
        done = (self.report, self.face, self.pixels)
        changes = [change for it in done if it is not None for change in it.changes]
        if not changes:
            return _NO_CHANGES
        same = [pa.repeat(value, len(changes)) for value in (run_id, self.source_id, sop_instance_uid)]
        # A Change has the other columns, in order. Columns take a third of the time of dicts.
        columns = zip(zip(*changes, strict=True), CHANGES.types[len(same) :], strict=True)
        return pa.RecordBatch.from_arrays([*same, *(pa.array(*it) for it in columns)], schema=CHANGES)


LARGEST_SIZE = 1 << 30  # bytes of one element: Beam adds some, and counts in 32 bits


class InstanceCoder(Coder):
    """Encodes an instance for Beam, and estimates its size."""

    def encode(self, value: Instance) -> bytes:
        """Return it as bytes."""
        return pickle.dumps(value)

    def decode(self, encoded: bytes) -> Instance:
        """Return it from bytes."""
        instance: Instance = pickle.loads(encoded)  # noqa: S301  a worker of this run made it
        return instance

    def estimate_size(self, value: Instance) -> int:
        """Return the approximate size; without this Beam, which samples sizes, would encode the instance."""
        return min(value.bytes_in, LARGEST_SIZE)

    def is_deterministic(self) -> bool:
        """Return False: equal instances may have different bytes."""
        return False


registry.register_coder(Instance, InstanceCoder)


_NO_CHANGES = pa.RecordBatch.from_pylist([], CHANGES)


_PIXEL_COLUMNS = (
    "frames",
    "frames_examined",
    "frames_cleaned",
    "text_boxes_hidden",
    "text_boxes_kept",
    "text_residue",
    "pixels_changed",
)
_ATTRIBUTE_COLUMNS = {
    "elements_removed": "removed",
    "elements_emptied": "emptied",
    "elements_replaced": "replaced",
    "elements_kept": "kept",
    "uids_remapped": "uids_remapped",
    "dates_shifted": "dates_shifted",
}


def _codes(dataset: "FileDataset") -> Row:
    return {
        "sop_class_uid": registered_uid(_quiet(dataset, 0x00080016)),
        "modality": defined_modality(_quiet(dataset, 0x00080060)),
        "transfer_syntax_uid": registered_uid(_quiet(dataset.file_meta, 0x00020010)),
    }


def _quiet(dataset: "Dataset", tag: int) -> str:
    try:
        return text_of(dataset, tag)
    except MALFORMED:
        return ""
