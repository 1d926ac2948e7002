"""RemoveFace: apply the recipe to the face in every instance, by the finding for its series."""

from dataclasses import dataclass

from beamstop.recipe.model import Recipe
from beamstop.steps.judge_face import judge_face
from beamstop_transforms.instance import Instance
from beamstop_transforms.step import Step, Work


@dataclass(eq=False)
class RemoveFace(Step):
    """Treat the face of every instance as the recipe says, by the finding of GroupSeries.

    If the recipe leaves faces alone, the step only notes which instances may show one, by their headers.

    Attributes:
        recipe: decides what happens to faces.
    """

    recipe: Recipe
    column = "ms_pixels"

    def begin(self) -> Work:
        """Return the function that treats one instance in place."""
        action = self.recipe.face_action

        def work(instance: Instance) -> None:
            instance.face = judge_face(instance.dataset, action, instance.source.face)

        return work
