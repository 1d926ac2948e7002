"""A file's declarations of its private blocks: Private Data Element Characteristics Sequence (0008,0300)."""

from collections.abc import Iterator
from typing import Any

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag

from beamstop.dicom.elements import MALFORMED
from beamstop.dicom.tags import is_private_creator
from beamstop.dicom.views import view_of
from beamstop.dicom.walk import is_readable, walk

CHARACTERISTICS = 0x00080300
Block = tuple[int, str]  # group and private creator
# Block → its elements that are declared safe; None for all of them.
Declared = frozenset[tuple[Block, frozenset[int] | None]]


def declared_blocks(dataset: Dataset) -> Declared:
    """Return an instance's declarations of its private blocks; none if the sequence cannot be read.

    A status that the standard does not define counts as UNSAFE; of two items about one block, the stricter
    applies.
    """
    found: dict[Block, frozenset[int] | None] = {}
    for item in _items(dataset):
        try:
            block, safe = _block(item), _safe_elements(item)
        except MALFORMED:
            continue  # the walk over its items fails, too
        before = found.get(block, safe)
        found[block] = safe if before is None else before if safe is None else before & safe
    return frozenset(found.items())


def blocks_in(dataset: Dataset) -> set[Block]:
    """Return every private block that a dataset has, at any depth."""
    return {
        (place.tag >> 16, place.creator.strip())
        for place in walk(dataset, is_readable)
        if place.creator and not is_private_creator(place.tag)
    }


def is_about(item: Dataset, blocks: set[Block]) -> bool:
    """Return whether an item of the sequence is about one of some blocks."""
    return _block(item) in blocks


def _items(dataset: Dataset) -> Iterator[Dataset]:
    if BaseTag(CHARACTERISTICS) not in dataset._dict:
        return
    try:
        items: Any = view_of(dataset)[CHARACTERISTICS].value
    except MALFORMED:
        return
    yield from (item for item in items or () if isinstance(item, Dataset))


def _block(item: Dataset) -> Block:
    view = view_of(item)
    group: Any = view.get("PrivateGroupReference")
    return int(group) if group is not None else 0, str(view.get("PrivateCreatorReference") or "").strip()


def _safe_elements(item: Dataset) -> frozenset[int] | None:
    view = view_of(item)
    status = str(view.get("BlockIdentifyingInformationStatus") or "").strip()
    if status == "SAFE":
        return None
    listed: Any = view.get("NonidentifyingPrivateElements") if status == "MIXED" else None
    values = listed if isinstance(listed, MultiValue | list) else [] if listed is None else [listed]
    return frozenset(int(value) & 0xFF for value in values)
