"""Enumerated values and defined terms of CS attributes, as the standard lists them."""

import json
from functools import cache
from importlib.resources import files
from typing import Any

_MODALITY = 0x00080060


@cache
def _document() -> dict[str, Any]:
    text = (files("beamstop") / "data" / "defined_terms.json").read_text(encoding="utf-8")
    return json.loads(text)  # type: ignore[no-any-return]


@cache
def _terms() -> dict[int, frozenset[str]]:
    return {int(tag, 16): frozenset(terms) for tag, terms in _document()["terms"].items()}


def is_defined_term(tag: int, value: str) -> bool:
    """Say whether a value is a term that the standard defines for an attribute, wherever it is used.

    A code string looks like a term whatever it holds: nothing keeps a station from writing a name there.

    >>> is_defined_term(0x00185100, "HFS"), is_defined_term(0x00185100, "MEIER")
    (True, False)
    >>> is_defined_term(0x00080060, "EEG"), is_defined_term(0x00080060, "HFS")
    (True, False)
    """
    return value.strip() in _terms().get(tag, ())


@cache
def modalities_in_use() -> frozenset[str]:
    """Return the defined terms of Modality (PS3.3 C.7.3.1.1.1), without those retired."""
    return frozenset(_document()["modalities"]["in_use"])


def defined_modality(value: object) -> str | None:
    """Return a Modality if it is a defined term, retired or not, else None: it could be free text.

    >>> defined_modality("CT"), defined_modality("Doe^Jane")
    ('CT', None)
    """
    term = str(value or "")
    return term if term in _terms()[_MODALITY] else None
