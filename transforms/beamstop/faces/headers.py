"""Read from a header whether an instance may show a face."""

import json
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cache
from importlib.resources import files

from pydicom.datadict import keyword_dict
from pydicom.dataset import Dataset

from beamstop.dicom.elements import MALFORMED, text_of
from beamstop.dicom.pydicom_guards import guarded
from beamstop.dicom.views import view_of


class Kind(Enum):
    """How an instance may show a face.

    VOLUME: it has slices of CT, MR or PT. SAME_FACE: it has no such slices, but may show the same face, as
    contours or segments of skin, a dose, a rendering, a photograph, or a projection. NONE: neither.
    """

    VOLUME = "volume"
    SAME_FACE = "same_face"
    NONE = "none"


class Region(Enum):
    """The part of the body that a header names."""

    HEAD = "head"
    ELSEWHERE = "elsewhere"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class FaceHeader:
    """The facts in a header that decide about a face, without any free text.

    Attributes:
        sop_class_uid, sop_instance_uid, study_uid, series_uid, frame_of_reference_uid: as in the header;
            empty if missing.
        modality: in capitals; empty if missing.
        kind: see `Kind`; if the header leaves a doubt, one that may show a face.
        region: see `Region`; UNKNOWN if `kind` is NONE.
        is_coarse: whether pixels are too large, or the field of view too small, to recognise anybody.
    """

    sop_class_uid: str
    sop_instance_uid: str
    study_uid: str
    series_uid: str
    frame_of_reference_uid: str
    modality: str
    kind: Kind
    region: Region
    is_coarse: bool


_MODALITIES = frozenset({"CT", "MR", "PT"})
_STORAGE = "1.2.840.10008.5.1.4.1.1."
# CT, MR and PET: single-frame, enhanced, and legacy converted enhanced.
_VOLUMES = frozenset(_STORAGE + end for end in ("2", "2.1", "2.2", "4", "4.1", "4.4", "128", "128.1", "130"))
_SECONDARY_CAPTURES = frozenset(_STORAGE + end for end in ("7", "7.1", "7.2", "7.3", "7.4"))
# X-Ray 3D Angiographic and Craniofacial, Enhanced MR Color, photographs and videos of patients.
_SHOWING = frozenset(_STORAGE + end for end in ("13.1.1", "13.1.2", "4.3", "77.1.4", "77.1.4.1"))
_RT_STRUCTURE_SET, _RT_DOSE = _STORAGE + "481.3", _STORAGE + "481.2"
_SEGMENTATIONS = frozenset(_STORAGE + end for end in ("66.4", "66.5", "66.7"))
_PROJECTIONS = frozenset({"LOCALIZER", "PROJECTION IMAGE", "MIP", "MINIP", "MAX_IP", "MAXIP", "MIN_IP"})
_RENDERED = ("3D", "RENDER", "VRT", "SSD", "SHADED", "SURFACE", "VOLUME", "SKIN", "FACE")

_LARGEST_PIXEL = 8.0  # mm: about a quarter of a nose
_SMALLEST_FIELD = 60.0  # mm: too small for an eye and a nose

_WORDED = (
    "BodyPartExamined",
    "StudyDescription",
    "SeriesDescription",
    "ProtocolName",
    "RequestedProcedureDescription",
    "PerformedProcedureStepDescription",
)
_CODED = ("AnatomicRegionSequence", "PrimaryAnatomicStructureSequence")


@guarded()
def face_header(dataset: Dataset) -> FaceHeader:
    """Return the facts in a header that decide about a face; raw elements stay raw."""
    view = view_of(dataset)
    kind = _kind(view)
    return FaceHeader(
        sop_class_uid=_text(view, "SOPClassUID"),
        sop_instance_uid=_text(view, "SOPInstanceUID"),
        study_uid=_text(view, "StudyInstanceUID"),
        series_uid=_text(view, "SeriesInstanceUID"),
        frame_of_reference_uid=_text(view, "FrameOfReferenceUID"),
        modality=_text(view, "Modality").upper(),
        kind=kind,
        region=Region.UNKNOWN if kind is Kind.NONE else _region(view),
        is_coarse=kind is Kind.VOLUME and _is_coarse(view),
    )


def may_show_face(header: FaceHeader) -> bool:
    """Return whether an instance, with the others of its series, may show a face, from its header alone.

    It may, unless one of these holds:

    1. it is no candidate (`Kind.NONE`);
    2. Body Part Examined names another part of the body, and no description mentions the head, the neck or
       the whole body. In PT, a part of the trunk rules nothing out: most such scans begin at the skull;
    3. a pixel is larger than 8 mm, or the longer side of the field of view is shorter than 60 mm.

    A missing or unknown body part rules nothing out, nor does a description alone.
    """
    return header.kind is not Kind.NONE and header.region is not Region.ELSEWHERE and not header.is_coarse


