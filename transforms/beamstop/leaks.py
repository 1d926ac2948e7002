"""CheckLeaks: searches a finished file for the instance's own identifiers.

What is searched for, and what is not (rules by number; each has a test of the same number):

1.  A needle has at least four letters or digits. Ideographs and syllables (CJK, kana, hangul) say
    more each: there two are enough.
2.  A word of a name is a needle unless it is an ordinary word (`vocabulary.ordinary`: attribute
    names, code meanings, modalities, placeholders such as ANONYMOUS or PHANTOM, plain English).
3.  A whole name is a needle in either order, with any separator or joined ("Li Wu", "wu^li",
    "LIWU", "Grant Brown"). One of ordinary words, among them one that nobody is called (CT^Chest,
    Test^Brown), is a needle only as it was written, with its caret: "ct chest" means nothing.
4.  A number (identifier, telephone) needs four digits, leading zeros not counted, and is no year of our
    time (1900 to 2099); it is found with
    any of `-/ ` between its digits, with and without leading zeros.
5.  An identifier of letters and digits is found with any or no separators, unless it is an ordinary
    word with up to three digits (CT01, 4MR1, SCANNER2).
6.  An identifier of letters alone counts as a word (rule 2).
7.  A place is a needle as a whole unless all its words are ordinary (RADIOLOGY), and so is each of its words
    of five letters or more that is in no vocabulary.
8.  A date is found in all the ways `written_dates` reads, when it names a day and has a four-digit
    year; dates that stand for none (1900-01-01) are not needles.
9.  Digits stand alone: no digit and no decimal point beside them. So 20040826 is not in
    2.25.99820040826771 nor in 1.20040826; followed by a time of day (20040826185059) it is a date.
10. A UID is found as a whole and never in part; it has at least ten characters.
11. Values the recipe keeps are no needles, nor are the words in them.
12. Words are whole words: no letter beside them (SMITH01 and Smith_1 hold Smith, Smithsonian does not).
13. Numbers are no identifiers: elements of VR AT DS FD FL IS OF OD OL OV SL SS SV TM UL US UV are
    not searched: a kept 1234567 there is a measure by chance.
14. In OB, OW and UN a needle counts inside eight or more printable characters, or in a run of six letters
    and digits, or where all of the value is text. A word of four letters falls on random bytes in either
    case once in 3 * 10^8 positions, hence on 0.7 % of 2 MB payloads; within eight printable ones, on 0.01 %.
15. Comments and application segments of compressed frames (JPEG, JPEG-LS, JPEG 2000) are one text.

Encodings: ASCII, Latin-1 (accents folded), UTF-8, UTF-16 in both orders, and the instance's own
character sets.

Method: the header is folded and cut into words once, and its words are intersected with the needles';
no needle is searched for by itself. Only when that finds something is the file parsed and each
element looked at with its boundaries and VR, which decides.
"""

import re
import string
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from io import BytesIO
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag
from pydicom.uid import DeflatedExplicitVRLittleEndian

from beamstop.elements import BROKEN
from beamstop.errors import Quarantined
from beamstop.identifiers import Identifiers, Name, Words, decode_leniently
from beamstop.tags import tag_name, vr_of
from beamstop.vocabulary import fold, is_dull, is_placeholder, is_syllabic, vocabulary
from beamstop.written_dates import MONTHS, find_dates

MIN_LENGTH = 4
MIN_DIGITS = 4
YEARS = range(1900, 2100)
MIN_PLACE_WORD = 5
MIN_UID_LENGTH = 10
MIN_PRINTABLE = 8
MIN_PRINTABLE_WORD = 6
MIN_SYLLABLES = 2
MAX_NEIGHBOURS = 2  # bytes of the next tag that can look like part of a value
_SHORTEST_MONTH = 3
_LARGE = 1 << 18  # bytes; from here numpy cuts faster than split

_NUMERIC_VRS = frozenset(
    ("AT", "DS", "FD", "FL", "IS", "OD", "OF", "OL", "OV", "SL", "SS", "SV", "TM", "UL", "US", "UV")
)
_TEXT_VRS = frozenset(("AE", "AS", "CS", "DA", "DT", "LO", "LT", "PN", "SH", "ST", "UC", "UI", "UR", "UT"))
_PREAMBLE_END, _META_START = 128, 132


