"""Parts: what a run has sealed of its rows as they came, so that a run that breaks keeps them.

A part is some rows with all that belongs to them, in a partial file of each table, and a record that names
these by their SHA-256 and has a keyed digest of all it says: AUDIT/.partial/<run_id>/parts/<part>.json.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from beamstop.audit import part_mac
from beamstop.identity import Identity
from beamstop_transforms.ledger.target import is_run_id
from beamstop_transforms.stores import PARTIAL, open_store
from beamstop_transforms.stores.ahead import ahead
from beamstop_transforms.tables import Partial

PARTS = "parts"


@dataclass(frozen=True)
class Part:
    """What the record of a part says.

    Attributes:
        head: of the record of its run: see `head_of`.
        places: keyed digests of the places that the run writes to, by name.
        tables: name of a table → its partial file in this part.
    """

    head: Mapping[str, Any]
    places: Mapping[str, str]
    tables: Mapping[str, Partial]


def put_part(audit: str, name: str, part: Part, identity: Identity) -> None:
    """Seal a part whose partial files stand."""
    said = json.loads(json.dumps({"part": name, **asdict(part)}))
    said["mac"] = part_mac(said, identity)
    store = open_store(audit)
    store.write(f"{_folder(part.head['run_id'])}/{name}.json", json.dumps(said).encode(), None, durable=False)


def broken_runs(audit: str) -> list[str]:
    """Return the runs, oldest first, that have left parts; whether one is still alive nobody knows on gs://."""
    store = open_store(audit)
    return [
        it for it in store.folders(PARTIAL) if is_run_id(it) and PARTS in store.folders(f"{PARTIAL}/{it}")
    ]


def read_parts(audit: str, run_id: str, identity: Identity) -> Iterator[Part]:
    """Yield the parts of a run that a key sealed."""
    store = open_store(audit)
    names = sorted(store.names(_folder(run_id)))
    for name, found in zip(names, ahead(store.read, names), strict=True):
        part = None if found is None else _parsed(found[1], name, run_id, identity)
        if part is not None:
            yield part


def _parsed(data: bytes, name: str, run_id: str, identity: Identity) -> Part | None:
    """Return what a record of a part says; None if it says it of another, or the key did not seal it."""
    try:
        said = json.loads(data)
        if said["mac"] != part_mac(said, identity):
            return None
        of_this = said["head"]["run_id"] == run_id and name.endswith(f"/{said['part']}.json")
        tables = {table: Partial(*it) for table, it in said["tables"].items()}
        return Part(said["head"], said["places"], tables) if of_this else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _folder(run_id: str) -> str:
    return f"{PARTIAL}/{run_id}/{PARTS}"