def _kind(view: Dataset) -> Kind:
    sop_class, modality = _text(view, "SOPClassUID"), _text(view, "Modality").upper()
    if sop_class == _RT_DOSE or sop_class in _SHOWING:
        return Kind.SAME_FACE
    if sop_class == _RT_STRUCTURE_SET:
        return _if(_names_skin(view, "StructureSetROISequence", ("ROIName", "ROIDescription")))
    if sop_class in _SEGMENTATIONS:
        return _if(_names_skin(view, "SegmentSequence", ("SegmentLabel", "SegmentDescription")))
    if not _has_picture(view):
        return Kind.NONE
    if sop_class in _SECONDARY_CAPTURES:
        return _if(_is_rendering(view, modality))
    if sop_class not in _VOLUMES and modality not in _MODALITIES:
        return Kind.NONE
    types = {part.strip().upper() for part in _text(view, "ImageType").split("\\")}
    return Kind.SAME_FACE if types & _PROJECTIONS else Kind.VOLUME


def _if(shows: bool) -> Kind:
    return Kind.SAME_FACE if shows else Kind.NONE


def _has_picture(view: Dataset) -> bool:
    return all(keyword in view for keyword in ("Rows", "Columns"))


def _is_rendering(view: Dataset, modality: str) -> bool:
    """Return whether a secondary capture may show a head from CT, MR or PT."""
    region = _region(view)
    words = " ".join(_text(view, keyword) for keyword in ("ImageType", "SeriesDescription")).upper()
    is_rendered = any(word in words for word in _RENDERED)
    is_of_head = modality in _MODALITIES and region is Region.HEAD
    return is_of_head or (is_rendered and region is not Region.ELSEWHERE)


def _names_skin(view: Dataset, sequence: str, keywords: tuple[str, ...]) -> bool:
    """Return whether the name of a structure or segment says skin; True if names cannot be read."""
    try:
        items = list(view.get(sequence) or ())
        kinds = [_text(item, "RTROIInterpretedType") for item in view.get("RTROIObservationsSequence") or ()]
        coded = [
            _text(code, "CodeMeaning")
            for item in items
            for code in item.get("SegmentedPropertyTypeCodeSequence") or ()
        ]
    except MALFORMED:
        return True
    names = [*(_text(item, keyword) for item in items for keyword in keywords), *kinds, *coded]
    return any(word in _plain(name) for name in names for word in _words("skin"))


def _region(view: Dataset) -> Region:
    try:
        coded = [_text(item, "CodeMeaning") for keyword in _CODED for item in view.get(keyword) or () if item]
    except MALFORMED:
        coded = []
    texts = [_plain(text) for text in (*(_text(view, keyword) for keyword in _WORDED), *coded)]
    if any(_speaks_of_head(text) for text in texts):
        return Region.HEAD
    part = _plain(_text(view, "BodyPartExamined")).replace(" ", "")
    believed = _words("limbs_and_organs")
    if _text(view, "Modality").upper() != "PT":
        believed |= _words("trunk")
    return Region.ELSEWHERE if part in believed else Region.UNKNOWN


def _speaks_of_head(text: str) -> bool:
    words = text.split()
    return (
        not _words("head_words").isdisjoint(words)
        or any(word.startswith(it) for it in _words("head_beginnings") for word in words)
        or any(phrase in text for phrase in _words("head_phrases"))
    )


@cache
def _words(kind: str) -> frozenset[str]:
    """Return words of one kind; body parts are those of PS3.16 Annex L and those that devices write."""
    document = json.loads((files("beamstop") / "data" / "face_words.json").read_text(encoding="utf-8"))
    return frozenset(document[kind])


def _plain(text: str) -> str:
    """Return a text in capitals without accents or punctuation, with single spaces between words.

    >>> _plain("tête_cou 3D")
    'TETE COU 3D'
    """
    bare = "".join(it for it in unicodedata.normalize("NFKD", text.upper()) if not unicodedata.combining(it))
    return " ".join("".join(it if it.isalnum() else " " for it in bare).split())


def _is_coarse(view: Dataset) -> bool:
    """Return whether pixels are too large, or the field of view too small; False if the header lacks them."""
    spacing = next(_spacings(view), None)
    try:
        rows, columns = int(view.Rows), int(view.Columns)
    except MALFORMED:
        return False
    if spacing is None:
        return False
    down, across = spacing
    return max(spacing) > _LARGEST_PIXEL or max(down * rows, across * columns) < _SMALLEST_FIELD


def _spacings(view: Dataset) -> Iterator[tuple[float, float]]:
    """Yield each Pixel Spacing of a header: the distance of rows and that of columns, in mm."""
    try:
        groups = [view, *(view.get("SharedFunctionalGroupsSequence") or ())]
        groups += list(view.get("PerFrameFunctionalGroupsSequence") or ())[:1]
        for group in groups:
            for item in (group, *(group.get("PixelMeasuresSequence") or ())):
                spacing = item.get("PixelSpacing")
                if spacing:
                    apart = float(spacing[0]), float(spacing[1])
                    if min(apart) > 0:
                        yield apart
    except MALFORMED:
        return


def _text(view: Dataset, keyword: str) -> str:
    try:
        return text_of(view, keyword_dict[keyword]).strip()
    except MALFORMED:
        return ""
