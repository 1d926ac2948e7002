"""Recipes that ship: strict, the ancestor's policy for mammograms, those that follow a law or an archive."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import (
    BasicVoiceAudioWaveformStorage,
    DigitalMammographyXRayImageStorageForPresentation,
    VideoPhotographicImageStorage,
    VLPhotographicImageStorage,
)

from beamstop import Rejected, deidentify, deidentify_bytes
from beamstop.dicom.files import read_dicom
from beamstop.recipe.load import load_recipe, parse_recipe, read_recipe
from beamstop.steps.apply_recipe import apply_recipe
from beamstop.testing import load_no_text_detector

# Lines of deidcm's built-in recipe, spelled as there: capitals among the digits, and an idea of a pattern.
ANCESTOR = {
    "general_rules": {
        "0x00080016": ["SOPClassUID", "UI", "CONSERVER"],
        "0x00080018": ["SOPInstanceUID", "UI", "PSEUDONYMISER"],
        "0x00080008": ["ImageType", "CS", "CONSERVER"],
        "0x00080012": ["InstanceCreationDate", "DA", "CONSERVER"],
        "0x00080020": ["StudyDate", "DA", "PSEUDONYMISER"],
        "0x00080022": ["AcquisitionDate", "DA", "EFFACER"],
        "0x00080030": ["StudyTime", "TM", "EFFACER"],
        "0x00080031": ["SeriesTime", "TM", "PSEUDONYMISER"],
        "0x00080050": ["AccessionNumber", "SH", "EFFACER"],
        "0x00080060": ["Modality", "CS", "CONSERVER"],
        "0x00080070": ["Manufacturer", "LO", "CONSERVER"],
        "0x00080080": ["InstitutionName", "LO", "EFFACER"],
        "0x00080082": ["InstitutionCodeSequence", "SQ", "CONSERVER"],
        "0x00080090": ["ReferringPhysicianName", "PN", "EFFACER"],
        "0x00080100": ["CodeValue", "SH", "PSEUDONYMISER"],
        "0x00080102": ["CodingSchemeDesignator", "SH", "EFFACER"],
        "0x00080103": ["CodingSchemeVersion", "SH", "CONSERVER"],
        "0x00080104": ["Code Meaning", "LO", "PSEUDONYMISER"],
        "0x00081070": ["Operators Name", "PN", "EFFACER"],
        "0x00081072": ["OperatorIdentificationSequence", "SQ", "PSEUDONYMISER"],
        "0x00081110": ["ReferencedStudySequence", "SQ", "EFFACER"],
        "0x00081140": ["ReferencedImageSequence", "SQ", "RETIRER"],
        "0x00082218": ["AnatomicRegionSequence", "SQ", "CONSERVER"],
        "0x00100010": ["PatientName", "PN", "PSEUDONYMISER"],
        "0x00100020": ["PatientID", "LO", "PSEUDONYMISER"],
        "0x00100030": ["PatientBirthDate", "DA", "PSEUDONYMISER"],
        "0x00100040": ["PatientSex", "CS", "CONSERVER"],
        "0x00101010": ["PatientAge", "AS", "RETIRER"],
        "0x00180060": ["KVP", "DS", "CONSERVER"],
        "0x0018700A": ["DetectorID", "SH", "CONSERVER"],
        "0x001811a0": ["BodyPartThickness", "DS", "CONSERVER"],
        "0x0020000D": ["StudyInstanceUID", "UI", "PSEUDONYMISER"],
        "0x0020000E": ["SeriesInstanceUID", "UI", "PSEUDONYMISER"],
        "0x00200010": ["StudyID", "SH", "EFFACER"],
        "0x00280010": ["Rows", "US", "CONSERVER"],
        "0x00280301": ["BurnedInAnnotation", "CS", "CONSERVER"],
        "0x00401101": ["PersonIdentificationCodeSequence", "SQ", "PSEUDONYMISER"],
        "0x00540220": ["ViewCodeSequence", "SQ", "CONSERVER"],
        "0x00540222": ["ViewModifierCodeSequence", "SQ", "CONSERVER"],
        "0x50xxxxxx": ["CurveData", "-", "RETIRER"],
    },
    "specific_rules": {
        tag: {"sequence": "0x00540220", "rule": "CONSERVER"}
        for tag in ("0x00080100", "0x00080102", "0x00080104")
    },
}


def code(value, scheme, meaning, **attributes):
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    item.CodingSchemeVersion = "2"
    for keyword, inside in attributes.items():
        setattr(item, keyword, inside)
    return item


def mammogram(make_dataset):
    operator = Dataset()
    operator.PersonIdentificationCodeSequence = [code("77", "99LOCAL", "Roe Jane")]
    operator.InstitutionCodeSequence = [code("9", "99LOCAL", "Clinic")]
    image = Dataset()
    image.ReferencedSOPInstanceUID = "1.2.3.9"
    dataset = make_dataset(
        SOPClassUID=DigitalMammographyXRayImageStorageForPresentation,
        Modality="MG",
        ImageType=["ORIGINAL", "PRIMARY"],
        InstanceCreationDate="20240229",
        AcquisitionDate="20240229",
        SeriesTime="101530",
        AccessionNumber="A-77",
        Manufacturer="HOLOGIC, Inc.",
        InstitutionName="Clinic",
        InstitutionCodeSequence=[code("9", "99LOCAL", "Clinic")],
        ReferringPhysicianName="Poe^Edgar",
        OperatorsName="Roe^Jane",
        OperatorIdentificationSequence=[operator],
        ReferencedStudySequence=[image],
        ReferencedImageSequence=[image],
        AnatomicRegionSequence=[code("T-04000", "SRT", "Breast")],
        PatientAge="063Y",
        KVP="28",
        BodyPartThickness="55",
        DetectorID="D-7",
        StudyID="S-7",
        StudyDescription="Depistage",
        Rows=4,
        BurnedInAnnotation="NO",
        ViewCodeSequence=[
            code("R-10226", "SRT", "MLO", ViewModifierCodeSequence=[code("R-102D5", "SRT", "Magnification")])
        ],
    )
    dataset.add_new(0x00191010, "LO", "private")
    dataset.add_new(0x60003000, "OW", b"\0\1")
    return dataset


def test_the_mammography_recipe_does_what_the_ancestors_rules_say(make_dataset, key):
    ours, theirs = load_recipe("mammography-kskit"), parse_recipe(json.dumps(ANCESTOR))
    by_ours, by_theirs = mammogram(make_dataset), mammogram(make_dataset)
    apply_recipe(by_ours, ours, ours.identity(key))
    apply_recipe(by_theirs, theirs, theirs.identity(key))
    assert by_ours == by_theirs
    assert by_ours.StudyInstanceUID == ours.identity(key).uid("1.2.3.4")
    assert by_ours.SeriesInstanceUID == ours.identity(key).uid("1.2.3.4.5")
    view = by_ours.ViewCodeSequence[0]
    assert (view.CodeValue, view.CodingSchemeDesignator, view.CodeMeaning) == ("R-10226", "SRT", "MLO")
    assert view.ViewModifierCodeSequence[0].CodeMeaning == "Magnification"
    assert by_ours.AnatomicRegionSequence[0].CodingSchemeDesignator == ""
    assert (by_ours.PatientBirthDate, by_ours.StudyDate, by_ours.SeriesTime) == (
        "19610101",
        "20240101",
        "000000",
    )
    assert "StudyDescription" not in by_ours
    assert 0x60003000 not in by_ours


def test_the_mammography_recipe_hides_all_text():
    recipe = load_recipe("mammography-kskit")
    assert recipe.hides_text
    assert (recipe.text_policy.hide, recipe.text_policy.languages) == ("all", ("fr",))


@cache
def strictly(name):
    """Return a file of pydicom's before and after `strict`, let in whatever it may show of a face."""
    data = Path(get_testdata_file(name)).read_bytes()
    text = read_recipe("strict")[0].replace("  - possible-face", "  #")
    clean = deidentify_bytes(data, parse_recipe(text), bytes(range(32)), load_no_text_detector)
    return read_dicom(data), read_dicom(clean)


