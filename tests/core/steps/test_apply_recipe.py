import datetime
import io
import struct
from collections import Counter
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag
from pydicom.uid import BasicTextSRStorage, ImplicitVRLittleEndian

from beamstop import deidentify, deidentify_bytes
from beamstop.dicom.files import encode, read_dicom
from beamstop.errors import Failed, Quarantined
from beamstop.identity import Identity
from beamstop.recipe.load import load_recipe, parse_recipe
from beamstop.rules.operators import Operator
from beamstop.rules.plans import Planner
from beamstop.rules.rules import Profile, Rule, RuleSet
from beamstop.standard.actions import Action
from beamstop.steps.apply_recipe import apply_plans, apply_recipe

BASIC = load_recipe("basic")
MODIFIED = parse_recipe("options: [retain-longitudinal-modified-dates]")
SAFE_PRIVATE = parse_recipe("options: [retain-safe-private, retain-longitudinal-full-dates]")


def item(**attributes):
    made = Dataset()
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    return made


def applied(dataset, recipe, key, source_id="s"):
    return apply_recipe(dataset, recipe, recipe.identity(key), source_id)


def codes(report):
    return {change.path: change.action for change in report.changes}


def test_x_takes_the_element_out_and_z_keeps_it_empty(make_dataset, key):
    dataset = make_dataset(OtherPatientNames="Roe^J", AccessionNumber="A-1")
    report = applied(dataset, BASIC, key)
    assert "OtherPatientNames" not in dataset
    assert dataset.AccessionNumber == ""
    assert dataset.PatientName == ""
    assert (codes(report)["OtherPatientNames"], codes(report)["AccessionNumber"]) == ("X", "Z")


def test_a_patient_id_becomes_its_pseudonym(make_dataset, key):
    dataset = make_dataset()
    applied(dataset, BASIC, key)
    assert dataset.PatientID == BASIC.identity(key).patient_id("R-1001")


def test_uids_agree_across_instances_and_depths(make_dataset, key):
    referring = make_dataset(
        SOPInstanceUID="1.2.3.9",
        ReferencedSeriesSequence=Sequence(
            [
                item(
                    SeriesInstanceUID="1.2.3.4.5",
                    ReferencedInstanceSequence=[item(ReferencedSOPInstanceUID="1.2.3.4.5.6")],
                )
            ]
        ),
    )
    referred = make_dataset()
    applied(referring, BASIC, key)
    applied(referred, BASIC, key)
    series = referring.ReferencedSeriesSequence[0]
    assert series.SeriesInstanceUID == referred.SeriesInstanceUID
    assert series.ReferencedInstanceSequence[0].ReferencedSOPInstanceUID == referred.SOPInstanceUID
    assert referred.file_meta.MediaStorageSOPInstanceUID == referred.SOPInstanceUID


def test_a_uid_element_that_the_table_does_not_list_is_remapped_too(make_dataset, key):
    dataset = make_dataset(TargetUID="1.2.3.4.77", SOPClassesSupported="1.2.840.10008.5.1.4.1.1.2")
    applied(dataset, BASIC, key)
    assert dataset.TargetUID == BASIC.identity(key).uid("1.2.3.4.77")
    assert dataset.SOPClassesSupported == "1.2.840.10008.5.1.4.1.1.2"


def test_a_rule_on_a_sequence_comes_before_its_items(make_dataset, key):
    dataset = make_dataset(RequestAttributesSequence=[item(ScheduledProcedureStepID="1")])
    report = applied(dataset, BASIC, key)
    assert "RequestAttributesSequence" not in dataset
    assert codes(report)["RequestAttributesSequence"] == "X"


def test_names_inside_kept_sequences_go(make_dataset, key):
    dataset = make_dataset(
        PerformedProtocolCodeSequence=[item(CodeMeaning="x", OperatorsName="Poe^E", StudyDate="20200101")]
    )
    kept = parse_recipe("attributes: {PerformedProtocolCodeSequence: K}")
    applied(dataset, kept, key)
    inner = dataset.PerformedProtocolCodeSequence[0]
    assert inner.CodeMeaning == "x"
    assert "Poe" not in str(inner)
    assert "20200101" not in str(inner)


