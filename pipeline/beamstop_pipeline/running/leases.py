"""Leases: one run at a time writes to a target in a bucket; its command renews a mark there while it waits.

A command that was killed leaves its mark. The next one watches it: if nobody renews it, that run is dead.
"""

import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from beamstop_pipeline.errors import ConfigurationError
from beamstop_transforms.ledger.target import is_run_id
from beamstop_transforms.stores import PARTIAL, StoreError, open_store

_NAME = f"{PARTIAL}/run"  # as of the lock in a local target
_RENEW_EVERY = 10.0  # seconds
_DEAD_AFTER = 60.0  # seconds in which nobody has renewed it
_LOOK_EVERY = 2.0  # seconds


@contextmanager
def leased(
    targets: Iterable[str], run_id: str, say: Callable[[str], None], lost: Callable[[str], None]
) -> Iterator[None]:
    """Hold targets in buckets against other runs.

    Args:
        targets: prefixes in buckets in which what is written can be removed.
        run_id: of this run.
        say: gets a sentence if it takes a minute to see whether another run is alive.
        lost: is called from a thread, with a sentence, if another run took a target: this one was too slow
            to renew its mark, because its machine slept or the store did not answer.

    Raises:
        ConfigurationError: another run is writing to one.
    """
    with ExitStack() as held:
        leases = []
        for target in targets:
            lease = _Lease(target, run_id)
            lease.take(say)
            held.callback(lease.release)
            leases.append(lease)
        over = threading.Event()
        threading.Thread(target=_renew, args=(leases, over, lost), daemon=True).start()
        held.callback(over.set)
        yield


def _renew(leases: list["_Lease"], over: threading.Event, lost: Callable[[str], None]) -> None:
    while leases and not over.wait(_RENEW_EVERY):
        for lease in leases:
            with suppress(StoreError):  # if it lasts, the run breaks by itself
                if not lease.renew() and not over.is_set():
                    lost(f"another run took {lease.target}, as this one did not renew its mark for a minute")
                    return


class _Lease:
    def __init__(self, target: str, run_id: str) -> None:
        self.target = target
        self._run_id = run_id
        self._store = open_store(target)

    def take(self, say: Callable[[str], None]) -> None:
        found = self._store.read(_NAME)
        if found is not None:
            say(f"{self.target}: {_run_in(found[1])} is writing there, or was killed; a minute will show")
            found = self._watch(found)
        if not self._store.write(_NAME, self._mark(), found and found[0], durable=False):
            raise self._taken(self._store.read(_NAME))

    def _watch(self, found: tuple[object, bytes]) -> tuple[object, bytes] | None:
        """Return the mark of a run that turns out to be dead; None if it has just ended."""
        end = time.monotonic() + _DEAD_AFTER
        while time.monotonic() < end:
            time.sleep(_LOOK_EVERY)
            now = self._store.read(_NAME)
            if now is None:
                return None
            if now != found:
                raise self._taken(now)
        return found

    def _taken(self, found: tuple[object, bytes] | None) -> ConfigurationError:
        other = _run_in(found[1]) if found is not None else "another run"
        return ConfigurationError(
            f"{other} is writing to {self.target}: wait until it ends; if you kill it, run again in a minute"
        )

    def renew(self) -> bool:
        """Renew the mark; return whether it was still this run's."""
        found = self._store.read(_NAME)
        if found is None or not self._is_mine(found[1]):
            return False
        self._store.write(_NAME, self._mark(), found[0], durable=False)
        return True

    def release(self) -> None:
        with suppress(StoreError):
            found = self._store.read(_NAME)
            if found is not None and self._is_mine(found[1]):
                self._store.remove(_NAME)

    def _mark(self) -> bytes:
        return f"{self._run_id} {secrets.token_hex(8)}".encode()  # other bytes each time: an ETag is of bytes

    def _is_mine(self, mark: bytes) -> bool:
        return mark.startswith(f"{self._run_id} ".encode())


def _run_in(mark: bytes) -> str:
    named = mark.partition(b" ")[0].decode(errors="replace")
    return f"run {named}" if is_run_id(named) else "another run"
