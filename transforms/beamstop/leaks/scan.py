"""The first stage of CheckLeaks: whether bytes may hold a needle, for all needles in one pass."""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from copy import copy
from datetime import date
from functools import lru_cache, partial
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from beamstop.dicom.deadline import check_time
from beamstop.leaks.needles import MIN_UID_LENGTH, Needles
from beamstop.words.identifiers import Words
from beamstop.words.national_numbers import may_hold_birth
from beamstop.words.normal_form import JOINERS, TYPESET, UNSEEN, normal_form
from beamstop.words.text_search import LONGEST, TextSearch
from beamstop.words.vocabulary import fold, in_katakana
from beamstop.words.written_dates import MONTHS

# A value is followed by the next tag, whose first two bytes can look like letters or digits (group
# 3130 is "01"); in big endian it is preceded by the second byte of its length.
_BEFORE, _BEHIND = 1, 2
_WINDOW = 28  # bytes beside a year, in which the rest of its date is
_WORDS_BESIDE = 4  # words of a phrase that are searched on either side of its longest one
_CROWD = 16  # phrases that share their longest word; more are searched in the letters and digits alone
_LONGEST_BROKEN = 64  # letters; longer words count by their letters alone
_LONGEST_GAP = 9  # three separators of three bytes each in UTF-8

_Check = Callable[[bytes, bytes, int, int], bool]  # raw, folded, start, end → does it count?

_LETTERS = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_DIGITS = frozenset(b"0123456789")
_ZERO, _DOT = ord("0"), ord(".")


def _folded_byte(byte: int) -> int:
    letter = chr(byte)
    return ord(fold(letter)[0]) if letter.isalpha() and fold(letter).isascii() else byte


def _class_of(byte: int) -> str:
    if byte in _LETTERS or byte in _DIGITS:
        return "w"
    if 0x80 <= byte < 0xC0:
        return "c"
    if 0xC3 <= byte <= 0xC5:
        return "a"
    if 0xCC <= byte <= 0xF0:
        return "n"
    return " " if byte else "0"


_FOLD = bytes(map(_folded_byte, range(256)))  # small letters, without the accents of Latin-1
# Classes of bytes that show which encodings occur: w in a word, a first and c second byte of an accented
# letter in UTF-8, n first byte of a letter that is not Latin.
_CLASSES = bytes(ord(_class_of(byte)) for byte in range(256))
_UTF_8, _UTF_16 = (b"wac", b"acw"), b"w0w0w"
_MONTH_NAMES = sorted((name.encode() for name in MONTHS if name.isascii()), key=len, reverse=True)
_MONTH = re.compile(rb"(?<![a-z])(?=[a-z])(?:" + b"|".join(_MONTH_NAMES) + rb"|[ivx]{1,4})(?![a-z]{3})")
_MONTH_AND_SHORT_YEAR = re.compile(_MONTH.pattern + rb"[.]?[-/ ]?'?[0-9]{2}")
_SEPARATED = re.compile(
    rb"([0-9]{4})([-/. _,:;*|=\s\\])[\s\\]{0,3}([0-9]{1,2})\2[\s\\]{0,3}([0-9]{1,2})"
    rb"|([0-9]{1,2})([-/. _,:;*|=\s\\])[\s\\]{0,3}([0-9]{1,2})\6[\s\\]{0,3}([0-9]{4})"
)
_APART = bytes(byte for byte in range(256) if byte not in _LETTERS and byte not in _DIGITS)
_APART_IN_ASCII = bytes(byte for byte in _APART if byte < 0x80)
_SEPARATORS_OF_NUMBERS = b"-/ \xa0\x96\x97"  # with a no-break space, and the dashes of Windows 1252
# What may be between two letters of a word or number that is broken up (`words/broken_up`).
_SPACE = rb"[^a-z0-9\0\x80-\xff]{1,3}"
_LINE_END = rb"(?:-?[ \t]*[\0-\x08\n-\x1f\x7f\\][\s\\]*)?"
_MARK_OR_LINE_END = rb"(?: ?[!-/:-@\[-`{-~] ?|-?[ \t]*[\0-\x08\n-\x1f\x7f\\][\s\\]*)?"
_ESCAPES = re.compile(rb"\x1b[ -/]+[0-~]")  # of ISO 2022
_ANY_MARK = re.compile(rb"[!-/:-@\[-`{-~]")
_SHORT_WINDOW = 8
_SHORT_DATE = re.compile(rb"(?<![0-9.])[0-9]{1,2}([-/.,]) ?[0-9]{1,2}\1 ?[0-9]{1,2}(?![0-9.])")
_UID = re.compile(rb"[0-9]+(?:\.[0-9]+)*")
_UID_HEAD = MIN_UID_LENGTH  # characters by which UIDs are found: they share their roots
_SMALL_LETTERS = re.compile(rb"[a-z]*")
_HIGH = 0x80
_JOINTS = ("", " ", "^", ",", ", ", "\u3000", "・", "=")
_LEAD = 5  # letters of a name by which its parts and forms are found
_LONGEST_LOSS = 12  # bytes in place of letters: escapes, or each as two in UTF-8 read as Latin-1
_LETTER_IN_UTF_8 = rb"(?:[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|\xf0[\x80-\xbf]{3})"
_BETWEEN_LETTERS, _LONGEST_LETTER = b"cn", 4
_UTF_8_RUN = re.compile(rb"(?:%b[ -~]{0,3}){2,}" % _LETTER_IN_UTF_8)
_IS_TWICE_IN_UTF_8 = re.compile(rb"[\xc2\xc3][\x80-\xbf][\xc2\xc3][\x80-\xbf]")
_TWICE_IN_UTF_8 = re.compile(rb"(?:[ -~]{0,16}[\xc2\xc3][\x80-\xbf]){2,}[ -~]{0,16}")
_UNSEEN = tuple(letter.encode() for letter in UNSEEN + JOINERS)
_UNSEEN_PATTERN = re.compile(b"|".join(_UNSEEN))
_TYPESET = re.compile(b"|".join(letter.encode() for letter in TYPESET))
_TWO_BYTES = ("2022", "gb", "euc", "shift_jis", "big5", "cp949")
_SHIFT_JIS, _SMALL_IN_SHIFT_JIS = 0x82, 0x81
_FULL_WIDTH = re.compile(
    rb"(?:\xa3[\xb0-\xb9\xc1-\xda\xe1-\xfa]){2,}|(?:\x82[\x4f-\x58\x60-\x79\x81-\x9a]){2,}"
    rb"|(?:\x23[\x30-\x39\x41-\x5a\x61-\x7a]){2,}"
)
_SEPARATORS_OF_PHONES = b"-/. ()"


