"""What holds for any dataset under any recipe that ships, over generated datasets."""

import datetime
import pickle
import re
from functools import cache
from io import BytesIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from beamstop import deidentify_bytes
from beamstop.dicom.files import encode, read_dicom
from beamstop.dicom.tags import tag_name
from beamstop.dicom.walk import walk
from beamstop.errors import Quarantined
from beamstop.recipe.load import load_recipe, recipe_names
from beamstop.rules.plans import is_unknown
from beamstop.rules.profile import table
from beamstop.steps.apply_recipe import apply_recipe
from beamstop.testing import load_no_text_detector

KEY = bytes(range(32))
SETTINGS = settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
ALL = pytest.mark.parametrize("name", recipe_names())

# Made up, so that neither the vocabulary nor chance brings them about.
NAME, GIVEN, PATIENT_ID, ACCESSION, CLINIC = "Wubbleford", "Zoraida", "QX7731955", "ACC8842617", "Grimsworthy"
DAY = "19630217"
PLANTED = (NAME, GIVEN, PATIENT_ID, ACCESSION, CLINIC, DAY)
TEXTS = {
    "PN": [f"{NAME}^{GIVEN}", f"{GIVEN} {NAME}"],
    "SH": [PATIENT_ID, ACCESSION, NAME],
    "LO": [
        f"CT chest {NAME}",
        f"{PATIENT_ID} follow-up",
        f"{CLINIC} Clinic",
        f"{GIVEN.upper()} {NAME.upper()}",
    ],
    "UI": ["1.2.3.77319.1", "1.2.3.77319.2.5", "1.2.3.77319.3.14.15"],
    "DA": [DAY, "20110911"],
    "DT": [f"{DAY}101530.25+0100", "20110911"],
    "AS": ["045Y", "094Y"],
}
for _vr in ("LT", "ST", "UC", "UT"):
    TEXTS[_vr] = [*TEXTS["LO"], f"Seen by Dr. {NAME} at {CLINIC} Clinic, MRN {PATIENT_ID}"]
PLANTED_UIDS = tuple(TEXTS["UI"])
OF_A_PERSON = (NAME, GIVEN, PATIENT_ID, ACCESSION)
# What says how to read the dataset, and what the base dataset has already.
BASE = {"SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"}
BASE |= {"PatientName", "PatientID", "AccessionNumber", "InstitutionName"}
SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]


@cache
def listed(vr_wanted):
    """Return the tags of Table E.1-1 with these VRs that pydicom knows and a dataset may have."""
    rows = [row for row in table()["rows"] if "x" not in row["tag"] and row["tag"] != "PRIVATE"]
    tags = [int(row["tag"], 16) for row in rows if row["vr"] in vr_wanted and row["keyword"] not in BASE]
    return [tag for tag in tags if tag >= 0x00080000 and dictionary_has_tag(tag)]


texts = st.sampled_from(listed(frozenset(TEXTS))).flatmap(
    lambda tag: st.tuples(st.just(tag), st.sampled_from(TEXTS[dictionary_VR(tag)]))
)
sequences = st.sampled_from(
    [*listed(frozenset({"SQ"})), 0x00081115, 0x0008114A, 0x00082218, 0x00189346, 0x52009229]
)
items = st.recursive(
    st.lists(texts, max_size=6),
    lambda inner: st.lists(texts | st.tuples(sequences, st.lists(inner, min_size=1, max_size=2)), max_size=5),
    max_leaves=4,
)


def filled(dataset, elements):
    for tag, value in elements:
        if isinstance(value, str):
            dataset.add_new(tag, dictionary_VR(tag), value)
        else:
            dataset.add_new(tag, "SQ", [filled(Dataset(), inner) for inner in value])
    return dataset


