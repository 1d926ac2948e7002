"""HideText: hide text in the pixels, overlay planes and icons of one instance."""

from functools import partial

from pydicom.dataset import Dataset

from beamstop.dicom.elements import MALFORMED
from beamstop.dicom.pydicom_guards import guarded
from beamstop.errors import PixelError, Quarantined
from beamstop.identity import Identity
from beamstop.pixels.frame_extras import clean_frames, has_extras
from beamstop.pixels.frames import frame_count
from beamstop.recipe.model import Recipe
from beamstop.rules.icc_profiles import clean_icc_profile
from beamstop.rules.plans import Planner
from beamstop.standard.actions import Action
from beamstop.text.detector import TextDetector
from beamstop.text.hiding import PixelReport, hide_text_in_frames
from beamstop.text.icons import remove_icons_with_text
from beamstop.text.judge import TextJudge
from beamstop.text.overlays import clear_embedded_overlays, hide_overlay_text
from beamstop.text.where_text import why_no_text


@guarded()
def hide_text(
    dataset: Dataset, recipe: Recipe, detector: TextDetector | None, identity: Identity | None = None
) -> PixelReport:
    """Hide text in the pixels, overlay planes and icons of one instance, in place, as the recipe says.

    Planes and icons that the recipe removes are skipped. Under every recipe, overlays in unused bits of the
    pixels are cleared, and extras in compressed frames are cut (`frame_extras`).

    Args:
        dataset: one instance.
        recipe: says whether text is hidden, and which.
        detector: finds text; may be None if the recipe leaves pixels alone.
        identity: `recipe.identity(key)`. Its key selects the instances whose first frame a second decoder
            reads, if that is expensive; without it all are read twice.

    Raises:
        Quarantined: the pixels cannot be proved clean; reason and detail of the PixelError.
    """
    try:
        frames_cleaned = clean_frames_of(dataset)
        report = _hide_text(dataset, recipe, detector, identity)
        if report.pixels_changed:
            clean_frames_of(dataset)  # encoders sign their work
    except PixelError as error:
        raise Quarantined(error.reason, error.detail) from error
    except MALFORMED as error:  # an attribute needed to read the pixels is malformed
        raise Quarantined("pixels_undecodable", type(error).__name__) from None
    report.frames_cleaned = frames_cleaned
    return report


def clean_frames_of(dataset: Dataset) -> int:
    """Cut extras in compressed frames, in place; return the number of frames that had any.

    Raises:
        Quarantined: `pixels_undecodable`, a frame cannot be parsed.
    """
    try:
        return clean_frames(dataset, clean_icc_profile)
    except PixelError as error:
        raise Quarantined(error.reason, error.detail) from None


def _hide_text(
    dataset: Dataset, recipe: Recipe, detector: TextDetector | None, identity: Identity | None
) -> PixelReport:
    report = PixelReport(frames=frame_count(dataset))
    if not recipe.hides_text:
        report.pixels_changed = clear_embedded_overlays(dataset)
    if detector is None or not recipe.needs_detector:
        return report
    judge = TextJudge(recipe.text_policy, dataset)
    if recipe.hides_text and why_no_text(dataset) is None:
        report = hide_text_in_frames(dataset, judge, detector, identity)
    planner = recipe.planner.for_instance(dataset)
    is_removed = partial(_is_removed, planner, str(dataset.get("SOPClassUID") or ""))
    report.add_boxes(hide_overlay_text(dataset, judge, detector, is_removed))
    if recipe.hides_text:
        extras = partial(has_extras, clean_profile=clean_icc_profile)
        report.changes += remove_icons_with_text(dataset, detector, is_removed, extras)
    return report


def _is_removed(planner: Planner, sop_class: str, path: tuple[int, ...]) -> bool:
    """Return whether the recipe removes or empties an attribute, or a sequence around it."""
    return any(
        planner.plan(path[:depth], None, None, sop_class).action in (Action.X, Action.Z)
        for depth in range(1, len(path) + 1)
    )
