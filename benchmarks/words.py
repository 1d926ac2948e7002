"""What `unknown_words: judge` keeps of descriptors and removes of strangers, measured.

Run as `python benchmarks/words.py [--tune] [FOLDER…]`. Descriptors are those of `descriptors.txt`, of the
DICOM files that installed packages bring and of further folders. A hash halves them: rules and lists are
tuned on the first half (`--tune` shows what it loses), figures are those of the second, whose losses are
never shown. Names of strangers are put together of syllables, by country, so that they are in no list, and
stand in sentences as people write them.
"""

import hashlib
import random
import re
import site
import sys
from collections.abc import Iterator
from pathlib import Path

from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from beamstop.words.clean_text import clean_text
from beamstop.words.identifiers import Identifiers
from beamstop.words.vocabulary import known_words

HERE = Path(__file__).parent
KEYWORDS = ("StudyDescription", "SeriesDescription", "ProtocolName")
SEED = 20262
NAMES_PER_COUNTRY = 60
_WORD = re.compile(r"[^\W_]+")
_NOBODY = Identifiers()

# Beginnings and ends of family names, beginnings and ends of given names, by country.
SYLLABLES = {
    "Germany": (
        "Habers Quess Wittel Ober Rauten Krabben",
        "mayr feld brand bruch hauser egger",
        "Hild Wolf Irmg Ger",
        "burga hart ard lind",
    ),
    "France": (
        "Chaul Dubrev Marcil Tourv Peyr Lavoq",
        "ieux ontel ouard illon asset ignan",
        "Élo Théo Jos Clé",
        "ise bald ette mence",
    ),
    "Spain": (
        "Arrub Echeb Zalv Monc Urqu Baldor",
        "arrena idea erria ayuela eta inda",
        "Ign Leoc Rosa Euf",
        "acia adio lva emia",
    ),
    "Italy": (
        "Brambi Scog Tavo Pell Guar Strazz",
        "lotti namiglio lacci egrina niero ullo",
        "Gior Ludo Mari Fio",
        "detta vica stella renza",
    ),
    "Poland": (
        "Skrzy Wojto Brzo Kąd Przyb Grzeg",
        "pczak wicz zowska zielawa ylski orek",
        "Bogu Stani Wit Zdzi",
        "miła sława old mira",
    ),
    "Netherlands": (
        "Haver Oosten Kuijp Zand Boer Wijn",
        "kamp dorp ers voort broek straten",
        "Wil Maar Henk Fem",
        "helmina tje elien keline",
    ),
    "Sweden": (
        "Berg Öster Hägg Lind Sö Fors",
        "lundh klint ström qvist derblom man",
        "Gun Ing Rag Tor",
        "vor egerd nhild björg",
    ),
    "Portugal": (
        "Vasco Carv Fig Trav Alb Mout",
        "ncelos alhosa ueiral assos uquer inhas",
        "Filo Deo Con Gra",
        "mena linda stança ciete",
    ),
    "Czechia": (
        "Hrabě Koze Vond Stej Nedo Pros",
        "tová luhová ráčková skalová mová ecký",
        "Bož Ladi Zden Květ",
        "ena slava ěk oslava",
    ),
    "Turkey": (
        "Kara Yıld Öz Çel Demir Gün",
        "oğlu ırımtaş demirci ikbaş cioğlu eşdoğan",
        "Şer Müj Gül Nur",
        "afettin gan şah hayat",
    ),
}
SENTENCES = (
    "Informed {given} {family} by telephone about the result",
    "Referred by {family}, please compare with the previous chest CT",
    "brought in by neighbour {given} {family}, fell on left hip",
    "Rücksprache mit {family} wegen Kontrastmittelallergie",
    "Befund an {given} {family} gefaxt, Verlaufskontrolle in 6 Wochen",
    "examen demandé par {family}, douleurs du genou gauche",
    "avisé {given} {family}, contrôle dans trois mois",
    "avisado {family}, acude por dolor abdominal",
    "accompagnato da {given} {family}, frattura del polso",
    "paciente conhecida de {family}, controle pós-operatório",
    "overleg met {family} over de knie rechts",
    "badanie zlecił {family}, kontrola po zabiegu",
    "remiss från {family}, smärta höger knä",
    "{family} - repeat lateral, motion",
    "knee left ({family})",
)


def is_reported(text: str) -> bool:
    """Return whether a descriptor is of the half that figures are taken from."""
    return hashlib.sha256(text.encode()).digest()[0] % 2 == 1


def descriptors(folders: list[Path]) -> Iterator[str]:
    """Yield the descriptors of the list and of all DICOM files below folders."""
    listed = (HERE / "descriptors.txt").read_text(encoding="utf-8").splitlines()
    yield from (line for line in listed if not line.startswith("#"))
    for path in (path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()):
        with path.open("rb") as file:
            if file.read(132)[128:] != b"DICM":
                continue
        try:
            dataset = dcmread(path, stop_before_pixels=True, specific_tags=list(KEYWORDS))
            yield from (
                str(dataset[keyword].value or "").strip() for keyword in KEYWORDS if keyword in dataset
            )
        except (InvalidDicomError, AttributeError, ValueError, OSError):
            continue


def words(text: str) -> list[str]:
    """Return the words of a text: runs of letters and digits."""
    return _WORD.findall(text)


def strangers() -> Iterator[tuple[str, str, str]]:
    """Yield a country, a given and a family name of nobody."""
    chance = random.Random(SEED)
    for country, (heads, tails, firsts, lasts) in SYLLABLES.items():
        for _ in range(NAMES_PER_COUNTRY):
            family = chance.choice(heads.split()) + chance.choice(tails.split())
            yield country, chance.choice(firsts.split()) + chance.choice(lasts.split()), family


def main(arguments: list[str]) -> None:
    """Measure and print."""
    tunes = "--tune" in arguments
    folders = [Path(argument) for argument in arguments if not argument.startswith("--")]
    texts = sorted(set(descriptors([*map(Path, site.getsitepackages()), *folders])) - {""})
    for half in (False, True):
        kept = total = 0
        for text in (text for text in texts if is_reported(text) == half):
            after = words(clean_text(text, _NOBODY, "judge"))
            before = words(clean_text(text, _NOBODY))
            kept, total = kept + len(after), total + len(before)
            if tunes and not half and len(after) < len(before):
                print("  ", text, "|", *(word for word in before if word not in after))
        which = "reported" if half else "tuned"
        print(f"descriptors, {which} half: {kept} of {total} words kept, {kept / total:.1%}")
    chance = random.Random(SEED + 1)
    gone, left, kept, total = 0, [], 0, 0
    for country, given, family in strangers():
        sentence = chance.choice(SENTENCES)
        after = words(clean_text(sentence.format(given=given, family=family), _NOBODY, "judge"))
        for name in [family, *([given] if "{given}" in sentence else [])]:
            gone, left = gone + (name not in after), left + [f"{country}: {name}"] * (name in after)
        rest = words(sentence.replace("{given}", "").replace("{family}", ""))
        kept, total = kept + sum(word in after for word in rest), total + len(rest)
    print(
        f"strangers: {gone} of {gone + len(left)} names removed, {gone / (gone + len(left)):.1%}; left:",
        *left,
    )
    print(f"words around them: {kept} of {total} kept, {kept / total:.1%}; {len(known_words())} words known")


if __name__ == "__main__":
    main(sys.argv[1:])
