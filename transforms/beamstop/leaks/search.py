"""CheckLeaks: searches a finished file for the instance's own identifiers.

What is searched for, and what is not (rules by number; each has a test of the same number):

1.  A needle has at least four letters or digits. Ideographs and syllables (CJK, kana, hangul) say
    more each: there two are enough.
2.  A word of a name, in any writing of `words/writings` (cut short, inflected, with a prefix, its accents
    dropped, replaced or misread), is a needle unless it is an ordinary word (`vocabulary.ordinary`: attribute
    names, code meanings, modalities, placeholders such as ANONYMOUS or PHANTOM, plain English).
3.  A whole name is a needle in either order, with any separator or joined, in full or with initials ("Li
    Wu", "wu^li", "LIWU", "Grant Brown", "JSMITH", "smithj"). One of ordinary words, among them one that
    nobody is called (CT^Chest, Test^Brown), is a needle only as it was written, with its caret: "ct chest"
    means nothing.
4.  A number (identifier, telephone) needs four digits, leading zeros not counted, and is no year of our
    time (1900 to 2099); it is found with
    any of `-/ ` between its digits, with and without leading zeros. A telephone number of seven digits may
    have points, parentheses or four separators between them, and a country code with its + or a zero before
    it; one of ten digits or more is found without its country code, too.
5.  An identifier of letters and digits is found with any or no separators, between letters and digits
    too where there are four of a kind together, and so are five or more of its digits alone (ACC-0099123 and
    99123 of ACC0099123); unless it is an ordinary word with up to three digits (CT01, 4MR1, SCANNER2). Those
    digits alone are not, if they are all of a device's number that the recipe keeps (MRC25641 where 25641 is
    a kept Device Serial Number) and in no identifier of anything but devices.
6.  An identifier of letters alone counts as a word (rule 2).
7.  A place is a needle as a whole unless all its words are ordinary (RADIOLOGY), and so is each of its words
    of five letters or more that is in no vocabulary; postal code and house number are one where they stand
    together.
8.  A date is found in all the ways `written_dates` reads, when it names a day and has a four-digit year or
    one of an era; a date of birth with a year of two digits as well, and inside national numbers. Dates that
    stand for none (1900-01-01) are not needles.
9.  Digits stand alone: no digit and no decimal point beside them. So 20040826 is not in
    2.25.99820040826771 nor in 1.20040826; followed by a time of day (20040826185059) it is a date.
10. A UID is found as a whole and never in part; it has at least ten characters.
11. Values the recipe keeps are no needles, and neither are the words in them.
12. Words are whole words: no letter beside them (SMITH01 and Smith_1 hold Smith, Smithsonian does not). In
    scripts that part no words they are found anywhere.
13. Numbers are no identifiers: a kept 1234567 in DS, IS or TM is a measure by chance. What is no number
    there is a text.
14. In OB, OW, UN and numbers in binary (AT FD FL OD OF OL OV SL SS SV UL US UV) a needle counts inside
    eight or more printable characters, or in a run of six letters and digits, or where all of the value is
    text. A word of four letters falls on random bytes in either case once in 3 * 10^8 positions, hence on
    0.7 % of 2 MB payloads; within eight printable ones, on 0.01 %.
15. Comments and application segments of compressed frames (JPEG, JPEG-LS, JPEG 2000) are one text.
16. What is packed (`embedded_text`: base64 of 16 letters or more, zlib and gzip streams, strings of a
    PDF, hexadecimal, and what is escaped as in XML, URLs, quoted-printable or JSON) counts as OB does
    (rule 14): of four letters read wrongly as base64, one in 10^8 is a given word.
17. Words of rules 2 to 8 are found broken up, too (`words/broken_up`): spaced (S m i t h), at the end of a
    line or a value (Smit-, hers), numbers from six digits on with other punctuation (471:902). A date may go
    on in the next line.

Encodings: ASCII, Latin-1 (accents folded), UTF-8, UTF-16 in both orders, the instance's own character sets,
and for names those in which people write their script. Texts are compared in their `normal_form`.

Method: `scan` searches for all needles at once, in the bytes and in embedded text. Only if it finds something
is the file parsed, and each element searched with its boundaries and VR, which decides.
"""

import re
import string
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from io import BytesIO
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian

