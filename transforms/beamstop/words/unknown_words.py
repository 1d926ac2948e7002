"""Unknown words of a free text: strangers' names, villages, numbers, room codes.

`clean_text` first removes this instance's own identifiers, dates, and text with the form of an identifier. Of
the rest, `unknown_words: judge` removes:

1. words that are neither in a vocabulary nor known by their form (`word_forms.is_known`);
2. ordinary words that are also names (May, Brown) if a comma or a caret joins two of them, after a kin word
   (daughter May), or beside a removed capitalised word;
3. initials beside a name or a date, telephone numbers in groups, codes after room, ward and bed.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence, Set
from itertools import pairwise

from beamstop.words.normal_form import WORD
from beamstop.words.shapes import Span
from beamstop.words.vocabulary import eponyms, fold, is_syllabic, kin, known_words, name_words, particles
from beamstop.words.word_forms import is_known, unknown_syllables

_MAX_INITIALS, _LONGEST_INITIALS = 3, 12
_SURE_PARTICLES = frozenset({"van", "von", "bin", "ibn"})
_MIN_NAME, _MAX_SHORT_NAME = 3, 4
_NAME_GAP = re.compile(r"\s*[,^]\s*\Z|[ .'’-]{1,2}\Z")
_TYING = re.compile(r"[ ]?[,^]+[ ]?\Z")
_DATE_GAP = re.compile(r"[ \t,;:/(\[.-]{0,3}\Z")
_FRACTION = re.compile(r"(?<![0-9.])[0-9]{1,4}[.,]\Z")
_INITIALS = re.compile(r"(?<![\w.])(?:[A-ZÀ-Þ]\.[ ]?){1,3}(?![\w])")
_PHONE = re.compile(
    r"(?<![\w.,])(?:\+[0-9]{1,4}|\(?0[0-9]{1,4}\)?)(?:[ /.-]{1,3}[0-9]{2,}){1,6}(?![\w]|[.,][0-9])"
    r"|(?<![\w.,-])[0-9]{3,4}-[0-9]{4}(?![\w-])"
)
_EPONYM_HEAD = re.compile(
    r"(?:-[A-ZÀ-Þ][^\W\d_]+)?(?:['’]s)?[ -](?:disease|syndrome|sign|palsy|fracture|neuroma|procedure|"
    r"classification|lymphoma|contracture|phenomenon|deformity|anomaly|malformation|tumou?r|reflex|ligament|"
    r"view|projection|formula|equation|nomogram|Syndrom|Krankheit|Fraktur|Zeichen|maladie|signe|enfermedad|"
    r"síndrome|sindrome|malattia|morbo|doença|ziekte|choroba|zespół)(?![\w])"
)
_MIN_PHONE = 7
# Such as 88-4417-2.
_GROUPED = re.compile(r"(?<![\w.,-])(?=[0-9-]*[0-9]{4})[0-9]+(?:-[0-9]+){2,4}(?![\w-]|[.,][0-9])")
_ROOM = re.compile(
    r"(?i:(?<![^\W_])(?:(?P<room>room|rm|zimmer|zi|chambre|kamer|habitaci[oó]n|hab|camera|stanza|quarto|pok[oó]j|sal|"
    r"rum|v[aå]rdrum|stue|pokoj|ward)|bed|bett|lit|cama|letto|leito|station|bay|[lł][oó][zż]ko|seng|s[aä]ng)"
    r"\b[.:#\s-]{0,3}(?:no\.?|nr\.?|n[°º])?\s?)"
    r"(?P<code>(?=[A-Z0-9/-]*[0-9])[A-Z]{0,3}[-.]?[0-9]{1,4}(?:[-/.]?[A-Z0-9]{1,3})?)(?![\w])"
)


def find_unknown(text: str, dates: Sequence[Span], extra_words: Set[str] = frozenset()) -> Iterator[Span]:
    """Yield the words to remove: unknown ones, and those that their surroundings show to be names.

    Args:
        text: one value of a description or comment.
        dates: spans of dates in it.
        extra_words: folded words that the recipe adds to the vocabulary.

    >>> text = "Axial 3mm, call daughter Rosalva Quandt, bed 12A"
    >>> [text[start:end] for start, end, _ in find_unknown(text, ())]
    ['Rosalva', 'Quandt', '12A']
    """
    words = list(WORD.finditer(text))
    unknown = set()
    for number, word in enumerate(words):
        if is_known(word[0], extra_words) or _is_fraction(text, word):
            continue
        if is_syllabic(word[0]):
            for start, end in unknown_syllables(word[0]):
                yield word.start() + start, word.start() + end, ""
            continue
        if not _is_eponym(text, words, number):
            unknown.add(number)
    unknown |= set(_tied_names(text, words))
    _add_neighbours(text, words, unknown)
    for number in sorted(unknown):
        yield *words[number].span(), ""
    yield from _rooms_and_phones(text)
    yield from _initials(text, words, unknown, dates, extra_words)


def _is_fraction(text: str, word: re.Match[str]) -> bool:
    """Return whether digits are a decimal fraction: 0.9765625."""
    if not word[0].isdecimal() or text[word.end() : word.end() + 1] == ".":
        return False
    return _FRACTION.search(text, max(0, word.start() - 6), word.start()) is not None


def _is_eponym(text: str, words: Sequence[re.Match[str]], number: int) -> bool:
    """Return whether a word is part of the name of a disease or method: Bell palsy, Dandy-Walker."""
    word = words[number]
    if not word[0][0].isupper() or not word[0].isalpha():
        return False
    if _EPONYM_HEAD.match(text, word.end()):
        return True
    tied = []
    if number and text[words[number - 1].end() : word.start()] == "-":
        tied.append(words[number - 1])
    if number + 1 < len(words) and text[word.end() : words[number + 1].start()] == "-":
        tied.append(words[number + 1])
    return any(fold(other[0]) in eponyms() for other in tied)


def _is_called_so(word: re.Match[str]) -> bool:
    return word[0][0].isupper() and fold(word[0]) in name_words()["people"]


def _tied_names(text: str, words: Sequence[re.Match[str]]) -> Iterator[int]:
    """Yield the words of Brown^May and Brown, May, and of daughter May."""
    for number, (left, right) in enumerate(pairwise(words)):
        between = text[left.end() : right.start()]
        if _is_called_so(right):
            if _is_called_so(left) and _TYING.match(between):
                yield from (number, number + 1)
            elif between.strip(" :") == "" and fold(left[0]) in kin():
                yield number + 1
        elif _is_called_so(left) and "^" in between and len(right[0]) == 1 and right[0].isupper():
            yield from (number, number + 1)


def _add_neighbours(text: str, words: Sequence[re.Match[str]], unknown: set[int]) -> None:
    """Add words that are also names beside a removed capitalised word: Anna Brown, May^Quandt."""
    beside = [number for number in unknown if words[number][0].isalpha() and words[number][0][0].isupper()]
    while beside:
        number = beside.pop()
        for other in (number - 1, number + 1):
            if not 0 <= other < len(words) or other in unknown:
                continue
            is_part = _is_called_so(words[other]) or _is_vouched_by_form_alone(words[other])
            if not is_part and not (other < number and _is_particle(words, other)):
                continue
            left, right = sorted((number, other))
            if _NAME_GAP.match(text[words[left].end() : words[right].start()]):
                unknown.add(other)
                beside.append(other)


def _is_vouched_by_form_alone(word: re.Match[str]) -> bool:
    """Return whether a short word is known as an abbreviation by its form alone: Esk, beside Torvald."""
    text = word[0]
    is_short = _MIN_NAME <= len(text) <= _MAX_SHORT_NAME
    return is_short and text.istitle() and text.isalpha() and fold(text) not in known_words()


def _is_particle(words: Sequence[re.Match[str]], number: int) -> bool:
    """Return whether a word before a name belongs to it: van, der after van; de alone is French for of."""
    word = fold(words[number][0])
    if word in _SURE_PARTICLES:
        return True
    before = fold(words[number - 1][0]) if number else ""
    return word in particles() and (before in _SURE_PARTICLES or word in {"ten", "ter"})


def _rooms_and_phones(text: str) -> Iterator[Span]:
    for match in _ROOM.finditer(text):
        code = match["code"]
        # Station 2 and bed 3 are positions of the table.
        if match["room"] or not code.isdecimal() or len(code) > 1:
            yield *match.span("code"), ""
    for match in _GROUPED.finditer(text):
        yield *match.span(), ""
    for match in _PHONE.finditer(text):
        if sum(map(str.isdecimal, match[0])) >= _MIN_PHONE:
            yield *match.span(), ""


def _initials(
    text: str,
    words: Sequence[re.Match[str]],
    unknown: Set[int],
    dates: Sequence[Span],
    extra_words: Set[str],
) -> Iterator[Span]:
    """Yield initials before a removed name and on both sides of a date: J. Quandt, JS 12/3/21."""
    for number in unknown:
        if len(words[number][0]) >= _MIN_NAME and (before := number - 1) >= 0 and before not in unknown:
            between = text[words[before].end() : words[number].start()]
            if len(words[before][0]) == 1 and words[before][0].isupper() and between in {".", ". ", "^"}:
                yield words[before].start(), words[before].end() + between.count("."), ""
        if len(words[number][0]) >= _MIN_NAME and (after := number + 1) < len(words):
            between = text[words[number].end() : words[after].start()]
            is_initial = len(words[after][0]) == 1 and words[after][0].isupper()
            if (
                is_initial
                and between in {" ", ", "}
                and text[words[after].end() : words[after].end() + 1] == "."
            ):
                yield words[after].start(), words[after].end() + 1, ""
    starts = [word.start() for word in words]
    for start, end, _ in dates:
        following = bisect_left(starts, end)
        preceding = bisect_left(starts, start) - 1
        for number in (preceding, following):
            if not 0 <= number < len(words) or not _are_initials(words[number], extra_words):
                continue
            between = text[words[number].end() : start] if number == preceding else text[end : starts[number]]
            if _DATE_GAP.match(between) and not start < words[number].end() <= end:
                yield *words[number].span(), ""
        for match in _INITIALS.finditer(text, max(0, start - _LONGEST_INITIALS), start):
            if _DATE_GAP.match(text[match.end() : start]):
                yield *match.span(), ""


def _are_initials(word: re.Match[str], extra_words: Set[str]) -> bool:
    letters = word[0]
    return 1 < len(letters) <= _MAX_INITIALS and letters.isalpha() and not _is_listed(letters, extra_words)


def _is_listed(word: str, extra_words: Set[str]) -> bool:
    """Return whether a vocabulary has a short word; by its form it could be initials."""
    folded = fold(word)
    return folded in known_words() or folded in extra_words or folded in particles()
