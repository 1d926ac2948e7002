"""What a header says of whether an instance can show a face."""

from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedMRImageStorage, RTStructureSetStorage, SecondaryCaptureImageStorage

from beamstop.faces.headers import Kind, Region, face_header, may_show_face
from beamstop.testing import make_instance

SLICE = {"Rows": 512, "Columns": 512, "PixelSpacing": [0.5, 0.5]}


@pytest.mark.parametrize(
    ("header", "may_show"),
    [
        ({"BodyPartExamined": "HEAD"}, True),
        ({"BodyPartExamined": "BRAIN"}, True),
        ({"BodyPartExamined": None}, True),
        ({"BodyPartExamined": "SOMETHING"}, True),
        ({"BodyPartExamined": "CHEST"}, False),
        ({"BodyPartExamined": "CHEST", "StudyDescription": "CT Hals/Thorax"}, True),
        ({"BodyPartExamined": "CHEST", "ProtocolName": "corps entier"}, True),
        ({"BodyPartExamined": "CHEST", "Modality": "PT"}, True),
        ({"BodyPartExamined": "KNEE", "Modality": "MR"}, False),
        ({"BodyPartExamined": "KNEE", "Modality": "PT"}, False),
        ({"BodyPartExamined": "CERVIX", "Modality": "MR"}, False),
        ({"BodyPartExamined": "PHANTOM"}, False),
        ({"BodyPartExamined": None, "StudyDescription": "CT Thorax"}, True),
        ({"BodyPartExamined": "HEAD", "PixelSpacing": [9.0, 9.0]}, False),
        ({"BodyPartExamined": "HEAD", "PixelSpacing": [0.1, 0.1]}, False),
        ({"BodyPartExamined": "HEAD", "PixelSpacing": None}, True),
        ({"BodyPartExamined": "HEAD", "Modality": "US", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.6.1"}, False),
    ],
)
def test_an_instance_may_show_a_face_unless_its_header_rules_that_out(
    header: dict[str, Any], may_show: bool
) -> None:
    assert may_show_face(face_header(make_instance(**SLICE | header))) is may_show


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        ({}, Kind.VOLUME),
        ({"SOPClassUID": EnhancedMRImageStorage, "Modality": "MR"}, Kind.VOLUME),
        ({"Rows": None}, Kind.NONE),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, Kind.SAME_FACE),
        ({"ImageType": ["DERIVED", "SECONDARY", "PROJECTION IMAGE"]}, Kind.SAME_FACE),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.481.2", "Modality": "RTDOSE"}, Kind.SAME_FACE),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.77.1.4", "Modality": "XC"}, Kind.SAME_FACE),
        (
            {"SOPClassUID": SecondaryCaptureImageStorage, "BodyPartExamined": "HEAD"},
            Kind.SAME_FACE,
        ),
        (
            {"SOPClassUID": SecondaryCaptureImageStorage, "Modality": "OT", "SeriesDescription": "VRT"},
            Kind.SAME_FACE,
        ),
        ({"SOPClassUID": SecondaryCaptureImageStorage, "Modality": "OT"}, Kind.NONE),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.11", "Modality": "SR", "Rows": None}, Kind.NONE),
    ],
)
def test_an_instance_is_a_slice_or_shows_the_same_face_or_neither(header: dict[str, Any], kind: Kind) -> None:
    assert face_header(make_instance(**SLICE | header)).kind is kind


@pytest.mark.parametrize(("name", "kind"), [("Skin", Kind.SAME_FACE), ("GTV 1", Kind.NONE)])
def test_contours_show_a_face_where_one_of_them_is_the_skin(name: str, kind: Kind) -> None:
    contour = Dataset()
    contour.ROIName = name
    structures = make_instance(
        SOPClassUID=RTStructureSetStorage, Modality="RTSTRUCT", StructureSetROISequence=[contour]
    )
    assert face_header(structures).kind is kind


def test_the_words_of_a_header_are_not_kept_and_its_elements_stay_raw() -> None:
    dataset = make_instance(**SLICE, StudyDescription="Kopf von Roe")
    header = face_header(dataset)
    assert header.region is Region.HEAD
    assert "Roe" not in repr(header)


def test_what_is_not_what_it_claims_to_be_rules_nothing_out() -> None:
    dataset = make_instance(**SLICE, BodyPartExamined="CHEST")
    dataset._dict[0x00280030] = dataset["PixelSpacing"]
    dataset["PixelSpacing"]._value = "x"
    dataset["BodyPartExamined"]._value = b"\xff"
    assert may_show_face(face_header(dataset))
