import pytest
from pydicom.sr.codedict import codes

from beamstop.idiscore import DICOMRuleSets
from beamstop.rules.profile import (
    METHOD_CODES,
    METHOD_MEANINGS,
    OPTIONS,
    additions,
    basic_profile,
    edition,
    option,
    table,
)
from beamstop.standard.actions import Action


def test_the_table_is_that_of_edition_2026d():
    assert edition() == "2026d"
    assert len(basic_profile()) == 657


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("retain_safe_private", 1),
        ("retain_uid", 60),
        ("retain_device_id", 60),
        ("retain_institution_id", 10),
        ("retain_patient_characteristics", 19),
        ("retain_full_dates", 169),
        ("retain_modified_dates", 169 + 23),  # and the dates that are no patient's
    ],
)
def test_an_option_has_the_rows_that_the_table_gives_it(name, count):
    assert len(getattr(DICOMRuleSets(), name)) == count


def test_every_option_has_the_code_that_cid_7050_gives_it():
    known = {concept.value for concept in codes.cid7050.concepts.values()}
    assert {METHOD_CODES[name] for name in ("basic", *OPTIONS)} == known


def test_codes_have_the_meanings_of_cid_7050():
    known = {concept.value: concept.meaning for concept in codes.cid7050.concepts.values()}
    assert known == METHOD_MEANINGS


def test_a_cleaned_date_that_cannot_be_parsed_falls_back_to_the_basic_profile():
    rule = next(
        rule for rule in option("retain-longitudinal-modified-dates") if str(rule.identifier) == "StudyDate"
    )
    assert (rule.operation, rule.fallback) == (Action.C, Action.Z)


def test_what_the_table_forgot_goes_or_gets_a_dummy():
    """The birth date in another calendar is a birth date; a WADO address quotes the UIDs."""
    rules = {str(rule.identifier): rule.code for rule in additions()}
    assert rules["PatientBirthDateInAlternativeCalendar"] == "X"
    assert rules["PlacerOrderNumberProcedure"] == "X"
    assert (rules["RetrieveURL"], rules["RetrieveURI"], rules["HL7InstanceIdentifier"]) == ("D", "D", "D")
    assert not set(rules) & {row["keyword"] for row in table()["rows"]} - {
        "PatientID",
        "DataSetTrailingPadding",
    }
