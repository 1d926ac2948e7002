"""Doubted boxes are believed only beside what was hidden."""

import numpy as np
import pytest

from beamstop.text.boxes import TextBox, believed

ALONG, DOWN = TextBox(50, 50, 100, 10, doubted=True), TextBox(50, 50, 10, 100, doubted=True)


@pytest.mark.parametrize("at", [49, 36, 35, 150, 164])
@pytest.mark.parametrize("other", [50, 59])
def test_longer_doubted_text_is_believed_where_it_may_continue_at_its_ends(at: int, other: int) -> None:
    assert [_is_believed(ALONG, at, other), _is_believed(DOWN, other, at)] == [True, True]


@pytest.mark.parametrize(("at", "other"), [(34, 50), (165, 50), (49, 49), (49, 60), (100, 49), (100, 60)])
def test_longer_doubted_text_is_not_believed_beside_its_sides(at: int, other: int) -> None:
    assert [_is_believed(ALONG, at, other), _is_believed(DOWN, other, at)] == [False, False]


def _is_believed(box: TextBox, x: int, y: int) -> bool:
    hidden = np.zeros((300, 300), bool)
    hidden[y, x] = True
    return believed([box], hidden) == [box]
