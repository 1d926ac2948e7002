"""Frames of a series in patient coordinates, and the stacks that they form."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from beamstop.dicom.elements import MALFORMED
from beamstop.dicom.views import view_of

Vector = NDArray[np.float64]

# Limits set by hand: wide enough for headers with rounded numbers, too narrow for different geometries.
_UNIT = 1e-3  # a tenth of the tolerance for the length of direction cosines and for the angle between them
_SAME_DIRECTION = 1e-2  # greatest difference of a cosine within a stack
_SAME_PLACE = 0.05  # mm along the normal between frames in one place
_FARTHEST = 1e5  # mm from the origin of the frame of reference; farther positions are invalid
_FIELD_TURN = 20.0  # mm: sideways distance of two centres in a stack, beyond their distance along the normal


class NoPlaceError(Exception):
    """A header lacks the position of a frame or the meaning of its values, or has invalid ones."""


@dataclass(frozen=True)
class Slice:
    """One frame and its position (PS3.3 C.7.6.2).

    Attributes:
        instance: index of its instance in the series.
        frame: index within the instance.
        origin: centre of the first pixel, patient coordinates (LPS), mm.
        across: vector from one column to the next, mm.
        down: vector from one row to the next, mm.
        shape: rows and columns.
        slope, intercept: from stored to real values.
        is_phase: whether values are phases, velocities, or real or imaginary parts, not brightness.
    """

    instance: int
    frame: int
    origin: tuple[float, float, float]
    across: tuple[float, float, float]
    down: tuple[float, float, float]
    shape: tuple[int, int]
    slope: float
    intercept: float
    is_phase: bool

    @property
    def normal(self) -> Vector:
        """Unit vector perpendicular to the frame."""
        cross = np.cross(self.across, self.down)
        return cross / _length(cross)

    @property
    def centre(self) -> Vector:
        """Centre of the frame in patient coordinates, mm."""
        rows, columns = self.shape
        across, down = np.array(self.across), np.array(self.down)
        return np.array(self.origin) + across * ((columns - 1) / 2) + down * ((rows - 1) / 2)


@dataclass(frozen=True)
class Stack:
    """Frames of one orientation, size and pixel spacing, ordered along their normal.

    Attributes:
        places: the frames in each place; several if a series has echoes, time points, b values or copies.
        offsets: position of each place along the normal, mm, ascending.
    """

    places: tuple[tuple[Slice, ...], ...]
    offsets: tuple[float, ...]

    @property
    def slices(self) -> Iterator[Slice]:
        """All frames, place by place."""
        for place in self.places:
            yield from place

    @property
    def gap(self) -> float:
        """Largest distance of two neighbouring places, mm; 0 for a single place."""
        return max((b - a for a, b in zip(self.offsets, self.offsets[1:], strict=False)), default=0.0)

    @property
    def span(self) -> float:
        """Distance from the first place to the last, mm."""
        return self.offsets[-1] - self.offsets[0]


def slices_of(instance: int, dataset: Dataset) -> list[Slice]:
    """Return the frames of an instance.

    Args:
        instance: its index in the series.
        dataset: the instance; raw elements stay raw.

    Raises:
        NoPlaceError: the position of a frame is missing or invalid, the instance is a mosaic of slices, or it
            has colour pixels.
    """
    view = view_of(dataset)
    try:
        types = str(view.get("ImageType") or "").upper()
        if "MOSAIC" in types or int(view.get("SamplesPerPixel") or 1) != 1:
            raise NoPlaceError
        shape = int(view.Rows), int(view.Columns)
        count = int(view.get("NumberOfFrames") or 1)
        frames = list(view.get("PerFrameFunctionalGroupsSequence") or ())
        if not frames:
            if count != 1:
                raise NoPlaceError
            return [_slice(instance, 0, [view], shape)]
        if len(frames) != count:
            raise NoPlaceError
        shared = list(view.get("SharedFunctionalGroupsSequence") or ())[:1]
        return [
            _slice(instance, number, [*(_items(group) for group in (frame, *shared))], shape, view)
            for number, frame in enumerate(frames)
        ]
    except MALFORMED:
        raise NoPlaceError from None


def stacks_of(slices: Sequence[Slice]) -> list[Stack]:
    """Return the stacks that frames form, in the order of their first frames."""
    groups: list[list[Slice]] = []
    for piece in slices:
        for group in groups:
            if _belong_together(group[0], piece):
                group.append(piece)
                break
        else:
            groups.append([piece])
    return [_stack(group) for group in groups]


def _belong_together(one: Slice, other: Slice) -> bool:
    pairs = ((one.across, other.across), (one.down, other.down))
    if one.shape != other.shape or any(
        abs(a - b) > _SAME_DIRECTION * _length(np.array(first))
        for first, second in pairs
        for a, b in zip(first, second, strict=True)
    ):
        return False
    between = other.centre - one.centre
    along = float(np.sum(between * one.normal))
    beside = between - along * one.normal
    # A gantry tilts by 30 degrees at most, so that centres move sideways by less than along the normal.
    return _length(beside) <= _FIELD_TURN + abs(along)


def _stack(group: list[Slice]) -> Stack:
    normal = group[0].normal
    placed = sorted(
        ((float(np.sum(np.array(it.origin) * normal)), number) for number, it in enumerate(group)),
    )
    places: list[list[Slice]] = []
    offsets: list[float] = []
    for offset, number in placed:
        if offsets and offset - offsets[-1] <= _SAME_PLACE:
            places[-1].append(group[number])
        else:
            places.append([group[number]])
            offsets.append(offset)
    return Stack(tuple(map(tuple, places)), tuple(offsets))


def _items(group: Dataset) -> Dataset:
    """Return the attributes of all macros of a functional group as one dataset."""
    flat = Dataset()
    for element in group:
        if element.VR == "SQ" and element.value:
            for inner in element.value[0]:
                flat.add(inner)
    return flat


def _slice(
    instance: int, frame: int, groups: list[Dataset], shape: tuple[int, int], top: Dataset | None = None
) -> Slice:
    def value(keyword: str) -> object:
        for group in groups if top is None else [*groups, top]:
            found = group.get(keyword)
            if found is not None and found != "":
                return found
        return None

    position = _numbers(value("ImagePositionPatient"), 3)
    cosines = _numbers(value("ImageOrientationPatient"), 6)
    rows_apart, columns_apart = _numbers(value("PixelSpacing"), 2)
    row, column = np.array(cosines[:3]), np.array(cosines[3:])
    is_square = abs(float(np.sum(row * column))) <= _UNIT * 10
    if not is_square or min(rows_apart, columns_apart) <= 0 or min(shape) < 1:
        raise NoPlaceError
    if any(abs(_length(it) - 1) > _UNIT * 10 for it in (row, column)):
        raise NoPlaceError
    slope, intercept = (
        default if (found := value(keyword)) is None else float(str(found))
        for keyword, default in (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0))
    )
    if not slope or not np.isfinite([slope, intercept]).all() or np.abs(position).max() > _FARTHEST:
        raise NoPlaceError
    types = " ".join(
        str(it) for it in (value("FrameType"), value("ImageType"), value("ComplexImageComponent"))
    )
    return Slice(
        instance,
        frame,
        (position[0], position[1], position[2]),
        _triple(row * columns_apart),
        _triple(column * rows_apart),
        shape,
        slope,
        intercept,
        any(f"'{word}'" in types or word == types for word in _PHASES) or "PHASE" in types.upper(),
    )


_PHASES = ("P", "R", "I", "VELOCITY", "REAL", "IMAGINARY")


def _triple(vector: Vector) -> tuple[float, float, float]:
    return float(vector[0]), float(vector[1]), float(vector[2])


def _numbers(value: object, count: int) -> list[float]:
    numbers = (
        [float(it) for it in value] if isinstance(value, Sequence) and not isinstance(value, str) else []
    )
    if len(numbers) != count or not all(np.isfinite(numbers)):
        raise NoPlaceError
    return numbers


def _length(vector: Vector) -> float:
    return float(np.sqrt(np.sum(vector * vector)))
