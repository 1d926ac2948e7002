"""What claims to be too large is not begun."""

import pytest
from pydicom.dataset import Dataset

from beamstop.dicom.limits import Limits, check_limits
from beamstop.errors import Failed

LIMITS = Limits(frames=10, pixels=100)


def with_pixels(**claims):
    dataset = Dataset()
    dataset.PixelData = b""
    for keyword, value in claims.items():
        setattr(dataset, keyword, value)
    return dataset


@pytest.mark.parametrize(
    ("claims", "named"),
    [
        ({"NumberOfFrames": "11"}, "NumberOfFrames"),
        ({"NumberOfFrames": "1000000000"}, "NumberOfFrames"),
        ({"Rows": 101, "Columns": 1}, "Rows, Columns"),
        ({"Rows": 65535, "Columns": 65535}, "Rows, Columns"),
    ],
)
def test_what_claims_too_much_is_failed(claims, named):
    with pytest.raises(Failed) as refused:
        check_limits(with_pixels(**claims), LIMITS)
    assert str(refused.value) == f"too_large: {named}"


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"NumberOfFrames": "10", "Rows": 10, "Columns": 10},
        {"NumberOfFrames": "-1"},
        {"NumberOfFrames": None, "Rows": None},
        {"NumberOfFrames": ["1", "2"]},
    ],
)
def test_what_is_within_or_no_number_passes(claims):
    check_limits(with_pixels(**claims), LIMITS)


def test_without_pixels_claims_are_only_words():
    dataset = with_pixels(NumberOfFrames="11")
    del dataset.PixelData
    check_limits(dataset, LIMITS)
