"""What becomes of what an operator of somebody's own raises or returns."""

import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from beamstop import Action, Failed, Operator, Quarantined, deidentify
from beamstop.recipe.load import parse_recipe
from beamstop.rules.operators import CannotCleanError
from beamstop.testing import make_instance

KEY = bytes(range(32))


class Ours(Operator):
    """Raises or returns what stands in the module."""

    action = Action.C

    def __init__(self, what):
        self.what = what

    def apply(self, element, context):
        if self.what == "quarantine":
            raise Quarantined("leak", "StationName")
        if self.what == "cannot":
            raise CannotCleanError
        if self.what in RETURNED:
            return RETURNED[self.what]
        raise RAISED[self.what]


RAISED = {"key": KeyError("Roe"), "value": ValueError("Roe"), "runtime": RuntimeError("Roe")}
RETURNED = {
    "text": "Roe",
    "other": DataElement(0x00081030, "LO", "Roe"),
    "unwritable": DataElement(0x00081010, "US", "Roe"),
    "right": DataElement(0x00081010, "SH", "CT01"),
}


def clean(what, keyword="StationName"):
    path = f"{__name__}.Ours"
    recipe = parse_recipe(f"attributes: {{{keyword}: {{operator: {path}, arguments: {{what: {what}}}}}}}")
    dataset = make_instance(StationName="CT-MAIN", PatientBirthDate="19700101")
    return deidentify(dataset, recipe, KEY).dataset


@pytest.mark.parametrize(
    ("what", "error"),
    [
        ("key", "KeyError"),
        ("value", "ValueError"),
        ("runtime", "RuntimeError"),
        ("text", "TypeError"),
        ("other", "TypeError"),
        ("unwritable", "OSError"),
    ],
)
@pytest.mark.parametrize("keyword", ["StationName", "PatientBirthDate"])
def test_it_is_a_fault_that_names_the_class(what, error, keyword):
    with pytest.raises(Failed) as fault:
        clean(what, keyword)
    if keyword == "PatientBirthDate" and what == "unwritable":
        error = "TypeError"
    assert (fault.value.reason, fault.value.detail) == ("fault", f"{__name__}.Ours: {error}")


def test_a_refusal_stays_what_it_is():
    with pytest.raises(Quarantined, match="leak"):
        clean("quarantine")


def test_what_it_cannot_clean_falls_back():
    assert "StationName" not in clean("cannot")


def test_what_it_returns_is_written():
    assert clean("right").StationName == "CT01"
    assert isinstance(clean("right"), Dataset)
