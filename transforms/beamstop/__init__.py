"""De-identify DICOM datasets: rules, identity, text hiding, leak check.

Nothing here imports Beam, and no OCR library is loaded until a picture is looked at.
"""

from beamstop.chain import Deidentified, deidentify, deidentify_bytes
from beamstop.changes import Change
from beamstop.dicom.tags import (
    Identifier,
    PrivateBlockTagIdentifier,
    PrivateTags,
    RepeatingGroup,
    SingleTag,
    TagPath,
)
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
from beamstop.idiscore import Core
from beamstop.keys import generate_key, resolve_key
from beamstop.kskit.attributes import (
    deidentify_attributes,
    deidentify_image_dcm,
    deidentify_image_ndarray,
    deidentify_image_png,
    gen_dicom_uid,
    get_general_rule,
    get_LUT_value,
    get_PIL_image,
    get_rule,
    get_specific_rule,
    get_text_areas,
    hide_text,
    numpy2bytes,
    remove_authorized_words_from,
    save_deidentified_image_png,
)
from beamstop.recipe.model import Recipe, load_recipe, parse_recipe, recipe_schema
from beamstop.rules.bouncers import (
    Bouncer,
    CriterionBouncer,
    RejectEncapsulatedImageStorage,
    RejectKeyObject,
    RejectKOGSPS,
    RejectNonStandardDicom,
    RejectPresentationState,
)
from beamstop.rules.operators import (
    Clean,
    Context,
    Empty,
    Hash,
    HashUID,
    Keep,
    Operator,
    Remove,
    Replace,
    SetFixedValue,
)
from beamstop.rules.profile import DICOMRuleSets
from beamstop.rules.rules import Profile, Rule, RuleSet
from beamstop.standard.actions import Action
from beamstop.steps.insert import (
    PATIENT_IDENTITY_REMOVED,
    get_deidentification_method,
    get_idis_code_sequence,
)
from beamstop.text.hiding import PixelReport, TextBox, TextFinder, TextPolicy

__all__ = [
    "PATIENT_IDENTITY_REMOVED",
    "Action",
    "Bouncer",
    "Change",
    "Clean",
    "Context",
    "Core",
    "CriterionBouncer",
    "DICOMRuleSets",
    "DeidError",
    "Deidentified",
    "Empty",
    "Failed",
    "Hash",
    "HashUID",
    "Identifier",
    "Keep",
    "KeyReferenceError",
    "Operator",
    "PixelError",
    "PixelReport",
    "PrivateBlockTagIdentifier",
    "PrivateTags",
    "Profile",
    "Quarantined",
    "Recipe",
    "RecipeError",
    "Refusal",
    "RejectEncapsulatedImageStorage",
    "RejectKOGSPS",
    "RejectKeyObject",
    "RejectNonStandardDicom",
    "RejectPresentationState",
    "Rejected",
    "Remove",
    "RepeatingGroup",
    "Replace",
    "Rule",
    "RuleSet",
    "SetFixedValue",
    "SingleTag",
    "TagPath",
    "TextBox",
    "TextFinder",
    "TextPolicy",
    "deidentify",
    "deidentify_attributes",
    "deidentify_bytes",
    "deidentify_image_dcm",
    "deidentify_image_ndarray",
    "deidentify_image_png",
    "gen_dicom_uid",
    "generate_key",
    "get_LUT_value",
    "get_PIL_image",
    "get_deidentification_method",
    "get_general_rule",
    "get_idis_code_sequence",
    "get_rule",
    "get_specific_rule",
    "get_text_areas",
    "hide_text",
    "load_recipe",
    "numpy2bytes",
    "parse_recipe",
    "recipe_schema",
    "remove_authorized_words_from",
    "resolve_key",
    "save_deidentified_image_png",
]
