"""What is wrong with a recipe: every mistake with its line, and what may have been meant."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, SequenceNode

from beamstop.errors import RecipeError, did_you_mean
from beamstop.recipe.model import KINDS_OF_ENTRIES, Recipe

Location = tuple[int | str, ...]

_MOST = 20  # mistakes listed at once
_QUOTED = re.compile(r"'([^']*)'")
_MAPPINGS, _LISTS = (("attributes",), ("insert",)), (("bouncers",), ("text", "regions"), ("text", "leave"))


def describe_mistakes(document: Mapping[str, Any], file: str, text: str) -> str:
    """Return what is wrong with a recipe, a line for each mistake, in the order of the file.

    Args:
        document: as `Recipe` takes it; it refuses it.
        file: what the recipe is called.
        text: of the file.
    """
    found = {location: message for location, message in _mistakes(document) if location}
    if not found:
        return "\n".join(f"{file}: {message}" for _, message in _mistakes(document))
    told = sorted((_line_of(text, location), _named(location), said) for location, said in found.items())
    lines = [f"{file}, line {line}: {field}: {message}" for line, field, message in told]
    more = [f"{file}: and {len(lines) - _MOST} more"] if len(lines) > _MOST else []
    return "\n".join(lines[:_MOST] + more)


def _mistakes(document: Mapping[str, Any]) -> Iterator[tuple[Location, str]]:
    """Yield place and description of each mistake: of every entry by itself, and of the rest.

    A place that is empty is that of a mistake that shows in the whole alone.
    """
    places = set()
    for place, part in _entries(document):
        for location, message in _refusals({"profile": "none", **part}):
            # A list of one entry has it at 0.
            yield place + location[len(place) :], message
            places.add(place)
    for location, message in _refusals(document):
        is_told = any(
            place[: len(location)] == location or location[: len(place)] == place for place in places
        )
        if not is_told:
            yield location, message


def _refusals(document: Mapping[str, Any]) -> Iterator[tuple[Location, str]]:
    try:
        Recipe.model_validate(document)
    except ValidationError as error:
        for one in error.errors(include_url=False):
            yield one["loc"], _message(one)
    except RecipeError as error:
        yield (), str(error)


def _entries(document: Mapping[str, Any]) -> Iterator[tuple[Location, dict[str, Any]]]:
    """Yield the place of each attribute, value to insert, bouncer and region, and a recipe of it alone."""
    for where in (*_MAPPINGS, *_LISTS):
        value: Any = document
        for name in where:
            value = value.get(name) if isinstance(value, Mapping) else None
        if where in _MAPPINGS and isinstance(value, Mapping):
            for key, entry in value.items():
                yield (*where, key), _nested(where, {key: entry})
        elif where in _LISTS and isinstance(value, list):
            for number, entry in enumerate(value):
                yield (*where, number), _nested(where, [entry])


def _nested(where: tuple[str, ...], value: Any) -> dict[str, Any]:
    for name in reversed(where):
        value = {name: value}
    nested: dict[str, Any] = value
    return nested


def _message(error: Any) -> str:
    """Return what pydantic says in words for somebody who has never heard of it."""
    if error["type"] == "extra_forbidden":
        return "no such field" + did_you_mean(str(error["loc"][-1]), _fields_at(error["loc"][:-1]))
    if error["type"] in ("literal_error", "enum"):
        known = _QUOTED.findall(error["ctx"]["expected"])
        said = str(error["input"])
        near = did_you_mean(said, known)
        return f"{said!r}: no such value{near}" if near else f"{said!r} is none of {', '.join(known)}"
    message: str = error["msg"]
    return message.removeprefix("Value error, ")


def _fields_at(location: Location) -> list[str]:
    """Return the names of the fields that a mapping at a place of a recipe may have."""
    model: type[BaseModel] = Recipe
    for part in location:
        field = model.model_fields.get(str(part))
        model = _model_in(field.annotation) or model if field else model
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)


def _named(location: Location) -> str:
    """Return a place as it stands in the file: pydantic also names the kind of an entry."""
    return ".".join(
        str(part)
        for number, part in enumerate(location)
        if not str(part).startswith(("literal", "function"))
        and (part not in KINDS_OF_ENTRIES or part in location[:number])
    )


def _line_of(text: str, location: Location) -> int:
    """Return the line, from 1, of the deepest part of a location that stands in the text."""
    node = YAML(typ="safe", pure=True).compose(text)
    line = 0
    for part in location:
        if isinstance(node, MappingNode):
            entry = next(((key, value) for key, value in node.value if key.value == str(part)), None)
            if entry is None:
                break
            line, node = entry[0].start_mark.line, entry[1]
        elif isinstance(node, SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line
    return line + 1
