"""Leases: only one run at a time writes to a target in a bucket.

The command of a run keeps a mark in the target and renews it while the run works. A killed command leaves its
mark behind. The next command watches that mark for a minute: if nobody renews it, the other run is dead.
"""

import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import NoReturn

from beamstop_pipeline.errors import ConfigurationError
from beamstop_transforms.ledger.target import is_run_id
from beamstop_transforms.stores import PARTIAL, StoreError, open_store

_NAME = f"{PARTIAL}/run"  # the same name as the lock file in a local target
_RENEW_EVERY = 10.0  # seconds
_DEAD_AFTER = 60.0  # seconds without a renewal: six are missed by then
_LOOK_EVERY = 2.0  # seconds


@contextmanager
def leased(
    targets: Iterable[str], run_id: str, say: Callable[[str], None], lost: Callable[[str], None]
) -> Iterator[None]:
    """Hold targets in buckets against other runs.

    Args:
        targets: prefixes in buckets where this run may write and remove objects.
        run_id: of this run.
        say: is called with a sentence if it takes a minute to find out whether another run is alive.
        lost: is called from a thread, with a sentence, if another run took a target because this run did not
            renew its mark for a minute: its machine slept, or the store did not answer.

    Raises:
        ConfigurationError: another run is writing to one.
    """
    leases = [_Lease(it, run_id) for it in targets]
    _watch([it for it in leases if it.found is not None], say)
    with ExitStack() as held:
        for lease in leases:
            lease.take()
            held.callback(lease.release)
        over = threading.Event()
        threading.Thread(target=_renew, args=(leases, over, lost), daemon=True).start()
        held.callback(over.set)
        yield


def _watch(leases: list["_Lease"], say: Callable[[str], None]) -> None:
    """Watch the marks of other runs until those runs have ended, or a minute has passed without a renewal."""
    end = time.monotonic() + _DEAD_AFTER
    if leases:
        say(f"{leases[0].target}: {leases[0].other} is writing there, or was killed; a minute will show")
    while leases and time.monotonic() < end:
        time.sleep(_LOOK_EVERY)
        leases = [it for it in leases if it.still_stands()]


def _renew(leases: list["_Lease"], over: threading.Event, lost: Callable[[str], None]) -> None:
    while leases and not over.wait(_RENEW_EVERY):
        for lease in leases:
            with suppress(StoreError):  # tried again in 10 s; the run itself breaks if the store stays away
                if not lease.renew() and not over.is_set():
                    lost(f"another run took {lease.target}, as this one did not renew its mark for a minute")
                    return


class _Lease:
    def __init__(self, target: str, run_id: str) -> None:
        self.target = target
        self._run_id = run_id
        self._store = open_store(target)
        self.found = self._store.read(_NAME)

    @property
    def other(self) -> str:
        """The run that the found mark names, for a message."""
        named = self.found[1].partition(b" ")[0].decode(errors="replace") if self.found is not None else ""
        return f"run {named}" if is_run_id(named) else "another run"

    def still_stands(self) -> bool:
        """Return whether the mark is still there, unchanged.

        Raises:
            ConfigurationError: somebody renewed or replaced it, so another run is alive.
        """
        now = self._store.read(_NAME)
        if now not in (None, self.found):
            self._refuse()
        self.found = now
        return now is not None

    def take(self) -> None:
        """Replace the found mark, if any, with this run's.

        Raises:
            ConfigurationError: another run was faster.
        """
        if not self._store.write(_NAME, self._mark(), self.found and self.found[0], durable=False):
            self._refuse()

    def _refuse(self) -> NoReturn:
        self.found = self._store.read(_NAME)
        raise ConfigurationError(
            f"{self.other} is writing to {self.target}: wait until it ends, "
            "or kill it and run again a minute later"
        )

    def renew(self) -> bool:
        """Renew the mark; return whether it was still this run's."""
        found = self._store.read(_NAME)
        if found is None or not self._is_mine(found[1]):
            return False
        self._store.write(_NAME, self._mark(), found[0], durable=False)
        return True

    def release(self) -> None:
        """Remove the mark, if it is this run's."""
        with suppress(StoreError):
            found = self._store.read(_NAME)
            if found is not None and self._is_mine(found[1]):
                self._store.remove(_NAME)

    def _mark(self) -> bytes:
        # Random bytes, so that every renewal changes the ETag, which some stores compute from the content.
        return f"{self._run_id} {secrets.token_hex(8)}".encode()

    def _is_mine(self, mark: bytes) -> bool:
        return mark.startswith(f"{self._run_id} ".encode())
