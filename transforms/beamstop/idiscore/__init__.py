"""idiscore's classes and functions under their own names; docs/idiscore.md says what differs."""

from beamstop.errors import DeidError as IDISCoreError
from beamstop.errors import Refusal as DeidentificationError
from beamstop.errors import Rejected as DatasetRejected
from beamstop.idiscore.core import Core
from beamstop.idiscore.defaults import DICOMRuleSets, create_core, create_default_core, get_dicom_rule_sets
from beamstop.idiscore.images import PIILocation, PIILocationList, PixelProcessor, SquareArea
from beamstop.idiscore.insertions import (
    PATIENT_IDENTITY_REMOVED,
    get_deidentification_method,
    get_idis_code_sequence,
)
from beamstop.idiscore.private import SafePrivateBlock, SafePrivateDefinition
from beamstop.rules.bouncers import (
    Bouncer,
    CriterionBouncer,
    RejectEncapsulatedImageStorage,
    RejectKeyObject,
    RejectKOGSPS,
    RejectNonStandardDicom,
    RejectPresentationState,
)
from beamstop.rules.criteria import Criterion
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
from beamstop.rules.rules import Profile, Rule, RuleSet
from beamstop.rules.tag_identifiers import (
    Identifier,
    PrivateBlockTagIdentifier,
    PrivateTags,
    RepeatingGroup,
    SingleTag,
    TagPath,
)

TagIdentifier = Identifier
RepeatingTag = RepeatingGroup

__all__ = [
    "PATIENT_IDENTITY_REMOVED",
    "Bouncer",
    "Clean",
    "Core",
    "Criterion",
    "CriterionBouncer",
    "DICOMRuleSets",
    "DatasetRejected",
    "DeidentificationError",
    "Empty",
    "Hash",
    "HashUID",
    "IDISCoreError",
    "Identifier",
    "Keep",
    "Operator",
    "PIILocation",
    "PIILocationList",
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
    "RepeatingTag",
    "Replace",
    "Rule",
    "RuleSet",
    "SafePrivateBlock",
    "SafePrivateDefinition",
    "SetFixedValue",
    "SingleTag",
    "SquareArea",
    "TagIdentifier",
    "TagPath",
    "create_core",
    "create_default_core",
    "get_deidentification_method",
    "get_dicom_rule_sets",
    "get_idis_code_sequence",
]