def _table(kept: str, changed: dict[int, int] | None = None) -> bytes:
    """Return a table for bytes.translate: letters become small, what is not kept becomes a space."""
    mapping = {ord(letter): ord(letter.lower()) for letter in kept} | (changed or {})
    return bytes(mapping.get(byte, _SPACE) for byte in range(256))


_SPACE, _UNDERSCORE = ord(" "), ord("_")
_ALNUM = string.ascii_letters + string.digits
_ACCENTED = {byte: ord(fold(chr(byte))[0]) for byte in range(0xC0, 0xFE) if chr(byte).isalpha()}
_TO_WORDS = _table(_ALNUM)
_TO_FOLDED_WORDS = _table(_ALNUM, _ACCENTED)
_TO_UTF_8_WORDS = _table(_ALNUM, {byte: byte for byte in (*range(0x80, 0xC0), *range(0xC3, 0xC6))})
# Digits and what may stand between them; a space becomes _ so that it does not split.
_TO_NUMBERS = _table(string.digits + "./-_", {_SPACE: _UNDERSCORE})


def _class_of(byte: int) -> str:
    if chr(byte) in _ALNUM:
        return "w"
    if 0x80 <= byte < 0xC0:
        return "c"
    return "a" if byte in _ACCENTED else " " if byte else "0"


# What every byte is, to tell which encodings occur: w of a word, a accented in Latin-1 or first of an
# accented letter in UTF-8, c second of one, 0 half of an ASCII letter in UTF-16.
_TO_CLASSES = bytes(map(ord, map(_class_of, range(256))))
_ANY_ACCENT = (b"wa", b"aw")
_LATIN_1 = (b"wwa", b"aww", b"waw")
_UTF_8 = (b"wac", b"acw")
_UTF_16 = b"w0w0w"

_LETTERS = re.compile(r"[^\W\d_]+")
_WORD = re.compile(r"[^\W_]+")
_UIDS = re.compile(r"[0-9]+(?:\.[0-9]+)+")
_RUNS = re.compile(r"[^\W\d_]+|[0-9]+")
_PIECES, _PIECES_OR_SPACE = re.compile(r"[-/_]"), re.compile(r"[-/ ]")
_SPACED_DIGITS = re.compile(r"(?<![0-9])(?<![0-9]\.)[0-9](?:[ /-]?[0-9])*(?![0-9])(?!\.[0-9])")
_PRINTABLE = re.compile(rb"[\x20-\x7e]{%d,}|[A-Za-z0-9]{%d,}" % (MIN_PRINTABLE, MIN_PRINTABLE_WORD))
_TEXT = re.compile(rb"[\x09\x0a\x0c\x0d\x1b\x20-\x7e\x80-\xff]+\0*\Z")


