"""Bounce: reject instances that the recipe's bouncers do not admit."""

from dataclasses import dataclass, field

from beamstop.recipe.model import Recipe
from beamstop.steps.bounce import bounce
from beamstop_transforms.instance import Instance
from beamstop_transforms.step import Step, Work
from beamstop_transforms.subjects import StagedSubjects


@dataclass(eq=False)
class Bounce(Step):
    """Let the recipe's bouncers check every instance.

    This step runs twice, before HideText and after it. After it, bouncers that check BurnedInAnnotation know
    whether the pixels were cleaned, and those that check RecognizableVisualFeatures whether a face was
    removed.

    Attributes:
        recipe: names the bouncers.
        key: reference of the run's key; needed with a table of subjects.
        subjects: the table of subjects, which says who is admitted; None if there is none.
    """

    recipe: Recipe
    key: str = field(default="", repr=False)
    subjects: StagedSubjects | None = None

    def begin(self) -> Work:
        """Return the work on an instance."""
        table = self.subjects.open(self.recipe, self.key) if self.subjects is not None else None
        bouncers = self.recipe.bouncers_of(table)
        removes_faces = self.recipe.face_action == "remove"

        def work(instance: Instance) -> None:
            cleaned = instance.pixels.examined if instance.pixels is not None else None
            faceless = instance.face is None or instance.face.is_proved
            bounce(instance.dataset, bouncers, cleaned, faceless if removes_faces else None)

        return work
