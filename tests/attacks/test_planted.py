"""Identifiers planted in fifty places of one object: none is left in a file that is written."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from pydicom.dataset import FileDataset
from tests.attacks.planted import GIVEN, NAME, NUMBER, PLACES, UID, ct, file_of, left_in

from beamstop import deidentify_bytes
from beamstop.errors import Quarantined
from beamstop.recipe.load import load_recipe
from beamstop.text.boxes import TextBox

MakeDataset = Callable[..., FileDataset]
NAMES = ("default", "basic", "research", "strict", "hipaa-safe-harbor", "tcia", "mammography-kskit")
RECIPES = {name: load_recipe(name) for name in NAMES}


class NoText:
    """Finds nothing: there are no pictures here."""

    fingerprint = "none"

    def find(self, picture: Any) -> list[TextBox]:
        return []

    def read(self, picture: Any, boxes: list[TextBox]) -> list[TextBox]:
        return boxes


def no_text(languages: tuple[str, ...]) -> NoText:
    return NoText()


def outcome(data: bytes, recipe: str, key: bytes) -> tuple[str, set[str]]:
    """Return `written` or why not, and what is left."""
    try:
        clean = deidentify_bytes(data, RECIPES[recipe], key, no_text)
    except Quarantined as refused:
        return refused.reason, set()
    return "written", left_in(clean)


def test_there_are_places_enough_and_each_is_found(make_dataset: MakeDataset) -> None:
    """Else the tests here would prove nothing. The most that peers were measured with is 46."""
    assert len(PLACES) >= 46
    bare = make_dataset(PatientName="A", PatientID="B", StudyInstanceUID="1.2")
    assert left_in(file_of(bare)) == set()
    for place, plant in PLACES.items():
        dataset = make_dataset(PatientName="A", PatientID="B", StudyInstanceUID="1.2")
        plant(dataset)
        assert left_in(file_of(dataset)), place
    assert left_in(file_of(ct(make_dataset))) == {NAME, GIVEN, NUMBER, UID}


@pytest.mark.parametrize("recipe", RECIPES)
def test_no_place_keeps_an_identifier(make_dataset: MakeDataset, recipe: str, key: bytes) -> None:
    """Each place by itself, so that none is saved by another's being found."""
    outcomes: Counter[str] = Counter()
    for place, plant in PLACES.items():
        dataset = ct(make_dataset)
        plant(dataset)
        how, left = outcome(file_of(dataset), recipe, key)
        assert left == set(), place
        outcomes[how] += 1
    assert set(outcomes) <= {"written", "leak", "pixels_undecodable"}  # a plane that nothing describes
    assert outcomes["written"] > len(PLACES) / 2


@pytest.mark.parametrize("recipe", RECIPES)
def test_all_places_at_once(make_dataset: MakeDataset, recipe: str, key: bytes) -> None:
    dataset = ct(make_dataset)
    for plant in PLACES.values():
        plant(dataset)
    assert outcome(file_of(dataset), recipe, key)[1] == set()
