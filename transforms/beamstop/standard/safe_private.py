"""Private elements without identity: those of PS3.15 Table E.3.10-1, and others known for their physics."""

import json
from functools import cache
from importlib.resources import files
from typing import NamedTuple

_DATA = files("beamstop") / "data"


@cache
def _creators() -> dict[str, dict[tuple[int, int], str]]:
    document = json.loads((_DATA / "safe_private.json").read_text(encoding="utf-8"))
    creators = {
        creator: {(int(key[:4], 16), int(key[5:], 16)): vr for key, vr in elements.items()}
        for creator, elements in document["creators"].items()
    }
    for known in known_private():
        creators.setdefault(known.creator, {}).setdefault((known.group, known.element), known.vr)
    return creators


class KnownPrivate(NamedTuple):
    """One line of data/known_private.txt, which says where it comes from and what the reasons mean."""

    creator: str
    group: int
    element: int  # in its block
    vr: str
    reason: str
    meaning: str


@cache
def known_private() -> tuple[KnownPrivate, ...]:
    """Return the private elements that are known as safe beyond the standard's table."""
    known, creator = [], ""
    for line in (_DATA / "known_private.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            creator = line.strip("[]")
        elif line and not line.startswith("#"):
            place, vr, reason, meaning = line.split(" ", 3)
            group, element = (int(number, 16) for number in place.split(","))
            known.append(KnownPrivate(creator, group, element, vr, reason, meaning))
    return tuple(known)


def safe_vr(creator: str, group: int, element: int) -> str | None:
    """Return the VR of a safe private element, None for one that neither list has.

    Safe means that the vendor puts no identity there, not that the value may stay as it is: UIDs are
    still to be replaced, sequences to be visited, text to be cleaned (PS3.15 E.3.10).

    Args:
        creator: the value of the private creator element, padding allowed; case matters.
        group: group number, such as 0x2005.
        element: element number; only its last byte counts, the block is the dataset's affair.

    Returns:
        The table's VR, `OB or OW` where it gives both, `UN` where it gives none.

    >>> safe_vr("Philips Imaging DD 001", 0x2001, 0x1003)
    'FL'
    """
    return _creators().get(creator.strip(), {}).get((group, element & 0xFF))
