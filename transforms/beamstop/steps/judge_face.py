"""JudgeFace: apply the recipe to a face that an instance may show, and record the result."""

from dataclasses import dataclass

from pydicom.dataset import Dataset

from beamstop.changes import Change
from beamstop.dicom.pydicom_guards import guarded
from beamstop.errors import Quarantined, Rejected
from beamstop.faces.headers import Kind, face_header, may_show_face
from beamstop.faces.series import Action, FaceFinding, Verdict
from beamstop.steps.remove_face import remove_face

# In the audit's `detail`; MAY_SHOW is a reason for quarantine, too.
MAY_SHOW, REMOVED = "face_may_show", "face_removed"
ALONE = "not looked at with its series"
SAME_FACE = "shows what slices of a head show"


@dataclass(frozen=True)
class FaceNote:
    """The result about a face in one instance.

    Attributes:
        code: for the audit's detail: `face_may_show` (it was left), `face_removed`, or empty.
        features: for RecognizableVisualFeatures: NO if the pictures prove that no face shows; YES if one may
            show and was left; None to leave the attribute unchanged.
        changes: one per frame in which a face was blanked.
        pixels_changed: whether pixel data have changed.
    """

    code: str = ""
    features: str | None = None
    changes: tuple[Change, ...] = ()
    pixels_changed: bool = False

    @property
    def is_proved(self) -> bool:
        """Whether the pictures prove that no face shows, so that the clean file may claim 113102."""
        return self.features == "NO"


@guarded()
def judge_face(dataset: Dataset, action: Action | None, finding: FaceFinding | None) -> FaceNote:
    """Treat the face of one instance as the recipe says, in place.

    Args:
        dataset: one instance, as it was read.
        action: of the recipe; None leaves faces alone and only notes which instances may show one.
        finding: for this instance, from the search of its whole series; None if the series was not searched.

    Returns:
        the note for the audit and the attributes of the clean file.

    Raises:
        Quarantined: `face_may_show`: a face may show and could not be removed; or another reason from the
            finding.
        Rejected: `face`: the recipe rejects instances that may show one.
    """
    if action is None or finding is None:
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
        # Together with slices of other series, a face may show.
        return FaceNote(MAY_SHOW)
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
