"""Which devices a record names, and what it says of them."""

from typing import Any

import pytest
from pydicom.dataset import Dataset

from beamstop_transforms.devices import MOST, Device, Seen, added, as_recorded, commonest, device_of


def named(manufacturer: Any, model: Any = None) -> Device:
    dataset = Dataset()
    dataset.Manufacturer, dataset.ManufacturerModelName = manufacturer, model
    return device_of(dataset)


@pytest.mark.parametrize(
    ("manufacturer", "model"),
    [
        ("GE MEDICAL SYSTEMS", "LOGIQ E9"),
        ("Acme Imaging, Inc.", "Sono 7"),
        ("SIEMENS", "SOMATOM Definition AS+"),
        ("Philips Medical Systems", "iE33"),
        ("Hologic, Inc.", "Selenia Dimensions"),
        ("東芝", "Aplio500"),
    ],
)
def test_a_device_is_called_as_the_clean_file_calls_it(manufacturer: str, model: str) -> None:
    assert named(manufacturer, model) == (manufacturer, model)


def test_white_space_does_not_make_another_device() -> None:
    assert named(" Acme   Imaging ", "Sono\t7") == ("Acme Imaging", "Sono 7")


@pytest.mark.parametrize(
    "typed",
    [
        "Wright^Oliver",
        "Wright, Oliver",
        "Dr. Wright",
        "born 1961-03-17",
        "patient name 7",
        "Sono 12345678",
        "x" * 65,
        "Sono\x01",
        ["Acme", "Sono"],
        None,
        "",
    ],
)
def test_what_could_be_a_person_is_not_told(typed: Any) -> None:
    assert named(typed, "Sono 7") == ("", "Sono 7")


def test_parts_of_a_run_add_up_in_any_order() -> None:
    parts = [Seen(1, 1, 3, 0, "2.25.9"), Seen(2, 0, 0, 1, "2.25.3")]
    assert added(parts) == added(reversed(parts)) == (3, 1, 3, 1, "2.25.3")


def test_beyond_the_commonest_devices_are_added_up_without_a_name() -> None:
    seen = {Device("Acme", f"Sono {n}"): Seen(n, 1, n, 0, f"2.25.{n}") for n in range(1, MOST + 3)}
    every = {Device("", ""): Seen(5, 0, 0, 0, "2.25.0"), **seen}
    at_once = commonest([every])
    assert list(at_once)[:2] == [("Acme", f"Sono {MOST + 2}"), ("Acme", f"Sono {MOST + 1}")]
    assert as_recorded(at_once)[MOST:] == [
        {
            "manufacturer": None,
            "model": None,
            "written": 8,
            "with_text": 2,
            "text_boxes_hidden": 3,
            "text_boxes_kept": 0,
            "example": "2.25.0",
        }
    ]
    by_and_by: dict[Device, Seen] = {}
    for one in every.items():
        by_and_by = commonest([dict([one]), by_and_by])
    assert by_and_by == at_once


def test_nothing_written_names_no_device() -> None:
    assert commonest([]) == {}
