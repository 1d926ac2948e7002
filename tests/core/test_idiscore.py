"""idiscore's classes under their own names, and what they promise here."""

import numpy as np
import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import CTImageStorage, KeyObjectSelectionDocumentStorage

from beamstop import Identity, Quarantined, RecipeError, Rejected
from beamstop.idiscore import (
    Clean,
    Core,
    DatasetRejected,
    DeidentificationError,
    IDISCoreError,
    PIILocation,
    PIILocationList,
    PrivateBlockTagIdentifier,
    PrivateTags,
    Profile,
    RejectKOGSPS,
    Remove,
    RepeatingGroup,
    RepeatingTag,
    Rule,
    RuleSet,
    SafePrivateBlock,
    SafePrivateDefinition,
    SingleTag,
    SquareArea,
    create_default_core,
    get_dicom_rule_sets,
    get_idis_code_sequence,
)
from beamstop.testing import make_image, make_instance

KEY = bytes(range(32))


@pytest.mark.parametrize("missing", ["SOPInstanceUID", "SOPClassUID", "StudyInstanceUID"])
def test_core_searches_for_leaks_whatever_uids_are_missing(missing):
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.StudyInstanceUID = CTImageStorage, "1.2.3.4", "1.2.3"
    dataset.PatientName, dataset.StudyDescription = "Wubbleford^Zoraida", "CT of Wubbleford"
    del dataset[missing]
    core = Core(Profile([RuleSet([Rule("PatientName", "X")])]), KEY)
    with pytest.raises(Quarantined, match="leak: StudyDescription"):
        core.deidentify(dataset)


@pytest.mark.parametrize("identifier", [PrivateTags(), SingleTag(0x00191008), RepeatingGroup("0019,xxxx")])
@pytest.mark.parametrize("operation", [Clean(), "C"])
def test_cleaning_private_elements_keeps_only_what_is_known_to_be_safe(identifier, operation):
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, "1.2.3.4"
    block = dataset.private_block(0x0019, "OUR HOSPITAL", create=True)
    block.add_new(0x08, "LO", "seen by the porter")
    safe = dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    safe.add_new(0x0C, "IS", "1000")
    clean = Core(Profile([RuleSet([Rule(identifier, operation)])]), KEY).deidentify(dataset)
    assert (0x0019, 0x1008) not in clean
    assert ((0x0019, 0x110C) in clean) == (not isinstance(identifier, SingleTag))


def instance(**attributes):
    dataset = make_instance(PatientSex="F", InstitutionName="General Hospital", **attributes)
    block = dataset.private_block(0x0023, "SIEMENS MED SP DXMG WH AWS 1", create=True)
    block.add_new(0x10, "LO", "kept")
    block.add_new(0x12, "LO", "not named")
    return dataset


SAFE = SafePrivateDefinition(
    blocks=[
        SafePrivateBlock(
            tags=["0023[SIEMENS MED SP DXMG WH AWS 1]10", "0023,[SIEMENS MED SP DXMG WH AWS 1]11"],
            criterion=lambda dataset: dataset.Modality == "CT",
            comment="for CT alone",
        )
    ]
)


@pytest.mark.parametrize(("modality", "stays"), [("CT", True), ("MR", False), (None, False)])
def test_the_default_core_keeps_safe_private_elements_where_their_criterion_fits(modality, stays):
    dataset = instance(Modality=modality)
    clean = create_default_core(safe_private_definition=SAFE, key=KEY).deidentify(dataset)
    assert ((0x0023, 0x1010) in clean) == stays
    assert (0x0023, 0x1012) not in clean
    assert SAFE.is_safe(dataset[0x0023, 0x1010], dataset) == stays
    assert not SAFE.is_safe(dataset[0x0023, 0x1012], dataset)


def test_the_default_core_does_what_its_rule_sets_say():
    clean = create_default_core(key=KEY).deidentify(instance(DeviceSerialNumber="S-12"))
    assert (clean.PatientSex, clean.DeviceSerialNumber, clean.PatientIdentityRemoved) == ("F", "S-12", "YES")
    assert "InstitutionName" not in clean
    codes = [item.CodeValue for item in clean.DeidentificationMethodCodeSequence]
    assert codes == ["113100", "113109", "113108", "113111", "113105"]
    assert clean.PatientID == Identity(KEY).patient_id("R-1001")


def picture(**attributes):
    frames = np.full((1, 40, 60), 200, np.uint8)
    frames[0, 39, 59] = 0
    return make_image(frames, Modality="US", BurnedInAnnotation="YES", **attributes)


PLACES = PIILocationList(
    [PIILocation([SquareArea(5, 10, 4, 12)], lambda dataset: dataset.Rows == 40 and dataset.Columns == 60)]
)