SHOWN = (
    *("Rows", "Columns", "NumberOfFrames", "PhotometricInterpretation", "Modality", "ImageType"),
    *("PixelSpacing", "SliceThickness", "ImagePositionPatient", "ImageOrientationPatient"),
    *("RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth"),
    *("KVP", "EchoTime", "DoseGridScaling", "GridFrameOffsetVector"),
)
IMAGES = [
    "CT_small.dcm",
    "MR_small.dcm",
    "emri_small.dcm",
    "color-px.dcm",
    "liver_1frame.dcm",
    "examples_ybr_color.dcm",
    "rtdose.dcm",
    "US1_UNCR.dcm",
]


@pytest.mark.parametrize("name", IMAGES)
def test_strict_leaves_pixels_and_what_it_takes_to_show_them(name):
    before, after = strictly(name)
    assert after.PixelData == before.PixelData
    assert np.array_equal(after.pixel_array, before.pixel_array)
    for keyword in SHOWN:
        assert after.get(keyword) == before.get(keyword), keyword


def test_strict_leaves_the_geometry_of_every_frame():
    before, after = strictly("liver_1frame.dcm")
    old, new = before.SharedFunctionalGroupsSequence[0], after.SharedFunctionalGroupsSequence[0]
    assert new.PixelMeasuresSequence == old.PixelMeasuresSequence
    assert new.PlaneOrientationSequence == old.PlaneOrientationSequence
    old, new = before.PerFrameFunctionalGroupsSequence[0], after.PerFrameFunctionalGroupsSequence[0]
    assert new.PlanePositionSequence == old.PlanePositionSequence
    assert new.SegmentIdentificationSequence == old.SegmentIdentificationSequence
    index = old.FrameContentSequence[0].DimensionIndexValues
    assert new.FrameContentSequence[0].DimensionIndexValues == index


