"""The official rule sets of PS3.15 under idiscore's names, and cores that are put together from them."""

from collections.abc import Iterable

from beamstop.idiscore.core import Core
from beamstop.idiscore.images import PIILocation, PIILocationList, PixelProcessor
from beamstop.idiscore.insertions import (
    PATIENT_IDENTITY_REMOVED,
    get_deidentification_method,
    get_idis_code_sequence,
)
from beamstop.idiscore.private import SafePrivateDefinition
from beamstop.rules.bouncers import CriterionBouncer, RejectEncapsulatedImageStorage, RejectNonStandardDicom
from beamstop.rules.profile import (
    BASIC,
    CLEAN_DESCRIPTORS,
    CLEAN_GRAPHICS,
    CLEAN_STRUCTURED_CONTENT,
    FULL_DATES,
    MODIFIED_DATES,
    RETAIN_SAFE_PRIVATE,
    RETAIN_UIDS,
    additions,
    basic_profile,
    dates_of_nobody,
    option,
)
from beamstop.rules.rules import Profile, RuleSet

_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_MAY_SHOW_TEXT = (
    "(Modality.equals('US') or BurnedInAnnotation.equals('YES')"
    f" or SOPClassUID.equals('{_SECONDARY_CAPTURE}') or SOPClassUID.contains('{_SECONDARY_CAPTURE}.'))"
    " and not BurnedInAnnotation.equals('NO')"
)


class DICOMRuleSets:
    """The rule sets of PS3.15 under idiscore's names.

    `basic_profile` has what the recipe `basic` adds to Table E.1-1: a pseudonym for PatientID, texts of
    reports, overlays. `retain_modified_dates` moves the dates of patients alone.

    Args:
        safe_private_definition: what `retain_safe_private` keeps beside Table E.3.10-1.

    >>> len(DICOMRuleSets().retain_uid)
    60
    """

    def __init__(self, safe_private_definition: SafePrivateDefinition | None = None) -> None:
        safe = safe_private_definition.rules() if safe_private_definition else ()
        self.basic_profile = RuleSet([*basic_profile(), *additions()], BASIC)
        self.retain_safe_private = RuleSet([*option(RETAIN_SAFE_PRIVATE), *safe], RETAIN_SAFE_PRIVATE)
        self.retain_uid = option(RETAIN_UIDS)
        self.retain_device_id = option("retain-device-identity")
        self.retain_institution_id = option("retain-institution-identity")
        self.retain_patient_characteristics = option("retain-patient-characteristics")
        self.retain_full_dates = option(FULL_DATES)
        self.retain_modified_dates = RuleSet([*option(MODIFIED_DATES), *dates_of_nobody()], MODIFIED_DATES)
        self.clean_descriptors = option(CLEAN_DESCRIPTORS)
        self.clean_structured_content = option(CLEAN_STRUCTURED_CONTENT)
        self.clean_graphics = option(CLEAN_GRAPHICS)


def get_dicom_rule_sets(safe_private_definition: SafePrivateDefinition | None = None) -> DICOMRuleSets:
    """Return the official rule sets."""
    return DICOMRuleSets(safe_private_definition)


def create_default_core(
    safe_private_definition: SafePrivateDefinition | None = None,
    location_list: PIILocationList | Iterable[PIILocation] | None = None,
    key: bytes | None = None,
) -> Core:
    """Return a core with idiscore's default profile, insertions and bouncers.

    The profile is the Basic Profile with Retain Device Identity, Retain Patient Characteristics, Retain Safe
    Private and Clean Descriptors. Ultrasound, secondary captures and what says that text is burned in are
    turned away unless `location_list` has their places, or they say that there is none.

    Args:
        safe_private_definition: private elements that stay beside those of Table E.3.10-1.
        location_list: places in pictures that are blanked.
        key: as of `Core`.
    """
    sets = get_dicom_rule_sets(safe_private_definition)
    profile = Profile(
        [
            sets.basic_profile,
            sets.retain_device_id,
            sets.retain_patient_characteristics,
            sets.retain_safe_private,
            sets.clean_descriptors,
        ],
        "idiscore's default",
    )
    return create_core(profile, location_list, key)


def create_core(
    profile: Profile | None = None,
    location_list: PIILocationList | Iterable[PIILocation] | None = None,
    key: bytes | None = None,
) -> Core:
    """Return a core with a given profile, and the insertions and bouncers of the default core.

    Args:
        profile: of official rule sets, and of others, which no code stands for.
        location_list: places in pictures that are blanked.
        key: as of `Core`.
    """
    rule_sets = profile.rule_sets if profile else (DICOMRuleSets().basic_profile,)
    return Core(
        Profile(rule_sets, profile.name if profile else BASIC),
        key,
        insertions=[
            get_idis_code_sequence(rule_sets),
            PATIENT_IDENTITY_REMOVED,
            get_deidentification_method(),
        ],
        bouncers=[
            RejectEncapsulatedImageStorage,
            RejectNonStandardDicom,
            CriterionBouncer(_MAY_SHOW_TEXT, "no places of text are known"),
        ],
        pixel_processor=None if location_list is None else PixelProcessor(location_list),
    )
