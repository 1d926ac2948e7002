"""JudgeFace: what is done and recorded about a face that one instance may show."""

from dataclasses import dataclass

from pydicom.dataset import Dataset

from beamstop.changes import Change
from beamstop.dicom.pydicom_guards import guarded
from beamstop.errors import Quarantined, Rejected
from beamstop.faces.headers import Kind, face_header, is_candidate, may_show_face
from beamstop.faces.series import Action, FaceFinding, Verdict
from beamstop.steps.remove_face import remove_face

MAY_SHOW, REMOVED = "face_may_show", "face_removed"  # in the audit's detail; the first is a reason, too
ALONE = "not looked at with its series"
SAME_FACE = "shows what slices of a head show"


@dataclass(frozen=True)
class FaceNote:
    """What is known of a face in one instance.

    Attributes:
        code: for the audit's detail: `face_may_show` (it was left), `face_removed`, or empty.
        features: for RecognizableVisualFeatures: NO where no face shows, proved on the picture; YES where one
            may show and was left; None leaves the attribute as it is.
        changes: one per frame in which a face was blanked.
        pixels_changed: pixel data are not what they were.
    """

    code: str = ""
    features: str | None = None
    changes: tuple[Change, ...] = ()
    pixels_changed: bool = False

    @property
    def is_proved(self) -> bool:
        """Whether no face shows: 113102 may be claimed."""
        return self.features == "NO"


@guarded()
def judge_face(dataset: Dataset, action: Action | None, finding: FaceFinding | None) -> FaceNote:
    """Do with the face of one instance what the recipe says, in place.

    Args:
        dataset: one instance, as it was read.
        action: of the recipe; None leaves faces alone, and says which instances may show one.
        finding: what a look at the whole series gave; None where nobody looked.

    Raises:
        Quarantined: `face_may_show`: a face may show, and nobody could take it out; or another reason of the
            finding.
        Rejected: `face`: the recipe rejects instances that may show one.
    """
    if action is None or finding is None:
        if is_candidate(dataset) is Kind.NONE:  # of most instances, and seen at once
            return FaceNote()
        header = face_header(dataset)
        if not may_show_face(header):
            return FaceNote()
        if action is None:
            return FaceNote(MAY_SHOW)
        detail = ALONE if header.kind is Kind.VOLUME else SAME_FACE
        finding = FaceFinding(Verdict.REFUSE, reason=MAY_SHOW, detail=detail)
    if finding.verdict is Verdict.NONE:
        return FaceNote(features="NO")
    if finding.verdict is Verdict.FEW:
        return FaceNote(MAY_SHOW)  # with slices of other series it may
    if action == "tell":
        return FaceNote(MAY_SHOW, features="YES")
    if finding.verdict is Verdict.REFUSE and (action == "remove" or finding.reason != MAY_SHOW):
        raise Quarantined(finding.reason, finding.detail)
    if action == "reject":
        raise Rejected("face", finding.detail)
    if finding.verdict is not Verdict.REMOVE or not finding.masks:
        raise Quarantined(MAY_SHOW)
    report = remove_face(dataset, finding)
    return FaceNote(REMOVED, "NO", report.changes, report.pixels_changed)
