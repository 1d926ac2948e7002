"""The text detector: networks that find and read text in a picture."""

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from beamstop.text.detector import TextDetector


@cache
def load_detector(languages: tuple[str, ...] = ("en",), recognizer: str = "ppocr") -> "TextDetector":
    """Return the text detector; its networks are loaded once per process, nothing is downloaded.

    Args:
        languages: EasyOCR's codes of the languages in which authorised words are read.
        recognizer: `ppocr`, or `easyocr`, which reads only English.

    Raises:
        DeidError: there are no weights, or not the published ones; or no such recogniser.
    """
    from beamstop.ocr.detector import make_detector

    return make_detector(languages, recognizer=recognizer)
