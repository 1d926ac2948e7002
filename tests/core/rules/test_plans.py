"""Plans: exactly what is done to an attribute that no rule names, and to one that a rule names."""

from typing import Any

import pytest
from pydicom.datadict import tag_for_keyword

from beamstop.recipe.load import parse_recipe
from beamstop.rules.plans import NUMBER, Planner
from beamstop.rules.rules import Profile

CT, SEGMENTATION, SLIDE, ECG = (f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("2", "66.4", "77.1.6", "9.1.1"))
SEGMENT = "SegmentSequence"
TYPE = f"{SEGMENT}.SegmentedPropertyTypeCodeSequence"
Planned = tuple[str, str | None, str, str]  # action, operator, origin, fallback


def tags(path: str) -> tuple[int, ...]:
    return tuple(tag_for_keyword(it) or int(it, 16) for it in path.split("."))


def planned(planner: Planner, path: str, sop_class: str = CT, **more: Any) -> Planned:
    plan = planner.plan(tags(path), more.get("creator"), more.get("vr"), sop_class)
    operator = None if plan.operator is None else type(plan.operator).__name__
    return plan.action.value, operator, plan.origin, plan.fallback.value


def unlisted(*options: str, **more: Any) -> Planner:
    return Planner(Profile([]), frozenset(options), **more)


NEEDED: tuple[tuple[str, str, Planned], ...] = (
    (CT, "Rows", ("K", None, "unlisted", "X")),
    (CT, "SpecificCharacterSet", ("K", None, "unlisted", "X")),
    (CT, "PixelData", ("K", None, "unlisted", "X")),
    (CT, "SOPClassUID", ("U", "HashUID", "unlisted:UI", "X")),
    (CT, "FrameOfReferenceUID", ("U", "HashUID", "unlisted:Type 1", "D")),
    (CT, "Modality", ("C", "KeepTerms", "unlisted:Type 1", "D")),
    (CT, "SliceThickness", ("Z", "Empty", "unlisted:Type 2", "X")),
    (CT, "StudyDate", ("Z", "Empty", "unlisted:Type 2", "X")),
    (CT, "PatientOrientation", ("Z", "Empty", "unlisted:Type 2C", "X")),
    (CT, "ImageComments", ("X", "Remove", "unlisted", "X")),
    (CT, "ReferencedImageSequence", ("X", "Remove", "unlisted", "X")),
    (CT, "AcquisitionUID", ("X", "Remove", "unlisted", "X")),
    (CT, "ICCProfile", ("X", "Remove", "unlisted", "X")),
    (SEGMENTATION, SEGMENT, ("K", "Keep", "unlisted:Type 1", "X")),
    (SEGMENTATION, f"{SEGMENT}.SegmentLabel", ("D", "Replace", "unlisted:Type 1", "D")),
    (SEGMENTATION, f"{SEGMENT}.SegmentNumber", ("K", None, "unlisted:Type 1", "X")),
    (SEGMENTATION, f"{SEGMENT}.SegmentAlgorithmType", ("C", "KeepTerms", "unlisted:Type 1", "D")),
    (SEGMENTATION, TYPE, ("K", "Keep", "unlisted:Type 1", "X")),
    (SEGMENTATION, f"{TYPE}.CodeValue", ("K", None, "unlisted:Type 1C", "X")),
    (SEGMENTATION, f"{TYPE}.CodeMeaning", ("D", "Replace", "unlisted:Type 1", "D")),
    (SEGMENTATION, "ContentDescription", ("Z", "Empty", "unlisted:Type 2", "X")),
    (SEGMENTATION, "ContentDate", ("D", "Replace", "unlisted:Type 1", "D")),
    (SLIDE, "OpticalPathSequence.ICCProfile", ("C", "Clean", "unlisted:Type 1C", "X")),
    (SLIDE, "ICCProfile", ("X", "Remove", "unlisted", "X")),
    (ECG, "WaveformSequence", ("K", "Keep", "unlisted:Type 1", "X")),
    (ECG, "WaveformSequence.WaveformBitsAllocated", ("K", None, "unlisted:Type 1", "X")),
)


@pytest.mark.parametrize(("sop_class", "path", "plan"), NEEDED)
def test_where_unlisted_attributes_go_what_the_object_needs_stays_in_some_form(
    sop_class: str, path: str, plan: Planned
) -> None:
    assert planned(unlisted(keep_unlisted=False), path, sop_class) == plan


@pytest.mark.parametrize("path", ["Modality", "SliceThickness", "FrameOfReferenceUID"])
def test_where_the_iod_is_not_asked_all_that_is_unlisted_goes(path: str) -> None:
    planner = unlisted(keep_unlisted=False, asks_iod=False)
    assert planned(planner, path) == ("X", "Remove", "unlisted", "X")
    assert planned(planner, "Rows") == ("K", None, "unlisted", "X")


