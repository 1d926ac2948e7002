"""The official rule sets: PS3.15 Table E.1-1, Basic Profile and options, as generated data."""

import json
from functools import cache
from importlib.resources import files
from typing import Any

from pydicom.datadict import dictionary_has_tag

from beamstop.rules.operators import PseudonymisePatientID
from beamstop.rules.rules import Rule, RuleSet
from beamstop.rules.tag_identifiers import Identifier, PrivateTags, RepeatingGroup, SingleTag
from beamstop.standard.actions import Action

_TAG_DIGITS = 8
BASIC = "basic"
CLEAN_PIXEL_DATA = "clean-pixel-data"
CLEAN_GRAPHICS = "clean-graphics"
CLEAN_FACES = "clean-recognizable-visual-features"
CLEAN_DESCRIPTORS = "clean-descriptors"
CLEAN_STRUCTURED_CONTENT = "clean-structured-content"
RETAIN_DEVICE_IDENTITY = "retain-device-identity"
RETAIN_UIDS = "retain-uids"
RETAIN_SAFE_PRIVATE = "retain-safe-private"
FULL_DATES = "retain-longitudinal-full-dates"
MODIFIED_DATES = "retain-longitudinal-modified-dates"

# Code values of CID 7050 (PS3.16), by the names that recipes use.
METHOD_CODES = {
    BASIC: "113100",
    CLEAN_PIXEL_DATA: "113101",
    CLEAN_FACES: "113102",
    CLEAN_GRAPHICS: "113103",
    CLEAN_STRUCTURED_CONTENT: "113104",
    CLEAN_DESCRIPTORS: "113105",
    FULL_DATES: "113106",
    MODIFIED_DATES: "113107",
    "retain-patient-characteristics": "113108",
    RETAIN_DEVICE_IDENTITY: "113109",
    RETAIN_UIDS: "113110",
    RETAIN_SAFE_PRIVATE: "113111",
    "retain-institution-identity": "113112",
}
# The meanings of CID 7050 in PS3.16. pydicom has them in tables that take 0.2 seconds to load.
METHOD_MEANINGS = {
    "113100": "Basic Application Confidentiality Profile",
    "113101": "Clean Pixel Data Option",
    "113102": "Clean Recognizable Visual Features Option",
    "113103": "Clean Graphics Option",
    "113104": "Clean Structured Content Option",
    "113105": "Clean Descriptors Option",
    "113106": "Retain Longitudinal Temporal Information Full Dates Option",
    "113107": "Retain Longitudinal Temporal Information Modified Dates Option",
    "113108": "Retain Patient Characteristics Option",
    "113109": "Retain Device Identity Option",
    "113110": "Retain UIDs Option",
    "113111": "Retain Safe Private Option",
    "113112": "Retain Institution Identity Option",
}

# In this order, so that for an attribute of two options the stricter, later one wins:
# a calibration date under Retain Device Identity and Modified Dates is removed, not kept.
OPTIONS = (
    RETAIN_DEVICE_IDENTITY,
    "retain-institution-identity",
    "retain-patient-characteristics",
    RETAIN_UIDS,
    RETAIN_SAFE_PRIVATE,
    FULL_DATES,
    CLEAN_PIXEL_DATA,
    CLEAN_FACES,
    CLEAN_DESCRIPTORS,
    CLEAN_STRUCTURED_CONTENT,
    CLEAN_GRAPHICS,
    MODIFIED_DATES,
)

# Under Modified Dates these must not move with a patient: being publicly known, they would reveal the shift.
# Dates printed in the standard stay, those of devices are treated as in the Basic Profile.
DATES_OF_THE_WORLD = (
    "ContextGroupVersion",
    "ContextGroupLocalVersion",
    "TemplateVersion",
    "TemplateLocalVersion",
)
DATES_OF_DEVICES = (
    "CalibrationDate",
    "CalibrationDateTime",
    "CalibrationTime",
    "DateOfGainCalibration",
    "DateOfInstallation",
    "DateOfLastCalibration",
    "DateOfLastDetectorCalibration",
    "DateOfManufacture",
    "DateTimeOfLastCalibration",
    "EffectiveDateTime",
    "EthicsCommitteeApprovalEffectivenessEndDate",
    "EthicsCommitteeApprovalEffectivenessStartDate",
    "ExpirationDateTime",
    "ExpiryDate",
    "ProductExpirationDateTime",
    "SourceStrengthReferenceDate",
    "SourceStrengthReferenceTime",
    "TimeOfLastCalibration",
    "TimeOfLastDetectorCalibration",
)

# Free text in practice, though the table does not list it: cleaned with the descriptors.
_UNLISTED_TEXT = (
    "CodeMeaning",
    "ContentDescription",
    "DocumentTitle",
    "ExposureControlModeDescription",
    "FilterType",
    "LUTExplanation",
    "Manufacturer",
    "ManufacturerModelName",
    "SegmentDescription",
    "SegmentLabel",
    "TextValue",
)


