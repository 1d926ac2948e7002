"""What `beamstop` exports; `__init__` loads each name from its module when it is first used."""

from .chain import Deidentified, deidentify, deidentify_bytes, load_subjects
from .changes import Change
from .dicom.files import Encoded, encode, read_dicom
from .dicom.limits import Limits
from .errors import (
    DeidError,
    Failed,
    KeyReferenceError,
    PixelError,
    Quarantined,
    RecipeError,
    Refusal,
    Rejected,
    SubjectsError,
)
from .faces.series import FaceFinding
from .identity import Identity
from .keys import generate_key, resolve_key
from .ocr import load_detector
from .pixels.box import Box
from .recipe.load import load_recipe, parse_recipe, recipe_schema
from .recipe.model import Recipe
from .rules.bouncers import Bouncer
from .rules.operators import Context, Operator
from .standard.actions import Action
from .steps.apply_recipe import AttributeReport, apply_recipe
from .steps.bounce import bounce
from .steps.check_leaks import check_leaks
from .steps.hide_text import hide_text
from .steps.insert import insert
from .steps.judge_face import FaceNote
from .subjects import Subjects
from .text.boxes import TextBox
from .text.detector import DetectorLoader, TextDetector, TextPolicy
from .text.hiding import PixelReport

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
    "FaceFinding",
    "FaceNote",
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
    "Subjects",
    "SubjectsError",
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
    "load_subjects",
    "parse_recipe",
    "read_dicom",
    "recipe_schema",
    "resolve_key",
]
