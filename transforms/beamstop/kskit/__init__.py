"""kskit's and deidcm's functions under their own names."""

from beamstop.identity import gen_dicom_uid
from beamstop.kskit.attributes import attributes_row, deidentify_attributes, dicom2df
from beamstop.kskit.config import Config
from beamstop.kskit.images import (
    deidentify_image_dcm,
    deidentify_image_ndarray,
    deidentify_image_png,
    get_LUT_value,
    get_PIL_image,
    get_text_areas,
    hide_text,
    numpy2bytes,
    remove_authorized_words_from,
    save_deidentified_image_png,
)
from beamstop.kskit.recipes import get_general_rule, get_rule, get_specific_rule
from beamstop.recipe.kskit import (
    KskitRecipe,
    PseudonymiseByVR,
    Verb,
    is_kskit_recipe,
    pseudonymise,
    read_kskit_recipe,
    resolve_chain,
    rule_set,
)
from beamstop.recipe.load import load_recipe

__all__ = [
    "Config",
    "KskitRecipe",
    "PseudonymiseByVR",
    "Verb",
    "attributes_row",
    "deidentify_attributes",
    "deidentify_image_dcm",
    "deidentify_image_ndarray",
    "deidentify_image_png",
    "dicom2df",
    "gen_dicom_uid",
    "get_LUT_value",
    "get_PIL_image",
    "get_general_rule",
    "get_rule",
    "get_specific_rule",
    "get_text_areas",
    "hide_text",
    "is_kskit_recipe",
    "load_recipe",
    "numpy2bytes",
    "pseudonymise",
    "read_kskit_recipe",
    "remove_authorized_words_from",
    "resolve_chain",
    "rule_set",
    "save_deidentified_image_png",
]
