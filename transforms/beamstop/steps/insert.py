"""Insertions: what a clean instance says about how it was de-identified (PS3.15 E.1, PS3.3 C.12.1)."""

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
    CLEAN_PIXEL_DATA,
    FULL_DATES,
    METHOD_CODES,
    METHOD_MEANINGS,
    MODIFIED_DATES,
)

_MAX_LO, _MAX_ST = 64, 1024  # characters
TEXT_HIDDEN = "Burned-in text hidden"
PATIENT_IDENTITY_REMOVED = ("PatientIdentityRemoved", "YES")


@failing_if_malformed
def insert(
    dataset: Dataset, recipe: Recipe, pixels_examined: bool, text_hidden: bool = False
) -> tuple[str, ...]:
    """Write into one instance what was done to it.

    PatientIdentityRemoved (YES, but NO if BurnedInAnnotation stays YES: PS3.3 C.12.1), DeidentificationMethod
    and its code sequence (earlier entries stay), BurnedInAnnotation NO only if the pixels of this instance
    were searched, DerivationDescription if text was hidden in them (after any text that the recipe left),
    LongitudinalTemporalInformationModified by the treatment of dates, and the recipe's insertions.

    Args:
        dataset: changed in place.
        recipe: that was applied.
        pixels_examined: HideText ran on every frame of this instance.
        text_hidden: and a box was blanked in them.

    Returns:
        the CID 7050 codes applied to this instance.

    Raises:
        Failed: `unreadable`: an existing value is malformed.
    """
    methods = _methods(recipe, pixels_examined)
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
    if text_hidden:
        dataset.DerivationDescription = _derivation(str(dataset.get("DerivationDescription") or ""))
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


def _methods(recipe: Recipe, pixels_examined: bool) -> tuple[str, ...]:
    if recipe.profile != BASIC:  # without the profile, only the pixels follow an option of PS3.15
        return (METHOD_CODES[CLEAN_PIXEL_DATA],) if pixels_examined else ()
    applied = [BASIC, *(option for option in recipe.options if option != CLEAN_PIXEL_DATA or pixels_examined)]
    return tuple(sorted(METHOD_CODES[name] for name in applied))


def _temporal_information(recipe: Recipe) -> str:
    if FULL_DATES in recipe.options:
        return "UNMODIFIED"
    return "MODIFIED" if MODIFIED_DATES in recipe.options or recipe.keeps_years else "REMOVED"


def _derivation(earlier: str) -> str:
    """Return a DerivationDescription, the last step last (PS3.3 C.7.6.1.1.3); a Short Text."""
    if earlier.endswith(TEXT_HIDDEN):
        return earlier
    room = _MAX_ST - len(TEXT_HIDDEN) - 2
    return f"{earlier[:room]}; {TEXT_HIDDEN}" if earlier else TEXT_HIDDEN


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
