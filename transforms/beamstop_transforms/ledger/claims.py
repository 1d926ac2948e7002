"""Claims: which sources of a run share one SOP Instance UID, and which of them is written."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from beamstop.identity import Identity
from beamstop_transforms.paths import is_clean_path
from beamstop_transforms.stores import PARTIAL, Store, StoreError
from beamstop_transforms.stores.ahead import ahead

# Folders in .partial/<run_id>: claims; the run's mark; notes of claims whose files the run took back.
CLAIMS = "claims"
OPEN, TAKEN_BACK = "open", "taken-back"
_MARK, _SWEEP = "run", "sweep"  # files in OPEN
CLAIM_CHANGED = "a claim of this run was changed: nobody else may write to OUTPUT/.partial"


class Claimant(NamedTuple):
    """A source that claims a SOP Instance UID: digest of its bytes; path and SHA-256 of its clean file."""

    source_digest: str
    path: str
    sha256: str


@dataclass
class Claim:
    """All claimants of one SOP Instance UID in one run.

    Attributes:
        claimants: source_id → claimant.
        before: path → SHA-256 of the file that was there before this run; None if there was none.
        earlier: path and SHA-256 of files whose sources changed while the run was going on.
        agreed: whether all claimants turned out to be one instance; None until that is decided.
        first_wins: the first claimant is written, not the one with the lowest digest.
    """

    claimants: dict[str, Claimant] = field(default_factory=dict)
    before: dict[str, str | None] = field(default_factory=dict)
    earlier: list[list[str]] = field(default_factory=list)
    agreed: bool | None = None
    first_wins: bool = False

    @property
    def winner(self) -> str:
        """The source_id that is written: the one with the lowest source_digest, in any order of arrival.

        With `first_wins` it is the first: files cannot be replaced, or no end comes at which all are known.
        """
        if self.first_wins:
            return next(iter(self.claimants))
        return min(self.claimants, key=lambda source_id: (self.claimants[source_id].source_digest, source_id))

    def has_rivals(self, source_id: str) -> bool:
        """Return whether another claimant has other bytes than this one."""
        mine = self.claimants[source_id].source_digest
        return any(it.source_digest != mine for it in self.claimants.values())

    def files(self) -> Iterator[tuple[str, str]]:
        """Yield path and SHA-256 of every file that claimants may have made and that was not there before."""
        made = {(it.path, it.sha256) for it in self.claimants.values()} | {
            (it[0], it[1]) for it in self.earlier
        }
        yield from ((path, sha256) for path, sha256 in sorted(made) if self.before.get(path) != sha256)

    def made(self, path: str, sha256: str) -> bool:
        """Return whether a file with this content at this path is, or was, a claimant's."""
        now = ([it.path, it.sha256] for it in self.claimants.values())
        return [path, sha256] in (*now, *self.earlier)


class Dead(NamedTuple):
    """A claim that a run left behind when it died.

    Attributes:
        name: of the claim in the store.
        claim: what it says.
        mine: this run's claim of the same UID; without claimants if it has none.
    """

    name: str
    claim: Claim
    mine: Claim


