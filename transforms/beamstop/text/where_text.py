"""Which instances cannot carry text, by their headers: the only pixels that are not searched.

Detectors sometimes see letters in the edge of a mask; hiding them would spoil the mask. So classes in which
every pixel is a computed number are not searched, unless the header contradicts that. All others are
searched: secondary capture, ultrasound, screen saves, digitised film, fluoroscopy, endoscopy and all other
modalities. BurnedInAnnotation NO exempts nothing, because somebody typed it; YES is believed.

Instances that are not searched do not claim Clean Pixel Data (113101).
"""

from typing import NamedTuple

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue


class NoText(NamedTuple):
    """A SOP class whose pixels cannot carry text.

    Attributes:
        why: the meaning of a pixel (PS3.3, the pixel description of the IOD).
        modalities: allowed by the IOD; empty if it allows any.
        photometric: interpretations that the IOD allows.
    """

    why: str
    modalities: frozenset[str]
    photometric: frozenset[str]


_MONOCHROME2 = frozenset({"MONOCHROME2"})

NO_TEXT = {
    # C.8.20.2: a bit, or a probability of belonging
    "1.2.840.10008.5.1.4.1.1.66.4": NoText(
        "Segmentation: a pixel says whether it belongs to a segment", frozenset({"SEG"}), _MONOCHROME2
    ),
    # C.8.20.5
    "1.2.840.10008.5.1.4.1.1.66.7": NoText(
        "Label Map Segmentation: a pixel is the number of a segment",
        frozenset({"SEG"}),
        _MONOCHROME2 | {"PALETTE COLOR"},
    ),
    # C.8.8.3
    "1.2.840.10008.5.1.4.1.1.481.2": NoText(
        "RT Dose: a pixel is a computed dose", frozenset({"RTDOSE"}), _MONOCHROME2
    ),
    # C.8.32.2; Modality is that of the source
    "1.2.840.10008.5.1.4.1.1.30": NoText(
        "Parametric Map: a pixel is a derived quantity", frozenset(), _MONOCHROME2
    ),
}

_CAPTURED = (  # SC Equipment Module, PS3.3 C.8.6.1: no computed object has it
    "ConversionType",
    "SecondaryCaptureDeviceID",
    "SecondaryCaptureDeviceManufacturer",
    "SecondaryCaptureDeviceManufacturerModelName",
    "DigitalImageFormatAcquired",
)
_COPIED = ("SCREEN", "CAPTURE", "DIGITI")  # in ImageType: a screen save, a capture, digitised film


def why_no_text(dataset: Dataset) -> str | None:
    """Return why the pixels of an instance cannot carry text, None if they must be searched."""
    row = NO_TEXT.get(str(dataset.get("SOPClassUID") or ""))
    return row.why if row and _is_plain(dataset, row) else None


def _is_plain(dataset: Dataset, row: NoText) -> bool:
    """Return whether a header fits its SOP class, with no sign of a copied screen or film."""
    return (
        _code(dataset, "BurnedInAnnotation") != "YES"
        and (not row.modalities or _code(dataset, "Modality") in row.modalities)
        and _code(dataset, "PhotometricInterpretation") in row.photometric
        and _code(dataset, "SamplesPerPixel") == "1"
        and _code(dataset, "BitsStored") == _code(dataset, "BitsAllocated")  # no room for an overlay
        and not any(word in _code(dataset, "ImageType") for word in _COPIED)
        and not any(keyword in dataset for keyword in _CAPTURED)
    )


def _code(dataset: Dataset, keyword: str) -> str:
    value = dataset.get(keyword)
    values = value if isinstance(value, MultiValue) else (value,)
    return "\\".join(str(part).strip().upper() for part in values if part is not None)
