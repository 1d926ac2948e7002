"""kskit's look-ups of rules, in its own recipes and in beamstop's."""

from collections.abc import Mapping, Sequence
from typing import Any

from beamstop.recipe.kskit import KskitRecipe, Verb, general_verb, read_kskit_recipe, specific_verb
from beamstop.recipe.model import Recipe
from beamstop.rules.tag_identifiers import SingleTag
from beamstop.standard.actions import Action

_CLOSEST = {Action.K: Verb.CONSERVER, Action.Z: Verb.EFFACER, Action.X: Verb.RETIRER}


def get_rule(tag: int | str, recipe: KskitRecipe | Recipe | Mapping[str, Any]) -> Verb:
    """Return the verb for an attribute by itself; see `general_verb`.

    Args:
        tag: a number, or text as the recipe has it.
        recipe: kskit's document itself, or what `read_kskit_recipe` made of it, or any that `load_recipe`
            returns: then the verb is the one closest to what would be done.

    >>> recipe = read_kskit_recipe({"0x00020000": ["FileMetaInformationGroupLength", "UL", "CONSERVER"]})
    >>> print(get_rule("0x00020000", recipe))
    CONSERVER
    >>> print(get_rule("0x00026666", recipe))
    RETIRER
    """
    number = _number(tag)
    if isinstance(recipe, Recipe):
        if recipe.kskit is None:
            plan = recipe.planner.plan((number,), "" if number & 0x10000 else None, None, "")
            return _CLOSEST.get(plan.action, Verb.PSEUDONYMISER)
        recipe = recipe.kskit
    return general_verb(number, _as_read(recipe))


get_general_rule = get_rule  # deidcm's name for it


def get_specific_rule(tags: Sequence[int | str], recipe: KskitRecipe | Mapping[str, Any]) -> Verb | None:
    """Return the verb for an attribute because of a sequence around it, or None.

    Args:
        tags: from top level to the attribute, numbers or text.
        recipe: kskit's document itself, or what `read_kskit_recipe` made of it.
    """
    return specific_verb([_number(tag) for tag in tags], _as_read(recipe))


def _number(tag: int | str) -> int:
    return SingleTag(tag).tag


def _as_read(recipe: KskitRecipe | Mapping[str, Any]) -> KskitRecipe:
    return read_kskit_recipe(recipe) if isinstance(recipe, Mapping) else recipe
