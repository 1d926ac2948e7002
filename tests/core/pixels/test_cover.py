"""Rectangles that cover the marked pixels of a picture."""

import numpy as np
import pytest

from beamstop.pixels.box import Box
from beamstop.pixels.cover import covered


def with_margin(length: int) -> int:
    return length + 80


def marked(*boxes: Box, shape: tuple[int, int] = (1500, 1200)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    for box in boxes:
        mask[box.pixels] = True
    return mask


def test_two_marks_far_apart_are_two_rectangles_of_their_size() -> None:
    one, other = Box(10, 20, 50, 60), Box(1100, 1400, 33, 7)
    assert list(covered(marked(one, other), 1024, with_margin)) == [one, other]


def test_marks_close_together_are_one_rectangle() -> None:
    assert list(covered(marked(Box(100, 100, 40, 40), Box(160, 150, 40, 40)), 1024, with_margin)) == [
        Box(100, 100, 100, 90)
    ]


def test_a_frame_of_marks_is_not_covered_with_what_it_encloses() -> None:
    frame = marked(Box(0, 0, 1200, 1500))
    frame[60:1440, 60:1140] = False
    boxes = list(covered(frame, 1024, with_margin))
    assert sum(box.width * box.height for box in boxes) < 0.3 * frame.size


def test_nothing_marked_needs_no_rectangle() -> None:
    assert list(covered(marked(), 1024, with_margin)) == []
    assert list(covered(np.zeros((0, 0), bool), 1024, with_margin)) == []


@pytest.mark.parametrize("share", [0.0001, 0.001, 0.3])
@pytest.mark.parametrize("side", [256, 1024])
def test_every_marked_pixel_is_in_exactly_one_rectangle_no_longer_than_the_side(
    share: float, side: int
) -> None:
    mask = np.random.default_rng(4).random((1501, 2203)) < share
    count = np.zeros(mask.shape, int)
    for box in covered(mask, side, with_margin):
        assert max(box.width, box.height) <= side
        count[box.pixels] += 1
    assert count.max() == 1
    assert (count[mask] == 1).all()
