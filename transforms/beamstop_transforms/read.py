"""ReadDicom: from a source to an instance."""

import os
import stat
from collections.abc import Iterator
from typing import Any

import apache_beam as beam

from beamstop.errors import Failed
from beamstop.files import read_dicom
from beamstop.identity import Identity
from beamstop.keys import resolve_key
from beamstop_transforms.instance import Instance, Source, source_id_of
from beamstop_transforms.steps import StepFn, branches
from beamstop_transforms.stores import is_remote, read_remote

MAX_BYTES = 4 << 30


class ReadDicom(beam.PTransform):
    """Read every source as one DICOM instance.

    Args:
        key: reference of the run's key, for the keyed digests of path and bytes.
        max_bytes: a larger source is not read but failed.
    """

    def __init__(self, key: str, max_bytes: int = MAX_BYTES) -> None:
        super().__init__()
        self._key = key
        self._max_bytes = max_bytes

    def expand(self, sources: Any) -> Any:
        """Return `Branches`: the instances and the rows of what is not, or no readable, DICOM."""
        begun = sources | "Begin" >> beam.ParDo(_BeginFn(self._key))
        return branches(begun, _ReadDicomFn(self._key, self._max_bytes))


class _BeginFn(beam.DoFn):
    def __init__(self, key: str) -> None:
        super().__init__()
        self._key = key

    def setup(self) -> None:
        self._identity = Identity(resolve_key(self._key))

    def process(self, source: Source) -> Iterator[Instance]:
        yield Instance(source, source_id_of(source, self._identity))


class _ReadDicomFn(StepFn):
    step = "ReadDicom"
    column = "ms_read"

    def __init__(self, key: str, max_bytes: int) -> None:
        super().__init__()
        self._key = key
        self._max_bytes = max_bytes

    def setup(self) -> None:
        super().setup()
        self._identity = Identity(resolve_key(self._key))

    def work(self, instance: Instance) -> None:
        data = read_source(instance.source, self._max_bytes)
        instance.bytes_in = len(data)
        instance.source_digest = self._identity.digest("source", data).hex()
        instance.dataset = read_dicom(data)


def read_source(source: Source, max_bytes: int = MAX_BYTES) -> bytes:
    """Return the bytes of a source.

    Raises:
        Failed: `source_unreadable` or `too_large`; the detail is the class of the error.
    """
    if source.size > max_bytes:
        raise Failed("too_large")
    try:
        return read_remote(source.path) if is_remote(source.path) else _read_file(source.path, max_bytes)
    except OSError as error:
        raise Failed("source_unreadable", type(error).__name__) from None


def _read_file(path: str, max_bytes: int) -> bytes:
    with open(path, "rb", opener=_open_at_once) as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise Failed("source_unreadable", "not a regular file")
        if about.st_size > max_bytes:
            raise Failed("too_large")
        return file.read()


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a named pipe in the archive must not stop the worker
