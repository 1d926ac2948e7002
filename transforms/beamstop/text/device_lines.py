"""Lines written by a device or by a reader of pictures: settings, measures, anatomy.

A line is one of them if every part of it is known to be harmless: a number by its unit or by the setting
before it, a word by the vocabulary of medicine and of devices. Names of persons do not count as words.
"""

import re
from collections.abc import Callable
from functools import cache
from typing import NamedTuple
from unicodedata import normalize

from beamstop.text.burned_words import looks
from beamstop.words.vocabulary import (
    eponyms,
    fold,
    medicine,
    name_words,
    ordinary,
    titles,
    vocabulary,
    word_lists,
)
from beamstop.words.word_forms import is_medicine
from beamstop.words.written_dates import MONTHS

_MIN_WORD = 3  # letters: shorter words may be initials, unless their line has other words
_MIN_FORMED = 9  # letters of a word that counts as medical by its form alone: Neumann must not
_MAX_DIGITS, _MAX_PLACE_DIGITS = 4, 2  # of a setting, and of a letter that is a place: P 12
_PLACES, _TIMES_OF_ECHOES = frozenset("ahp"), frozenset({"tr", "ti"})  # TR 12000

_NUMBER = r"[<>~±+-]?(?!0[0-9])[0-9]{1,5}(?:[.,][0-9]{1,4})?"
_TIMES = r"(?:[ ]?[x*×][ ]?[0-9]{1,4}(?:[.,][0-9]{1,3})?){0,2}"
_WORD = re.compile(r"[^\W\d_]+")
_UMLAUTS = re.compile(r"([aou])e")  # Mueller
_TOKEN = re.compile(r"[^\W_]{2,}")
_OF_ITS_OWN = re.compile(r"[ ]?[:=]?[ ]?[0-9]")  # a number after a word that may be a unit or a setting
_LETTER = re.compile(r"[ ][a-z][ ]")
_MEASURED = re.compile(rf"{_NUMBER}{_TIMES}")
_VALUE = re.compile(
    rf"[0-9]{{1,2}}w(?:[0-9]d)?(?![^\W_])|[0-9]{{1,4}}/[0-9]{{1,4}}(?![\w/.-])|{_NUMBER}{_TIMES}"
)
_TO_VALUE = re.compile(r"[ ]{0,2}[:=.@#]?[ ]{0,2}")
_LONGER = re.compile(r"[^\W\d_]|[0-9]|[./:-][0-9]")  # a number in groups, a date, a time
_SIZE = re.compile(r"[0-9]{2,4}(?:[ ]?[x*×][ ]?[0-9]{2,4}){1,2}(?![\w.,/-])")
# Anode and filter; with contrast.
_PAIR = re.compile(r"(?:mo|rh|w)/(?:mo|rh|ag|al|w)(?![^\W_])|[tc][+-](?![\w+-])")
# Probes, weightings, kernels, levels: C5-1, L12-3, 6C1, T2, B30f.
_CODE = re.compile(
    r"(?:[a-z]{1,2}[0-9]{1,2}-[0-9]{1,2}|[a-z]{1,3}[0-9]{1,2}[a-z]?|[0-9]{1,2}[a-z][0-9]{1,2})"
    r"(?![^\W_]|[-.,][0-9])|[234]d(?![^\W_])"
)
_SYSTOLE_TO_DIASTOLE = re.compile(r"(?<![^\W_])s/d(?![^\W\d_])")
_INITIAL = re.compile(r"[.](?![0-9])")  # J. Stringer
_TICK = re.compile(r"[+-][0-9]{1,3}[.,][0-9]{1,2}(?![\w.,/-])")  # of a scale of velocities: -58.4
_WEIGHTING = re.compile(r"t[12]|[23]d")
_LETTER_FOR_ZERO = re.compile(r"o(?=[.,][0-9o])|(?<=[0-9o][.,])o(?![^\W\d_])")  # RI O.74, TIS 0.O
_INDEX = re.compile(r"[0-9][ ]{1,2}(?=[^\W\d_])")  # of a caliper: 1 Dist 3.27 cm
_BETWEEN = re.compile(r"[\s,;:|/()\[\]<>=+_.•·*-]")


class _Part(NamedTuple):
    """A part of a line: why it stays or may not, where the next begins, whether it could be an initial."""

    why: str
    end: int
    is_weak: bool = False


