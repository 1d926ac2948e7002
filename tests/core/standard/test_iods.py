import json
from importlib.resources import files

import pytest
from pydicom.datadict import tag_for_keyword
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    EnhancedSRStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    PositronEmissionTomographyImageStorage,
    RTPlanStorage,
    UltrasoundMultiFrameImageStorage,
    XRayAngiographicImageStorage,
)

from beamstop.standard.actions import Action
from beamstop.standard.iods import attribute_type, is_known, resolve

UNKNOWN = "1.2.3.4"
COMPOUNDS = [code for code in Action if "/" in code]


def path(*keywords: str) -> tuple[int, ...]:
    tags = [tag_for_keyword(keyword) for keyword in keywords]
    assert None not in tags
    return tuple(int(tag) for tag in tags if tag is not None)


@pytest.mark.parametrize(
    ("sop_class", "keyword", "expected"),
    [
        (CTImageStorage, "PatientName", "2"),
        (CTImageStorage, "PatientID", "2"),
        (CTImageStorage, "StudyInstanceUID", "1"),
        (CTImageStorage, "StudyDate", "2"),
        (CTImageStorage, "SeriesDate", "3"),
        (CTImageStorage, "ContentDate", "2C"),
        (CTImageStorage, "AcquisitionDateTime", "3"),
        (CTImageStorage, "DeviceSerialNumber", "3"),
        (EnhancedCTImageStorage, "ContentDate", "1"),
        (EnhancedCTImageStorage, "ContentTime", "1"),
        (EnhancedCTImageStorage, "AcquisitionDateTime", "1C"),
        (EnhancedCTImageStorage, "AcquisitionDate", None),  # General Image is not in this IOD
        (EnhancedCTImageStorage, "DeviceSerialNumber", "1"),
        (EnhancedCTImageStorage, "ReferencedPerformedProcedureStepSequence", "1C"),
        (PositronEmissionTomographyImageStorage, "SeriesDate", "1"),
        (PositronEmissionTomographyImageStorage, "AcquisitionDate", "2"),
        (GrayscaleSoftcopyPresentationStateStorage, "PresentationCreationDate", "1"),
        (RTPlanStorage, "RTPlanDate", "2"),
    ],
)
def test_type_at_top_level(sop_class, keyword, expected):
    assert attribute_type(sop_class, path(keyword)) == expected


@pytest.mark.parametrize(
    ("keywords", "expected"),
    [
        (("ReferencedImageSequence", "ReferencedSOPInstanceUID"), "1"),
        (("PerformingPhysicianIdentificationSequence", "InstitutionName"), "1C"),
        (("PerFrameFunctionalGroupsSequence", "FrameContentSequence", "FrameAcquisitionDateTime"), "1C"),
        (("OriginalAttributesSequence", "AttributeModificationDateTime"), "1"),
    ],
)
def test_type_in_a_sequence(keywords, expected):
    assert attribute_type(EnhancedCTImageStorage, path(*keywords)) == expected


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_content_of_a_report_has_its_type_at_any_depth(depth):
    in_content = ("ContentSequence",) * depth
    assert attribute_type(EnhancedSRStorage, path(*in_content, "PersonName")) == "1C"
    assert attribute_type(EnhancedSRStorage, path(*in_content, "ObservationDateTime")) == "1C"


def test_module_may_differ_from_the_usual_type_in_a_sequence():
    """RT Brachy Application Setups asks less of the machine than the treatment record does."""
    machine = path("TreatmentMachineSequence", "InstitutionName")
    assert attribute_type(RTPlanStorage, machine) == "3"
    assert attribute_type("1.2.840.10008.5.1.4.1.1.481.4", machine) == "2"  # RT Beams Treatment Record


def test_unknown_iod_has_no_types_at_top_level():
    assert not is_known(UNKNOWN)
    assert attribute_type(UNKNOWN, path("PatientName")) is None


def test_retired_class_stands_on_its_successor():
    assert is_known("1.2.840.10008.5.1.4.1.1.3")  # Ultrasound Multi-frame Image Storage, retired
    for keyword in ("AcquisitionDateTime", "ContentDate", "PatientName"):
        assert attribute_type("1.2.840.10008.5.1.4.1.1.3", path(keyword)) == attribute_type(
            UltrasoundMultiFrameImageStorage, path(keyword)
        )


def test_every_stand_in_says_why():
    table = json.loads((files("beamstop") / "data" / "iod_types.json").read_text())
    assert all(reason for reason in table["stand_ins"].values())
    assert table["stand_ins"].keys() <= table["sop_classes"].keys()


@pytest.mark.parametrize("code", [code for code in Action if "/" not in code])
def test_a_plain_code_stays(code):
    assert resolve(code, CTImageStorage, path("PatientName")) is code


@pytest.mark.parametrize(
    ("code", "type_1", "type_2", "type_3", "unknown"),
    [
        (Action.Z_D, "D", "Z", "Z", "D"),
        (Action.X_Z, "Z", "Z", "X", "Z"),
        (Action.X_D, "D", "D", "X", "D"),
        (Action.X_Z_D, "D", "Z", "X", "D"),
        (Action.X_Z_U, "U", "U", "X", "U"),
    ],
)
def test_compound_is_decided_by_the_type(code, type_1, type_2, type_3, unknown):
    one, two, three = path("StudyInstanceUID"), path("PatientName"), path("SeriesDate")
    assert resolve(code, CTImageStorage, one) == type_1
    assert resolve(code, CTImageStorage, two) == type_2
    assert resolve(code, CTImageStorage, three) == type_3
    assert resolve(code, UNKNOWN, one) == unknown


@pytest.mark.parametrize("code", COMPOUNDS)
def test_conditional_types_count_as_unconditional(code):
    conditional_1 = path("AcquisitionDateTime")
    assert resolve(code, EnhancedCTImageStorage, conditional_1) == resolve(
        code, EnhancedCTImageStorage, path("StudyInstanceUID")
    )
    conditional_2 = path("ContentDate")
    assert resolve(code, CTImageStorage, conditional_2) == resolve(code, CTImageStorage, path("PatientName"))


@pytest.mark.parametrize("code", COMPOUNDS)
def test_attribute_outside_the_iod_counts_as_type_3(code):
    assert resolve(code, EnhancedCTImageStorage, path("AcquisitionDate")) == resolve(
        code, CTImageStorage, path("SeriesDate")
    )


def test_source_images_of_an_angiogram_keep_references_that_resolve():
    """Referenced Image Sequence is 1C in the X-Ray Image module: its UIDs are remapped."""
    images = path("ReferencedImageSequence")
    assert resolve(Action.X_Z_U, XRayAngiographicImageStorage, images) is Action.U
    assert resolve(Action.X_Z_U, CTImageStorage, images) is Action.X
