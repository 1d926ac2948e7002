"""Operators and bouncers that a recipe names by the import path of their class."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from beamstop.errors import RecipeError

_T = TypeVar("_T")
_PUBLIC = ("beamstop", "beamstop.kskit", "beamstop.idiscore")


def public_path(path: str) -> str:
    """Return the public path of one of beamstop's classes, by any of its paths; other paths stay.

    So recipes that name a class by a path of an earlier version load, and have the same digest.

    >>> public_path("beamstop.kskit_recipe.PseudonymiseByVR"), public_path("ours.Shout")
    ('beamstop.kskit.PseudonymiseByVR', 'ours.Shout')
    """
    name = path.rpartition(".")[2]
    packages = _PUBLIC if path.startswith("beamstop.") else ()
    homes = (package for package in packages if name in importlib.import_module(package).__all__)
    return next((f"{package}.{name}" for package in homes), path)


def make_instance(path: str, base: Callable[..., _T], arguments: Mapping[str, Any]) -> _T:
    """Return an object of a class; a recipe is code.

    Args:
        path: where the class is imported from.
        base: what it must be a subclass of.
        arguments: of its constructor, by name.

    Raises:
        RecipeError: it cannot be imported, or is no such class.
    """
    module, _, name = path.rpartition(".")
    try:
        kind = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError):
        raise RecipeError(f"{path}: cannot be imported; install it where the workers run") from None
    if not (isinstance(kind, type) and isinstance(base, type) and issubclass(kind, base)):
        raise RecipeError(f"{path}: not a subclass of {base}")
    return cast(_T, kind(**arguments))
