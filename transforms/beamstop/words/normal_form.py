"""The normal form of a text, in width, composition and digits, with the position of each letter.

Letters and digits of full width become plain ones, katakana of half width become full ones, presentation
forms of Arabic and ligatures become their letters (Unicode's NFKC), letters with accents one character,
digits of any script 0 to 9, every blank a plain one, dashes hyphens. Invisible characters (soft hyphens,
zero-width spaces) are removed. Latin-1 needs hardly any change, so its texts cost nothing.
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import cache

_LAST_OF_LATIN_1 = "ÿ"
UNSEEN = "\u00ad\u200b\u2060\ufeff"
# No-break, thin and other blanks, hyphens and dashes that a typesetter puts between words and digits.
_BLANKS = "\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u202f\u205f\u3000"
TYPESET = _BLANKS + "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"
_TYPESET = re.compile(f"[{TYPESET}]")
_MARK_BLOCKS = (
    *((0x0300, 0x1E00), (0x20D0, 0x2100), (0x302A, 0x3030), (0x3099, 0x309B), (0xA66F, 0xAC00)),
    *((0xFB1E, 0xFB1F), (0xFE00, 0xFE30)),
)
JOINERS = "\u200c\u200d"
_HALF_WIDTH_VOICE = "\uff9e\uff9f"
# Vowels of Thai and Lao: letters in Unicode, although they belong to the consonant before or after them.
_VOWELS_BEHIND, _VOWELS_BEFORE = "\u0e30\u0e32\u0e33\u0e45\u0eb0\u0eb2\u0eb3", "\u0e40-\u0e44\u0ec0-\u0ec4"
# Signs that join two consonants: virama of India, Burmese, Khmer.
_STACKERS = "\u094d\u09cd\u0a4d\u0acd\u0b4d\u0bcd\u0c4d\u0ccd\u0d4d\u0dca\u1039\u17d2"


def _marks() -> str:
    """Return the combining marks as ranges of a character class."""
    numbers = (number for first, last in _MARK_BLOCKS for number in range(first, last))
    runs: list[list[int]] = []
    for number in numbers:
        if unicodedata.category(chr(number)).startswith("M"):
            if runs and runs[-1][1] == number - 1:
                runs[-1][1] = number
            else:
                runs.append([number, number])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in runs) + JOINERS


MARKS = _marks()
# Scripts without spaces between words: East Asian, Thai to Tibetan, Burmese, Khmer and related ones
_UNPARTED = (
    "\u0e00-\u0fff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u1950-\u1aad\u2e80-\ud7ff\ua980-\uaadf\uf900-\ufaff"
    "\uff66-\uffdc\U00020000-\U0003ffff"
)
# A run of letters and digits of one kind of script, with the signs, points and accents that belong to them.
WORD = re.compile(
    rf"[^\W_{_UNPARTED}]+(?:[{MARKS}]+[^\W_{_UNPARTED}]*)*|(?:(?=[^\W_]|[{MARKS}])[{_UNPARTED}])+"
)
_CLUSTER = re.compile(
    rf"[^\x00-\x7f][{MARKS}{_HALF_WIDTH_VOICE}]*|[\x00-\x7f][{MARKS}{_HALF_WIDTH_VOICE}]+", re.DOTALL
)
_BEHIND = re.compile(rf"(?:(?<=[{_STACKERS}])[^\W_]|[{MARKS}{_VOWELS_BEHIND}{_HALF_WIDTH_VOICE}])*")
_BEFORE = re.compile(rf"[{_VOWELS_BEFORE}{_STACKERS}]")
_MARK = re.compile(rf"[{MARKS}{_HALF_WIDTH_VOICE}]")
_FOREIGN_DIGIT = re.compile(r"(?![0-9])\d")


def normal_form(text: str) -> str:
    """Return a text's normal form, which for most texts is the text itself.

    >>> normal_form("ﾔﾏﾀﾞ ５５０３ ٢٠٢١ Mu\u0308ller")
    'ヤマダ 5503 2021 Müller'
    """
    return located_normal_form(text)[0]


def located_normal_form(text: str) -> tuple[str, Sequence[int] | None]:
    """Return a text's normal form, and the position in the text of each of its characters and of its end.

    The positions are None if the text is its own normal form.
    """
    if text.isascii() or _is_normal(text):
        return text, None
    parts: list[str] = []
    places: list[int] = []
    done = 0
    for match in _CLUSTER.finditer(text):
        start, end = match.span()
        parts.append(text[done:start])
        places.extend(range(done, start))
        plain = _plain(match[0])
        parts.append(plain)
        places.extend([start] * len(plain))
        done = end
    parts.append(text[done:])
    places.extend(range(done, len(text) + 1))
    return "".join(parts), places


def _is_normal(text: str) -> bool:
    if any(map(text.__contains__, UNSEEN)) or _TYPESET.search(text):
        return False
    if max(text) <= _LAST_OF_LATIN_1:
        return True
    return unicodedata.is_normalized("NFKC", text) and not _FOREIGN_DIGIT.search(text)


def _plain(cluster: str) -> str:
    if cluster[0] in TYPESET:
        return (" " if cluster[0] in _BLANKS else "-") + cluster[1:]
    if max(cluster) <= _LAST_OF_LATIN_1:  # ², ½ and ª must not become 2, 1/2 and a
        return "" if cluster in UNSEEN else cluster
    plain = unicodedata.normalize("NFKC", cluster)
    if len(plain) == 1:
        return "" if plain in UNSEEN else plain.translate(_digits())
    return plain.translate(_digits())


@cache
def _digits() -> dict[int, str]:
    """Return digit of another script → ASCII digit."""
    found = (number for number in range(0x80, 0x1FBFA) if chr(number).isdecimal())
    return {number: str(unicodedata.decimal(chr(number))) for number in found}


def small_letters(text: str) -> str:
    """Return a text in small letters with unchanged positions: `lower` makes two characters of İ.

    >>> small_letters("İstanbul ÖZ")
    'istanbul öz'
    """
    return text.replace("İ", "i").lower()


def in_digits_of(text: str, original: str) -> str:
    """Return a text with its digits in the script of another text's digits.

    >>> in_digits_of("2021", "٢٠٠٤")
    '٢٠٢١'
    """
    foreign = _FOREIGN_DIGIT.search(original)
    if foreign is None:
        return text
    zero = ord(foreign[0]) - unicodedata.decimal(foreign[0])
    return text.translate({ord("0") + digit: chr(zero + digit) for digit in range(10)})


def whole_letters(text: str, start: int, end: int) -> tuple[int, int]:
    """Return a span widened to whole letters, so that no sign of a removed letter stays on either side.

    >>> whole_letters("ผู้ป่วย", 0, 1)
    (0, 3)
    """
    if text[end : end + 1] > _LAST_OF_LATIN_1 or text[end - 1 : end] > _LAST_OF_LATIN_1:
        behind = _BEHIND.match(text, end)
        end = behind.end() if behind else end
    while (
        start
        and text[start - 1] > _LAST_OF_LATIN_1
        and (_BEFORE.match(text, start - 1) or _MARK.match(text[start : start + 1]))
    ):
        start -= 1
    return start, end
