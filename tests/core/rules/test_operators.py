from dataclasses import replace

import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from beamstop.identity import Identity
from beamstop.rules.operators import (
    AgeBand,
    CannotCleanError,
    Clean,
    Context,
    Empty,
    Hash,
    HashUID,
    Keep,
    KeepYear,
    PseudonymisePatientID,
    Remove,
    Replace,
    SetFixedValue,
)

IDENTITY = Identity(bytes(range(32)))
CONTEXT = Context(IDENTITY, Dataset(), (0x00100010,), -1, lambda text: text.replace("Roe", "").strip())


def element(keyword, vr, value):
    return DataElement(keyword, vr, value)


def test_keep_remove_and_empty_do_what_they_say():
    name = element("PatientName", "PN", "Roe^Jane")
    assert Keep().apply(name, CONTEXT) is name
    assert Remove().apply(name, CONTEXT) is None
    assert Empty().apply(name, CONTEXT).value == ""
    assert len(Empty().apply(element("ContentSequence", "SQ", Sequence([Dataset()])), CONTEXT).value) == 0


@pytest.mark.parametrize(
    ("keyword", "vr", "value", "dummy"),
    [
        ("StudyDate", "DA", "20240229", "19000101"),
        ("StudyTime", "TM", "101530", "000000"),
        ("AcquisitionDateTime", "DT", "20240229101530", "19000101000000"),
        ("PatientAge", "AS", "045Y", "000D"),
        ("KVP", "DS", "120", 0),
        ("Rows", "US", 4, 0),
        ("EncapsulatedDocument", "OB", b"%PDF", b"\0\0"),
    ],
)
def test_a_dummy_fits_the_vr(keyword, vr, value, dummy):
    assert Replace().apply(element(keyword, vr, value), CONTEXT).value == dummy


@pytest.mark.parametrize(
    ("keyword", "vr"),
    [("StationName", "SH"), ("InstitutionName", "LO"), ("PatientName", "PN"), ("Modality", "CS")],
)
def test_a_text_dummy_is_the_same_for_the_same_original_and_says_nothing_of_it(keyword, vr):
    one, same, other = (
        str(Replace().apply(element(keyword, vr, value), CONTEXT).value) for value in ("ROE", "ROE", "POE")
    )
    assert one == same != other
    assert "ROE" not in one.split("^")


def test_a_code_sequence_gets_one_invented_code():
    item = Dataset()
    item.CodeMeaning = "Jane Roe"
    made = Replace().apply(element("PersonIdentificationCodeSequence", "SQ", Sequence([item])), CONTEXT).value
    assert [code.CodeMeaning for code in made] == ["Removed by de-identification"]


def test_an_empty_value_gets_no_dummy():
    assert Replace().apply(element("PatientName", "PN", ""), CONTEXT).value == ""


def test_cleaning_shifts_dates_keeps_times_and_numbers_and_clears_text():
    assert Clean().apply(element("StudyDate", "DA", "20240301"), CONTEXT).value == "20240229"
    assert Clean().apply(element("StudyTime", "TM", "101530"), CONTEXT).value == "101530"
    assert Clean().apply(element("KVP", "DS", "120"), CONTEXT).value == 120
    assert Clean().apply(element("StudyDescription", "LO", "CT Roe"), CONTEXT).value == "CT"
    assert Clean().apply(element("ImageComments", "LT", "fine"), CONTEXT).value == "fine"


@pytest.mark.parametrize(
    ("keyword", "vr", "value"), [("PatientName", "PN", "Roe"), ("EncapsulatedDocument", "OB", b"x")]
)
def test_names_and_payloads_cannot_be_cleaned(keyword, vr, value):
    with pytest.raises(CannotCleanError):
        Clean().apply(element(keyword, vr, value), CONTEXT)


def test_each_of_several_uids_is_remapped():
    made = HashUID().apply(element("FailedSOPInstanceUIDList", "UI", ["1.2.3", "1.2.4"]), CONTEXT)
    assert list(made.value) == [IDENTITY.uid("1.2.3"), IDENTITY.uid("1.2.4")]


def test_a_hash_needs_the_key():
    one = Hash().apply(element("PatientID", "LO", "R-1"), CONTEXT).value
    other = (
        Hash()
        .apply(element("PatientID", "LO", "R-1"), Context(Identity(b"x" * 32), Dataset(), (), -1, str))
        .value
    )
    assert one != other
    assert len(one) == 16


def test_a_fixed_value_is_set():
    assert SetFixedValue("X").apply(element("StationName", "SH", "ROE-PC"), CONTEXT).value == "X"


