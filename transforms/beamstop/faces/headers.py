"""What a header says of whether an instance can show a face."""

import json
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cache
from importlib.resources import files

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from beamstop.dicom.elements import MALFORMED
from beamstop.dicom.pydicom_guards import guarded
from beamstop.dicom.views import view_of


class Kind(Enum):
    """What an instance can be for a face.

    VOLUME: a slice, or several, of CT, MR or PT. SAME_FACE: no such slice, but it shows what they would show:
    contours or segments of skin, a dose, a rendering, a photograph, a projection. NONE: neither.
    """

    VOLUME = "volume"
    SAME_FACE = "same_face"
    NONE = "none"


class Region(Enum):
    """Where in the body a header says that an instance was taken."""

    HEAD = "head"
    ELSEWHERE = "elsewhere"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class FaceHeader:
    """What the header of one instance says, as far as a face goes; none of its words.

    Attributes:
        sop_class_uid, sop_instance_uid, study_uid, series_uid, frame_of_reference_uid, modality: as they
            stand there; empty where they do not.
        kind: see `Kind`.
        region: see `Region`.
        is_coarse: its pixels are too large, or its picture too small, to make out anybody.
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
# CT, MR and PET, plain, enhanced, and converted to enhanced
_VOLUMES = frozenset(_STORAGE + end for end in ("2", "2.1", "2.2", "4", "4.1", "4.4", "128", "128.1", "130"))
_SECONDARY_CAPTURES = frozenset(_STORAGE + end for end in ("7", "7.1", "7.2", "7.3", "7.4"))
# X-Ray 3D angiographic and craniofacial, Enhanced MR Color, photographs and films of them
_SHOWING = frozenset(_STORAGE + end for end in ("13.1.1", "13.1.2", "4.3", "77.1.4", "77.1.4.1"))
_RT_STRUCTURE_SET, _RT_DOSE = _STORAGE + "481.3", _STORAGE + "481.2"
_SEGMENTATIONS = frozenset(_STORAGE + end for end in ("66.4", "66.5", "66.7"))
_PROJECTIONS = frozenset({"LOCALIZER", "PROJECTION IMAGE", "MIP", "MINIP", "MAX_IP", "MAXIP", "MIN_IP"})
_RENDERED = ("3D", "RENDER", "VRT", "SSD", "SHADED", "SURFACE", "VOLUME", "SKIN", "FACE")

_LARGEST_PIXEL = 8.0  # mm: a nose is four of them
_SMALLEST_FIELD = 60.0  # mm: less than an eye and a nose

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
def is_candidate(dataset: Dataset) -> Kind:
    """Say what kind an instance is; what is not what it claims to be counts as what it may be."""
    return _kind(view_of(dataset))


@guarded()
def face_header(dataset: Dataset) -> FaceHeader:
    """Return what the header of an instance says; its raw elements stay raw."""
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
        region=_region(view),
        is_coarse=kind is Kind.VOLUME and _is_coarse(view),
    )


def may_show_face(header: FaceHeader) -> bool:
    """Say from the header alone whether an instance, with the others of its series, may show a face.

    It may unless one of these holds:

    1. it is no candidate (`Kind.NONE`);
    2. Body Part Examined names another part of the body, and no description speaks of head, neck, or all of
       the body. In PT a part of the trunk is not believed: most such scans begin at the skull;
    3. a pixel is larger than 8 mm, or the whole picture smaller than 60 mm.

    No body part, or one that is not known, is True. A description alone rules nothing out.
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
    """Say whether a secondary capture may be a picture of the head that CT, MR or PT gave."""
    region = _region(view)
    words = " ".join(_text(view, keyword) for keyword in ("ImageType", "SeriesDescription")).upper()
    is_rendered = any(word in words for word in _RENDERED)
    is_of_head = modality in _MODALITIES and region is Region.HEAD
    return is_of_head or (is_rendered and region is not Region.ELSEWHERE)


def _names_skin(view: Dataset, sequence: str, keywords: tuple[str, ...]) -> bool:
    """Say whether a structure or segment is the skin, by its name; True where that cannot be read."""
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
    """Return words of one kind; those of Body Part Examined are PS3.16 Annex L's and what devices write."""
    document = json.loads((files("beamstop") / "data" / "face_words.json").read_text(encoding="utf-8"))
    return frozenset(document[kind])


def _plain(text: str) -> str:
    """Return a text in capitals without accents, its words apart by single blanks.

    >>> _plain("tête_cou 3D")
    'TETE COU 3D'
    """
    bare = "".join(it for it in unicodedata.normalize("NFKD", text.upper()) if not unicodedata.combining(it))
    return " ".join("".join(it if it.isalnum() else " " for it in bare).split())


def _is_coarse(view: Dataset) -> bool:
    """Say whether pixels are too large, or the field too small; False where the header does not tell."""
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
    """Yield the distances of rows and of columns that a header states, in mm."""
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
        value = view.get(keyword)
    except MALFORMED:
        return ""
    if value is None or isinstance(value, bytes):
        return ""
    return "\\".join(map(str, value)) if isinstance(value, MultiValue) else str(value).strip()
