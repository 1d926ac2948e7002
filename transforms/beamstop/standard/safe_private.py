"""Private elements that PS3.15 Table E.3.10-1 lists as safe."""

import json
from functools import cache
from importlib.resources import files


@cache
def _creators() -> dict[str, dict[tuple[int, int], str]]:
    document = json.loads((files("beamstop") / "data" / "safe_private.json").read_text(encoding="utf-8"))
    return {
        creator: {(int(key[:4], 16), int(key[5:], 16)): vr for key, vr in elements.items()}
        for creator, elements in document["creators"].items()
    }


def safe_vr(creator: str, group: int, element: int) -> str | None:
    """Return the VR of a safe private element, None for one that is not listed.

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
