"""Hiding text in the pixels of an instance."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from tests.core.pixel_fixtures import BLOCK, HIDDEN, StubbornDetector, ground, hide, with_block

from beamstop.changes import Change
from beamstop.errors import PixelError
from beamstop.pixels.box import Box
from beamstop.pixels.renditions import Picture
from beamstop.testing import BlockDetector, NoTextDetector, make_image
from beamstop.text.boxes import TextBox
from beamstop.text.detector import TextPolicy
from beamstop.text.hiding import _MARGIN, PixelReport
from beamstop.text.regions import Region


def stored(dataset: Dataset, dtype: Any) -> np.ndarray[Any, Any]:
    return np.frombuffer(dataset.PixelData, dtype)[: dataset.Rows * dataset.Columns].reshape(
        dataset.Rows, dataset.Columns
    )


def expected(frame: np.ndarray[Any, Any], black: Any) -> np.ndarray[Any, Any]:
    wanted = frame.copy()
    wanted[HIDDEN] = black
    return wanted


@pytest.mark.parametrize("dtype", ["u1", "<u2", "<u4"])
def test_unsigned_grey_is_filled_with_its_darkest_value(dtype: str) -> None:
    frame = with_block(200).astype(dtype)
    dataset = make_image(frame)
    hide(dataset, TextPolicy(), BlockDetector())
    assert np.array_equal(stored(dataset, dtype), expected(frame, 10))


def test_signed_grey_is_filled_with_its_darkest_value() -> None:
    frame = with_block(3000, low=-1024).astype("<i2")
    dataset = make_image(frame)
    hide(dataset, TextPolicy(), BlockDetector())
    assert np.array_equal(stored(dataset, "<i2"), expected(frame, -1014))


def test_padding_is_not_taken_for_black() -> None:
    frame = with_block(3000, low=-1024).astype("<i2")
    frame[60:, :] = -2000
    dataset = make_image(frame)
    dataset.add_new("PixelPaddingValue", "SS", -2000)
    hide(dataset, TextPolicy(), BlockDetector())
    assert np.array_equal(stored(dataset, "<i2"), expected(frame, -1014))


def test_monochrome1_is_filled_with_its_highest_value() -> None:
    frame = (250 - with_block(200)).astype("u1")
    dataset = make_image(frame, "MONOCHROME1")
    hide(dataset, TextPolicy(), BlockDetector())
    assert np.array_equal(stored(dataset, "u1"), expected(frame, 240))


def test_report_says_what_was_done() -> None:
    dataset = make_image(with_block(200).astype("u1"))
    report = hide(dataset, TextPolicy(), BlockDetector())
    change = Change(
        "", "(7FE0,0010)", "OB", "X", "text", frame=0, x=26, y=16, width=48, height=22, why="text"
    )
    assert report == PixelReport(
        frames=1,
        frames_examined=1,
        text_boxes_hidden=1,
        pixels_changed=True,
        examined=True,
        changes=[change],
    )


def test_picture_without_text_keeps_its_bytes() -> None:
    dataset = make_image(ground().astype("u1"))
    before = dataset.PixelData
    report = hide(dataset, TextPolicy(), BlockDetector())
    assert dataset.PixelData is before
    assert report == PixelReport(frames=1, frames_examined=1, examined=True)


def test_instance_without_pixel_data_is_not_examined() -> None:
    assert hide(Dataset(), TextPolicy(), BlockDetector()) == PixelReport()


def test_equal_frames_are_looked_at_once_and_hidden_in_all() -> None:
    frames = np.stack([with_block(200), ground(), with_block(200), ground()]).astype("u1")
    dataset = make_image(frames)
    detector = BlockDetector()
    report = hide(dataset, TextPolicy(), detector)
    assert len(detector.looks) == 3  # two distinct frames, one of them looked at again
    assert [change.frame for change in report.changes] == [0, 2]
    after = np.frombuffer(dataset.PixelData, "u1").reshape(frames.shape)
    assert np.array_equal(
        after, np.stack([expected(frames[0], 10), frames[1], expected(frames[2], 10), frames[3]])
    )


def test_icon_goes_when_text_was_hidden() -> None:
    dataset = make_image(with_block(200).astype("u1"), IconImageSequence=[make_image(ground().astype("u1"))])
    hide(dataset, TextPolicy(), BlockDetector())
    assert "IconImageSequence" not in dataset


def test_icon_stays_when_nothing_was_hidden() -> None:
    dataset = make_image(ground().astype("u1"), IconImageSequence=[make_image(ground().astype("u1"))])
    hide(dataset, TextPolicy(), BlockDetector())
    assert "IconImageSequence" in dataset


def test_stated_extremes_stay_true() -> None:
    dataset = make_image(with_block(200).astype("u1"), SmallestImagePixelValue=10, LargestImagePixelValue=200)
    hide(dataset, TextPolicy(), BlockDetector())
    assert (dataset.SmallestImagePixelValue, dataset.LargestImagePixelValue) == (10, 13)


@pytest.mark.parametrize("keyword", ["SmallestImagePixelValue", "LargestImagePixelValue"])
def test_an_extreme_stated_alone_stays_true(keyword: str) -> None:
    frame = 255 - with_block(200) if keyword.startswith("Small") else with_block(200)
    photometric = "MONOCHROME1" if keyword.startswith("Small") else "MONOCHROME2"
    dataset = make_image(frame.astype("u1"), photometric, **{keyword: int(frame[BLOCK][0, 0])})
    hide(dataset, TextPolicy(), BlockDetector())
    assert dataset[keyword].value == (242 if keyword.startswith("Small") else 13)


class CentreDetector(BlockDetector):
    """Takes nothing at the right edge for text."""

    def find(self, picture: Picture) -> list[TextBox]:
        return [box for box in super().find(picture) if box.x < 100]


def test_padding_is_no_extreme_and_what_hiding_does_not_change_stays_as_it_is_stated() -> None:
    frame = with_block(200)
    frame[:, 112:] = 255
    dataset = make_image(
        frame.astype("u1"), PixelPaddingValue=255, SmallestImagePixelValue=9, LargestImagePixelValue=200
    )
    hide(dataset, TextPolicy(), CentreDetector())
    assert (dataset.SmallestImagePixelValue, dataset.LargestImagePixelValue) == (9, 13)


def test_an_extreme_of_the_series_that_may_be_gone_goes() -> None:
    stated = {"SmallestPixelValueInSeries": 0, "LargestPixelValueInSeries": 200}
    dataset = make_image(with_block(200).astype("u1"), **stated)
    hide(dataset, TextPolicy(), BlockDetector())
    assert "LargestPixelValueInSeries" not in dataset
    assert dataset.SmallestPixelValueInSeries == 0


def test_sop_instance_uid_stays() -> None:
    dataset = make_image(with_block(200).astype("u1"))
    hide(dataset, TextPolicy(), BlockDetector())
    assert dataset.SOPInstanceUID == "1.2.3.4.5"


def test_authorized_word_is_kept_and_said_so() -> None:
    frame = with_block(200).astype("u1")
    dataset = make_image(frame)
    report = hide(dataset, TextPolicy(authorized_words=("SHOCR",)), BlockDetector(words=["shocr"]))
    assert np.array_equal(stored(dataset, "u1"), frame)
    assert [(change.action, change.why) for change in report.changes] == [("K", "authorized_word")]
    assert (report.text_boxes_hidden, report.text_boxes_kept, report.pixels_changed) == (0, 1, False)


def test_other_words_are_hidden_beside_an_authorized_one() -> None:
    frame = with_block(200)
    frame[60:74, 30:70] = 200
    dataset = make_image(frame.astype("u1"))
    report = hide(dataset, TextPolicy(authorized_words=("SHOCR",)), BlockDetector(words=["SHOCR", "SMITH"]))
    assert [(change.y, change.action) for change in report.changes] == [(20, "K"), (56, "X")]
    after = stored(dataset, "u1")
    assert (after[BLOCK] == 200).all()
    assert (after[60:74, 30:70] == 10).all()


def test_authorized_line_is_kept_whole() -> None:
    frame = ground()
    frame[20:34, 20:50] = frame[20:34, 56:90] = 200
    policy = TextPolicy(authorized_words=("left breast",))
    report = hide(make_image(frame.astype("u1")), policy, BlockDetector(words=["Left", "BREAST"]))
    assert [change.action for change in report.changes] == ["K", "K"]


def test_single_characters_are_hidden() -> None:
    frame = with_block(200).astype("u1")
    dataset = make_image(frame)
    hide(dataset, TextPolicy(authorized_words=("SHOCR",)), BlockDetector(words=["J"]))
    assert np.array_equal(stored(dataset, "u1"), expected(frame, 10))


def test_words_read_in_doubt_are_hidden() -> None:
    class Doubter(BlockDetector):
        def read(self, picture: Any, boxes: Any) -> list[TextBox]:
            return [TextBox(box.x, box.y, box.width, box.height, "SHOCR", 0.29) for box in boxes]

    report = hide(
        make_image(with_block(200).astype("u1")), TextPolicy(authorized_words=("SHOCR",)), Doubter()
    )
    assert (report.text_boxes_hidden, report.text_boxes_kept) == (1, 0)


def test_nothing_is_read_when_no_word_may_stay() -> None:
    class Illiterate(BlockDetector):
        def read(self, picture: Any, boxes: Any) -> list[TextBox]:
            raise AssertionError

    assert hide(make_image(with_block(200).astype("u1")), TextPolicy(), Illiterate()).text_boxes_hidden == 1


def test_new_text_after_two_rounds_of_hiding_is_refused() -> None:
    with pytest.raises(PixelError, match="text_remains: PixelData frame 0"):
        hide(make_image(ground().astype("u1")), TextPolicy(), StubbornDetector())


def test_boxes_seen_inside_hidden_areas_are_residue() -> None:
    class Ghost(BlockDetector):
        def find(self, picture: Any) -> list[TextBox]:
            return [TextBox(30, 20, 40, 14)]

    report = hide(make_image(ground().astype("u1")), TextPolicy(), Ghost())
    assert (report.text_boxes_hidden, report.text_residue) == (1, 1)


def test_text_that_was_found_twice_is_faint_only_where_it_was_doubted_twice() -> None:
    class Doubter(BlockDetector):
        def find(self, picture: Any) -> list[TextBox]:
            doubted = [TextBox(x, 2, 9, 9, faint=True) for x in (1, 20, 40)]
            return [*doubted, TextBox(1, 2, 9, 9), TextBox(18, 2, 9, 9)]

    report = hide(make_image(ground().astype("u1")), TextPolicy(), Doubter())
    assert [change.why for change in report.changes] == ["text", "text", "text", "faint_text"]


def test_boxes_beyond_the_picture_are_cut() -> None:
    class Wild(BlockDetector):
        def find(self, picture: Any) -> list[TextBox]:
            return [TextBox(-10, -10, 30, 20), TextBox(500, 500, 9, 9)]

    report = hide(make_image(ground().astype("u1")), TextPolicy(), Wild())
    assert [(c.x, c.y, c.width, c.height) for c in report.changes] == [(0, 0, 24, 14)]


class LaterDetector(BlockDetector):
    """Sees one more block at each of the first looks."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self.left = [TextBox(20 + 20 * number, 40, 8, 8) for number in range(looks)]

    def find(self, picture: Picture) -> list[TextBox]:
        return [self.left.pop(0)] if self.left else []


