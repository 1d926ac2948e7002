"""Placing: a clean file is put in its place once, whatever is retried or comes twice."""

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
    """Puts clean files into OUTPUT by the rules for duplicates and second runs (docs/reasons.md).

    In buckets the file is created first, with its provenance, and a claim made only where something stands
    already; elsewhere a claim is first (docs/placing.md).

    Args:
        target: OUTPUT, AUDIT, key, run.
        digest: returns of a clean file what duplicates are compared by; see `content_digest`.
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
        self._looks_first = False  # where something stood at the last path, it will at the next
        self._ended = (
            Ledger(target.audit, target.identity(), target.recovered) if target.recovered else self._ledger
        )

    def together(self, instances: Iterable[Instance]) -> AbstractContextManager[None]:
        """Place these instances cheaply within; all of them are durable when it ends."""
        return self._store.together([it.encoded.data for it in instances])

    def place(self, instance: Instance) -> Placed:
        """Put one clean file in its place, if nothing else claims its SOP Instance UID.

        It replaces what a run of ours made of the same source, or before it died. If a source with other
        bytes claims the UID in this run, or an earlier run made what stands there of another source, the file
        waits for the end of the run (`resolve`). Where the first wins, it is compared at once.

        Raises:
            Quarantined: `no_sop_instance_uid`, `unsafe_path` or `occupied`.
            Failed: `not_stored`, by an imaging server, or where what stands has to stay.
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
            if len(claim.claimants) > 1:  # somebody may have been here meanwhile
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
            lost = Lost("duplicate", claim.winner)  # until `resolve` says otherwise
            if self._target.first_wins and claim.has_rivals(source_id):
                lost = self._lost_to_the_first(path, data, claim)
        contested = (waits or len(claim.claimants) > 1) and not self._target.first_wins
        return Placed(uid, path, sha256, lost, contested, claim.before[path] == sha256)

    def _create(
        self, uid: str, source_id: str, me: Claimant, data: bytes
    ) -> tuple[Placed | None, Found | None]:
        """Write a file without a claim if nothing stands at its path; else return what does.

        The first is None if it takes a claim to go on.
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
            # Who made it may be alive and take it back: then a claim has to say what this source had.
            return None, found
        return Placed(uid, me.path, me.sha256, lost=None, contested=False, unchanged=not is_mine), found

    def end_bundle(self) -> None:
        """Make sure that the next run looks for what was written without a claim, if this one is over."""
        if self._is_open:
            self._claims.stay_open()

    def _join(self, uid: str, source_id: str, me: Claimant, found: Found | None) -> Claim:
        """Join the claim of a UID, and before that whoever made what stands there, if in this run."""
        made_by = found and self._provenance.maker(me.path, found)
        maker: tuple[str, Claimant] | None = None
        if found is not None and made_by is not None and made_by.run_id == self._run_id:
            maker = made_by.source_id, made_by.claimant(me.path, found.sha256)
        return self._claims.join(uid, source_id, me, self._before(found), maker=maker)

    def _tell_its_run(self, uid: str, path: str, found: Found | None) -> None:
        """Let the maker of an object that is to go join the claim of its own run, which may be alive."""
        if self._target.objects_first and found is not None:
            maker = self._dead_maker(path, found)
            if maker is not None:
                claimant = maker.claimant(path, found.sha256)
                claims = claims_of(self._target, maker.run_id)
                claims.join(uid, maker.source_id, claimant, lambda _: None, unless_known=True)

    def _before(self, found: Found | None) -> Callable[[str], str | None]:
        """Return what says what stood at a path before this run, of what was found there."""

        def before(path: str) -> str | None:
            maker = found and self._provenance.maker(path, found)
            is_of_this_run = maker is not None and maker.run_id == self._run_id
            return None if found is None or is_of_this_run else found.sha256

        return before

    def _line(self, source_id: str, claimant: Claimant) -> str:
        """Return what is kept beside a file of a claimant."""
        if not self._target.objects_first:
            return ""
        maker = Maker(self._run_id, source_id, claimant.source_digest)
        return self._provenance.line(maker, claimant.path, claimant.sha256)

    def _put(
        self, uid: str, source_id: str, me: Claimant, claim: Claim, data: bytes, found: Found | None
    ) -> tuple[Claim, bool]:
        """Write a file if nobody else may win; return the claim as it is then, and whether the file waits."""
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
            found = self._store.find(me.path)  # another worker was here, or a try before: look again
            claim = self._claims.read(uid)
            if source_id not in claim.claimants:
                raise StoreError(CLAIM_CHANGED)
            if self._target.objects_first:
                claim = self._join(uid, source_id, me, found)

    def _look_at(
        self, path: str, found: Found | None, sha256: str, uid: str, claim: Claim, source_id: str
    ) -> Place:
        """Return what is at a path, as one claimant sees it."""
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
            # Its maker may be another source of this run, which has left it as it is.
            return Place.FROM_A_DEAD_RUN if maker.source_id == source_id else Place.FROM_ANOTHER_SOURCE
        if self._claims.made_before(uid, path, found.sha256):
            return Place.FROM_A_DEAD_RUN
        return Place.FOREIGN

    def _dead_maker(self, path: str, found: Found) -> Maker | None:
        """Return who made an object in another run that may not have ended; None if nobody did."""
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
        """Say whether an earlier run put another source's file there, which stays where the first wins."""
        found = self._store.find(path)
        if found is None:
            return False
        place = self._look_at(path, found, sha256, uid, self._claims.read(uid), source_id)
        return place is Place.FROM_ANOTHER_SOURCE

    def _lost_to_the_first(self, path: str, data: bytes, claim: Claim | None = None) -> Lost:
        """Return why a source is not written where another one was first."""
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
        """Finish one contested UID when every source has been seen; may be repeated.

        If all claimants are one instance, the winner's file takes its place. If not, nobody can say which is
        genuine: none is written, and what this run wrote is taken back; what an earlier run wrote stays.

        Args:
            sop_instance_uid: the UID.
            holders: sources that this run skipped and that have it, by source_id; each is a claimant
                if its file stands.
            recovered: those of them whose run broke before it resolved anything: it is as if this run had
                written their files.
            seen: the sources of this run that have a place under the UID; needed only in buckets.

        Returns:
            source_id → why it is not written, of all that are not; holders among them only where a duplicate
            is written in their place, or their run broke.

        Raises:
            StoreError: the claim was changed by somebody else.
        """
        if self._target.first_wins:
            return {}  # each was decided when it was written
        holders = holders or {}
        claim = self._claims.read(sop_instance_uid)
        if self._target.objects_first:
            claim = self._with_makers(sop_instance_uid, claim, seen)
        for source_id, claimant in holders.items():
            # Once joined it stays: when this is repeated its file may have been replaced.
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
        """Let all sources of this run join that needed no claim, as their files stand; return the claim.

        Raises:
            StoreError: what one of them wrote is there no more.
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
        """Say whether all claimants, and what an earlier run made of a source not seen now, are equal."""
        paths = {it.path for it in claim.claimants.values()}
        if len(paths) > 1:
            return False
        return self._are_equal(self._contents(uid, claim, *paths))

    def _earlier(self, claim: Claim) -> set[str]:
        """Return the sources, whether this run saw them or not, of what an earlier run left at the paths."""
        found = {it.path: self._store.find(it.path) for it in claim.claimants.values()}
        sources = (self._ledger.source_of(path, it.sha256) for path, it in found.items() if it is not None)
        return set(filter(None, sources))

    def _contents(self, uid: str, claim: Claim, path: str) -> Iterator[bytes | None]:
        """Yield what has to be one instance, a file at a time; None for what is not there to compare."""
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
                yield None  # somebody else put it there since
        for sha256, source_id in of.items():
            waiting = self._aside.read(_aside(self._run_id, uid, source_id))
            is_whole = waiting is not None and hashlib.sha256(waiting[1]).hexdigest() == sha256
            yield waiting[1] if waiting is not None and is_whole else None

    def _are_equal(self, contents: Iterable[bytes | None]) -> bool:
        """Say whether clean files hold one instance; False where that cannot be told."""
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
        """Remove what this run, or one that died, wrote under a UID, or put back what stood there before.

        Nothing may stand there: a run that died may have left empty folders.
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
    """Return source_ids as the detail of a row: a hundred thousand of one UID must not fill the audit."""
    named = sorted(others)
    more = len(named) - _MOST_NAMED
    return " ".join(named[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _aside(run_id: str, sop_instance_uid: str, whose: str) -> str:
    """Return the name under which a source's file waits, or what stood at a path before this run is kept."""
    name = hashlib.sha256(f"{sop_instance_uid}/{whose}".encode()).hexdigest()[:32]
    return f"{PARTIAL}/{run_id}/aside/{name}"
