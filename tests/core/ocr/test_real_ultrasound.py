"""A real ultrasound with an invented patient burned in, from PyPI's deid-data."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from tests.core.pixel_fixtures import hide

from beamstop.dicom.files import read_dicom
from beamstop.kskit import get_text_areas
from beamstop.ocr import load_detector
from beamstop.text.detector import TextPolicy

pytestmark = pytest.mark.ocr


def test_the_burned_in_text_cannot_be_read_again_and_all_else_is_as_it_was():
    package = importlib.util.find_spec("deid_data")
    if package is None or package.origin is None:
        pytest.skip("PyPI's deid-data is not installed")
    path = Path(package.origin).parent / "data" / "ultrasounds" / "GREYSCALE_IMAGE.dcm"
    detector = load_detector()
    dataset = read_dicom(path.read_bytes())
    before = dataset.pixel_array.copy()
    words = {
        text for _, text, sure in get_text_areas(before, ["en"], detector) if sure > 0.5 and len(text) > 3
    }
    report = hide(dataset, TextPolicy(), detector)
    after = dataset.pixel_array
    assert len(words) >= 5
    assert report.examined
    left = {text for _, text, sure in get_text_areas(after, ["en"], detector) if sure > 0.5 and len(text) > 3}
    assert not words & left
    outside = np.ones(before.shape, dtype=bool)
    for box in report.changes:
        outside[box.y : box.y + box.height, box.x : box.x + box.width] = False
    assert np.array_equal(before[outside], after[outside])
    assert outside.mean() > 0.7
