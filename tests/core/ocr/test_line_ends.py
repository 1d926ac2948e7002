"""Lines of which a network found a part."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from beamstop.ocr.line_ends import followed
from beamstop.ocr.thresholds import THRESHOLDS
from beamstop.pixels.renditions import local_contrast
from beamstop.text.boxes import TextBox

LINE = "Winifred Larkspur Wexcombe"


def page(text: str = LINE, blur: float = 4.0) -> tuple[np.ndarray, int, int]:
    """Return a rendition of a blurred line on noisy paper, and where its letters begin and end."""
    letters = np.zeros((400, 1400), np.uint8)
    cv2.putText(letters, text, (200, 220), cv2.FONT_HERSHEY_SIMPLEX, 1.6, 255, 4, cv2.LINE_AA)
    columns = np.flatnonzero(letters.any(axis=0))
    soft = cv2.GaussianBlur(letters.astype(np.float32), (0, 0), blur)
    noisy = 200 - soft * 0.4 + np.random.default_rng(3).normal(0, 6, letters.shape)
    return local_contrast(noisy.astype(np.float32)), int(columns[0]), int(columns[-1]) + 1


@pytest.mark.parametrize(("x", "width"), [(200, 180), (500, 150), (760, 160)])
def test_a_line_of_which_a_word_was_found_is_followed_to_both_ends(x: int, width: int) -> None:
    picture, left, right = page()
    (box,) = followed(picture, [TextBox(x, 170, width, 64)], THRESHOLDS)
    assert box.x <= left + 8
    assert box.right >= right - 8
    assert left - 80 < box.x
    assert box.right < right + 80
    assert (box.y, box.height) == (170, 64)


def test_what_stands_apart_is_not_reached() -> None:
    picture, _, right = page("Winifred")
    cv2.putText(picture, "23 mm", (right + 300, 220), cv2.FONT_HERSHEY_SIMPLEX, 1.6, 255, 4)
    (box,) = followed(picture, [TextBox(200, 170, 150, 64)], THRESHOLDS)
    assert box.right < right + 100


def test_a_ground_that_is_as_busy_as_the_line_is_not_followed() -> None:
    busy = np.random.default_rng(5).normal(0, 1, (400, 1400)).astype(np.float32)
    picture = local_contrast(cv2.GaussianBlur(busy, (0, 0), 4) * 100)
    box = TextBox(500, 170, 200, 64)
    (same,) = followed(picture, [box], THRESHOLDS)
    assert same.width < 2 * box.width


def test_upright_boxes_and_what_a_box_says_stay() -> None:
    picture, *_ = page()
    upright = TextBox(500, 100, 40, 200)
    assert followed(picture, [upright], THRESHOLDS) == [upright]
    (box,) = followed(picture, [TextBox(500, 170, 150, 64, faint=True)], THRESHOLDS)
    assert box.faint
    assert replace(box, x=0, width=9) == TextBox(0, 170, 9, 64, faint=True)


def small(text: str) -> tuple[np.ndarray, int]:
    """Return a rendition of a sharp line in a picture of usual size, and where its letters end."""
    letters = np.zeros((200, 500), np.uint8)
    cv2.putText(letters, text, (20, 110), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 255, 2, cv2.LINE_AA)
    noisy = letters + np.random.default_rng(4).normal(0, 4, letters.shape)
    return local_contrast(noisy.astype(np.float32)), int(np.flatnonzero(letters.any(axis=0))[-1]) + 1


def test_in_a_small_picture_the_last_letter_of_a_name_is_reached() -> None:
    picture, right = small("Thackeray")
    (box,) = followed(picture, [TextBox(18, 90, right - 36, 26)], THRESHOLDS)
    assert box.x == 18
    assert right - 2 <= box.right < right + 12


def test_in_a_small_picture_what_continues_far_is_not_followed() -> None:
    picture, right = small("Thackeray of Wexcombe")
    box = TextBox(18, 90, right - 150, 26)
    assert followed(picture, [box], THRESHOLDS) == [box]
