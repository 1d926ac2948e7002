"""What travels through the graph: a source to be read, and the instance that is made of it."""

import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import inf
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import pyarrow as pa
from apache_beam.coders import Coder
from apache_beam.coders.typecoders import registry

from beamstop.audit import CHANGES, Row, defined_modality, registered_uid
from beamstop.dicom.elements import BROKEN, text_of
from beamstop.errors import Failed
from beamstop.identity import Identity

if TYPE_CHECKING:
    from pydicom.dataset import Dataset, FileDataset

    from beamstop.dicom.files import Encoded
    from beamstop.steps.apply_recipe import AttributeReport
    from beamstop.text.hiding import PixelReport


@dataclass(frozen=True)
class Source:
    """One file or object to be de-identified.

    Attributes:
        path: local path or `gs://` address; bytes that are not UTF-8 are surrogate escapes.
        size: bytes, as listed.
        version: generation on gs://, modification time in nanoseconds locally, empty where unknown.
    """

    path: str
    size: int
    version: str

    @property
    def raw_path(self) -> bytes:
        """The path as the file system has it."""
        return os.fsencode(self.path)


def source_id_of(source: Source, identity: Identity) -> str:
    """Return the keyed digest of a source's path, in hex."""
    return identity.digest("source-path", source.raw_path).hex()


class Placed(NamedTuple):
    """What became of one clean file.

    Attributes:
        sop_instance_uid: its own.
        path: below OUTPUT.
        sha256: of the file.
        lost: why another source is written instead, None if this one is, as far as is known.
        contested: other sources claim the UID, or the file waits to replace another's.
        unchanged: it stood there before this run.
    """

    sop_instance_uid: str
    path: str
    sha256: str
    lost: str | None
    contested: bool
    unchanged: bool


@dataclass
class Instance:
    """One instance on its way from reading to writing; never crosses a shuffle.

    A step may change it in place, because it has one consumer.

    Attributes:
        source: where it comes from.
        source_id: keyed digest of the source's path, in hex.
        source_digest: keyed digest of the source's bytes, in hex; None until read.
        dataset: the instance; None until read.
        bytes_in: bytes read.
        pixels: what HideText did; None before it.
        engine: fingerprint of the text detector, where one looked.
        attributes: what ApplyRecipe did; None before it.
        methods: CID 7050 codes that Insert wrote.
        identifiers_checked, leaks_found: what CheckLeaks says.
        encoded: the finished file; None before CheckLeaks.
        table: its row of the table of attributes; None unless asked for.
        placed: what WriteDicom did with it; None before it.
        milliseconds: column of the audit → time spent.
        deadline: of `perf_counter`, after which no step is begun.
    """

    source: Source
    source_id: str
    source_digest: str | None = None
    dataset: "FileDataset | None" = None
    bytes_in: int = 0
    pixels: "PixelReport | None" = None
    engine: str | None = None
    attributes: "AttributeReport | None" = None
    methods: tuple[str, ...] = ()
    identifiers_checked: int = 0
    leaks_found: int = 0
    encoded: "Encoded | None" = None
    table: Row | None = None
    placed: Placed | None = None
    milliseconds: dict[str, float] = field(default_factory=dict)
    deadline: float = inf

    @property
    def read(self) -> "FileDataset":
        """The dataset, of an instance that has been read."""
        return _there(self.dataset)

    @property
    def applied(self) -> "AttributeReport":
        """What ApplyRecipe did, after it."""
        return _there(self.attributes)

    @property
    def finished(self) -> "Encoded":
        """The finished file, after CheckLeaks."""
        return _there(self.encoded)

    def check_time(self) -> None:
        """Raise `Failed`, reason `too_slow`, where the deadline has passed."""
        if perf_counter() > self.deadline:
            raise Failed("too_slow")

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
        """Return what the audit may say of this instance so far."""
        row: Row = {
            "source_id": self.source_id,
            "source_digest": self.source_digest,
            "source_size": self.source.size,
            "source_version": self.source.version,
            "bytes_in": self.bytes_in,
            "engine": self.engine,
            "identifiers_checked": self.identifiers_checked,
            "leaks_found": self.leaks_found,
            "methods": list(self.methods),
            **self.milliseconds,
        }
        if self.dataset is not None:
            row |= _codes(self.dataset)
        if self.pixels is not None:
            row |= {name: getattr(self.pixels, name) for name in _PIXEL_COLUMNS}
        if self.attributes is not None:
            row |= {column: getattr(self.attributes, name) for column, name in _ATTRIBUTE_COLUMNS.items()}
        return row

    def change_rows(self, run_id: str, sop_instance_uid: str) -> pa.RecordBatch:
        """Return the rows of the audit's `changes`: one for every element acted on and every text box."""
        reports = [it for it in (self.attributes, self.pixels) if it is not None]
        changes = [change for report in reports for change in report.changes]
        if not changes:
            return _NO_CHANGES
        same = [pa.repeat(value, len(changes)) for value in (run_id, self.source_id, sop_instance_uid)]
        # A Change has the other columns, in order. By columns this takes a third of what dicts take.
        columns = zip(zip(*changes, strict=True), CHANGES.types[len(same) :], strict=True)
        return pa.RecordBatch.from_arrays([*same, *(pa.array(*it) for it in columns)], schema=CHANGES)


class InstanceCoder(Coder):
    """How Beam would send an instance elsewhere, and what it asks to know how large it is."""

    def encode(self, value: Instance) -> bytes:
        """Return it as bytes."""
        return pickle.dumps(value)

    def decode(self, encoded: bytes) -> Instance:
        """Return it from bytes."""
        instance: Instance = pickle.loads(encoded)  # noqa: S301  a worker of this run made it
        return instance

    def estimate_size(self, value: Instance) -> int:
        """Return about its size: Beam asks at every step, of some, and would encode them to see."""
        return value.bytes_in

    def is_deterministic(self) -> bool:
        """Say that equal instances need not have equal bytes."""
        return False


registry.register_coder(Instance, InstanceCoder)


_NO_CHANGES = pa.RecordBatch.from_pylist([], CHANGES)
_T = TypeVar("_T")


def _there(value: _T | None) -> _T:
    if value is None:
        raise LookupError("a step of the chain was left out")
    return value


_PIXEL_COLUMNS = (
    "frames",
    "frames_examined",
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
    except BROKEN:
        return ""
