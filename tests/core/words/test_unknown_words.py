"""Under `unknown_words: judge` words stay that somebody vouches for, and strangers' names and codes go."""

from datetime import date
from pathlib import Path

import pytest

from beamstop.words.clean_text import clean_text
from beamstop.words.identifiers import Identifiers
from beamstop.words.vocabulary import fold, known_words, medicine, name_words
from beamstop.words.word_forms import is_known

NOBODY = Identifiers()


def judged(text: str, **options: object) -> str:
    return clean_text(text, NOBODY, "judge", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "t1_mprage_sag_p2_iso",
        "ep2d_diff_mddw_30_p2_TRACEW",
        "*epfid2d1_64",
        "WATER: Ax LAVA Flex",
        "CorCTA DS_BestDiast 75%",
        "CT LightSpeed VCT",
        "syngo MR E11",
        "27\\LX\\MR Software release:15.0_M4_0910.a",
        "pixel 0.9765625 0.9765625, matrix 512 512 128",
        "128x128 512X512x44 230x230mm",
        "abcdefgh2d1 zqw3d128abcd",
        "Abdomen^Liver_routine (Adult)",
        "HEAD^Brain",
        "Schädel nativ, Halsweichteile, Kniegelenkserguss",
        "Schaedel nativ, Hueftgelenk",
        "IRM du genou gauche sans injection",
        "TK klatki piersiowej z kontrastem",
        "МРТ головного мозга",
        "頭部単純CT",
        "Lu-177 therapy, Smith fracture, Dandy-Walker malformation, Hodgkin lymphoma",
        "Station 2, bed 3",
    ],
)
def test_protocols_medicine_and_devices_stay_as_they_are(text: str) -> None:
    assert judged(text) is text


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("knee left (Quessenbrand)", "knee left"),
        ("Informed Zdzisława Wojtowicz by telephone", "Informed by telephone"),
        ("lives in Oberhausbach", "lives in"),
        ("brought by J. Haverlandt", "brought by"),
        ("cc Haverlandt R., knee", "cc, knee"),
        ("BROWN^MAY knee", "knee"),
        ("Brown, May: fracture", "fracture"),
        ("seen by daughter May", "seen by daughter"),
        ("asked Anna Brown, brown fat", "asked, brown fat"),
        ("discussed with van der Quessel", "discussed with"),
        ("KMB 12/03/2021 reviewed", "reviewed"),
        ("J.S. 12.03.2021 reviewed", "reviewed"),
        ("call 0478 551290", "call"),
        ("or 555-0199 today", "or today"),
        ("chart 88-4417-2, b 50-400-800", "chart, b 50-400-800"),
        ("asked Torvald Esk, Obl view", "asked, Obl view"),
        ("Esk Torvald, Obl view", "Obl view"),
        ("asked Torvald Aurae, knee", "asked Aurae, knee"),  # of five letters
        ("Brown Quessenbrand Brown, brown fat", "brown fat"),
        ("Quessenbrand, knee of Brown", "knee of Brown"),
        ("van der Quessel, van", "van"),
        ("der Quessel knee of Brown", "der knee of Brown"),
        ("in room 412B", "in room"),
        ("Bett 3A, Station 4C", "Bett, Station"),
        ("film 448812, K448812", "film"),
        ("胸部CT山田", "胸部CT"),
        ("患者５５０３１７７", "患者"),
        ("МРТ головного мозга Игоря", "МРТ головного мозга"),
        ("CT לחמוד يعقوب", "CT"),
        ("CT สมหญิงแก้ว สុខវិបុល knee", "CT knee"),
    ],
)
def test_strangers_villages_numbers_and_codes_go(text: str, clean: str) -> None:
    assert judged(text) == clean


def test_words_of_the_recipe_stay() -> None:
    assert judged("Quessenbrand protocol", extra_words=frozenset({"quessenbrand"})) == "Quessenbrand protocol"


def test_a_date_that_moves_stays_whole() -> None:
    own = Identifiers(dates=frozenset({date(2021, 3, 12)}))
    clean = clean_text("seen 12 March 2021", own, "judge", shift_date=lambda day: day.replace(year=2019))
    assert clean == "seen 12 March 2019"


@pytest.mark.parametrize("before", ["", "CT ", "頭部 "])
def test_a_day_of_an_era_moves_wherever_it_stands(before: str) -> None:
    own = Identifiers(dates=frozenset({date(1961, 12, 17)}))
    text = f"{before}昭和36年12月17日 頭部"
    assert (
        clean_text(text, own, shift_date=lambda day: day.replace(month=3)) == f"{before}昭和36年3月17日 頭部"
    )


@pytest.mark.parametrize(
    "word",
    ["Lendenwirbelsaeule", "Felsenbein", "ginocchio", "rodilla", "kolano", "hjärna", "knæ", "enterography"],
)
@pytest.mark.parametrize(("title", "modality"), [("MR ", "MR"), ("MS ", "MR"), ("DR ", "DX"), ("MR ", "CT")])
def test_no_examination_vanishes_behind_a_modality(word: str, title: str, modality: str) -> None:
    for text in (title + word.capitalize(), title.replace(" ", "_") + word.upper()):
        assert clean_text(text, NOBODY, modality=modality) == text


@pytest.mark.parametrize("text", ["MR B1000 trace", "syngo MR E11", "CTV MR N1", "DR T2"])
def test_a_letter_with_digits_is_no_name_behind_a_title(text: str) -> None:
    assert clean_text(text, NOBODY) is text


@pytest.mark.parametrize(
    ("text", "modality", "clean"),
    [
        ("MR Quessenbrand", "CT", ""),
        ("MR BROWN knee", "CT", "knee"),
        ("MR BROWN fat", "MR", "MR BROWN fat"),
        ("Mr Brown knee", "MR", "knee"),
        ("MR. Quessenbrand", "MR", ""),
        ("DR Quessenbrand", "MR", ""),
    ],
)
def test_the_modality_tells_an_examination_from_a_person(text: str, modality: str, clean: str) -> None:
    assert clean_text(text, NOBODY, modality=modality) == clean


@pytest.mark.parametrize(
    "word", ["Smith", "Schneider", "Kowalski", "Rossi", "Moreau", "Nguyen", "Anna", "Oberbach"]
)
def test_names_are_known_by_no_list(word: str) -> None:
    assert not is_known(word)


def test_lists_are_folded_and_hold_no_short_name() -> None:
    assert [word for word in known_words() if fold(word) != word] == []
    assert name_words()["short"].isdisjoint(known_words())
    assert name_words()["people"] <= known_words()
    assert len(medicine()) > 7000


def test_the_lists_are_what_their_generator_writes(tmp_path: Path) -> None:
    for package in ("spellchecker", "simple_icd_10_cm", "names", "faker"):
        pytest.importorskip(package)
    import subprocess
    import sys

    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, root / "tools/make_plain_words.py", tmp_path], check=True)
    for file in ("plain_words.txt", "name_words.txt"):
        assert (tmp_path / file).read_bytes() == (root / "transforms/beamstop/data" / file).read_bytes()
