"""Write data/plain_words.txt, words of eight languages, and data/name_words.txt, words that are also names.

Run `python tools/make_plain_words.py [TARGET FOLDER]` with these packages installed, under these licences:

* pyspellchecker 0.9.1 (MIT): words of English, German, French, Spanish, Italian, Portuguese, Dutch and
  Russian with their frequency in film subtitles; rare words are left out;
* simple-icd-10-cm 1.5.0 (MIT; ICD-10-CM itself is a work of the United States government): words of diseases;
* names 0.3.0 (MIT; the United States Census of 1990) and Faker 40.63.0 (MIT): names of people and towns of
  sixty countries. They are subtracted: an ordinary word that is also a name is left out.

A word of medicine or DICOM that is also a name stays a word, and is listed in name_words.txt. It is removed
if a title, a comma or a caret beside it shows that it is a name.
"""

import gzip
import importlib
import json
import pkgutil
import re
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from beamstop.words.vocabulary import eponyms, fold, medicine, ordinary, vocabulary, word_lists

TARGET = Path(__file__).parent.parent / "transforms" / "beamstop" / "data"
# Least frequency of a word. Set by hand for each language, as the lists differ in length.
MIN_COUNT = {"en": 300, "de": 60, "fr": 200, "es": 200, "it": 200, "pt": 200, "nl": 200, "ru": 100}
COMMONEST = 700  # most frequent words of each language, which stay words even if they are family names
MIN_LETTERS = 3  # of a plain word
MIN_STEM, MAX_ENDING = 4, 3  # letters of an inflected name, see `is_bent`
MAX_SHORT = 4  # letters of a name in the list `short`
MAX_RANK = 20_000  # in the census: rarer surnames are words rather than names
MEDICINE = ("german", "french", "spanish", "agents", "terms")
# Those of the commonest words that are frequent surnames. Chosen by hand.
SURNAMES = """
    bank bear blanco boss brand bush case church cook court dear fair fly fresh fuchs fuhr garde
    gross guerra hasse king klug koch koning krieg lange larson lieb lustig major master mata
    meister moon neu page pena pope price prinz reich reis rey ricci rico rossi rubio santos sauer
    scharf sergeant stark stolz story swift toll voll wild wilde wind
"""
# Words of anatomy or of protocols that are not treated as names. Chosen by hand.
ANATOMY = """
    acr ap april art asir bauch body bone bones bravo brust cabeza can cea chest cross daily dates
    doppler dot drop dry du early el era fields foot gauge good hair hand hands head heart hip horn
    ica ii im knee kopf lake line linke long lung major max medium neck nurse pan patch pi power
    powers quick reader roles sharp shear short small spring star van wall water waters
"""
_WORD = re.compile(r"[^\W\d_]+")
_TEXT = re.compile(r"<(?:desc|note|name|title)>([^<]+)<")
_GIVEN = re.compile(r"first_?names?|given", re.IGNORECASE)
_FAMILY = re.compile(r"last_?names?|family", re.IGNORECASE)
_TOWNS = re.compile(r"^(?:cit(?:y|ies)(?:_names?)?|towns?|villages?|municipalities)$", re.IGNORECASE)


def subtitle_words() -> tuple[set[str], set[str]]:
    """Return the folded words that are frequent enough in one of the languages, and the commonest of each."""
    words: set[str] = set()
    commonest: set[str] = set()
    for language, least in MIN_COUNT.items():
        packed = (files("spellchecker") / "resources" / f"{language}.json.gz").read_bytes()
        counts: dict[str, int] = json.loads(gzip.decompress(packed))
        frequent = [word for word, count in counts.items() if count >= least and _WORD.fullmatch(word)]
        words.update(map(fold, frequent))
        frequent.sort(key=lambda word: (-counts[word], word))
        commonest.update(map(fold, frequent[:COMMONEST]))
    return words, commonest


def disease_words() -> Iterator[str]:
    """Yield the folded lower-case words of ICD-10-CM, which always capitalises names of persons."""
    data = files("simple_icd_10_cm") / "data"
    (tabular,) = (file for file in data.iterdir() if file.name.endswith(".xml"))
    for text in _TEXT.findall(tabular.read_text(encoding="utf-8")):
        yield from (fold(word) for word in _WORD.findall(text) if word.islower())


def census(file: str, last: int) -> set[str]:
    """Return the names in one list of the census, in lower case, down to a rank."""
    lines = (files("names") / file).read_text(encoding="utf-8").splitlines()
    return {line.split()[0].lower() for line in lines[:last]}


def _faker_lists(kind: str, wanted: re.Pattern[str]) -> Iterator[str]:
    package: Any = importlib.import_module(f"faker.providers.{kind}")
    for module in pkgutil.iter_modules(package.__path__):
        provider = importlib.import_module(f"faker.providers.{kind}.{module.name}").Provider
        for name, values in vars(provider).items():
            if wanted.search(name) and isinstance(values, tuple | list | dict):
                for value in values:
                    found = _WORD.findall(str(value))
                    if kind == "person" or len(found) == 1:  # no word of "Villa de la Paz" is a town
                        yield from map(fold, found)


def is_bent(word: str, names: set[str]) -> bool:
    """Return whether a word is an inflected form of a name, such as Игоря."""
    return any(
        len(stem) >= MIN_STEM and (stem in names or any(stem + ending in names for ending in "аяйьео"))
        for stem in (word[:length] for length in range(len(word) - MAX_ENDING, len(word)))
    )


def main(target: Path) -> None:
    """Collect the words, subtract the names, and write both files to a folder."""
    common_given = census("dist.female.first", 3000) | census("dist.male.first", MAX_RANK)
    given = common_given | set(_faker_lists("person", _GIVEN))
    common_family = census("dist.all.last", MAX_RANK)
    family = common_family | set(_faker_lists("person", _FAMILY))
    towns = set(_faker_lists("address", _TOWNS))
    core = vocabulary() | medicine()
    subtitles, commonest = subtitle_words()
    words = (subtitles | set(disease_words())) - given - family - towns
    not_latin = {word for word in commonest & given if not word.isascii()}
    rescued = commonest - common_given - not_latin
    words = {word for word in words | rescued if word.isascii() or not is_bent(word, given | family)} - core
    plain = sorted(word for word in words if len(word) >= MIN_LETTERS)
    (target / "plain_words.txt").write_text("\n".join(plain) + "\n", encoding="utf-8")
    short = {name for name in given | family if 1 < len(name) <= MAX_SHORT and name.isascii()} - core - words
    # The known words that are also names, except those of anatomy and protocols.
    lists_of_medicine = medicine().union(*(word_lists("word_lists.txt")[name] for name in MEDICINE))
    hardly_words = ((vocabulary() - ordinary()) | eponyms()) - lists_of_medicine
    also_names = word_lists("burned_words.txt")["also names"] | (
        rescued & common_family & set(SURNAMES.split())
    )
    people = (given | family) & (hardly_words | also_names) & (core | words) - set(ANATOMY.split())
    lists = {"people": people, "short": short}
    lines = ["# Words that people are called by, and short names; written by tools/make_plain_words.py."]
    for heading, names in lists.items():
        lines += [f"[{heading}]", " ".join(sorted(name for name in names if len(name) > 1))]
    (target / "name_words.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(len(plain), "words;", ", ".join(f"{len(names)} {name}" for name, names in lists.items()))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET)
