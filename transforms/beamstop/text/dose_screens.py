"""Dose screens: pictures of a table of doses, whose cells are numbers without a unit beside them."""

import re
from collections.abc import Callable, Iterable

from beamstop.text.burned_words import folded
from beamstop.text.device_lines import why_harmless

_INDEX, _PRODUCT = re.compile(r"\bctdi(?:vol|w)?\b"), re.compile(r"\bdlp\b")
# Doses, small whole numbers, positions (I40.250), page 1/1. Longer whole numbers may be somebody's.
_CELL = re.compile(
    r"(?<![\w.,/])[ifhrlsap]?(?:[0-9]{1,4}[.,][0-9]{1,3}|[0-9]{1,3})(?![\w,/]|\.[0-9])|(?<!\w)[-–/*]+(?!\w)"
)
_MISREAD = re.compile(r"\bctd[l1|]")  # CTDlvol
_RANGE = re.compile(r"(?<=[0-9])\s?[-–/]\s?(?=[ifhrlsap]?[0-9])")


def is_dose_table(lines: Iterable[str]) -> bool:
    """Return whether lines of a picture mention a CT dose index and a dose length product.

    >>> is_dose_table(["Series  CTDIvol  DLP", "Total DLP 341 mGycm"]), is_dose_table(["DLP 341 mGycm"])
    (True, False)
    """
    text = " ".join(map(_plain, lines))
    return bool(_INDEX.search(text) and _PRODUCT.search(text))


def is_dose_word(line: str) -> bool:
    """Return whether a line mentions either."""
    text = _plain(line)
    return bool(_INDEX.search(text) or _PRODUCT.search(text))


def is_row(line: str, is_marker: Callable[[str], bool] = lambda word: False) -> bool:
    """Return whether a line has nothing but cells of such a table, and harmless words.

    >>> [is_row(it) for it in ("2 Helical I40.250-S120.750 8.79 341.25", "8.79", "8.79 Smith", "20240131")]
    [True, True, False, False]
    """
    text = _RANGE.sub(" ", _plain(line))
    words = _CELL.sub(" ", text).split()
    return text != "" and (not words or why_harmless(" ".join(words), is_marker) in _HARMLESS)


def _plain(line: str) -> str:
    return _MISREAD.sub("ctdi", folded(line))


_HARMLESS = ("device_setting", "medical_word", "marker")
