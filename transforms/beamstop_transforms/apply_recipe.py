"""ApplyRecipe: de-identify the attributes of every instance."""

from typing import Any

import apache_beam as beam

from beamstop.dicom.limits import MAX_DEPTH
from beamstop.keys import resolve_key
from beamstop.recipe.model import Recipe
from beamstop.steps.apply_recipe import apply_recipe
from beamstop_transforms.instance import Instance
from beamstop_transforms.step import StepFn, branches


class ApplyRecipe(beam.PTransform):
    """Apply one recipe to the attributes of every instance, at every depth.

    Args:
        recipe: what is done.
        key: reference of the run's key, resolved on the worker.
        detail: also keep one change per element, for the audit's `changes`.
        max_depth: an instance with more items in items is failed.
    """

    def __init__(self, recipe: Recipe, key: str, detail: bool = True, max_depth: int = MAX_DEPTH) -> None:
        super().__init__()
        self._arguments = (recipe, key, detail, max_depth)

    def expand(self, instances: Any) -> Any:
        """Return `Branches`: the de-identified instances and the rows of those that failed."""
        return branches(instances, _ApplyRecipeFn(*self._arguments))


class _ApplyRecipeFn(StepFn):
    step = "ApplyRecipe"
    column = "ms_attributes"

    def __init__(self, recipe: Recipe, key: str, detail: bool, max_depth: int) -> None:
        super().__init__()
        self._recipe = recipe
        self._key = key
        self._detail = detail
        self._max_depth = max_depth

    def setup(self) -> None:
        super().setup()
        self._identity = self._recipe.identity(resolve_key(self._key))

    def work(self, instance: Instance) -> None:
        instance.attributes = apply_recipe(
            instance.read, self._recipe, self._identity, instance.source_id, self._detail, self._max_depth
        )
