"""Whoever reads a view leaves the dataset as it was read."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from beamstop.dicom.elements import text_of
from beamstop.dicom.files import read_dicom
from beamstop.dicom.views import view_of
from beamstop.dicom.walk import walk
from beamstop.testing import as_bytes, make_image

TEXT = "Schädel"


def with_items(undefined_length: bool = False) -> Dataset:
    """Return an instance as it is read, with text in items and a private block."""
    inner, item = Dataset(), Dataset()
    inner.ScheduledProcedureStepDescription = TEXT
    item.RequestedProcedureDescription = TEXT
    item.ScheduledProtocolCodeSequence = [inner]
    dataset = make_image(np.zeros((4, 4), np.uint8), SpecificCharacterSet="ISO_IR 100", PatientID=TEXT)
    dataset.RequestAttributesSequence = [item]
    dataset["RequestAttributesSequence"].is_undefined_length = undefined_length
    block = dataset.private_block(0x0009, "MÜLLER 1.0", create=True)
    block.add_new(0x01, "LO", TEXT)
    block.add_new(0x02, "SQ", [item])
    return read_dicom(as_bytes(dataset))


def state_of(dataset: Dataset) -> list[tuple[int, bool, Any]]:
    """Return every element that is there, in items that have been read as well, and whether it is raw."""
    found = []
    for tag, element in sorted(dataset._dict.items()):
        converted: Any = element
        is_read = not element.is_raw and element.VR == "SQ"
        found.append((int(tag), element.is_raw, None if is_read else element.value))
        for item in converted.value if is_read else ():
            found += state_of(item)
    return found


READERS: dict[str, Callable[[Dataset], object]] = {
    "all of it": str,
    "each element": lambda view: [element.value for element in view.iterall()],
    "by keyword": lambda view: view.RequestAttributesSequence[0].ScheduledProtocolCodeSequence[0],
    "text in items": lambda view: str(view.get("RequestAttributesSequence")),
    "a group": lambda view: str(view.group_dataset(0x0040)),
    "a private block": lambda view: str(view.private_block(0x0009, "MÜLLER 1.0")[0x02].value),
    "pixels": lambda view: view.pixel_array,
    "a walk": lambda view: view.walk(lambda _, element: element.value),
}


@pytest.mark.parametrize("undefined_length", [False, True])
@pytest.mark.parametrize("how", READERS)
def test_what_is_read_through_a_view_stays_raw(how: str, undefined_length: bool) -> None:
    dataset = with_items(undefined_length)
    before = state_of(dataset)
    READERS[how](view_of(dataset))
    assert state_of(dataset) == before


def test_a_view_says_what_the_dataset_says_and_what_is_set_in_it() -> None:
    dataset = with_items()
    view = view_of(dataset)
    view.BurnedInAnnotation = "NO"
    assert "BurnedInAnnotation" not in dataset
    assert view.file_meta.TransferSyntaxUID == dataset.file_meta.TransferSyntaxUID
    assert view.PatientID == TEXT
    assert view.RequestAttributesSequence[0].RequestedProcedureDescription == TEXT


def test_text_with_letters_that_is_asked_for_stays_raw() -> None:
    dataset = with_items()
    assert text_of(dataset, 0x00100020) == TEXT
    assert dataset._dict[0x00100020].is_raw  # type: ignore[index]


def test_the_creator_of_a_private_element_stays_raw() -> None:
    dataset = with_items()
    creators = {place.creator for place in walk(dataset, lambda place: False) if place.tag & 0xFFFF == 0x1001}
    assert creators == {"MÜLLER 1.0"}
    assert dataset._dict[0x00090010].is_raw  # type: ignore[index]
