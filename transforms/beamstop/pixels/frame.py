"""One decoded frame, and the base class of an instance's frames."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from beamstop.pixels.box import Box
from beamstop.pixels.layout import PIXEL_TAGS, Layout
from beamstop.pixels.pixel_value_range import PixelValueRange
from beamstop.pixels.renditions import Mask, Picture, Plane, black, noise_unit, pictures, planes

Cells = NDArray[Any]


@dataclass
class Frame:
    """One decoded frame.

    Attributes:
        cells: (rows, columns) or (rows, columns, 3); of the layout's dtype, with the bits that are
            not part of the stored value still in them.
        layout: of the instance.
        photometric: of the cells, which decoding may have changed (YBR_RCT gives RGB).
        dataset: of the instance, for padding value and palette.
        unit: rows and columns that can only be blanked together, counted from the upper left corner.
        boxes: the boxes that were blanked.
        cleared: whether unused bits were cleared.
    """

    cells: Cells
    layout: Layout
    photometric: str
    dataset: Dataset
    unit: tuple[int, int] = (1, 1)
    boxes: list[Box] = field(default_factory=list)
    cleared: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.layout.rows, self.layout.columns

    def values(self) -> Cells:
        """Return the stored values, without the unused bits of their cells."""
        layout = self.layout
        if layout.floating or layout.bits_stored == layout.itemsize * 8:
            return self.cells
        above = layout.itemsize * 8 - 1 - layout.high_bit
        return (self.cells << above) >> (above + layout.shift)  # arithmetic shift where signed

    def pictures(self, hidden: Mask | None = None, shown: Mask | None = None) -> list[Picture]:
        """Return grey renditions in which text of any brightness shows on any ground."""
        stored = self.layout.bits_stored
        return pictures(self.values(), self.photometric, stored, self.dataset, self._unit, hidden, shown)

    def planes(self) -> list[Plane]:
        """Return grey planes with their original brightness."""
        return planes(self.values(), self.photometric, self.layout.bits_stored, self.dataset)

    def blank(self, box: Box) -> Box:
        """Blank a box with this photometric interpretation's black; return the blanked box."""
        high, wide = self.unit
        rows, columns = self.shape
        right, bottom = -(-box.right // wide) * wide, -(-box.bottom // high) * high
        left, top = box.x - box.x % wide, box.y - box.y % high
        blanked = Box.of_edges(left, top, min(right, columns), min(bottom, rows))
        self.cells[blanked.pixels] = self.black
        self.boxes.append(blanked)
        return blanked

    def fill(self, mask: Mask, value: int) -> None:
        """Set pixels to a stored value; the unused bits of their cells stay.

        Args:
            mask: bool (rows, columns); only for frames with one sample per pixel.
            value: the stored value; must fit Bits Stored.
        """
        layout = self.layout
        field = ((1 << layout.bits_stored) - 1) << layout.shift
        wide = self.cells.view(f"u{layout.itemsize}")
        extends = layout.signed and not layout.shift and np.array_equal(self.cells, self.values())
        keep = 0 if extends else (1 << layout.itemsize * 8) - 1 & ~field
        part = value if extends else (value << layout.shift) & field
        filled = (wide[mask] & wide.dtype.type(keep)) | wide.dtype.type(part % (1 << layout.itemsize * 8))
        wide[mask] = filled

    @cached_property
    def _unit(self) -> float:
        return noise_unit(self.values(), self.layout.bits_stored)

    @cached_property
    def black(self) -> Any:
        """The cell, or three cells, with which boxes are blanked."""
        return black(
            self.cells,
            self.values(),
            self.photometric,
            self.layout.bits_stored,
            self.layout.shift,
            self.dataset,
        )

    def clear_unused_bits(self) -> bool:
        """Clear the bits outside the stored values; return whether there was anything.

        Signed values may be sign-extended or not, but all in the same way.
        """
        layout = self.layout
        if layout.floating or layout.bits_stored == layout.itemsize * 8:
            return False
        values = self.values()
        mask = values.dtype.type((1 << layout.bits_stored) - 1)
        alone = (values & mask) << layout.shift
        extended = values if layout.signed and layout.shift == 0 else alone
        if np.array_equal(self.cells, alone) or np.array_equal(self.cells, extended):
            return False
        self.cells, self.cleared = extended, True
        return True


class Frames(ABC):
    """The frames of one instance.

    Attributes:
        layout: of the instance.
        keyword, tag, vr: of the pixel data element.
        range: watches the range of pixel values that the dataset declares; must see each distinct frame.
        changed: whether `write` has something to do, because a frame was put or cut.
        decoders: names of decoders that replaced the first one of the syntax.
    """

    def __init__(self, dataset: Dataset, layout: Layout) -> None:
        self._dataset = dataset
        self._layout = self.layout = layout
        self.range = PixelValueRange(dataset, layout.samples == 1 and not layout.floating)
        element = dataset[layout.keyword]
        self.keyword = layout.keyword
        self.tag = PIXEL_TAGS[layout.keyword]
        self.vr = element.VR if element.VR in ("OB", "OW", "OF", "OD") else "OW"
        self.changed = False
        self.decoders: set[str] = set()

    def __len__(self) -> int:
        return self._layout.frames

    @abstractmethod
    def stored(self, index: int) -> bytes | memoryview:
        """Return the stored bytes of a frame; equal bytes mean equal frames."""

    @abstractmethod
    def decode(self, index: int) -> Frame:
        """Decode one frame.

        Raises:
            PixelError: `pixels_undecodable`.
        """

    @abstractmethod
    def put(self, index: int, frame: Frame) -> None:
        """Store a changed frame from `decode`."""

    @abstractmethod
    def repeat(self, first: int, index: int) -> None:
        """Store at `index` the frame that was put at `first`, if there is one."""

    @abstractmethod
    def _write(self) -> None: ...

    def write(self) -> None:
        """Write changed frames into the dataset, and correct its attributes about pixels."""
        if self.changed:
            self._write()
            self.range.keep_true(self._layout.signed)
