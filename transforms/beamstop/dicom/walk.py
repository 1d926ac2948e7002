"""The walk over a dataset: every element at every depth, with its place.

Two loops over elements do not use it: the rules engine (`steps.apply_recipe`) replaces elements and visits
only those that it left; `words.identifiers.harvest`, on the header path, decides by its own kinds which
elements to read.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from beamstop.dicom.deadline import check_time
from beamstop.dicom.elements import MALFORMED
from beamstop.dicom.tags import creator_text, private_block_start, tag_name, vr_of


class Place(NamedTuple):
    """Where an element is.

    Attributes:
        dataset: the dataset or item that has it.
        tag: of the element.
        element: as in pydicom's dataset: raw if it was not converted.
        path: tags from the top level to it, item numbers left out.
        label: the same in keywords, item numbers included; tag numbers of private elements.
        around: private creators of the sequences around it; empty if none of them is private.
    """

    dataset: Dataset
    tag: BaseTag
    element: Any
    path: tuple[int, ...]
    label: str
    around: tuple[str | None, ...] = ()

    @property
    def creator(self) -> str | None:
        """The private creator of the element's block; empty if not reserved, None for a standard element."""
        if not self.tag & 0x10000:
            return None
        start = private_block_start(self.tag)
        element = self.dataset._dict.get(BaseTag(start)) if start != self.tag else None
        return "" if element is None else creator_text(element)

    @property
    def vr(self) -> str:
        """How to read the element: as the file says, else as the data dictionary."""
        return vr_of(self.tag, self.element.VR)

    @property
    def depth(self) -> int:
        """How many sequences are around the element."""
        return len(self.path) - 1


def walk(dataset: Dataset, enters: Callable[[Place], bool] = lambda place: True) -> Iterator[Place]:
    """Yield every element in the order of tags, a sequence before what is in it.

    Raw elements stay raw, except sequences that are entered.

    Args:
        dataset: may be changed while it is walked, as long as the elements yet to come stay.
        enters: returns whether the items of a sequence are walked.

    Raises:
        Exception: one of `MALFORMED` for a sequence that cannot be read, unless `enters` is `is_readable`.
    """
    return _walk(dataset, enters, (), "", ())


def _walk(
    dataset: Dataset,
    enters: Callable[[Place], bool],
    path: tuple[int, ...],
    label: str,
    around: tuple[str | None, ...],
) -> Iterator[Place]:
    for tag in sorted(dataset._dict):
        check_time()
        here = Place(dataset, tag, dataset._dict[tag], (*path, int(tag)), label + tag_name(tag), around)
        yield here
        if here.vr == "SQ" and enters(here):
            inside = around
            if around or tag & 0x10000:
                inside = (*(around or (None,) * len(path)), here.creator)
            for number, item in enumerate(dataset[tag].value or ()):
                yield from _walk(item, enters, here.path, f"{here.label}[{number}].", inside)


def is_readable(place: Place) -> bool:
    """Return whether a sequence can be read; as `enters`, if other code refuses unreadable sequences."""
    try:
        value: Any = place.dataset[place.tag].value
        return all(isinstance(item, Dataset) for item in value or ())
    except MALFORMED:
        return False
