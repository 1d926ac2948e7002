"""The vocabulary: words of DICOM, of medicine, and of plain English.

Two sets, because a word can be medical and somebody's name at the same time:

* `ordinary()`: a part of a name or place that equals one of these does not identify on its own
  ("Brown", "Hand", "Phantom"), so it is neither searched for nor removed alone.
* `vocabulary()`: these, eponyms ("Wilson", "Graves") and words of other languages, which stay in a
  description unless they are in this patient's own identifiers.

A third and larger one, `known_words()`, decides which words after a title are not names, and which words stay
if unknown words are judged: these sets, medicine in more languages, devices, protocols, and plain words of
eight languages without the names among them.

`tools/make_vocabulary.py` writes `data/vocabulary.txt` from pydicom's tables (names of attributes and UIDs,
code meanings of PS3.16's context groups); loading it takes 3 ms, building it 120 ms. `data/word_lists.txt`
and `data/medicine.txt` are written by hand. `tools/make_plain_words.py`, which names its sources and their
licences, writes `data/plain_words.txt` and `data/name_words.txt`; these take 50 ms and are read at first use.
"""

import re
import unicodedata
from functools import cache
from importlib import resources

from beamstop.standard.defined_terms import modalities_in_use

_DATA = resources.files("beamstop") / "data"
# Accents; the points of Hebrew; the vowels of Arabic and its long stroke; joiners
_MARKS = re.compile(
    "[\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670\u200c\u200d]+"
)
_LETTER_RUNS = re.compile(r"[^\W\d_]+")
_DIGIT = re.compile(r"\d")
_SYLLABIC = (
    *(("\u1100", "\u11ff"), ("\u2e80", "\ud7ff"), ("\uf900", "\ufaff"), ("\uff66", "\uffdc")),
    ("\U00020000", "\U0003ffff"),
)
# Thai, Lao, Tibetan; Burmese; Khmer; and their kin of China and Java
_UNPARTED = (
    ("\u0e00", "\u0fff"),
    ("\u1000", "\u109f"),
    ("\u1780", "\u17ff"),
    ("\u1950", "\u1aad"),
    ("\ua980", "\uaadf"),
)
MAX_ORDINARY_DIGITS = 3
# Words that are not names on their own, or may not be.
_OTHER_KNOWN = (
    "eponyms",
    "agents",
    "terms",
    "german",
    "french",
    "spanish",
)
_PARTS_OF_NAMES = ("titles", "particles")
_NOBODY = ("modalities", "placeholders", "manufacturers", "abbreviations")
_FIRST_NAMES = frozenset({"ann"})  # among the defined terms of Modality
_COMPOUND_PARTS = (" stems", " heads")
_TWO_LETTERS = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "å": "aa", "ø": "oe"}
)
_LETTERS = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i"}
    | {"ى": "ي", "ة": "ه", "ک": "ك", "ی": "ي"}
)
_TO_KATAKANA = str.maketrans({chr(kana): chr(kana + 0x60) for kana in range(0x3041, 0x3097)})


def fold(text: str) -> str:
    """Fold case and accents; scripts without them stay as they are.

    >>> fold("MÜLLER-Łukasz Straße")
    'muller-lukasz strasse'
    """
    if text.isascii():
        return text.lower()
    plain = _MARKS.sub("", unicodedata.normalize("NFD", text.casefold()))
    return unicodedata.normalize("NFC", plain).translate(_LETTERS)


@cache
def ordinary() -> frozenset[str]:
    """Return the folded words that identify nobody on their own."""
    ours = (words for name, words in _lists().items() if name not in (*_OTHER_KNOWN, *_PARTS_OF_NAMES))
    return frozenset(word for word in _generated() if word.islower()).union(*ours)


@cache
def vocabulary() -> frozenset[str]:
    """Return the folded words that a description may have: `ordinary()` and other known words."""
    ours = (_lists()[name] for name in _OTHER_KNOWN)
    return ordinary().union((word.lower() for word in _generated()), *ours)


@cache
def medicine() -> frozenset[str]:
    """Return the folded words of medicine, devices and protocols that `vocabulary()` lacks."""
    lists = (words for name, words in _medicine_lists().items() if not name.endswith(_COMPOUND_PARTS))
    return frozenset[str]().union(*lists)


@cache
def cjk_words() -> frozenset[str]:
    """Return the words of scripts without spaces."""
    return _medicine_lists()["cjk"]


@cache
def kin() -> frozenset[str]:
    """Return the folded words after which a person's name comes: daughter, Tochter, fille."""
    return _medicine_lists()["kin"]


