"""Deidentify, DeidentifyFiles: the whole chain from instances, or from patterns, to clean instances."""

from dataclasses import dataclass, field

import apache_beam as beam
from apache_beam.pipeline import Pipeline
from apache_beam.pvalue import PCollection

from beamstop.dicom.limits import DEFAULT_LIMITS, Limits
from beamstop.ocr import load_detector
from beamstop.recipe.model import Recipe
from beamstop.text.detector import DetectorLoader
from beamstop_transforms.apply_recipe import ApplyRecipe
from beamstop_transforms.bounce import Bounce
from beamstop_transforms.check_leaks import CheckLeaks
from beamstop_transforms.group_series import GroupSeries
from beamstop_transforms.hide_text import HideText
from beamstop_transforms.insert import Insert
from beamstop_transforms.instance import Instance
from beamstop_transforms.match import Match
from beamstop_transforms.read import ReadDicom
from beamstop_transforms.redistribute import Redistribute
from beamstop_transforms.remove_face import RemoveFace
from beamstop_transforms.step import Attempted, Branches, Step, Transform, branches
from beamstop_transforms.subjects import StagedSubjects


@dataclass(eq=False)
class Deidentify(Transform):
    """De-identify every instance, header and pixels, and check the result; one fused chain.

    The order of the steps is defined here and in `beamstop.chain`.

    Attributes:
        recipe: the recipe to apply.
        key: reference of the run's key (`file:…`, `env:…`, `secret:…`), resolved on each worker.
        load_detector: makes the text detector if the recipe needs one; must be picklable.
        detail: also keep one change per element, for the audit's `changes`.
        limits: instances beyond them are failed.
        subjects: a table of subjects, from `stage_subjects`; None if there is none.
        grouped: the sources come from `GroupSeries`; a recipe about faces needs it.

    Raises:
        RecipeError: the recipe is about faces, which are judged by whole series, and `grouped` is not
            set.
    """

    recipe: Recipe
    key: str = field(repr=False)
    load_detector: DetectorLoader = load_detector
    detail: bool = True
    limits: Limits = DEFAULT_LIMITS
    subjects: StagedSubjects | None = None
    grouped: bool = False

    def __post_init__(self) -> None:
        """Refuse a recipe that needs whole series unless sources are grouped."""
        if not self.grouped:
            self.recipe.check_alone()

    def steps(self) -> dict[str, Step]:
        """Return label in the graph → step, in order."""
        return {
            "Bounce": Bounce(self.recipe, self.key, self.subjects),
            "RemoveFace": RemoveFace(self.recipe),
            "HideText": HideText(self.recipe, self.load_detector, self.key),
            "BounceAgain": Bounce(self.recipe, self.key, self.subjects),
            "ApplyRecipe": ApplyRecipe(self.recipe, self.key, self.detail, self.limits.depth, self.subjects),
            "Insert": Insert(self.recipe),
            "CheckLeaks": CheckLeaks(),
        }

    def expand(self, instances: PCollection[Instance]) -> Branches:
        """Take instances that were read; return the clean ones, and the audit rows of all others."""
        return branches(self.attempted(instances))

    def attempted(self, instances: PCollection[Instance]) -> PCollection[Instance]:
        """Return all instances, including refused ones."""
        for label, step in self.steps().items():
            instances = instances | label >> Attempted(step)
        return instances


@dataclass(eq=False)
class DeidentifyFiles(Transform):
    """Find files and de-identify each, from patterns to clean instances.

    Attributes:
        inputs: files, folders (recursive), globs, `gs://bucket/prefix/**`.
        recipe, key, load_detector, detail, limits, subjects: see `Deidentify`.
    """

    inputs: tuple[str, ...] | list[str] = field(repr=False)
    recipe: Recipe
    key: str = field(repr=False)
    load_detector: DetectorLoader = load_detector
    detail: bool = True
    limits: Limits = DEFAULT_LIMITS
    subjects: StagedSubjects | None = None

    def expand(self, pipeline: Pipeline) -> Branches:
        """Return the clean instances, and the audit rows of all other sources."""
        sources = pipeline | Match(self.inputs) | Redistribute()
        sources = sources | GroupSeries(self.recipe, self.key, self.limits)
        read = sources | ReadDicom(self.key, self.limits)
        clean = read.instances | Deidentify(
            self.recipe, self.key, self.load_detector, self.detail, self.limits, self.subjects, grouped=True
        )
        return Branches(clean.instances, (read.refused, clean.refused) | "Refused" >> beam.Flatten())
