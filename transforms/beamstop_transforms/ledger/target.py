"""The target of a run: OUTPUT, AUDIT, run."""

import re
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime

from beamstop.identity import Identity
from beamstop.keys import resolve_key
from beamstop_transforms.ledger.claims import Claims
from beamstop_transforms.stores import is_dicomweb, is_remote, open_store


def new_run_id(now: datetime | None = None) -> str:
    """Return a name for a run that sorts by time and that no other run has.

    >>> new_run_id(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))[:16]
    '20260102T030405Z'
    """
    now = now or datetime.now(UTC)
    millisecond = now.microsecond // 1000  # in hex, as the rest: runs of one second sort, too
    return f"{now.strftime('%Y%m%dT%H%M%SZ')}-{millisecond:03x}{secrets.token_hex(4)}"


_RUN_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{11}(?:-\w+)?")  # of a window: with what tells it from others


def is_run_id(name: str) -> bool:
    """Say whether a name has the form of a run's; what is read back from a target may have been forged.

    >>> is_run_id(new_run_id()), is_run_id("../important")
    (True, False)
    """
    return _RUN_ID.fullmatch(name) is not None


@dataclass(frozen=True)
class Target:
    """Where clean files go and what is known of it.

    Attributes:
        output: the OUTPUT folder or prefix.
        audit: the AUDIT folder or prefix, whose earlier runs are the ledger.
        key: reference of the run's key, never the key; what it seals is believed when it is read back.
        run_id: of this run; a new one unless given.
        first_wins: of several sources with one SOP Instance UID the first is written, not the one with the
            lowest digest: what is written stays.
        recovered: see `recovered_runs`.
        keeps: OUTPUT is a store in which nothing can be replaced or removed; then the first wins, too.
        ledger: the segments of AUDIT/ledger when the run began; None to look when it is asked.
        left_open: what `put_left_open` returned; None to list claims when it is asked.
    """

    output: str
    audit: str
    key: str = field(repr=False)
    run_id: str = field(default_factory=new_run_id)
    first_wins: bool = False
    recovered: tuple[str, ...] = ()
    keeps: bool = False
    ledger: tuple[str, ...] | None = None
    left_open: tuple[int, tuple[str, ...]] | None = None

    @property
    def workspace(self) -> str:
        """Where claims are kept, which change: an imaging server holds nothing but instances."""
        return self.audit if self.keeps or is_dicomweb(self.output) else self.output

    @property
    def objects_first(self) -> bool:
        """Whether a clean file is written before anything claims its UID: see docs/placing.md."""
        return is_remote(self.output) and not self.first_wins

    def identity(self) -> Identity:
        """Return what the run's key makes; it is looked up on the worker that asks.

        Raises:
            KeyReferenceError: no usable key is there.
        """
        return Identity(resolve_key(self.key))


def open_claims(target: Target) -> Claims:
    """Return the claims of a run."""
    return claims_of(target, target.run_id)


def claims_of(target: Target, run_id: str) -> Claims:
    """Return the claims of another run into the same target."""
    files, kept = open_store(target.output), open_store(target.workspace)
    return Claims(kept, target.identity(), run_id, files, target.first_wins)
