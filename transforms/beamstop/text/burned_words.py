"""Whether words burned into a picture may identify somebody.

Recognisers mistake O for 0 and l for 1, so words are compared by their shapes (`looks`) and with a few
wrong letters. `device_lines` decides which lines may stay.
"""

import re
from collections.abc import Callable
from functools import cache

from beamstop.words.clean_text import clean_text
from beamstop.words.identifiers import Identifiers
from beamstop.words.vocabulary import fold, is_common_word, word_lists
from beamstop.words.written_dates import MONTHS, find_dates

_MAX_WORD = 64  # characters; no longer word is compared with a pattern
_MAX_PATTERN, _MAX_REPEATS = 100, 4
_MIN_OWN, _MIN_OWN_DIGITS = 2, 3

# Recognisers take each of these for the letter to which it is mapped.
_LOOK = str.maketrans(
    {"0": "o", "1": "l", "i": "l", "|": "l", "!": "l", "5": "s", "$": "s", "8": "b", "2": "z"}
)

_LONG_NUMBER = re.compile(r"\d(?:[-/:_#]?\d){4,}")
_CARETS = re.compile(r"[^\W\d_]\^|\^[^\W\d_]")
_NAME_AND_GIVEN = re.compile(r"[^\W\d_][\w'’-]*\s*,\s*[^\W\d_]")
_TITLE = re.compile(r"(?:^|\s)(?:dr|mr|mrs|ms|prof|miss|frau|herr|mme)\b\.?\s+[^\W\d_]", re.IGNORECASE)


def looks(text: str) -> str:
    """Return a text as seen by a recogniser that confuses letters and digits.

    >>> looks("R0E-1L5"), looks("ROE-I15")
    ('roe-lls', 'roe-lls')
    """
    return fold(text).translate(_LOOK)


def word_test(entry: str) -> Callable[[str], bool]:
    """Return a function that tells whether a word equals a recipe's entry, or fits its pattern.

    Args:
        entry: a word or line, compared without regard to case, or `/…/`, a regular expression that
            must match the whole word, in either case.

    Raises:
        ValueError: not a regular expression, or one that may take unlimited time: longer than 100 characters,
            with more than 4 repetitions, or a repetition of a group.

    >>> is_view = word_test("/[LR] ?(CC|MLO)/")
    >>> is_view("rcc"), is_view("L MLO"), is_view("RCC7")
    (True, True, False)
    """
    if not is_pattern(entry):
        wanted = folded(entry)
        return lambda word: folded(word) == wanted
    source = entry[1:-1]
    bare = re.sub(r"\[\^?\]?[^\]]*\]", "_", re.sub(r"\\.", "_", source))
    if (
        len(source) > _MAX_PATTERN
        or len(re.findall(r"[*+?{]", bare)) > _MAX_REPEATS
        or re.search(r"\)[*+{]", bare)
    ):
        raise ValueError(
            f"{entry!r}: a pattern of at most {_MAX_PATTERN} characters and {_MAX_REPEATS} "
            "repetitions, none of them of a group"
        )
    try:
        pattern = re.compile(source, re.IGNORECASE)
    except re.error as error:
        raise ValueError(f"{entry!r}: no regular expression; {error.msg}") from None
    return lambda word: len(word) <= _MAX_WORD and pattern.fullmatch(" ".join(word.split())) is not None


def is_pattern(entry: str) -> bool:
    """Return whether an entry of a recipe is a regular expression."""
    return len(entry) > 2 and entry.startswith("/") and entry.endswith("/")


def folded(text: str) -> str:
    """Return a line in lower case, without white space."""
    return " ".join(text.casefold().split())


class OwnWords:
    """The words of an instance's identifiers, to be found in text that was read."""

    def __init__(self, identifiers: Identifiers) -> None:
        self._identifiers = identifiers
        words = {word for name in identifiers.names for component in name for word in component}
        for values in (identifiers.ids, identifiers.contacts):
            words.update(word for value in values for word in (*value, "".join(value)))
        for place in identifiers.places:
            words.update(word for word in place if not is_common_word(word))
        words.update("".join(component) for name in identifiers.names for component in name)
        self._exact = frozenset(word for word in words if _tells(word))
        self._looks = frozenset(map(looks, self._exact))

    def has(self, text: str) -> bool:
        """Return whether any word of a text is one of them, letter by letter."""
        return not self._exact.isdisjoint(_pieces(fold(text)))

    def resembles(self, text: str) -> bool:
        """Return whether a word of a text, or all of it joined, looks like one of them."""
        pieces = _pieces(looks(text))
        return any(_alike(piece, own) for piece in pieces if len(piece) >= _MIN_OWN for own in self._looks)

    def is_part_of(self, content: str) -> bool:
        """Return whether one of them, of 3 characters or more, is anywhere in a code's content."""
        run = "".join(re.findall(r"[^\W_]+", looks(content)))
        return any(own in run for own in self._looks if len(own) >= _MIN_OWN_DIGITS)

    def in_line(self, line: str) -> bool:
        """Return whether Clean Descriptors would remove anything from a line."""
        return clean_text(line, self._identifiers) is not line


def why_identifying(line: str, own: OwnWords) -> str | None:
    """Return why a line may identify somebody, None if nothing in it does.

    Returns:
        `identifier`, `date`, `label`, `name` or `number`.
    """
    if own.has(line) or own.resembles(line):
        return "identifier"
    if next(find_dates(line), None) or not MONTHS.isdisjoint(_pieces(fold(line))):
        return "date"
    if is_label(line):
        return "label"
    if _CARETS.search(line) or _NAME_AND_GIVEN.search(line) or _TITLE.search(line):
        return "name"
    if _LONG_NUMBER.search(line):
        return "number"
    return "identifier" if own.in_line(line) else None


def is_label(line: str) -> bool:
    """Return whether a line announces something about a person: Name, DOB, MRN, Acc."""
    return not _list("labels").isdisjoint(_pieces(fold(line)))


def is_bare_label(line: str) -> bool:
    """Return whether a line has nothing but labels, so that their values are beside or below it."""
    words = re.findall(r"[^\W_]+", fold(line))
    return bool(words) and _list("labels").issuperset(words)


@cache
def _list(name: str) -> frozenset[str]:
    """Return a list of data/burned_words.txt by its name."""
    return word_lists("burned_words.txt")[name]


def _tells(word: str) -> bool:
    return len(word) >= (_MIN_OWN_DIGITS if word.isdecimal() else _MIN_OWN)


def _pieces(text: str) -> set[str]:
    """Return the words of a text, and all of it as one."""
    pieces = re.findall(r"[^\W_]+", text)
    return {*pieces, "".join(pieces)}


def _alike(read: str, own: str) -> bool:
    """Return whether two words differ by at most one letter in 4 to 7, or two in 8 or more."""
    allowed = min(len(own) // 4, 2)
    if abs(len(read) - len(own)) > allowed:
        return False
    return _distance(read, own, allowed) <= allowed


def _distance(one: str, other: str, most: int) -> int:
    """Return how many letters must be inserted, deleted or replaced; more than `most` means too many."""
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, start=1):
        previous, row = row, [i]
        for j, wanted in enumerate(other, start=1):
            row.append(min(previous[j] + 1, row[-1] + 1, previous[j - 1] + (letter != wanted)))
        if min(row) > most:
            return most + 1
    return row[-1]
