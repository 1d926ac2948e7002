"""Which instances show the label of a glass slide (PS3.3 C.8.12.4.1.1, C.8.12.4.1.5)."""

from collections.abc import Iterator

from pydicom.dataset import Dataset

from beamstop.dicom.elements import MALFORMED, text_of

_SOP_CLASS_UID, _MODALITY, _IMAGE_TYPE, _FRAME_TYPE = 0x00080016, 0x00080060, 0x00080008, 0x00089007
_SPECIMEN_LABEL_IN_IMAGE = 0x00480010
# VL Microscopic, Slide-Coordinates Microscopic and Whole Slide Microscopy (PS3.4 B.5)
_SLIDES = frozenset(f"1.2.840.10008.5.1.4.1.1.77.1.{number}" for number in (2, 3, 6))
_SHOWN = frozenset({"LABEL", "OVERVIEW", "MACRO"})  # MACRO is scanners' word for an overview
_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")


def shows_slide_label(dataset: Dataset) -> bool:
    """Return whether an instance is a label or overview of a slide, or declares that it shows a label.

    A volume and its thumbnail show none, unless Specimen Label in Image is YES.
    """
    if text_of(dataset, _SPECIMEN_LABEL_IN_IMAGE).strip().upper() == "YES":
        return True
    is_slide = text_of(dataset, _SOP_CLASS_UID) in _SLIDES or text_of(dataset, _MODALITY) == "SM"
    return is_slide and any(not _SHOWN.isdisjoint(type_.upper().split("\\")) for type_ in _types(dataset))


def _types(dataset: Dataset) -> Iterator[str]:
    """Yield Image Type and the types of frames; LABEL if these cannot be read."""
    yield text_of(dataset, _IMAGE_TYPE)
    try:
        for keyword in _GROUPS:
            for group in dataset.get(keyword) or ():
                for item in group.get("WholeSlideMicroscopyImageFrameTypeSequence") or ():
                    yield text_of(item, _FRAME_TYPE)
    except MALFORMED:
        yield "LABEL"
