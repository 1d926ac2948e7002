"""De-identify DICOM datasets: rules, identity, text hiding, leak check.

The whole chain is `deidentify` and `deidentify_bytes`; its steps are the verbs `read_dicom`, `bounce`,
`hide_text`, `apply_recipe`, `insert`, `encode` and `check_leaks`. kskit's and deidcm's functions are in
`beamstop.kskit`, idiscore's classes in `beamstop.idiscore`, help for tests in `beamstop.testing`.

Nothing here imports Beam, no OCR library is loaded until text is searched for, and importing it changes
nothing for the program that does.
"""

import importlib
import warnings
from typing import Any

from beamstop.chain import Deidentified, deidentify, deidentify_bytes
from beamstop.changes import Change
from beamstop.dicom.files import Encoded, encode, read_dicom
from beamstop.dicom.limits import Limits
from beamstop.errors import (
    DeidError,
    Failed,
    KeyReferenceError,
    PixelError,
    Quarantined,
    RecipeError,
    Refusal,
    Rejected,
)
from beamstop.identity import Identity
from beamstop.keys import generate_key, resolve_key
from beamstop.ocr import load_detector
from beamstop.pixels.box import Box
from beamstop.recipe.load import load_recipe, parse_recipe, recipe_schema
from beamstop.recipe.model import Recipe
from beamstop.rules.bouncers import Bouncer
from beamstop.rules.operators import Context, Operator
from beamstop.standard.actions import Action
from beamstop.steps.apply_recipe import AttributeReport, apply_recipe
from beamstop.steps.bounce import bounce
from beamstop.steps.check_leaks import check_leaks
from beamstop.steps.hide_text import hide_text
from beamstop.steps.insert import insert
from beamstop.text.boxes import TextBox
from beamstop.text.detector import DetectorLoader, TextDetector, TextPolicy
from beamstop.text.hiding import PixelReport

__all__ = [
    "Action",
    "AttributeReport",
    "Bouncer",
    "Box",
    "Change",
    "Context",
    "DeidError",
    "Deidentified",
    "DetectorLoader",
    "Encoded",
    "Failed",
    "Identity",
    "KeyReferenceError",
    "Limits",
    "Operator",
    "PixelError",
    "PixelReport",
    "Quarantined",
    "Recipe",
    "RecipeError",
    "Refusal",
    "Rejected",
    "TextBox",
    "TextDetector",
    "TextPolicy",
    "apply_recipe",
    "bounce",
    "check_leaks",
    "deidentify",
    "deidentify_bytes",
    "encode",
    "generate_key",
    "hide_text",
    "insert",
    "load_detector",
    "load_recipe",
    "parse_recipe",
    "read_dicom",
    "recipe_schema",
    "resolve_key",
]

# Names of 0.1 that live elsewhere now; they go with the next version but one.
_MOVED = {
    "beamstop.kskit": (
        "deidentify_attributes",
        "deidentify_image_dcm",
        "deidentify_image_ndarray",
        "deidentify_image_png",
        "gen_dicom_uid",
        "get_LUT_value",
        "get_PIL_image",
        "get_general_rule",
        "get_rule",
        "get_specific_rule",
        "get_text_areas",
        "numpy2bytes",
        "remove_authorized_words_from",
        "save_deidentified_image_png",
    ),
    "beamstop.idiscore": (
        "PATIENT_IDENTITY_REMOVED",
        "Clean",
        "Core",
        "CriterionBouncer",
        "DICOMRuleSets",
        "Empty",
        "Hash",
        "HashUID",
        "Identifier",
        "Keep",
        "PrivateBlockTagIdentifier",
        "PrivateTags",
        "Profile",
        "RejectEncapsulatedImageStorage",
        "RejectKOGSPS",
        "RejectKeyObject",
        "RejectNonStandardDicom",
        "RejectPresentationState",
        "Remove",
        "RepeatingGroup",
        "Replace",
        "Rule",
        "RuleSet",
        "SetFixedValue",
        "SingleTag",
        "TagPath",
        "get_deidentification_method",
        "get_idis_code_sequence",
    ),
}


def __getattr__(name: str) -> Any:
    for module, names in _MOVED.items():
        if name in names:
            warnings.warn(f"beamstop.{name} is {module}.{name} now", DeprecationWarning, stacklevel=2)
            return getattr(importlib.import_module(module), name)
    if name == "TextFinder":
        warnings.warn("beamstop.TextFinder is beamstop.TextDetector now", DeprecationWarning, stacklevel=2)
        return TextDetector
    raise AttributeError(f"module 'beamstop' has no attribute {name!r}")
