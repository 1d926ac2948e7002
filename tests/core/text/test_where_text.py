"""Which pixels nobody looks at."""

from typing import Any

import pytest
from pydicom.dataset import Dataset

from beamstop.text.where_text import NO_TEXT, why_no_text

SEGMENTATION, RT_DOSE = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.481.2"


def segmentation(**attributes: Any) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.Modality = SEGMENTATION, "SEG"
    dataset.PhotometricInterpretation, dataset.SamplesPerPixel = "MONOCHROME2", 1
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.ImageType = ["DERIVED", "PRIMARY"]
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def test_a_computed_class_is_left_alone_with_its_reason() -> None:
    assert why_no_text(segmentation()) == "Segmentation: a pixel says whether it belongs to a segment"
    assert why_no_text(segmentation(SOPClassUID=RT_DOSE, Modality="RTDOSE")) == NO_TEXT[RT_DOSE].why
    parametric = segmentation(SOPClassUID="1.2.840.10008.5.1.4.1.1.30", Modality="MR")
    assert why_no_text(parametric) == "Parametric Map: a pixel is a derived quantity"


@pytest.mark.parametrize(
    "sign",
    [
        {"BurnedInAnnotation": "YES"},
        {"Modality": "CT"},
        {"Modality": None},
        {"PhotometricInterpretation": "RGB"},
        {"SamplesPerPixel": 3},
        {"BitsStored": 12},
        {"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]},
        {"ConversionType": "WSD"},
        {"SecondaryCaptureDeviceManufacturer": "m"},
    ],
)
def test_a_header_that_speaks_against_its_class_is_looked_at(sign: dict[str, Any]) -> None:
    assert why_no_text(segmentation(**sign)) is None


@pytest.mark.parametrize(
    "sop_class",
    [
        "1.2.840.10008.5.1.4.1.1.7",  # Secondary Capture
        "1.2.840.10008.5.1.4.1.1.6.1",  # Ultrasound
        "1.2.840.10008.5.1.4.1.1.12.2",  # Fluoroscopy
        "1.2.840.10008.5.1.4.1.1.77.1.1",  # Endoscopy
        "1.2.840.10008.5.1.4.1.1.2",  # CT
        "1.2.3",
        "",
    ],
)
def test_no_other_class_is_spared_by_burned_in_annotation_no(sop_class: str) -> None:
    assert why_no_text(segmentation(SOPClassUID=sop_class, BurnedInAnnotation="NO")) is None