@dataclass
class _Needles:
    """What is searched for, made from Identifiers by rules 1 to 8, 10 and 11.

    Attributes:
        words: found as whole words.
        phrases: found word after word, with anything but letters and digits between them, or joined.
        literals: found as they are.
        numbers: digits, found with separators between them.
        spellings: words that are not plain ASCII, lower case, with their accents.
        digits: the numbers, and the dates without separators.
        years: of the dates.
        keys: words one of which is in every text that holds a word, phrase or literal.
        shortest: length of the shortest key, or of a month's name.
        count: of identifiers that gave at least one needle.
    """

    identifiers: Identifiers
    words: set[str] = field(default_factory=set)
    phrases: set[Words] = field(default_factory=set)
    literals: set[str] = field(default_factory=set)
    numbers: set[str] = field(default_factory=set)
    uids: set[str] = field(default_factory=set)
    spellings: set[str] = field(default_factory=set)
    digits: set[str] = field(default_factory=set)
    years: set[str] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)
    shortest: int = _SHORTEST_MONTH
    count: int = 0

    def __post_init__(self) -> None:
        makers: list[tuple[Iterable[Any], Any]] = [
            (self.identifiers.names, self._add_name),
            (self.identifiers.ids, self._add_id),
            (self.identifiers.places, self._add_place),
            (self.identifiers.contacts, self._add_contact),
            (self.identifiers.uids, self._add_uid),
        ]
        for values, add in makers:
            self.count += sum(bool(add(value)) for value in values)
        self.count += len(self.identifiers.dates)
        dates = self.identifiers.dates
        self.digits = self.numbers.union(*map(_packed, dates))
        self.years = {f"{day.year}" for day in dates}
        self.keys = self.words.union(*(_keys(phrase) for phrase in self.phrases))
        self.keys.update(*(_keys(_WORD.findall(literal)) for literal in self.literals))
        self.shortest = min(_SHORTEST_MONTH, *map(len, self.keys), _SHORTEST_MONTH)
        self.spellings = {word for word in self.identifiers.spellings if _is_long_enough(word)}

    def _add_name(self, name: Name) -> bool:
        parts = [word for component in name for word in component]
        singles = {word for word in parts if self._tells(word)}
        singles |= {joined for component in name if self._tells(joined := "".join(component))}
        self.words |= singles
        if singles.issuperset(parts) or len(name) < 2:  # each word is looked for by itself
            return bool(singles)
        family, given = name[0], name[1]
        pairs = {family + given, given + family}
        if all(map(is_dull, family + given)) and any(map(is_placeholder, family + given)):
            self.literals.add(" ".join(family) + "^" + " ".join(given))
        elif sum(map(len, family + given)) >= MIN_LENGTH:
            self.phrases |= pairs
        return True

    def _add_id(self, words: Words) -> bool:
        joined = "".join(words)
        if joined in self.identifiers.kept:
            return False
        if joined.isdecimal():
            return self._add_number(joined)
        if joined.isalpha():
            if len(words) == 1:
                return self._add_word(joined)
            return self._add_phrase(words)
        if is_dull(joined) or len(joined) < MIN_LENGTH:
            return False
        self.phrases.add(words)
        for part in words:
            if part.isdecimal():
                self._add_number(part)
        return True

    def _add_place(self, words: Words) -> bool:
        for word in words:
            if len(word) >= MIN_PLACE_WORD and word.isalpha() and word not in vocabulary():
                self._add_word(word)
        return self._add_phrase(words)

    def _add_contact(self, words: Words) -> bool:
        joined = "".join(words)
        return self._add_number(joined) if joined.isdecimal() else self._add_phrase(words)

    def _add_uid(self, uid: str) -> bool:
        if len(uid) >= MIN_UID_LENGTH:
            self.uids.add(uid)
        return len(uid) >= MIN_UID_LENGTH

    def _add_word(self, word: str) -> bool:
        if self._tells(word):
            self.words.add(word)
        return word in self.words

    def _add_phrase(self, words: Words) -> bool:
        if all(map(is_dull, words)) or sum(map(len, words)) < MIN_LENGTH:
            return False
        self.phrases.add(words)
        return True

    def _add_number(self, digits: str) -> bool:
        bare = digits.lstrip("0")
        tells = len(bare) >= MIN_DIGITS and not (len(bare) == MIN_DIGITS and int(bare) in YEARS)
        if tells:
            self.numbers |= {bare, digits}
        return tells

    def _tells(self, word: str) -> bool:
        if word.isdecimal() or is_dull(word) or word in self.identifiers.kept:
            return False
        return _is_long_enough(word)


def _packed(day: date) -> tuple[str, str, str]:
    """Return a date without separators: year, month, day; day, month, year; month, day, year."""
    year, month, number = f"{day.year:04}", f"{day.month:02}", f"{day.day:02}"
    return year + month + number, number + month + year, month + number + year


def _keys(words: Sequence[str]) -> tuple[str, str]:
    """Return what a phrase is known by: its longest word, and all of them joined."""
    return max(words, key=len), "".join(words)


def _is_long_enough(word: str) -> bool:
    return len(word) >= (MIN_SYLLABLES if is_syllabic(word) else MIN_LENGTH)


def check_leaks(header: bytes, identifiers: Identifiers, comments: bytes = b"") -> int:
    """Search a finished file for the identifiers of its original; return how many were looked for.

    Args:
        header: the whole file but its top-level pixel data, inflated (`files.encode`).
        identifiers: from `identifiers.harvest`.
        comments: of compressed pixel data (`codestreams.comments`).

    Raises:
        Quarantined: `leak`; its detail is the path of the element that holds one, by keywords,
            `preamble`, `PixelData comment`, or `unreadable` where the suspicious file cannot be parsed.
    """
    needles = _Needles(identifiers)
    if _may_hold(header, needles):
        for path, texts in _texts(header, identifiers.encodings):
            if any(_holds(text, needles) for text in texts):
                raise Quarantined("leak", path)
    if comments and _may_hold(comments, needles) and _holds(comments.decode("latin-1"), needles):
        raise Quarantined("leak", "PixelData comment")
    return needles.count


