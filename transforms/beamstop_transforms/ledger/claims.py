"""Claims: which sources of a run share one SOP Instance UID, and which of them is written."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from beamstop.identity import Identity
from beamstop_transforms.paths import is_clean_path
from beamstop_transforms.stores import PARTIAL, Store, StoreError

CLAIMS = "claims"  # the folder of them, in that of their run in `.partial`
CLAIM_CHANGED = "a claim of this run was changed: nobody else may write to OUTPUT/.partial"


class Claimant(NamedTuple):
    """A source that came out under a SOP Instance UID: digest of its bytes, path and SHA-256 of its file."""

    source_digest: str
    path: str
    sha256: str


@dataclass
class Claim:
    """All claimants of one SOP Instance UID in one run.

    Attributes:
        claimants: source_id → claimant.
        before: path → SHA-256 of what stood there before this run, None for nothing.
        earlier: path and SHA-256 of what claimants had before they changed, in a run that goes on for long.
        agreed: whether all claimants turned out to be one instance; None until that is decided.
        first_wins: the first claimant is written.
    """

    claimants: dict[str, Claimant] = field(default_factory=dict)
    before: dict[str, str | None] = field(default_factory=dict)
    earlier: list[list[str]] = field(default_factory=list)
    agreed: bool | None = None
    first_wins: bool = False

    @property
    def winner(self) -> str:
        """The source_id that is written: lowest digest of its bytes, whatever the order of arrival.

        Where a file cannot be replaced, or nobody knows when all have been seen: the first.
        """
        if self.first_wins:
            return next(iter(self.claimants))
        return min(self.claimants, key=lambda source_id: (self.claimants[source_id].source_digest, source_id))

    def has_rivals(self, source_id: str) -> bool:
        """Say whether another claimant's bytes are not those of this one."""
        mine = self.claimants[source_id].source_digest
        return any(it.source_digest != mine for it in self.claimants.values())

    def files(self) -> Iterator[tuple[str, str]]:
        """Yield path and SHA-256 of every file that claimants made, or may have, and that was not there."""
        made = {(it.path, it.sha256) for it in self.claimants.values()} | {
            (it[0], it[1]) for it in self.earlier
        }
        yield from ((path, sha256) for path, sha256 in sorted(made) if self.before.get(path) != sha256)

    def made(self, path: str, sha256: str) -> bool:
        """Say whether a claimant's file with this content belongs, or belonged, at this path."""
        now = ([it.path, it.sha256] for it in self.claimants.values())
        return [path, sha256] in (*now, *self.earlier)


class Dead(NamedTuple):
    """A claim of a run that died.

    Attributes:
        name: of the claim in the store.
        claim: itself.
        mine: what this run claims of the same UID; without claimants if nothing.
    """

    name: str
    claim: Claim
    mine: Claim


class Claims:
    """The claims of one run in a store, under its `.partial`.

    They outlive a run that died, so that the next one knows what that one wrote. Each is sealed under its
    name: one that this key did not seal says nothing.

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

    def join(self, sop_instance_uid: str, source_id: str, claimant: Claimant) -> Claim:
        """Add a claimant to a claim; return the claim as it stands then."""
        name = _name(self._run_id, sop_instance_uid)
        version: object | None = None
        claim = Claim(first_wins=self._first_wins)  # mostly nobody was here before
        while True:
            if claim.claimants.get(source_id) == claimant:
                return claim
            if (old := claim.claimants.get(source_id)) is not None:
                claim.earlier.append([old.path, old.sha256])
            claim.claimants[source_id] = claimant
            if claimant.path not in claim.before:
                found = self._files.find(claimant.path)
                claim.before[claimant.path] = found.sha256 if found else None
            if self._store.write(name, self._sealed(name, claim), version, durable=False):
                return claim
            version, claim = self._read(name)

    def settle(self, sop_instance_uid: str, agreed: bool) -> None:
        """Note whether all claimants are one instance, before anything is done about it: that is once."""
        name = _name(self._run_id, sop_instance_uid)
        while True:
            version, claim = self._read(name)
            if not claim.claimants:
                raise StoreError(CLAIM_CHANGED)
            claim.agreed = agreed
            if self._store.write(name, self._sealed(name, claim), version, durable=False):
                return

    def read(self, sop_instance_uid: str) -> Claim:
        """Return a claim as it stands now."""
        return self._read(_name(self._run_id, sop_instance_uid))[1]

    def made_before(self, sop_instance_uid: str, path: str, sha256: str) -> bool:
        """Say whether a run that died left this content at this path."""
        return any(
            self._read(_name(run_id, sop_instance_uid))[1].made(path, sha256) for run_id in self._dead_runs
        )

    def left_open(self) -> dict[str, frozenset[bytes]]:
        """Return by run that died the `uid_key` of every SOP Instance UID that it may have written."""
        return {
            run_id: frozenset(bytes.fromhex(_leaf(it)) for it in self._store.names(_folder(run_id)))
            for run_id in self._dead_runs
        }

    def tidy(self) -> list[str]:
        """Empty `.partial` but for claims; return the parts in which there are any to be released."""
        for run_id in self._store.folders(PARTIAL):
            kept = self._store.folders(f"{PARTIAL}/{run_id}")
            gone = [f"{run_id}/{it}" for it in kept if it != CLAIMS] if CLAIMS in kept else [run_id]
            for folder in gone:
                self._store.clear(f"{PARTIAL}/{folder}")
        runs = (self._run_id, *self._dead_runs)
        return sorted({part for run_id in runs for part in self._store.folders(_folder(run_id))})

    def of_the_dead(self, part: str) -> Iterator[Dead]:
        """Yield one part of the claims of runs that began before this one and died; they may be forgotten."""
        for run_id in self._dead_runs:
            for name in list(self._store.names(_folder(run_id, part))) if run_id < self._run_id else ():
                mine = f"{_folder(self._run_id, part)}/{_leaf(name)}"
                yield Dead(name, self._read(name)[1], self._read(mine)[1])

    def forget(self, name: str) -> None:
        """Remove a claim of a run that died."""
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
        if found is None or not found[1]:  # a loss of power may leave an empty file
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
        """Return what a claim says: nothing if this key did not seal it, or a path is none of a run's."""
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
    digest = uid_key(sop_instance_uid).hex()
    return f"{_folder(run_id, digest[:2])}/{digest}"


def _folder(run_id: str, part: str = "") -> str:
    return f"{PARTIAL}/{run_id}/{CLAIMS}" + (f"/{part}" if part else "")
