"""HideText: hide burned-in text, with one detector per worker process."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import apache_beam as beam
from apache_beam.utils.shared import Shared

from beamstop.chain import FinderLoader, hide_text
from beamstop.pixels.renditions import Picture
from beamstop.recipe.model import Recipe
from beamstop.text.hiding import TextBox, TextFinder
from beamstop_transforms.instance import Instance
from beamstop_transforms.step import StepFn, branches


class HideText(beam.PTransform):
    """Hide text in the pixels of every instance, if the recipe asks for it.

    Args:
        recipe: says whether, and what text.
        load_finder: makes the text detector for languages; called once per worker process, and only
            if the recipe asks for it. Must be picklable.
    """

    def __init__(self, recipe: Recipe, load_finder: FinderLoader) -> None:
        super().__init__()
        self._recipe = recipe
        self._load = load_finder

    def expand(self, instances: Any) -> Any:
        """Return `Branches`: the instances and the rows of those whose pixels could not be proved clean."""
        return branches(instances, _HideTextFn(self._recipe, self._load))


class _HideTextFn(StepFn):
    step = "HideText"
    column = "ms_pixels"

    def __init__(self, recipe: Recipe, load: FinderLoader) -> None:
        super().__init__()
        self._recipe = recipe
        self._load = load
        self._shared = Shared()
        self._finder: TextFinder | None = None

    def setup(self) -> None:
        # A detector that cannot be loaded breaks the run here, instead of failing every source.
        super().setup()
        if self._recipe.looks_at_pixels:
            languages = self._recipe.text_policy.languages
            self._finder = self._shared.acquire(partial(self._load, languages))

    def work(self, instance: Instance) -> None:
        if self._finder is not None:
            instance.engine = self._finder.fingerprint
        finder = _Timed(self._finder, instance) if self._finder is not None else None
        instance.pixels = hide_text(instance.read, self._recipe, finder)


class _Timed:
    """A finder that asks before each picture whether there is time left for the instance."""

    def __init__(self, finder: TextFinder, instance: Instance) -> None:
        self._finder = finder
        self._instance = instance
        self.fingerprint = finder.fingerprint

    def find(self, picture: Picture) -> list[TextBox]:
        self._instance.check_time()
        return self._finder.find(picture)

    def read(self, picture: Picture, boxes: Sequence[TextBox]) -> list[TextBox]:
        self._instance.check_time()
        return self._finder.read(picture, boxes)
