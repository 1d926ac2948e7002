"""deidcm's `Config`: a recipe and authorised words from two files."""

from os import PathLike

from beamstop.given_files import read_given
from beamstop.recipe.load import load_recipe
from beamstop.recipe.model import Recipe


class Config:
    """A recipe and authorised words, to pass to the functions that take them.

    deidcm keeps the first one of a process for all functions, and uses its built-in recipe if the file is
    missing. Here there is no hidden state, and a missing file is an error.

    Attributes:
        recipe: as `load_recipe` reads it; `mammography-kskit` where no path is given.
        authorized_words: one a line of the file, upper case; none where no path is given.

    Args:
        recipe_path: of a recipe, kskit's or beamstop's.
        authorized_words_path: of a text in UTF-8.

    Raises:
        RecipeError: the recipe cannot be used.
        OSError: the words cannot be read.
    """

    def __init__(
        self,
        recipe_path: str | PathLike[str] | None = None,
        authorized_words_path: str | PathLike[str] | None = None,
    ) -> None:
        self.recipe: Recipe = load_recipe(recipe_path or "mammography-kskit")
        self.authorized_words: tuple[str, ...] = ()
        if authorized_words_path is not None:
            lines = read_given(authorized_words_path).decode("utf-8-sig").splitlines()
            self.authorized_words = tuple(word for line in lines if (word := line.strip().upper()))
