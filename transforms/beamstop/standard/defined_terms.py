"""Enumerated values and defined terms of CS attributes, as the standard lists them."""

import json
from functools import cache
from importlib.resources import files


@cache
def _terms() -> dict[int, frozenset[str]]:
    document = json.loads((files("beamstop") / "data" / "defined_terms.json").read_text(encoding="utf-8"))
    return {int(tag, 16): frozenset(terms) for tag, terms in document["terms"].items()}


def is_defined_term(tag: int, value: str) -> bool:
    """Say whether a value is a term that the standard defines for an attribute, wherever it is used.

    A code string looks like a term whatever it holds: nothing keeps a station from writing a name there.

    >>> is_defined_term(0x00185100, "HFS"), is_defined_term(0x00185100, "MEIER")
    (True, False)
    """
    return value.strip() in _terms().get(tag, ())
