"""Bounce: turn away what the recipe's bouncers do not admit."""

from dataclasses import dataclass

from beamstop.recipe.model import Recipe
from beamstop.steps.bounce import bounce
from beamstop_transforms.instance import Instance
from beamstop_transforms.step import Step, Work


@dataclass(eq=False)
class Bounce(Step):
    """Ask the recipe's bouncers about every instance.

    Before HideText this is the first look, after it the second: then bouncers that look at
    BurnedInAnnotation know whether the pixels were cleaned.

    Attributes:
        recipe: names the bouncers.
    """

    recipe: Recipe

    def begin(self) -> Work:
        """Return the work on an instance."""

        def work(instance: Instance) -> None:
            cleaned = instance.pixels.examined if instance.pixels is not None else None
            bounce(instance.dataset, self.recipe.bouncer_instances, cleaned)

        return work