from beamstop.dicom.deadline import check_time
from beamstop.dicom.elements import MALFORMED
from beamstop.dicom.walk import walk
from beamstop.errors import Quarantined
from beamstop.leaks.embedded_text import unpacked
from beamstop.leaks.needles import MIN_UID_LENGTH, Needles
from beamstop.leaks.scan import LeakScan, one_byte_forms, without_case
from beamstop.words.broken_up import LINE_ENDS
from beamstop.words.identifiers import Identifiers, Words, decode_leniently
from beamstop.words.national_numbers import own_numbers
from beamstop.words.normal_form import MARKS, WORD, normal_form
from beamstop.words.text_search import TextSearch
from beamstop.words.vocabulary import fold
from beamstop.words.writings import read_as_utf_8
from beamstop.words.written_dates import find_dates

MIN_PRINTABLE = 8
MIN_PRINTABLE_WORD = 6

_WRITTEN_NUMBERS = frozenset(("DS", "IS", "TM"))
_NUMBERS = re.compile(rb"[0-9+.:eE\\ \0-]*")
_DECODED_VRS = frozenset(("AE", "AS", "CS", "DA", "DT", "LO", "LT", "PN", "SH", "ST", "UC", "UI", "UR", "UT"))
_PREAMBLE_END, _META_START, _META_WITHIN = 128, 132, 1024
_BIG_ENDIAN = ExplicitVRBigEndian.encode() + b"\0"


_LETTERS = re.compile(r"[^\W\d_]+")
_UIDS = re.compile(r"(?<![0-9])[0-9]+(?:\.[0-9]+)+")
_SEPARATORS = re.compile(r"[-/ ]")
_LINE_ENDS = re.compile(f"[{re.escape(LINE_ENDS)}]+")
_NO_PART = re.compile(rf"[^\W_]|[{MARKS}]")
_PARTS = re.compile(rf"(?:(?![{MARKS}])[\W_])+")  # separators of words
_WIDEST_GAP = 3  # characters between the words of a phrase
_PHONE_SEPARATORS = frozenset("-/. ()")
_NO_PHONE_SEPARATORS = dict.fromkeys(map(ord, _PHONE_SEPARATORS))
_WIDEST_PHONE_GAP = 4
_BEFORE_PHONE = re.compile(r"(?<![0-9])(?<![0-9]\.)(?:\+[0-9]{1,3}[-/. ()]{0,4})?(?:0[-/. ()]{0,4})?\Z")
_LONGEST_BEFORE = 13  # characters that it can match
_BEHIND_PHONE = re.compile(r"(?![0-9])(?!\.[0-9])")
_SPACED_DIGITS = re.compile(r"(?<![0-9])(?<![0-9]\.)[0-9](?:[ /-]?[0-9])*(?![0-9])(?!\.[0-9])")
_BROKEN_UTF_8 = re.compile("[\udc80-\udcff]")  # no lost letter: Möller in Latin-1 is never valid UTF-8
_BYTES = np.arange(256)
_IS_PRINTABLE = (ord(" ") <= _BYTES) & (ord("~") >= _BYTES)
_IS_ALNUM = np.isin(_BYTES, list((string.ascii_letters + string.digits).encode()))
_APART = "\n" * 8  # wider than any gap in a phrase
_TEXT = re.compile(rb"[\x09\x0a\x0c\x0d\x1b\x20-\x7e\x80-\xff]+\0*\Z")


def search(header: bytes, identifiers: Identifiers, comments: bytes = b"") -> int:
    """Search a finished file for the identifiers of its original; return how many were searched for.

    Args:
        header: the whole file but its top-level pixel data, inflated (`files.encode`).
        identifiers: from `identifiers.harvest`.
        comments: of compressed pixel data (`codestreams.comments`).

    Raises:
        Quarantined: `leak`; its detail is the path of the element that holds one, by keywords,
            `preamble`, `PixelData comment`, or `unreadable` if the suspicious file cannot be parsed.
            `attributes_uncertain` if embedded text grows beyond a limit.
    """
    needles, scan = _prepared(replace(identifiers, uids=frozenset()))
    uids = _long_uids(identifiers)
    for path in _leaks(header, identifiers, comments, needles, scan.with_uids(uids), uids):
        raise Quarantined("leak", path)
    return needles.count + len(uids)


def leak_paths(header: bytes, identifiers: Identifiers, comments: bytes = b"") -> Iterator[str]:
    """Yield the paths of all elements that hold an identifier; `search` stops at the first.

    Raises:
        Quarantined: `attributes_uncertain`.
    """
    needles, scan = _prepared(replace(identifiers, uids=frozenset()))
    uids = _long_uids(identifiers)
    return _leaks(header, identifiers, comments, needles, scan.with_uids(uids), uids)


