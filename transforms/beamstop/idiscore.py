"""Core: rule sets, bouncers and insertions put together by hand, as in idiscore."""

from collections.abc import Callable, Mapping, Sequence

from pydicom.dataset import Dataset

from beamstop.chain import check
from beamstop.dicom.files import copy_of, encode
from beamstop.identity import Identity
from beamstop.rules.bouncers import Bouncer, bounce
from beamstop.rules.plans import Planner
from beamstop.rules.rules import Profile
from beamstop.steps.apply_recipe import apply_plans

PixelProcessor = Callable[[Dataset], bool]


class Core:
    """De-identifies datasets by a profile of one's own.

    Args:
        profile: rule sets; attributes that none of them names stay, unknown ones go.
        key: makes stand-ins; at least 16 bytes.
        insertions: keyword → value, written into every clean dataset.
        bouncers: who may turn a dataset away.
        pixel_processor: changes the pixels of a dataset in place and says whether it did; bouncers
            that look at BurnedInAnnotation are asked again afterwards.

    >>> from beamstop import Core, Hash, Profile, Remove, RepeatingGroup, Rule, RuleSet, SingleTag
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
        profile: Profile,
        key: bytes,
        insertions: Mapping[str, object] | None = None,
        bouncers: Sequence[Bouncer] = (),
        pixel_processor: PixelProcessor | None = None,
    ) -> None:
        self._planner = Planner(profile)
        self._identity = Identity(key)
        self._insertions = dict(insertions or {})
        self._bouncers = tuple(bouncers)
        self._pixel_processor = pixel_processor

    def deidentify(self, dataset: Dataset) -> Dataset:
        """Return a de-identified copy.

        Raises:
            Rejected: a bouncer says no.
            Quarantined: an identifier of the dataset is still in it.
            Failed: it cannot be read.
        """
        clean = copy_of(dataset)
        bounce(clean, self._bouncers)
        processed = self._pixel_processor(clean) if self._pixel_processor is not None else False
        bounce(clean, self._bouncers, processed)
        report = apply_plans(clean, self._planner, self._identity, detail=False)
        for keyword, value in self._insertions.items():
            setattr(clean, keyword, value)
        if "SOPInstanceUID" in clean:
            check(encode(clean), report)
        return clean

    def description(self) -> str:
        """Return the rules that can hold, one a line, the most specific first."""
        rules = self._planner.profile.flatten()
        return "\n".join(f"{rule.identifier}: {rule.code}" for rule in rules)
