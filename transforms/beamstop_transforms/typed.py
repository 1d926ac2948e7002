"""The typed column of the attribute table: common attributes with their types."""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pyarrow as pa
from pydicom.datadict import dictionary_VM, dictionary_VR, tag_for_keyword

TYPED = "typed"
# Never remove an entry, and add new ones at the end: queries rely on it.
_NAMED = """PatientID PatientSex PatientAge StudyInstanceUID SeriesInstanceUID SOPInstanceUID SOPClassUID
    Modality StudyDate StudyTime SeriesDate SeriesTime AcquisitionDate AcquisitionTime
    AcquisitionDateTime ContentDate ContentTime StudyDescription SeriesDescription ProtocolName
    SeriesNumber AcquisitionNumber InstanceNumber Manufacturer ManufacturerModelName
    MagneticFieldStrength BodyPartExamined Laterality ImageLaterality ViewPosition PatientPosition
    ImageType ImageComments Rows Columns NumberOfFrames BitsAllocated BitsStored SamplesPerPixel
    PhotometricInterpretation PixelSpacing ImagerPixelSpacing SliceThickness SpacingBetweenSlices
    ImagePositionPatient ImageOrientationPatient FrameOfReferenceUID WindowCenter WindowWidth
    RescaleSlope RescaleIntercept KVP ExposureTime XRayTubeCurrent Exposure CTDIvol ConvolutionKernel
    ContrastBolusAgent EchoTime RepetitionTime InversionTime FlipAngle DiffusionBValue SequenceName
    ScanningSequence TransferSyntaxUID LossyImageCompression BurnedInAnnotation PatientIdentityRemoved
    ProcedureCodeSequence AnatomicRegionSequence ViewCodeSequence DeidentificationMethodCodeSequence"""
KEYWORDS = tuple(_NAMED.split())
_CODE = pa.struct([("value", pa.string()), ("scheme", pa.string()), ("meaning", pa.string())])
_AGES = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}  # in years


def _date(text: str) -> date:
    digits = text.replace(".", "")
    return datetime.strptime(digits, "%Y%m%d").replace(tzinfo=UTC).date()


def _time(text: str) -> time:
    whole, _, fraction = text.replace(":", "").partition(".")
    padded = whole.ljust(6, "0")
    return time(int(padded[:2]), int(padded[2:4]), int(padded[4:6]), int(fraction[:6].ljust(6, "0") or 0))


def _datetime(text: str) -> datetime:
    """Return a date and time in UTC if it has an offset, else in local time."""
    plus = max(text.rfind("+"), text.rfind("-"))
    local, offset = (text[:plus], text[plus:]) if plus > 0 else (text, "+0000")
    moment = datetime.combine(_date(local[:8]), _time(local[8:] or "0"))
    hours = timedelta(hours=int(offset[1:3]), minutes=int(offset[3:5]))
    return moment - hours if offset[0] == "+" else moment + hours


def _age(text: str) -> float:
    return round(int(text[:-1]) * _AGES[text[-1].upper()], 3)


def _whole(text: str) -> int:
    number = int(float(text))
    if not -_END <= number < _END:
        raise ValueError("Parquet holds no number of more than 64 bits")
    return number


_END = 1 << 63


def _code(item: Mapping[str, Any]) -> dict[str, str | None]:
    value = item.get("CodeValue") or item.get("LongCodeValue") or item.get("URNCodeValue")
    said = {"value": value, "scheme": item.get("CodingSchemeDesignator"), "meaning": item.get("CodeMeaning")}
    # A backslash makes a list.
    return {name: it if isinstance(it, str) else None for name, it in said.items()}


_KINDS: dict[str, tuple[pa.DataType, Callable[[Any], Any]]] = {
    "DA": (pa.date32(), _date),
    "TM": (pa.time64("us"), _time),
    "DT": (pa.timestamp("us"), _datetime),
    "AS": (pa.float64(), _age),
    **dict.fromkeys(("DS", "FD", "FL"), (pa.float64(), float)),
    **dict.fromkeys(("IS", "US", "UL", "SS", "SL"), (pa.int64(), _whole)),
    "SQ": (_CODE, _code),
}


def _kind(keyword: str) -> tuple[pa.DataType, Callable[[Any], Any], bool]:
    """Return type and reader of one value, and whether there may be several."""
    tag = tag_for_keyword(keyword) or 0
    vr = dictionary_VR(tag)
    kind, read = _KINDS.get(vr, (pa.string(), str))
    return kind, read, vr == "SQ" or dictionary_VM(tag) != "1"


_READERS = {keyword: _kind(keyword) for keyword in KEYWORDS}
TYPE = pa.struct(
    [(name, pa.list_(kind) if several else kind) for name, (kind, _, several) in _READERS.items()]
)


def typed(row: Mapping[str, str]) -> dict[str, Any]:
    """Return the typed values of a row of texts; null for missing values, or values of another type."""
    return {name: _value(row[name], *_READERS[name][1:]) for name in KEYWORDS if row.get(name)}


def _value(text: str, read: Callable[[Any], Any], several: bool) -> Any:
    with suppress(ValueError, KeyError, IndexError, OverflowError, AttributeError, TypeError):
        if not several:
            return read(text.strip())
        found = json.loads(text)
        return [read(it.strip() if isinstance(it, str) else it) for it in found] if found else None
    return None
