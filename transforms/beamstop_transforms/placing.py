"""Placing: a clean file is put in its place once, whatever is retried or comes twice."""

import hashlib
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from enum import Enum

from beamstop.dicom.elements import text_of
from beamstop.errors import Quarantined
from beamstop_transforms.instance import Instance, Placed
from beamstop_transforms.ledger.claims import Claim, Claimant
from beamstop_transforms.ledger.target import Target, open_claims
from beamstop_transforms.ledger.writers import Ledger
from beamstop_transforms.paths import INSTANCE, clean_path
from beamstop_transforms.stores import PARTIAL, open_store
from beamstop_transforms.stores.base import Found


class Place(Enum):
    """What is at the path of a clean file, as its source sees it."""

    FREE = "nothing is there"
    SAME_FILE = "the very file is there already"
    FROM_THIS_RUN = "a source that claims the same UID in this run made it"
    FROM_THIS_SOURCE = "an earlier run made it of this source"
    FROM_A_DEAD_RUN = "a run that died made it"
    FROM_ANOTHER_SOURCE = "an earlier run made it of another source, which may still win in this run"
    FOREIGN = "no run of ours made it"

    @property
    def may_be_replaced(self) -> bool:
        """Whether the source that wins the UID may put its file there at once."""
        return self in _REPLACEABLE


_REPLACEABLE = frozenset({Place.FREE, Place.FROM_THIS_RUN, Place.FROM_THIS_SOURCE, Place.FROM_A_DEAD_RUN})


