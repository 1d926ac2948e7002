"""What of the text in a picture stays, and what goes whatever stands there."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from tests.core.pixel_fixtures import ground, hide, with_block

from beamstop.pixels.box import Box
from beamstop.testing import BlockDetector, make_image
from beamstop.text.boxes import TextBox
from beamstop.text.detector import TextPolicy
from beamstop.text.judge import MARKERS, TextJudge
from beamstop.text.regions import Region, scan_boxes

PICTURE = np.zeros((400, 400), np.uint8)
KEPT = ("marker", "device_setting", "medical_word")
WIDTH, STEP = 20, 24  # of words that stand beside each other


class Reader(BlockDetector):
    """Reads boxes as their place says; notes what it was asked."""

    def __init__(self, *texts: str, confidence: float = 0.9) -> None:
        super().__init__()
        self.texts, self.confidence, self.asked = texts, confidence, 0

    def read(self, picture: Any, boxes: Any) -> list[TextBox]:
        self.asked += len(boxes)
        return [replace(box, text=self._text(box), confidence=self.confidence) for box in boxes]

    def _text(self, box: TextBox) -> str:
        if box.width <= WIDTH:
            return self.texts[box.height - 10]
        places = ((number * STEP, text) for number, text in enumerate(self.texts))
        return " ".join(text for left, text in places if box.x <= left and left + WIDTH <= box.right)


def box(number: int, x: int = 0, y: int = 0, width: int = WIDTH) -> TextBox:
    return TextBox(x, y, width, 10 + number)


def person(**attributes: Any) -> Dataset:
    dataset = Dataset()
    dataset.PatientName = "Wright^Oliver"
    dataset.PatientID = "AB-12345"
    dataset.StationName = "ROOM7XA"
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def whys(
    policy: TextPolicy, *texts: str, confidence: float = 0.9, dataset: Dataset | None = None
) -> list[str]:
    """Return why each of some words, side by side in one line, goes or stays."""
    boxes = [box(number, x=STEP * number) for number in range(len(texts))]
    instance = person() if dataset is None else dataset
    scans = scan_boxes(instance) if policy.ultrasound_regions == "keep" else ()
    reader = Reader(*texts, confidence=confidence)
    return [verdict.why for verdict in TextJudge(policy, instance).decide(PICTURE, boxes, reader, scans)]


MARKING = TextPolicy(markers=MARKERS)
IDENTIFYING = TextPolicy(hide="identifying", markers=MARKERS)


def test_a_line_of_markers_stays() -> None:
    assert whys(MARKING, "R", "mlo") == ["marker", "marker"]


def test_a_letter_beside_a_name_is_an_initial_and_no_marker() -> None:
    assert whys(MARKING, "L", "Smith") == ["text", "text"]
    assert whys(IDENTIFYING, "L", "Smith") == ["unknown"]


def test_a_marker_read_in_doubt_goes() -> None:
    assert whys(MARKING, "R", confidence=0.49) == ["text"]


def test_text_that_the_finder_doubted_is_faint_where_it_goes_and_nothing_says_more() -> None:
    doubted = replace(box(0), faint=True)
    for policy, text, why in [
        (MARKING, "Smith", "faint_text"),
        (MARKING, "R", "marker"),
        (IDENTIFYING, "Smith", "unknown"),
    ]:
        judged = TextJudge(policy, person()).decide(PICTURE, [doubted], Reader(text))
        assert [verdict.why for verdict in judged] == [why]


def test_a_marker_that_is_the_patients_name_goes() -> None:
    assert whys(MARKING, "LAT", dataset=person(PatientName="Lat^An")) == ["text"]


def test_only_boxes_short_enough_for_a_marker_are_read() -> None:
    reader = Reader("R")
    verdicts = TextJudge(MARKING, person()).decide(PICTURE, [box(0, width=200), box(0, y=50)], reader)
    assert reader.asked == 1
    assert [(verdict.box.width, verdict.why) for verdict in verdicts] == [(200, "text"), (20, "marker")]


def test_an_authorised_pattern_spares_whole_words_but_no_name_of_the_instance() -> None:
    policy = TextPolicy(authorized_words=("/[a-z]{5,9}/",))
    assert whys(policy, "BREAST") == ["authorized_word"]
    assert whys(policy, "BREAST7") == ["text"]
    assert whys(policy, "0liver") == whys(policy, "WR1GHF") == whys(policy, "Wriqht") == ["text"]


def test_an_authorised_word_is_compared_letter_by_letter_with_the_names() -> None:
    policy = TextPolicy(authorized_words=("RIGHT", "WRIGHT"))
    assert whys(policy, "right") == ["authorized_word"]
    assert whys(policy, "Wright") == ["text"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (["120", "kV"], "device_setting"),
        (["kV:120", "50mA"], "device_setting"),
        (["W", "350", "L", "40"], "device_setting"),
        (["MI", "0.9", "TIs", "0.4"], "device_setting"),
        (["DFOV", "25.0cm"], "device_setting"),
        (["PSV", "84.2", "cm/s"], "device_setting"),
        (["Gain"], "device_setting"),
        (["SPLEEN"], "medical_word"),
        (["R", "KIDNEY"], "medical_word"),
        (["Rose"], "unknown"),
        (["SMITH", "120", "kV"], "unknown"),
        (["120", "kV", "SMITH"], "unknown"),
        (["17"], "number"),
        (["10:15:30"], "number"),
        (["8812"], "number"),
        (["88", "123"], "number"),
        (["77", "9076655"], "number"),
        (["12.03.2024"], "date"),
        (["12", "MAR", "2024"], "date"),
        (["ROE^JANE"], "name"),
        (["KIDNEY,", "SPLEEN"], "medical_word"),
        (["QUANDT,", "SPLEEN"], "name"),
        (["Dr.", "Kidney"], "name"),
        (["0liver"], "identifier"),
        (["WR1GHF"], "identifier"),
        (["AB", "12345"], "identifier"),
        (["A8-I2345"], "identifier"),
        (["Name:", "KIDNEY"], "label"),
        (["Acc", "77"], "label"),
    ],
)
def test_what_may_identify_goes(line: list[str], expected: str) -> None:
    assert whys(IDENTIFYING, *line) == [expected]


def test_the_same_words_seen_twice_are_read_and_judged_once() -> None:
    reader = Reader("120 kV")
    seen = [TextBox(0, 10, 18, 10), TextBox(1, 10, 18, 10), TextBox(2, 10, 18, 10), TextBox(6, 12, 9, 6)]
    verdicts = TextJudge(IDENTIFYING, person()).decide(PICTURE, seen, reader)
    assert [(verdict.box.x, verdict.box.width, verdict.why) for verdict in verdicts] == [
        (0, 20, "device_setting")
    ]


def test_a_label_with_its_value_beside_it_announces_nothing_below() -> None:
    reader = Reader("MRN 4471208", "KIDNEY")
    boxes = [box(0), box(1, y=14)]
    verdicts = TextJudge(IDENTIFYING, person()).decide(PICTURE, boxes, reader)
    assert [verdict.why for verdict in verdicts] == ["label", "medical_word"]


def test_words_read_in_doubt_or_not_at_all_go() -> None:
    assert whys(IDENTIFYING, "KIDNEY", confidence=0.49) == ["unread"]
    assert whys(IDENTIFYING, "") == ["unread"]


def test_what_stands_beside_what_cannot_be_read_goes() -> None:
    boxes = [box(0), replace(box(1, x=STEP), height=40)]  # too high to be read as one with the first
    reader = Reader("12cm", *[""] * 40)
    verdicts = TextJudge(IDENTIFYING, person()).decide(PICTURE, boxes, reader)
    assert [verdict.why for verdict in verdicts] == ["unread", "unread"]


def test_an_authorised_word_in_a_line_that_goes_stays() -> None:
    policy = TextPolicy(hide="identifying", authorized_words=("left breast",))
    assert whys(policy, "Smith", "left breast") == ["unknown", "authorized_word"]


def test_what_a_label_announces_goes_with_it() -> None:
    def outcome(*boxes: TextBox) -> list[str]:
        reader = Reader("Patient", "KIDNEY", "SPLEEN")
        return [verdict.why for verdict in TextJudge(IDENTIFYING, person()).decide(PICTURE, boxes, reader)]

    label = box(0)
    assert outcome(label, box(1, x=200)) == ["label", "label"]
    assert outcome(label, box(1, y=14)) == ["label", "label"]
    assert outcome(label, box(1, y=60)) == ["label", "medical_word"]
    assert outcome(label, box(2, y=14), box(1, x=200)) == ["label", "medical_word", "label"]


# ---- areas ----------------------------------------------------------------------------------------


def ultrasound(left: int, top: int, right: int, bottom: int, kind: int = 1) -> Dataset:
    region = Dataset()
    region.RegionSpatialFormat, region.RegionDataType = 1, kind
    region.RegionLocationMinX0, region.RegionLocationMinY0 = left, top
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = right, bottom
    return person(Rows=400, Columns=400, SequenceOfUltrasoundRegions=[region])


KEEPING = TextPolicy(ultrasound_regions="keep")


def test_what_is_found_in_a_scan_stays_if_the_recipe_says_so() -> None:
    assert whys(KEEPING, "x/)", dataset=ultrasound(0, 0, 200, 200)) == ["ultrasound_region"]
    assert whys(TextPolicy(), "x/)", dataset=ultrasound(0, 0, 200, 200)) == ["text"]


@pytest.mark.parametrize(
    "dataset",
    [
        ultrasound(1, 0, 200, 200),  # the box begins left of it
        ultrasound(0, 0, 200, 200, kind=9),  # a trace
        ultrasound(0, 0, 399, 399),  # all of the picture
        ultrasound(0, 0, 400, 200),  # beyond it
        ultrasound(200, 200, 0, 0),
    ],
)
def test_a_box_outside_a_scan_or_in_no_plausible_one_goes(dataset: Dataset) -> None:
    assert whys(KEEPING, "x/)", dataset=dataset) == ["text"]


def test_the_instances_own_name_goes_from_the_scan_too() -> None:
    assert whys(KEEPING, "WRIGHT", dataset=ultrasound(0, 0, 200, 200)) == ["text"]


def test_a_region_is_filled_in_every_frame_of_what_fits_its_criterion() -> None:
    frames = np.stack([ground(), ground() + 1, ground()]).astype("u1")
    policy = TextPolicy(
        regions=(
            Region("Modality.equals('US')", (Box(100, 70, 999, 999), Box(500, 0, 9, 9))),
            Region("Modality.equals('CT')", (Box(0, 0, 9, 9),)),
        )
    )
    dataset = make_image(frames, Modality="US", IconImageSequence=[Dataset()])
    report = hide(dataset, policy, BlockDetector())
    expected = frames.copy()
    for frame in expected:
        frame[70:, 100:] = frame.min()
    assert dataset.PixelData == expected.tobytes()
    boxes = [(c.frame, c.x, c.y, c.width, c.height, c.why) for c in report.changes if c.frame is not None]
    assert boxes == [(number, 100, 70, 20, 10, "region") for number in range(3)]
    assert (report.text_boxes_hidden, report.frames_examined, report.examined) == (3, 3, True)
    assert "IconImageSequence" not in dataset


def test_text_beside_a_region_is_still_found() -> None:
    dataset = make_image(with_block(200).astype("u1"))
    policy = TextPolicy(regions=(Region("Rows.exists()", (Box(0, 60, 20, 20),)),))
    report = hide(dataset, policy, BlockDetector())
    assert [change.why for change in report.changes] == ["text", "region"]


def test_looking_again_can_be_forgone() -> None:
    detector = BlockDetector()
    report = hide(make_image(with_block(200).astype("u1")), TextPolicy(look_again=False), detector)
    assert (len(detector.looks), report.text_boxes_hidden, report.examined) == (1, 1, True)


CORNERS = (
    ((0, 0, 199, 199), True),
    ((200, 200, 399, 399), True),  # the last row and column are in the picture
    ((200, 200, 400, 399), False),
    ((200, 200, 399, 400), False),
    ((-1, 0, 199, 199), False),
    ((0, -1, 199, 199), False),
    ((10, 10, 10, 199), False),
    ((10, 10, 199, 10), False),
    ((0, 0, 399, 378), True),  # nearly all of the width, not of the height
    ((0, 0, 378, 399), True),
    ((0, 0, 379, 379), False),
)


@pytest.mark.parametrize(("corners", "counts"), CORNERS)
def test_a_region_of_a_scan_lies_in_the_picture_and_is_not_all_of_it(
    corners: tuple[int, int, int, int], counts: bool
) -> None:
    left, top, right, bottom = corners
    expected = (Box(left, top, right - left + 1, bottom - top + 1),) if counts else ()
    assert scan_boxes(ultrasound(*corners)) == expected


@pytest.mark.parametrize(("form", "kind", "counts"), [(1, 1, 1), (1, 2, 1), (1, 3, 0), (2, 1, 0), (0, 2, 0)])
def test_only_regions_of_tissue_and_flow_in_two_dimensions_are_scans(
    form: int, kind: int, counts: int
) -> None:
    dataset = ultrasound(10, 10, 99, 99)
    (region,) = dataset.SequenceOfUltrasoundRegions
    region.RegionSpatialFormat, region.RegionDataType = form, kind
    assert len(scan_boxes(dataset)) == counts
    del region.RegionDataType
    assert scan_boxes(dataset) == ()