def test_private_elements_and_their_creators_go(make_dataset, key):
    dataset = make_dataset()
    block = dataset.private_block(0x0019, "Roe^Jane", create=True)
    block.add_new(0x10, "LO", "secret")
    applied(dataset, BASIC, key)
    assert not [tag for tag in dataset if tag.tag.is_private]


def test_a_private_block_that_goes_is_one_change_that_says_how_many_elements(make_dataset, key):
    dataset = make_dataset(ReferencedStudySequence=[item(ReferencedSOPClassUID="1.2.840.10008.5.1.4.1.1.2")])
    for where in (dataset, dataset.ReferencedStudySequence[0]):
        for number in (0x10, 0x11, 0x12):
            where.private_block(0x0019, "Roe^Jane", create=True).add_new(number, "LO", f"secret {number}")
    where.private_block(0x0021, "of nothing", create=True)
    report = applied(dataset, parse_recipe("attributes: {ReferencedStudySequence: K}"), key)
    private = [change for change in report.changes if int(change.tag[4]) % 2]
    assert sorted((it.path, it.tag, it.vr, it.action, it.why) for it in private) == [
        ("(0019,0010)", "(0019,0010)", "LO", "X", "3 elements"),
        ("ReferencedStudySequence[0].(0019,0010)", "(0019,0010)", "LO", "X", "3 elements"),
        ("ReferencedStudySequence[0].(0021,0010)", "(0021,0010)", "LO", "X", "0 elements"),
    ]
    assert len({it.before_digest for it in private}) == 3
    assert report.removed >= 9


def test_the_digest_of_a_private_block_tells_a_change_of_any_of_its_values(make_dataset, key):
    def digest(*values):
        dataset = make_dataset()
        for number, value in enumerate(values, 0x10):
            dataset.private_block(0x0019, "Roe^Jane", create=True).add_new(number, "LO", value)
        report = applied(dataset, BASIC, key)
        return next(it.before_digest for it in report.changes if it.tag == "(0019,0010)")

    assert digest("a", "b") == digest("a", "b")
    assert len({digest("a", "b"), digest("a", "c"), digest("ab", ""), digest("a")}) == 4


def test_private_elements_without_a_creator_or_of_a_block_that_stays_have_changes_of_their_own(
    make_dataset, key
):
    dataset = make_dataset()
    safe = dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    safe.add_new(0x0C, "IS", "1000")
    safe.add_new(0x77, "LO", "secret")
    dataset.add_new(0x00211077, "LO", "of nobody")
    report = applied(dataset, SAFE_PRIVATE, key)
    private = [(it.path, it.why) for it in report.changes if int(it.tag[4]) % 2]
    assert private == [("(0019,1077)", None), ("(0021,1077)", None)]


def test_blocks_that_go_as_a_whole_leave_the_same_as_element_by_element(key):
    one_by_one = parse_recipe("attributes: {'0099,[NOBODY]10': K}")
    assert (BASIC.planner.removal_of_private, one_by_one.planner.removal_of_private) == (
        "basic:PRIVATE",
        None,
    )
    for name in ("OBXXXX1A.dcm", "JPEG2000.dcm", "CT_small.dcm"):
        data = Path(get_testdata_file(name)).read_bytes()
        done = []
        for recipe in (BASIC, one_by_one):
            report = applied(dataset := read_dicom(data), recipe, key)
            done.append((encode(dataset, needs_uids=False).data, report.changes, report.removed, report.kept))
        assert done[0] == done[1]
        assert any(change.why for change in done[0][1])


@pytest.mark.parametrize("recipe", [BASIC, SAFE_PRIVATE])
def test_a_private_element_shorter_than_it_says_is_truncated_even_where_it_goes(recipe, make_dataset, key):
    dataset = make_dataset()
    dataset.private_block(0x0019, "ACME", create=True).add_new(0x10, "LO", "x")
    dataset._dict[BaseTag(0x00191010)] = RawDataElement(BaseTag(0x00191010), "LO", 8, b"cut", 0, False, True)
    with pytest.raises(Failed, match=r"truncated.*\(0019,1010\)"):
        applied(dataset, recipe, key)


