"""Bouncers: rules that reject instances.

As in idiscore, a bouncer that reads BurnedInAnnotation runs twice: first as if nothing were burned in, so
that an instance that HideText can clean is not rejected, and again after HideText.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from beamstop.dicom.elements import text_of
from beamstop.errors import Rejected, SubjectsError
from beamstop.faces.headers import face_header, may_show_face
from beamstop.identity import Lines
from beamstop.rules.criteria import parse_criterion
from beamstop.rules.slide_labels import shows_slide_label
from beamstop.standard.uids import is_standard_sop_class

_BURNED_IN, _FACES = "BurnedInAnnotation", "RecognizableVisualFeatures"
_SOP_CLASS_UID, _ENCAPSULATED_DOCUMENT = 0x00080016, BaseTag(0x00420011)
_ENCAPSULATED = "1.2.840.10008.5.1.4.1.1.104."  # PDF, CDA, STL, OBJ, MTL (PS3.4 B.5)
_KEY_OBJECT = "1.2.840.10008.5.1.4.1.1.88.59"
_PRESENTATION_STATES = "1.2.840.10008.5.1.4.1.1.11."


class Bouncer(ABC):
    """Inspects a dataset, and rejects it or not.

    Subclass it and name the class by its import path in a recipe. It must not change the dataset, and must
    depend only on it.

    Attributes:
        reason: the code that the audit shows.
        reads_burned_in: it reads BurnedInAnnotation, so it runs again after HideText.
        reads_faces: it reads RecognizableVisualFeatures, so it runs again after RemoveFace.
    """

    reason: str = "bounced"
    reads_burned_in: bool = False
    reads_faces: bool = False

    @abstractmethod
    def inspect(self, dataset: Dataset) -> None:
        """Return if the dataset may pass.

        Raises:
            Rejected: it must not pass, or that cannot be determined. Any other exception of a custom bouncer
                is a `fault` of its class.
        """

    def _reject(self, detail: str = "") -> None:
        raise Rejected(self.reason, detail)


class RejectNonStandardDicom(Bouncer):
    """Turns away SOP classes that PS3.4 does not define, and instances without one."""

    reason = "non_standard_sop_class"

    def inspect(self, dataset: Dataset) -> None:
        """Look at SOPClassUID."""
        if not is_standard_sop_class(_sop_class(dataset)):
            self._reject()


class RejectEncapsulatedImageStorage(Bouncer):
    """Turns away encapsulated documents: PDF, CDA, STL, OBJ, MTL.

    Args:
        but: SOP classes that pass, because their payload is cleaned.
    """

    reason = "encapsulated_document"

    def __init__(self, but: Iterable[str] = ()) -> None:
        self.but = frozenset(but)

    def inspect(self, dataset: Dataset) -> None:
        """Look at SOPClassUID and for a payload."""
        if text_of(dataset, _SOP_CLASS_UID) in self.but:
            return
        if _ENCAPSULATED_DOCUMENT in dataset._dict or _sop_class(dataset).startswith(_ENCAPSULATED):
            self._reject()


class RejectKeyObject(Bouncer):
    """Turns away Key Object Selection documents."""

    reason = "key_object"

    def inspect(self, dataset: Dataset) -> None:
        """Look at SOPClassUID."""
        if _sop_class(dataset) == _KEY_OBJECT:
            self._reject()


class RejectPresentationState(Bouncer):
    """Turns away presentation states."""

    reason = "presentation_state"

    def inspect(self, dataset: Dataset) -> None:
        """Look at SOPClassUID."""
        if _sop_class(dataset).startswith(_PRESENTATION_STATES):
            self._reject()


class RejectSlideLabel(Bouncer):
    """Turns away labels and overviews of slides, and other instances that declare a label."""

    reason = "slide_label"

    def inspect(self, dataset: Dataset) -> None:
        """Look at Image Type, the types of frames, and Specimen Label in Image."""
        if shows_slide_label(dataset):
            self._reject()


class RejectPossibleFace(Bouncer):
    """Rejects instances that may show a face, by header: CT, MR, PT of heads, and derived instances."""

    reason = "face"

    def inspect(self, dataset: Dataset) -> None:
        """Check body part and resolution in the header; if they are missing, a face may show."""
        if may_show_face(face_header(dataset)):
            self._reject()


class RejectKOGSPS(Bouncer):
    """Turns away key objects and presentation states, as idiscore's bouncer of this name."""

    reason = "presentation_state"

    def inspect(self, dataset: Dataset) -> None:
        """Run both bouncers of which it consists."""
        RejectKeyObject().inspect(dataset)
        RejectPresentationState().inspect(dataset)


