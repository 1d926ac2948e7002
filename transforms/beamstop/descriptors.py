"""Clean Descriptors: takes identifiers out of a text, word by word, and leaves the medicine."""

from typing import Literal

from beamstop.identifiers import Identifiers


def clean_text(text: str, identifiers: Identifiers, unvouched: Literal["keep", "remove"] = "keep") -> str:
    return text