class LeakScan:
    """Determines whether a needle may be in some bytes; no false negatives.

    Args:
        needles: to search for.
    """

    def __init__(self, needles: Needles) -> None:
        self._checks: dict[bytes, list[_Check]] = {}
        leads: dict[str, set[str]] = {}
        for word in (*needles.forms.stems, *needles.forms.whole):
            leads.setdefault(word[:_LEAD], set()).add(word)
        for lead, words in leads.items():
            self._add(lead, partial(_begins_form, words, tuple(words & needles.forms.stems)))
        for word in needles.words:
            if word[:_LEAD] not in leads:
                self._add(word, _is_word)
        crowded = self._add_phrases(needles.phrases)
        for pieces in needles.writings.lost.values():
            self._add(max(pieces, key=len), partial(_is_in_pieces, pieces))
        for form in needles.births:
            self._checks.setdefault(form.encode(), [])  # searched only without separators
        for literal in needles.literals:
            self._add(literal, _counts)
        for number in needles.digits:
            self._add(number, _is_number)
        days = needles.identifiers.dates
        packed = frozenset(b"%04d%02d%02d" % (day.year, day.month, day.day) for day in days)
        for year in needles.years:
            self._add(year, partial(_is_in_date, days, packed))
        for year in needles.other_years:
            self._add(year.lower(), _is_in_short_date)
        self._search = TextSearch(self._checks)
        self._crowded = set(crowded)
        self._digits = {number.encode() for number in needles.digits}
        self._births = {form.encode() for form in needles.births}
        self._broken = {word.encode() for word in needles.broken.words if word.isascii()}
        self._bare = TextSearch(self._crowded | self._broken | self._births)
        self._is_national = any(map(_is_of_two_bytes, needles.identifiers.encodings))
        self._phones = TextSearch([phone.encode() for phone in needles.phones])
        self._spelled = TextSearch(_spelled(needles))
        self._uids: frozenset[bytes] = frozenset()
        self._begin_uids = TextSearch[bytes](())

    def with_uids(self, uids: Iterable[str]) -> "LeakScan":
        """Return a search that also covers some UIDs; everything else is reused."""
        scan = copy(self)
        scan._uids = frozenset(uid.encode() for uid in uids)
        scan._begin_uids = TextSearch({uid[:_UID_HEAD] for uid in scan._uids})
        return scan

    def may_hold(self, data: bytes) -> bool:
        """Return whether any needle may be in the bytes, in any encoding."""
        if any(map(self._finds, one_byte_forms(data))) or any(self._spelled.matches(data)):
            return True
        if not data.isascii() and any(self._spelled.matches(data.translate(None, _APART_IN_ASCII))):
            return True
        return any(self._finds(form) or any(self._spelled.matches(form)) for form in self._normal_forms(data))

    def _normal_forms(self, data: bytes) -> Iterator[bytes]:
        """Yield text in other than Latin letters, in its folded normal form."""
        if self._is_national:  # letters in ISO 2022 are ASCII bytes
            yield _FULL_WIDTH.sub(_in_half_width, data)
        if b"\x1b" in data:
            yield _ESCAPES.sub(b"", data)
        if data.isascii():
            return
        runs = [match[0].decode("utf-8", "replace") for match in _runs_of_utf_8(data)]
        if runs:
            yield in_katakana(fold(normal_form("\n".join(runs)))).encode()
        if any(unseen in data for unseen in _UNSEEN):
            yield _UNSEEN_PATTERN.sub(b"", data)
        if _TYPESET.search(data):
            yield _TYPESET.sub(b" ", data)
        if _IS_TWICE_IN_UTF_8.search(data):
            twice = (match[0].decode("utf-8") for match in _TWICE_IN_UTF_8.finditer(data))
            once = b"\n".join(text.encode("latin-1") for text in twice)
            yield from (*one_byte_forms(once), *self._normal_forms(once))

    def _add_phrases(self, phrases: Iterable[Words]) -> list[bytes]:
        """Search each phrase by its longest word; return, joined, those whose longest word is common."""
        by_anchor: dict[str, list[Words]] = {}
        for phrase in phrases:
            at = max(range(len(phrase)), key=lambda number: len(phrase[number]))
            around = phrase[max(0, at - _WORDS_BESIDE) : at + 1 + _WORDS_BESIDE]
            by_anchor.setdefault(phrase[at], []).append(around)
        crowded: list[bytes] = []
        for anchor, parts in by_anchor.items():
            if len(parts) > _CROWD:
                joined = map("".join, parts)
                crowded += {(it if it.isascii() else anchor).encode() for it in joined if anchor.isascii()}
            else:
                for part in parts:
                    self._add(anchor, partial(_is_in_phrase, part))
        return crowded

    def _add(self, anchor: str, check: _Check) -> None:
        check_time()
        if anchor.isascii():  # others are searched as spelled
            whole = len(anchor) <= LONGEST
            self._checks.setdefault(anchor[:LONGEST].encode(), []).append(check if whole else _counts)

    def _finds(self, data: bytes) -> bool:
        folded = without_case(data)
        for anchor, start, end in self._search.matches(folded):
            check_time()
            if any(check(data, folded, start, end) for check in self._checks[anchor]):
                return True
        if any(self._is_uid(data, start) for _, start, _ in self._begin_uids.matches(data)):
            return True
        if self._phones and any(self._phones.matches(data.translate(None, _SEPARATORS_OF_PHONES))):
            return True
        return self._finds_number(data) or self._finds_bare(data, folded)

    def _finds_number(self, data: bytes) -> bool:
        """Search for numbers in data without their usual separators."""
        joined = data.translate(None, _SEPARATORS_OF_NUMBERS) if self._digits or self._births else b""
        for anchor, start, end in self._search.matches(joined):
            is_number = anchor in self._digits or anchor in self._births
            if end - start == LONGEST or (is_number and _is_number(joined, joined, start, end)):
                return True
        return False

    def _finds_bare(self, data: bytes, folded: bytes) -> bool:
        """Search in the letters and digits alone, then check what is between them."""
        found = {word for word, *_ in self._bare.matches(folded.translate(None, _APART))}
        if not self._crowded.isdisjoint(found):
            return True
        births = found & self._births
        if births and may_hold_birth(data, births):
            return True
        broken = found & self._broken
        return len(broken) > _CROWD or any(_is_broken_up(word, folded) for word in broken)

    def _is_uid(self, data: bytes, start: int) -> bool:
        match = _UID.match(data, start)
        found = match[0] if match else b""
        return any(found[: len(found) - behind] in self._uids for behind in range(_BEHIND + 1))