def _leaks(
    header: bytes,
    identifiers: Identifiers,
    comments: bytes,
    needles: Needles,
    scan: LeakScan,
    uids: frozenset[str],
) -> Iterator[str]:
    if _may_hold(header, scan):
        judge = _Judge(needles, uids)
        for path, texts in _texts(header, identifiers.encodings):
            if any(map(judge.holds, texts)):
                yield path
    if comments and scan.may_hold(comments) and _Judge(needles, uids).holds(comments.decode("latin-1")):
        yield "PixelData comment"


def _long_uids(identifiers: Identifiers) -> frozenset[str]:
    return frozenset(uid for uid in identifiers.uids if len(uid) >= MIN_UID_LENGTH)


@lru_cache(maxsize=8)
def _prepared(identifiers: Identifiers) -> tuple[Needles, LeakScan]:
    """Return the needles except for UIDs: these needles are the same in a series, and take 0.3 ms to make."""
    needles = Needles(identifiers)
    return needles, LeakScan(needles)


def _may_hold(header: bytes, scan: LeakScan) -> bool:
    if _BIG_ENDIAN in header[_META_START:_META_WITHIN]:
        return True  # the second byte of a length can be a digit before a number
    return scan.may_hold(header) or any(map(scan.may_hold, unpacked(header)))


class _Judge:
    """Decides whether a text holds a needle, with its boundaries.

    A text is read once for each kind of needle, however many there are.
    """

    def __init__(self, needles: Needles, uids: frozenset[str]) -> None:
        self._needles, self._uids = needles, uids
        self._phrases: dict[str, list[Words]] = {}
        for phrase in needles.phrases:
            self._phrases.setdefault("".join(phrase), []).append(phrase)
        self._joined = TextSearch(self._phrases)
        self._literals = TextSearch(needles.literals)
        self._spellings = TextSearch(needles.spellings)
        self._phones = TextSearch(needles.phones)

    def holds(self, as_written: str) -> bool:
        check_time()
        needles, text = self._needles, normal_form(as_written)
        folded = fold(text)
        words = set(WORD.findall(folded))
        words.update(*(_LETTERS.findall(word) for word in tuple(words) if not word.isalpha()))
        return (
            not needles.words.isdisjoint(words)
            or any(word in needles.forms for word in words)
            or self._has_phrase(folded)
            or any(self._literals.matches(folded))
            or not self._uids.isdisjoint(_UIDS.findall(text))
            or _has_number(text, needles)
            or any(needles.broken.find(text))
            or self._has_phone(text)
            or any(own_numbers(text, needles.identifiers.births))
            or _has_date(text, needles)
            or self._has_spelling(text.lower())
            or any(needles.writings.find(as_written))
        )

    def _has_phrase(self, folded: str) -> bool:
        """Search for phrases without separators, then check the separators in the text."""
        found = list(self._joined.matches(_PARTS.sub("", folded)))
        places = [match.start() for match in _NO_PART.finditer(folded)] if found else []
        return any(
            _is_phrase(folded, places[start:end], phrase)
            for joined, start, end in found
            for phrase in self._phrases[joined]
        )

    def _has_phone(self, text: str) -> bool:
        found = list(self._phones.matches(text.translate(_NO_PHONE_SEPARATORS)))
        places = [at for at, letter in enumerate(text) if letter not in _PHONE_SEPARATORS] if found else []
        return any(_is_phone(text, places[start:end]) for _, start, end in found)

    def _has_spelling(self, lowered: str) -> bool:
        found = {word for word, *_ in self._spellings.matches(lowered)}
        return not found.isdisjoint(WORD.findall(lowered) if found else ())


def _is_phrase(folded: str, places: list[int], words: Words) -> bool:
    """Return whether letters at some places are whole words, not too far apart."""
    first, last = places[0], places[-1] + 1
    if folded[max(0, first - 1) : first].isalnum() or folded[last : last + 1].isalnum():
        return False
    starts = set(accumulate(map(len, words)))
    return all(
        behind - before <= (1 + _WIDEST_GAP if number in starts else 1)
        for number, (before, behind) in enumerate(pairwise(places), 1)
    )


def _is_phone(text: str, places: list[int]) -> bool:
    """Return whether digits at some places are a telephone number, with or without country code or zero."""
    first, last = places[0], places[-1] + 1
    return (
        all(behind - before <= 1 + _WIDEST_PHONE_GAP for before, behind in pairwise(places))
        and _BEHIND_PHONE.match(text, last) is not None
        and _BEFORE_PHONE.search(text, max(0, first - _LONGEST_BEFORE), first) is not None
    )