def why_harmless(line: str, is_marker: Callable[[str], bool] = lambda word: False) -> str:
    """Return why a line identifies nobody, or why that is uncertain.

    Args:
        line: as it was read; between numbers and words spaces may be lost.
        is_marker: tells whether a word in lower case is a marker of view or laterality.

    Returns:
    `device_setting`, `medical_word` or `marker`; otherwise `number`, `unknown`, or `unread` for an empty
    line.

    >>> [why_harmless(line) for line in ("PSV 84.2 cm/s", "FoV240mm", "Liver", "120 kV Smith", "84.2")]
    ['device_setting', 'device_setting', 'medical_word', 'unknown', 'number']
    """
    folded = _LETTER_FOR_ZERO.sub("0", fold(normalize("NFKC", line)).strip())
    folded = _SYSTOLE_TO_DIASTOLE.sub("sd", folded)
    if _points(folded, is_marker):
        return "marker"
    parts: list[_Part] = []
    at = 0
    while at < len(folded):
        between = _BETWEEN.match(folded, at)
        if between and not _begins_number(folded, at):
            at = between.end()
            continue
        part = _part(folded, at, is_marker)
        if part.why in ("number", "unknown"):
            return part.why
        parts.append(part)
        at = part.end
    if not parts:
        return "unread"
    if len(parts) == 1 and parts[0].is_weak:
        return "unknown"
    whys = {part.why for part in parts}
    return next(why for why in ("device_setting", "medical_word", "marker") if why in whys)


def _points(line: str, is_marker: Callable[[str], bool]) -> bool:
    """Return whether a line is nothing but markers, or one direction: R CC, AH."""
    words = line.split()
    return bool(words) and (all(map(is_marker, words)) or (len(words) == 1 and line in _list("directions")))


def _begins_number(line: str, at: int) -> bool:
    """Return whether a sign belongs to the number after it."""
    is_apart = at == 0 or not line[at - 1].isalnum()
    return line[at] in "<>+-" and is_apart and line[at + 1 : at + 2].isdecimal()


def _part(line: str, at: int, is_marker: Callable[[str], bool]) -> _Part:
    """Return the part that begins at a place."""
    word = _WORD.match(line, at)
    if setting := _setting(line, at):
        return setting
    if size := _SIZE.match(line, at) or _PAIR.match(line, at):
        return _Part("device_setting", size.end())
    if end := _measure(line, at):
        return _Part("device_setting", end)
    if tick := _TICK.match(line, at):
        return _Part("device_setting", tick.end())
    if code := _CODE.match(line, at):
        is_weak = len(code[0]) < _MIN_WORD and not _WEIGHTING.match(code[0])
        return _Part("device_setting", code.end(), is_weak)
    if word and word[0] in _list("levels") and _names_a_setting(line, word.end()):
        return _Part("device_setting", word.end(), True)
    if word:
        return _word(line, word, is_marker)
    index = _INDEX.match(line, at) if at == 0 else None
    return _Part("device_setting", index.end(), True) if index else _Part("number", at)


def _names_a_setting(line: str, at: int) -> bool:
    """Return whether the next word is the name of a setting: Max PG 45 mmHg."""
    return _setting(line, at + 1) is not None


def _measure(line: str, at: int) -> int | None:
    """Return where a number with its unit ends, None if there is none."""
    value = _MEASURED.match(line, at)
    unit = _units().match(line, value.end()) if value else None
    return unit.end() if unit else None


def _setting(line: str, at: int) -> _Part | None:
    """Return a setting with its number: kV 120, W400, Frame 12/64, Map F; read as Tl 2200, too."""
    for form in (_WORD, _TOKEN):
        word = form.match(line, at)
        name = _names_by_looks().get(looks(word[0])) if word else None
        if word and name and (len(name) > 1 or word[0] == name):
            part = _with_value(line, word, name)
            if part:
                return part
    return None


