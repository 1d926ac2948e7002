"""Words known by their form: medicine by Greek and Latin, compounds by parts, abbreviations by letters."""

import re
from collections.abc import Iterator, Set
from functools import lru_cache

from beamstop.words.vocabulary import (
    cjk_words,
    compound_parts,
    eponyms,
    fold,
    is_syllabic,
    known_words,
    medicine,
    name_words,
    ordinary,
    vocabulary,
)

_MIN_FORMED = 6
_MAX_FORMED = 40
_LINKS = ("", "s", "n", "en", "es", "er", "e")
_MIN_PART, _MAX_PARTS = 3, 4
_MIN_STEM = 5
_ENDINGS = ("s", "es", "ed", "ing", "ly", "e", "en", "er", "n", "a", "o", "i")
_ROOTS = re.compile(
    r"(?:abdomin|adeno|angio|arterio|arthro|bronch|cardio|kardio|cephal|cerebr|zerebr|cervic|zervik|cholang|cholecyst|"
    r"chondro|chole[cdst]|cranio|cysto|dermat|duoden|echo[cgk]|electro|elektro|encephal|endo[cmnstv]|entero|epidid|epidur|esoph|oesoph|"
    r"osoph|femoro|gastro|glomer|glosso|gyneco|gynako|haemat|hamat|hemat|hemi[aptz]|hepat|histo|hydro[cnpsx]|hyper[cdepstv]|"
    r"hypo[cdgpstv]|hyster|ileo|immun|intra[acdhmoptuv]|ischi|ischa|ischem|isquem|kolo[nrs]|colo[nrs]|kyst|laparo|laryng|leuk[ae]|leuc[oe]|"
    r"lumbo|lymph|lymf|linfo|mammo|mastect|mediast|mening|metasta|myel[io]|myoc|myom|nephr|nefr|neuro|oophor|ophthal|oftalm|opht|"
    r"ortho[dp]|ortop|osteo|ovari|pancrea|pankrea|parath|pelv[ei]|peri[acorst]|perit|pharyn|faring|phleb|fleb|pleur|pneum|neum[ao]|poly[np]|"
    r"postop|postin|posttr|prostat|pseudo|pulmon|pyelo|radio[gltp]|retro[cgpsu]|rhin[io]|sacro|salping|scinti|szinti|scler|skler|scolio|"
    r"skolio|spectr|spektr|spondyl|subcut|subdur|submand|suprac|suprar|suprah|infrac|infrar|infrat|synov|tendin|thorac|thorak|torak|torac|"
    r"thrombo|trombo|thyr[eo]|thyroi|tiroi|tonsil|topogr|tracheo|tracheal|traumat|tubercul|tuberk|ureter|urethr|uretr|urogr|urolog|vagina|"
    r"vascul|vasku|ventric|ventrik|vertebr|vesic|viscer|volumet)\w{2,}\Z"
)
_SUFFIXES = re.compile(
    r"\w{3,}(?:graph(?:y|ie|ia|ies|ien|ic|ique)|grafi[aeo]|grafie|grafii|scop(?:y|ie|ia|ic)|skop(?:ie|i|ia)|ectom(?:y|ie|ia|ies)|ektom(?:ie|i|ia)|"
    r"otom(?:y|ie|ia)|ostom(?:y|ie|ia)|path(?:y|ie|ic)|patia|plast(?:y|ie|ia|ik)|itis|itide|itida|aemia|penia|penie|metr(?:y|ie|ia)|"
    r"therap(?:y|ie|ia)|terapia|terapi|megal(?:y|ie|ia)|megali|plegi[ae]|algi[ae]|oscler\w+|osteopor\w+|ograma?s?|ografico|ografica|"
    r"blastoma?s?|carcinoma?s?|karzinoma?e?|sarcoma?s?|sarkome?|lipoma?s?|myom[ea]?s?|osarcom\w+|enchym\w*|ectasi[ae]|ectasis|ektasi[ae]|"
    r"lithiasis|lithiase|litiasi|stenos[ei]s?|stenosen?|trombose|thrombosen?|embolie?n?|abdominale?r?|lateral[ei]?s?|thoracique|"
    r"vertebral\w{0,2}|intestinal\w{0,2}|pulmonar\w{0,2}|hepatic[ao]?)\Z"
)
# Patterns for words as written: upper and lower case matter.
_PIECES = re.compile(r"\d+|[A-ZÀ-ÖØ-Þ]+(?![a-zß-öø-ÿ])|[A-ZÀ-ÖØ-Þ]?[^\W\d_A-ZÀ-ÖØ-Þ]+|[A-ZÀ-ÖØ-Þ]")
_RUNS = re.compile(r"\d+|[A-ZÀ-ÖØ-Þ]{2,}|[A-ZÀ-ÖØ-Þ]?[^\W\d_A-ZÀ-ÖØ-Þ]+|[A-ZÀ-ÖØ-Þ]")
_PREFIXES = re.compile(r"(?:axi?|sag|cor|tra|obl|post|pre|non|sub|recon|auto|multi)(?=\w{4})")
_SIZES = re.compile(r"[0-9]{1,4}(?:[xX][0-9]{1,4}){1,3}(?:[a-z]{1,3})?\Z")
_SEQUENCE = re.compile(r"[a-z]{1,8}[123]d[0-9]{0,3}[a-z]{0,4}\Z")  # epfid2d1, tfl3d1
_VOWELS = frozenset("aeiouy")
_MAX_SHORT, _MAX_CAPITALS, _MAX_CONSONANTS = 3, 4, 6
_MAX_NUMBER = 4
_LETTERS_OF_LONG_NUMBERS = frozenset({"b", "v"})  # b1000, V1000
_SCRIPTS = re.compile(r"[\x00-\x7f]+|[^\x00-\x7f]+")
_LONGEST_SIGNS = 5
_LAST_LATIN, _LAST_OF_OUR_SCRIPTS = "\u024f", "\u052f"  # of Latin; of Latin, Greek and Cyrillic
_HIRAGANA = ("\u3041", "\u309f")


