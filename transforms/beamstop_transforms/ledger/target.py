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
    """Return a unique name for a run; names sort by time.

    >>> new_run_id(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))[:16]
    '20260102T030405Z'
    """
    now = now or datetime.now(UTC)
    millisecond = now.microsecond // 1000  # so that runs of the same second sort, too
    return f"{now.strftime('%Y%m%dT%H%M%SZ')}-{millisecond:03x}{secrets.token_hex(4)}"


# The run_id of a stream's window has a part more, which tells it from others.
_RUN_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{11}(?:-\w+)?")


def is_run_id(name: str) -> bool:
    """Return whether a name has the form of a run_id; a name read back from a target may be forged.

    >>> is_run_id(new_run_id()), is_run_id("../important"), is_run_id("00010101T000000Z-00000000000")
    (True, False, False)
    """
    match = _RUN_ID.fullmatch(name)
    try:
        return match is not None and began(name).year >= _FIRST_YEAR
    except ValueError:
        return False


_FIRST_YEAR = 2000


def began(run_id: str) -> datetime:
    """Return when a run began, by its name.

    >>> began("20260102T030405Z-00000000000").isoformat()
    '2026-01-02T03:04:05+00:00'
    """
    return datetime.strptime(run_id.partition("-")[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


@dataclass(frozen=True)
class Target:
    """The target of a run: where it writes clean files and audit, and which earlier runs it knows.

    Attributes:
        output: the OUTPUT folder or prefix.
        audit: the AUDIT folder or prefix, whose earlier runs are the ledger.
        key: reference of the run's key, never the key itself.
        run_id: of this run; a new one unless given.
        first_wins: of several sources with one SOP Instance UID, the first one is written, not the one with
            the lowest digest, so that no file is ever replaced.
        recovered: see `recovered_runs`.
        keeps: in OUTPUT's store nothing can be replaced or removed; the first one wins, too.
        ledger: names of the segments of AUDIT/ledger when the run began; None for the current ones.
        left_open: the result of `put_left_open`; None to list claims at first use.
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
        """Where claims are kept: OUTPUT; AUDIT if OUTPUT is an imaging server, which has only instances."""
        return self.audit if self.keeps or is_dicomweb(self.output) else self.output

    @property
    def objects_first(self) -> bool:
        """Whether a clean file is written before anything claims its UID: see docs/placing.md."""
        return is_remote(self.output) and not self.first_wins

    def identity(self) -> Identity:
        """Return the identity that the run's key gives; the key is looked up on this worker.

        Raises:
            KeyReferenceError: the reference leads to no usable key.
        """
        return Identity(resolve_key(self.key))


def open_claims(target: Target) -> Claims:
    """Return the claims of a run."""
    return claims_of(target, target.run_id)


def claims_of(target: Target, run_id: str) -> Claims:
    """Return the claims of another run into the same target."""
    files, kept = open_store(target.output), open_store(target.workspace)
    return Claims(kept, target.identity(), run_id, files, target.first_wins)
