"""Insert: let every clean instance say how it was de-identified."""

from typing import Any

import apache_beam as beam

from beamstop.recipe.model import Recipe
from beamstop.steps.insert import insert
from beamstop.text.hiding import PixelReport
from beamstop_transforms.instance import Instance
from beamstop_transforms.step import StepFn, branches


class Insert(beam.PTransform):
    """Write into every instance what was done to it, by HideText and ApplyRecipe."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self._recipe = recipe

    def expand(self, instances: Any) -> Any:
        """Return `Branches`: the instances and the rows of those that failed."""
        return branches(instances, _InsertFn(self._recipe))


class _InsertFn(StepFn):
    step = "Insert"
    column = "ms_attributes"

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self._recipe = recipe

    def work(self, instance: Instance) -> None:
        pixels = instance.pixels or PixelReport()
        instance.methods = insert(instance.read, self._recipe, pixels.examined, pixels.text_hidden)