def is_known(word: str, extra_words: Set[str] = frozenset()) -> bool:
    """Return whether a word is known not to be a name, by a vocabulary or by its form.

    Args:
        word: letters and digits, as written.
        extra_words: folded words that are known as well.

    >>> [is_known(word) for word in ("Lendenwirbelsaeule", "ep2d", "noIVContrast", "Haverlandt", "K448812")]
    [True, True, True, False, False]
    """
    folded = fold(word)
    if folded in extra_words or _in_ascii(folded) in medicine():
        return True
    if folded in known_words():
        is_short = word.isupper() and len(word) <= _MAX_CAPITALS
        return is_short or not is_rather_a_name(folded)
    if folded.isdecimal():
        return len(folded) <= _MAX_NUMBER
    if len(word) > _MAX_FORMED:
        return False
    if not word.isascii() and max(word) > _LAST_OF_OUR_SCRIPTS:
        return is_syllabic(word) and not list(unknown_syllables(word))
    if word.isalpha():
        return _is_abbreviation(word) or is_medicine(folded) or _is_prefixed(folded) or _is_in_pieces(word)
    return _is_code(word)


def is_rather_a_name(folded: str) -> bool:
    """Return whether a known word is capitalised in PS3.16 and also a name (Richardson)."""
    return folded in name_words()["people"] and folded not in ordinary() and folded not in eponyms()


def is_medicine(folded: str) -> bool:
    """Return whether a folded word is medicine: listed, a compound of listed words, or Greek and Latin.

    >>> is_medicine("kniegelenkserguss"), is_medicine("hepatolienography"), is_medicine("steinbach")
    (True, True, False)
    """
    if any(map(_is_listed, (folded, _in_ascii(folded)))):
        return True
    if not _MIN_FORMED <= len(folded) <= _MAX_FORMED:
        return False
    if _ROOTS.match(folded) or _SUFFIXES.match(folded) or _is_compound(folded):
        return True
    stems = (folded.removesuffix(ending) for ending in _ENDINGS)
    return any(
        len(stem) >= _MIN_STEM and stem != folded and stem not in name_words()["people"] and _is_listed(stem)
        for stem in stems
    )


def _is_listed(folded: str) -> bool:
    return folded in medicine() or (folded in vocabulary() and folded not in eponyms())


def unknown_syllables(word: str) -> Iterator[tuple[int, int]]:
    """Yield the spans in a run of ideographs, kana or hangul that do not consist of listed words.

    >>> list(unknown_syllables("頭部単純山田"))
    [(4, 6)]
    """
    for run in _SCRIPTS.finditer(word):
        if not run[0].isascii():
            yield from _unknown_signs(run[0], run.start())
        elif not is_known(run[0]):
            yield run.span()


