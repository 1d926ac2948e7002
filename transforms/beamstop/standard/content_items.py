"""Content items of structured reports that PS3.15 Table E.3.4-1 lists."""

import json
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

from beamstop.standard.actions import Action


@dataclass(frozen=True, slots=True)
class ContentItem:
    """One row of the table.

    Attributes:
        meaning: code meaning of the concept name.
        value_type: Value Type (0040,A040) that the row is about.
        basic: what the Basic Profile does with the content item: D, X or X/D.
        options: code of each option that has one, by its name such as `clean-descriptors`.
    """

    meaning: str
    value_type: str
    basic: Action
    options: dict[str, Action] = field(hash=False)


@cache
def _rows() -> dict[tuple[str, str], dict[str, ContentItem]]:
    """Return (code, scheme) → Value Type → row."""
    document = json.loads((files("beamstop") / "data" / "content_items.json").read_text(encoding="utf-8"))
    rows: dict[tuple[str, str], dict[str, ContentItem]] = {}
    for row in document["rows"]:
        options = {option: Action(code) for option, code in row["options"].items()}
        item = ContentItem(row["meaning"], row["value_type"], Action(row["basic"]), options)
        rows.setdefault((row["code"], row["scheme"]), {})[item.value_type] = item
    return rows


def find_content_item(code: str, scheme: str, value_type: str = "") -> ContentItem | None:
    """Return the row for a concept name, None if the table does not list it.

    Seven concepts have a row for each of several Value Types. Where the given one has none, the row
    that removes is returned, since a concept in an unexpected place is no reason to keep it.

    Args:
        code: Code Value (0008,0100) of the concept name.
        scheme: its Coding Scheme Designator (0008,0102).
        value_type: Value Type (0040,A040) of the content item.

    >>> find_content_item("121022", "DCM").meaning
    'Accession Number'
    """
    by_value_type = _rows().get((code.strip(), scheme.strip()))
    if by_value_type is None:
        return None
    if value_type in by_value_type:
        return by_value_type[value_type]
    return max(by_value_type.values(), key=lambda item: (item.basic is Action.X, -len(item.options)))