class Claims:
    """The claims of one run in a store, under its `.partial`.

    They stay when a run dies, so that the next run knows what the dead one wrote. Each is sealed with its
    name; a claim that this key did not seal counts as empty.

    Args:
        store: where the claims are kept.
        identity: of the run's key.
        run_id: of this run.
        files: where the clean files are, if elsewhere.
        first_wins: see `Claim`.
    """

    def __init__(
        self,
        store: Store,
        identity: Identity,
        run_id: str,
        files: Store | None = None,
        first_wins: bool = False,
    ) -> None:
        self._store = store
        self._identity = identity
        self._run_id = run_id
        self._files = files or store
        self._first_wins = first_wins
        self._open: dict[str, bool] = {}  # run_id of another run → `is_open`

    def join(
        self,
        sop_instance_uid: str,
        source_id: str,
        claimant: Claimant,
        before: Callable[[str], str | None] | None = None,
        unless_known: bool = False,
        maker: tuple[str, Claimant] | None = None,
    ) -> Claim:
        """Add a claimant to a claim; return the claim with it.

        Args:
            sop_instance_uid: the UID that is claimed.
            source_id: of the claimant.
            claimant: the claimant.
            before: returns the SHA-256 of the file that was at a path before this run; if None, the present
                file is looked up.
            unless_known: change nothing if the claim has this source already.
            maker: source_id and claimant of the source that made the file at the path; added first, unless
                the claim has it already.
        """
        name = _name(self._run_id, sop_instance_uid)
        version: object | None = None
        claim = Claim(first_wins=self._first_wins)  # nearly always there is none yet, so nothing is read
        while True:
            if maker is not None and maker[0] not in claim.claimants:
                claim.claimants[maker[0]] = maker[1]
            elif claim.claimants.get(source_id) == claimant or (
                unless_known and source_id in claim.claimants
            ):
                return claim
            if (old := claim.claimants.get(source_id)) not in (None, claimant):
                claim.earlier.append([old.path, old.sha256])
            claim.claimants[source_id] = claimant
            if claimant.path not in claim.before:
                claim.before[claimant.path] = (before or self._standing)(claimant.path)
            if self._store.write(name, self._sealed(name, claim), version, durable=False):
                return claim
            version, claim = self._read(name)

    def _standing(self, path: str) -> str | None:
        found = self._files.find(path)
        return found and found.sha256

    def settle(self, sop_instance_uid: str, agreed: bool) -> None:
        """Record, once and before any file is removed, whether all claimants are one instance."""
        name = _name(self._run_id, sop_instance_uid)
        while True:
            version, claim = self._read(name)
            if not claim.claimants:
                raise StoreError(CLAIM_CHANGED)
            claim.agreed = agreed
            if self._store.write(name, self._sealed(name, claim), version, durable=False):
                return

    def read(self, sop_instance_uid: str) -> Claim:
        """Return the current claim of a UID."""
        return self._read(_name(self._run_id, sop_instance_uid))[1]

    def made_before(self, sop_instance_uid: str, path: str, sha256: str) -> bool:
        """Return whether a run that died left this content at this path."""
        return any(
            self._read(_name(run_id, sop_instance_uid))[1].made(path, sha256) for run_id in self._dead_runs
        )

    def open(self) -> None:
        """Set the mark of this run: from now on it may have written files that no claim names."""
        self._store.write(_mark(self._run_id), b"", None, durable=False)

    def stay_open(self) -> None:
        """Set the mark again if it is gone: the run ended, or was taken for dead, while this worker wrote.

        A sweep removes the mark first and then looks for files; a worker writes the file first and then looks
        for the mark. So one of the two always notices the other.
        """
        if self._store.find(_mark(self._run_id)) is None:
            self.open()

    def is_open(self, run_id: str) -> bool:
        """Return whether another run may have left files without an audit row: it has a mark or claims."""
        if run_id not in self._open:
            self._open[run_id] = not {OPEN, CLAIMS}.isdisjoint(self._store.folders(f"{PARTIAL}/{run_id}"))
        return self._open[run_id]

    def dead_marks(self) -> list[str]:
        """Return the earlier runs that still have a mark, or whose sweep has not ended."""
        others = (it for it in self._store.folders(PARTIAL) if it < self._run_id)
        return [it for it in others if OPEN in self._store.folders(f"{PARTIAL}/{it}")]

    def begin_sweep(self, run_id: str) -> None:
        """Replace the mark of a run that died with a mark for its sweep, which stays until `end_sweep`."""
        self._store.write(_mark(run_id, _SWEEP), b"", None, durable=False)
        self._store.remove(_mark(run_id))

    def end_sweep(self, run_id: str) -> None:
        """Remove the mark of a sweep: all files of the dead run have been checked."""
        self._store.remove(_mark(run_id, _SWEEP))

    def note_taken_back(self, sop_instance_uid: str) -> None:
        """Note that files of a claim are being removed; the end of the run looks for them once more."""
        name = f"{PARTIAL}/{self._run_id}/{TAKEN_BACK}/{_part_and_leaf(sop_instance_uid)}"
        self._store.write(name, b"", None, durable=False)

    def taken_back(self, part: str) -> Iterator[tuple[str, Claim]]:
        """Yield one part of the notes about files that were taken back: their names and current claims."""
        for name in list(self._store.names(f"{PARTIAL}/{self._run_id}/{TAKEN_BACK}/{part}")):
            yield name, self._read(f"{_folder(self._run_id, part)}/{_leaf(name)}")[1]

    def tidy(self) -> list[str]:
        """Empty `.partial` except for claims and marks; return the parts that have claims.

        This run's own mark is removed, too: from now on it writes nothing without a claim.
        """
        for run_id in self._store.folders(PARTIAL):
            stays = {CLAIMS, TAKEN_BACK} if run_id == self._run_id else {CLAIMS, OPEN}
            kept = self._store.folders(f"{PARTIAL}/{run_id}")
            gone = (
                [run_id] if stays.isdisjoint(kept) else [f"{run_id}/{it}" for it in kept if it not in stays]
            )
            for folder in gone:
                self._store.clear(f"{PARTIAL}/{folder}")
        runs = (self._run_id, *self._dead_runs)
        return sorted({part for run_id in runs for part in self._store.folders(_folder(run_id))})

    def of_the_dead(self, part: str) -> Iterator[Dead]:
        """Yield one part of the claims of earlier runs that died. The caller may `forget` each one."""
        runs = [it for it in self._dead_runs if it < self._run_id]
        mine = set(self._store.names(_folder(self._run_id, part))) if runs else set[str]()

        def read(name: str) -> Dead:
            of_mine = f"{_folder(self._run_id, part)}/{_leaf(name)}"
            own = self._read(of_mine)[1] if of_mine in mine else Claim(first_wins=self._first_wins)
            return Dead(name, self._read(name)[1], own)

        for run_id in runs:
            yield from ahead(read, list(self._store.names(_folder(run_id, part))))

    def forget(self, name: str) -> None:
        """Remove a claim of a run that died, or a note."""
        self._store.remove(name)

    def release(self, part: str) -> None:
        """Remove one part of this run's claims."""
        self._store.clear(_folder(self._run_id, part))

    @cached_property
    def _dead_runs(self) -> list[str]:
        others = (it for it in self._store.folders(PARTIAL) if it != self._run_id)
        return [it for it in others if CLAIMS in self._store.folders(f"{PARTIAL}/{it}")]

    def _read(self, name: str) -> tuple[object | None, Claim]:
        found = self._store.read(name)
        if found is None or not found[1]:  # a power failure may leave an empty file
            return found and found[0], Claim(first_wins=self._first_wins)
        return found[0], self._parsed(name, found[1])

    def _sealed(self, name: str, claim: Claim) -> bytes:
        kept = {
            "claimants": claim.claimants,
            "before": claim.before,
            "earlier": claim.earlier,
            "agreed": claim.agreed,
        }
        return json.dumps({**kept, "mac": self._mac(name, kept)}).encode()

    def _mac(self, name: str, kept: dict[str, Any]) -> str:
        return self._identity.digest("claim", name, json.dumps(kept)).hex()

    def _parsed(self, name: str, data: bytes) -> Claim:
        """Return a claim; an empty one if this key did not seal it, or a path in it is no clean file's."""
        try:
            document = json.loads(data)
            if document.pop("mac") != self._mac(name, document):
                return Claim(first_wins=self._first_wins)
            claimants = {source_id: Claimant(*it) for source_id, it in document["claimants"].items()}
            before = dict(document["before"])
            earlier = [[*map(str, it)] for it in document["earlier"]]
            paths = {*before, *(it.path for it in claimants.values()), *(path for path, _ in earlier)}
            if all(map(is_clean_path, paths)):
                return Claim(claimants, before, earlier, document["agreed"], self._first_wins)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            pass
        return Claim(first_wins=self._first_wins)


def uid_key(sop_instance_uid: str) -> bytes:
    """Return 16 bytes that stand for a SOP Instance UID."""
    return hashlib.sha256(sop_instance_uid.encode()).digest()[:16]


def _leaf(name: str) -> str:
    return name.rpartition("/")[2]


def _name(run_id: str, sop_instance_uid: str) -> str:
    return f"{_folder(run_id)}/{_part_and_leaf(sop_instance_uid)}"


def _part_and_leaf(sop_instance_uid: str) -> str:
    digest = uid_key(sop_instance_uid).hex()
    return f"{digest[:2]}/{digest}"


def _mark(run_id: str, name: str = _MARK) -> str:
    return f"{PARTIAL}/{run_id}/{OPEN}/{name}"


def _folder(run_id: str, part: str = "") -> str:
    return f"{PARTIAL}/{run_id}/{CLAIMS}" + (f"/{part}" if part else "")