def one_byte_forms(data: bytes) -> Iterator[bytes]:
    """Yield bytes as they are, and with one byte per letter if they may hold UTF-8 or UTF-16."""
    yield data
    classes = data.translate(_CLASSES)
    if any(pattern in classes for pattern in _UTF_8):
        yield _without_accents(data)
    if _UTF_16 in classes:
        yield data.replace(b"\0", b"")


def without_case(data: bytes) -> bytes:
    """Return one-byte text in small letters, without the accents of Latin-1."""
    return data.translate(_FOLD)


def _counts(raw: bytes, folded: bytes, start: int, end: int) -> bool:
    return True


def _is_word(raw: bytes, folded: bytes, start: int, end: int) -> bool:
    """Return whether a word is whole: no adjoining letter may belong to it."""
    return _stands_alone(raw, start, end, _LETTERS)


def _runs_of_utf_8(data: bytes) -> Iterator[re.Match[bytes]]:
    """Yield the runs of letters that are not Latin."""
    classes = data.translate(_CLASSES)
    at = classes.find(_BETWEEN_LETTERS)
    while at >= 0:
        before = classes.rfind(b"n", max(0, at - _LONGEST_LETTER), at)
        match = _UTF_8_RUN.match(data, before if before >= 0 else at + 1)
        if match:
            yield match
        at = classes.find(_BETWEEN_LETTERS, max(at + 1, match.end() if match else 0))