def _may_hold(header: bytes, needles: _Needles) -> bool:
    """Say whether any needle may be in there; never no where the answer is yes."""
    classes = header.translate(_TO_CLASSES)
    if _may_hold_words(_cut(header, _TO_WORDS, needles), needles) or _may_hold_numbers(header, needles):
        return True
    if _occurs(_ANY_ACCENT, classes):
        if _occurs(_LATIN_1, classes) and _may_hold_words(_cut(header, _TO_FOLDED_WORDS, needles), needles):
            return True
        if _occurs(_UTF_8, classes) and _may_hold_words(_utf_8_words(header, needles), needles):
            return True
    if _UTF_16 in classes:
        narrow = header.replace(b"\0", b"")
        if _may_hold_words(_cut(narrow, _TO_WORDS, needles), needles) or _may_hold_numbers(narrow, needles):
            return True
    return any(spelled in header for spelled in _spelled(needles))


def _occurs(patterns: tuple[bytes, ...], classes: bytes) -> bool:
    return any(pattern in classes for pattern in patterns)


def _utf_8_words(header: bytes, needles: _Needles) -> list[str]:
    words = [word for word in _cut(header, _TO_UTF_8_WORDS, needles) if not word.isascii()]
    return _WORD.findall(fold(" ".join(words).encode("latin-1").decode("utf-8", "replace")))


def _cut(data: bytes, table: bytes, needles: _Needles) -> list[str]:
    """Return the words that are as long as the shortest a needle is known by."""
    translated = data.translate(table)
    shortest = needles.shortest
    if len(data) < _LARGE:
        return [word for word in set(translated.decode("latin-1").split()) if len(word) >= shortest]
    letters = np.frombuffer(translated, np.uint8) != _SPACE
    edges = np.flatnonzero(np.diff(letters, prepend=False, append=False))
    starts, ends = edges[::2], edges[1::2]
    long = ends - starts >= shortest
    pairs = zip(starts[long].tolist(), ends[long].tolist(), strict=True)
    text = translated.decode("latin-1")
    return list({text[start:end] for start, end in pairs})


def _may_hold_words(words: list[str], needles: _Needles) -> bool:
    mixed = [word for word in words if not (word.isalpha() or word.isdecimal())]
    words += _RUNS.findall(" ".join(mixed))
    return not (
        needles.keys.isdisjoint(words)
        and needles.keys.isdisjoint(_without_neighbours(words))
        and (needles.years.isdisjoint(words) or MONTHS.isdisjoint(words))
    )


def _without_neighbours(words: list[str]) -> Iterator[str]:
    """Yield words less what may be no part of them.

    A value is followed by the next tag, whose first two bytes can look like letters or digits (group
    3130 is "01"); in big endian it is preceded by the second byte of its length.
    """
    for word in words:
        yield word[:-1]
        yield word[:-2]
        yield word[1:]


def _may_hold_numbers(data: bytes, needles: _Needles) -> bool:
    tokens = set(data.translate(_TO_NUMBERS).decode("latin-1").split())
    numbers = [token.strip("_-/.") for token in tokens if len(token) >= MIN_DIGITS]
    whole = needles.uids | needles.digits
    return not (
        whole.isdisjoint(numbers)
        and whole.isdisjoint(_without_neighbours(numbers))
        and not any(_may_be_number(number, needles) for number in numbers if _is_composed(number))
    )


def _is_composed(number: str) -> bool:
    """Say whether digits have separators, a date's two dots, or a time behind a date; no decimal, no UID."""
    dots = number.count(".")
    if number.isdecimal() or number.find(".") >= len("200408261850"):
        return len(number) > len("20040826")
    if number.replace(".", "").isdecimal():
        return dots == 2 and len(number) <= len("26.08.2004") + MAX_NEIGHBOURS
    return True


def _may_be_number(number: str, needles: _Needles) -> bool:
    """Look closer: pieces, pieces joined, dates; all with what may hang on at the end."""
    for spelled in (number, number[:-1], number[:-2]):
        pieces = _PIECES.split(spelled)
        joined = "".join(pieces)
        if not needles.digits.isdisjoint(
            (*pieces, *(piece[:8] for piece in pieces), joined, joined.lstrip("0"))
        ):
            return True
        if len(spelled) >= len("1.1.2004") and _has_date(spelled.replace("_", " "), needles):
            return True
    return False