def _with_value(line: str, word: re.Match[str], name: str) -> _Part | None:
    start = _TO_VALUE.match(line, word.end())
    value = _VALUE.match(line, start.end()) if start else None
    if value and value.start() == word.end() and value[0][0] in "+-":  # PL-77120: no sign, a dash
        return None
    if not value:
        end = _end_of_word(line, name, start.end()) if start else None
        return _Part("device_setting", end) if end else _with_letter(line, name, word.end())
    unit = _units().match(line, value.end())
    # W 400 L 40: of what has a number behind it, too, the name and no unit.
    if unit and looks(unit[0].strip()) in _names_by_looks() and _OF_ITS_OWN.match(line, unit.end()):
        unit = None
    if not unit and (name in _list("labels") or _LONGER.match(line, value.end())):
        following = _WORD.match(line, value.end())
        if name in _list("labels") or not following or looks(following[0]) not in _names_by_looks():
            return None
    if not unit and value[0].isdecimal() and len(value[0]) > _most_digits(name):
        return None
    return _Part("device_setting", (unit or value).end())


def _with_letter(line: str, name: str, at: int) -> _Part | None:
    """Return a setting of a word and a letter with its number: Dyn R 58."""
    letter = _LETTER.match(line, at) if len(name) >= _MIN_WORD else None
    value = _VALUE.match(line, letter.end()) if letter else None
    if not value or _LONGER.match(line, value.end()) or len(value[0]) > _MAX_DIGITS:
        return None
    return _Part("device_setting", value.end())


def _most_digits(name: str) -> int:
    """Return how long a whole number without a unit may be: a longer one may be an identifier."""
    return _MAX_PLACE_DIGITS if name in _PLACES else _MAX_DIGITS + (name in _TIMES_OF_ECHOES)


def _end_of_word(line: str, name: str, at: int) -> int | None:
    """Return the end of a word that a setting has instead of a number; None if it has none: P Low, Map F."""
    word = _WORD.match(line, at)
    if not word or line[word.end() : word.end() + 1].isdecimal():
        return None
    is_letter = name in _list("lettered") and len(word[0]) == 1
    is_level = name in _list("letters") and word[0] in _list("levels")
    return word.end() if is_letter or is_level else None


@cache
def _names_by_looks() -> dict[str, str]:
    """Return the names of settings, of one letter and of more, by their shapes (`looks`)."""
    return {looks(name): name for name in sorted(_list("settings") | _list("letters"))}


def _word(line: str, word: re.Match[str], is_marker: Callable[[str], bool]) -> _Part:
    text = word[0]
    if len(text) == 1 and (_INITIAL.match(line, word.end()) or line[: word.start()].rstrip().endswith(",")):
        return _Part("unknown", word.end())
    is_short = len(text) < _MIN_WORD
    if is_marker(text):
        return _Part("marker", word.end(), is_short)
    if text in _list("sides"):
        return _Part("medical_word", word.end(), True)
    if text in _list("settings") and not _is_name(text) and text not in _never():
        return _Part("device_setting", word.end(), is_short)
    if len(text) == 1:
        return _Part("unknown", word.end())
    if is_short:
        is_listed = text in ordinary() and text not in _never()
        return _Part("medical_word" if is_listed else "unknown", word.end(), True)
    return _Part("medical_word" if _is_harmless(text) else "unknown", word.end())


def _is_harmless(word: str) -> bool:
    """Return whether a folded word is one of medicine or plain English, and nobody's name."""
    if word in _list("anatomy"):
        return True
    if (
        word in _never()
        or _is_name(word)
        or _is_name(word.replace("ae", "a").replace("oe", "o").replace("ue", "u"))
    ):
        return False
    is_listed = word in ordinary() or word in vocabulary() or word in medicine()
    return is_listed or (len(word) >= _MIN_FORMED and is_medicine(word))


def _is_name(word: str) -> bool:
    """Return whether a word is also a name."""
    names = name_words()
    listed = word in _list("also names") or word in _list("also surnames")
    return listed or word in names["people"] or (word in names["short"] and word not in _list("settings"))


@cache
def _never() -> frozenset[str]:
    """Return words that introduce a person's data, or may be part of a name or date."""
    listed = (vocabulary() & eponyms()) - medicine() - ordinary()
    return titles() | MONTHS | _list("labels") | listed


@cache
def _units() -> re.Pattern[str]:
    units = sorted(_list("units"), key=lambda unit: (-len(unit), unit))
    return re.compile(rf"[ ]{{0,2}}(?:{'|'.join(map(re.escape, units))})(?![^\W\d_])")


@cache
def _list(name: str) -> frozenset[str]:
    """Return a list of data/burned_words.txt by its name."""
    return word_lists("burned_words.txt")[name]
