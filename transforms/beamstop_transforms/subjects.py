"""Stages a table of subjects for workers, as a file in a local folder or in a store."""

import atexit
import os
import stat
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from beamstop.errors import SubjectsError
from beamstop.identity import Identity
from beamstop.keys import resolve_key
from beamstop.recipe.model import Recipe
from beamstop.subjects import Line, Subjects, compiled, table_digest
from beamstop_transforms.stores import is_remote, open_store
from beamstop_transforms.stores.local import file_inside


@dataclass(frozen=True)
class StagedSubjects:
    """A table of subjects as keyed digests, staged where every worker can read it.

    Nobody can read it without the key, and a replaced table is noticed.

    Attributes:
        place: a folder, or a prefix of a store.
        name: of the file in it.
        digest: the keyed digest of the table, in hex; the run's record has it, too.
    """

    place: str = field(repr=False)
    name: str
    digest: str

    def open(self, recipe: Recipe, key: str) -> Subjects:
        """Return the table, mapped into memory once per process.

        Args:
            recipe: says which spellings of a PatientID are equal.
            key: reference of the run's key.

        Raises:
            SubjectsError: the table is gone, or was changed.
        """
        return _opened(self, recipe.identity(resolve_key(key)))


def stage_subjects(lines: Iterable[Line], identity: Identity, place: str, name: str) -> StagedSubjects:
    """Stage a table for workers, readable by its owner only.

    Args:
        lines: from `recipe.read_subjects`.
        identity: `recipe.identity(key)`.
        place: a local folder, or a folder or prefix that all workers can read.
        name: of the file in it.
    """
    lines = list(lines)
    store = open_store(place, private=True)
    found = store.find(name)
    store.write(name, compiled(lines, identity), found and found.version)
    return StagedSubjects(place, name, table_digest(lines, identity).hex())


@lru_cache(maxsize=2)  # all steps of a run share one table
def _opened(staged: StagedSubjects, identity: Identity) -> Subjects:
    if is_remote(staged.place):
        return _fetched(staged, identity)
    try:
        return _checked(Subjects.open(file_inside(staged.place, staged.name), identity), staged)
    except OSError as error:
        raise SubjectsError(f"--subjects: its file cannot be read: {error.strerror}; run again") from None


def _fetched(staged: StagedSubjects, identity: Identity) -> Subjects:
    """Copy a table from a store to a local file, which all processes of a machine share."""
    path = Path(tempfile.gettempdir()) / f"beamstop-subjects-{os.getuid()}-{staged.digest}"
    if _is_mine(path):
        with suppress(SubjectsError, OSError):
            return _checked(Subjects.open(str(path), identity), staged)
    found = open_store(staged.place).read(staged.name)
    if found is None:
        raise SubjectsError("--subjects: the staged table is gone from AUDIT/.partial; run again")
    handle, temporary = tempfile.mkstemp(prefix="beamstop-subjects-")  # mode 0600
    with os.fdopen(handle, "wb") as file:
        file.write(found[1])
    os.replace(temporary, path)
    atexit.register(path.unlink, missing_ok=True)
    return _checked(Subjects.open(str(path), identity), staged)


def _is_mine(path: Path) -> bool:
    """Return whether a file exists and nobody else can have made or changed it."""
    try:
        about = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISREG(about.st_mode) and about.st_uid == os.getuid() and not about.st_mode & 0o077


def _checked(subjects: Subjects, staged: StagedSubjects) -> Subjects:
    if subjects.digest.hex() != staged.digest:
        raise SubjectsError("--subjects: another table is in the place of this run's; run again")
    return subjects
