"""Enumerated values and defined terms of CS attributes, as the standard lists them."""

import json
import re
from functools import cache
from importlib.resources import files
from typing import Any

_MODALITY, _BODY_PART_EXAMINED = 0x00080060, 0x00180015
_LINKS = ("ABD", "AND", "PEL", "PELV", "TO", "WITH")


@cache
def _document() -> dict[str, Any]:
    text = (files("beamstop") / "data" / "defined_terms.json").read_text(encoding="utf-8")
    return json.loads(text)  # type: ignore[no-any-return]


@cache
def _terms() -> dict[int, frozenset[str]]:
    return {int(tag, 16): frozenset(terms) for tag, terms in _document()["terms"].items()}


def is_defined_term(tag: int, value: str) -> bool:
    """Return whether a value is a term that the standard defines for an attribute, wherever it is used.

    A code string looks like a term whatever it holds: nothing keeps a station from writing a name there.

    >>> is_defined_term(0x00185100, "HFS"), is_defined_term(0x00185100, "MEIER")
    (True, False)
    >>> is_defined_term(0x00080060, "EEG"), is_defined_term(0x00080060, "HFS")
    (True, False)
    """
    return value.strip() in _terms().get(tag, ())


@cache
def _body_parts() -> re.Pattern[str]:
    parts = sorted((*_terms()[_BODY_PART_EXAMINED], *_LINKS), key=len, reverse=True)
    return re.compile(f"(?:{'|'.join(parts)})+")


def is_body_part(word: str) -> bool:
    """Return whether a word is a term of Body Part Examined (PS3.16 Annex L), or several of them joined.

    >>> is_body_part("headneck"), is_body_part("HEADANDNECK"), is_body_part("MEIER")
    (True, True, False)
    """
    return _body_parts().fullmatch(word.upper()) is not None


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
