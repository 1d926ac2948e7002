"""ReadDicom: read sources as instances."""

import gc
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from time import perf_counter

import apache_beam as beam
from apache_beam.pvalue import PCollection
from pydicom.dataset import FileDataset

from beamstop.dicom.files import read_dicom
from beamstop.dicom.limits import DEFAULT_LIMITS, Limits, check_limits
from beamstop.errors import Failed, Rejected
from beamstop.identity import Identity
from beamstop.keys import resolve_key
from beamstop.pixels.decoder import DecoderLimits, limit_decoder
from beamstop_transforms.archives import BEGINNING, archive_kind, is_member, read_member
from beamstop_transforms.instance import Instance, Source, source_id_of, version_digest
from beamstop_transforms.step import Branches, Transform, Work, attempted, branches
from beamstop_transforms.stores import (
    is_dicomweb,
    is_elsewhere,
    is_remote,
    open_at_once,
    read_range,
    read_remote,
)
from beamstop_transforms.stores.dicomweb_input import read_instance

FOLDER_UNREADABLE = "folder_unreadable"
WORKING = "working-"  # prefix of the notes' names


@dataclass(eq=False)
class ReadDicom(Transform):
    """Read every source as one DICOM instance.

    Attributes:
        key: reference of the run's key, for the keyed digests of path and bytes.
        limits: sources beyond them are failed.
        suspects: source_id → reason, for sources that are failed without being read.
        progress: local folder for notes of the source_id that a process works on, one file
            `working-<process>-…` per process at a time; None for no notes.
    """

    key: str = field(repr=False)
    limits: Limits = DEFAULT_LIMITS
    suspects: Mapping[str, str] = field(default_factory=dict)
    progress: str | None = None

    def expand(self, sources: PCollection[Source]) -> Branches:
        """Return the instances, and the audit rows of sources that are not readable DICOM."""
        return branches(self.attempted(sources))

    def attempted(self, sources: PCollection[Source]) -> PCollection[Instance]:
        """Return all instances, including refused ones."""
        begun = sources | "Begin" >> beam.ParDo(_BeginFn(self.key, self.limits, self.progress))
        return attempted("ReadDicom", "ms_read", self.begin, begun)

    def begin(self) -> Work:
        """Return the work on an instance."""
        identity = Identity(resolve_key(self.key))

        def work(instance: Instance) -> None:
            if reason := instance.source.suspect or self.suspects.get(instance.source_id):
                raise Failed(reason)
            data = _unless_an_archive(instance.source, self.limits.bytes)
            instance.bytes_in = len(data)
            instance.source_digest = identity.digest("source", data).hex()
            instance.dataset = _read_dicom(data, self.limits)
            check_limits(instance.dataset, self.limits)

        return work


class _BeginFn(beam.DoFn):
    """The first DoFn of the chain; keeps a note while an instance is in the chain."""

    def __init__(self, key: str, limits: Limits, progress: str | None) -> None:
        super().__init__()
        self._key = key
        self._limits = limits
        self._progress = progress

    def setup(self) -> None:
        self._identity = Identity(resolve_key(self._key))
        limit_decoder(DecoderLimits(self._limits.decoder_memory, self._limits.seconds))
        gc.freeze()  # all that is loaded by now stays, so the collector need not check it again and again
        self._note = WorkingNote(self._progress)

    def process(self, source: Source) -> Iterator[Instance]:
        source_id = source_id_of(source, self._identity)
        self._note.begin(source_id)
        version = version_digest(source_id, source.version, self._identity)
        deadline = perf_counter() + self._limits.seconds
        yield Instance(source, source_id, deadline=deadline, source_version=version)
        self._note.end()  # the chain is fused, so the instance has passed all of its steps

    def teardown(self) -> None:
        self._note.close()


class WorkingNote:
    """A note of the source that this process works on, in case it dies.

    Args:
        progress: folder of the notes; None for no notes.
    """

    def __init__(self, progress: str | None) -> None:
        self._file: int | None = None
        if progress is not None:
            self._file, _ = tempfile.mkstemp(prefix=f"{WORKING}{os.getpid()}-", dir=progress)

    def begin(self, source_id: str) -> None:
        """Note that work on a source begins."""
        if self._file is not None:
            os.pwrite(self._file, source_id.encode(), 0)

    def end(self) -> None:
        """Note that no source is being worked on."""
        if self._file is not None:
            os.ftruncate(self._file, 0)

    def close(self) -> None:
        """Close the file of the note."""
        if self._file is not None:
            os.close(self._file)


def _unless_an_archive(source: Source, max_bytes: int) -> bytes:
    """Return the bytes of a source; one that is too large and an archive is rejected as an archive."""
    try:
        return read_source(source, max_bytes)
    except Failed as failure:
        if failure.reason != "too_large" or is_member(source.path):
            raise
        try:
            kind = archive_kind(read_range(source.path, 0, BEGINNING))
        except OSError:
            kind = None
        if kind is None:
            raise
        raise Rejected("archive", kind) from None


def _read_dicom(data: bytes, limits: Limits) -> FileDataset:
    """Read one instance; report an archive as such, not as "not DICOM"."""
    try:
        return read_dicom(data, limits.bytes, limits.elements)
    except Rejected as refusal:
        kind = archive_kind(data[:BEGINNING]) if refusal.reason == "not_dicom" else None
        raise Rejected("archive", kind) if kind is not None else refusal from None


def read_source(source: Source, max_bytes: int) -> bytes:
    """Return the bytes of a source.

    Raises:
        Rejected: `archive_member`, see `read_member`.
        Failed: `source_unreadable`, `folder_unreadable` (its content is unknown) or `too_large`; the
            detail is the class of the error.
    """
    if source.size > max_bytes:
        raise Failed("too_large")
    if source.content is not None and (ahead := source.content.take()) is not None:
        return ahead
    try:
        if is_member(source.path):
            return read_member(source)
        if is_dicomweb(source.path):
            return read_instance(source.path, max_bytes)
        return read_remote(source.path) if is_remote(source.path) else _read_file(source.path, max_bytes)
    except OSError as error:
        is_folder = not is_elsewhere(source.path) and os.path.isdir(source.path)
        raise Failed(FOLDER_UNREADABLE if is_folder else "source_unreadable", type(error).__name__) from None


def _read_file(path: str, max_bytes: int) -> bytes:
    with open(path, "rb", opener=open_at_once) as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise Failed("source_unreadable", "not a regular file")
        if about.st_size > max_bytes:
            raise Failed("too_large")
        return file.read()
