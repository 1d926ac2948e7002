"""Recipes that ship, as tests of everything but faces want them."""

from beamstop.recipe.load import parse_recipe, read_recipe
from beamstop.recipe.model import Recipe


def letting_heads_in(name: str) -> Recipe:
    """Return a recipe that ships, without the bouncer that turns away what may show a face."""
    text, file, name = read_recipe(name)
    return parse_recipe(text.replace("  - possible-face", "  #"), file, name)
