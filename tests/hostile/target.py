"""What is asked of beamstop for any bytes: a clean file that a second look accepts, or a refusal."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from beamstop import deidentify_bytes
from beamstop.errors import Refusal
from beamstop.recipe.load import load_recipe, parse_recipe
from beamstop.recipe.model import Recipe
from beamstop.text.boxes import TextBox
from beamstop.verify import Finding, verify_pair

KEY = bytes(range(32))
KEEPING = """
options: [clean-pixel-data, clean-graphics, clean-descriptors, clean-structured-content, retain-safe-private,
          retain-longitudinal-modified-dates, retain-patient-characteristics, retain-device-identity]
bouncers: []
"""
NAMES = ("default", "basic", "research", "strict", "hipaa-safe-harbor", "tcia", "mammography-kskit")
# Detail of a refusal: keywords and tags, item numbers, names of classes, transfer syntaxes of the standard.
DETAIL = re.compile(r"[A-Za-z0-9_ .,:;()\[\]'/*-]*")


class BrightDetector:
    """Sees text where the upper left corner is not black; a detector would cost too much."""

    fingerprint = "bright"

    def find(self, picture: Any) -> list[TextBox]:
        return [TextBox(0, 0, 4, 4)] if picture[:4, :4].max() > 128 else []

    def read(self, picture: Any, boxes: list[TextBox]) -> list[TextBox]:
        return list(boxes)


def bright(languages: tuple[str, ...]) -> BrightDetector:
    return BrightDetector()


def recipes() -> list[Recipe]:
    return [*map(load_recipe, NAMES), parse_recipe(KEEPING)]


class BrokenPromiseError(Exception):
    """A promise of beamstop's that some bytes break."""


def judge(data: bytes, recipe: Recipe) -> str:
    """Return what became of some bytes: `written`, or outcome and reason.

    Raises:
        BrokenPromiseError: a clean file that verify does not accept, or that is not the same the second
            time; a refusal that may quote a value.
        Exception: what `deidentify_bytes` must not raise.
    """
    try:
        clean = deidentify_bytes(data, recipe, KEY, bright)
    except Refusal as refusal:
        if not DETAIL.fullmatch(refusal.detail) or not refusal.reason.isidentifier():
            raise BrokenPromiseError("a refusal that may quote a value") from None
        return f"{type(refusal).__name__.lower()} {refusal.reason}"
    found = verify_pair(data, clean, recipe, recipe.identity(KEY)).findings
    if found == (_IN_PIXELS,):
        return "written with letters in the bytes of its pixels"
    if found:
        raise BrokenPromiseError(f"verify: {found}")
    return "written"


# A run looks for text in pixels as pictures. Bytes of the header that a mutation copies into uncompressed
# ones stay, and `verify` says so: the one finding that breaks no promise.
_IN_PIXELS = Finding("leak", "PixelData", "as it is spelled in the original")


def seeds(largest: int) -> Iterator[Path]:
    """Yield the DICOM files of pydicom and pydicom-data up to a size in bytes, equal in every run."""
    from pydicom.data import get_testdata_files

    names = sorted(get_testdata_files("**/*"), key=lambda name: (Path(name).name, name))
    few = set()
    for path in map(Path, names):
        is_small = path.is_file() and path.stat().st_size <= largest
        if is_small and path.suffix not in {".txt", ".json", ".dump"}:
            kind = (path.parent.name, path.stat().st_size)  # the file sets of one exam are much alike
            if kind not in few:
                few.add(kind)
                yield path
