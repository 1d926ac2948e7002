"""A recipient who knows facts of the world looks for the patient's shift in a clean file."""

from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.datadict import DicomDictionary, keyword_for_tag
from pydicom.dataset import FileDataset

from beamstop import deidentify, load_recipe
from beamstop.errors import Refusal
from beamstop.rules.profile import DATES_OF_DEVICES, DATES_OF_THE_WORLD
from beamstop.testing import as_bytes, load_no_text_detector

RECIPE = load_recipe("research")
MakeDataset = Callable[..., FileDataset]
EVENT = "20110311"  # that everybody knows


def cleaned(dataset: FileDataset, key: bytes) -> Any:
    read = dcmread(BytesIO(as_bytes(dataset)))
    return deidentify(read, RECIPE, key, load_no_text_detector).dataset


@pytest.mark.parametrize("keyword", DATES_OF_THE_WORLD)
def test_what_is_printed_in_the_standard_stays(make_dataset: MakeDataset, key: bytes, keyword: str) -> None:
    assert cleaned(make_dataset(**{keyword: "20020904"}), key)[keyword].value == "20020904"


@pytest.mark.parametrize("keyword", DATES_OF_DEVICES)
def test_dates_of_devices_and_of_trials_do_not_move(
    make_dataset: MakeDataset, key: bytes, keyword: str
) -> None:
    value = "101530" if "Time" in keyword and "DateTime" not in keyword else EVENT
    before = make_dataset(**{keyword: value})
    shift = RECIPE.identity(key).shift_days(before)
    assert shift
    assert str(cleaned(before, key).get(keyword) or "")[:8] in ("", "19000101", "000000")


@pytest.mark.parametrize(
    "text",
    ["after the event of 11 Mar 2011", "since 2011-03-11", "11.03.2011: first seen", "03/2011", "Mar 2011"],
)
def test_a_date_in_a_text_that_is_none_of_its_own_is_cut_out(
    make_dataset: MakeDataset, key: bytes, text: str
) -> None:
    clean = cleaned(make_dataset(StudyDescription=text, SeriesDescription=f"MR {text}"), key)
    for said in (clean.get("StudyDescription") or "", clean.get("SeriesDescription") or ""):
        assert not any(map(str.isdigit, said))


def test_a_date_in_a_text_that_is_its_own_moves(make_dataset: MakeDataset, key: bytes) -> None:
    clean = cleaned(make_dataset(StudyDate="20240229", StudyDescription="Control of 2024-02-29"), key)
    moved = clean.StudyDate
    assert clean.StudyDescription == f"Control of {moved[:4]}-{moved[4:6]}-{moved[6:]}"


TEXT_VRS = ("LO", "SH", "ST", "LT", "UT", "CS", "IS", "DS", "TM")


def test_no_attribute_alone_tells_the_shift_of_a_date_that_everybody_knows(
    make_dataset: MakeDataset, key: bytes
) -> None:
    """Put one known date into every attribute that can hold it, one at a time: it never comes out moved.

    Dates of the patient (DA, DT) do, which is what the option is for; they are not known to everybody.
    """
    told = []
    days = RECIPE.identity(key).shift_days(make_dataset())
    for tag, (vr, *_) in DicomDictionary.items():
        keyword = keyword_for_tag(tag)
        if vr not in TEXT_VRS or not keyword or tag >> 16 in (0, 2, 4, 0x28):
            continue
        try:
            clean = cleaned(make_dataset(**{keyword: EVENT}), key)
        except (Refusal, ValueError, TypeError):
            continue
        value = str(clean.get(keyword) or "")
        if value not in ("", EVENT) and value.isdigit() and len(value) == 8:
            told.append((keyword, value))
    assert days
    assert told == []