def instance(elements=(), syntax=ExplicitVRLittleEndian, **attributes):
    """Return a CT instance without pixels with planted identifiers."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    dataset = FileDataset("", {}, file_meta=meta, preamble=NAME.encode().ljust(128, b"\0"))
    values = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": "1.2.3.77319.9",
        "StudyInstanceUID": "1.2.3.77319.7",
        "SeriesInstanceUID": "1.2.3.77319.8",
        "Modality": "CT",
        "PatientName": f"{NAME}^{GIVEN}",
        "PatientID": PATIENT_ID,
        "AccessionNumber": ACCESSION,
        "InstitutionName": f"{CLINIC} Clinic",
    }
    for keyword, value in (values | attributes).items():
        setattr(dataset, keyword, value)
    return filled(dataset, elements)


def as_bytes(dataset):
    file = BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def clean_bytes(data, recipe, key=KEY):
    return deidentify_bytes(data, recipe, key, load_no_text_detector)


@cache
def recipe_of(name):
    return load_recipe(name)


@ALL
@SETTINGS
@given(
    elements=items,
    private=st.booleans(),
    syntax=st.sampled_from(SYNTAXES),
)
def test_no_planted_identifier_survives(name, elements, private, syntax):
    """Neither in what is kept nor in what was cleaned; an instance in doubt is quarantined."""
    dataset = instance(elements, syntax)
    if private:
        block = dataset.private_block(0x0019, f"{NAME} Inc", create=True)
        block.add_new(0x01, "LO", f"{NAME}^{GIVEN}")
        block.add_new(0x02, "UN", PATIENT_ID.encode())
    assert surviving(name, as_bytes(dataset)) == []


def surviving(name, data):
    """Return what was planted and is left, except UIDs, days and places in attributes that stay."""
    recipe = recipe_of(name)
    try:
        clean = clean_bytes(data, recipe)
    except Quarantined:
        return []
    keeps = recipe.planner.for_instance(read_dicom(data)).keeps
    places = (place for place in walk(read_dicom(clean)) if place.vr != "SQ" and keeps(place.path))
    kept = "\n".join(str(place.dataset[place.tag].value) for place in places)
    planted = (*PLANTED, *PLANTED_UIDS, "1.2.3.77319.7")
    found = [text for text in planted if text.lower().encode() in clean.lower()]
    return [text for text in found if text in OF_A_PERSON or text not in kept]


@pytest.mark.parametrize("name", recipe_names())
@pytest.mark.parametrize("number", range(4))
def test_no_planted_identifier_survives_in_any_attribute_of_the_table(name, number):
    """Each alone: hypothesis meets one of them by luck."""
    left = {}
    for tag in listed(frozenset(TEXTS)):
        texts_of_vr = TEXTS[dictionary_VR(tag)]
        if found := surviving(name, as_bytes(instance([(tag, texts_of_vr[number % len(texts_of_vr)])]))):
            left[tag_name(tag)] = found
    assert left == {}


@pytest.mark.parametrize("name", ["default", "basic", "strict"])
@SETTINGS
@given(elements=items)
def test_the_table_needs_no_quarantine(name, elements):
    """What Table E.1-1 names is clean by rule, not by being held back."""
    clean_bytes(as_bytes(instance(elements)), recipe_of(name))


@cache
def unlisted():
    """Return standard attributes of the image modules that no rule of any recipe's profile names."""
    starts = [group << 16 for group in (0x0008, 0x0018, 0x0020, 0x0028, 0x0054)]
    tags = [tag for start in starts for tag in range(start, start + 0x9999)]
    known = [tag for tag in tags if tag & 0xFFFF and not is_unknown(tag)]
    plain = [tag for tag in known if dictionary_VR(tag) in PLAIN_VALUES and tag_name(tag) not in BASE]
    rules = recipe_of("research").rules
    return [tag for tag in plain if rules.rule_for((tag,)) is None]


PLAIN_VALUES = {
    "CS": "AXIAL",
    "DS": "1.25",
    "FD": 0.5,
    "FL": 0.25,
    "IS": "7",
    "LO": "PLAIN WORDS",
    "SH": "SHORT",
    "SL": -5,
    "SS": -2,
    "UL": 70000,
    "US": 3,
}


@pytest.mark.parametrize("name", ["default", "basic", "research"])
@SETTINGS
@given(tags=st.lists(st.sampled_from(unlisted()), unique=True, max_size=20))
def test_what_no_rule_names_is_unchanged_at_every_depth(name, tags):
    item = Dataset()
    for tag in tags:
        item.add_new(tag, dictionary_VR(tag), PLAIN_VALUES[dictionary_VR(tag)])
    dataset = instance(SharedFunctionalGroupsSequence=[item])
    for element in item:
        if element.tag not in dataset:
            dataset.add(element)
    before = read_dicom(as_bytes(dataset))
    after = read_dicom(clean_bytes(as_bytes(dataset), recipe_of(name)))
    assert after.SharedFunctionalGroupsSequence == before.SharedFunctionalGroupsSequence
    # Said of the whole instance by the insertions, and raw bytes are what was read.
    assert {tag: after.get_item(tag).value for tag in tags if tag_name(tag) != "BurnedInAnnotation"} == {
        tag: before.get_item(tag).value for tag in tags if tag_name(tag) != "BurnedInAnnotation"
    }


@ALL
@SETTINGS
@given(elements=items)
def test_same_input_and_key_give_the_same_bytes(name, elements):
    """In this process or another: the recipe goes to workers pickled."""
    data, recipe = as_bytes(instance(elements)), recipe_of(name)
    results = []
    for copy in (recipe, pickle.loads(pickle.dumps(recipe))):  # noqa: S301
        try:
            results.append(clean_bytes(data, copy))
        except Quarantined as doubt:
            results.append(str(doubt).encode())
    assert results[0] == results[1]


