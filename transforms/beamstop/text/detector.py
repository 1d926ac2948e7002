"""What a text detector is, and the policy that says which text stays."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from beamstop.pixels.renditions import Picture
from beamstop.text.boxes import TextBox
from beamstop.text.regions import Region


class TextDetector(Protocol):
    """Finds text in grey pictures: uint8 of shape (rows, columns), text dark or bright on any ground."""

    @property
    def fingerprint(self) -> str:
        """Everything that determines the boxes: engine, versions, thresholds, weights, precision."""

    def find(self, picture: Picture) -> list[TextBox]:
        """Return a box for each piece of text; unread."""

    def read(self, picture: Picture, boxes: Sequence[TextBox]) -> list[TextBox]:
        """Return the same boxes in the same order, read if possible."""


# From EasyOCR's codes of languages to a text detector. If a recipe names a recogniser other than the default,
# its name is the second argument.
DetectorLoader = Callable[..., TextDetector]


@dataclass(frozen=True)
class TextPolicy:
    """What text is hidden; on its own, all of it.

    Attributes:
        hide: `all` text but authorised words and markers, or only what may be `identifying`.
        authorized_words: words, whole lines or `/patterns/` that stay; compared without regard to case.
        markers: words that stay if their line has no others.
        languages: EasyOCR's codes of the languages that words are read in.
        regions: boxes that are blanked before the detector runs.
        ultrasound_regions: `keep` text found inside a scan, or `search` the scan like the rest.
        look_again: search again after hiding, and quarantine if there is still text.
        leave: boxes that a person has called no text; text found inside stays.
        recognizer: `ppocr` or `easyocr`.
    """

    hide: Literal["all", "identifying"] = "all"
    authorized_words: tuple[str, ...] = ()
    markers: tuple[str, ...] = ()
    languages: tuple[str, ...] = ("en",)
    regions: tuple[Region, ...] = ()
    ultrasound_regions: Literal["search", "keep"] = "search"
    look_again: bool = True
    leave: tuple[Region, ...] = ()
    recognizer: Literal["ppocr", "easyocr"] = "ppocr"

    @property
    def reading(self) -> tuple[tuple[str, ...]] | tuple[tuple[str, ...], str]:
        """The arguments of a `DetectorLoader`."""
        return (self.languages,) if self.recognizer == "ppocr" else (self.languages, self.recognizer)
