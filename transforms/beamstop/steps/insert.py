"""Insertions: attributes that record how an instance was de-identified (PS3.15 E.1, PS3.3 C.12.1)."""

from collections.abc import Iterable
from functools import cache
from importlib.metadata import version

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

from beamstop.dicom.elements import failing_if_malformed
from beamstop.recipe.model import Recipe
from beamstop.rules.profile import (
    BASIC,
    CLEAN_FACES,
    CLEAN_PIXEL_DATA,
    FULL_DATES,
    METHOD_CODES,
    METHOD_MEANINGS,
    MODIFIED_DATES,
)
from beamstop.steps.judge_face import FaceNote

_MAX_LO, _MAX_ST = 64, 1024  # characters
TEXT_HIDDEN, FACE_REMOVED = "Burned-in text hidden", "Face removed"
# DerivationDescription, if the recipe leaves nothing of the original one.
PIXELS_DONE = (TEXT_HIDDEN, FACE_REMOVED, f"{FACE_REMOVED}; {TEXT_HIDDEN}")
PATIENT_IDENTITY_REMOVED = ("PatientIdentityRemoved", "YES")


@failing_if_malformed
def insert(
    dataset: Dataset,
    recipe: Recipe,
    pixels_examined: bool,
    text_hidden: bool = False,
    face: FaceNote | None = None,
) -> tuple[str, ...]:
    """Record in one instance how it was de-identified.

    PatientIdentityRemoved (YES, but NO if BurnedInAnnotation stays YES: PS3.3 C.12.1), DeidentificationMethod
    and its code sequence (earlier entries stay), BurnedInAnnotation NO only if the pixels of this instance
    were searched, RecognizableVisualFeatures by the finding for the series, DerivationDescription if a
    face was removed or text hidden (after any text that the recipe left),
    LongitudinalTemporalInformationModified by the treatment of dates, and the recipe's insertions.

    Args:
        dataset: changed in place.
        recipe: the recipe that was applied.
        pixels_examined: HideText searched every frame of this instance.
        text_hidden: and blanked a box in them.
        face: the note of RemoveFace about this instance.

    Returns:
        the CID 7050 codes applied to this instance.

    Raises:
        Failed: `unreadable`: an existing value is malformed.
    """
    face = face or FaceNote()
    methods = _methods(recipe, pixels_examined, face.is_proved)
    keyword, value = PATIENT_IDENTITY_REMOVED
    is_burned_in = not pixels_examined and str(dataset.get("BurnedInAnnotation") or "").strip() == "YES"
    setattr(dataset, keyword, "NO" if is_burned_in else value)
    dataset.DeidentificationMethod = _joined(
        dataset.get("DeidentificationMethod"), get_deidentification_method()
    )
    earlier = dataset.get("DeidentificationMethodCodeSequence") or []
    if methods:
        dataset.DeidentificationMethodCodeSequence = _with_codes(list(earlier), methods)
    if pixels_examined:
        dataset.BurnedInAnnotation = "NO"
    if face.features is not None:
        dataset.RecognizableVisualFeatures = face.features
    for is_done, said in ((face.pixels_changed, FACE_REMOVED), (text_hidden, TEXT_HIDDEN)):
        if is_done:
            dataset.DerivationDescription = _derivation(str(dataset.get("DerivationDescription") or ""), said)
    if recipe.profile == BASIC:
        dataset.LongitudinalTemporalInformationModified = _temporal_information(recipe)
    for name, inserted in recipe.insert.items():
        setattr(dataset, name, inserted)
    return methods


@cache
def get_deidentification_method() -> str:
    """Return the text for DeidentificationMethod: beamstop and its version."""
    return f"beamstop {version('beamstop')}"[:_MAX_LO]


def code_items(names: Iterable[str]) -> list[Dataset]:
    """Return the items of a DeidentificationMethodCodeSequence for rule sets by the names that recipes use.

    A rule set outside the standard has no code.

    >>> [item.CodeValue for item in code_items(["basic", "retain-uids", "ours"])]
    ['113100', '113110']
    """
    return [_code_item(METHOD_CODES[name]) for name in names if name in METHOD_CODES]


def _methods(recipe: Recipe, pixels_examined: bool, is_faceless: bool) -> tuple[str, ...]:
    proved = {CLEAN_PIXEL_DATA: pixels_examined, CLEAN_FACES: is_faceless}
    if recipe.profile != BASIC:  # a recipe of its own: only the pixels follow an option of PS3.15
        applied = [option for option, is_proved in proved.items() if is_proved]
    else:
        applied = [BASIC, *(option for option in recipe.options if proved.get(option, True))]
    return tuple(sorted(METHOD_CODES[name] for name in applied))


def _temporal_information(recipe: Recipe) -> str:
    if FULL_DATES in recipe.options:
        return "UNMODIFIED"
    return "MODIFIED" if MODIFIED_DATES in recipe.options or recipe.keeps_years else "REMOVED"


def _derivation(earlier: str, done: str) -> str:
    """Return DerivationDescription with what was done to the pixels added at the end (PS3.3 C.7.6.1.1.3)."""
    if earlier.endswith(done):
        return earlier
    room = _MAX_ST - len(done) - 2
    return f"{earlier[:room]}; {done}" if earlier else done


def _joined(earlier: object, ours: str) -> str | list[str]:
    values = (
        [str(value) for value in earlier]
        if isinstance(earlier, MultiValue)
        else [str(earlier)]
        if earlier
        else []
    )
    values = [*(value for value in values if value != ours), ours]
    return values if len(values) > 1 else values[0]


def _with_codes(items: list[Dataset], methods: tuple[str, ...]) -> Sequence:
    present = {(str(item.get("CodeValue")), str(item.get("CodingSchemeDesignator"))) for item in items}
    return Sequence([*items, *(_code_item(code) for code in methods if (code, "DCM") not in present)])


def _code_item(code: str) -> Dataset:
    item = Dataset()
    item.CodeValue = code
    item.CodingSchemeDesignator = "DCM"
    item.CodeMeaning = METHOD_MEANINGS[code]
    return item