@pytest.mark.parametrize(("looks", "hidden"), [(1, 1), (2, 2)])
def test_what_is_seen_at_the_second_look_is_hidden_too(looks: int, hidden: int) -> None:
    dataset = make_image(ground().astype("u1"))
    assert hide(dataset, TextPolicy(), LaterDetector(looks)).text_boxes_hidden == hidden


def test_what_is_still_new_at_the_third_look_quarantines() -> None:
    with pytest.raises(PixelError, match="text_remains"):
        hide(make_image(ground().astype("u1")), TextPolicy(), LaterDetector(3))


def test_boxes_that_a_recipe_leaves_stay_and_113101_is_not_claimed() -> None:
    frame = with_block(200).astype("u1")
    dataset = make_image(frame)
    policy = TextPolicy(leave=(Region(None, (Box(28, 18, 44, 18),)),))
    report = hide(dataset, policy, BlockDetector())
    assert [(change.action, change.why) for change in report.changes] == [("K", "left")]
    assert (report.examined, report.pixels_changed) == (False, False)


def test_what_reaches_beyond_a_box_that_a_recipe_leaves_is_hidden() -> None:
    dataset = make_image(with_block(200).astype("u1"))
    policy = TextPolicy(leave=(Region(None, (Box(30, 20, 34, 14),)),))
    report = hide(dataset, policy, BlockDetector())
    assert [(change.action, change.why) for change in report.changes] == [("X", "text")]
    assert report.examined


