"""Boxes known from the header: regions in which a device writes text, and regions of an ultrasound scan."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydicom.dataset import Dataset

from beamstop.dicom.elements import MALFORMED
from beamstop.pixels.box import Box
from beamstop.rules.criteria import parse_criterion

# PS3.3 C.8.5.5: what a region shows and how.
_TWO_DIMENSIONAL = 1
_TISSUE_AND_FLOW = (1, 2)
_NEARLY_ALL = 0.95  # of the width and of the height: such a region says nothing about where the scan is


@dataclass(frozen=True)
class Region:
    """Boxes that are blanked in every frame of the instances that meet a criterion.

    Attributes:
        when: as `criteria.parse_criterion` reads it; None for every instance.
        boxes: in stored pixels; they are cut to the picture.

    Raises:
        RecipeError: the criterion cannot be read.
    """

    when: str | None
    boxes: tuple[Box, ...]

    def __post_init__(self) -> None:
        if self.when is not None:
            _criterion(self.when)


def boxes_of(dataset: Dataset, regions: Iterable[Region]) -> tuple[Box, ...]:
    """Return the boxes of all regions whose criterion an instance meets, each once, in the recipe's form."""
    fitting = (it for it in regions if it.when is None or _criterion(it.when)(dataset))
    found = (box for region in fitting for box in region.boxes)
    return tuple(dict.fromkeys(found))


def scan_boxes(dataset: Dataset) -> tuple[Box, ...]:
    """Return the boxes in which ultrasound shows tissue or flow in two dimensions (PS3.3 C.8.5.5).

    Traces, colour bars and text have regions of other kinds. A region that cannot be read, lies
    beyond the picture, or is nearly all of it, says nothing and is left out.
    """
    try:
        rows, columns = int(dataset.Rows), int(dataset.Columns)
        items = list(dataset.get("SequenceOfUltrasoundRegions") or ())
    except MALFORMED:
        return ()
    return tuple(box for item in items for box in _scan(item, rows, columns))


def _scan(item: Dataset, rows: int, columns: int) -> Iterator[Box]:
    try:
        form, kind = int(item.RegionSpatialFormat), int(item.RegionDataType)
        left, top = int(item.RegionLocationMinX0), int(item.RegionLocationMinY0)
        right, bottom = int(item.RegionLocationMaxX1), int(item.RegionLocationMaxY1)
    except MALFORMED:
        return
    box = Box(left, top, right - left + 1, bottom - top + 1)  # both corners belong to it
    is_scan = form == _TWO_DIMENSIONAL and kind in _TISSUE_AND_FLOW
    is_inside = 0 <= left < right < columns and 0 <= top < bottom < rows
    is_everything = box.width >= _NEARLY_ALL * columns and box.height >= _NEARLY_ALL * rows
    if is_scan and is_inside and not is_everything:
        yield box


_criterion: Any = cache(parse_criterion)  # compiled once per process; the text alone decides