def _begins_form(
    words: set[str], stems: tuple[str, ...], raw: bytes, folded: bytes, start: int, end: int
) -> bool:
    """Return whether the text at a place is the first part of one of some words, or a stem with an ending."""
    before = raw[max(0, start - _BEFORE - 1) : start]
    if len(before) > _BEFORE and _LETTERS.issuperset(before):
        return False
    match = _SMALL_LETTERS.match(folded, start)
    found = match[0].decode() if match else ""
    parts = tuple(found[:length] for length in range(max(0, len(found) - _BEHIND), len(found) + 1))
    return found.startswith(stems) or any(word.startswith(parts) for word in words)


def _stands_alone(raw: bytes, start: int, end: int, kind: frozenset[int]) -> bool:
    behind = raw[end : end + _BEHIND + 1]
    before = raw[max(0, start - _BEFORE - 1) : start]
    return not (len(behind) > _BEHIND and kind.issuperset(behind)) and not (
        len(before) > _BEFORE and kind.issuperset(before)
    )


def _is_number(raw: bytes, folded: bytes, start: int, end: int) -> bool:
    """Return whether a number is whole: no adjoining digit except leading zeros, and no decimal point."""
    while start and raw[start - 1] == _ZERO:
        start -= 1
    before = raw[max(0, start - _BEFORE - 1) : start]
    if len(before) > _BEFORE and before[0] in _DIGITS and (before[1] in _DIGITS or before[1] == _DOT):
        return False
    behind = raw[end : end + _BEHIND + 1]
    is_fraction = len(behind) > 1 and behind[0] == _DOT and behind[1] in _DIGITS
    return not is_fraction and not (len(behind) > _BEHIND and _DIGITS.issuperset(behind))


def _is_in_phrase(words: Words, raw: bytes, folded: bytes, start: int, end: int) -> bool:
    reach = sum(map(len, words)) + len(words) * _LONGEST_GAP
    around = slice(max(0, start - reach), end + reach)
    gap = b"[^a-z0-9]{0,%d}" % _LONGEST_GAP
    pattern = gap.join(re.escape(word.encode("latin-1", "replace")) for word in words)
    # Separators between words in UTF-8 that folding turns into letters.
    return any(re.search(pattern, text) for text in (folded[around], raw[around].lower()))


def _is_broken_up(word: bytes, folded: bytes) -> bool:
    """Return whether a word or number is spaced, divided by an end of a line, or has marks in it."""
    if len(word) > _LONGEST_BROKEN:
        return True
    return any(
        len(match[0]) > len(word) and not (word.isdigit() and len(set(_ANY_MARK.findall(match[0]))) > 1)
        for way in (_SPACE, _LINE_END if word.isalpha() else _MARK_OR_LINE_END)
        for match in _apart(word, way).finditer(folded)
    )


@lru_cache(maxsize=1024)
def _apart(word: bytes, between: bytes) -> re.Pattern[bytes]:
    return re.compile(between.join(b"%c" % letter for letter in word))


def _is_in_pieces(pieces: Words, raw: bytes, folded: bytes, start: int, end: int) -> bool:
    """Return whether the pieces of a name with lost letters are near one another."""
    reach = sum(map(len, pieces)) + len(pieces) * _LONGEST_LOSS
    window = raw[max(0, start - reach) : end + reach].lower()
    gap = rb"[\x00-\xff]{0,%d}" % _LONGEST_LOSS
    return re.search(gap.join(re.escape(piece.encode()) for piece in pieces), window) is not None


