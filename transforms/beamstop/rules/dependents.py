"""Attributes that are allowed only because of another one, and are removed with it (PS3.3's conditions)."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from beamstop.dicom.elements import text_of
from beamstop.dicom.views import view_of
from beamstop.dicom.walk import Place, is_readable, walk
from beamstop.standard.iods import attribute_type

# In the same dataset or item: attribute → others, of which one must have a value.
_DEPENDENTS = {
    "ResponsiblePersonRole": "ResponsiblePerson",
    "ClinicalTrialProtocolEthicsCommitteeName": "ClinicalTrialProtocolEthicsCommitteeApprovalNumber",
    "PatientAlternativeCalendar": (
        "PatientBirthDateInAlternativeCalendar PatientDeathDateInAlternativeCalendar"
    ),
    "LongitudinalTemporalEventType": "LongitudinalTemporalOffsetFromEvent",
}
# At top level: list → sequence that must refer to its instances, too; empty for any sequence.
_LISTS = {
    "ReferencedSeriesSequence": "",
    "StudiesContainingOtherReferencedInstancesSequence": "",
    "ReferencedImageEvidenceSequence": "ReferencedImageSequence",
    "SourceImageEvidenceSequence": "SourceImageSequence",
}
_REFERENCED_SOP_INSTANCE_UID = 0x00081155
_FRAME_INCREMENT_POINTER = 0x00280009  # names the attributes that distinguish frames


def _tags(keywords: str) -> frozenset[int]:
    return frozenset(tag for keyword in keywords.split() if (tag := tag_for_keyword(keyword)) is not None)


@cache
def _dependents() -> dict[int, frozenset[int]]:
    return {tag: _tags(needed) for keyword, needed in _DEPENDENTS.items() for tag in _tags(keyword)}


@cache
def _lists() -> dict[int, frozenset[int]]:
    return {tag: _tags(needed) for keyword, needed in _LISTS.items() for tag in _tags(keyword)}


def upheld(dataset: Dataset) -> list[int]:
    """Return the tags in a dataset or item that are allowed only because of another attribute in it."""
    found = (_dependents().keys() | {_FRAME_INCREMENT_POINTER}) & dataset._dict.keys()
    return sorted(int(tag) for tag in found if is_upheld(dataset, tag))


def is_upheld(dataset: Dataset, tag: int) -> bool:
    """Return whether one of the attributes on which an attribute depends has a value."""
    if tag == _FRAME_INCREMENT_POINTER:
        named = _named(dataset)
        return bool(named) and all(it in dataset._dict for it in named)
    return any(_has_value(dataset, needed) for needed in _dependents()[tag])


def _named(dataset: Dataset) -> list[int]:
    """Return the tags in an instance's Frame Increment Pointer."""
    value = view_of(dataset)[_FRAME_INCREMENT_POINTER].value
    return [int(it) for it in (value if isinstance(value, MultiValue | list) else [value]) if it is not None]


def filled_lists(dataset: Dataset, sop_class: str) -> list[int]:
    """Return the tags of lists with an instance to which another sequence refers.

    Lists that the IOD requires are left out: these are the reference themselves.
    """
    lists = _lists().keys() & dataset._dict.keys()
    candidates = [int(tag) for tag in lists if attribute_type(sop_class, (int(tag),)) == "1C"]
    return sorted(_referred_to(dataset, candidates)) if candidates else []


def emptied_lists(dataset: Dataset, lists: list[int]) -> list[int]:
    """Return the lists among some whose instances are no longer referenced elsewhere."""
    there = [tag for tag in lists if tag in dataset._dict]
    return sorted(set(there) - _referred_to(dataset, there)) if there else []


def _referred_to(dataset: Dataset, lists: list[int]) -> set[int]:
    """Return the lists among some with an instance to which another sequence refers, too."""
    references = list(_references(dataset, lambda place: place.tag not in _lists()))
    found = set()
    for tag in lists:
        needed = _lists()[tag]
        elsewhere = {uid for path, uid in references if not needed or not needed.isdisjoint(path)}
        listed = {uid for _, uid in _references(dataset, lambda place, at=tag: place.path[0] == at)}  # type: ignore[misc]
        if not elsewhere.isdisjoint(listed):
            found.add(tag)
    return found


def _references(dataset: Dataset, enters: Callable[[Place], bool]) -> Iterator[tuple[tuple[int, ...], str]]:
    """Yield path and UID of each reference in the sequences that are entered."""
    for place in walk(dataset, lambda place: enters(place) and is_readable(place)):
        if place.tag == _REFERENCED_SOP_INSTANCE_UID and place.depth:
            yield place.path, text_of(place.dataset, place.tag)


def _has_value(dataset: Dataset, tag: int) -> bool:
    element: Any = dataset._dict.get(tag)  # type: ignore[call-overload]
    if element is None:
        return False
    return bool(element.value and element.value.strip(b" \0")) if element.is_raw else not element.is_empty
