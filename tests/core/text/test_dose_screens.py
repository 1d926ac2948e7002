"""Dose screens under `hide: identifying`: the numbers stay, names and long numbers go."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset
from tests.core.pixel_fixtures import hide

from beamstop.ocr import load_detector
from beamstop.testing import BlockDetector, make_image
from beamstop.text.boxes import TextBox
from beamstop.text.detector import TextPolicy
from beamstop.text.dose_screens import is_row
from beamstop.text.judge import MARKERS, TextJudge

POLICY = TextPolicy(hide="identifying", markers=MARKERS)
FONT = Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf")
HEAD = "Series Type Scan Range CTDIvol DLP Phantom"
ROWS = (
    "1 Scout S60.000-I320.000",
    "2 Helical I40.250-S120.750 8.79 341.25 Body 32",
    "8.79",
    "341.25",
    "3 12.5 1/1",
)


class Lines(BlockDetector):
    """Reads the lines of a picture, one every 20 pixels."""

    def __init__(self, lines: tuple[str, ...]) -> None:
        super().__init__()
        self.lines = lines

    def read(self, picture: Any, boxes: Any) -> list[TextBox]:
        return [replace(box, text=self.lines[box.y // 20], confidence=0.9) for box in boxes]


def person(**attributes: str) -> Dataset:
    dataset = Dataset()
    dataset.PatientName, dataset.PatientID, dataset.AccessionNumber = "Wright^Oliver", "AB-12345", "12.77"
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def kept(*lines: str) -> list[str]:
    """Return which lines of a picture stay."""
    boxes = [TextBox(0, 20 * number, 100, 12) for number in range(len(lines))]
    picture = np.zeros((20 * len(lines), 200), np.uint8)
    verdicts = TextJudge(POLICY, person()).decide(picture, boxes, Lines(lines))
    return [it.box.text or "" for it in verdicts if it.kept]


def test_the_rows_below_the_head_of_a_dose_table_stay() -> None:
    assert kept(HEAD, *ROWS, "Total DLP 341.25 mGycm") == [HEAD, *ROWS, "Total DLP 341.25 mGycm"]


def test_elsewhere_numbers_alone_go() -> None:
    assert kept("Spleen", "8.79", "341.25") == ["Spleen"]
    assert kept("DLP 341 mGycm", "8.79") == ["DLP 341 mGycm"]
    assert kept("8.79", HEAD) == [HEAD]


@pytest.mark.parametrize(
    "line",
    [
        "Wright 8.79",
        "2 Helical Miller",
        "20240131",
        "4711",
        "AB-12345",
        "12.77",
        "31.01.2024",
        "12/03/54",
        "8.79 K. Miller",
    ],
)
def test_what_may_identify_goes_from_a_dose_table_too(line: str) -> None:
    assert kept(HEAD, line, "8.79") == [HEAD, "8.79"]


def test_a_row_is_made_of_cells_and_words_that_tell_nothing() -> None:
    assert [is_row(it) for it in (*ROWS, "", "12345.6", "1.2.3", "10-20", "S. 3")] == [
        *(True for _ in ROWS),
        *(False, False, False, True, False),
    ]


@pytest.mark.ocr
def test_a_drawn_dose_screen_keeps_its_numbers_and_loses_the_name() -> None:
    if not FONT.exists():
        pytest.skip("needs Debian's fonts-dejavu-core")
    image = Image.new("L", (640, 320), 0)
    draw, font = ImageDraw.Draw(image), ImageFont.truetype(str(FONT), 20)
    lines = {
        40: "Oliver Wright",
        100: "Series  CTDIvol  DLP",
        140: "2  8.79  341.25",
        180: "Total DLP 341.25 mGycm",
    }
    for top, text in lines.items():
        draw.text((40, top), text, 255, font)
    dataset = make_image(np.asarray(image), PatientName="Wright^Oliver", Modality="CT")
    hide(dataset, POLICY, load_detector())
    left = dataset.pixel_array
    drawn = np.asarray(image)
    assert not left[30:75].any()
    for top in (100, 140, 180):
        assert np.array_equal(left[top : top + 30], drawn[top : top + 30])
