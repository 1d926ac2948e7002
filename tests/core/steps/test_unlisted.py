"""What `unlisted: remove` and the verbs of kskit do to attributes that an IOD requires."""

import json

import pytest
from pydicom._dicom_dict import DicomDictionary
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from beamstop.identity import Identity
from beamstop.recipe.load import load_recipe, parse_recipe
from beamstop.steps.apply_recipe import apply_recipe
from beamstop.testing import make_instance

KEY = bytes(range(32))
PET_IMAGE = "1.2.840.10008.5.1.4.1.1.128"
RT_PLAN = "1.2.840.10008.5.1.4.1.1.481.5"
RT_STRUCTURE_SET = "1.2.840.10008.5.1.4.1.1.481.3"
TRUST_NOTHING = parse_recipe("{profile: none, unlisted: remove}")


def applied(recipe, **attributes):
    dataset = make_instance(**attributes)
    apply_recipe(dataset, recipe, Identity(KEY))
    return dataset


@pytest.mark.parametrize(
    ("keyword", "value", "there"),
    [
        ("ApprovalStatus", "APPROVED", "APPROVED"),  # Type 1, a term of the standard
        ("ApprovalStatus", "QUESSENBRAND", "dummy"),  # none
        ("StructureSetLabel", "Quessenbrand", "dummy"),  # Type 1, a text
        ("StructureSetDate", "20240229", None),  # Type 2: emptied
        ("StructureSetName", "Quessenbrand", "absent"),  # Type 3
        ("SeriesNumber", "7", None),  # Type 2 in this IOD
        ("ManufacturerModelName", "Quessenbrand", "absent"),
    ],
)
def test_an_unlisted_attribute_stays_as_far_as_the_iod_requires_it(keyword, value, there):
    dataset = applied(TRUST_NOTHING, SOPClassUID=RT_STRUCTURE_SET, **{keyword: value})
    if there == "absent":
        assert keyword not in dataset
    elif there == "dummy":
        assert dataset[keyword].value not in {None, "", value}
    elif there is None:
        assert not dataset[keyword].value
    else:
        assert dataset[keyword].value == there


def test_required_sequences_are_visited_and_what_they_need_not_have_goes():
    setup = Dataset()
    setup.PatientSetupNumber, setup.PatientPosition, setup.PatientSetupLabel = 1, "HFS", "Quessenbrand"
    setup.PatientAdditionalPosition = "Quessenbrand"
    dataset = applied(TRUST_NOTHING, SOPClassUID=RT_PLAN, PatientSetupSequence=Sequence([setup]))
    (item,) = dataset.PatientSetupSequence
    assert (item.PatientSetupNumber, item.PatientPosition) == (1, "HFS")
    assert "PatientSetupLabel" not in item
    assert item.PatientAdditionalPosition not in {"", "Quessenbrand"}


def test_where_the_iod_is_unknown_what_is_unlisted_goes():
    dataset = applied(TRUST_NOTHING, SOPClassUID="1.2.3.4", ApprovalStatus="APPROVED")
    assert "ApprovalStatus" not in dataset


def test_kskits_verbs_are_carried_out_to_the_letter():
    """PatientName is Type 2, FrameOfReferenceUID Type 1: kskit removes and empties them all the same."""
    document = {
        "0x00100010": ["PatientName", "PN", "RETIRER"],
        "0x00200052": ["FrameOfReferenceUID", "UI", "RETIRER"],
        "0x00080060": ["Modality", "CS", "EFFACER"],
    }
    recipe = parse_recipe(json.dumps(document))
    dataset = applied(recipe, FrameOfReferenceUID="1.2.3.9", KVP="120")
    assert "PatientName" not in dataset
    assert "FrameOfReferenceUID" not in dataset
    assert dataset.Modality == ""
    assert "KVP" not in dataset  # Type 2, but not listed
    for tag, action in ((0x00100010, "X"), (0x00200052, "X"), (0x00080060, "Z")):
        assert recipe.planner.plan((tag,), None, None, dataset.SOPClassUID).action == action


def test_an_unlisted_sequence_of_type_2_is_emptied():
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "1", "99X", "Quessenbrand"
    dataset = applied(TRUST_NOTHING, SOPClassUID=PET_IMAGE, PatientOrientationCodeSequence=Sequence([item]))
    assert len(dataset.PatientOrientationCodeSequence) == 0


def test_strict_keeps_what_an_approved_structure_set_needs():
    dataset = applied(load_recipe("strict"), SOPClassUID=RT_STRUCTURE_SET, ApprovalStatus="APPROVED")
    assert dataset.ApprovalStatus == "APPROVED"


RETIRED = {
    tag: entry[4]
    for tag, entry in DicomDictionary.items()
    if entry[3] == "Retired" and entry[0] in {"CS", "LO", "LT", "SH", "ST"} and tag >> 16 > 8
}


@pytest.mark.parametrize("name", ["basic", "default"])
def test_what_the_standard_retired_goes_whatever_it_says(name: str) -> None:
    dataset = make_instance()
    for tag in RETIRED:
        dataset.add_new(tag, DicomDictionary[tag][0], "QUESSENBRAND")
    apply_recipe(dataset, load_recipe(name), Identity(KEY))
    assert [RETIRED[tag] for tag in RETIRED if "QUESSENBRAND" in str(dataset.get(tag, ""))] == []


def test_a_recipe_may_keep_what_is_retired_by_name_or_as_unknown() -> None:
    for text in ("attributes: {TherapyType: K}", "unknown: keep"):
        dataset = applied(parse_recipe(text), TherapyType="HEAT")
        assert dataset.TherapyType == "HEAT"


def test_a_date_that_no_rule_names_is_emptied_where_the_object_needs_it():
    keeping = parse_recipe("{profile: none, unlisted: keep, unknown: keep}")
    dates = {"StructureSetDate": "20240229", "SeriesDate": "20240229", "StudyDate": "20240229"}
    dataset = applied(keeping, SOPClassUID=RT_STRUCTURE_SET, **dates)
    assert (dataset.StructureSetDate, dataset.StudyDate, "SeriesDate" in dataset) == ("", "", False)
