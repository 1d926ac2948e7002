"""The chain for one instance: bounce, hide text, bounce again, apply the recipe, insert, check for leaks.

The order of the steps is defined here, in `run_steps`, and in the graph, in `beamstop_transforms.deidentify`.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field

from pydicom.dataset import Dataset

from beamstop import ocr
from beamstop.changes import Change
from beamstop.dicom.files import Encoded, copy_of, encode, read_dicom
from beamstop.dicom.pydicom_guards import guarded
from beamstop.errors import SubjectsError
from beamstop.identity import Identity
from beamstop.recipe.model import Recipe
from beamstop.rules.bouncers import Bouncer
from beamstop.rules.plans import Planner
from beamstop.steps.apply_recipe import AttributeReport, apply_plans
from beamstop.steps.bounce import bounce
from beamstop.steps.check_leaks import check_leaks
from beamstop.steps.hide_text import hide_text
from beamstop.steps.insert import insert
from beamstop.subjects import Subjects, compiled
from beamstop.text.detector import DetectorLoader, TextDetector
from beamstop.text.hiding import PixelReport


@dataclass(frozen=True)
class Deidentified:
    """A de-identified dataset and what was done to it.

    Attributes:
        dataset: a new one; the original is unchanged. `dataset.save_as(path)` writes a Part 10 file.
        changes: one entry per element acted on and per text box.
        methods: the CID 7050 codes applied.
    """

    dataset: Dataset
    changes: tuple[Change, ...]
    methods: tuple[str, ...]


@dataclass
class Finished:
    """The results of the steps for one instance; if a step refused it, those of the steps before.

    Attributes:
        pixels: of HideText.
        attributes: of ApplyRecipe.
        methods: the CID 7050 codes that Insert wrote.
        encoded: the finished file.
        checked: how many identifiers CheckLeaks searched for.
    """

    pixels: PixelReport = field(default_factory=PixelReport)
    attributes: AttributeReport = field(default_factory=AttributeReport)
    methods: tuple[str, ...] = ()
    encoded: Encoded = field(default_factory=lambda: Encoded(b"", b""))
    checked: int = 0


@dataclass(frozen=True)
class Steps:
    """The steps of the chain: from a recipe, or combined by hand, as in `idiscore.Core`.

    Attributes:
        bouncers: may reject an instance.
        hide_text: hides text in the pixels of a dataset, in place; None to leave the step out.
        planner: decides about each attribute.
        insert: records in a dataset what was done to it; returns the CID 7050 codes.
        needs_uids: SOP Class and Instance UID must be present, as in a file (PS3.10 7.1).
    """

    bouncers: tuple[Bouncer, ...]
    hide_text: Callable[[Dataset], PixelReport] | None
    planner: Planner
    insert: Callable[[Dataset, PixelReport], tuple[str, ...]]
    needs_uids: bool = True

    @classmethod
    def of(cls, recipe: Recipe, detector: TextDetector | None, identity: Identity) -> "Steps":
        """Return the steps for a recipe, with the identity's table of subjects."""
        return cls(
            recipe.bouncers_of(identity.subjects),
            lambda dataset: hide_text(dataset, recipe, detector, identity),
            recipe.planner,
            lambda dataset, pixels: insert(dataset, recipe, pixels.examined, pixels.text_hidden),
        )


def run(
    dataset: Dataset,
    recipe: Recipe,
    identity: Identity,
    detector: TextDetector | None,
    detail: bool = False,
    finished: Finished | None = None,
) -> Finished:
    """Run the whole chain on one dataset, in place.

    Args:
        dataset: as read; of one made in code, a copy by `copy_of`.
        recipe: the recipe to apply.
        identity: `recipe.identity(key, subjects)`; makes stand-ins.
        detector: finds text; may be None if the recipe leaves pixels alone.
        detail: also report one `Change` per element acted on.
        finished: filled in step by step, so that a caller sees how far a refused instance got.

    Raises:
    Rejected: a bouncer rejects it.
        Quarantined: it could not be proved clean.
        Failed: it cannot be read.
    """
    return run_steps(dataset, Steps.of(recipe, detector, identity), identity, detail, finished)


@guarded()
def run_steps(
    dataset: Dataset,
    steps: Steps,
    identity: Identity,
    detail: bool = False,
    finished: Finished | None = None,
) -> Finished:
    """Do the same as `run`, with given steps."""
    finished = finished or Finished()
    bounce(dataset, steps.bouncers)
    if steps.hide_text is not None:
        finished.pixels = steps.hide_text(dataset)
        bounce(dataset, steps.bouncers, finished.pixels.examined)
    finished.attributes = apply_plans(dataset, steps.planner, identity, detail=detail)
    finished.methods = steps.insert(dataset, finished.pixels)
    finished.encoded = encode(dataset, steps.needs_uids)
    finished.checked = check_leaks(finished.encoded, finished.attributes)
    return finished


def deidentify(
    dataset: Dataset,
    recipe: Recipe,
    key: bytes,
    load_detector: DetectorLoader = ocr.load_detector,
    subjects: Subjects | None = None,
) -> Deidentified:
    """De-identify one dataset with the whole chain, including CheckLeaks.

    Args:
        dataset: is not changed; the result is a copy.
        recipe: from `load_recipe`.
        key: at least 16 bytes; the same key gives the same result.
        load_detector: makes the text detector for languages; by default, loads the networks of this machine.
        subjects: from `load_subjects`, made with the same recipe and key.

    Raises:
        Rejected: the recipe's policy rejects it.
        Quarantined: it could not be proved clean. No uncertain dataset is returned.
        Failed: it cannot be read.
        RecipeError: the recipe is about faces, which are judged by whole series.
    """
    recipe.check_alone()
    clean = copy_of(dataset)
    identity = recipe.identity(key, subjects)
    finished = run(clean, recipe, identity, detector_for(recipe, load_detector), detail=True)
    return Deidentified(clean, (*finished.pixels.changes, *finished.attributes.changes), finished.methods)


def deidentify_bytes(
    data: bytes,
    recipe: Recipe,
    key: bytes,
    load_detector: DetectorLoader = ocr.load_detector,
    subjects: Subjects | None = None,
) -> bytes:
    """De-identify one DICOM file given as bytes; return the clean Part 10 file.

    Raises:
        Rejected, Quarantined, Failed, RecipeError: as `deidentify`; also if the bytes are not readable DICOM.
    """
    recipe.check_alone()
    dataset = read_dicom(data)
    detector = detector_for(recipe, load_detector)
    return run(dataset, recipe, recipe.identity(key, subjects), detector).encoded.data


def load_subjects(path: str | os.PathLike[str] | None, recipe: Recipe, key: bytes) -> Subjects:
    """Return a table of subjects, and the lists of the recipe's bouncers, for `deidentify`.

    Args:
        path: a CSV, TSV or Parquet file, described in docs/subjects.md; None if there are only lists.
        recipe: its `subjects` says how the table is read.
        key: of the run.

    Raises:
    SubjectsError: the table cannot be used.
    """
    identity = recipe.identity(key)
    lines = [*(recipe.read_subjects(path, key) if path is not None else ()), *recipe.read_lists(key)]
    if not lines:
        raise SubjectsError("there is no table, and the recipe has no list: leave subjects out")
    return Subjects(compiled(lines, identity), identity)


def detector_for(recipe: Recipe, load_detector: DetectorLoader) -> TextDetector | None:
    """Return the text detector that a recipe needs; None if it leaves pixels alone."""
    return load_detector(*recipe.text_policy.reading) if recipe.needs_detector else None