STRUCTURE = (
    *((path, True) for path in ("00280002", "00280010", "00280121", "00281040", "00281223", "7FE00010")),
    *((path, True) for path in ("SpecificCharacterSet", "SOPInstanceUID", "StudyInstanceUID")),
    *((path, True) for path in ("SeriesInstanceUID", "SOPClassUID")),
    *((path, False) for path in ("00280301", "00280303", "00281300", "00281352", "00280A02", "00080008")),
    *((path, False) for path in ("PatientID", "StudyDate", "00281224")),
)


@pytest.mark.parametrize(("path", "stays"), STRUCTURE)
def test_what_a_reader_needs_to_open_an_object_stays_without_a_rule(path: str, stays: bool) -> None:
    planner = unlisted(keep_unlisted=False, asks_iod=False)
    assert (planned(planner, path)[0] != "X") == stays
    assert planned(planner, f"ReferencedImageSequence.{path}")[0] == "X"  # not in an item


@pytest.mark.parametrize(
    ("options", "path", "plan"),
    [
        ((), "FrameOfReferenceUID", ("U", "HashUID", "unlisted:UI", "X")),
        (("retain-uids",), "FrameOfReferenceUID", ("K", None, "unlisted", "X")),
        ((), "PatientName", ("Z", "Empty", "unlisted:PN", "X")),
        ((), "StudyDate", ("Z", "Empty", "unlisted:DA", "Z")),
        ((), "AcquisitionDateTime", ("X", "Remove", "unlisted:DT", "X")),
        (("retain-longitudinal-full-dates",), "StudyDate", ("K", None, "unlisted:DA", "X")),
        (("retain-longitudinal-full-dates",), "AcquisitionDateTime", ("K", None, "unlisted:DT", "X")),
        (("retain-longitudinal-modified-dates",), "StudyDate", ("C", "Clean", "unlisted:DA", "Z")),
        (("retain-longitudinal-modified-dates",), "AcquisitionDateTime", ("C", "Clean", "unlisted:DT", "X")),
        ((), "ImageComments", ("K", None, "unlisted", "X")),
        (("clean-descriptors",), "ImageComments", ("C", "Clean", "unlisted:LT", "X")),
        (("clean-descriptors",), "Modality", ("C", "Clean", "unlisted:CS", "D")),
        (("clean-descriptors",), "StationAETitle", ("K", None, "unlisted", "X")),
        (("clean-descriptors",), "CodeValue", ("K", None, "unlisted", "X")),
        (("clean-descriptors",), "ContextIdentifier", ("K", None, "unlisted", "X")),
        (("clean-descriptors",), "Rows", ("K", None, "unlisted", "X")),
        ((), "PatientAge", ("C", "Clean", "unlisted", "X")),
        ((), "ReferencedImageSequence", ("K", "Keep", "unlisted", "X")),
        ((), "00284000", ("X", "Remove", "unknown", "X")),
    ],
)
def test_what_no_rule_names_is_decided_by_its_vr(options: tuple[str, ...], path: str, plan: Planned) -> None:
    assert planned(unlisted(*options), path) == plan


def test_what_the_standard_does_not_know_stays_where_the_recipe_says_so() -> None:
    planner = unlisted(keep_unknown=True)
    assert planned(planner, "00284000") == ("K", None, "unlisted", "X")
    assert planned(planner, "00091001", vr="LO", creator="X") == ("K", None, "unlisted", "X")
    assert planned(planner, "00091001", vr="PN", creator="X") == ("Z", "Empty", "unlisted:PN", "X")


@pytest.mark.parametrize(
    ("creator", "element", "vr", "plan"),
    [
        ("GEMS_PARM_01", "004310 39", "IS", ("K", None)),
        ("SIEMENS MR HEADER", "00191 00C", "IS", ("K", None)),
        ("SIEMENS MR HEADER", "001910 0D", "CS", ("C", "Clean")),
        ("SIEMENS MR HEADER", "001910 FF", "IS", ("X", "Remove")),
        ("NOBODY", "001910 0C", "IS", ("X", "Remove")),
    ],
)
def test_a_private_element_stays_where_it_is_listed_as_safe(
    creator: str, element: str, vr: str, plan: tuple[str, str | None]
) -> None:
    planner = parse_recipe("options: [retain-safe-private]").planner
    assert planned(planner, element.replace(" ", ""), vr=vr, creator=creator)[:2] == plan


