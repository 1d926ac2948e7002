"""Clean Descriptors (PS3.15 E.3.5): removes identifiers from a text, word by word, and leaves the medicine.

Removed are:

1. words of this instance's own names, in any order, case and accents, joined (SmithJohn), with suffixes
   (Smith's, SMITH01), initials beside one (J. Smith), and in every spelling of `writings`: cut short,
   inflected, transliterated, misread, in scripts without spaces. A name that is an ordinary word
   (Brown, Hand) is removed only beside another word, an initial (M. Brown) or a title of the same name, and
   so is a particle (von);
2. its identifiers and telephone numbers, with any or no separators, with or without leading zeros, in
   digits of any script; national numbers that hold its date of birth;
3. its institutions and addresses as a whole, unless they are two ordinary words (Nuclear Medicine), and
   each of their words that no vocabulary knows; a postal code beside its house number;
4. its UIDs, and anything else with the form of one;
5. dates in all forms that `written_dates` reads, this patient's or not, with the time beside them; with
   `shift_date` they are moved instead, in the same form. A possible version (3.11.63) counts as a date only
   if it is one of the instance's dates;
6. anybody's identifiers, by their form, see `shapes`; an age over 89 becomes 90.

Whole letters are removed: no vowel sign and no half of a letter stays.

Everything else stays, in order: T1, L5-S1, 8/10, 2/3, 10.5, 120kVp, and Wilson unless the patient has that
name. PS3.15 asks for no more. With `judge`, unknown words are removed as well, see `unknown_words`.
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property, lru_cache
from itertools import groupby
from typing import Literal, NamedTuple

from beamstop.words.broken_up import LINE_ENDS, VALUE_END, BrokenUp
from beamstop.words.identifiers import Identifiers, Name, Words, address_numbers, runs_of, telephone_numbers
from beamstop.words.national_numbers import own_numbers
from beamstop.words.normal_form import WORD, in_digits_of, located_normal_form, whole_letters
from beamstop.words.shapes import Span, find_shapes
from beamstop.words.unknown_words import find_unknown
from beamstop.words.vocabulary import fold, is_common_word, is_letters, is_placeholder, particles, vocabulary
from beamstop.words.writings import NameWords, OwnWritings, apart, misread_utf_8, read_as_utf_8
from beamstop.words.written_dates import find_dates, packed_days

UnknownWords = Literal["keep", "judge", "remove"]

MIN_NAME = 2
MIN_JOINED = 4
MIN_LOOSE_DIGITS = 6
MIN_PART_DIGITS = 5
MIN_PLACE_WORDS = 3
MAX_PIECES = 6
_BEGINNING = 4  # letters and digits that are enough to exclude most words as the beginning of an identifier
MAX_SEQUENCE = 32  # words of a name, an address or an institution
MIN_PLACE_WORD = 5
_UNSHIFTABLE = (OverflowError, ValueError)
_LINE_ENDS_AS_BLANKS = dict.fromkeys(map(ord, LINE_ENDS), " ")

_LETTERS = re.compile(r"[^\W\d_]+")
# Between two words of one name or number.
_GAP = re.compile(r"[ \t^,.'’/_=#-]{0,3}\Z")
_POSSESSIVE = re.compile(r"['’](?:s(?![^\W_])|(?= ))")

_CLOCK = (
    r"(?:[01]?[0-9]|2[0-3])"
    r"(?::[0-5][0-9](?::[0-5][0-9](?:\.[0-9]+)?)?(?:\s*[AaPp]\.?[Mm]\b\.?)?|[hH][0-5][0-9]\b)"
)
_PACKED_TIME = r"(?:[01][0-9]|2[0-3])[0-5][0-9]"
_TIME_AFTER = re.compile(
    rf"[\s,T_-]*(?:(?:(?:at|um|om|à|@)\s*)?{_CLOCK}|@\s*{_PACKED_TIME}(?:[0-5][0-9])?"
    rf"|(?<=[\s_T-]){_PACKED_TIME}[0-5][0-9](?![0-9.])|(?<=T){_PACKED_TIME}(?![0-9.]))"
    r"(?:\s*(?:Uhr|uur|hrs?|Z|[+-][0-2][0-9]:?[0-5][0-9])(?!\w))?"
)
_TIME_BEFORE = re.compile(rf"(?<![\w.:]){_CLOCK}[\s,]*(?:(?:on|am|le|op)\s+)?\Z")
_UID = re.compile(r"(?<![0-9])[0-9]+(?:\.[0-9]+)+")
# Codes, levels, sizes and numbers: T1, L5, 3mm, 120kvp, 1024. Longer ones are unknown words.
_MEASURE = re.compile(
    r"[0-9]{1,4}(?:[a-zµ]{1,5}[0-9]?)?\Z|[0-9]{1,4}(?:x[0-9]{1,4}){1,2}(?:mm|cm)?\Z|b[0-9]{2,4}\Z|[a-z]{1,4}[0-9]{1,3}[a-z]{0,2}\Z|[a-z]\Z"
)
_CUT = "\0"
_CUTS = re.compile(r"\0(?:[ \t^,.;:'’/=+&_-]*\0)+")
_BROKEN_PAIR = re.compile(r"\([ \t]*\0[ \t]*\)|\[[ \t]*\0[ \t]*\]|<[ \t]*\0[ \t]*>|\"[ \t]*\0[ \t]*\"")
_CUT_AT_START = re.compile(rf"(?m)(?:^|(?<={VALUE_END}))[ \t]*\0[ \t:.;,]*")
# Match separators only from the first of a row: otherwise a row takes quadratic time.
_CUT_AND_SEPARATORS = re.compile(
    r"(?P<left>(?:(?<![ \t^,;/=+&_-])[ \t^,;/=+&_-]++)?)\0(?P<right>[ \t^,;/=+&_-]*)"
)
_ENDS = "\r\n" + VALUE_END
_MAX_BRACKETS = 8  # nested brackets that are removed with the content of the innermost


def clean_text(
    text: str,
    identifiers: Identifiers,
    unknown_words: UnknownWords = "keep",
    extra_words: Set[str] = frozenset(),
    shift_date: Callable[[date], date] | None = None,
    modality: str = "",
) -> str:
    """Return a text without identifiers; every other word stays, in order.

    Args:
        text: one value of a description or comment.
        identifiers: of the instance with the text.
        unknown_words: action for words that neither the vocabulary nor `extra_words` knows: `keep`,
            `judge` (words stay if a larger vocabulary knows them, or by their form) or `remove`.
        extra_words: folded words that stay (`vocabulary.fold`), unless they identify.
        shift_date: moves dates instead of removing them; a date that it cannot move (OverflowError) is
            removed.
        modality: of the instance, empty if unknown: it distinguishes MR BRAIN from Mr Brown.

    Returns:
        The same object if nothing is removed, so that a caller may keep the bytes.

    >>> clean_text("CT CHEST W/CONTRAST for Mr. Smith DOB 1/2/1970 seen by Dr. Wood", Identifiers())
    'CT CHEST W/CONTRAST for DOB seen by'
    """
    right = read_as_utf_8(text)
    if right is not None:
        clean = clean_text(right, identifiers, unknown_words, extra_words, shift_date, modality)
        return text if clean is right else misread_utf_8(clean, text)
    terms = _terms(identifiers)
    normal, places = located_normal_form(text)
    dates = list(_dates(normal, identifiers, shift_date))
    spans = [*dates, *find_shapes(normal, modality), *_own(normal, terms)]
    if unknown_words == "judge":
        spans += _outside(dates, find_unknown(normal, dates, extra_words))
    elif unknown_words == "remove":
        spans += _unknown_words(normal, extra_words)
    if places is not None:
        spans = [_as_written(text, places, span) for span in spans]
    spans += ((start, end, "") for start, end in terms.writings.find(text))
    spans += ((start, end, "") for start, end in terms.writings.find_titled(text))
    return _without(text, spans) if spans else text


def clean_values(values: list[str], clean: Callable[[str], str]) -> list[str]:
    """Clean the values of one attribute as one text: a name may begin in one and end in the next.

    Args:
        values: as many are returned.
        clean: `clean_text`.
    """
    if len(values) == 1 or any(VALUE_END in value for value in values):
        return [clean(value) if value else value for value in values]
    cleaned = clean(VALUE_END.join(values)).split(VALUE_END)
    if len(cleaned) == 1:
        return [""] * len(values)
    return [
        new if new == old or any(map(str.isalnum, new)) else ""
        for old, new in zip(values, cleaned, strict=True)
    ]


def _as_written(text: str, places: Sequence[int], span: Span) -> Span:
    """Map a span of a text's normal form to the text, so that it covers whole letters."""
    start, end, instead = span
    while start < end < len(places) - 1 and places[end] == places[end - 1]:
        end += 1
    first, last = places[start], places[end]
    return first, last, in_digits_of(instead, text[first:last]) if instead else ""


