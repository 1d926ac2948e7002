"""CheckLeaks: search a finished file for the instance's own identifiers."""

from beamstop.dicom.files import Encoded
from beamstop.dicom.pydicom_guards import guarded
from beamstop.leaks.search import search
from beamstop.pixels.codestreams import comments
from beamstop.steps.apply_recipe import AttributeReport


@guarded()
def check_leaks(encoded: Encoded, report: AttributeReport) -> int:
    """Search a finished file for the instance's own identifiers; return the number of identifiers.

    Args:
        encoded: the finished file, from `encode`.
        report: of ApplyRecipe, with the instance's identifiers.

    Raises:
        Quarantined: `leak`, with the path of an element that has one; `pixels_undecodable` if compressed
            pixel data do not consist of fragments.
    """
    return search(encoded.header, report.identifiers, comments(encoded.encapsulated))
