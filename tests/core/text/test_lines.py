"""Which boxes are one line, and which are the same words seen twice."""

from beamstop.text.boxes import TextBox
from beamstop.text.lines import lines_of, merged, whole, without_blocks


def test_boxes_beside_each_other_are_a_line_from_left_to_right() -> None:
    left, right, far, below = (TextBox(*it, 20, 10) for it in ((0, 0), (28, 2), (70, 0), (0, 14)))
    assert lines_of([right, below, far, left]) == [[left, right], [below], [far]]


def test_boxes_that_share_pixels_on_a_line_are_one() -> None:
    boxes = [TextBox(0, 0, 50, 12), TextBox(2, 1, 20, 10, faint=True), TextBox(45, 1, 30, 12)]
    assert merged(boxes) == [TextBox(0, 0, 75, 13)]
    assert not merged(boxes)[0].faint


def test_lines_below_each_other_stay_apart_though_their_boxes_touch() -> None:
    boxes = [TextBox(0, 0, 50, 12), TextBox(0, 10, 50, 12)]
    assert merged(boxes) == boxes


def test_a_box_around_several_lines_is_left_out_where_each_has_its_own() -> None:
    lines = [TextBox(0, 0, 60, 12), TextBox(0, 12, 58, 12), TextBox(0, 24, 60, 12)]
    block = TextBox(0, 0, 60, 36)
    assert without_blocks([*lines, block]) == lines
    assert without_blocks([lines[0], block]) == [lines[0], block]


def test_a_line_of_boxes_of_one_height_is_read_in_one_piece() -> None:
    words = [TextBox(0, 0, 30, 12), TextBox(36, 1, 20, 10, faint=True)]
    assert whole(words) == [TextBox(0, 0, 56, 12)]
    assert not whole(words)[0].faint
    assert whole([words[0], TextBox(36, 0, 20, 30)]) == [words[0], TextBox(36, 0, 20, 30)]


def test_a_fragment_of_a_word_is_one_with_it() -> None:
    assert merged([TextBox(0, 0, 90, 35), TextBox(4, 8, 80, 20)]) == [TextBox(0, 0, 90, 35)]
