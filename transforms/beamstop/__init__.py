"""De-identify DICOM datasets: rules, identity, text hiding, leak check.

The whole chain is `deidentify` and `deidentify_bytes`; its steps are the verbs `read_dicom`, `bounce`,
`hide_text`, `apply_recipe`, `insert`, `encode` and `check_leaks`. kskit's and deidcm's functions are in
`beamstop.kskit`, idiscore's classes in `beamstop.idiscore`, help for tests in `beamstop.testing`.

Nothing here imports Beam, no OCR library is loaded until text is searched for, and an import changes nothing
in the program that imports it.
"""

import importlib
import warnings
from typing import Any

import lazy_loader

from beamstop.dicom.gdcm_import import import_gdcm_beside_dl

import_gdcm_beside_dl()
_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

# Names of 0.1 that have moved; the version after the next one removes them.
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
        name = "TextDetector"
    return _load(name)