class _Sequences:
    """Sequences of words with the same first word; only the first words of long ones count."""

    def __init__(self) -> None:
        self._by_length: dict[int, set[Words]] = {}

    def add(self, words: Words) -> None:
        known = words[:MAX_SEQUENCE]
        self._by_length.setdefault(len(known), set()).add(known)

    def longest_in(self, words: list[str]) -> int:
        """Return the length of the longest sequence with which some words begin."""
        fitting = (size for size, known in self._by_length.items() if tuple(words[:size]) in known)
        return max(fitting, default=0)


@dataclass
class _Terms:
    """An instance's identifiers, prepared for comparison with a text.

    Attributes:
        names: words that are removed anywhere.
        common_names: ordinary words, which are removed beside one of `names`.
        initials: of all names.
        initialed: by family name, the initials of the given names.
        sequences: by first word, words that are removed if they follow one another.
        joined_sequences: some of them, their words joined.
        careted: like sequences, but only with a caret or comma between the first two.
        joined: letters and digits that are removed with anything between them.
        broken: names, numbers and dates that are broken up.
        forms: spellings of the words of persons' names.
        writings: of the names, in texts without spaces or with lost letters.
        uids: unchanged.
        births: dates of birth, which national numbers contain.
    """

    persons: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    common_names: set[str] = field(default_factory=set)
    initials: set[str] = field(default_factory=set)
    initialed: dict[str, set[str]] = field(default_factory=dict)
    sequences: dict[str, "_Sequences"] = field(default_factory=dict)
    joined_sequences: set[str] = field(default_factory=set)
    careted: dict[str, "_Sequences"] = field(default_factory=dict)
    joined: set[str] = field(default_factory=set)
    forms: NameWords = field(default_factory=NameWords)
    writings: OwnWritings = field(default_factory=OwnWritings)
    broken: BrokenUp = field(default_factory=BrokenUp)
    uids: frozenset[str] = frozenset()
    births: frozenset[date] = frozenset()

    def may_begin(self, word: str) -> bool:
        """Return whether one of `joined` may begin with a word, leading zeros not counted."""
        begins = self._beginnings
        return word[:_BEGINNING] in begins or word.lstrip("0")[:_BEGINNING] in begins

    @cached_property
    def _beginnings(self) -> set[str]:
        return {it[:length] for it in self.joined for length in range(_BEGINNING + 1)}

    def add_name(self, name: Name, kept: frozenset[str]) -> None:
        words = [word for component in name for word in component]
        telling = (
            {word for word in words if len(word) >= MIN_NAME and not is_common_word(word)}
            - kept
            - particles()
        )
        self.names |= telling
        self.persons |= telling
        for word in telling:
            for pair in apart(word):
                self.sequences.setdefault(pair[0], _Sequences()).add(pair)
        if telling:
            self.common_names.update(word for word in words if is_letters(word) and word not in telling)
        self.initials.update(word[0] for word in words if is_letters(word))
        if len(name) < 2:
            return
        family, given, *_ = name
        self.initialed.setdefault(family[-1], set()).update(word[0] for word in given if is_letters(word))
        is_nobody = not telling and any(map(is_placeholder, (*family, *given)))
        for order in ((*family, *given), (*given, *family)):
            kind = self.careted if is_nobody else self.sequences
            kind.setdefault(order[0], _Sequences()).add(order)
            if telling and len("".join(order)) >= MIN_JOINED:
                self.joined.add("".join(order))
        self.names.update(
            joined for part in name if len(part) > 1 and not is_common_word(joined := "".join(part))
        )

    def add_id(self, words: Words) -> None:
        joined = "".join(words)
        if joined.isdecimal():
            self.add_number(joined)
        elif is_letters(joined):
            self.add_sequence(words)
        elif len(joined) >= MIN_JOINED and not is_common_word(joined):
            self.joined.add(joined)
            runs = runs_of(words)
            for is_number, parts in groupby(runs, str.isdecimal):
                run = "".join(parts)
                if is_number and len(run.lstrip("0")) >= MIN_LOOSE_DIGITS:  # 77-120.554 of PX.77-120.554
                    self.add_number(run)
            for part in runs:
                if part.isdecimal() and len(part.lstrip("0")) >= MIN_PART_DIGITS:
                    self.add_number(part)

    def add_number(self, digits: str) -> None:
        bare = digits.lstrip("0")
        if len(bare) >= MIN_JOINED:
            self.joined |= {digits, bare}

    def add_place(self, words: Words, kept: frozenset[str]) -> None:
        self.add_sequence(words, is_named=len(words) >= MIN_PLACE_WORDS)
        for pair in address_numbers(words):
            self.sequences.setdefault(pair[0], _Sequences()).add(pair)
        known = vocabulary() | kept
        self.names.update(
            word for word in words if len(word) >= MIN_PLACE_WORD and is_letters(word) and word not in known
        )

    def add_contact(self, words: Words) -> None:
        for digits in telephone_numbers(words):
            self.add_number(digits)
            self.add_number(f"0{digits}")  # as it is dialled within the country
        if not "".join(words).isdecimal():
            self.add_sequence(words)

    def add_sequence(self, words: Words, is_named: bool = False) -> None:
        """Add words; if all are ordinary (Nuclear Medicine), only if there are enough for a name."""
        if (is_named or not all(map(is_common_word, words))) and len("".join(words)) >= MIN_JOINED:
            self.sequences.setdefault(words[0], _Sequences()).add(words)
            self.joined_sequences.add("".join(words))


