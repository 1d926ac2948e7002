"""The whole chain for one instance: read, bounce, hide text, apply the recipe, insert, check, encode."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

from pydicom.dataset import Dataset

from beamstop.changes import Change
from beamstop.dicom.elements import BROKEN
from beamstop.dicom.files import Encoded, copy_of, encode, read_dicom
from beamstop.dicom.unterminated import failing_if_endless
from beamstop.errors import PixelError, Quarantined
from beamstop.leaks.search import check_leaks
from beamstop.pixels.frames import frame_count
from beamstop.recipe.model import Recipe
from beamstop.rules.bouncers import bounce
from beamstop.standard.actions import Action
from beamstop.steps.apply_recipe import AttributeReport, apply_recipe
from beamstop.steps.insert import insert
from beamstop.text.hiding import PixelReport, TextFinder, hide
from beamstop.text.icons import remove_icons_with_text
from beamstop.text.overlays import clear_embedded_overlays, hide_overlay_text
from beamstop.text.where_text import why_no_text

FinderLoader = Callable[[tuple[str, ...]], TextFinder]


@dataclass(frozen=True)
class Deidentified:
    """A de-identified dataset and what was done to it.

    Attributes:
        dataset: a new one; the original is left as it was.
        changes: one entry per element acted on and per text box.
        methods: the CID 7050 codes applied.
    """

    dataset: Dataset
    changes: tuple[Change, ...]
    methods: tuple[str, ...]


@failing_if_endless()
def hide_text(dataset: Dataset, recipe: Recipe, finder: TextFinder | None) -> PixelReport:
    """Hide text in the pixels, overlay planes and icons of one instance, in place, as the recipe says.

    Planes and icons that the recipe removes are not looked at. Overlays in unused bits of the pixels go under
    every recipe.

    Args:
        dataset: one instance.
        recipe: says whether and which.
        finder: finds text; may be None where the recipe leaves pixels alone.

    Raises:
        Quarantined: the pixels cannot be proved clean; reason and detail of the PixelError.
    """
    report = PixelReport(frames=frame_count(dataset))
    try:
        if not recipe.hides_text:
            report.pixels_changed = clear_embedded_overlays(dataset)
        if finder is None or not recipe.looks_at_pixels:
            return report
        if recipe.hides_text and why_no_text(dataset) is None:
            report = hide(dataset, recipe.text_policy, finder)
        goes = partial(_goes, recipe, str(dataset.get("SOPClassUID") or ""))
        report.add_boxes(hide_overlay_text(dataset, recipe.text_policy, finder, goes))
        if recipe.hides_text:
            report.changes += remove_icons_with_text(dataset, finder, goes)
    except PixelError as error:
        raise Quarantined(error.reason, error.detail) from None
    except BROKEN as error:  # an attribute that says how to read pixels is not what it claims to be
        raise Quarantined("pixels_undecodable", type(error).__name__) from None
    return report


def _goes(recipe: Recipe, sop_class: str, path: tuple[int, ...]) -> bool:
    """Say whether the recipe takes out an attribute, or a sequence around it."""
    return any(
        recipe.planner.plan(path[:depth], None, None, sop_class).action in (Action.X, Action.Z)
        for depth in range(1, len(path) + 1)
    )


def check(encoded: Encoded, report: AttributeReport) -> int:
    """Search a finished file for the instance's own identifiers; return how many were looked for.

    Raises:
        Quarantined: `leak`, with the path of the element one was found in.
    """
    return check_leaks(encoded.header, report.identifiers, encoded.comments)


def deidentify(
    dataset: Dataset, recipe: Recipe, key: bytes, load_finder: FinderLoader | None = None
) -> Deidentified:
    """De-identify one dataset; the whole chain, CheckLeaks included.

    Args:
        dataset: stays as it is; the result is a copy.
        recipe: from `load_recipe`.
        key: at least 16 bytes; the same key gives the same result.
        load_finder: makes the text finder; EasyOCR's networks when not given.

    Raises:
        Rejected: policy says no.
        Quarantined: it could not be proved clean. No dataset is returned that is in doubt.
        Failed: it cannot be read.
    """
    clean = copy_of(dataset)
    changes, methods, encoded, report = _run(clean, recipe, key, load_finder, detail=True)
    check(encoded, report)
    return Deidentified(clean, changes, methods)


def deidentify_bytes(
    data: bytes, recipe: Recipe, key: bytes, load_finder: FinderLoader | None = None
) -> bytes:
    """De-identify one DICOM file given as bytes; return the clean Part 10 file.

    Raises:
        Rejected, Quarantined, Failed: as `deidentify`, and when the bytes are not readable DICOM.
    """
    dataset = read_dicom(data)
    _, _, encoded, report = _run(dataset, recipe, key, load_finder, detail=False)
    check(encoded, report)
    return encoded.data


def _run(
    dataset: Dataset, recipe: Recipe, key: bytes, load_finder: FinderLoader | None, detail: bool
) -> tuple[tuple[Change, ...], tuple[str, ...], Encoded, AttributeReport]:
    bounce(dataset, recipe.doormen)
    finder = (load_finder or _easyocr)(recipe.text_policy.languages) if recipe.looks_at_pixels else None
    pixels = hide_text(dataset, recipe, finder)
    bounce(dataset, recipe.doormen, pixels.examined)
    report = apply_recipe(dataset, recipe, recipe.identity(key), detail=detail)
    methods = insert(dataset, recipe, pixels.examined, pixels.text_hidden)
    return (*pixels.changes, *report.changes), methods, encode(dataset), report


@cache
def _easyocr(languages: tuple[str, ...]) -> TextFinder:
    """Load EasyOCR's networks once per process, however many instances follow."""
    from beamstop.ocr.detector import load_finder

    return load_finder(languages)