def test_safe_private_elements_stay_with_their_creator_and_no_others(make_dataset, key):
    dataset = make_dataset()
    safe = dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    safe.add_new(0x0C, "IS", "1000")
    safe.add_new(0x77, "LO", "secret")
    applied(dataset, SAFE_PRIVATE, key)
    assert dataset[0x0019100C].value == 1000
    assert dataset[0x00190010].value == "SIEMENS MR HEADER"
    assert 0x00191077 not in dataset


def test_findings_of_a_report_stay_and_who_they_are_about_goes(make_dataset, key):
    finding = item(CodeValue="121071", CodingSchemeDesignator="DCM", CodeMeaning="Finding")
    text = item(
        ValueType="TEXT", ConceptNameCodeSequence=[finding], TextValue="Roe: fracture of the left wrist"
    )
    dataset = make_dataset(
        SOPClassUID=BasicTextSRStorage, Modality="SR", ValueType="CONTAINER", ContentSequence=[text]
    )
    applied(dataset, parse_recipe("options: [clean-structured-content, clean-descriptors]"), key)
    assert dataset.ContentSequence[0].TextValue == "fracture of the left wrist"
    assert dataset.ContentSequence[0].ConceptNameCodeSequence[0].CodeMeaning == "Finding"


def test_a_private_element_that_a_rule_keeps_keeps_its_creator_in_whatever_block(make_dataset, key):
    recipe = parse_recipe("attributes: {'0029,[SIEMENS CSA HEADER]10': K}")
    dataset = make_dataset()
    dataset.add_new(0x00290021, "LO", "SIEMENS CSA HEADER")
    dataset.add_new(0x00292110, "OB", b"SV10")
    dataset.add_new(0x00292120, "OB", b"SV10")
    applied(dataset, recipe, key)
    private = [(int(each.tag), each.value) for each in dataset if each.tag.is_private]
    assert private == [(0x00290021, "SIEMENS CSA HEADER"), (0x00292110, b"SV10")]


def test_a_creator_that_has_reserved_two_blocks_is_known_in_both(make_dataset, key):
    """PS3.5 7.8.1 forbids it; there are devices that do so all the same."""
    dataset = make_dataset()
    for block in (0x10, 0x11):
        dataset.add_new((0x0019, block), "LO", "SIEMENS MR HEADER")
        dataset.add_new((0x0019, block << 8 | 0x0C), "IS", 1000)
        dataset.add_new((0x0019, block << 8 | 0x77), "LO", "secret")
    applied(dataset, SAFE_PRIVATE, key)
    assert [int(each.tag) for each in dataset if each.tag.is_private] == [
        0x00190010,
        0x00190011,
        0x0019100C,
        0x0019110C,
    ]


def test_a_date_in_a_private_text_moves_where_a_rule_cleans_it_and_is_a_leak_where_one_keeps_it(
    make_dataset, key
):
    dated = "options: [retain-longitudinal-modified-dates]\nattributes: {'0029,[ACME 1.1]19': "
    dataset = make_dataset()
    dataset.private_block(0x0029, "ACME 1.1", create=True).add_new(0x19, "LO", "20240229")
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    clean = pydicom.dcmread(io.BytesIO(deidentify_bytes(buffer.getvalue(), parse_recipe(dated + "C}"), key)))
    assert clean[0x00291019].value == clean.StudyDate != "20240229"
    with pytest.raises(Quarantined, match="leak"):
        deidentify_bytes(buffer.getvalue(), parse_recipe(dated + "K}"), key)


