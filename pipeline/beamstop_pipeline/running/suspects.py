"""Suspects: sources that were being processed when a run broke; the next run fails them without reading.

Their source_ids are noted in AUDIT/.partial, which a successful run empties.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from beamstop_transforms.read import WORKING
from beamstop_transforms.stores import PARTIAL, open_store

SUSPECTS = "suspects"
REASONS = ("killed_worker", "stalled_worker", "out_of_memory")
_SOURCE_ID = re.compile(r"[0-9a-f]{32,64}")
_LONGEST = max(map(len, REASONS)) + 1


def worked_on(folder: str) -> Iterator[tuple[int, str]]:
    """Yield process and source_id of the sources that workers are processing, by their notes."""
    for path in Path(folder).glob(f"{WORKING}*"):
        source_id = path.read_text()
        if source_id:
            yield int(path.name.removeprefix(WORKING).partition("-")[0]), source_id


def begun(folder: str) -> Iterator[tuple[int, str, int]]:
    """Yield process, name and time of each note; the time changes with each source."""
    for path in Path(folder).glob(f"{WORKING}*"):
        about = path.stat()
        if about.st_size:
            yield int(path.name.removeprefix(WORKING).partition("-")[0]), path.name, about.st_mtime_ns


def note_suspect(audit: str, source_id: str, reason: str) -> None:
    """Note for the next run that a source broke this one."""
    store, name = open_store(audit), f"{PARTIAL}/{SUSPECTS}/{source_id}"
    found = store.find(name)
    store.write(name, reason.encode(), found and found.version)


def read_suspects(audit: str) -> dict[str, str]:
    """Return source_id → reason from the notes of earlier runs; ignore anything else there."""
    store, suspects = open_store(audit), dict[str, str]()
    for name in store.names(f"{PARTIAL}/{SUSPECTS}"):
        source_id, found = name.rpartition("/")[2], store.read(name)
        reason = "" if found is None else found[1][:_LONGEST].decode(errors="replace")
        if _SOURCE_ID.fullmatch(source_id) and reason in REASONS:
            suspects[source_id] = reason
    return suspects