def _has_number(text: str, needles: Needles) -> bool:
    for match in _SPACED_DIGITS.finditer(text):
        pieces = _SEPARATORS.split(match[0])
        joined = "".join(pieces)
        if not needles.numbers.isdisjoint({*pieces, joined, joined.lstrip("0")}):
            return True
    return False


def _has_date(text: str, needles: Needles) -> bool:
    dates, births = needles.identifiers.dates, needles.identifiers.births
    signs = [sign for sign in (*needles.years, *needles.other_years) if sign in text]
    lines = ["", *_LINE_ENDS.split(text), ""] if signs else []
    return any(
        found.whole and not (dates if found.has_century else births).isdisjoint(found.readings)
        for number, line in enumerate(lines)
        if any(sign in line for sign in signs)
        for found in find_dates(" ".join(lines[number - 1 : number + 2]))
    )


def _texts(header: bytes, encodings: tuple[str, ...]) -> Iterator[tuple[str, Iterator[str]]]:
    """Yield the path of every element that can hold text, and the possible readings of its bytes."""
    yield "preamble", _readings(header[:_PREAMBLE_END], "UN", ())
    try:
        meta = read_dataset(BytesIO(header[_META_START:]), False, True, stop_when=_is_past_meta)
        start = _META_START + 12 + int(meta.FileMetaInformationGroupLength)
        syntax = meta.TransferSyntaxUID
        little = syntax.is_little_endian or syntax == DeflatedExplicitVRLittleEndian
        body = read_dataset(BytesIO(header[start:]), syntax.is_implicit_VR, little)
    except MALFORMED:
        yield "unreadable", _readings(header, "UN", ())
        return
    yield from _element_texts(meta, encodings)
    yield from _element_texts(body, encodings)


def _is_past_meta(tag: BaseTag, vr: str | None, length: int) -> bool:
    return tag.group > 2


def _element_texts(dataset: Dataset, encodings: tuple[str, ...]) -> Iterator[tuple[str, Iterator[str]]]:
    for place in walk(dataset):
        value, vr = place.element.value, place.vr
        if vr != "SQ" and isinstance(value, bytes) and _is_text(vr, value):
            yield place.label, _readings(value, vr, encodings)


def _is_text(vr: str, value: bytes) -> bool:
    """Return whether a value may hold words: whatever its VR, unless it is made of numbers (rule 13)."""
    return vr not in _WRITTEN_NUMBERS or not _NUMBERS.fullmatch(value)


def _readings(value: bytes, vr: str, encodings: tuple[str, ...]) -> Iterator[str]:
    """Yield the possible readings of a value's bytes (rules 13, 14 and 16)."""
    yield from _as_they_stand(value, vr, encodings)
    if vr != "UI":
        for part in unpacked(value):
            yield from _as_they_stand(part, "UN", encodings)


def _as_they_stand(value: bytes, vr: str, encodings: tuple[str, ...]) -> Iterator[str]:
    if vr == "UI":
        yield value.decode("latin-1")
    elif vr not in _DECODED_VRS and not _TEXT.match(value):
        yield from (_printable(without_case(form)) for form in one_byte_forms(value))
    else:
        yield from _decoded(value, encodings)


def _decoded(value: bytes, encodings: tuple[str, ...]) -> Iterator[str]:
    yield value.decode("latin-1")
    text = _BROKEN_UTF_8.sub("\0", value.decode("utf-8", "surrogateescape"))
    yield text
    if right := read_as_utf_8(text):  # text encoded as UTF-8 twice
        yield right
    if encodings and (b"\x1b" in value or not value.isascii()):
        yield decode_leniently(value, encodings)
    if b"\0" in value.strip(b"\0"):
        yield value.decode("utf-16-le", "replace")
        yield value.decode("utf-16-be", "replace")


def _printable(data: bytes) -> str:
    """Return the printable runs that are long enough, so far apart that no phrase continues in the next."""
    there = np.frombuffer(data, np.uint8)
    runs = [*_runs(_IS_PRINTABLE[there], MIN_PRINTABLE), *_runs(_IS_ALNUM[there], MIN_PRINTABLE_WORD)]
    return _APART.join(data[start:end].decode("ascii") for start, end in runs)


def _runs(mask: NDArray[np.bool_], shortest: int) -> list[tuple[int, int]]:
    """Return start and end of the runs of True with at least this length."""
    edges = np.flatnonzero(np.diff(mask, prepend=False, append=False))
    starts, ends = edges[::2], edges[1::2]
    long = ends - starts >= shortest
    return list(zip(starts[long].tolist(), ends[long].tolist(), strict=True))
