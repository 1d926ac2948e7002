"""Keeps a dataset's smallest and largest pixel values (0028,0106 to 0109) true."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from beamstop.pixels.renditions import not_padding

_OF_THE_IMAGE = ("SmallestImagePixelValue", "LargestImagePixelValue")
_OF_THE_SERIES = ("SmallestPixelValueInSeries", "LargestPixelValueInSeries")


class PixelValueRange:
    """Watches the frames of an instance before and after text is hidden in them.

    Args:
        dataset: with or without a range.
        watches: whether its pixels are grey values; only these can have a range.
    """

    def __init__(self, dataset: Dataset, watches: bool) -> None:
        self._dataset = dataset
        self._watches = watches and any(name in dataset for name in (*_OF_THE_IMAGE, *_OF_THE_SERIES))
        self._before: list[tuple[int, int]] = []
        self._after: list[tuple[int, int]] = []

    def see(self, before: NDArray[Any]) -> None:
        """Record the values of a frame before hiding."""
        self._note(self._before, before)

    def see_again(self, after: NDArray[Any]) -> None:
        """Record the values of the same frame after hiding."""
        self._note(self._after, after)

    def keep_true(self, signed: bool) -> None:
        """Set the new range if hiding has changed it, without padding.

        The series' range is removed, because one instance does not show whether it still holds.
        """
        if not self._after:
            return
        for extreme, of, image, series in zip((0, 1), (min, max), _OF_THE_IMAGE, _OF_THE_SERIES, strict=True):
            was, now = (of(pair[extreme] for pair in pairs) for pairs in (self._before, self._after))
            if was != now:
                self._state(image, now, signed)
                if series in self._dataset:
                    del self._dataset[series]

    def _note(self, pairs: list[tuple[int, int]], values: NDArray[Any]) -> None:
        if self._watches:
            used = values[not_padding(values, self._dataset)]
            pairs.append((int(np.min(used)), int(np.max(used))))

    def _state(self, keyword: str, value: int, signed: bool) -> None:
        if keyword not in self._dataset:
            return
        low, high = (-0x8000, 0x7FFF) if signed else (0, 0xFFFF)
        if low <= value <= high:
            self._dataset[keyword] = DataElement(keyword, "SS" if signed else "US", value)
        else:  # Type 3: better no range than a false one
            del self._dataset[keyword]
