import json
from importlib.resources import files

import pytest
from pydicom.datadict import private_dictionary_VR

from beamstop.standard.safe_private import known_private, safe_vr


def test_listed_element_has_its_vr_in_any_block():
    assert safe_vr("Philips Imaging DD 001", 0x2001, 0x1003) == "FL"
    assert safe_vr("Philips Imaging DD 001", 0x2001, 0xFF03) == "FL"
    assert safe_vr("ELSCINT1", 0x00E1, 0x1021) == "DS"


def test_padding_of_the_creator_does_not_matter():
    assert safe_vr("ELSCINT1  ", 0x00E1, 0x1021) == "DS"


@pytest.mark.parametrize(
    ("creator", "group", "element"),
    [
        ("ELSCINT1", 0x00E3, 0x1021),  # another group
        ("ELSCINT1", 0x00E1, 0x1022),  # another element
        ("elscint1", 0x00E1, 0x1021),  # another creator
        ("ELSCINT2", 0x00E1, 0x1021),
        ("", 0x00E1, 0x1021),
    ],
)
def test_anything_else_is_not_safe(creator, group, element):
    assert safe_vr(creator, group, element) is None


def test_element_without_a_vr_in_the_table_is_safe_but_unknown():
    assert safe_vr("SIEMENS Ultrasound SC2000", 0x0119, 0x1011) == "UN"


def test_table_has_the_479_rows_of_edition_2026a():
    table = json.loads((files("beamstop") / "data" / "safe_private.json").read_text())
    assert table["edition"] == "2026a"
    assert sum(len(elements) for elements in table["creators"].values()) == 479
    assert all(int(key[:4], 16) % 2 == 1 for elements in table["creators"].values() for key in elements)


def test_elements_known_for_their_physics_are_safe_too():
    assert safe_vr("GEMS_ACQU_01", 0x0019, 0x10BB) == "DS"
    assert safe_vr("SIEMENS MR HEADER", 0x0019, 0x1029) == "FD"
    assert safe_vr("GEMS_PETD_01", 0x0009, 0x103F) == "FL"


def test_every_known_element_has_a_reason_and_no_vr_of_names_dates_or_blobs():
    reasons = {"parameter", "geometry", "physics", "scale", "relative", "term", "items"}
    assert {known.reason for known in known_private()} == reasons
    vrs = {"CS", "DS", "FD", "FL", "IS", "LO", "SH", "SL", "SQ", "SS", "US"}
    assert {known.vr for known in known_private()} <= vrs
    assert all(known.meaning and known.group % 2 for known in known_private())
    assert len({known[:3] for known in known_private()}) == len(known_private())


def test_known_elements_are_no_second_entry_of_the_standards_table():
    table = json.loads((files("beamstop") / "data" / "safe_private.json").read_text())["creators"]
    listed = {
        (creator, int(key[:4], 16), int(key[5:], 16)) for creator, keys in table.items() for key in keys
    }
    assert listed.isdisjoint(known[:3] for known in known_private())


def test_known_elements_have_the_vr_of_pydicoms_dictionary():
    """Where it has one."""
    odd = []
    for known in known_private():
        try:
            vr = private_dictionary_VR(known.group << 16 | 0x1000 | known.element, known.creator)
        except KeyError:
            continue
        if vr not in {known.vr, "UN"}:
            odd.append(known)
    assert odd == []