# Identifies, though the table does not list it. D where some sequence requires a value.
_UNLISTED_IDENTITY = {
    "PatientBirthDateInAlternativeCalendar": Action.X,
    "PatientDeathDateInAlternativeCalendar": Action.X,
    "CommentsOnTheScheduledProcedureStep": Action.X,
    "PlacerOrderNumberProcedure": Action.X,
    "FillerOrderNumberProcedure": Action.X,
    "PlacerOrderNumberImagingServiceRequestRetired": Action.X,
    "FillerOrderNumberImagingServiceRequestRetired": Action.X,
    "BreedRegistrationNumber": Action.D,
    "RadiationMachineName": Action.X_Z,  # as Treatment Machine Name
    "SOPAuthorizationComment": Action.X,
    "NTPSourceAddress": Action.X,
    "TimeSource": Action.X,
    "EncryptedAttributesSequence": Action.X,
    "ContactURI": Action.X,
    "PixelDataProviderURL": Action.D,
    "StoredInstanceBaseURI": Action.D,
    "FolderAccessURI": Action.D,
    "FileAccessURI": Action.D,
    "LocalNamespaceEntityID": Action.D,
    "UniversalEntityID": Action.D,
    "HL7InstanceIdentifier": Action.D,
    "RetrieveURI": Action.D,
    "RetrieveURL": Action.D,
    "StorageURL": Action.D,
}


@cache
def table() -> dict[str, Any]:
    """Return Table E.1-1 as generated by `tools/generate_tables.py`: edition and rows."""
    text = files("beamstop").joinpath("data/e1_1.json").read_text()
    return dict(json.loads(text))


def edition() -> str:
    """Return the edition of PS3.15 that the table was taken from, such as `2026d`."""
    return str(table()["edition"])


@cache
def newer_vrs() -> dict[int, str]:
    """Return the VRs of the table's attributes that pydicom's dictionary does not know yet."""
    rows = [row for row in table()["rows"] if len(row["tag"]) == _TAG_DIGITS and "x" not in row["tag"]]
    listed = {int(row["tag"], 16): str(row["vr"]) for row in rows}
    return {tag: vr for tag, vr in listed.items() if not dictionary_has_tag(tag)}


@cache
def basic_profile() -> RuleSet:
    """Return the rules of the Basic Application Confidentiality Profile."""
    rules = [
        Rule(_identifier(row["tag"]), Action(row["basic"]), f"{BASIC}:{row['tag']}")
        for row in table()["rows"]
    ]
    return RuleSet(rules, BASIC)


@cache
def option(name: str) -> RuleSet:
    """Return the rules of one option, such as `retain-uids`; none for options about pixels."""
    rules = [
        Rule(
            _identifier(row["tag"]),
            Action(row["options"][name]),
            f"{name}:{row['tag']}",
            Action(row["basic"]),
        )
        for row in table()["rows"]
        if name in row["options"]
    ]
    if name == CLEAN_DESCRIPTORS:
        rules += [Rule(keyword, Action.C, f"{name}:{keyword}", Action.X_Z_D) for keyword in _UNLISTED_TEXT]
    if name == RETAIN_DEVICE_IDENTITY:
        rules.append(Rule("RadiationMachineName", Action.K, f"{name}:RadiationMachineName", Action.X_Z))
    if name == CLEAN_STRUCTURED_CONTENT:
        rules.append(Rule("TextValue", Action.C, f"{name}:TextValue", Action.D))
    if name == CLEAN_GRAPHICS:
        # HideText has already cleared the text in the planes.
        rules.append(Rule("60xx,3000", Action.K, f"{name}:60xx3000"))
        rules.append(Rule("60xx,xxxx", Action.K, f"{name}:60xxxxxx"))
        rules += [
            Rule(f"60xx,{element}", Action.C, f"{name}:60xx{element}") for element in ("0022", "0045", "1500")
        ]
    return RuleSet(rules, name)


@cache
def additions() -> RuleSet:
    """Return rules that the table leaves open and a clean file needs.

    PatientID becomes a stable pseudonym (Z and D allow a dummy); a text in a report is content of a Content
    Sequence, which is D; an overlay plane without data is invalid; bytes after the dataset are not part of
    it; dates, order numbers and addresses missing in the table.
    """
    return RuleSet(
        [
            Rule("PatientID", PseudonymisePatientID(), "identity:PatientID"),
            Rule("TextValue", Action.D, "beamstop:ContentSequence"),
            Rule("60xx,xxxx", Action.X, "beamstop:60xxxxxx"),
            Rule("DataSetTrailingPadding", Action.X, "beamstop:padding"),
            Rule("EncapsulatedDocumentLength", Action.X, "beamstop:payload"),  # of a removed payload
            *(Rule(keyword, action, f"beamstop:{keyword}") for keyword, action in _UNLISTED_IDENTITY.items()),
        ],
        "beamstop",
    )


@cache
def dates_of_nobody() -> RuleSet:
    """Return the rules under Modified Dates for dates that are not the patient's, such as devices'."""
    basic = {rule.identifier: rule.operation for rule in basic_profile()}
    world = [Rule(keyword, Action.K, f"beamstop:{keyword}") for keyword in DATES_OF_THE_WORLD]
    devices = [
        Rule(keyword, basic.get(SingleTag(keyword), Action.X), f"beamstop:{keyword}")
        for keyword in DATES_OF_DEVICES
    ]
    return RuleSet([*world, *devices], "beamstop")


def _identifier(tag: str) -> Identifier:
    if tag == "PRIVATE":
        return PrivateTags()
    if "x" in tag:
        return RepeatingGroup(f"{tag[:4]},{tag[4:]}")
    return SingleTag(int(tag, 16))