def test_unknown_elements_go_and_unlisted_ones_stay_or_go_as_the_recipe_says(make_dataset, key):
    def made():
        dataset = make_dataset(Rows=4, SliceThickness="2", KVP="120", GantryDetectorTilt="0")
        dataset.add_new(0x00089999, "LO", "secret")
        return dataset

    keeping, zero_trust = made(), made()
    applied(keeping, BASIC, key)
    applied(zero_trust, parse_recipe("{unlisted: remove, attributes: {KVP: K}}"), key)
    assert 0x00089999 not in keeping
    assert (keeping.SliceThickness, keeping.Rows) == (2, 4)
    assert (zero_trust.get("GantryDetectorTilt"), zero_trust.SliceThickness) == (None, None)  # Type 3 and 2
    assert (zero_trust.KVP, zero_trust.Rows) == (120, 4)


def test_dates_shift_by_one_distance_at_every_depth_and_times_stay(make_dataset, key):
    dataset = make_dataset(
        AcquisitionDateTime="20240301120000.5+0100",
        ReferencedStudySequence=[item(StudyDate="20240229")],
        ScheduledProcedureStepStartDate="not a date",
    )
    kept = MODIFIED.model_copy(update={"attributes": {}})
    report = applied(dataset, kept, key)
    days = datetime.timedelta(days=kept.identity(key).shift_days(make_dataset()))
    study = datetime.datetime.strptime(dataset.StudyDate, "%Y%m%d")
    assert study - datetime.datetime(2024, 2, 29) == days
    assert dataset.StudyTime == "101530"
    assert dataset.AcquisitionDateTime == f"{datetime.date(2024, 3, 1) + days:%Y%m%d}120000.5+0100"
    assert "ScheduledProcedureStepStartDate" not in dataset
    assert report.dates_shifted == 2


@pytest.mark.parametrize("action", ["K", "C"])
@pytest.mark.parametrize("dates", ["full", "modified"])
@pytest.mark.parametrize(
    ("attributes", "stays"),
    [
        ({"PatientBirthDate": "19340301"}, True),  # 89 years on 29 February 2024
        ({"PatientBirthDate": "19340229"}, False),  # no such day, but it tells the year
        ({"PatientBirthDate": "19340228"}, False),
        ({"PatientBirthDate": "19610317", "PatientAge": "093Y"}, False),
        ({"PatientBirthDate": "19610317", "AcquisitionDateTime": "20510317120000"}, False),
    ],
)
def test_a_birth_date_that_is_kept_tells_no_age_over_89(make_dataset, key, dates, action, attributes, stays):
    recipe = parse_recipe(
        f"options: [retain-longitudinal-{dates}-dates]\nattributes: {{PatientBirthDate: {action}}}"
    )
    clean = deidentify(make_dataset(**attributes), recipe, key).dataset
    assert bool(clean.PatientBirthDate) == stays
    if stays:
        assert (clean.PatientBirthDate != attributes["PatientBirthDate"]) == (action == "C")


def test_a_birth_date_that_is_kept_is_no_change(key):
    recipe = parse_recipe("attributes: {PatientBirthDate: K}")
    dataset = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    dataset.PatientBirthDate = "19610317"
    dataset = read_dicom(encode(dataset).data)
    birth_date = dataset.get_item("PatientBirthDate")
    report = applied(dataset, recipe, key)
    assert dataset.get_item("PatientBirthDate") is birth_date
    assert "PatientBirthDate" not in {change.path for change in report.changes}


def test_ages_over_89_are_one_category_even_where_characteristics_are_kept(make_dataset, key):
    recipe = parse_recipe("options: [retain-patient-characteristics]")
    old, young = make_dataset(PatientAge="093Y"), make_dataset(PatientAge="045Y")
    applied(old, recipe, key)
    applied(young, recipe, key)
    assert (old.PatientAge, young.PatientAge) == ("090Y", "045Y")


