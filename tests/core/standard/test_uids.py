"""Which UIDs are the standard's, and which only look like it."""

import pytest
from pydicom.datadict import tag_for_keyword

from beamstop.errors import Rejected
from beamstop.identity import Identity
from beamstop.recipe.load import load_recipe, parse_recipe
from beamstop.rules.bouncers import RejectNonStandardDicom
from beamstop.standard.uids import is_well_known_uid
from beamstop.steps.apply_recipe import apply_recipe
from beamstop.testing import make_instance

KEY = bytes(range(32))


@pytest.mark.parametrize(
    "uid",
    [
        "1.2.840.10008.1.2.4.90",  # a transfer syntax
        "1.2.840.10008.1.2.4.112",  # one newer than pydicom's dictionary
        "1.2.840.10008.5.1.4.1.1.2",
        "1.2.840.10008.5.1.4.1.1.601.4",
        "1.2.840.10008.1.4.1.1",  # a well-known frame of reference
        "1.2.840.10008.1.20.1",  # Storage Commitment Push Model SOP Instance
        "1.2.840.10008.8.1.1",  # DCMR, a mapping resource
        "1.2.840.10008.2.16.4",  # DCM
        "1.2.840.10008.6.1.308",  # Common Anatomic Regions
        "1.2.840.10008.6.1.1560",  # the newest context group
        "1.2.840.10008.9.24",  # a template of PS3.20
        "2.16.840.1.113883.6.96",  # SNOMED
        "2.16.840.1.113883.6.8",  # UCUM
        "2.16.840.1.113883.6.256",  # RadLex
        "1.2.276.0.7230010.3.0.0.1",  # DCMTK's own scheme
    ],
)
def test_a_uid_that_the_standard_lists_stays(uid):
    assert Identity(KEY).uid(uid) == uid


@pytest.mark.parametrize(
    "uid",
    [
        "1.2.840.10008",
        "1.2.840.10008.1.2.7734.501",
        "1.2.840.10008.1.2.77",
        "1.2.840.10008.5.1.4.1.1.999.2",
        "1.2.840.10008.5.1.4.1.1.20240229",
        "1.2.840.10008.6.1.1952",
        "1.2.840.10008.6.1.308.1",
        "1.2.840.10008.9.25",
        "1.2.840.10008.99.1",
        "2.16.840.1.113883.6.9999",
        "1.2.840.10008.5.1.4.1.1.2.MRN",
    ],
)
def test_a_uid_that_only_looks_like_the_standards_is_remapped(uid):
    assert Identity(KEY).uid(uid).startswith("2.25.")


@pytest.mark.parametrize(
    ("keyword", "uid"),
    [
        ("SOPClassUID", "1.2.840.10008.5.1.4.1.1.999.2"),
        ("ReferencedSOPClassUID", "1.2.840.10008.5.1.4.1.1.702"),
        ("SOPClassesInStudy", "1.2.840.10008.5.1.4.1.1.702"),
        ("TransferSyntaxUID", "1.2.840.10008.1.2.4.299"),
        ("EncryptedContentTransferSyntaxUID", "1.2.840.10008.1.2.9"),
    ],
)
def test_a_class_or_syntax_newer_than_the_table_stays_where_such_stand(keyword, uid):
    tag = tag_for_keyword(keyword)
    assert Identity(KEY).uid(uid, tag) == uid
    assert not is_well_known_uid(uid, tag_for_keyword("StudyInstanceUID"))


@pytest.mark.parametrize(
    "uid", ["1.2.840.10008.5.1.4.7755.31.1952.817", "1.2.840.10008.1.2.7755.31", "1.2.3"]
)
def test_not_even_there_what_has_longer_numbers_than_the_standards(uid):
    assert Identity(KEY).uid(uid, tag_for_keyword("ReferencedSOPClassUID")) != uid


@pytest.mark.parametrize(
    ("uid", "passes"),
    [
        ("1.2.840.10008.5.1.4.1.1.2", True),
        ("1.2.840.10008.5.1.4.34.1", True),
        ("1.2.840.10008.5.1.4.1.1.999.2", True),
        ("1.2.840.10008.5.1.4.7755.31.1952.817", False),
        ("1.2.840.10008.1.2.1", False),
        ("1.2.840.10008.6.1.308", False),
        ("", False),
    ],
)
def test_the_bouncer_decides_about_a_sop_class_that_the_table_lacks(uid, passes):
    dataset = make_instance(SOPClassUID=uid)
    if passes:
        RejectNonStandardDicom().inspect(dataset)
    else:
        with pytest.raises(Rejected):
            RejectNonStandardDicom().inspect(dataset)


def test_a_newer_sop_class_stays_in_the_file_and_is_nobodys_identifier():
    dataset = make_instance(
        SOPClassUID="1.2.840.10008.5.1.4.1.1.702",
        SOPClassesInStudy=["1.2.840.10008.5.1.4.1.1.702", "1.2.3.4.5.678"],
        InstanceCreatorUID="1.2.840.10008.5.1.4.1.1.702",
    )
    report = apply_recipe(dataset, load_recipe("basic"), Identity(KEY))
    assert dataset.SOPClassUID == "1.2.840.10008.5.1.4.1.1.702"
    assert list(dataset.SOPClassesInStudy) == [dataset.SOPClassUID, Identity(KEY).uid("1.2.3.4.5.678")]
    assert dataset.InstanceCreatorUID.startswith("2.25.")
    assert "1.2.3.4.5.678" in report.identifiers.uids
    assert "1.2.840.10008.5.1.4.1.1.702" not in report.identifiers.uids


def test_a_converted_uid_is_treated_as_a_raw_one():
    recipe = parse_recipe("unlisted: keep")
    dataset = make_instance(SOPClassUID="1.2.840.10008.5.1.4.1.1.702", ContextUID="1.2.840.10008.6.1.308")
    apply_recipe(dataset, recipe, Identity(KEY))
    assert (dataset.SOPClassUID, dataset.ContextUID) == (
        "1.2.840.10008.5.1.4.1.1.702",
        "1.2.840.10008.6.1.308",
    )
