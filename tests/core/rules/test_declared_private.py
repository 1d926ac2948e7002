"""What a file says of its private blocks is obeyed where it says that they tell somebody."""

from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from tests.conftest import MakeDataset

from beamstop import deidentify
from beamstop.recipe.load import parse_recipe
from beamstop.recipe.model import Recipe
from beamstop.verify import verify_pair

PHILIPS = "Philips Imaging DD 001"  # Table E.3.10-1 has its (2001,xx03), a b-value
LISTED = parse_recipe("profile: basic\noptions: [retain-safe-private]")
DECLARED = parse_recipe("profile: basic\noptions: [retain-safe-private]\nsafe_private: declared")
BASIC = parse_recipe("profile: basic")
B_VALUE, UNLISTED, THEIRS = 0x20011003, 0x2001108D, 0x00291010


def characteristics(group: int, creator: str, status: str | None, *elements: int) -> Dataset:
    item = Dataset()
    item.PrivateGroupReference, item.PrivateCreatorReference = group, creator
    if status is not None:
        item.BlockIdentifyingInformationStatus = status
    if elements:
        item.NonidentifyingPrivateElements = list(elements)
    return item


@pytest.fixture
def clean(make_dataset: MakeDataset, key: bytes) -> Any:
    """Return a function that de-identifies an instance with two private blocks, and what it says of them."""

    def _clean(recipe: Recipe, *items: Dataset) -> Dataset:
        dataset = make_dataset()
        block = dataset.private_block(0x2001, PHILIPS, create=True)
        block.add_new(0x03, "FL", 800.0)
        block.add_new(0x8D, "DS", "1.5")
        dataset.private_block(0x0029, "ACME", create=True).add_new(0x10, "DS", "2.5")
        if items:
            dataset.PrivateDataElementCharacteristicsSequence = Sequence(items)
        return deidentify(dataset, recipe, key).dataset

    return _clean


def kept(dataset: Dataset) -> set[int]:
    return {int(tag) for tag in dataset._dict if tag & 0x10000 and tag & 0xFF00}


def said(dataset: Dataset) -> list[str]:
    return [it.PrivateCreatorReference for it in dataset.get("PrivateDataElementCharacteristicsSequence", ())]


def test_what_a_file_does_not_call_safe_goes_though_a_list_has_it(clean: Any) -> None:
    assert kept(clean(LISTED)) == {B_VALUE}
    assert kept(clean(LISTED, characteristics(0x2001, PHILIPS, "UNSAFE"))) == set()
    assert kept(clean(LISTED, characteristics(0x2001, PHILIPS, "MIXED", 0x8D))) == set()
    assert kept(clean(LISTED, characteristics(0x2001, PHILIPS, None))) == set()
    assert kept(clean(LISTED, characteristics(0x2001, PHILIPS, "MIXED", 0x03, 0x8D))) == {B_VALUE}
    assert kept(clean(LISTED, characteristics(0x2001, PHILIPS, "SAFE"))) == {B_VALUE}
    both = [characteristics(0x2001, PHILIPS, "SAFE"), characteristics(0x2001, PHILIPS, "UNSAFE")]
    assert kept(clean(LISTED, *both)) == set()


def test_what_a_file_calls_safe_stays_only_where_the_recipe_trusts_it(clean: Any) -> None:
    items = [characteristics(0x2001, PHILIPS, "SAFE"), characteristics(0x0029, "ACME", "MIXED", 0x10)]
    assert kept(clean(LISTED, *items)) == {B_VALUE}
    assert kept(clean(DECLARED, *items)) == {B_VALUE, UNLISTED, THEIRS}
    assert kept(clean(DECLARED)) == {B_VALUE}
    assert kept(clean(BASIC, *items)) == set()


def test_a_rule_of_the_recipe_on_the_very_block_comes_first(clean: Any) -> None:
    own = parse_recipe(
        f"profile: basic\noptions: [retain-safe-private]\nattributes: {{'2001,[{PHILIPS}]03': K}}"
    )
    assert kept(clean(own, characteristics(0x2001, PHILIPS, "UNSAFE"))) == {B_VALUE}


def test_the_sequence_says_nothing_of_blocks_that_went(clean: Any) -> None:
    items = [characteristics(0x2001, PHILIPS, "SAFE"), characteristics(0x0029, "ACME", "SAFE")]
    assert said(clean(LISTED, *items)) == [PHILIPS]
    assert said(clean(DECLARED, *items)) == [PHILIPS, "ACME"]
    for recipe in (BASIC, LISTED):
        gone = clean(recipe, characteristics(0x0029, "ACME", "SAFE"))
        assert "PrivateDataElementCharacteristicsSequence" not in gone


def test_a_clean_file_that_obeys_its_declarations_verifies(
    make_dataset: MakeDataset, key: bytes, tmp_path: Any
) -> None:
    dataset = make_dataset()
    dataset.private_block(0x2001, PHILIPS, create=True).add_new(0x03, "FL", 800.0)
    dataset.private_block(0x0029, "ACME", create=True).add_new(0x10, "DS", "2.5")
    items = [characteristics(0x2001, PHILIPS, "UNSAFE"), characteristics(0x0029, "ACME", "SAFE")]
    dataset.PrivateDataElementCharacteristicsSequence = Sequence(items)
    for name, recipe in (("a", LISTED), ("b", DECLARED)):
        dataset.save_as(tmp_path / name, enforce_file_format=True)
        deidentify(dataset, recipe, key).dataset.save_as(tmp_path / f"{name}.clean")
        original, clean = ((tmp_path / it).read_bytes() for it in (name, f"{name}.clean"))
        assert verify_pair(original, clean, recipe, recipe.identity(key)).findings == ()