@ALL
@SETTINGS
@given(elements=items)
def test_audit_rows_change_nothing(name, elements):
    """With rows every element is looked at one by one, without them some are dropped unseen."""
    data, recipe = as_bytes(instance(elements)), recipe_of(name)
    results = []
    for detail in (True, False):
        dataset = read_dicom(data)
        report = apply_recipe(dataset, recipe, recipe.identity(KEY), "source", detail)
        results.append((encode(dataset).data, report.removed, report.kept, report.replaced, report.emptied))
    assert results[0] == results[1]


@ALL
def test_another_key_gives_other_pseudonyms(name):
    data, recipe = as_bytes(instance()), recipe_of(name)
    ours, others = (read_dicom(clean_bytes(data, recipe, key)) for key in (KEY, KEY[::-1]))
    assert ours.PatientID != others.PatientID
    assert ours.StudyInstanceUID != others.StudyInstanceUID


days = st.dates(datetime.date(1950, 1, 1), datetime.date(2050, 12, 31))


@SETTINGS
@given(dates=st.lists(days, min_size=4, max_size=4))
def test_intervals_between_dates_are_preserved(dates):
    study, series, acquisition, nested = (f"{day:%Y%m%d}" for day in dates)
    step = Dataset()
    step.PerformedProcedureStepStartDate = nested
    dataset = instance(
        StudyDate=study,
        SeriesDate=series,
        AcquisitionDateTime=f"{acquisition}101530.5+0100",
        AnatomicRegionSequence=[step],
    )
    recipe = recipe_of("research")
    apply_recipe(dataset, recipe, recipe.identity(KEY))
    found = (
        dataset.StudyDate,
        dataset.SeriesDate,
        dataset.AcquisitionDateTime[:8],
        dataset.AnatomicRegionSequence[0].PerformedProcedureStepStartDate,
    )
    moved = [datetime.datetime.strptime(text, "%Y%m%d").date() for text in found]
    shifts = {new - old for new, old in zip(moved, dates, strict=True)}
    assert len(shifts) == 1
    assert 1 <= -shifts.pop().days <= 3650
    assert dataset.AcquisitionDateTime[8:] == "101530.5+0100"


uids = st.from_regex(r"1\.[0-9]\.[1-9][0-9]{0,8}(\.(0|[1-9][0-9]{0,6})){1,5}", fullmatch=True).filter(
    lambda uid: not uid.startswith("1.2.840.10008.")
)


@ALL
@SETTINGS
@given(originals=st.lists(uids, unique=True, min_size=2, max_size=20))
def test_uids_are_mapped_one_to_one(name, originals):
    identity = recipe_of(name).identity(KEY)
    mapped = [identity.uid(uid) for uid in originals]
    assert len(set(mapped)) == len(originals)
    assert set(mapped).isdisjoint(originals)
    assert all(re.fullmatch(r"2\.25\.[1-9][0-9]{0,38}", uid) for uid in mapped)
    assert mapped == [identity.uid(uid) for uid in originals]


@pytest.mark.parametrize("name", ["default", "basic", "research", "strict"])
@SETTINGS
@given(study=uids, series=uids, sop=uids, frame=uids)
def test_references_between_two_instances_agree(name, study, series, sop, frame):
    referenced, source, inside = Dataset(), Dataset(), Dataset()
    referenced.ReferencedSOPClassUID, referenced.ReferencedSOPInstanceUID = CTImageStorage, sop
    source.SeriesInstanceUID, source.ReferencedInstanceSequence = series, [referenced]
    inside.StudyInstanceUID, inside.ReferencedSeriesSequence = study, [source]
    image = instance(
        StudyInstanceUID=study, SeriesInstanceUID=series, SOPInstanceUID=sop, FrameOfReferenceUID=frame
    )
    evidence = instance(
        StudyInstanceUID=study,
        FrameOfReferenceUID=frame,
        StudiesContainingOtherReferencedInstancesSequence=[inside],
        PatientName="Someone^Else",
    )
    clean_image, clean_evidence = (
        read_dicom(clean_bytes(as_bytes(one), recipe_of(name))) for one in (image, evidence)
    )
    study_item = clean_evidence.StudiesContainingOtherReferencedInstancesSequence[0]
    series_item = study_item.ReferencedSeriesSequence[0]
    sop_item = series_item.ReferencedInstanceSequence[0]
    assert study_item.StudyInstanceUID == clean_image.StudyInstanceUID == clean_evidence.StudyInstanceUID
    assert series_item.SeriesInstanceUID == clean_image.SeriesInstanceUID
    assert sop_item.ReferencedSOPInstanceUID == clean_image.SOPInstanceUID
    assert sop_item.ReferencedSOPClassUID == CTImageStorage
    assert clean_evidence.FrameOfReferenceUID == clean_image.FrameOfReferenceUID
    assert clean_image.file_meta.MediaStorageSOPInstanceUID == clean_image.SOPInstanceUID