def _is_in_short_date(raw: bytes, folded: bytes, start: int, end: int) -> bool:
    """Return whether a year of two digits or of an era is part of a date."""
    window = folded[max(0, start - _SHORT_WINDOW) : end + _SHORT_WINDOW]
    if window.isdigit():  # within a UID
        return False
    return _SHORT_DATE.search(window) is not None or _MONTH_AND_SHORT_YEAR.search(window) is not None


def _is_of_two_bytes(encoding: str) -> bool:
    return any(name in encoding.lower() for name in _TWO_BYTES)


def _in_half_width(match: re.Match[bytes]) -> bytes:
    """Return letters and digits of full width in GB 2312, KS X 1001, JIS X 0208 or Shift-JIS as ASCII."""
    text = match[0]
    if text[0] != _SHIFT_JIS:
        return bytes(byte & 0x7F for byte in text[1::2])
    return bytes(byte - (0x20 if byte >= _SMALL_IN_SHIFT_JIS else 0x1F) for byte in text[1::2])


def _is_in_date(
    days: frozenset[date], packed: frozenset[bytes], raw: bytes, folded: bytes, start: int, end: int
) -> bool:
    """Return whether a year is part of one of the days; dates without separators are searched as numbers."""
    if folded[start : start + len("20040826")] in packed:  # a time follows
        return _is_number(raw, folded, start, len(raw))
    window = folded[max(0, start - _WINDOW) : end + _WINDOW]
    is_foreign = any(byte >= _HIGH for byte in window)  # a month in another script, 年
    return is_foreign or _MONTH.search(window) is not None or not days.isdisjoint(_separated_dates(window))


def _separated_dates(text: bytes) -> Iterator[date]:
    for match in _SEPARATED.finditer(text):
        first, second, third = (match[1], match[3], match[4]) if match[1] else (match[8], match[7], match[5])
        for month, day in ((second, third), (third, second), (second, third[:1])):
            with suppress(ValueError):
                yield date(int(first), int(month), int(day))


def _without_accents(data: bytes) -> bytes:
    """Return bytes in which accented letters in UTF-8 (U+00C0 to U+017F) are folded."""
    there = np.frombuffer(data, np.uint8)
    lead = np.flatnonzero((there[:-1] >= 0xC3) & (there[:-1] <= 0xC5) & (there[1:] & 0xC0 == 0x80))
    letters = _LETTER_OF[there[lead] - 0xC3, there[lead + 1] - 0x80]
    plain, stays = there.copy(), np.ones(len(there), np.bool_)
    plain[lead], plain[lead + 1] = letters[:, 0], letters[:, 1]
    stays[lead + 1] = letters[:, 1] != 0
    return plain[stays].tobytes()


def _letters_of() -> NDArray[np.uint8]:
    """Return the one or two letters, the second 0, that each of 3 * 64 characters is folded to."""
    table = np.zeros((3, 64, 2), np.uint8)
    for number in range(3 * 64):
        character = chr(0xC0 + number)
        plain = fold(character).encode("ascii", "ignore")[:2] or b" "
        table[number // 64, number % 64, : len(plain)] = list(plain)
    return table


_LETTER_OF = _letters_of()


def _spelled(needles: Needles) -> Iterator[bytes]:
    """Yield non-ASCII words of names in every encoding that has them, in three letter cases."""
    encodings = {"utf-8", "latin-1", "utf-16-le", "utf-16-be", *needles.identifiers.encodings}
    forms = needles.forms
    leads = {word[:_LEAD] for word in (*forms.whole, *forms.stems, *needles.spellings) if not word.isascii()}
    spelled = {
        case
        for lead in leads
        for word in (lead, lead.upper(), lead.capitalize())
        for case in (word, normalize("NFD", word))
    }
    spelled |= {joint.join(name) for name in needles.writings.unparted for joint in _JOINTS}
    spelled |= {year for year in needles.other_years if not year.isascii()}
    ways = [(spelling, encodings) for spelling in spelled]
    ways += [(text, {"utf-8", "latin-1"}) for text in needles.writings.misread]
    for spelling, all_encodings in ways:
        for encoding in all_encodings:
            try:
                encoded = spelling.encode(encoding)
            except UnicodeEncodeError:
                continue
            # ISO 2022 ends with the escape back to ASCII; the word may go on before it.
            yield encoded.removesuffix(b"\x1b(B") if encoded.startswith(b"\x1b") else encoded
