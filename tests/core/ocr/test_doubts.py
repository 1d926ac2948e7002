"""Doubts: which boxes are no word on their own."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from beamstop.ocr.doubts import is_read, with_doubts
from beamstop.ocr.thresholds import THRESHOLDS
from beamstop.pixels.renditions import Picture
from beamstop.text.boxes import TextBox, believed

PICTURE = np.zeros((400, 600), np.uint8)
SHORT, LONG, LARGE = TextBox(200, 100, 30, 24), TextBox(200, 100, 90, 24), TextBox(100, 100, 300, 90)


def doubts(boxes: list[TextBox], readings: list[tuple[str | None, float | None]], score: float) -> list[bool]:
    left = list(readings)

    def read(picture: Picture, asked: Sequence[TextBox]) -> list[TextBox]:
        seen = [left.pop(0) for _ in asked]
        return [
            replace(box, text=text, confidence=sure) for box, (text, sure) in zip(asked, seen, strict=True)
        ]

    found = with_doubts(PICTURE, boxes, read, lambda picture, box, lines: score / lines, THRESHOLDS)
    assert found == boxes
    assert not left
    return [box.doubted for box in found]


@pytest.mark.parametrize(
    ("reading", "score", "doubted"),
    [
        (("0", 0.99), 0.99, True),  # a tooth, a rib: a ring, whatever the detector makes of it
        (("00O", 0.99), 0.99, True),
        (("o", 0.11), 0.85, True),
        (("III", 0.9), 0.99, True),  # line pairs
        (("7B", 0.9), 0.2, False),
        (("7B", 0.5), 0.2, True),
        (("Ann", 0.4), 0.2, False),
        (("Vae", 0.1), 0.5, True),  # folds of a brain
        (("", 0.0), 0.5, True),
        (("", 0.0), 0.8, False),  # a script that nobody here reads
        (("wle", 0.1), 0.8, False),
        ((None, None), 0.1, False),  # nobody can read, or it is too small
    ],
)
def test_a_short_box_is_doubted_where_no_word_is_read(
    reading: tuple[str | None, float | None], score: float, doubted: bool
) -> None:
    assert doubts([SHORT], [reading], score) == [doubted]


@pytest.mark.parametrize(
    ("reading", "score", "doubted"),
    [
        (("", 0.0), 0.4, True),  # a row of teeth
        (("", 0.0), 0.8, False),  # Cyrillic
        (("bbbt", 0.03), 0.2, True),  # an ECG
        (("hihhhhhh", 0.13), 0.73, True),
        (("14.09 2021 06 42", 0.29), 0.1, False),
    ],
)
def test_a_large_long_box_is_doubted_where_neither_sees_letters(
    reading: tuple[str | None, float | None], score: float, doubted: bool
) -> None:
    assert doubts([LARGE], [reading], score) == [doubted]


def test_two_lines_in_a_large_box_are_seen_where_each_would_be() -> None:
    (box,) = with_doubts(
        PICTURE,
        [LARGE],
        lambda picture, boxes: [replace(it, text="") for it in boxes],
        lambda picture, box, lines: 0.95 if lines == 2 else 0.1,
        THRESHOLDS,
    )
    assert not box.doubted


def test_long_boxes_that_both_networks_agree_on_are_not_read() -> None:
    assert doubts([replace(LONG, agreed=True)], [], 0.0) == [False]


@pytest.mark.parametrize(
    ("reading", "score", "doubted"),
    [
        (("", 0.0), 0.4, True),  # Doppler
        (("TN", 0.01), 0.5, True),
        (("", 0.0), 0.8, False),  # a script that nobody here reads
        (("630P630", 0.15), 0.2, False),
        ((None, None), 0.1, False),
    ],
)
def test_another_long_box_is_doubted_where_no_word_is_read(
    reading: tuple[str | None, float | None], score: float, doubted: bool
) -> None:
    assert doubts([LONG], [reading], score) == [doubted]


def test_different_letters_beside_each_other_may_be_a_line_where_one_was_sure() -> None:
    row = [TextBox(200 + 40 * number, 100, 30, 24) for number in range(3)]
    readings: list[tuple[str | None, float | None]] = [("A", 0.9), ("7", 0.9), ("T", 0.9)]
    assert doubts(row, readings, 0.2) == [False] * 3
    assert doubts([replace(box, faint=True) for box in row], readings, 0.2) == [True] * 3
    assert doubts(row, [("0", 0.9), ("O", 0.9), ("(", 0.9)], 0.2) == [True] * 3  # teeth


@pytest.mark.parametrize(
    ("word", "stays"),
    [
        (TextBox(240, 100, 90, 24), True),
        (TextBox(280, 100, 90, 24), False),  # too far
        (TextBox(240, 100, 300, 90), False),  # letters of another size
        (TextBox(240, 100, 90, 24, doubted=True), False),
    ],
)
def test_a_doubted_box_counts_only_beside_a_word(word: TextBox, stays: bool) -> None:
    letter = replace(SHORT, doubted=True)
    nothing = np.zeros(PICTURE.shape, bool)
    assert (letter in believed([letter, word], nothing)) is stays


def test_a_doubted_box_counts_beside_what_was_hidden_before() -> None:
    letter, hidden = replace(SHORT, doubted=True), np.zeros(PICTURE.shape, bool)
    hidden[100:120, 260:300] = True
    assert believed([letter], hidden) == [letter]
    hidden[:, :290] = False
    assert believed([letter], hidden) == []


@pytest.mark.parametrize(
    ("word", "stays"), [(TextBox(240, 98, 90, 28), True), (TextBox(240, 108, 40, 8), False)]
)
def test_a_doubted_box_counts_beside_hidden_words_that_are_about_as_high(word: TextBox, stays: bool) -> None:
    """What was blanked of a patch of Doppler leaves shapes that look like large letters."""
    letter, nothing = replace(SHORT, doubted=True), np.zeros(PICTURE.shape, bool)
    assert (believed([letter], nothing, [word]) == [letter]) is stays


@pytest.mark.parametrize("box", [SHORT, LARGE])
def test_what_was_read_when_it_was_found_is_not_doubted(box: TextBox) -> None:
    """Blurred letters in noise are read in the picture reduced, and not in the picture itself."""
    assert doubts([replace(box, legible=True)], [], 0) == [False]
    assert doubts([box], [("", 0.0)], 0) == [True]


@pytest.mark.parametrize(
    ("word", "stays"),
    [
        (TextBox(320, 104, 60, 20), True),  # the line goes on
        (TextBox(340, 104, 60, 20), False),
        (TextBox(200, 60, 90, 24), False),  # another line
    ],
)
def test_a_doubted_line_counts_where_a_word_continues_it(word: TextBox, stays: bool) -> None:
    line = replace(LONG, doubted=True)
    assert (line in believed([line, word], np.zeros((400, 600), bool))) is stays


@pytest.mark.parametrize(
    ("text", "confidence", "is_known"),
    [
        ("L", 0.95, True),
        ("L", 0.5, False),
        ("AP", 0.9, True),
        ("AP", 0.4, False),
        ("", 0.0, False),
        (None, None, True),
    ],
)
def test_a_short_box_need_not_be_found_again_if_a_word_or_certainly_a_letter_is_read_in_it(
    text: str | None, confidence: float | None, is_known: bool
) -> None:
    assert is_read(TextBox(0, 0, 30, 40, text=text, confidence=confidence), THRESHOLDS) == is_known