@pytest.mark.parametrize(
    ("vr", "value", "fits"),
    [
        *(("DS", text, True) for text in ("1", "-1.5", "+1.", ".5", "1e5", "1.5E-10", "", "1\\2\\")),
        *(("DS", text, True) for text in ("1,5", "NaN", " 1 ")),
        *(("DS", text, False) for text in ("1.2.3", "1 2", "e5", "Roe", "1-", "--1", "1\\x", ".", "1mm")),
        *(("TM", text, True) for text in ("12", "1259", "125960", "235959.123456", "12:59:59", "", "00")),
        *(("TM", text, False) for text in ("24", "1260", "125961", "125959.1234567", "1", "12595", "Roe")),
        *(("AS", text, True) for text in ("045Y", "45Y", "045", "1D", "")),
        *(("AS", text, False) for text in ("0045Y", "045X", "Y", "45 years")),
    ],
)  # fmt: skip
def test_a_value_that_stays_looks_as_its_vr_says(vr: str, value: str, fits: bool) -> None:
    path = {"DS": "SliceThickness", "TM": "StudyTime", "AS": "PatientAge"}[vr]
    grammar = unlisted().plan(tags(path), None, vr, CT).grammar
    assert grammar is not None
    assert (grammar.fullmatch(value) is not None) == fits
    assert (NUMBER is grammar) == (vr == "DS")


@pytest.mark.parametrize(
    ("rule", "path", "vr", "plan"),
    [
        ("PatientBirthDate: K", "PatientBirthDate", None, ("K", "GuardBirthDate")),
        ("PatientBirthDate: X", "PatientBirthDate", None, ("X", "Remove")),
        ("PatientID: D", "PatientID", None, ("D", "PseudonymisePatientID")),
        ("AccessionNumber: D", "AccessionNumber", None, ("D", "Replace")),
        ("Rows: K", "Rows", None, ("K", None)),
        ("Rows: K", "Rows", "LT", ("D", "Replace")),
        ("Rows: K", "Rows", "PN", ("D", "Replace")),
        ("Rows: K", "Rows", "UL", ("K", None)),
        ("Modality: X", "Modality", None, ("X", "Remove")),
        ("Modality: Z", "Modality", None, ("Z", "Empty")),
        ("PatientAge: K", "PatientAge", None, ("C", "Clean")),
        ("ReferencedImageSequence: K", "ReferencedImageSequence", None, ("K", "Keep")),
    ],
)
def test_a_rule_of_a_recipe_is_fitted_to_the_attribute_and_holds(
    rule: str, path: str, vr: str | None, plan: tuple[str, str | None]
) -> None:
    planner = parse_recipe(f"attributes: {{{rule}}}").planner
    assert planned(planner, path, vr=vr)[:2] == plan


def test_an_attribute_is_kept_only_where_all_sequences_around_it_stay() -> None:
    recipe = "attributes: {RequestAttributesSequence: %s, RequestedProcedureID: K, StudyID: K}"
    path = tags("RequestAttributesSequence.RequestedProcedureID")
    assert [parse_recipe(recipe % code).planner.keeps(path) for code in "KXZ"] == [True, False, False]
    planner = parse_recipe(recipe % "X").planner
    assert (planner.keeps(tags("StudyID")), planner.keeps(tags("PatientID"))) == (True, False)
    assert planner.keeps(tags("StudyID"))  # as remembered


PRESENTATION = "1.2.840.10008.5.1.4.1.1.11.1"


@pytest.mark.parametrize(
    ("sop_class", "path", "plan"),
    [
        (PRESENTATION, "PresentationCreationDate", ("D", "Replace")),
        (CT, "ResponsiblePerson", ("Z", "Empty")),
        (CT, "EncryptedAttributesSequence", ("X", "Remove")),
        (CT, "InstanceCoercionDateTime", ("X", "Remove")),
        (CT, "StudyDate", ("Z", "Empty")),
        (CT, "ConsultingPhysicianName", ("Z", "Empty")),
        (CT, "PresentationCreationDate", ("X", "Remove")),
    ],
)
def test_where_the_table_takes_out_what_the_object_needs_it_gets_a_dummy_or_is_emptied(
    sop_class: str, path: str, plan: tuple[str, str]
) -> None:
    assert planned(parse_recipe("{}").planner, path, sop_class)[:2] == plan


@pytest.mark.parametrize(
    ("recipe", "origin"),
    [
        ("{}", "basic:PRIVATE"),
        ("profile: none", "unknown"),
        ("{profile: none, unknown: keep}", None),
        ("attributes: {PatientName: X, '50xx,xxxx': X, '00xx,1010': K}", "basic:PRIVATE"),
        ("attributes: {private: X}", "recipe:private"),
        ("attributes: {private: Z}", None),
        ("options: [retain-safe-private]", None),
        ("attributes: {private: K}", None),
        ("attributes: {'0019,1010': K}", None),
        ("attributes: {'0019,10xx': K}", None),
        ("attributes: {'0019,[ACME]10': X}", None),
        ("attributes: {'RequestAttributesSequence.0019,[ACME]10': K}", None),
        ("attributes: {'0019,[ACME]10.PatientName': K}", "basic:PRIVATE"),
    ],
)
def test_one_rule_removes_all_private_attributes_unless_another_names_one(
    recipe: str, origin: str | None
) -> None:
    assert parse_recipe(recipe).planner.removal_of_private == origin
