import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamstop.words.normal_form import (
    WORD,
    in_digits_of,
    located_normal_form,
    normal_form,
    small_letters,
    whole_letters,
)


@pytest.mark.parametrize("text", ["Müller 5² ½", "CT Thorax", "患者", "ヤマダ", ""])
def test_a_text_in_its_normal_form_is_the_same_object(text: str) -> None:
    assert normal_form(text) is text


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("５５０３", "5503"),
        ("Ｍüller", "Müller"),
        ("Mu\u0308ller", "Müller"),
        ("ﾔﾏﾀﾞ", "ヤマダ"),
        ("٠٦/٠٩/٢٠٢١", "06/09/2021"),
        ("Quessen\u00adbrand", "Quessenbrand"),
        ("Quessen\u200bbrand", "Quessenbrand"),
        ("47\xa01902 471\u2013902 17.\u202f3", "47 1902 471-902 17. 3"),
    ],
)
def test_width_composition_digits_and_what_is_unseen_do_not_count(text: str, normal: str) -> None:
    assert normal_form(text) == normal


@given(st.text(st.sampled_from("aü\u0308５ﾀﾞ٦李ำ\u00adﬁ²\u0e34 \xa0\u2013")))
def test_every_letter_knows_where_it_stood(text: str) -> None:
    normal, places = located_normal_form(text)
    if places is None:
        assert normal is text
    else:
        assert len(places) == len(normal) + 1
        assert list(places) == sorted(places)
        assert places[-1] == len(text)


def test_vowel_signs_belong_to_their_word_and_scripts_part_words() -> None:
    assert WORD.findall("ผู้ป่วยT1 नमस्ते Smith_7") == ["ผู้ป่วย", "T1", "नमस्ते", "Smith", "7"]


def test_digits_are_written_in_the_script_they_were_in() -> None:
    assert in_digits_of("05/08/2020", "٠٦/٠٩/٢٠٢١") == "٠٥/٠٨/٢٠٢٠"
    assert in_digits_of("05", "06") == "05"


@pytest.mark.parametrize(
    ("text", "span", "whole"),
    [
        ("กิข", (0, 1), (0, 2)),
        ("เกข", (1, 2), (0, 2)),
        ("ក្ខគ", (0, 1), (0, 3)),
        ("abc", (0, 1), (0, 1)),
        ("Mu\u0308", (1, 2), (1, 3)),
    ],
)
def test_no_sign_of_a_letter_that_is_cut_stays(
    text: str, span: tuple[int, int], whole: tuple[int, int]
) -> None:
    assert whole_letters(text, *span) == whole


def test_small_letters_stand_where_the_capitals_stood():
    every = [chr(number) for number in range(0x110000)]
    assert [letter for letter in every if len(small_letters(letter)) != 1] == []
    text = "".join(every[:0xD800])
    assert len(small_letters(text)) == len(text)
    for at in (0x41, 0x130, 0x178, 0x416, 0x1E9E):
        assert small_letters(text)[at] == small_letters(every[at])
