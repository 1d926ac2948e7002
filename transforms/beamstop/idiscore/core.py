"""idiscore's Core: de-identifies datasets by a profile that a program puts together."""

import copy
import secrets
from collections.abc import Callable, Iterable, Mapping

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from beamstop.chain import Steps, run_steps
from beamstop.dicom.files import copy_of
from beamstop.identity import Identity
from beamstop.keys import KEY_LENGTH
from beamstop.rules.bouncers import Bouncer
from beamstop.rules.plans import Planner
from beamstop.rules.profile import OPTIONS, additions, basic_profile
from beamstop.rules.rules import Profile
from beamstop.steps.hide_text import clean_frames_of
from beamstop.text.hiding import PixelReport

Insertion = DataElement | tuple[str, object]


class Core:
    """De-identifies datasets by a given profile.

    Args:
        profile: rule sets; attributes that none of them names stay, unknown ones are removed. Without it the
            Basic Profile.
        key: makes stand-ins; at least 16 bytes. Where None they hold for this Core alone.
        insertions: elements, or keyword → value, written into every clean dataset.
        bouncers: that may turn a dataset away; objects, or classes that need no arguments.
        pixel_processor: changes the pixels of a dataset in place and says whether it did; bouncers
            that look at BurnedInAnnotation are asked again afterwards.

    >>> from beamstop.idiscore import Hash, Remove, RepeatingGroup, Rule, RuleSet, SingleTag
    >>> rules = RuleSet([Rule(SingleTag("PatientID"), Hash()), Rule(RepeatingGroup("50xx,xxxx"), Remove())])
    >>> dataset = Dataset()
    >>> dataset.PatientID = "12345678"
    >>> dataset.add_new(0x50003000, "OW", b"12")
    >>> core = Core(Profile([rules]), key=bytes(32))
    >>> clean = core.deidentify(dataset)
    >>> clean.PatientID, 0x50003000 in clean, dataset.PatientID
    ('A5YNXNVQKI3PRBJW', False, '12345678')
    """

    def __init__(
        self,
        profile: Profile | None = None,
        key: bytes | None = None,
        insertions: Mapping[str, object] | Iterable[Insertion] | None = None,
        bouncers: Iterable[Bouncer | type[Bouncer]] | None = None,
        pixel_processor: Callable[[Dataset], bool] | None = None,
    ) -> None:
        if not isinstance(key, bytes | None):
            raise TypeError("key: bytes; it is the second argument here, so write insertions=… by name")
        self._identity = Identity(secrets.token_bytes(KEY_LENGTH) if key is None else key)
        given = insertions.items() if isinstance(insertions, Mapping) else insertions or ()
        self._insertions = tuple(given)
        self._pixel_processor = pixel_processor
        used = profile or Profile([basic_profile(), additions()])
        options = frozenset(rule_set.name for rule_set in used.rule_sets) & frozenset(OPTIONS)
        self._steps = Steps(
            bouncers=tuple(it() if isinstance(it, type) else it for it in bouncers or ()),
            hide_text=self._process_pixels,
            planner=Planner(used, options),
            insert=self._insert,
            needs_uids=False,
        )

    def deidentify(self, dataset: Dataset) -> Dataset:
        """Return a de-identified copy; `save_as` writes it as a Part 10 file.

        Raises:
            Rejected: a bouncer says no.
            Quarantined: an identifier of the dataset is still in it.
            Failed: it cannot be read.
        """
        clean = copy_of(dataset)
        run_steps(clean, self._steps, self._identity)
        return clean

    def description(self) -> str:
        """Return the rules that can hold, one a line, the most specific first, those for some last."""
        profile = self._steps.planner.profile
        lines = [f"{rule.identifier}: {rule.code}" for rule in profile.flatten()]
        lines += [f"{rule.identifier}: {rule.code}, for some instances" for rule in profile.conditional]
        return "\n".join(lines)

    def _process_pixels(self, dataset: Dataset) -> PixelReport:
        examined = self._pixel_processor is not None and self._pixel_processor(dataset)
        return PixelReport(examined=examined, frames_cleaned=clean_frames_of(dataset))

    def _insert(self, dataset: Dataset, pixels: PixelReport) -> tuple[str, ...]:
        for insertion in self._insertions:
            value = insertion if isinstance(insertion, DataElement) else insertion[1]
            if isinstance(value, DataElement):
                dataset.add(copy.deepcopy(value))
            elif not isinstance(insertion, DataElement):
                setattr(dataset, insertion[0], value)
        return ()
