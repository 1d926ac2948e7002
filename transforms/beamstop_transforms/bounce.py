"""Bounce: turn away what the recipe's bouncers do not admit."""

from typing import Any

import apache_beam as beam

from beamstop.recipe.model import Recipe
from beamstop.rules.bouncers import bounce
from beamstop_transforms.instance import Instance
from beamstop_transforms.step import StepFn, branches


class Bounce(beam.PTransform):
    """Ask the recipe's bouncers about every instance.

    Before HideText this is the first look, after it the second: then bouncers that look at
    BurnedInAnnotation know whether the pixels were cleaned.
    """

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self._recipe = recipe

    def expand(self, instances: Any) -> Any:
        """Return `Branches`: the admitted instances and the rows of the rejected."""
        return branches(instances, _BounceFn(self._recipe))


class _BounceFn(StepFn):
    step = "Bounce"

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self._recipe = recipe

    def work(self, instance: Instance) -> None:
        cleaned = instance.pixels.examined if instance.pixels is not None else None
        bounce(instance.read, self._recipe.doormen, cleaned)