def _unknown_signs(signs: str, offset: int) -> Iterator[tuple[int, int]]:
    known = cjk_words()
    at, start = 0, None
    while at < len(signs):
        length = next((size for size in range(_LONGEST_SIGNS, 0, -1) if signs[at : at + size] in known), 0)
        is_kana = _HIRAGANA[0] <= signs[at] <= _HIRAGANA[1]
        # A single sign beside an unknown span may be a part of it.
        if length > 1 or (start is None and (length or is_kana)):
            if start is not None:
                yield offset + start, offset + at
                start = None
            at += length or 1
        else:
            start = at if start is None else start
            at += 1
    if start is not None:
        yield offset + start, offset + len(signs)


def _in_ascii(folded: str) -> str:
    """Return a word as `fold` would return it with one-letter umlauts: Schaedel, Huefte."""
    return folded.replace("ae", "a").replace("oe", "o").replace("ue", "u") if "e" in folded else folded


@lru_cache(maxsize=4096)
def _is_compound(folded: str) -> bool:
    return any(_is_made_of(folded, stems, heads, _MAX_PARTS) for stems, heads in compound_parts())


def _is_made_of(rest: str, stems: Set[str], heads: Set[str], parts: int) -> bool:
    """Return whether the rest of a compound is a head, or a stem with its link and then such a rest."""
    if rest in heads:
        return parts < _MAX_PARTS
    if parts == 1:
        return False
    for size in range(_MIN_PART, len(rest) - _MIN_PART + 1):
        if rest[:size] not in stems:
            continue
        for link in _LINKS:
            if rest.startswith(link, size) and _is_made_of(rest[size + len(link) :], stems, heads, parts - 1):
                return True
    return False


def _is_abbreviation(word: str) -> bool:
    """Return whether a word looks like an abbreviation: short or without vowels, and not a short name."""
    folded = fold(word)
    if max(word) > _LAST_LATIN or folded in name_words()["short"]:
        return len(word) < _MAX_SHORT and max(word) <= _LAST_LATIN and not word.istitle()
    if len(word) == 1 or (len(word) == 2 and not word.istitle()):
        return True
    if len(word) <= (_MAX_CAPITALS if word.isupper() else _MAX_SHORT):
        return word.isascii()
    return len(word) <= _MAX_CONSONANTS and _VOWELS.isdisjoint(folded)


def _is_prefixed(folded: str) -> bool:
    """Return whether a plane or a similar prefix and an ordinary word are joined: axbone, postcontrast."""
    prefix = _PREFIXES.match(folded)
    return prefix is not None and folded[prefix.end() :] in ordinary()


def _is_in_pieces(word: str) -> bool:
    """Return whether capitals divide a word into known ones, in either of two ways: noIVContrast, PEres."""
    ways = (_PIECES.findall(word), _RUNS.findall(word))
    return any(len(pieces) > 1 and all(map(_is_piece, pieces)) for pieces in ways)


def _is_piece(piece: str) -> bool:
    folded = fold(piece)
    if folded.isdecimal():
        return len(folded) <= _MAX_NUMBER
    return (len(folded) > 1 and folded in known_words()) or _is_abbreviation(piece) or is_medicine(folded)


def _is_code(word: str) -> bool:
    """Return whether letters and digits are a measure, a sequence or a series, rather than an identifier.

    Few digits, or many between known words: TE80, ep2d, 2x2x5, MB4TR2000; not A12B345, K1234.
    """
    if _SIZES.match(word) or _SEQUENCE.match(word):
        return True
    ways = (_PIECES.findall(word), _RUNS.findall(word))
    pieces = next(
        (way for way in ways if all(len(piece) <= _MAX_SHORT or _is_piece(piece) for piece in way)), None
    )
    if pieces is None:
        return False
    numbers = [piece for piece in pieces if piece.isdecimal()]
    words = [fold(piece) for piece in pieces if not piece.isdecimal()]
    are_telling = all(
        (len(piece) > 1 and piece in known_words()) or piece in _LETTERS_OF_LONG_NUMBERS for piece in words
    )
    digits = sum(map(len, numbers))
    return digits < _MAX_NUMBER or are_telling or (digits == _MAX_NUMBER and len(numbers) > 1)
