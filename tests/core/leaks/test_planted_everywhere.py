"""A name planted into every attribute that can hold one, at the top and inside a sequence."""

import pytest
from pydicom._dicom_dict import DicomDictionary
from pydicom.dataset import Dataset
from tests.core.test_invariants import GIVEN, KEY, NAME, instance

from beamstop.recipe.load import load_recipe
from beamstop.standard.actions import Action
from beamstop.steps.apply_recipe import apply_recipe

PLANTS = {
    "AE": NAME,
    "CS": NAME.upper(),
    "LO": f"liver {NAME} segment",
    "LT": f"liver {NAME} segment",
    "PN": f"{NAME}^{GIVEN}",
    "SH": f"x {NAME}",
    "ST": f"liver {NAME} segment",
    "UC": f"liver {NAME} segment",
    "UR": f"https://pacs.example.org/{NAME}",
    "UT": f"liver {NAME} segment",
}
# Codes and what names their scheme: an instance with a name there is held back by CheckLeaks.
CODES = {
    *("CodeValue", "LongCodeValue", "URNCodeValue", "RecognitionCode", "CodingSchemeDesignator"),
    *("CodingSchemeVersion", "CodingSchemeURL", "ContextIdentifier", "MappingResource"),
}
KEPT_BY_OPTION = {"PatientSex", "PatientSexNeutered", "SmokingStatus", "EthnicGroup"}
NOT_PLANTED = {"", "SpecificCharacterSet"}  # it would say how to read the others
FIRST_GROUP = 0x0008


def everything() -> Dataset:
    dataset = Dataset()
    for tag, (vr, _, _, _, keyword) in DicomDictionary.items():
        if keyword not in NOT_PLANTED and vr in PLANTS and tag >> 16 >= FIRST_GROUP:
            dataset.add_new(tag, vr, PLANTS[vr])
    return dataset


def survivors(dataset: Dataset) -> set[str]:
    leaves = (element for element in dataset.iterall() if element.VR != "SQ")
    return {element.keyword for element in leaves if NAME.lower() in str(element.value).lower()}


def kept_by_hand() -> set[str]:
    """Return what `strict` keeps by name: codes, and makers' terms that nobody types in."""
    return {keyword for keyword, action in load_recipe("strict").attributes.items() if action is Action.K}


@pytest.mark.parametrize(
    ("name", "excused"), [("research", CODES | KEPT_BY_OPTION), ("strict", kept_by_hand())]
)
def test_a_name_survives_in_no_attribute_but_those_kept(name: str, excused: set[str]) -> None:
    dataset = instance(SharedFunctionalGroupsSequence=[everything()])
    for element in everything():
        dataset.setdefault(element.tag, element)
    recipe = load_recipe(name)
    apply_recipe(dataset, recipe, recipe.identity(KEY))
    assert survivors(dataset) <= excused