@cache
def known_words() -> frozenset[str]:
    """Return all folded words that are known, `vocabulary()` and more."""
    plain = (_DATA / "plain_words.txt").read_text(encoding="utf-8").split()
    return vocabulary().union(medicine(), plain)


@cache
def compound_parts() -> tuple[tuple[frozenset[str], frozenset[str]], ...]:
    """Return, by language, the stems and heads of medical compounds: Lenden, Wirbel; Säule."""
    lists = _medicine_lists()
    stems = (name.removesuffix(" stems") for name in lists if name.endswith(" stems"))
    return tuple((lists[f"{language} stems"], lists[f"{language} heads"]) for language in stems)


@cache
def name_words() -> dict[str, frozenset[str]]:
    """Return names: `people` are also words, `short` are not."""
    return word_lists("name_words.txt")


@cache
def titles() -> frozenset[str]:
    """Return the folded titles and degrees, which may be in a name but are not part of it."""
    return _lists()["titles"]


@cache
def eponyms() -> frozenset[str]:
    """Return the folded names of persons after whom diseases, signs and methods are named."""
    return _lists()["eponyms"]


@cache
def particles() -> frozenset[str]:
    """Return the folded small words of family names, such as `von`."""
    return _lists()["particles"]


def is_common_word(word: str) -> bool:
    """Return whether a folded word is ordinary, with or without a small number.

    >>> is_common_word("scanner"), is_common_word("ct01"), is_common_word("wilson"), is_common_word("p001")
    (True, True, False, False)
    """
    if word in ordinary():
        return True
    if word.isalpha():
        return False
    letters = _LETTER_RUNS.findall(word)
    digits = len(word) - sum(map(len, letters))
    return digits <= MAX_ORDINARY_DIGITS and all(run in ordinary() for run in letters)


def is_placeholder(word: str) -> bool:
    """Return whether a folded word is used in place of a name, although nobody has that name.

    >>> is_placeholder("ct01"), is_placeholder("phantom"), is_placeholder("brown")
    (True, True, False)
    """
    runs = _LETTER_RUNS.findall(word)
    return is_common_word(word) and any(run in _lists()[name] for run in runs for name in _NOBODY)


def is_syllabic(word: str) -> bool:
    """Return whether a word has ideographs, kana or hangul: two identify, and there are no spaces."""
    return _is_in(word, _SYLLABIC)


def is_unparted(word: str) -> bool:
    """Return whether a word's script has no spaces: as `is_syllabic`, or Thai, Lao, Khmer, Burmese."""
    return not word.isascii() and (_is_in(word, _SYLLABIC) or _is_in(word, _UNPARTED))


def in_katakana(text: str) -> str:
    """Return a text with katakana instead of hiragana."""
    return text.translate(_TO_KATAKANA)


def is_letters(word: str) -> bool:
    """Return whether a word has no digit; vowel signs are no letters to Python."""
    return word.isalpha() or (not word.isascii() and not _DIGIT.search(word))


def _is_in(word: str, ranges: tuple[tuple[str, str], ...]) -> bool:
    return any(low <= letter <= high for letter in word for low, high in ranges)


@cache
def _generated() -> tuple[str, ...]:
    return tuple((_DATA / "vocabulary.txt").read_text(encoding="utf-8").split())


@cache
def _lists() -> dict[str, frozenset[str]]:
    lists = word_lists("word_lists.txt")
    terms = {term.lower() for term in modalities_in_use()} - _FIRST_NAMES
    return {**lists, "modalities": lists["modalities"] | terms}


@cache
def _medicine_lists() -> dict[str, frozenset[str]]:
    lists = word_lists("medicine.txt")
    return {
        name: frozenset(fold(spelling) for word in words for spelling in (word, two_letter_umlauts(word)))
        for name, words in lists.items()
    }


def two_letter_umlauts(text: str) -> str:
    """Return a text with ä, ö, ü, å and ø in their ASCII spelling.

    >>> two_letter_umlauts("Schädel")
    'Schaedel'
    """
    return text if text.isascii() else text.translate(_TWO_LETTERS)


def word_lists(file: str) -> dict[str, frozenset[str]]:
    """Read a file of `data` with words under headings in brackets."""
    lists: dict[str, set[str]] = {}
    current: set[str] = set()
    for line in (_DATA / file).read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            current = lists.setdefault(line.strip("[]"), set())
        elif not line.startswith("#"):
            current.update(line.split())
    return {name: frozenset(words) for name, words in lists.items()}
