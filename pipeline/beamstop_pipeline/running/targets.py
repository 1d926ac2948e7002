"""Local targets: one run per machine at a time, which clears the unfinished work of dead runs."""

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from enum import Enum
from pathlib import Path
from typing import IO

from beamstop_pipeline.errors import ConfigurationError
from beamstop_pipeline.running.suspects import SUSPECTS
from beamstop_transforms.ledger.attempts import ATTEMPTS
from beamstop_transforms.ledger.claims import CLAIMS
from beamstop_transforms.ledger.sealed import is_broken
from beamstop_transforms.ledger.target import is_run_id
from beamstop_transforms.record import record_name
from beamstop_transforms.stores import PARTIAL, StoreError, open_store

_LONGEST_NAME = 128  # bytes of a run_id
_SCRATCH = "beamstop-scratch-"
SHORT_PLACE = "/tmp"  # noqa: S108  for sockets, which need a short path; mkdtemp makes the folder in it


@contextmanager
def sole_run(folder: Path, audit: str, run_id: str, keep_parts: bool = False) -> Iterator[None]:
    """Lock a target against other runs on this machine; clear the unfinished work of dead runs.

    Args:
        folder: the target.
        audit: the AUDIT folder or prefix: a run with a record there has ended.
        run_id: of this run; written into the lock, in case a run that dies leaves nothing but tables.
        keep_parts: leave the rows that dead runs had sealed, for `conclude`.

    Raises:
        ConfigurationError: another run is writing there.
    """
    with ExitStack() as held:
        try:
            if (folder / PARTIAL).is_symlink():
                raise ConfigurationError(f"{folder / PARTIAL} is a link: remove it, no run makes one")
            lock = held.enter_context(_lock(folder / PARTIAL / "run"))
            _unlink_links(folder / PARTIAL)
            lock.seek(0)
            left = {it.name for it in (folder / PARTIAL).iterdir() if it.is_dir()} - {SUSPECTS}
            named = lock.read(_LONGEST_NAME).decode(errors="replace")
            for name in sorted(left | {named} if is_run_id(named) else left):
                state = _state(name, audit) if is_run_id(name) else _State.ENDED
                _clear(folder, folder / PARTIAL / name, state, keep_parts)
            lock.truncate(0)
            lock.write(run_id.encode())
            lock.flush()
        except BlockingIOError:
            raise ConfigurationError(f"another run is writing to {folder}: wait until it ends") from None
        except OSError as error:
            raise ConfigurationError(f"{folder}: {error.strerror}; make room, or choose another") from None
        try:
            yield
        finally:
            # The target may have become read-only; the run's own error matters.
            with suppress(OSError, StoreError):
                if next(_tables(folder, run_id), None) is None or _state(run_id, audit) is not _State.DIED:
                    open_store(str(folder)).remove(f"{PARTIAL}/run")


def _unlink_links(folder: Path) -> None:
    """Remove the links below a folder, but not their targets: later reads would follow them."""
    for here, folders, files in os.walk(folder):
        for name in (*folders, *files):
            if os.path.islink(path := os.path.join(here, name)):
                os.unlink(path)


def _lock(path: Path) -> IO[bytes]:
    """Make a file and lock it until it is closed."""
    while True:
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            with ExitStack() as opened:
                lock = opened.enter_context(open(path, "a+b", opener=_open_itself))
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is(lock, path):
                    opened.pop_all()
                    return lock
        except FileNotFoundError:
            continue  # the previous run is tidying up right now


def _open_itself(path: str, flags: int) -> int:
    try:
        return os.open(path, flags | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise ConfigurationError(f"{path} is a link: remove it, no run makes one") from None


def _is(file: IO[bytes], path: Path) -> bool:
    """Return whether the file still has its name; a run that ends removes it, and another makes a new one."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


class _State(Enum):
    """The state of an earlier run."""

    ENDED = "it has its record"
    BROKE = "it has one that a later run gave it: what it claimed holds on"
    DIED = "it has none"


def _state(run_id: str, audit: str) -> _State:
    found = open_store(audit).read(record_name(run_id))
    if found is None:
        return _State.DIED
    return _State.BROKE if is_broken(found[1]) else _State.ENDED


def _tables(folder: Path, run_id: str) -> Iterator[Path]:
    """Yield the tables that a run published in a target."""
    for place in (folder, *(it for it in folder.iterdir() if it.is_dir() and not it.is_symlink())):
        yield from place.glob(f"{run_id}-*.parquet")


def _clear(folder: Path, left: Path, state: _State, keep_parts: bool) -> None:
    """Clear a run's files in `.partial`, and its published tables if it has no record."""
    if state is _State.DIED:
        # Without a record, their rows decide nothing; this run makes them again.
        for path in list(_tables(folder, left.name)):
            path.unlink()
    # Claims of a dead run stay: they tell which files it wrote. A run that ended has rows for that.
    is_claimed = state is not _State.ENDED and any(path.is_file() for path in (left / CLAIMS).rglob("*"))
    stays = {CLAIMS} if is_claimed else set[str]()
    if state is _State.DIED and (left / ATTEMPTS).exists():
        stays.add(ATTEMPTS)
    if keep_parts and state is _State.DIED:
        stays |= {path.name for path in left.glob("*")} - {"aside"}
    for path in left.glob("*") if stays else [left]:
        if path.name not in stays:
            shutil.rmtree(path, ignore_errors=True)
    for below, _, files in os.walk(left, topdown=False):
        if not files and not os.listdir(below):
            os.rmdir(below)  # it died between making a folder and the claim in it


@contextmanager
def scratch() -> Iterator[str]:
    """Yield a folder for all temporary files of this process and its workers; remove those of dead runs."""
    place = tempfile.gettempdir()
    for left in {left for it in (place, SHORT_PLACE) for left in Path(it).glob(f"{_SCRATCH}*")}:
        _remove_if_dead(str(left))
    former = os.environ.get("TMPDIR")
    with own_folder(place) as folder:
        os.environ["TMPDIR"] = tempfile.tempdir = folder
        try:
            yield folder
        finally:
            tempfile.tempdir = place
            os.environ.pop("TMPDIR")
            if former is not None:
                os.environ["TMPDIR"] = former


@contextmanager
def own_folder(place: str) -> Iterator[str]:
    """Yield a new folder that is its own lock, so that no lock file is left when it is removed."""
    while (
        lock := _lock_folder(folder := tempfile.mkdtemp(prefix=_SCRATCH, dir=place), fcntl.LOCK_EX)
    ) is None:
        continue  # another run took it for abandoned and removed it
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _remove_if_dead(folder: str) -> None:
    """Remove the scratch folder of a dead run, whose lock the system has released."""
    lock = _lock_folder(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if lock is not None:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _lock_folder(folder: str, how: int) -> int | None:
    """Lock one of beamstop's folders and return its descriptor; None if it is gone or in use."""
    lock = None
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        fcntl.flock(lock, how)
        about = os.fstat(lock)
        if os.path.samestat(about, os.stat(folder)) and about.st_uid == os.getuid():
            return lock
    except OSError:
        pass
    if lock is not None:
        os.close(lock)
    return None