@lru_cache(maxsize=2)
def _terms(identifiers: Identifiers) -> _Terms:
    """Return the terms of one instance, cached because its texts are cleaned one after another."""
    terms = _Terms(uids=identifiers.uids, births=identifiers.births)
    for name in identifiers.names:
        terms.add_name(name, identifiers.kept)
    for words in identifiers.ids:
        terms.add_id(words)
    for words in identifiers.places:
        terms.add_place(words, identifiers.kept)
    for words in identifiers.contacts:
        terms.add_contact(words)
    days = (form for day in identifiers.dates for form in packed_days(day))
    terms.broken = BrokenUp({*terms.names, *terms.joined, *terms.joined_sequences, *days})
    terms.forms = NameWords(terms.persons, identifiers.kept)
    terms.writings = OwnWritings(identifiers.names, identifiers.spellings, identifiers.misread, terms.names)
    return terms


class _Token(NamedTuple):
    start: int
    end: int
    word: str  # folded


def _tokens(text: str) -> list[_Token]:
    return [_Token(*match.span(), fold(match[0])) for match in WORD.finditer(text)]


def _own(text: str, terms: _Terms) -> Iterator[Span]:
    """Yield the spans of this instance's own identifiers."""
    tokens = _tokens(text)
    gone = {number for number, token in enumerate(tokens) if _is_name(token.word, terms)}
    for first, (_, end, word) in enumerate(tokens):
        if word in terms.sequences:
            gone.update(_sequence_at(tokens, first, terms.sequences[word]))
        if word in terms.careted and (careted := _sequence_at(tokens, first, terms.careted[word])):
            between = text[end : tokens[first + 1].start]
            gone.update(careted if "^" in between or "," in between else ())
        if terms.may_begin(word):
            gone.update(_joined_at(text, tokens, first, terms))
        if word in terms.initials:
            gone.update(_initial_and_name_at(text, tokens, first, terms))
    if gone:
        _add_neighbours(text, tokens, gone, terms)
    for number in gone:
        start, end, _ = tokens[number]
        possessive = None if text[start - 1 : start] in {"'", "’"} else _POSSESSIVE.match(text, end)
        yield start, possessive.end() if possessive else end, ""
    for match in _UID.finditer(text) if terms.uids else ():
        if match[0] in terms.uids:
            yield *match.span(), ""
    for start, end in (*own_numbers(text, terms.births), *terms.broken.find(text)):
        yield start, end, ""