def test_strict_leaves_contours_and_waveforms():
    before, after = strictly("rtstruct.dcm")
    assert [roi.ContourSequence[0].ContourData for roi in after.ROIContourSequence] == [
        roi.ContourSequence[0].ContourData for roi in before.ROIContourSequence
    ]
    before, after = strictly("waveform_ecg.dcm")
    assert [group.WaveformData for group in after.WaveformSequence] == [
        group.WaveformData for group in before.WaveformSequence
    ]


@pytest.mark.parametrize(
    "keyword",
    [
        "PatientComments",
        "ImageComments",
        "StationName",
        "InstitutionName",
        "PatientBodyMassIndex",
        "OriginalAttributesSequence",
        "IssuerOfPatientID",
        "ScheduledStudyStartDate",
        "EthnicGroup",
        "PatientName",
    ],
)
def test_strict_keeps_nothing_that_can_tell(keyword):
    tag = pydicom.datadict.tag_for_keyword(keyword)
    assert load_recipe("strict").planner.plan((tag,), None, None, IMAGES[0]).action in "XZD"


def test_strict_removes_a_word_that_nobody_vouches_for(make_dataset, key):
    dataset = make_dataset(StudyDescription="CT chest Wubbleford", SoftwareVersions="1.0 Wubbleford")
    dataset.add_new(0x00191010, "LO", "Wubbleford")
    dataset.add_new(0x00192010, "UN", b"Wubbleford")
    recipe = load_recipe("strict")
    apply_recipe(dataset, recipe, recipe.identity(key))
    assert dataset.StudyDescription == "CT chest"
    assert "Wubbleford" not in str(dataset)


def test_safe_harbor_keeps_years_and_nothing_else_of_dates(make_dataset):
    dataset = make_dataset(
        PatientBirthDate="19701224",
        PatientAge="053Y",
        InstanceCreationDate="20240301",
        AcquisitionDateTime="20240229101530",
        StudyDescription="CT Thorax at Wubbleford Springs",
    )
    clean = deidentify(dataset, load_recipe("hipaa-safe-harbor"), bytes(32), load_no_text_detector).dataset
    assert (clean.PatientBirthDate, clean.StudyDate, clean.PatientAge) == ("19700101", "20240101", "053Y")
    assert not clean.get("InstanceCreationDate")
    assert not clean.get("AcquisitionDateTime")
    assert (clean.LongitudinalTemporalInformationModified, clean.StudyTime) == ("MODIFIED", "")
    assert clean.StudyDescription == "CT Thorax at"
    codes = [item.CodeValue for item in clean.DeidentificationMethodCodeSequence]
    assert codes == ["113100", "113104", "113105", "113108"]


@pytest.mark.parametrize(
    "sop_class", [VLPhotographicImageStorage, VideoPhotographicImageStorage, BasicVoiceAudioWaveformStorage]
)
def test_safe_harbor_turns_away_photographs_and_voices(make_dataset, sop_class):
    with pytest.raises(Rejected, match="criterion"):
        deidentify(
            make_dataset(SOPClassUID=sop_class),
            load_recipe("hipaa-safe-harbor"),
            bytes(32),
            load_no_text_detector,
        )


def test_tcia_keeps_what_the_archive_says_it_keeps(make_dataset):
    dataset = make_dataset(PatientAge="053Y", DeviceSerialNumber="S-12", InstitutionName="Wubbleford Clinic")
    clean = deidentify(dataset, load_recipe("tcia"), bytes(32), load_no_text_detector).dataset
    assert (clean.PatientAge, clean.DeviceSerialNumber) == ("053Y", "S-12")
    assert "InstitutionName" not in clean
    assert clean.LongitudinalTemporalInformationModified == "MODIFIED"
    codes = [item.CodeValue for item in clean.DeidentificationMethodCodeSequence]
    assert codes == ["113100", "113104", "113105", "113107", "113108", "113109", "113111"]
