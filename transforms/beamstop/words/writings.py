"""Spellings of a name that differ from its header: cut short, inflected, transliterated, misread.

Whole words (`NameWords`):

* ae, oe, ue, aa for one letter (Muellenbach is Müllenbach, too); the opposite is in `identifiers`;
* cut short by a field's length: a first part of five letters or more that is not in the vocabulary;
* with the endings of Slavic and German (Zielińskiej, Лебедева, Quessenbrands). A name that is in the
  vocabulary gets no endings (Klein is not kleine), and a word of the vocabulary is not a name with an ending;
* after articles, prepositions and conjunctions that Arabic and Hebrew join to a word.

In the raw text:

* `misread`: bytes of one character set read as another, UTF-8 or one of Windows, DOS or East Asia as Latin-1;
* `lost_letters`: those with accents dropped, replaced (?, _, U+FFFD), escaped (RTF, HTML, URL), misread.

`readings` is the other direction: a header's name that was read in the wrong character set.
"""

import re
from collections.abc import Iterable, Iterator, Set
from functools import cached_property, lru_cache
from itertools import accumulate, pairwise
from unicodedata import normalize

from beamstop.words.normal_form import MARKS, located_normal_form, small_letters
from beamstop.words.text_search import TextSearch
from beamstop.words.vocabulary import (
    fold,
    in_katakana,
    is_common_word,
    is_syllabic,
    is_unparted,
    particles,
    vocabulary,
)

Words = tuple[str, ...]

_MAX_NAME = 64  # letters of a component (PS3.5 6.2)
MIN_CUT = 5  # letters of a name that was cut short
_MIN_STEM, _MIN_LATIN_STEM = 4, 5
_LONGEST_ENDING = 5
_MIN_BARE = 3  # letters after a prefix of Arabic or Hebrew
# ASCII letters of a name that lost its others, and of its longest piece; in shorter ones, a mark must show
# that something was lost.
_MIN_LEFT, _MIN_PIECE, _MIN_MARKED_PIECE = 4, 3, 2


def _folded(text: str) -> frozenset[str]:
    return frozenset(map(fold, text.split()))


_GERMAN_ENDINGS = _folded("s es ens sch sche schen scher sches schem")
_SLAVIC_ENDINGS = _folded(
    """a e i y u o em im ym om ami ach ich ych imi ymi ie iem owi ovi ow ov ova ove ovou ovej ovy owie owa
    owej ou oj ej iej iego ego emu iemu eho iho ho mu ia iu in ina iny inou oju eju ju ja je ji jem"""
)
_CYRILLIC_ENDINGS = _folded(
    """а я е є і ї и ы у ю о ь ой ей ёй ою ею ом ем ём ым им ого его ому ему ая яя ую юю ые ие ых их ыми ими
    ам ям ами ями ах ях ов ев ова ева ову еву овой евой овым евым ове еве овы евы ові еві ів ый ий ій ин ина
    иной ну ої ською ської ському ським"""
)
_VOWELS = "aeiouyаеиоуыэюяьіїє"
_FLEETING = re.compile(r"([^aeiouyаеиоуыэюяь])[eoео]([^aeiouyаеиоуыэюяь])\Z")
_LATIN, _CYRILLIC = re.compile(r"[a-z]+\Z"), re.compile("[\u0400-\u052f]+\\Z")
_RIGHT_TO_LEFT = re.compile("[\u0590-\u06ff]")
_ARABIC_PREFIX = re.compile("[وف]?(?:[بكل]?ال|لل|[بكلس])?")
_HEBREW_PREFIX = re.compile("[ו]?[שכמ]?[הבכלמש]?")
_ONE_LETTER = re.compile("(?<![aeq])ue|ae|oe|aa")
_PREFIXES = ("mc", "mac", "fitz", "saint", "abu", "abd", "ben", "o", "d", "l")
_MIN_REST = 4

