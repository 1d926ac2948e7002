"""Areas of a picture known from the header: where a device writes text, where ultrasound shows the scan."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydicom.dataset import Dataset

from beamstop.dicom.elements import BROKEN
from beamstop.rules.bouncers import parse_criterion

# PS3.3 C.8.5.5: what a region shows and how.
_TWO_DIMENSIONAL = 1
_TISSUE_AND_FLOW = (1, 2)
_NEARLY_ALL = 0.95  # of the width and of the height: such a region says nothing about where the scan is


@dataclass(frozen=True, slots=True)
class Area:
    """A rectangle in stored pixels; x and y are the upper left pixel, counted from 0."""

    x: int
    y: int
    width: int
    height: int

    def cut(self, rows: int, columns: int) -> "Area | None":
        """Return the part inside a picture, None where there is none.

        >>> Area(90, -5, 50, 20).cut(rows=100, columns=100), Area(200, 0, 5, 5).cut(100, 100)
        (Area(x=90, y=0, width=10, height=15), None)
        """
        left, top = max(self.x, 0), max(self.y, 0)
        right, bottom = min(self.x + self.width, columns), min(self.y + self.height, rows)
        return Area(left, top, right - left, bottom - top) if right > left and bottom > top else None

    def holds(self, x: int, y: int, width: int, height: int) -> bool:
        """Say whether a box lies wholly inside."""
        return (
            self.x <= x
            and self.y <= y
            and x + width <= self.x + self.width
            and y + height <= self.y + self.height
        )


@dataclass(frozen=True)
class Region:
    """Areas that are filled with black in every frame of the instances that fit a criterion.

    Attributes:
        when: as `bouncers.parse_criterion` reads it.
        areas: in stored pixels; what lies outside the picture is cut.

    Raises:
        RecipeError: the criterion cannot be read.
    """

    when: str
    areas: tuple[Area, ...]

    def __post_init__(self) -> None:
        _criterion(self.when)


def areas_of(dataset: Dataset, regions: Iterable[Region]) -> tuple[Area, ...]:
    """Return the areas of all regions whose criterion an instance fits, each once, as the recipe has them."""
    found = (area for region in regions if _criterion(region.when)(dataset) for area in region.areas)
    return tuple(dict.fromkeys(found))


def scan_areas(dataset: Dataset) -> tuple[Area, ...]:
    """Return where ultrasound shows tissue or flow in two dimensions (PS3.3 C.8.5.5).

    Traces, colour bars and text have regions of other kinds. A region that cannot be read, lies
    beyond the picture, or is nearly all of it, is left out: it says nothing.
    """
    try:
        rows, columns = int(dataset.Rows), int(dataset.Columns)
        items = list(dataset.get("SequenceOfUltrasoundRegions") or ())
    except BROKEN:
        return ()
    return tuple(area for item in items for area in _scan(item, rows, columns))


def _scan(item: Dataset, rows: int, columns: int) -> Iterator[Area]:
    try:
        form, kind = int(item.RegionSpatialFormat), int(item.RegionDataType)
        left, top = int(item.RegionLocationMinX0), int(item.RegionLocationMinY0)
        right, bottom = int(item.RegionLocationMaxX1), int(item.RegionLocationMaxY1)
    except BROKEN:
        return
    area = Area(left, top, right - left + 1, bottom - top + 1)  # both corners belong to it
    is_scan = form == _TWO_DIMENSIONAL and kind in _TISSUE_AND_FLOW
    is_inside = 0 <= left < right < columns and 0 <= top < bottom < rows
    is_everything = area.width >= _NEARLY_ALL * columns and area.height >= _NEARLY_ALL * rows
    if is_scan and is_inside and not is_everything:
        yield area


_criterion: Any = cache(parse_criterion)  # compiled once per process; the text alone decides