def test_the_error_names_the_boxes_and_a_recipe_that_leaves_them_ends_it() -> None:
    with pytest.raises(PixelError) as caught:
        hide(make_image(ground().astype("u1")), TextPolicy(), LaterDetector(3))
    assert caught.value.detail == "PixelData frame 0: [60, 40, 8, 8]"
    policy = TextPolicy(leave=(Region(None, (Box(60, 40, 8, 8),)),))
    report = hide(make_image(ground().astype("u1")), policy, LaterDetector(3))
    assert [change.action for change in report.changes] == ["X", "X", "K"]


class StripDetector(BlockDetector):
    """Sees a block, and at the next looks what is beside it, so many pixels high."""

    def __init__(self, height: int) -> None:
        super().__init__()
        self.looks = [TextBox(20, 30, 40, 12), TextBox(20, 46, 40, height + _MARGIN)]

    def find(self, picture: Picture) -> list[TextBox]:
        return [self.looks.pop(0)] if len(self.looks) > 1 else self.looks


@pytest.mark.parametrize(("height", "hidden"), [(4, 1), (5, 2)])
def test_a_strip_beside_what_was_blanked_counts_only_where_a_letter_would_fit(
    height: int, hidden: int
) -> None:
    report = hide(make_image(ground().astype("u1")), TextPolicy(), StripDetector(height))
    assert report.text_boxes_hidden == hidden