# Script → character sets in use for it.
_OF_HAN = ("utf-8", "gb18030", "big5", "shift_jis", "euc_jp", "euc_kr")
_OF_KANA = ("utf-8", "shift_jis", "euc_jp")
_OF_LATIN = ("utf-8", "cp1250", "iso8859_2", "iso8859_9", "cp1257", "cp850", "cp437", "mac_roman")
_BY_SCRIPT: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("\u0370-\u03ff", ("utf-8", "iso8859_7", "cp1253")),
    ("\u0400-\u052f", ("utf-8", "cp1251", "koi8_r", "koi8_u", "iso8859_5", "cp866", "mac_cyrillic")),
    ("\u0590-\u05ff", ("utf-8", "cp1255")),
    ("\u0600-\u06ff", ("utf-8", "cp1256", "iso8859_6")),
    ("\u0e00-\u0e7f", ("utf-8", "cp874", "tis_620")),
    ("\u3040-\u30ff", _OF_KANA),
    ("\uac00-\ud7a3", ("utf-8", "cp949")),
    ("\u3400-\u9fff\uf900-\ufaff", _OF_HAN),
    ("a-z\u00c0-\u024f", _OF_LATIN),
)
_SETS = tuple((re.compile(f"[{letters}]"), sets) for letters, sets in _BY_SCRIPT)
_GUESSES = tuple(
    (encoding, re.compile(rf"(?:[{letters}]|[ -@\[-`{{-~\u3000])+\Z"))
    for encoding, letters in (
        ("gb18030", "\u3400-\u9fff"),
        ("big5", "\u3400-\u9fff"),
        ("shift_jis", "\u3040-\u30ff\u3400-\u9fff"),
        ("euc_jp", "\u3040-\u30ff\u3400-\u9fff"),
        ("euc_kr", "\uac00-\ud7a3\u3400-\u9fff"),
        ("cp874", "\u0e01-\u0e5b"),
        ("cp1251", "\u0410-\u044f\u0401\u0451"),
        ("koi8_r", "\u0410-\u044f\u0401\u0451"),
        ("iso8859_7", "\u0386-\u03ce"),
        ("iso8859_8", "\u05d0-\u05ea"),
        ("cp1256", "\u0621-\u064a"),
    )
)
_HIGH = re.compile("[\x80-\xff]")
_ASCII_LETTER = re.compile("[A-Za-z]")
_NO_LETTERS = re.compile("[\x80-\xbf\xd7\xf7]")  # of Latin-1: controls and symbols
_MIN_HIGH = 3
_MIN_SYLLABLES = 2
# Titles after a family name of one syllable: Mr, Mrs, Dr
_TITLED_SYLLABLE = re.compile(
    r"[^\W\d_](?=\s?(?:先生|女士|小姐|太太|同志|医生|醫生|さん|様|さま|氏|殿|くん|씨|님|선생))"
)
_WIDEST_GAP = 3  # characters between family and given name
_NO_PART = re.compile(rf"[^\W_]|[{MARKS}]")
_PARTS = re.compile(rf"(?:(?![{MARKS}])[\W_])+")
_LONGEST_LOSS = 12  # characters instead of a letter

# What may replace a letter: nothing, a mark, the letter's bytes misread, an escape.
_SURELY_LOST = (
    r"[?_*#]{1,3}|[^\x00-\x7f\u00c0-\u024f]{1,4}|(?:\\'[0-9a-f]{2}){1,3}"
    r"|\\u-?[0-9]{1,5}\ ?\??|&\#?[0-9a-z]{2,8};|(?:[%=][0-9a-f]{2}){1,4}"
)
_LOST = rf"[?_*#.~'\"^` -]{{0,3}}|{_SURELY_LOST}"


