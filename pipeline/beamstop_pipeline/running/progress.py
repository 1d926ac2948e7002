"""Progress of a local run: workers note what they finish, the driver counts.

Each worker process appends one byte per source to a file of its own: nothing is shared, and only outcomes are
recorded.
"""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import Any

import apache_beam as beam

from beamstop.audit import Outcome
from beamstop_transforms.finished import Finished
from beamstop_transforms.instance import Source
from beamstop_transforms.metrics import LISTED

_OUTCOMES = "outcomes-"
_LETTERS = {LISTED: b"l", **{str(outcome): str(outcome)[0].encode() for outcome in Outcome}}


class Progress:
    """The progress of all workers; each `look` reads the notes since the last one.

    Args:
        folder: of the notes.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._read = Counter[Path]()
        self._counts = Counter[str]()
        self._looking = Lock()

    def look(self) -> Counter[str]:
        """Return how many sources are listed, and how many have each outcome."""
        with self._looking:
            for path in Path(self._folder).glob(f"{_OUTCOMES}*"):
                with path.open("rb") as file:
                    file.seek(self._read[path])
                    noted = file.read()
                self._read[path] += len(noted)
                self._counts.update({name: noted.count(letter) for name, letter in _LETTERS.items()})
            return self._counts.copy()


class NoteListed(beam.PTransform):
    """Note every source that was found; pass it on."""

    def __init__(self, folder: str | None) -> None:
        super().__init__()
        self._folder = folder

    def expand(self, sources: Any) -> Any:
        """Return the sources."""
        return sources if self._folder is None else sources | beam.ParDo(_NoteFn(self._folder))


class NoteOutcomes(beam.PTransform):
    """Note every source whose outcome is known; pass it on."""

    def __init__(self, folder: str | None) -> None:
        super().__init__()
        self._folder = folder

    def expand(self, finished: Any) -> Any:
        """Return the sources, unchanged."""
        return finished if self._folder is None else finished | beam.ParDo(_NoteFn(self._folder))


class _NoteFn(beam.DoFn):
    def __init__(self, folder: str) -> None:
        super().__init__()
        self._folder = folder

    def setup(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._file = os.open(os.path.join(self._folder, f"{_OUTCOMES}{os.getpid()}"), flags, 0o600)

    def process(self, element: Source | Finished) -> Iterator[Any]:
        os.write(self._file, _LETTERS[LISTED if isinstance(element, Source) else element.row["outcome"]])
        yield element

    def teardown(self) -> None:
        os.close(self._file)
