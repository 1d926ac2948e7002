"""The smallest and largest pixel values that a dataset states (0028,0106 to 0109), kept true."""

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
        dataset: states a range, or none.
        watches: whether its pixels are grey numbers, of which alone a range can be stated.
    """

    def __init__(self, dataset: Dataset, watches: bool) -> None:
        self._dataset = dataset
        self._watches = watches and any(name in dataset for name in (*_OF_THE_IMAGE, *_OF_THE_SERIES))
        self._before: list[tuple[int, int]] = []
        self._after: list[tuple[int, int]] = []

    def see(self, before: NDArray[Any]) -> None:
        """Take note of the values of a frame as it was."""
        self._note(self._before, before)

    def see_again(self, after: NDArray[Any]) -> None:
        """Take note of the values of the same frame as it is now."""
        self._note(self._after, after)

    def keep_true(self, signed: bool) -> None:
        """State the range that is, where hiding has changed it; padding does not count.

        Whether the series still has its extreme somewhere cannot be told from one instance: that goes.
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
        else:  # Type 3: better none than one that is not true
            del self._dataset[keyword]