class NameWords:
    """Folded words of names, with all spellings that a text may have.

    Args:
        words: folded words that identify on their own.
        known: folded words that are never a form of a name: products, and words that the recipe keeps.

    >>> names = NameWords({"zielinska", "muellenbach", "lebedev"})
    >>> [word in names for word in ("zielinskiej", "mullenbachs", "muellen", "mull")]
    [True, True, True, False]
    """

    def __init__(self, words: Iterable[str] = (), known: Set[str] = frozenset()) -> None:
        self._known = known
        given = {word for word in words if len(word) <= _MAX_NAME}
        given |= {
            plain
            for word in given
            if (plain := _ONE_LETTER.sub(lambda two: two[0][0], word)) != word and not is_common_word(plain)
        }
        given |= {"mac" + word[2:] for word in given if word.startswith("mc")}
        given |= {bare for word in given if word.startswith("ال") and len(bare := word[2:]) >= _MIN_BARE}
        self.whole = given | {part for word in given for part in _leading_parts(word)}
        self.stems = {stem for word in given for stem in _stems(word)}
        self._heads = {stem[:_MIN_STEM] for stem in self.stems}

    def __contains__(self, word: str) -> bool:
        if word in self._known:
            return False
        return word in self.whole or self._is_inflected(word) or self._is_prefixed(word)

    def _is_inflected(self, word: str) -> bool:
        if word[:_MIN_STEM] not in self._heads:
            return False
        for cut in range(1, min(_LONGEST_ENDING, len(word) - _MIN_STEM) + 1):
            stem, ending = word[: len(word) - cut], word[len(word) - cut :]
            if stem in self.stems and _is_ending(stem, ending):
                return word not in vocabulary()
        return False

    def _is_prefixed(self, word: str) -> bool:
        return _RIGHT_TO_LEFT.match(word) is not None and any(bare in self.whole for bare in _bare(word))


def _leading_parts(word: str) -> Iterator[str]:
    if len(word) > MIN_CUT and not is_unparted(word):
        parts = (word[:length] for length in range(MIN_CUT, len(word)))
        yield from (part for part in parts if part not in vocabulary() and not is_common_word(part))


def _stems(word: str) -> Iterator[str]:
    """Yield the stems of a name, to which endings are added."""
    is_cyrillic = _CYRILLIC.match(word) is not None
    if word in vocabulary() or not (is_cyrillic or _LATIN.match(word)) or len(word) < _MIN_STEM:
        return
    yield word
    bare = (
        word.rstrip(_VOWELS) if len(word) - len(word.rstrip(_VOWELS)) < len(word) - _MIN_STEM else word[:-1]
    )
    yield from (stem for stem in (bare, _FLEETING.sub(r"\1\2", word)) if len(stem) >= _MIN_STEM)


def _is_ending(stem: str, ending: str) -> bool:
    if ending in _GERMAN_ENDINGS:
        return stem.isascii()
    if stem.isascii():
        return len(stem) >= _MIN_LATIN_STEM and ending in _SLAVIC_ENDINGS
    return ending in _CYRILLIC_ENDINGS


def _bare(word: str) -> Iterator[str]:
    """Yield a word of Arabic or Hebrew without its possible prefixes."""
    for pattern in (_ARABIC_PREFIX, _HEBREW_PREFIX):
        match = pattern.match(word)
        longest = match.end() if match else 0
        for length in range(1, longest + 1):
            bare = word[length:]
            if len(bare) >= _MIN_BARE:
                yield bare
                yield "ال" + bare  # للحداد is ل and الحداد


def apart(word: str) -> Iterator[Words]:
    """Yield a name with its prefix separated: Mc Donald, De Santis."""
    if word.startswith("mc"):
        yield "mac", word[2:]
    for prefix in {*_PREFIXES, *particles()}:
        rest = word.removeprefix(prefix)
        if len(rest) >= _MIN_REST and rest != word and not is_common_word(rest):
            yield prefix, rest


def lost_letters(word: str) -> Words:
    """Return the pieces of a name between its letters with accents; none if too little is left.

    >>> lost_letters("voüziox"), lost_letters("østergård"), lost_letters("nuñez"), lost_letters("jörg")
    (('vo', 'ziox'), ('', 'sterg', 'rd'), ('nu', 'ez'), ())
    """
    if len(word) > _MAX_NAME or not all(it.isascii() or fold(it).isascii() for it in word):
        return ()
    pieces = tuple(re.split(r"[^\x00-\x7f]+", word))
    enough = sum(map(len, pieces)) >= _MIN_LEFT and max(map(len, pieces)) >= _MIN_MARKED_PIECE
    return pieces if enough and len(pieces) > 1 and not is_common_word("".join(pieces)) else ()