def test_a_recipe_overrides_an_attribute_by_keyword_path_and_repeating_group(make_dataset, key):
    dataset = make_dataset(
        StudyDescription="CT",
        RequestAttributesSequence=[item(ScheduledProcedureStepID="S", RequestedProcedureID="R")],
    )
    dataset.add_new(0x50003000, "OW", b"\0\0")
    recipe = parse_recipe(
        """
attributes:
  StudyDescription: K
  RequestAttributesSequence: K
  RequestAttributesSequence.ScheduledProcedureStepID: K
  RequestedProcedureID: {value: "fixed"}
  "50xx,xxxx": X
"""
    )
    applied(dataset, recipe, key)
    assert dataset.StudyDescription == "CT"
    assert dataset.RequestAttributesSequence[0].ScheduledProcedureStepID == "S"
    assert dataset.RequestAttributesSequence[0].RequestedProcedureID == "fixed"
    assert 0x50003000 not in dataset


def test_the_file_meta_keeps_what_says_how_to_read_it_alone(make_dataset, key):
    dataset = make_dataset()
    dataset.file_meta.SourceApplicationEntityTitle = "ROE_PC"
    dataset.file_meta.PrivateInformationCreatorUID = "1.2.3"
    dataset.file_meta.PrivateInformation = b"ROE "
    dataset.preamble = b"Roe^Jane".ljust(128, b"\0")
    report = applied(dataset, BASIC, key)
    assert "SourceApplicationEntityTitle" not in dataset.file_meta
    assert b"ROE" not in encode(dataset).data.upper()
    assert codes(report)["SourceApplicationEntityTitle"] == "X"


def test_what_no_rule_touches_keeps_its_bytes(key):
    dataset = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    pixels, rescale = dataset.get_item("PixelData"), dataset.get_item("RescaleSlope")
    applied(dataset, BASIC, key)
    assert dataset.get_item("PixelData") is pixels
    assert dataset.get_item("RescaleSlope") is rescale


def test_every_element_is_counted_once_and_what_is_not_kept_has_a_change(make_dataset, key):
    recipe = parse_recipe(
        "options: [retain-longitudinal-modified-dates, retain-patient-characteristics]\n"
        "attributes: {AccessionNumber: D, OtherPatientIDsSequence: K, InstitutionCodeSequence: D}"
    )
    dataset = make_dataset(
        OtherPatientNames="Roe^J",
        ContentDate="20240229",
        Rows=4,
        PatientAge="093Y",
        AccessionNumber="",
        OtherPatientIDsSequence=[item(PatientID="R-2")],
        InstitutionCodeSequence=[item(CodeMeaning="Hospital")],
    )
    before = sum(1 for _ in dataset.iterall())
    report = applied(dataset, recipe, key)
    # Another is the SOP instance UID of the file meta; the dummy of a code sequence has three elements.
    assert report.removed + report.emptied + report.replaced + report.kept == before + 1 - 1 + 3
    assert Counter(change.action for change in report.changes) == {"U": 4, "C": 3, "Z": 4, "X": 1, "D": 2}
    assert len(report.changes) == report.removed + report.emptied + report.replaced
    assert (report.removed, report.emptied) == (1, 2)
    assert (report.uids_remapped, report.dates_shifted) == (4, 2)


def test_digests_of_changes_cannot_be_matched_across_sources(make_dataset, key):
    one = applied(make_dataset(), BASIC, key, "one").changes
    two = applied(make_dataset(), BASIC, key, "two").changes
    assert [change.path for change in one] == [change.path for change in two]
    assert not {change.before_digest for change in one} & {change.before_digest for change in two}


def test_the_same_input_and_key_give_the_same_bytes(key):
    data = open(get_testdata_file("CT_small.dcm"), "rb").read()  # noqa: SIM115

    def clean():
        dataset = read_dicom(data)
        applied(dataset, MODIFIED, key)
        return encode(dataset).data

    assert clean() == clean()


def test_absurdly_deep_sequences_fail(make_dataset, key):
    dataset = innermost = make_dataset()
    for _ in range(101):
        innermost.ReferencedSeriesSequence = [item()]
        innermost = innermost.ReferencedSeriesSequence[0]
    with pytest.raises(Failed, match="too_deep"):
        applied(dataset, BASIC, key)