def _spelled(needles: _Needles) -> Iterator[bytes]:
    """Yield the words that are not plain ASCII in every encoding that has them, in three cases."""
    encodings = {"utf-8", "latin-1", "utf-16-le", "utf-16-be", *needles.identifiers.encodings}
    for word in needles.spellings:
        for spelling in {word, word.upper(), word.capitalize()}:
            for encoding in encodings:
                try:
                    encoded = spelling.encode(encoding)
                except UnicodeEncodeError:
                    continue
                # ISO 2022 ends with the escape back to ASCII; the word may go on before it.
                yield encoded.removesuffix(b"\x1b(B") if encoded.startswith(b"\x1b") else encoded


def _holds(text: str, needles: _Needles) -> bool:
    """Say whether a text holds a needle, boundaries considered; this decides."""
    folded = fold(text)
    words = set(_WORD.findall(folded))
    words.update(*(_LETTERS.findall(word) for word in tuple(words) if not word.isalpha()))
    return (
        not needles.words.isdisjoint(words)
        or any(_has_phrase(folded, phrase) for phrase in needles.phrases)
        or any(literal in folded for literal in needles.literals)
        or not needles.uids.isdisjoint(_UIDS.findall(text))
        or _has_number(text, needles)
        or _has_date(text, needles)
        or _has_spelling(text.lower(), needles)
    )


def _has_phrase(folded: str, words: Words) -> bool:
    pattern = r"(?<![^\W_])" + r"[\W_]{0,3}".join(words) + r"(?![^\W_])"
    return words[0] in folded and re.search(pattern, folded) is not None


def _has_number(text: str, needles: _Needles) -> bool:
    for match in _SPACED_DIGITS.finditer(text):
        pieces = _PIECES_OR_SPACE.split(match[0])
        joined = "".join(pieces)
        if not needles.numbers.isdisjoint({*pieces, joined, joined.lstrip("0")}):
            return True
    return False


def _has_date(text: str, needles: _Needles) -> bool:
    dates = needles.identifiers.dates
    return any(
        found.whole and found.has_century and not dates.isdisjoint(found.readings)
        for found in find_dates(text)
    )


def _has_spelling(lowered: str, needles: _Needles) -> bool:
    return any(
        word in lowered and (is_syllabic(word) or word in _WORD.findall(lowered))
        for word in needles.spellings
    )


def _texts(header: bytes, encodings: tuple[str, ...]) -> Iterator[tuple[str, list[str]]]:
    """Yield the path of every element that can hold text, and what its bytes can be read as."""
    yield "preamble", _readings(header[:_PREAMBLE_END], "UN", ())
    try:
        meta = read_dataset(BytesIO(header[_META_START:]), False, True, stop_when=_is_past_meta)
        start = _META_START + 12 + int(meta.FileMetaInformationGroupLength)
        syntax = meta.TransferSyntaxUID
        little = syntax.is_little_endian or syntax == DeflatedExplicitVRLittleEndian
        body = read_dataset(BytesIO(header[start:]), syntax.is_implicit_VR, little)
    except BROKEN:
        yield "unreadable", _readings(header, "UN", ())
        return
    yield from _element_texts(meta, "", encodings)
    yield from _element_texts(body, "", encodings)


def _is_past_meta(tag: BaseTag, vr: str | None, length: int) -> bool:
    return tag.group > 2


def _element_texts(
    dataset: Dataset, label: str, encodings: tuple[str, ...]
) -> Iterator[tuple[str, list[str]]]:
    for tag, element in sorted(dataset._dict.items()):
        path, vr = label + tag_name(tag), vr_of(tag, element.VR)
        if vr == "SQ":
            for number, item in enumerate(dataset[tag].value or ()):
                yield from _element_texts(item, f"{path}[{number}].", encodings)
        elif vr not in _NUMERIC_VRS and isinstance(element.value, bytes):
            yield path, _readings(element.value, vr, encodings)


def _readings(value: bytes, vr: str, encodings: tuple[str, ...]) -> list[str]:
    """Return what the bytes of a value can be read as (rules 13 and 14)."""
    if vr == "UI":
        return [value.decode("latin-1")]
    if vr not in _TEXT_VRS and not _TEXT.match(value):
        narrow = value.replace(b"\0", b"")
        return [run.decode("ascii") for data in (value, narrow) for run in _PRINTABLE.findall(data)]
    texts = [value.decode("latin-1"), value.decode("utf-8", "replace")]
    if encodings and (b"\x1b" in value or not value.isascii()):
        texts.append(decode_leniently(value, encodings))
    if b"\0" in value.strip(b"\0"):
        texts += [value.decode("utf-16-le", "replace"), value.decode("utf-16-be", "replace")]
    return texts
