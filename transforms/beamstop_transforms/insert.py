"""Insert: record in every clean instance how it was de-identified."""

from dataclasses import dataclass

from beamstop.recipe.model import Recipe
from beamstop.steps.insert import insert
from beamstop.text.hiding import PixelReport
from beamstop_transforms.instance import Instance
from beamstop_transforms.step import Step, Work


@dataclass(eq=False)
class Insert(Step):
    """Write into every instance what RemoveFace, HideText and ApplyRecipe did to it.

    Attributes:
        recipe: that was applied.
    """

    recipe: Recipe
    column = "ms_attributes"

    def begin(self) -> Work:
        """Return the work on an instance."""

        def work(instance: Instance) -> None:
            pixels = instance.pixels or PixelReport()
            instance.methods = insert(
                instance.dataset, self.recipe, pixels.examined, pixels.text_hidden, instance.face
            )

        return work