def test_a_text_of_which_nothing_is_left_follows_the_basic_profile(make_dataset, key):
    """An IOD may require a value: CodeMeaning is Type 1, Manufacturer 2, the others 3."""
    dataset = make_dataset(
        StudyDescription="Roe Jane",
        Manufacturer="Roe^Jane",
        ProcedureCodeSequence=[item(CodeValue="1", CodingSchemeDesignator="DCM", CodeMeaning="Jane Roe")],
    )
    recipe = parse_recipe("{options: [clean-descriptors], attributes: {BodyPartExamined: C}}")
    dataset.BodyPartExamined = "ROE"
    applied(dataset, recipe, key)
    assert "StudyDescription" not in dataset
    assert "BodyPartExamined" not in dataset
    assert dataset.Manufacturer == ""
    assert len(dataset.ProcedureCodeSequence[0].CodeMeaning) == 16


def test_a_date_in_a_kept_text_moves_as_the_dates_do(make_dataset, key):
    recipe = parse_recipe("options: [clean-descriptors, retain-longitudinal-modified-dates]")
    dataset = make_dataset(StudyDescription="CT CHEST Roe 2024-02-29")
    days = datetime.timedelta(days=recipe.identity(key).shift_days(dataset))
    applied(dataset, recipe, key)
    assert dataset.StudyDescription == f"CT CHEST {datetime.date(2024, 2, 29) + days:%Y-%m-%d}"


def test_words_of_the_recipe_stay_where_unvouched_ones_go(make_dataset, key):
    recipe = parse_recipe("{options: [clean-descriptors], unknown_words: remove, vocabulary: [Zorblax]}")
    dataset = make_dataset(StudyDescription="CT CHEST Zorblax Quibbley")
    applied(dataset, recipe, key)
    assert dataset.StudyDescription == "CT CHEST Zorblax"


class InPlace(Operator):
    """An operator that changes its argument instead of making a new element."""

    action = Action.D

    def apply(self, element, context):
        element.value = "withheld"
        return element


def test_an_operator_may_change_the_element_it_is_given(key):
    dataset = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    profile = Profile([RuleSet([Rule("StationName", InPlace())])])
    apply_plans(dataset, Planner(profile), Identity(key))
    assert dataset.StationName == "withheld"


def test_names_inside_sequences_of_implicit_files_go(make_dataset, key):
    """Raw elements of an implicit file do not say that they are sequences."""
    dataset = make_dataset(PerformedProtocolCodeSequence=[item(CodeMeaning="x", OperatorsName="Poe^Edgar")])
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    read = read_dicom(buffer.getvalue())
    applied(read, BASIC, key)
    assert b"Poe" not in encode(read).data
    assert read.PerformedProtocolCodeSequence[0].CodeMeaning == "x"


def test_free_text_that_the_table_does_not_list_loses_identifiers_where_descriptors_are_cleaned(
    make_dataset, key
):
    recipe = parse_recipe("options: [clean-descriptors]")
    dataset = make_dataset(SoftwareVersions=["v1.2 Jane", "syngo 3"], CalibrationImage="YES")
    applied(dataset, recipe, key)
    assert list(dataset.SoftwareVersions) == ["v1.2", "syngo 3"]


def test_attributes_newer_than_the_dictionary_are_read_by_the_table(make_dataset, key):
    """In an implicit file nothing else says that (0010,0043) is a sequence and (0040,B034) a DT."""
    recipe = parse_recipe("options: [retain-patient-characteristics, retain-longitudinal-modified-dates]")
    dataset = make_dataset()
    dataset.add_new(0x00100043, "SQ", [item(OperatorsName="Poe^Edgar")])
    dataset.add_new(0x0040B034, "DT", "20240301120000")
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    read = read_dicom(buffer.getvalue())
    days = recipe.identity(key).shift_days(read)
    report = applied(read, recipe, key)
    written = encode(read).data
    assert b"Poe" not in written
    assert f"{datetime.date(2024, 3, 1) + datetime.timedelta(days=days):%Y%m%d}120000".encode() in written
    assert report.dates_shifted == 2


def implicit(tag, value):
    return struct.pack("<HHL", tag >> 16, tag & 0xFFFF, len(value)) + value


