"""Names and numbers that are broken up in a text, in its normal form.

* spaced: `G r a b o w s k i`, `4 7 1 9 0 2`, `1 7 . 0 3 . 1 9 6 1`, with up to three characters between two
  letters, in longer rows, too;
* at the end of a line or of a value, or by a control character, with and without a hyphen: `Grabow-` and
  `ski`, `471` and `902`. Two ordinary words without a hyphen (`head`, `hand`) are no name;
* identifiers of letters and digits with any marks inside: `PX:77:120`;
* numbers with another punctuation mark between their digits: `471:902`, `471*902`, `471_902`. Points and
  commas count from the second on, because with one it may be a decimal number.

A number needs six digits, and no digit may stand beside it. Single digits with points, commas or ends of
lines between them are a UID or a list, not a number.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise

from beamstop.words.text_search import TextSearch
from beamstop.words.vocabulary import fold, is_common_word, is_unparted

VALUE_END = "\x1e"  # between the values of one attribute
# With other control characters, which nobody sees either; not the tabulator, which is a blank.
_CONTROLS = "".join(chr(number) for number in (*range(9), *range(14, 32), *range(0x7F, 0xA0)))
LINE_ENDS = "\r\n\v\f\u2028\u2029\\" + _CONTROLS
MIN_WORD, MIN_UNPARTED, MIN_DIGITS = 4, 2, 6
_SPACED = re.compile(r"(?<![^\W_])[^\W_](?:[\W_]{1,3}+[^\W_](?![^\W_]))+")
_LINE_END = re.compile(rf"-?[ \t]*[{re.escape(LINE_ENDS)}][\s\\]*\Z")
_BREAK = rf"(?:-?+[ \t]*+[{re.escape(LINE_ENDS)}][\s\\]*+| ?(?:[^\w\s]|_) ?)"
_BROKEN = re.compile(rf"(?<![^\W_])[^\W_]++(?:{_BREAK}[^\W_]++)++")
_PIECE = re.compile(r"[^\W_]+")
# UIDs have more groups, and of one digit.
_PUNCTUATED = re.compile(
    r"(?<![0-9])(?<![0-9][._,])(?:[0-9]{1,6}(?:[._][0-9]{2,6}){2,5}|[0-9]{1,6}(?:,[0-9]{2,6}){2,5}"
    r"|[0-9]++(?P<mark> ?[^\w\s.,/-] ?|_)[0-9]++(?:(?P=mark)[0-9]++){0,5}+)(?![0-9]|[.,_][0-9])"
)
_IN_LISTS = frozenset({".", ",", "\r\n", *LINE_ENDS})
_NO_DIGIT = re.compile(r"[^0-9]")


class BrokenUp:
    """Finds words and numbers that are broken up.

    Args:
        words: folded; of letters, digits or both, without separators. Short ones are left out.

    >>> text = "M r G r a b o w s k i, 471:902"
    >>> [text[start:end] for start, end in BrokenUp({"grabowski", "471902"}).find(text)]
    ['G r a b o w s k i', '471:902']
    """

    def __init__(self, words: Iterable[str] = ()) -> None:
        self.words = {word for word in words if _is_long_enough(word)}
        self._search = TextSearch(self.words)

    def find(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield their spans in a text's normal form."""
        if not self.words:
            return
        for match in _SPACED.finditer(text):
            yield from self._spaced(text, *match.span())
        for match in _BROKEN.finditer(text):
            yield from self._broken(text, *match.span())
        for match in _PUNCTUATED.finditer(text):
            digits = _NO_DIGIT.sub("", match[0])
            if not self.words.isdisjoint({digits, digits.lstrip("0")}):
                yield match.span()

    def _spaced(self, text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
        letters, places = _letters(text, start, end)
        for word, first, last in self._search.matches(letters):
            if not word.isdecimal() or _is_number(text, letters, places, first, last):
                yield places[first], places[last - 1] + 1

    def _broken(self, text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
        letters, places = _letters(text, start, end)
        found = list(self._search.matches(letters))
        pieces = [match.span() for match in _PIECE.finditer(text, start, end)] if found else []
        starts, ends = ({span[side] for span in pieces} for side in (0, 1))
        for word, first, last in found:
            span = places[first], places[last - 1] + 1
            if span[0] in starts and span[1] in ends and _is_one_word(word, text[slice(*span)]):
                yield span


def _is_long_enough(word: str) -> bool:
    if word.isdecimal():
        return len(word.lstrip("0")) >= MIN_DIGITS
    if word.isalpha():
        return len(word) >= (MIN_UNPARTED if is_unparted(word) else MIN_WORD)
    return len(word) >= MIN_DIGITS


def _letters(text: str, start: int, end: int) -> tuple[str, list[int]]:
    """Return the folded letters and digits of a part of a text, and where each of them is."""
    at = [place for place in range(start, end) if text[place].isalnum()]
    folded = [fold(text[place]) for place in at]
    return "".join(folded), [
        place for place, letters in zip(at, folded, strict=True) for _ in range(len(letters))
    ]


def _is_number(text: str, letters: str, places: list[int], first: int, last: int) -> bool:
    """Return whether single digits are a number, beside which no digit but leading zeros is as near."""
    pairs = list(pairwise(places[first:last]))
    if any(text[before + 1 : behind] in _IN_LISTS for before, behind in pairs):
        return False
    gap = max(behind - before for before, behind in pairs)
    while first and letters[first - 1] == "0":
        first -= 1
    is_behind = letters[last : last + 1].isdecimal() and places[last] - places[last - 1] <= gap
    is_before = letters[:first][-1:].isdecimal() and places[first] - places[first - 1] <= gap
    return not (is_before or is_behind)


def _is_one_word(word: str, broken: str) -> bool:
    pieces, gaps = _PIECE.findall(broken), _PIECE.split(broken)[1:-1]
    if not gaps or not (word.isalpha() or word.isdecimal()):
        return bool(gaps)
    if not all(map(_LINE_END.match, gaps)):
        return False
    if word.isdecimal():
        return min(map(len, pieces)) > 1
    return "-" in broken or not all(is_common_word(fold(piece)) for piece in pieces)
