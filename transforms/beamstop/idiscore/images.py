"""idiscore's lists of places in pictures where devices write identifiers."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset

from beamstop.dicom.elements import MALFORMED
from beamstop.errors import PixelError, Quarantined
from beamstop.pixels.box import Box
from beamstop.pixels.renditions import Picture
from beamstop.rules.criteria import Criterion
from beamstop.text.boxes import TextBox
from beamstop.text.detector import TextPolicy
from beamstop.text.hiding import hide_text_in_frames
from beamstop.text.judge import TextJudge
from beamstop.text.regions import Region


@dataclass(frozen=True, slots=True)
class SquareArea:
    """An area of a picture in stored pixels.

    Attributes:
        origin_x, origin_y: upper left pixel.
        width, height: in pixels.
    """

    origin_x: int
    origin_y: int
    width: int
    height: int

    @property
    def box(self) -> Box:
        """The same as a box."""
        return Box(self.origin_x, self.origin_y, self.width, self.height)


@dataclass(frozen=True)
class PIILocation:
    """Where the pictures of some instances show identifiers.

    Attributes:
        areas: that are blanked in every frame.
        criterion: text as `Criterion` reads it, or a function of the dataset; None for every instance.
    """

    areas: tuple[SquareArea, ...]
    criterion: Callable[[Dataset], bool] | None = None

    def __init__(
        self,
        areas: Iterable[SquareArea],
        criterion: Callable[[Dataset], bool] | str | None = None,
    ) -> None:
        object.__setattr__(self, "areas", tuple(areas))
        made = Criterion(criterion) if isinstance(criterion, str) else criterion
        object.__setattr__(self, "criterion", made)

    def exists_in(self, dataset: Dataset) -> bool:
        """Return whether an instance has it.

        Raises:
            Quarantined: `attributes_uncertain`: the criterion cannot be evaluated, for lack of an attribute.
        """
        try:
            return self.criterion is None or bool(self.criterion(dataset))
        except MALFORMED:
            raise Quarantined("attributes_uncertain", "criterion of a PIILocation") from None


@dataclass(frozen=True)
class PIILocationList:
    """The places that are known."""

    locations: tuple[PIILocation, ...]

    def __init__(self, locations: Iterable[PIILocation]) -> None:
        object.__setattr__(self, "locations", tuple(locations))


class PixelProcessor:
    """Blanks a list of places in every frame; the `pixel_processor` of a `Core`.

    It does not search for text: the author of the list is responsible for it.

    Args:
        location_list: the places.
    """

    def __init__(self, location_list: PIILocationList | Iterable[PIILocation]) -> None:
        known = location_list.locations if isinstance(location_list, PIILocationList) else location_list
        self._locations = tuple(known)

    def __call__(self, dataset: Dataset) -> bool:
        """Blank the places of one dataset, in place; say whether it had any.

        Raises:
            Quarantined: the pixels cannot be decoded or written back, or a criterion cannot be asked.
        """
        if "PixelData" not in dataset:
            return False
        found = [area for it in self._locations if it.exists_in(dataset) for area in it.areas]
        if not found:
            return False
        policy = TextPolicy(regions=(Region(None, tuple(area.box for area in found)),), look_again=False)
        try:
            hide_text_in_frames(dataset, TextJudge(policy, dataset), _NoText())
        except PixelError as error:
            raise Quarantined(error.reason, error.detail) from None
        except MALFORMED as error:
            raise Quarantined("pixels_undecodable", type(error).__name__) from None
        dataset.BurnedInAnnotation = "NO"
        return True


class _NoText:
    """A text detector that finds nothing."""

    fingerprint = "none"

    def find(self, picture: Picture) -> list[TextBox]:
        return []

    def read(self, picture: Picture, boxes: Sequence[TextBox]) -> list[TextBox]:
        return list(boxes)