def add_un(dataset, tag, value):
    dataset._dict[BaseTag(tag)] = RawDataElement(BaseTag(tag), "UN", len(value), value, 0, False, True)


def un_sequence(make_dataset, creator, tag, text=b"Seen by Quibbley^Zora "):
    """Return an instance with a private sequence of defined length that some station wrote as UN."""
    dataset = make_dataset(StudyDescription="CT CHEST Quibbley")
    dataset.add_new((tag & 0xFFFF0000) | 0x10, "LO", creator)
    name = implicit(0x00081070, b"Quibbley^Zora ") + implicit(0x00104000, text)
    add_un(dataset, tag, implicit(0xFFFEE000, name))
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return read_dicom(buffer.getvalue())


def test_a_sequence_that_hides_in_un_is_visited_and_its_names_are_known(make_dataset, key):
    recipe = parse_recipe("options: [retain-safe-private, clean-descriptors]")
    dataset = un_sequence(make_dataset, "Philips Imaging DD 001", 0x2001105F)
    applied(dataset, recipe, key)
    (inner,) = dataset[0x2001105F].value
    assert (inner.get("OperatorsName"), inner.PatientComments) == (None, "Seen by")
    assert dataset.StudyDescription == "CT CHEST"
    assert b"Quibbley" not in encode(dataset).data


def test_a_rule_that_keeps_un_keeps_no_names_in_its_items(make_dataset, key):
    recipe = parse_recipe('{attributes: {"0019,[ACME]01": K}}')
    dataset = un_sequence(make_dataset, "ACME", 0x00191001)
    applied(dataset, recipe, key)
    assert dataset[0x00191001].VR == "SQ"
    written = encode(dataset).data
    assert b"Quibbley" not in written
    assert "OperatorsName" not in read_dicom(written)[0x00191001].value[0]


def test_names_in_un_that_goes_are_known_all_the_same(make_dataset, key):
    dataset = un_sequence(make_dataset, "ACME", 0x00191001)
    applied(dataset, parse_recipe("options: [clean-descriptors]"), key)
    assert 0x00191001 not in dataset
    assert dataset.StudyDescription == "CT CHEST"


def test_pixels_that_begin_like_an_item_stay_pixels(make_dataset, key):
    dataset = make_dataset(Rows=2, Columns=2, BitsAllocated=16, PixelRepresentation=0)
    pixels = b"\xfe\xff\0\xe0\0\0\0\0"
    dataset.add_new(0x7FE00010, "OW", pixels)
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    read = read_dicom(buffer.getvalue())
    applied(read, BASIC, key)
    assert read.get_item(0x7FE00010).value == pixels


@pytest.mark.parametrize("recipe", [BASIC, parse_recipe("options: [clean-descriptors]")])
def test_a_known_attribute_written_as_un_is_read_by_its_own_vr(make_dataset, key, recipe):
    dataset = make_dataset()
    add_un(dataset, 0x00080090, b"Quibbley^Zora ")
    add_un(dataset, 0x00081030, b"CT HEAD Quibbley")
    add_un(dataset, 0x00401012, implicit(0xFFFEE000, implicit(0x00081070, b"Quibbley^Zora ")))
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    read = read_dicom(buffer.getvalue())
    applied(read, recipe, key)
    assert read.ReferringPhysicianName == ""
    assert read.get("StudyDescription") == ("CT HEAD" if recipe.options else None)
    assert b"Quibbley" not in encode(read).data


def test_a_private_creator_that_tells_is_never_written(make_dataset, key):
    """It goes with its block; where a rule keeps the block, the instance is held back."""

    def made():
        dataset = make_dataset()
        dataset.private_block(0x0019, "Roe^Jane", create=True).add_new(0x01, "US", 7)
        buffer = io.BytesIO()
        dataset.save_as(buffer, enforce_file_format=True)
        return buffer.getvalue()

    assert b"Roe^Jane" not in deidentify_bytes(made(), BASIC, key)
    with pytest.raises(Quarantined, match="leak"):
        deidentify_bytes(made(), parse_recipe("attributes: {private: K}"), key)
