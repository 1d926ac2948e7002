"""Left open: the UIDs that dead runs may have written, listed once and looked up on disk."""

import re
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np

from beamstop.identity import Identity
from beamstop_transforms.ledger.claims import CLAIMS
from beamstop_transforms.ledger.sorted_rows import Shelf, SortedRows, write_sorted
from beamstop_transforms.ledger.target import Target
from beamstop_transforms.stores import PARTIAL, Store, open_store
from beamstop_transforms.stores.ahead import ahead

_ROW = np.dtype([("uid", "<u8"), ("run", "<u2")])  # number of the UID, index of the run
_FOLDER, _NAME = "left-open", "uids"
_MOST = 1 << 16  # runs
_CLAIM = re.compile(r"/([0-9a-f]{16})[0-9a-f]{16}\Z")  # other files may lie there: NFS leaves some


def put_left_open(target: Target) -> tuple[int, tuple[str, ...]]:
    """List the claims of dead runs, part by part, in AUDIT/.partial; return their number and the runs.

    Args:
        target: of this run.
    """
    store = open_store(target.workspace)
    runs = _dead_runs(store, target.run_id)[:_MOST]
    parts = sorted({part for run_id in runs for part in store.folders(_claims_of(run_id))})

    def listed(part: str) -> Any:
        """Return the claims of all runs in one part: those whose UIDs' digests begin with its name."""
        rows = [
            (int(claim[1], 16), number)
            for number, run_id in enumerate(runs)
            for claim in map(_CLAIM.search, store.names(f"{_claims_of(run_id)}/{part}"))
            if claim is not None
        ]
        return np.sort(np.array(rows, _ROW), order=("uid", "run"))

    key = _key(target.identity(), target.run_id)
    count, _ = write_sorted(_shelf(target), _NAME, _ROW, ahead(listed, parts), key)
    return count, tuple(runs)


class LeftOpen:
    """The UIDs that dead runs may have written.

    Args:
        target: of this run, with the result of `put_left_open`; without it, that is called now.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._count, self.runs = target.left_open or put_left_open(target)

    def by(self, uid: int) -> Iterator[str]:
        """Yield the runs that may have written the UID with this number.

        Raises:
            SealBrokenError: the list is gone, or was changed.
        """
        for _, row in self._rows.find(uid) if self._count else ():
            yield self.runs[int.from_bytes(row[8:], "little")]

    @cached_property
    def _rows(self) -> SortedRows:
        key = _key(self._target.identity(), self._target.run_id)
        return SortedRows(_shelf(self._target), _NAME, _ROW, self._count, key)


def _shelf(target: Target) -> Shelf:
    return Shelf(target.audit, f"{PARTIAL}/{target.run_id}/{_FOLDER}")


def _key(identity: Identity, run_id: str) -> bytes:
    return identity.digest("left-open", run_id)


def _dead_runs(store: Store, run_id: str) -> list[str]:
    others = (it for it in store.folders(PARTIAL) if it != run_id)
    return [it for it in others if CLAIMS in store.folders(f"{PARTIAL}/{it}")]


def _claims_of(run_id: str) -> str:
    return f"{PARTIAL}/{run_id}/{CLAIMS}"
