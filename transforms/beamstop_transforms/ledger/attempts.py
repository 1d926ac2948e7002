"""Attempts: which packs are being worked on, so that a source that kills its worker is found on any runner.

While a worker processes a pack, AUDIT/.partial/<run_id>/attempts has a note of it. A worker that is given a
pack with a note knows that another one died in it, and notes each source before it begins it. If that note is
found as well, the source in it is skipped. A note has keyed digests of paths and nothing else, and is sealed.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

from beamstop.identity import Identity
from beamstop_transforms.instance import Source, source_id_of
from beamstop_transforms.ledger.target import Target, is_run_id
from beamstop_transforms.stores import PARTIAL, Store, open_store

ATTEMPTS = "attempts"
KILLED = "killed_worker"


@dataclass(frozen=True)
class Note:
    """The note of a pack that a worker is processing.

    Attributes:
        sources: source_id of every source in it.
        killers: source_id of those in which a worker died.
        at: source_id of the one that a careful worker processes; empty between two, and for other workers.
    """

    sources: tuple[str, ...]
    killers: tuple[str, ...] = ()
    at: str = ""

    def suspects(self) -> tuple[str, ...]:
        """Return the source_ids of those that killed a worker; certain once nobody works on the pack."""
        return (*self.killers, *([self.at] if self.at else []))


class Attempts:
    """Notes of the packs of one run.

    Args:
        target: AUDIT, run, key.
        careful: source_ids in the packs that an earlier run was processing when it broke. Packs with one of
            these are noted source by source at the first try already.
    """

    def __init__(self, target: Target, careful: frozenset[str] = frozenset()) -> None:
        self._target = target
        self._careful = careful
        self._identity: Identity | None = None

    def sources(self, packed: bytes, sources: list[Source]) -> Iterator[Source]:
        """Yield the sources of a pack, and keep a note of it until the last one is done.

        Args:
            packed: the pack, the same bytes in each try.
            sources: what is in it.
        """
        identity = self._identity = self._identity or self._target.identity()
        store, name = open_store(self._target.audit), self._name(packed)
        before = _read(store, name, identity)
        ids = [source_id_of(it, identity) for it in sources]
        note = Note(tuple(ids), before.suspects() if before else ())
        is_careful = before is not None or not self._careful.isdisjoint(ids)
        _put(store, name, note, identity)
        for source, source_id in zip(sources, ids, strict=True):
            if source_id in note.killers:
                yield replace(source, suspect=KILLED)
                continue
            if is_careful:
                _put(store, name, replace(note, at=source_id), identity)
            yield source
        store.remove(name)

    def forget(self, packed: bytes) -> None:
        """Remove the note of a pack: work on it ended, but not because the worker died."""
        open_store(self._target.audit).remove(self._name(packed))

    def _name(self, packed: bytes) -> str:
        return f"{_folder(self._target.run_id)}/{hashlib.sha256(packed).hexdigest()[:32]}"


def left_behind(target: Target) -> tuple[frozenset[str], frozenset[str]]:
    """Return the source_ids that killed workers of earlier runs, and those of all unfinished packs."""
    store, identity = open_store(target.audit), target.identity()
    killers, every = set[str](), set[str]()
    for run_id in store.folders(PARTIAL):
        if is_run_id(run_id) and run_id < target.run_id:
            for name in list(store.names(_folder(run_id))):
                note = _read(store, name, identity)
                if note is not None:
                    killers.update(note.suspects())
                    every.update(note.sources)
    return frozenset(killers), frozenset(every)


def _put(store: Store, name: str, note: Note, identity: Identity) -> None:
    said = json.dumps(asdict(note))
    found = store.find(name)
    data = json.dumps({"note": said, "mac": _mac(name, said, identity)}).encode()
    store.write(name, data, found and found.version, durable=False)


def _read(store: Store, name: str, identity: Identity) -> Note | None:
    """Return a note; None if there is none, or this key did not seal it."""
    found = store.read(name)
    if found is None:
        return None
    try:
        document = json.loads(found[1])
        if document["mac"] != _mac(name, document["note"], identity):
            return None
        said = json.loads(document["note"])
        return Note(tuple(said["sources"]), tuple(said["killers"]), said["at"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _mac(name: str, said: str, identity: Identity) -> str:
    return identity.digest("attempt", name, said).hex()


def _folder(run_id: str) -> str:
    return f"{PARTIAL}/{run_id}/{ATTEMPTS}"
