"""The generated tables against what the standard and an independent reading of it say."""

import json
from collections import Counter
from importlib.resources import files
from typing import Any

import pytest
from dicomanonymizer.dicom_anonymization_databases import dicomfields_2026c as independent
from pydicom.datadict import dictionary_has_tag, dictionary_keyword, dictionary_VR
from pydicom.valuerep import VR

from beamstop.standard.actions import Action

TABLE = json.loads((files("beamstop") / "data" / "e1_1.json").read_text())
ROWS: dict[str, dict[str, Any]] = {row["tag"]: row for row in TABLE["rows"]}


def test_table_is_edition_2026d_with_653_tags_and_four_patterns():
    assert TABLE["edition"] == "2026d"
    assert len(TABLE["rows"]) == len(ROWS) == 657
    patterns = {tag for tag in ROWS if "x" in tag or tag == "PRIVATE"}
    assert patterns == {"50xxxxxx", "60xx3000", "60xx4000", "PRIVATE"}


def test_counts_of_basic_codes():
    assert Counter(row["basic"] for row in TABLE["rows"]) == {
        "X": 417, "D": 93, "U": 55, "Z": 42, "X/D": 23, "X/Z": 11, "X/Z/D": 8, "Z/D": 6, "X/Z/U*": 2,
    }  # fmt: skip


def test_counts_of_option_codes():
    counts = Counter((option, code) for row in TABLE["rows"] for option, code in row["options"].items())
    assert counts == {
        ("retain-safe-private", "C"): 1,
        ("retain-uids", "K"): 60,
        ("retain-device-identity", "K"): 48,
        ("retain-device-identity", "C"): 11,
        ("retain-institution-identity", "K"): 10,
        ("retain-patient-characteristics", "K"): 14,
        ("retain-patient-characteristics", "C"): 5,
        ("retain-longitudinal-full-dates", "K"): 169,
        ("retain-longitudinal-modified-dates", "C"): 169,
        ("clean-descriptors", "C"): 141,
        ("clean-structured-content", "C"): 4,
        ("clean-graphics", "C"): 4,
    }


def test_full_and_modified_dates_are_about_the_same_attributes():
    full, modified = (
        {tag for tag, row in ROWS.items() if f"retain-longitudinal-{which}-dates" in row["options"]}
        for which in ("full", "modified")
    )
    assert full == modified


@pytest.mark.parametrize("code", [code for code in Action if code not in "KC"])
def test_basic_codes_agree_with_an_independent_table(code):
    """dicom-anonymizer carries edition 2026c; what 2026d adds is not in it."""
    name = code.replace("/", "_").replace("*", "_STAR") + "_TAGS"
    theirs = {f"{tag[0]:04X}{tag[1]:04X}" for tag in getattr(independent, name) if len(tag) == 2}
    ours = {tag for tag, row in ROWS.items() if row["basic"] == code and len(tag) == 8 and "x" not in tag}
    assert theirs <= ours
    newer = {"3004007F"} if code is Action.X else set()
    assert ours - theirs == newer


def test_keywords_and_vrs_are_pydicoms_where_it_knows_the_attribute():
    for tag, row in ROWS.items():
        if len(tag) == 8 and "x" not in tag and dictionary_has_tag(int(tag, 16)):
            assert row["keyword"] == (dictionary_keyword(int(tag, 16)) or None)
            assert row["vr"] == dictionary_VR(int(tag, 16))


def test_attributes_newer_than_pydicoms_dictionary_carry_a_vr_and_keyword():
    newer = {
        row["keyword"]: row["vr"]
        for tag, row in ROWS.items()
        if len(tag) == 8 and "x" not in tag and not dictionary_has_tag(int(tag, 16))
    }
    assert len(newer) == 26
    assert all(VR(vr) for vr in newer.values())
    assert newer["NameToUse"] == "LT"
    assert newer["SexParametersForClinicalUseCategoryReference"] == "UR"
    assert newer["AnnotationDateTime"] == "DT"
    assert all(vr == "SQ" for keyword, vr in newer.items() if keyword.endswith("Sequence"))


def test_tables_are_small():
    for name in ("e1_1", "iod_types", "safe_private", "content_items", "defined_terms"):
        assert len((files("beamstop") / "data" / f"{name}.json").read_bytes()) < 300_000
