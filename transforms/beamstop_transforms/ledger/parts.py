"""Parts: rows that a run seals while it is going on, so that they are not lost if it breaks.

A part is a partial file of each table with some rows and all that belongs to them, and a record with the
SHA-256 of each file and a keyed digest of the whole: AUDIT/.partial/<run_id>/parts/<part>.json.
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
    """The record of a part.

    Attributes:
        head: the head of its run's record: see `head_of`.
        places: keyed digests of the places that the run writes to, by name.
        tables: name of a table → its partial file in this part.
    """

    head: Mapping[str, Any]
    places: Mapping[str, str]
    tables: Mapping[str, Partial]


def put_part(audit: str, name: str, part: Part, identity: Identity) -> None:
    """Seal a part whose partial files are written."""
    said = json.loads(json.dumps({"part": name, **asdict(part)}))
    said["mac"] = part_mac(said, identity)
    store = open_store(audit)
    store.write(f"{_folder(part.head['run_id'])}/{name}.json", json.dumps(said).encode(), None, durable=False)


def broken_runs(audit: str) -> list[str]:
    """Return the runs that left parts, oldest first. On gs:// one of them may still be going on."""
    store = open_store(audit)
    return [
        it for it in store.folders(PARTIAL) if is_run_id(it) and PARTS in store.folders(f"{PARTIAL}/{it}")
    ]


def read_parts(audit: str, run_id: str, identity: Identity) -> Iterator[Part]:
    """Yield the parts of a run that this key sealed."""
    store = open_store(audit)
    names = sorted(store.names(_folder(run_id)))
    for name, found in zip(names, ahead(store.read, names), strict=True):
        part = None if found is None else _parsed(found[1], name, run_id, identity)
        if part is not None:
            yield part


def _parsed(data: bytes, name: str, run_id: str, identity: Identity) -> Part | None:
    """Return the record of a part; None if it is of another part, or the key did not seal it."""
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