def test_a_defined_term_stays_and_any_other_code_string_is_a_text():
    """Nothing keeps a station from writing a name into a code string."""
    context = replace(CONTEXT, clean_text=lambda text: text.replace("HFS", "").replace("ROE", "").strip())
    clean = [
        Clean().apply(element("PatientPosition", "CS", "HFS"), context),
        Clean().apply(element("ImageType", "CS", ["ORIGINAL", "PRIMARY", "ROE", "AXIAL ROE"]), context),
    ]
    assert [result and result.value for result in clean] == ["HFS", ["ORIGINAL", "PRIMARY", "", "AXIAL"]]
    with pytest.raises(CannotCleanError):
        Clean().apply(element("BodyPartExamined", "CS", "ROE"), context)


def dummies_of(owner: tuple[str, str], value: str = "Roe^Jane") -> set[str]:
    context = replace(CONTEXT, owner=owner)
    found = (
        Replace().apply(element(keyword, vr, value), context)
        for keyword, vr in (("PatientName", "PN"), ("StudyID", "SH"))
    )
    return {str(it.value).removeprefix("Person^") for it in found if it is not None}


def test_dummies_tell_nothing_of_other_patients_and_attributes() -> None:
    first, again, other, study = map(
        dummies_of, [("patient", "1"), ("patient", "1"), ("patient", "2"), ("study", "1")]
    )
    assert first == again
    assert len(first | other | study) == 6


def test_the_operator_of_uids_leaves_what_is_empty_or_a_sequence():
    for whole in (
        element("StudyInstanceUID", "UI", ""),
        element("ReferencedStudySequence", "SQ", Sequence([Dataset()])),
    ):
        assert HashUID().apply(whole, CONTEXT) is whole


def test_the_operator_of_uids_cannot_map_bytes_even_in_private_elements():
    for vr in ("UN", "OB"):
        with pytest.raises(CannotCleanError):
            HashUID().apply(DataElement(0x00091001, vr, b"1.2.3.4"), CONTEXT)
    mapped = HashUID().apply(DataElement(0x00091001, "LO", "1.2.3.4"), CONTEXT)
    assert mapped.value == IDENTITY.uid("1.2.3.4") != "1.2.3.4"


@pytest.mark.parametrize(
    ("vr", "value", "year"),
    [
        *(("DA", value, "20040101") for value in ("20040101", "20041231", "2004.12.31")),
        *(("DT", value, "2004") for value in ("20041231235959.5-0500", "20040101", "2004", "200412+0100")),
        *(("DA", value, None) for value in ("20040101-20041231", "-20041231", "no date")),
        *(("DT", value, None) for value in ("no date", "20041331")),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_of_a_date_the_year_stays_from_its_first_to_its_last_day(vr, value, year):
    keyword = {"DA": "StudyDate", "DT": "AcquisitionDateTime"}[vr]
    if year is None:
        with pytest.raises(CannotCleanError):
            KeepYear().apply(element(keyword, vr, value), CONTEXT)
    else:
        assert KeepYear().apply(element(keyword, vr, value), CONTEXT).value == year


def test_a_year_moves_by_the_days_of_the_patient_where_it_is_told_to():
    moved = KeepYear(moves=True).apply(element("StudyDate", "DA", "20040101"), CONTEXT)
    assert (moved.value, CONTEXT.days) == ("20030101", -1)


@pytest.mark.parametrize(("age", "band"), [("047Y", "045Y"), ("044Y", "040Y"), ("093Y", "090Y")])
def test_an_age_becomes_the_lowest_of_its_band(age, band):
    assert AgeBand(5).apply(element("PatientAge", "AS", age), CONTEXT).value == band


@pytest.mark.parametrize("age", ["47", "old"])
@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_what_is_no_age_has_no_band(age):
    with pytest.raises(CannotCleanError):
        AgeBand(5).apply(element("PatientAge", "AS", age), CONTEXT)


@pytest.mark.parametrize(("with_issuer", "asks"), [(True, "ONE"), (False, "")])
def test_the_pseudonym_of_a_patient_id_is_the_keys(with_issuer, asks):
    identity = Identity(bytes(range(32)), with_issuer=with_issuer)
    dataset = Dataset()
    dataset.IssuerOfPatientID = "ONE"
    context = replace(CONTEXT, identity=identity, dataset=dataset)
    made = PseudonymisePatientID().apply(element("PatientID", "LO", "A1"), context)
    assert made.value == identity.patient_id("A1", "ONE") == identity.patient_id("A1", asks)
    bare = replace(context, dataset=Dataset())
    assert PseudonymisePatientID().apply(element("PatientID", "LO", "A1"), bare).value == identity.patient_id(
        "A1"
    )
    assert PseudonymisePatientID().apply(element("PatientID", "LO", ""), bare).value == ""
