"""Devices: which devices a run's record names, by the clean files."""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from pydicom.dataset import Dataset

from beamstop.audit import Row
from beamstop.text.burned_words import OwnWords, why_identifying
from beamstop.words.identifiers import harvest

MOST = 200  # devices that a record names
_LONGEST = 64  # characters, as for VR LO
# "Acme Imaging, Inc." is not a person's name with a comma.
_COMPANY = re.compile(r",?\s+(?:inc|ltd|llc|co|corp|gmbh|ag)\b\.?", re.IGNORECASE)


class Device(NamedTuple):
    """Manufacturer and model in clean files; empty if absent, or if the text could name a person."""

    manufacturer: str
    model: str


class Seen(NamedTuple):
    """Counts for one device, and the clean UID of one of its instances."""

    written: int
    with_text: int
    hidden: int
    kept: int
    example: str


_NAMELESS = Device("", "")


def device_of(dataset: Dataset) -> Device:
    """Return the device that a clean instance names.

    It may be free text: CheckLeaks has searched it for this instance's identifiers, and anything that looks
    like a person's name, a date or a long number is left out as well.
    """
    return Device(_told(dataset, "Manufacturer"), _told(dataset, "ManufacturerModelName"))


def _told(dataset: Dataset, keyword: str) -> str:
    value = dataset.get(keyword)
    text = " ".join(value.split()) if isinstance(value, str) else ""
    return text if _could_be_nobody(text) else ""


@lru_cache(maxsize=1_000)  # an archive has few devices, and many instances of each
def _could_be_nobody(text: str) -> bool:
    nobody = OwnWords(harvest(Dataset(), lambda path: False))
    fits = len(text) <= _LONGEST and text.isprintable()
    return fits and why_identifying(_COMPANY.sub("", text), nobody) is None


def seen_by_device(rows: Iterable[Row]) -> dict[Device, Seen]:
    """Count complete rows by device: written rows, by their mark `device`."""
    found: dict[Device, Seen] = {}
    for row in rows:
        if row["device"] is not None:
            hidden, kept = row["text_boxes_hidden"] or 0, row["text_boxes_kept"] or 0
            one = Seen(1, int(hidden > 0), hidden, kept, row["sop_instance_uid"])
            device = Device(*row["device"])
            found[device] = added([one, *([found[device]] if device in found else [])])
    return found


def added(parts: Iterable[Seen]) -> Seen:
    """Return the sum of what parts of a run saw of one device, in any order."""
    written, with_text, hidden, kept, examples = zip(*parts, strict=True)
    return Seen(sum(written), sum(with_text), sum(hidden), sum(kept), min(examples))


def commonest(parts: Iterable[Mapping[Device, Seen]]) -> dict[Device, Seen]:
    """Return the commonest devices of some parts, which have no device in common; others are nameless."""
    every = [item for part in parts for item in part.items()]
    named = sorted((item for item in every if item[0] != _NAMELESS), key=lambda it: (-it[1].written, it[0]))
    rest = [seen for _, seen in (*named[MOST:], *(item for item in every if item[0] == _NAMELESS))]
    return dict(named[:MOST]) | ({_NAMELESS: added(rest)} if rest else {})


def as_recorded(devices: Mapping[Device, Seen]) -> list[dict[str, Any]]:
    """Return devices in the form of a run's record."""
    return [
        {
            "manufacturer": device.manufacturer or None,
            "model": device.model or None,
            "written": seen.written,
            "with_text": seen.with_text,
            "text_boxes_hidden": seen.hidden,
            "text_boxes_kept": seen.kept,
            "example": seen.example,
        }
        for device, seen in devices.items()
    ]
