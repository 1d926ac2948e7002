"""Placing: write a clean file to its path once, even if work is retried or a source comes twice."""

import hashlib
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from enum import Enum
from threading import Lock

from beamstop.dicom.elements import MALFORMED, text_of
from beamstop.errors import Failed, PixelError, Quarantined, Refusal
from beamstop.pixels.content import content_digest
from beamstop_transforms.instance import Instance, Lost, Placed, Seen, beginning_of
from beamstop_transforms.ledger.claims import CLAIM_CHANGED, Claim, Claimant
from beamstop_transforms.ledger.provenance import Maker, Provenance
from beamstop_transforms.ledger.target import Target, claims_of, open_claims
from beamstop_transforms.ledger.writers import Ledger
from beamstop_transforms.paths import INSTANCE, clean_path
from beamstop_transforms.stores import PARTIAL, StoreError, open_store
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
_OBJECT_CHANGED = "what this run wrote was changed: nobody else may write to OUTPUT while it runs"
_MOST_NAMED = 16  # other sources in the detail of one row
_WAITS = 20  # times half a second, for the first of two that come at once to be written


class Placing:
    """Writes clean files to OUTPUT by the rules for duplicates and second runs (docs/reasons.md).

    In buckets the file is created first, with its provenance, and a claim is made only if there is a file
    already; elsewhere the claim is made first (docs/placing.md).

    Args:
        target: OUTPUT, AUDIT, key, run.
        digest: returns the digest of a clean file by which duplicates are compared; see `content_digest`.
    """

    def __init__(self, target: Target, digest: Callable[[bytes], str] = content_digest) -> None:
        self._target = target
        self._run_id = target.run_id
        self._digest = digest
        self._store = open_store(target.output)
        self._aside = open_store(target.workspace)
        self._claims = open_claims(target)
        self._ledger = Ledger(target.audit, target.identity())
        self._provenance = Provenance(target.identity())
        self._is_open, self._opening = False, Lock()
        self._looks_first = False  # if there was a file at the last path, there is probably one at the next
        self._ended = (
            Ledger(target.audit, target.identity(), target.recovered) if target.recovered else self._ledger
        )

    def together(self, instances: Iterable[Instance]) -> AbstractContextManager[None]:
        """Make it cheap to place these instances inside the `with` block; all are durable when it ends."""
        return self._store.together([it.encoded.data for it in instances])

    def place(self, instance: Instance) -> Placed:
        """Write one clean file to its path, unless another source claims its SOP Instance UID.

        It replaces a file that an earlier run made from the same source, or that a run left when it died. If
        a source with other bytes claims the UID in this run, or an earlier run made the file there from
        another source, the new file waits for the end of the run (`resolve`). With `first_wins`, it is
        compared at once.

        Raises:
            Quarantined: `no_sop_instance_uid`, `unsafe_path` or `occupied`.
            Failed: `not_stored`: by an imaging server, or because the file there cannot be removed.
        """
        path, data = clean_path(instance.dataset, self._target.output), instance.encoded.data
        source_id = instance.source_id
        uid, sha256 = text_of(instance.dataset, INSTANCE), hashlib.sha256(data).hexdigest()
        if self._target.first_wins and self._is_taken(uid, path, sha256, source_id):
            first = self._lost_to_the_first(path, data)
            return Placed(uid, path, sha256, first, contested=False, unchanged=False)
        me = Claimant(instance.source_digest or "", path, sha256)
        if self._target.objects_first:
            placed, found = self._create(uid, source_id, me, data)
            if placed is not None:
                return placed
            claim = self._join(uid, source_id, me, found)
            if len(claim.claimants) > 1:  # another worker may have changed the file meanwhile
                found = self._store.find(path)
        else:
            claim = self._claims.join(uid, source_id, me)
            is_alone = len(claim.claimants) == 1 and not claim.earlier and claim.before[path] is None
            found = None if is_alone else self._store.find(path)
        waits = False
        if claim.winner == source_id or not self._target.first_wins:
            claim, waits = self._put(uid, source_id, me, claim, data, found)
        lost: Lost | None = None
        if claim.winner != source_id:
            lost = Lost("duplicate", claim.winner)  # `resolve` may change this
            if self._target.first_wins and claim.has_rivals(source_id):
                lost = self._lost_to_the_first(path, data, claim)
        contested = (waits or len(claim.claimants) > 1) and not self._target.first_wins
        return Placed(uid, path, sha256, lost, contested, claim.before[path] == sha256)

    def _create(
        self, uid: str, source_id: str, me: Claimant, data: bytes
    ) -> tuple[Placed | None, Found | None]:
        """Write a file without a claim if its path is free; return the result, and the file found there.

        The result is None if a claim is needed.
        """
        with self._opening:
            if not self._is_open:
                self._claims.open()
                self._is_open, self._looks_first = True, self._ledger.has_runs()
        maker = Maker(self._run_id, source_id, me.source_digest)
        found = self._store.find(me.path) if self._looks_first else None
        if found is None and self._store.write(
            me.path, data, None, about=self._provenance.line(maker, me.path, me.sha256)
        ):
            self._looks_first = False
            return Placed(uid, me.path, me.sha256, lost=None, contested=False, unchanged=False), None
        self._looks_first = True
        found = found or self._store.find(me.path)
        made_by = found and self._provenance.maker(me.path, found)
        if found is None or made_by is None or (made_by.source_id, found.sha256) != (source_id, me.sha256):
            return None, found
        is_mine = made_by.run_id == self._run_id
        if not is_mine and self._claims.is_open(made_by.run_id):
            # The run that made it may be alive and take it back, so this source needs a claim.
            return None, found
        return Placed(uid, me.path, me.sha256, lost=None, contested=False, unchanged=not is_mine), found

    def end_bundle(self) -> None:
        """Make sure that the next run looks for files written without a claim, even if this run has ended."""
        if self._is_open:
            self._claims.stay_open()

    def _join(self, uid: str, source_id: str, me: Claimant, found: Found | None) -> Claim:
        """Join the claim of a UID; if a source of this run made the file there, that source joins first."""
        made_by = found and self._provenance.maker(me.path, found)
        maker: tuple[str, Claimant] | None = None
        if found is not None and made_by is not None and made_by.run_id == self._run_id:
            maker = made_by.source_id, made_by.claimant(me.path, found.sha256)
        return self._claims.join(uid, source_id, me, self._before(found), maker=maker)

    def _tell_its_run(self, uid: str, path: str, found: Found | None) -> None:
        """Before an object is replaced, let its maker join the claim of its own run, which may be alive."""
        if self._target.objects_first and found is not None:
            maker = self._dead_maker(path, found)
            if maker is not None:
                claimant = maker.claimant(path, found.sha256)
                claims = claims_of(self._target, maker.run_id)
                claims.join(uid, maker.source_id, claimant, lambda _: None, unless_known=True)

    def _before(self, found: Found | None) -> Callable[[str], str | None]:
        """Return a function that gives the SHA-256 of the file at a path before this run."""

        def before(path: str) -> str | None:
            maker = found and self._provenance.maker(path, found)
            is_of_this_run = maker is not None and maker.run_id == self._run_id
            return None if found is None or is_of_this_run else found.sha256

        return before

    def _line(self, source_id: str, claimant: Claimant) -> str:
        """Return the line of provenance for a claimant's file; empty unless it is written to a bucket."""
        if not self._target.objects_first:
            return ""
        maker = Maker(self._run_id, source_id, claimant.source_digest)
        return self._provenance.line(maker, claimant.path, claimant.sha256)

    def _put(
        self, uid: str, source_id: str, me: Claimant, claim: Claim, data: bytes, found: Found | None
    ) -> tuple[Claim, bool]:
        """Write a file unless another source may win; return the present claim, and whether it waits."""
        while True:
            place = self._look_at(me.path, found, me.sha256, uid, claim, source_id)
            if place is Place.FOREIGN:
                raise Quarantined("occupied")
            if not self._target.first_wins:
                if place is Place.FROM_ANOTHER_SOURCE or claim.has_rivals(source_id):
                    if place is not Place.SAME_FILE:
                        self._put_aside(uid, source_id, data)
                    return claim, True
                if place is Place.FROM_THIS_SOURCE:
                    self._aside.keep(me.path, _aside(self._run_id, uid, me.path))
            if claim.winner != source_id or not place.may_be_replaced:
                return claim, False
            if found is not None and self._target.keeps:
                raise Failed("not_stored", "kept")
            self._tell_its_run(uid, me.path, found)
            line = self._line(source_id, me)
            if self._store.write(me.path, data, found and found.version, about=line):
                return claim, False
            found = self._store.find(me.path)  # another worker, or an earlier try, wrote here meanwhile
            claim = self._claims.read(uid)
            if source_id not in claim.claimants:
                raise StoreError(CLAIM_CHANGED)
            if self._target.objects_first:
                claim = self._join(uid, source_id, me, found)

    def _look_at(
        self, path: str, found: Found | None, sha256: str, uid: str, claim: Claim, source_id: str
    ) -> Place:
        """Return what is at a path, from the view of one claimant."""
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
        if (maker := self._dead_maker(path, found)) is not None:
            # Its maker may be another source of this run, which found the file unchanged and left it.
            return Place.FROM_A_DEAD_RUN if maker.source_id == source_id else Place.FROM_ANOTHER_SOURCE
        if self._claims.made_before(uid, path, found.sha256):
            return Place.FROM_A_DEAD_RUN
        return Place.FOREIGN

    def _dead_maker(self, path: str, found: Found) -> Maker | None:
        """Return the maker of an object if it is of another run that may not have ended; otherwise None."""
        maker = self._provenance.maker(path, found)
        if maker is None or maker.run_id == self._run_id:
            return None
        is_open = maker.run_id in self._target.recovered or self._claims.is_open(maker.run_id)
        return maker if is_open else None

    def _made_before(self, uid: str, path: str, sha256: str) -> bool:
        """Return whether a run that died left this content at this path."""
        found = self._store.find(path) if self._target.objects_first else None
        if found is not None and found.sha256 == sha256 and self._dead_maker(path, found) is not None:
            return True
        return self._claims.made_before(uid, path, sha256)

    def _is_taken(self, uid: str, path: str, sha256: str, source_id: str) -> bool:
        """Return whether an earlier run wrote another source's file there, which then stays."""
        found = self._store.find(path)
        if found is None:
            return False
        place = self._look_at(path, found, sha256, uid, self._claims.read(uid), source_id)
        return place is Place.FROM_ANOTHER_SOURCE

    def _lost_to_the_first(self, path: str, data: bytes, claim: Claim | None = None) -> Lost:
        """Return why a source is not written: another one was first, with the same or other content."""
        first = claim.claimants[claim.winner].path if claim is not None else path
        found = self._store.read(first)
        for _ in range(_WAITS if found is None else 0):
            time.sleep(0.5)
            found = self._store.read(first)
            if found is not None:
                break
        is_equal = first == path and found is not None and self._are_equal([data, found[1]])
        return Lost("duplicate" if is_equal else "duplicate_conflict", claim.winner if claim else "")

    def _put_aside(self, uid: str, source_id: str, data: bytes) -> None:
        name = _aside(self._run_id, uid, source_id)
        found = self._aside.find(name)
        self._aside.write(name, data, found and found.version)

    def resolve(
        self,
        sop_instance_uid: str,
        holders: Mapping[str, Claimant] | None = None,
        recovered: Collection[str] = (),
        seen: Collection[Seen] = (),
    ) -> dict[str, Lost]:
        """Decide one contested UID when all sources have been read; may be repeated.

        If all claimants are the same instance, the winner's file is written. If not, nobody can say which one
        is
        genuine: none is written, and this run's files are removed again; files of earlier runs stay.

        Args:
            sop_instance_uid: the UID.
            holders: skipped sources that have the UID, by source_id; each is a claimant if its file is
                there.
            recovered: the holders whose run broke before it resolved duplicates: their files count as
                written by this run.
            seen: the sources of this run that have a clean file with the UID; needed only in buckets.

        Returns:
            source_id → why it is not written. Holders are among these only if a duplicate is written instead
            of them, or their run broke.

        Raises:
            StoreError: somebody else changed the claim.
        """
        if self._target.first_wins:
            return {}  # decided when each was written
        holders = holders or {}
        claim = self._claims.read(sop_instance_uid)
        if self._target.objects_first:
            claim = self._with_makers(sop_instance_uid, claim, seen)
        for source_id, claimant in holders.items():
            # A claimant stays one: when this is repeated, its file may have been replaced already.
            if source_id not in claim.claimants and self._stands(claimant):
                claim = self._claims.join(sop_instance_uid, source_id, claimant)
        if not claim.claimants:
            raise StoreError(CLAIM_CHANGED)
        if claim.agreed is None:
            claim.agreed = self._is_one_instance(sop_instance_uid, claim)
            self._claims.settle(sop_instance_uid, claim.agreed)
        if not claim.agreed and self._target.objects_first:
            self._claims.note_taken_back(sop_instance_uid)
        if claim.agreed:
            self._put_winner(sop_instance_uid, claim)
            return {it: Lost("duplicate", claim.winner) for it in claim.claimants if it != claim.winner}
        self._take_back(sop_instance_uid, claim)
        every = claim.claimants.keys() | self._earlier(claim)
        mine = claim.claimants.keys() - (holders.keys() - set(recovered))
        return {it: Lost("duplicate_conflict", _named(every - {it})) for it in mine}

    def _with_makers(self, uid: str, claim: Claim, seen: Collection[Seen]) -> Claim:
        """Let all sources of this run that needed no claim join, with their files; return the claim.

        Raises:
            StoreError: the file of one of them is gone.
        """
        for path in sorted({it.path for it in seen}):
            found = self._store.find(path)
            maker = found and self._provenance.maker(path, found)
            sources = {it.source for it in seen if it.path == path}
            if found is not None and maker is not None and beginning_of(maker.source_id) in sources:
                claimant, before = maker.claimant(path, found.sha256), self._before(found)
                claim = self._claims.join(uid, maker.source_id, claimant, before, unless_known=True)
        if not {it.source for it in seen} <= set(map(beginning_of, claim.claimants)):
            raise StoreError(_OBJECT_CHANGED)
        return claim

    def _is_one_instance(self, uid: str, claim: Claim) -> bool:
        """Return whether all claimants, and a file that an earlier run left there, are equal."""
        paths = {it.path for it in claim.claimants.values()}
        if len(paths) > 1:
            return False
        return self._are_equal(self._contents(uid, claim, *paths))

    def _earlier(self, claim: Claim) -> set[str]:
        """Return the sources of the files that an earlier run left at the paths."""
        found = {it.path: self._store.find(it.path) for it in claim.claimants.values()}
        sources = (self._ledger.source_of(path, it.sha256) for path, it in found.items() if it is not None)
        return set(filter(None, sources))

    def _contents(self, uid: str, claim: Claim, path: str) -> Iterator[bytes | None]:
        """Yield the files that must be one instance, one at a time; None for a file that is not there."""
        of = {it.sha256: source_id for source_id, it in claim.claimants.items()}
        standing = self._store.read(path)
        if standing is not None:
            sha256 = hashlib.sha256(standing[1]).hexdigest()
            is_former = claim.made(path, sha256) or any(
                self._ledger.is_writer(it, path, sha256) for it in claim.claimants
            )
            if of.pop(sha256, None) or (not is_former and self._ledger.wrote(path, sha256)):
                yield standing[1]
            elif not is_former and not self._made_before(uid, path, sha256):
                yield None  # somebody else has replaced it since
        for sha256, source_id in of.items():
            waiting = self._aside.read(_aside(self._run_id, uid, source_id))
            is_whole = waiting is not None and hashlib.sha256(waiting[1]).hexdigest() == sha256
            yield waiting[1] if waiting is not None and is_whole else None

    def _are_equal(self, contents: Iterable[bytes | None]) -> bool:
        """Return whether clean files are the same instance; False if that cannot be told."""
        first: tuple[bytes, str | None] | None = None
        for content in contents:
            if content is None:
                return False
            if first is None:
                first = content, None
            elif content != first[0]:
                try:
                    first = first[0], first[1] or self._digest(first[0])
                    if self._digest(content) != first[1]:
                        return False
                except (Refusal, PixelError, *MALFORMED):
                    return False
        return True

    def _put_winner(self, uid: str, claim: Claim) -> None:
        winner = claim.claimants[claim.winner]
        waiting = self._aside.read(_aside(self._run_id, uid, claim.winner))
        if waiting is not None and hashlib.sha256(waiting[1]).hexdigest() == winner.sha256:
            found = self._store.find(winner.path)
            if found is None or found.sha256 != winner.sha256:
                self._tell_its_run(uid, winner.path, found)
                line = self._line(claim.winner, winner)
                self._store.write(winner.path, waiting[1], found and found.version, about=line)

    def _take_back(self, uid: str, claim: Claim) -> None:
        """Remove the files that this run, or a dead one, wrote under a UID, or restore the files before them.

        There may be no file: a run that died may have left empty folders.
        """
        made = dict[str, set[str]]()
        for path, sha256 in claim.files():
            made.setdefault(path, set()).add(sha256)
        for it in claim.claimants.values():
            if not self._ended.wrote(it.path, it.sha256) and self._made_before(uid, it.path, it.sha256):
                made.setdefault(it.path, set()).add(it.sha256)
        for path, sha256s in made.items():
            found, kept = self._store.find(path), self._aside.read(_aside(self._run_id, uid, path))
            if found is not None and found.sha256 not in sha256s:
                continue
            self._tell_its_run(uid, path, found)
            if kept is not None and hashlib.sha256(kept[1]).hexdigest() == claim.before.get(path):
                copy = self._aside.find(_aside(self._run_id, uid, path))
                line = copy.about if copy is not None else ""
                self._store.write(path, kept[1], found and found.version, about=line)
            else:
                self._store.remove(path)

    def _stands(self, claimant: Claimant) -> bool:
        found = self._store.find(claimant.path)
        return found is not None and found.sha256 == claimant.sha256


def _named(others: Iterable[str]) -> str:
    """Return source_ids as the detail of a row, shortened: one UID may have a hundred thousand sources."""
    named = sorted(others)
    more = len(named) - _MOST_NAMED
    return " ".join(named[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _aside(run_id: str, sop_instance_uid: str, whose: str) -> str:
    """Return the name of a waiting file, or of the copy of what a path had before this run."""
    name = hashlib.sha256(f"{sop_instance_uid}/{whose}".encode()).hexdigest()[:32]
    return f"{PARTIAL}/{run_id}/aside/{name}"
