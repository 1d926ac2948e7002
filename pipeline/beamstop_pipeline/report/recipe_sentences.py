"""Sentences about a recipe for somebody who has never seen one."""

from collections.abc import Iterator, Mapping
from typing import Any

from beamstop.rules.profile import (
    BASIC,
    CLEAN_DESCRIPTORS,
    CLEAN_FACES,
    CLEAN_GRAPHICS,
    CLEAN_PIXEL_DATA,
    CLEAN_STRUCTURED_CONTENT,
    FULL_DATES,
    METHOD_CODES,
    MODIFIED_DATES,
    RETAIN_DEVICE_IDENTITY,
    RETAIN_SAFE_PRIVATE,
    RETAIN_UIDS,
)

# Of each pair, the first sentence is for recipes with the option, the second for those without.
_OPTIONS = {
    CLEAN_GRAPHICS: (
        "Text in overlays and graphics was taken out of them.",
        "Overlays and graphic annotations were removed.",
    ),
    CLEAN_DESCRIPTORS: (
        "Descriptions, such as those of studies and series, kept their clinical words; words that may "
        "identify somebody were cut out of them.",
        "Descriptions, such as those of studies and series, were removed.",
    ),
    CLEAN_STRUCTURED_CONTENT: (
        "Findings in structured reports stayed; the names of people in them were removed.",
        "",
    ),
    "retain-patient-characteristics": (
        "Characteristics of patients stayed: sex, age, size, weight and others; ages over 89 say 90.",
        "Characteristics of patients, such as age, size and weight, were removed or emptied.",
    ),
    RETAIN_DEVICE_IDENTITY: ("Names and serial numbers of devices stayed.", ""),
    "retain-institution-identity": ("Names and addresses of institutions stayed.", ""),
    RETAIN_UIDS: (
        "The unique numbers (UIDs) are those of the originals: anybody who has these finds the patient.",
        "Every unique number (UID) was replaced, everywhere by the same new one, so that references still "
        "lead to what they refer to.",
    ),
    RETAIN_SAFE_PRIVATE: (
        "Of the manufacturers' own data (private elements) only those known to be safe stayed.",
        "The manufacturers' own data (private elements) were removed.",
    ),
}
_KEYED = "Patients have pseudonyms that only a secret key ties to them."
_OF_A_TABLE = "Patients have the pseudonyms of a table that its owner keeps."
_UNKNOWN_WORDS = {
    "judge": "Words of free text that no vocabulary of medicine or plain language knows were removed.",
    "remove": "Words of free text that no vocabulary knows were removed.",
}


def recipe_sentences(recipe: Mapping[str, Any], has_subjects: bool = False) -> Iterator[str]:
    """Yield sentences about the recipe settings in a record; none if the record has too few.

    Args:
        recipe: see `beamstop_transforms.record.settings_of`.
        has_subjects: whether the run had a table of subjects.
    """
    options = recipe.get("options")
    if options is None:
        return
    is_basic = recipe.get("profile") == BASIC
    if is_basic:
        yield (
            "Everything that DICOM's Basic Application Confidentiality Profile (PS3.15, Annex E) names was "
            "removed, emptied or replaced, at every depth: names, numbers, addresses, telephone numbers, "
            "institutions and people, with the exceptions below. " + (_OF_A_TABLE if has_subjects else _KEYED)
        )
    else:
        yield "The recipe has its own rules instead of a profile of DICOM's: read them, too."
    yield from _own(recipe)
    yield (
        _text(recipe)
        if CLEAN_PIXEL_DATA in options
        else ("Text in pixels was NOT searched for: text that is burned into pictures is still there.")
    )
    yield _FACES[recipe.get("faces") if CLEAN_FACES in options else None]
    if is_basic or {FULL_DATES, MODIFIED_DATES} & set(options):
        yield _dates(options)
    for option, (if_there, if_not) in _OPTIONS.items():
        otherwise = if_not if is_basic else ""
        if sentence := if_there if option in options else otherwise:
            yield sentence
    if words := _UNKNOWN_WORDS.get(str(recipe.get("unknown_words"))):
        yield words
    if recipe.get("unlisted") == "remove":
        yield "Attributes that no rule names were removed."
    elif recipe.get("unlisted") == "keep":
        yield "Attributes of the standard that no rule names stayed; those in no dictionary were removed."


_FACES = {
    "remove": "Whole series of CT, MR and PT that may show a face were searched for one: it was removed, or "
    "the series was not written.",
    "reject": "Whole series of CT, MR and PT that may show a face were searched for one: those that do were "
    "turned away.",
    "tell": "Whole series of CT, MR and PT that may show a face were searched for one: files in which it may "
    "show were written, and say so.",
    None: "Faces were left as they are; which files may show one is judged by headers alone.",
}


def _text(recipe: Mapping[str, Any]) -> str:
    hide = recipe.get("text", {}).get("hide")
    if hide == "identifying":
        return "Text burned into pictures was searched for; lines that may identify somebody were blanked."
    return "Text and codes burned into pictures were searched for and blanked, except words that may stay."


def _dates(options: list[str]) -> str:
    if FULL_DATES in options:
        return "Dates and times are those of the originals."
    if MODIFIED_DATES in options:
        return (
            "All dates of a patient were moved by one secret number of days: intervals between them are "
            "right, the dates are not."
        )
    return "Dates were removed, emptied or replaced by dummies."


def _own(recipe: Mapping[str, Any]) -> Iterator[str]:
    if own := own_entries(recipe):
        yield f"The recipe itself adds {', '.join(own)}: read it beside these sentences."


def own_entries(recipe: Mapping[str, Any]) -> list[str]:
    """Return how many entries of its own a recipe has, as phrases."""
    text = recipe.get("text", {})
    parts = (
        _counted(recipe.get("attributes"), "rule for attributes", "rules for attributes"),
        _counted(text.get("regions"), "region that is always blanked", "regions that are always blanked"),
        _counted(text.get("authorized_words"), "word that may stay", "words that may stay"),
        _counted(len(recipe.get("insert", ())), "inserted attribute", "inserted attributes"),
    )
    return [part for part in parts if part]


def _counted(number: int | None, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}" if number else ""


def options_with_codes(recipe: Mapping[str, Any]) -> list[str]:
    """Return the options of a recipe with their codes of CID 7050."""
    return [f"{name} ({code})" for name, code in METHOD_CODES.items() if name in recipe.get("options", ())]
