import subprocess
import sys
from pathlib import Path

import pytest

from beamstop.words.vocabulary import fold, is_common_word, is_syllabic, ordinary, titles, vocabulary

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    "word", ["abdomen", "contrast", "phantom", "anonymous", "ct", "siemens", "pain", "series", "lumbar"]
)
def test_words_of_dicom_medicine_and_archives_are_ordinary(word: str) -> None:
    assert word in ordinary()


@pytest.mark.parametrize("word", ["wilson", "graves", "parkinson", "hodgkin", "osteosarcoma"])
def test_eponyms_and_capitalised_terms_are_vouched_for_but_may_be_names(word: str) -> None:
    assert word in vocabulary()
    assert word not in ordinary()


@pytest.mark.parametrize("word", ["smith", "mueller", "garcia", "johnson", "kowalski", "nguyen"])
def test_names_are_in_no_vocabulary(word: str) -> None:
    assert word not in vocabulary()


def test_every_word_is_folded() -> None:
    assert [word for word in vocabulary() | titles() if fold(word) != word] == []


@pytest.mark.parametrize("word", ["ct01", "4mr1", "scanner2", "test123"])
def test_an_ordinary_word_with_a_small_number_is_dull(word: str) -> None:
    assert is_common_word(word)


@pytest.mark.parametrize("word", ["p001", "ct20199", "smith1", "120"])
def test_other_words_with_numbers_are_not_dull(word: str) -> None:
    assert is_common_word(word) == (word == "120")


def test_fold_takes_case_and_accents_and_leaves_other_scripts() -> None:
    assert fold("JOSÉ Müller-Łukasz Straße Ångström") == "jose muller-lukasz strasse angstrom"
    assert fold("山田^太郎 김희중") == "山田^太郎 김희중"


def test_ideographs_kana_and_hangul_are_syllabic() -> None:
    assert [is_syllabic(word) for word in ("山田", "ﾔﾏﾀﾞ", "김희중", "Müller", "Иванов")] == [
        True,
        True,
        True,
        False,
        False,
    ]


def test_the_generated_file_is_what_the_generator_writes(tmp_path: Path) -> None:
    target = tmp_path / "vocabulary.txt"
    subprocess.run(
        [sys.executable, ROOT / "tools" / "make_vocabulary.py", target], check=True, capture_output=True
    )
    shipped = ROOT / "transforms" / "beamstop" / "data" / "vocabulary.txt"
    assert target.read_text(encoding="utf-8") == shipped.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("letter", "is_one"),
    [
        *[(it, True) for it in "\u1100\u11ff\u2e80\ud7ff\uf900\ufaff\uff66\uffdc"],
        *[(it, False) for it in "\u10ff\u1200\u2e7f\ue000\uf8ff\ufb00\uff65\uffdd\U0001f600"],
    ],
)
def test_ranges_of_syllabic_letters_end_where_they_end(letter: str, is_one: bool) -> None:
    assert is_syllabic(f"a{letter}") is is_one
