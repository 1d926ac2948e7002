"""idiscore's classes under their own names: Core, rules, operators, bouncers, insertions, rule sets."""

import secrets
from collections.abc import Callable, Mapping, Sequence

from pydicom.dataset import Dataset

from beamstop.chain import Steps, run_steps
from beamstop.dicom.files import copy_of
from beamstop.identity import Identity
from beamstop.keys import KEY_LENGTH
from beamstop.rules.bouncers import (
    Bouncer,
    CriterionBouncer,
    RejectEncapsulatedImageStorage,
    RejectKeyObject,
    RejectKOGSPS,
    RejectNonStandardDicom,
    RejectPresentationState,
)
from beamstop.rules.operators import (
    Clean,
    Empty,
    Hash,
    HashUID,
    Keep,
    Operator,
    Remove,
    Replace,
    SetFixedValue,
)
from beamstop.rules.plans import Planner
from beamstop.rules.profile import (
    CLEAN_DESCRIPTORS,
    CLEAN_GRAPHICS,
    CLEAN_STRUCTURED_CONTENT,
    FULL_DATES,
    MODIFIED_DATES,
    RETAIN_SAFE_PRIVATE,
    RETAIN_UIDS,
    additions,
    basic_profile,
    option,
)
from beamstop.rules.rules import Profile, Rule, RuleSet
from beamstop.rules.tag_identifiers import (
    Identifier,
    PrivateBlockTagIdentifier,
    PrivateTags,
    RepeatingGroup,
    SingleTag,
    TagPath,
)
from beamstop.steps.hide_text import clean_frames_of
from beamstop.steps.insert import (
    PATIENT_IDENTITY_REMOVED,
    get_deidentification_method,
    get_idis_code_sequence,
)
from beamstop.text.hiding import PixelReport

__all__ = [
    "PATIENT_IDENTITY_REMOVED",
    "Bouncer",
    "Clean",
    "Core",
    "CriterionBouncer",
    "DICOMRuleSets",
    "Empty",
    "Hash",
    "HashUID",
    "Identifier",
    "Keep",
    "Operator",
    "PixelProcessor",
    "PrivateBlockTagIdentifier",
    "PrivateTags",
    "Profile",
    "RejectEncapsulatedImageStorage",
    "RejectKOGSPS",
    "RejectKeyObject",
    "RejectNonStandardDicom",
    "RejectPresentationState",
    "Remove",
    "RepeatingGroup",
    "Replace",
    "Rule",
    "RuleSet",
    "SetFixedValue",
    "SingleTag",
    "TagPath",
    "get_deidentification_method",
    "get_idis_code_sequence",
]

PixelProcessor = Callable[[Dataset], bool]


class Core:
    """De-identifies datasets by a profile of one's own.

    Args:
        profile: rule sets; attributes that none of them names stay, unknown ones are removed. Without it the
            Basic Profile.
        key: makes stand-ins; at least 16 bytes. Where None they hold for this Core alone.
        insertions: keyword → value, written into every clean dataset.
        bouncers: that may turn a dataset away.
        pixel_processor: changes the pixels of a dataset in place and says whether it did; bouncers
            that look at BurnedInAnnotation are asked again afterwards.

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
        insertions: Mapping[str, object] | None = None,
        bouncers: Sequence[Bouncer] = (),
        pixel_processor: PixelProcessor | None = None,
    ) -> None:
        self._identity = Identity(secrets.token_bytes(KEY_LENGTH) if key is None else key)
        self._insertions = dict(insertions or {})
        self._pixel_processor = pixel_processor
        self._steps = Steps(
            bouncers=tuple(bouncers),
            hide_text=self._process_pixels,
            planner=Planner(profile or Profile([basic_profile(), additions()])),
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
        """Return the rules that can hold, one a line, the most specific first."""
        rules = self._steps.planner.profile.flatten()
        return "\n".join(f"{rule.identifier}: {rule.code}" for rule in rules)

    def _process_pixels(self, dataset: Dataset) -> PixelReport:
        examined = self._pixel_processor is not None and self._pixel_processor(dataset)
        return PixelReport(examined=examined, frames_cleaned=clean_frames_of(dataset))

    def _insert(self, dataset: Dataset, pixels: PixelReport) -> tuple[str, ...]:
        for keyword, value in self._insertions.items():
            setattr(dataset, keyword, value)
        return ()


class DICOMRuleSets:
    """The rule sets of PS3.15 under idiscore's names.

    >>> len(DICOMRuleSets().retain_uid)
    60
    """

    def __init__(self) -> None:
        self.basic_profile = basic_profile()
        self.retain_safe_private = option(RETAIN_SAFE_PRIVATE)
        self.retain_uid = option(RETAIN_UIDS)
        self.retain_device_id = option("retain-device-identity")
        self.retain_institution_id = option("retain-institution-identity")
        self.retain_patient_characteristics = option("retain-patient-characteristics")
        self.retain_full_dates = option(FULL_DATES)
        self.retain_modified_dates = option(MODIFIED_DATES)
        self.clean_descriptors = option(CLEAN_DESCRIPTORS)
        self.clean_structured_content = option(CLEAN_STRUCTURED_CONTENT)
        self.clean_graphics = option(CLEAN_GRAPHICS)