@lru_cache(maxsize=64)
def lost_letters_pattern(word: str) -> re.Pattern[str]:
    """Return a pattern for a name whose letters with accents are replaced or missing."""
    whole = normalize("NFC", word)
    longest = max(map(len, re.split(r"[^\x00-\x7f]+", whole)))
    lost = _LOST if longest >= _MIN_PIECE else _SURELY_LOST
    letters = (it if it.isascii() else _lost_letter(it, lost) for it in whole)
    return re.compile(rf"(?<![^\W_]){''.join(letters)}(?![^\W_])", re.IGNORECASE)


def _lost_letter(letter: str, lost: str) -> str:
    """Return the pattern of one letter: unchanged, without its accent, misread once or twice, or lost."""
    both = (letter, letter.upper())
    once = {text for case in both for text in misread(case) if not text.isspace()}
    twice = {_in_latin_1(text.encode()) for text in once}
    ways = sorted({*both, fold(letter), *once, *twice}, key=len, reverse=True)
    return f"(?:{'|'.join(map(re.escape, ways))}|{lost})"


def misread(word: str) -> Iterator[str]:
    """Yield a name as its bytes look when they are read as Latin-1 or Windows 1252.

    >>> "VoÃ¼ziox" in set(misread("Voüziox")), "ÖÜ½¨»ª" in set(misread("周建华"))
    (True, True)
    """
    sets = next((sets for letters, sets in _SETS if letters.search(word)), ("utf-8",))
    found = set()
    for encoding in sets:
        try:
            data = word.encode(encoding)
        except UnicodeEncodeError:
            continue
        found.add(_in_latin_1(data))
        found.add(data.decode("cp1252", "replace"))
    yield from (
        text for text in found if text.lower() != word.lower() and "\ufffd" not in text and not text.isascii()
    )


def _in_latin_1(data: bytes) -> str:
    return data.decode("latin-1")


def is_misread(text: str) -> bool:
    """Return whether a text in Latin-1 is probably in another character set: symbols, or only high letters.

    >>> is_misread("ÖÜ½¨»ª"), is_misread("VoÃ¼ziox"), is_misread("Müller"), is_misread("Ødegård")
    (True, True, False, False)
    """
    if text.isascii() or max(text) > "\xff":
        return False
    high = _HIGH.findall(text)
    return _NO_LETTERS.search(text) is not None or (len(high) >= _MIN_HIGH and not _ASCII_LETTER.search(text))


def read_as_utf_8(text: str) -> str | None:
    r"""Return the correct text if its UTF-8 was read as Latin-1 or Windows 1252, else None.

    >>> read_as_utf_8("Ð\x98Ð³Ð¾Ñ\x80Ñ\x8e"), read_as_utf_8("DvoÅ™Ã¡k"), read_as_utf_8("Müller")
    ('Игорю', 'Dvořák', None)
    """
    if text.isascii():
        return None
    for encoding in ("latin-1", "cp1252"):
        try:
            return text.encode(encoding).decode("utf-8")
        except UnicodeError:
            continue
    return None


def misread_utf_8(text: str, like: str) -> str:
    """Return a text as its UTF-8 looks when it is misread in the same way as another text."""
    data = text.encode()
    try:
        return data.decode("cp1252") if max(like) > "\xff" else data.decode("latin-1")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def readings(text: str) -> Iterator[str]:
    """Yield the possible readings of a Latin-1 name that looks misread.

    >>> [*readings("ÖÜ½¨»ª")][0], [*readings("VoÃ¼ziox")]
    ('周建华', ['Voüziox'])
    """
    if not is_misread(text):
        return
    right = read_as_utf_8(text)
    if right is not None:
        yield right
        return
    data = text.encode("latin-1")
    for encoding, letters in _GUESSES:
        try:
            reading = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if letters.match(reading):
            yield reading


