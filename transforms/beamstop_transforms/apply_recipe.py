"""ApplyRecipe: de-identify the attributes of every instance."""

from dataclasses import dataclass, field

from beamstop.dicom.limits import MAX_DEPTH
from beamstop.keys import resolve_key
from beamstop.recipe.model import Recipe
from beamstop.steps.apply_recipe import apply_recipe
from beamstop_transforms.instance import Instance
from beamstop_transforms.step import Step, Work
from beamstop_transforms.subjects import StagedSubjects


@dataclass(eq=False)
class ApplyRecipe(Step):
    """Apply one recipe to the attributes of every instance, at every depth.

    Attributes:
        recipe: the recipe to apply.
        key: reference of the run's key, resolved on the worker.
        detail: also keep one change per element, for the audit's `changes`.
        max_depth: instances with more deeply nested items are failed.
        subjects: the table of subjects; None if there is none.
    """

    recipe: Recipe
    key: str = field(repr=False)
    detail: bool = True
    max_depth: int = MAX_DEPTH
    subjects: StagedSubjects | None = None
    column = "ms_attributes"

    def begin(self) -> Work:
        """Return the work on an instance."""
        table = self.subjects.open(self.recipe, self.key) if self.subjects is not None else None
        identity = self.recipe.identity(resolve_key(self.key), table)

        def work(instance: Instance) -> None:
            instance.report = apply_recipe(
                instance.dataset, self.recipe, identity, instance.source_id, self.detail, self.max_depth
            )

        return work