def _is_name(word: str, terms: _Terms) -> bool:
    if word in terms.names or word in terms.forms:
        return True
    return not word.isalpha() and any(
        run in terms.names for run in _LETTERS.findall(word) if len(run) >= MIN_JOINED
    )


def _sequence_at(tokens: list[_Token], first: int, sequences: "_Sequences") -> range:
    words = [token.word for token in tokens[first : first + MAX_SEQUENCE]]
    return range(first, first + sequences.longest_in(words))


def _joined_at(text: str, tokens: list[_Token], first: int, terms: _Terms) -> range | tuple[()]:
    """Return the tokens from `first` that together are an identifier, with or without leading zeros."""
    joined, found = "", 0
    for last in range(first, min(first + MAX_PIECES, len(tokens))):
        if last > first and not _GAP.match(text[tokens[last - 1].end : tokens[last].start]):
            break
        joined += tokens[last].word
        # 12/34 is not 1234: joined pieces must be long, or be pieces in the header, too.
        is_long = last == first or len(joined) >= MIN_LOOSE_DIGITS
        if is_long and (joined in terms.joined or joined.lstrip("0") in terms.joined):
            found = last + 1
    return range(first, found) if found else ()


def _initial_and_name_at(text: str, tokens: list[_Token], first: int, terms: _Terms) -> range | tuple[()]:
    """Return the two tokens of "J. Brown"; "brown fat" stays."""
    if first + 1 == len(tokens):
        return ()
    initial, word = tokens[first].word, tokens[first + 1].word
    between = text[tokens[first].end : tokens[first + 1].start]
    is_name = word in terms.common_names or initial in terms.initialed.get(word, ())
    return range(first, first + 2) if is_name and between.rstrip(" ") == "." else ()