def test_a_line_that_stays_is_not_clipped_by_the_padding_of_one_that_goes() -> None:
    frame = ground().astype("u1")
    gone, kept = (slice(20, 34), slice(30, 70)), (slice(36, 50), slice(30, 70))
    frame[gone] = frame[kept] = 200
    dataset = make_image(frame)
    report = hide(dataset, TextPolicy(hide="identifying"), BlockDetector(["SMITH", "65 dB"]))
    after = stored(dataset, "u1")
    assert [(change.action, change.why) for change in report.changes] == [
        ("X", "unknown"),
        ("K", "device_setting"),
    ]
    assert (after[gone] == 10).all()
    assert np.array_equal(after[kept], frame[kept])
    assert (after[16:36, 26:74] == 10).all()


def test_a_doubted_letter_at_the_third_look_is_hidden_and_does_not_quarantine() -> None:
    detector = LaterDetector(3)
    detector.left[2] = TextBox(60, 40, 8, 8, doubted=True)
    report = hide(make_image(ground().astype("u1")), TextPolicy(), detector)
    assert report.text_boxes_hidden == 3


class LetterDetector(LaterDetector):
    """Finds one box that is no word, and reads a letter in it."""

    def __init__(self, text: str | None, confidence: float | None) -> None:
        super().__init__(1)
        self.left[0] = TextBox(60, 40, 8, 8, doubted=True)
        self.reading = text, confidence

    def read(self, picture: Picture, boxes: Sequence[TextBox]) -> list[TextBox]:
        text, confidence = self.reading
        return [replace(box, text=text, confidence=confidence) for box in boxes]


@pytest.mark.parametrize(
    ("markers", "text", "confidence", "hidden"),
    [
        (("R",), "R", 0.9, 0),
        (("R",), "T", 0.9, 0),
        ((), "R", 0.9, 1),
        ((), "0", 0.3, 1),
        ((), "W", 0.29, 0),  # nuclei, folds of a brain
        ((), "", 0.0, 0),
        ((), None, None, 1),  # where nothing reads
    ],
)
def test_a_letter_that_stands_alone_stays_unless_a_recipe_has_no_markers(
    markers: tuple[str, ...], text: str | None, confidence: float | None, hidden: int
) -> None:
    dataset = make_image(ground().astype("u1"))
    report = hide(dataset, TextPolicy(markers=markers), LetterDetector(text, confidence))
    assert (report.text_boxes_hidden, report.text_boxes_kept) == (hidden, 0)


@pytest.mark.parametrize("kind", ["LABEL", "OVERVIEW"])
def test_labels_and_overviews_of_slides_are_blanked_whole(kind: str) -> None:
    rng = np.random.default_rng(5)
    slide = "1.2.840.10008.5.1.4.1.1.77.1.6"
    dataset = make_image(rng.integers(0, 255, (2, 30, 40, 3)).astype("u1"), "RGB", SOPClassUID=slide)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", kind, "NONE"]
    report = hide(dataset, TextPolicy(hide="identifying"), NoTextDetector())
    assert not any(dataset.PixelData)
    assert [(it.frame, it.width, it.height, it.why) for it in report.changes] == [
        (frame, 40, 30, "slide_label") for frame in (0, 1)
    ]
    assert report.examined