def test_places_of_a_list_are_blanked_and_others_are_not():
    clean = create_default_core(location_list=PLACES, key=KEY).deidentify(picture())
    pixels = clean.pixel_array
    assert (pixels[10:22, 5:9] == 0).all()
    assert int((pixels == 0).sum()) == 4 * 12 + 1
    assert clean.BurnedInAnnotation == "NO"


@pytest.mark.parametrize(
    "places", [None, PIILocationList([]), PIILocationList([PIILocation([], "Rows.equals('1')")])]
)
def test_pictures_that_may_show_text_are_turned_away_where_no_place_is_known(places):
    with pytest.raises(Rejected, match="criterion"):
        create_default_core(location_list=places, key=KEY).deidentify(picture())


def test_a_place_whose_criterion_cannot_be_asked_quarantines():
    places = PIILocationList(
        [PIILocation([SquareArea(0, 0, 1, 1)], lambda dataset: dataset.StationName == "A")]
    )
    with pytest.raises(Quarantined, match="attributes_uncertain"):
        create_default_core(location_list=places, key=KEY).deidentify(picture())


def test_bouncers_may_be_classes_and_insertions_elements_or_keywords():
    kept = DataElement("ClinicalTrialProtocolID", "LO", "P-17")
    for insertions in ([kept], {"ClinicalTrialProtocolID": "P-17"}, [("ClinicalTrialProtocolID", "P-17")]):
        core = Core(Profile([]), KEY, insertions, bouncers=[RejectKOGSPS])
        assert core.deidentify(make_instance()).ClinicalTrialProtocolID == "P-17"
        with pytest.raises(DatasetRejected, match="key_object"):
            core.deidentify(make_instance(SOPClassUID=KeyObjectSelectionDocumentStorage))
    assert issubclass(DatasetRejected, DeidentificationError)
    assert issubclass(DeidentificationError, IDISCoreError)


def test_mistakes_of_programs_written_for_idiscore_are_told_with_their_remedy():
    with pytest.raises(TypeError, match="insertions="):
        Core(Profile([]), [DataElement("ClinicalTrialProtocolID", "LO", "P-17")])
    with pytest.raises(RecipeError, match="'Retain UIDs': no option of the standard; use one of basic"):
        get_idis_code_sequence(["Retain UIDs"])
    ours = RuleSet([], "ours")
    codes = get_idis_code_sequence([get_dicom_rule_sets().basic_profile, ours, "retain-uids"])
    assert [item.CodeValue for item in codes.value] == ["113100", "113110"]


def test_options_among_the_rule_sets_decide_on_what_no_rule_names():
    sets = get_dicom_rule_sets()
    dataset = make_instance(DateOfLastCalibration="20240101", StudyDescription="CT 2024-02-29")
    clean = Core(
        Profile([sets.basic_profile, sets.clean_descriptors, sets.retain_modified_dates]), KEY
    ).deidentify(dataset)
    assert clean.StudyDate not in ("", "20240229")
    assert not clean.get("DateOfLastCalibration")


@pytest.mark.parametrize(
    "spelling",
    [
        SingleTag("00100010"),
        SingleTag("(0010, 0010)"),
        SingleTag("0010,0010"),
        SingleTag((0x0010, 0x0010)),
        SingleTag(Tag("PatientName")),
        "0010,0010",
        "PatientName",
        (0x0010, 0x0010),
        0x00100010,
    ],
)
def test_documented_spellings_of_a_tag_are_one_rule(spelling):
    assert Rule(spelling, Remove()).identifier == SingleTag("PatientName")
    assert Rule(spelling, Remove).code == "X"


@pytest.mark.parametrize("spelling", ["50xx,xxxx", "50xxxxxx", "(50xx,xxxx)", "(50XX, xxxx)"])
def test_documented_spellings_of_a_repeating_group_are_one(spelling):
    assert RepeatingGroup(spelling) == RepeatingGroup(tag=RepeatingTag("50xx,xxxx"))


@pytest.mark.parametrize("spelling", ["0023[X]10", "0023,[X]10", "(0023,[X]10)"])
def test_documented_spellings_of_a_private_element_are_one(spelling):
    identifier = PrivateBlockTagIdentifier.init_explicit(0x0023, "X", 0x10)
    assert PrivateBlockTagIdentifier(spelling) == Rule(spelling, "K").identifier == identifier


def test_a_rule_set_tells_the_rule_of_an_element():
    rules = RuleSet([Rule("PatientName", "X"), Rule("60xx,3000", "Z"), Rule("0023[X]10", "K")])
    assert rules.get_rule(DataElement("PatientName", "PN", "a")).code == "X"
    assert rules.get_rule(DataElement(0x60023000, "OW", b"")).code == "Z"
    assert rules.get_rule(DataElement("PatientID", "LO", "a")) is None
    dataset = Dataset()
    dataset.private_block(0x0023, "X", create=True).add_new(0x10, "LO", "a")
    assert rules.get_rule(dataset[0x0023, 0x1010]).code == "K"
