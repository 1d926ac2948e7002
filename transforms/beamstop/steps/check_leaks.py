"""CheckLeaks: search a finished file for the instance's own identifiers."""

from beamstop.dicom.files import Encoded
from beamstop.dicom.pydicom_guards import guarded
from beamstop.leaks.search import search
from beamstop.pixels.codestreams import comments
from beamstop.steps.apply_recipe import AttributeReport


@guarded()
def check_leaks(encoded: Encoded, report: AttributeReport) -> int:
    """Search a finished file for the instance's own identifiers; return how many were searched for.

    Args:
        encoded: the finished file, from `encode`.
        report: of ApplyRecipe, with the instance's identifiers.

    Raises:
        Quarantined: `leak`, with the path of the element one was found in; `pixels_undecodable` when
            compressed pixel data are not made of fragments.
    """
    return search(encoded.header, report.identifiers, comments(encoded.encapsulated))
