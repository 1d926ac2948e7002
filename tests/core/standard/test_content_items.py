import json
from importlib.resources import files

from beamstop.standard.actions import Action
from beamstop.standard.content_items import find_content_item


def test_listed_concept_has_its_codes():
    item = find_content_item("126201", "DCM")
    assert item is not None
    assert (item.meaning, item.value_type, item.basic) == ("Acquisition Date", "DATE", Action.X)
    assert item.options == {
        "retain-longitudinal-full-dates": Action.K,
        "retain-longitudinal-modified-dates": Action.C,
    }


def test_unlisted_concept_has_no_row():
    assert find_content_item("121071", "99LOCAL") is None
    assert find_content_item("126201", "SCT") is None


def test_concept_with_two_value_types_is_told_apart():
    """A Clinical Report may be a reference, which Retain UIDs keeps, or text, which is cleaned."""
    reference = find_content_item("371524004", "SCT", "COMPOSITE")
    text = find_content_item("371524004", "SCT", "TEXT")
    assert reference is not None
    assert text is not None
    assert reference.options == {"retain-uids": Action.K}
    assert text.options == {"clean-descriptors": Action.C}


def test_unexpected_value_type_gets_the_row_that_removes():
    item = find_content_item("121112", "DCM", "TEXT")  # Source of Measurement: IMAGE is D, WAVEFORM X
    assert item is not None
    assert item.basic is Action.X


def test_table_has_the_214_rows_of_edition_2026d():
    table = json.loads((files("beamstop") / "data" / "content_items.json").read_text())
    assert table["edition"] == "2026d"
    assert len(table["rows"]) == 214
    for row in table["rows"]:
        item = find_content_item(row["code"], row["scheme"], row["value_type"])
        assert item is not None
        assert item.meaning == row["meaning"]
