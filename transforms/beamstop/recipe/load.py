"""Loading recipes: those that ship, and YAML or JSON files, with errors that say file, line and remedy."""

import hashlib
import os
import warnings
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from beamstop.errors import RecipeError
from beamstop.given_files import read_given
from beamstop.recipe import kskit as kskit_recipe
from beamstop.recipe.mistakes import describe_mistakes
from beamstop.recipe.model import Recipe
from beamstop.rules.profile import CLEAN_PIXEL_DATA

_RENAMED = {"unvouched": "unknown_words"}


def load_recipe(name_or_path: str | os.PathLike[str] = "default") -> Recipe:
    """Return a recipe that ships with beamstop, or one from a YAML or JSON file.

    kskit's and deidcm's JSON recipes load unchanged.

    Args:
        name_or_path: `default`, `basic`, `research`, `strict`, `hipaa-safe-harbor`, `tcia`,
            `mammography-kskit`, or a path.

    Raises:
        RecipeError: says file, line or field, and the remedy.

    >>> load_recipe("basic").options
    []
    """
    recipe = parse_recipe(*read_recipe(name_or_path))
    if not _is_file(name_or_path):
        recipe._given = recipe.name
    else:
        recipe._folder = os.path.dirname(os.path.abspath(name_or_path))
    return recipe


def _is_file(name_or_path: str | os.PathLike[str]) -> bool:
    path = Path(name_or_path)
    return bool(path.suffix) or path.exists()


def read_recipe(name_or_path: str | os.PathLike[str]) -> tuple[str, str, str]:
    """Return text, file name and name of a recipe that ships, or of a file, as `parse_recipe` takes them.

    Raises:
        RecipeError: there is none.
    """
    path = Path(name_or_path)
    shipped = files("beamstop").joinpath("recipes", f"{name_or_path}.yaml")
    try:
        if _is_file(path):
            return read_given(path).decode(), path.name, path.stem
        return shipped.read_text(encoding="utf-8"), str(name_or_path), str(name_or_path)
    except UnicodeDecodeError:
        raise RecipeError(f"{path.name}: not a text file in UTF-8") from None
    except OSError as error:
        if _is_file(path) and not isinstance(error, FileNotFoundError):
            raise RecipeError(
                f"--recipe {name_or_path}: {error.strerror}; name a recipe or its file"
            ) from None
        known = ", ".join(recipe_names())
        raise RecipeError(f"--recipe {name_or_path}: no such file, and not one of {known}") from None


class _DoubledKeyError(MarkedYAMLError):
    """A mapping has a key twice; YAML and JSON would silently drop the first."""


class _Constructor(SafeConstructor):
    """Makes dictionaries, lists and numbers, and refuses duplicate keys."""

    def check_mapping_key(self, node: Any, key_node: Any, mapping: Any, key: Any, value: Any) -> bool:
        if key in mapping:
            problem = f"{key} stands here for the second time: join the two"
            raise _DoubledKeyError(problem=problem, problem_mark=key_node.start_mark)
        return True


def _yaml() -> YAML:
    """Return a reader of YAML 1.2, in which `NO` and `off` are words and a key stands once."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = _Constructor
    return yaml


def recipe_names() -> list[str]:
    """Return the names of the recipes that ship with beamstop."""
    folder = files("beamstop").joinpath("recipes")
    return sorted(
        entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml")
    )


def parse_recipe(text: str, file: str = "recipe", name: str = "recipe") -> Recipe:
    """Read a recipe from text; `file` is what errors and warnings call it.

    Fields of beamstop's, such as `uids` or `text`, may stand beside those of a kskit recipe.
    """
    try:
        document = _yaml().load(text)
    except RecursionError:
        raise RecipeError(f"{file}: nested too deeply for a recipe") from None
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        if isinstance(error, _DoubledKeyError):
            raise RecipeError(f"{file}{place}: {error.problem}") from None
        raise RecipeError(
            f"{file}{place}: not YAML or JSON; {getattr(error, 'problem', 'cannot be read')}"
        ) from None
    except ValueError:
        raise RecipeError(f"{file}: has a date or number that does not exist; put it in quotes") from None
    if not isinstance(document, Mapping):
        raise RecipeError(f"{file}: a recipe is a mapping of fields, such as options: [clean-pixel-data]")
    try:
        document, renamed = _renamed(document, file)
        given = hashlib.sha256(_canonical(document).encode()).hexdigest()
    except RecursionError:  # an alias within what it stands for
        raise RecipeError(f"{file}: nested too deeply for a recipe") from None
    if kskit_recipe.is_kskit_recipe(document):
        fields = {name: value for name, value in document.items() if name in Recipe.model_fields}
        document = {
            "kskit": {name: value for name, value in document.items() if name not in fields},
            "profile": "none",
            "unlisted": "remove",
            "options": [CLEAN_PIXEL_DATA],
            **fields,
        }
    try:
        recipe = Recipe.model_validate({"name": name, **document})
    except (ValidationError, RecipeError):
        raise RecipeError(describe_mistakes({"name": name, **document}, file, text)) from None
    recipe._renamed, recipe._given = renamed, given
    for warning in recipe.warnings:
        warnings.warn(f"{file}: {warning}", stacklevel=2)
    return recipe


def _canonical(value: Any) -> str:
    """Return a text that is the same for equal content, whatever its order and notation."""
    if isinstance(value, Mapping):
        return "{" + ",".join(sorted(f"{key!r}:{_canonical(it)}" for key, it in value.items())) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_canonical, value)) + "]"
    return repr(value)


def _renamed(document: Mapping[Any, Any], file: str) -> tuple[dict[Any, Any], tuple[str, ...]]:
    """Return a document with the names of earlier versions replaced, and a sentence for each of them.

    Raises:
        RecipeError: it has both names.
    """
    renamed, names = dict(document), []
    for old, new in _RENAMED.items():
        if old in renamed:
            if new in renamed:
                raise RecipeError(f"{file}: {old} is called {new} now: leave out {old}")
            renamed[new] = renamed.pop(old)
            names.append(f"{old} is called {new} now")
    text = renamed.get("text")
    if isinstance(text, Mapping) and text.get("ultrasound_regions") == "spare":
        renamed["text"] = {**text, "ultrasound_regions": "keep"}
        names.append("ultrasound_regions: spare is called ultrasound_regions: keep now")
    return renamed, tuple(names)


def recipe_schema() -> dict[str, Any]:
    """Return the JSON schema of a recipe."""
    return Recipe.model_json_schema()
