import json
from importlib.resources import files

import pytest

from beamstop.standard.safe_private import safe_vr


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