class Placing:
    """Puts clean files into OUTPUT by the rules for duplicates and second runs (docs/outputs.md)."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._run_id = target.run_id
        self._store = open_store(target.output)
        self._aside = open_store(target.workspace)
        self._claims = open_claims(target)
        self._ledger = Ledger(target.audit)

    def together(self, instances: Iterable[Instance]) -> AbstractContextManager[None]:
        """Place these instances cheaply within; all of them are durable when it ends."""
        return self._store.together([it.encoded.data for it in instances])

    def place(self, instance: Instance) -> Placed:
        """Put one clean file in its place, if its source is the one that is written.

        Of several sources of this run with one SOP Instance UID the one with the lowest digest is written.
        Its file replaces what a run of ours made of another claimant, of the same source, or before it died.
        What an earlier run made of another source waits for the end of this run (`resolve`).

        Raises:
            Quarantined: `no_sop_instance_uid`, `unsafe_path` or `occupied`.
            Failed: `not_stored`, by an imaging server.
        """
        path, data = clean_path(instance.dataset, self._target.output), instance.encoded.data
        uid, sha256 = text_of(instance.dataset, INSTANCE), hashlib.sha256(data).hexdigest()
        if self._target.first_wins and self._is_taken(uid, path, sha256, instance.source_id):
            return Placed(uid, path, sha256, "duplicate_conflict", contested=False, unchanged=False)
        me = Claimant(instance.source_digest or "", path, sha256)
        claim = self._claims.join(uid, instance.source_id, me)
        is_alone = len(claim.claimants) == 1 and not claim.earlier and claim.before[path] is None
        place = Place.FREE
        while claim.winner == instance.source_id:
            found = None if is_alone else self._store.find(path)
            place = self._look_at(path, found, sha256, uid, claim, instance.source_id)
            if place is Place.FOREIGN:
                raise Quarantined("occupied")
            if place is Place.FROM_ANOTHER_SOURCE:
                self._put_aside(uid, instance.source_id, data)
            if not place.may_be_replaced or self._store.write(path, data, found and found.version):
                break
            is_alone = False
            claim = self._claims.read(uid)  # another worker was here, or a try before: look again
        lost = claim.losers().get(instance.source_id)
        is_contested = place is Place.FROM_ANOTHER_SOURCE or len(claim.claimants) > 1
        contested = is_contested and not self._target.first_wins
        return Placed(uid, path, sha256, lost, contested, claim.before[path] == sha256)

    def _look_at(
        self, path: str, found: Found | None, sha256: str, uid: str, claim: Claim, source_id: str
    ) -> Place:
        """Return what is at a path, as the winner of a claim sees it."""
        if found is None:
            return Place.FREE
        if found.sha256 == sha256:
            return Place.SAME_FILE
        if claim.made(path, found.sha256):
            return Place.FROM_THIS_RUN
        if self._ledger.is_writer(source_id, path, found.sha256):
            return Place.FROM_THIS_SOURCE
        if self._ledger.wrote(path, found.sha256):
            return Place.FROM_ANOTHER_SOURCE
        if self._claims.made_before(uid, path, found.sha256):
            return Place.FROM_A_DEAD_RUN
        return Place.FOREIGN

    def _is_taken(self, uid: str, path: str, sha256: str, source_id: str) -> bool:
        """Say whether an earlier run put another source's file there, which stays where the first wins."""
        found = self._store.find(path)
        if found is None:
            return False
        place = self._look_at(path, found, sha256, uid, self._claims.read(uid), source_id)
        return place is Place.FROM_ANOTHER_SOURCE

    def _put_aside(self, uid: str, source_id: str, data: bytes) -> None:
        name = aside(self._run_id, uid, source_id)
        found = self._aside.find(name)
        self._aside.write(name, data, found and found.version)

    def resolve(self, sop_instance_uid: str, holders: Mapping[str, Claimant] | None = None) -> dict[str, str]:
        """Finish one contested UID when every source has been seen; may be repeated.

        The winner's file takes its place if it was put aside; files of losers at other paths are removed, if
        this run made them or the ledger says that they are the losers'.

        Args:
            sop_instance_uid: the UID.
            holders: sources that this run skipped and that have it, by source_id; each is a claimant
                if its file stands.

        Returns:
            source_id → reason of the losers.
        """
        if self._target.first_wins:
            return {}  # each was decided when it was written
        claim = self._claims.read(sop_instance_uid)
        for source_id, claimant in (holders or {}).items():
            # Once joined it stays: when this is repeated its file may have been replaced.
            if source_id not in claim.claimants and self._stands(claimant):
                claim = self._claims.join(sop_instance_uid, source_id, claimant)
        winner = claim.claimants[claim.winner]
        waiting = self._aside.read(aside(self._run_id, sop_instance_uid, claim.winner))
        if waiting is not None:
            found = self._store.find(winner.path)
            if found is None or found.sha256 != winner.sha256:
                self._store.write(winner.path, waiting[1], found and found.version)
        for loser in claim.losers():
            lost = claim.claimants[loser]
            if lost.path != winner.path and self._may_be_removed(sop_instance_uid, claim, loser):
                self._store.remove(lost.path)
        return claim.losers()

    def _may_be_removed(self, sop_instance_uid: str, claim: Claim, source_id: str) -> bool:
        """Say whether what stands at a loser's path is its own and was made by a run of ours.

        True also where nothing stands: a run that died may have left empty folders.
        """
        mine = claim.claimants[source_id]
        found = self._store.find(mine.path)
        return found is None or (
            found.sha256 == mine.sha256
            and (
                claim.before[mine.path] is None
                or self._ledger.is_writer(source_id, mine.path, mine.sha256)
                or self._claims.made_before(sop_instance_uid, mine.path, mine.sha256)
            )
        )

    def _stands(self, claimant: Claimant) -> bool:
        found = self._store.find(claimant.path)
        return found is not None and found.sha256 == claimant.sha256


def aside(run_id: str, sop_instance_uid: str, source_id: str) -> str:
    """Return the name under which a file waits to replace what another source wrote."""
    name = hashlib.sha256(f"{sop_instance_uid}/{source_id}".encode()).hexdigest()[:32]
    return f"{PARTIAL}/{run_id}/aside/{name}"