class RejectSubject(Bouncer):
    """Turns away subjects that a table refuses, and those without a line if only these may pass.

    Args:
        subjects: the table.
        absent: also turn away subjects without a line.
    """

    reason = "refused"

    def __init__(self, subjects: Lines, absent: bool) -> None:
        self._subjects, self._absent = subjects, absent

    def inspect(self, dataset: Dataset) -> None:
        """Look at PatientID, Issuer of Patient ID and Accession Number."""
        subject = self._subjects.of_instance(dataset)
        if subject is None and self._absent:
            raise Rejected("not_in_table")
        if subject is not None and subject.is_refused:
            self._reject()


class ListBouncer(Bouncer):
    """Turns away instances by a list of values in a file.

    Args:
        attribute: the keyword of the attribute to look up.
        name: of the list.
        rejects_listed: turn away listed values, not unlisted ones.
        reason: the code that the audit shows; empty for `listed` or `unlisted`.
        lists: the lists, as keyed digests; None until they are loaded.
    """

    def __init__(
        self, attribute: str, name: str, rejects_listed: bool, reason: str = "", lists: Lines | None = None
    ) -> None:
        self.attribute, self.name, self.rejects_listed = attribute, name, rejects_listed
        self.reason = reason or ("listed" if rejects_listed else "unlisted")
        self._tag, self._lists = tag_for_keyword(attribute) or 0, lists

    def of(self, lists: Lines) -> "ListBouncer":
        """Return the same with the lists."""
        return ListBouncer(self.attribute, self.name, self.rejects_listed, self.reason, lists)

    def inspect(self, dataset: Dataset) -> None:
        """Look up the value of the attribute; an empty value is in no list."""
        value = text_of(dataset, self._tag)
        if self._lists is None:
            raise SubjectsError("bouncers: listed: the list was not loaded; do it with load_subjects")
        if self._lists.is_listed(value, self.name) is self.rejects_listed:
            self._reject(self.attribute)


class CriterionBouncer(Bouncer):
    """Turns away instances that meet a criterion.

    Args:
        criterion: text as `parse_criterion` reads it.
        justification: why, for the reader of the recipe.
        reason: the code that the audit shows.

    >>> CriterionBouncer("Modality.equals('US') and not BurnedInAnnotation.equals('NO')").reads_burned_in
    True
    """

    def __init__(self, criterion: str, justification: str = "", reason: str = "criterion") -> None:
        self.criterion = criterion
        self.justification = justification
        self.reason = reason
        self.reads_burned_in = _BURNED_IN in criterion
        self.reads_faces = _FACES in criterion
        # The audit names only the attributes that the criterion reads: a value in it may identify a patient.
        self._reads = ", ".join(dict.fromkeys(re.findall(r"(\w+)\s*\.\s*\w+\s*\(", criterion)))
        self._fits = parse_criterion(criterion)

    def __reduce__(self) -> tuple[type["CriterionBouncer"], tuple[str, str, str]]:
        # Its function cannot be pickled.
        return type(self), (
            self.criterion,
            self.justification,
            self.reason,
        )

    def inspect(self, dataset: Dataset) -> None:
        """Evaluate the criterion."""
        if self._fits(dataset):
            self._reject(self._reads)


def _sop_class(dataset: Dataset) -> str:
    """Return the SOP class.

    Raises:
        Rejected: `no_sop_class`: there is none, or several.
    """
    sop_class = text_of(dataset, _SOP_CLASS_UID)
    if not sop_class or "\\" in sop_class:
        raise Rejected("no_sop_class")
    return sop_class