class OwnWritings:
    """Finds an instance's names inside words: in scripts without spaces, misread, or with lost letters.

    Args:
        names: by component, folded.
        spellings: their words that are not plain ASCII, in lower case with their accents.
        wrong: names that are misread already in the header.
        telling: folded words that identify on their own.
        shortest: fewest letters of a name in scripts without spaces; in East Asian ones two are enough.
    """

    def __init__(
        self,
        names: Iterable[Iterable[Words]] = (),
        spellings: Iterable[str] = (),
        wrong: Iterable[str] = (),
        telling: Set[str] = frozenset(),
        shortest: int = _MIN_BARE,
    ) -> None:
        self.unparted = set(whole_names(names))
        self.misread = {text for text in wrong if len(text) >= shortest}
        self.syllables = {word for word in spellings if len(word) == 1 and is_syllabic(word)}
        self.lost: dict[str, Words] = {}
        for word in spellings:
            if is_unparted(word):
                enough = _MIN_SYLLABLES if is_syllabic(word) else shortest
                if len(word) >= enough and fold(word) not in vocabulary():
                    self.unparted.add((in_katakana(fold(word)),))
                    self.misread.update(misread(word))
            elif fold(word) in telling:
                if pieces := lost_letters(word):
                    self.lost[word] = pieces
                    continue
                for written in (word, word.upper(), word.capitalize()):
                    self.misread.update(misread(written))
        for name in self.unparted:
            self.misread.update(misread("".join(name)))
        self.misread = {text for text in self.misread if len(text) >= shortest}
        self._by_piece: dict[str, list[str]] = {}
        for word, pieces in self.lost.items():
            self._by_piece.setdefault(max(pieces, key=len), []).append(word)
        self._by_joined: dict[str, set[Words]] = {}
        for words in self.unparted:
            self._by_joined.setdefault("".join(words), set()).add(words)

    @cached_property
    def _pieces(self) -> TextSearch[str]:
        return TextSearch(self._by_piece)

    @cached_property
    def _misread(self) -> TextSearch[str]:
        return TextSearch(self.misread)

    @cached_property
    def _joined(self) -> TextSearch[str]:
        return TextSearch(self._by_joined)

    def find(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield their spans in a raw text."""
        yield from self._find_lost(text)
        if text.isascii():
            return
        for name, start, end in self._misread.matches(text) if self.misread else ():
            beside = text[start - 1 : start] + name[:1], name[-1:] + text[end : end + 1]
            if not any(map(_are_one_word, beside)):
                yield start, end
        if self.unparted:
            yield from self._find_unparted(text)

    def _find_unparted(self, text: str) -> Iterator[tuple[int, int]]:
        """Search for names without separators, then check the separators in the text."""
        normal, places = located_normal_form(text)
        flat = in_katakana(normal)
        found = list(self._joined.matches(_PARTS.sub("", flat)))
        letters = [match.start() for match in _NO_PART.finditer(flat)] if found else []
        for joined, first, last in found:
            at = letters[first:last]
            if any(_are_near(at, words) for words in self._by_joined[joined]):
                start, end = at[0], at[-1] + 1
                yield (start, end) if places is None else (places[start], places[end])

    def find_titled(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield the spans of family names of one syllable before a title: 李女士, 김님."""
        if self.syllables and not text.isascii():
            for match in _TITLED_SYLLABLE.finditer(text):
                if match[0] in self.syllables:
                    yield match.span()

    def _find_lost(self, text: str) -> Iterator[tuple[int, int]]:
        if self.lost:
            for piece, start, end in self._pieces.matches(small_letters(text)):
                for word in self._by_piece[piece]:
                    reach = len(word) * _LONGEST_LOSS
                    found = lost_letters_pattern(word).finditer(text, max(0, start - reach), end + reach)
                    yield from (match.span() for match in found)


def whole_names(names: Iterable[Iterable[Words]]) -> Iterator[Words]:
    """Yield family and given name, in either order, of names in scripts without spaces."""
    for name in names:
        words = tuple(in_katakana(word) for component in name for word in component)
        joined = "".join(words)
        enough = _MIN_SYLLABLES if is_syllabic(joined) else _MIN_LEFT
        is_known = joined in vocabulary() or len(joined) < enough
        if len(words) > 1 and all(map(is_unparted, words)) and not is_known:
            yield words
            yield words[1:] + words[:1]


def _are_near(places: list[int], words: Words) -> bool:
    """Return whether letters at some places are words without wide gaps between them."""
    starts = set(accumulate(map(len, words)))
    return all(
        behind - before <= (1 + _WIDEST_GAP if number in starts else 1)
        for number, (before, behind) in enumerate(pairwise(places), 1)
    )


def _are_one_word(letters: str) -> bool:
    return letters.isascii() and letters.isalpha() and len(letters) > 1