def _add_neighbours(text: str, tokens: list[_Token], gone: set[int], terms: _Terms) -> None:
    """Add initials and ordinary words of a name if they are beside a removed word of it."""
    beside = [number for number in gone if _is_name(tokens[number].word, terms)]
    while beside:
        number = beside.pop()
        for other in (number - 1, number + 1):
            if not 0 <= other < len(tokens) or other in gone:
                continue
            left, right = sorted((number, other))
            word = tokens[other].word
            is_part = word in terms.common_names or word in terms.initials
            if is_part and _GAP.match(text[tokens[left].end : tokens[right].start]):
                gone.add(other)
                beside.append(other)


def _dates(text: str, identifiers: Identifiers, shift_date: Callable[[date], date] | None) -> Iterator[Span]:
    """Yield the spans of dates, of overlapping ones the longest, with their replacements."""
    covered = 0
    in_one_line = text.translate(_LINE_ENDS_AS_BLANKS)
    for found in sorted(find_dates(in_one_line), key=lambda found: (found.start, -found.end)):
        is_broken = in_one_line[found.start : found.end] != text[found.start : found.end]
        is_date = (found.sure and not is_broken) or not identifiers.dates.isdisjoint(found.readings)
        if found.start < covered or not is_date:
            continue
        before, covered = covered, found.end
        try:
            instead = found.rewrite(shift_date, identifiers.dates) if shift_date and not is_broken else ""
        except _UNSHIFTABLE:
            instead = ""
        start = found.start
        if not instead and (time := _TIME_AFTER.match(text, found.end)):
            covered = time.end()
        elif not instead and (time := _TIME_BEFORE.search(text, before, found.start)):
            start = time.start()
        yield start, covered, instead


def _outside(dates: list[Span], spans: Iterable[Span]) -> Iterator[Span]:
    """Yield the spans outside of rewritten dates, whose parts are not words."""
    rewritten = [(start, end) for start, end, instead in dates if instead]  # in order, none in another
    starts = [start for start, _ in rewritten]
    for start, end, instead in spans:
        last = bisect_left(starts, end) - 1  # the last that begins before the span ends
        if last < 0 or rewritten[last][1] <= start:
            yield start, end, instead


def _unknown_words(text: str, extra_words: Set[str]) -> Iterator[Span]:
    known = vocabulary()
    for token in _tokens(text):
        if not (token.word in known or token.word in extra_words or _MEASURE.match(token.word)):
            yield token.start, token.end, ""


def _without(text: str, spans: list[Span]) -> str:
    """Cut spans out, together with separators and brackets that are no longer needed."""
    parts, done = [], 0
    for start, end, instead in sorted(_within_values(text, spans), key=lambda span: (span[0], -span[1])):
        start, end = whole_letters(text, start, end)
        if start >= done:
            parts.append(text[done:start].replace(_CUT, " ") + (instead or _CUT))
        done = max(done, end)
    rest = "".join(parts) + text[done:].replace(_CUT, " ")
    for _ in range(_MAX_BRACKETS):
        previous, rest = rest, _BROKEN_PAIR.sub(_CUT, _CUTS.sub(_CUT, rest))
        if rest == previous:
            break
    rest = _CUT_AND_SEPARATORS.sub(_joint, _CUT_AT_START.sub(_CUT, rest))
    return rest if any(map(str.isalnum, rest)) else ""


def _within_values(text: str, spans: Iterable[Span]) -> Iterator[Span]:
    """Divide spans at the ends of values, so that an attribute has as many values as before."""
    for start, end, instead in spans:
        while VALUE_END in text[start:end]:
            part = text.index(VALUE_END, start)
            yield start, part, ""
            start, instead = part + 1, ""
        yield start, end, instead


def _joint(match: re.Match[str]) -> str:
    """Return the separators that stay from both sides of a cut."""
    left, right, text = match["left"], match["right"], match.string
    if match.start() == 0 or text[match.start() - 1] in _ENDS:
        return ""
    following = text[match.end() : match.end() + 1]
    if following in ("", *_ENDS):
        return ""
    if not left.strip():
        joint = right if right.strip() else (left and " ") or right
        return joint if following not in ".:;!?)]" else right.strip()
    if right.strip():
        return right
    return (left.rstrip() if "," in left or ";" in left else "") + " " if right else left
