"""HideText: hide burned-in text, with one detector per worker process."""

from dataclasses import dataclass, field
from functools import partial

from apache_beam.utils.shared import Shared

from beamstop.identity import Identity
from beamstop.keys import resolve_key
from beamstop.ocr import load_detector
from beamstop.recipe.model import Recipe
from beamstop.steps.hide_text import hide_text
from beamstop.text.codes import codes_fingerprint
from beamstop.text.detector import DetectorLoader, TextDetector
from beamstop_transforms.instance import Instance
from beamstop_transforms.step import Step, Work


@dataclass(eq=False)
class HideText(Step):
    """Hide text in the pixels of every instance, if the recipe asks for it.

    Attributes:
        recipe: says whether text is hidden, and which.
        load_detector: makes the text detector for languages; called once per worker process, and only
            if the recipe asks for it. Must be picklable.
        key: reference of the run's key, resolved on the worker. If a second decoder is slow, the key selects
            the instances whose first frame it decodes, too; without a key it decodes all.
    """

    recipe: Recipe
    load_detector: DetectorLoader = load_detector
    key: str | None = field(default=None, repr=False)
    column = "ms_pixels"
    _shared: Shared = field(default_factory=Shared, init=False, repr=False)

    def begin(self) -> Work:
        """Return the work on an instance; a detector that cannot be loaded breaks the run here."""
        identity = None if self.key is None else self.recipe.identity(resolve_key(self.key))
        if not self.recipe.needs_detector:
            return self._without_detector
        reading = self.recipe.text_policy.reading
        detector = self._shared.acquire(partial(self.load_detector, *reading))
        return partial(self._with_detector, detector, identity)

    def _without_detector(self, instance: Instance) -> None:
        instance.pixels = hide_text(instance.dataset, self.recipe, None)

    def _with_detector(self, detector: TextDetector, identity: Identity | None, instance: Instance) -> None:
        instance.engine = f"{detector.fingerprint} {codes_fingerprint()}"
        instance.pixels = hide_text(instance.dataset, self.recipe, detector, identity)
