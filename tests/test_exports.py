"""What users may import: pinned, and complete."""

import dataclasses
import importlib
import inspect
import re
import types
import typing
import warnings

import apache_beam as beam
import pytest

import beamstop
import beamstop.idiscore
import beamstop.kskit
import beamstop.testing
import beamstop_transforms

OF_THE_HOUSE = {
    "OriginalIds",
    "original_ids",
    "apply_plans",
    "clean_frames_of",
    "code_items",
}
VERBS = {"read_dicom", "bounce", "hide_text", "apply_recipe", "insert", "check_leaks", "encode"}
TRANSFORMS = {
    *("ApplyRecipe", "Bounce", "CheckLeaks", "Deidentify", "DeidentifyFiles", "GroupSeries", "HideText"),
    *("Insert", "Match", "ReadDicom", "Redistribute", "ResolveDuplicates", "SkipDecided"),
    *("RemoveFace", "WriteAudit", "WriteDicom"),
}
TYPES = {
    *("Branches", "Decisions", "Instance", "JobOutputs", "Resolved", "Run", "Skipping", "Source", "Target"),
    *("Attempts", "StagedSubjects", "Work", "Written"),
}


def test_the_core_exports_its_verbs_and_what_they_take_and_give() -> None:
    assert set(beamstop.__all__) - VERBS == {
        *("Action", "AttributeReport", "Bouncer", "Box", "Change", "Context", "DeidError", "Deidentified"),
        *("FaceFinding", "FaceNote"),
        *("DetectorLoader", "Encoded", "Failed", "Identity", "KeyReferenceError", "Limits", "Operator"),
        *(
            "PixelError",
            "PixelReport",
            "Quarantined",
            "Recipe",
            "RecipeError",
            "Refusal",
            "Rejected",
            "TextBox",
        ),
        *("TextDetector", "TextPolicy", "deidentify", "deidentify_bytes", "generate_key", "load_detector"),
        *("load_recipe", "parse_recipe", "recipe_schema", "resolve_key"),
        *("Subjects", "SubjectsError", "load_subjects"),
    }
    assert set(beamstop.__all__) >= VERBS


def test_the_transforms_are_exported_with_the_types_they_need() -> None:
    assert set(beamstop_transforms.__all__) == TRANSFORMS | TYPES | {"new_run_id", "stage_subjects"}


@pytest.mark.parametrize(
    "module", [beamstop, beamstop.kskit, beamstop.idiscore, beamstop.testing, beamstop_transforms]
)
def test_exports_are_sorted_there_once_and_described(module: types.ModuleType) -> None:
    assert all(hasattr(module, name) for name in module.__all__)
    assert len(set(module.__all__)) == len(module.__all__)
    objects = [getattr(module, name) for name in module.__all__]
    described = [it for it in objects if isinstance(it, type | types.FunctionType)]
    assert [it for it in described if not inspect.getdoc(it)] == []


def named_types(hint: object) -> set[type]:
    """Return the classes of ours that a type hint names."""
    found = {hint} if isinstance(hint, type) and hint.__module__.startswith("beamstop") else set()
    return found.union(*(named_types(it) for it in typing.get_args(hint)), set())


def exported() -> set[object]:
    return {getattr(package, name) for package in (beamstop, beamstop_transforms) for name in package.__all__}


@pytest.mark.parametrize("name", sorted(TRANSFORMS))
def test_every_type_that_a_transform_takes_or_returns_is_exported(name: str) -> None:
    transform = getattr(beamstop_transforms, name)
    assert issubclass(transform, beam.PTransform)
    assert dataclasses.is_dataclass(transform)
    hints = [*typing.get_type_hints(transform).values()]
    hints += typing.get_type_hints(transform.expand).values()
    assert {it.__name__ for hint in hints for it in named_types(hint) - exported()} == set()


@pytest.mark.parametrize("function", sorted(VERBS | {"deidentify", "deidentify_bytes", "load_recipe"}))
def test_every_type_that_a_function_takes_or_returns_is_exported(function: str) -> None:
    hints = typing.get_type_hints(getattr(beamstop, function))
    assert {it.__name__ for hint in hints.values() for it in named_types(hint) - exported()} == set()


def test_what_is_public_in_a_verb_s_module_is_exported_or_a_part_of_the_house() -> None:
    """A public function of `steps` that is not exported is one that was forgotten."""
    forgotten = []
    for verb in ("bounce", "hide_text", "apply_recipe", "insert", "check_leaks"):
        module = importlib.import_module(f"beamstop.steps.{verb}")
        own = [name for name, it in vars(module).items() if getattr(it, "__module__", "") == module.__name__]
        public = {name for name in own if not name.startswith("_")}
        forgotten += sorted(public - {*beamstop.__all__, *beamstop.idiscore.__all__, *OF_THE_HOUSE})
    assert forgotten == []


@pytest.mark.parametrize(
    ("name", "home"), [(name, home) for home, names in beamstop._MOVED.items() for name in names]
)
def test_old_names_still_work_and_say_where_they_are(name: str, home: str) -> None:
    assert name not in beamstop.__all__
    with pytest.warns(DeprecationWarning, match=re.escape(f"{home}.{name}")):
        found = getattr(beamstop, name)
    assert found is getattr(importlib.import_module(home), name)


def test_hide_text_is_the_step_and_kskits_painter_is_under_its_roof() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert beamstop.hide_text is not beamstop.kskit.hide_text
    parameters = list(inspect.signature(beamstop.hide_text).parameters)
    assert parameters == ["dataset", "recipe", "detector", "identity"]


def test_a_name_that_never_was_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = beamstop.no_such_name
