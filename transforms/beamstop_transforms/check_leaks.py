"""CheckLeaks: finish the file and search it for the instance's own identifiers."""

from dataclasses import dataclass

from beamstop.dicom.files import encode
from beamstop.errors import Quarantined
from beamstop.steps.check_leaks import check_leaks
from beamstop_transforms.instance import Instance
from beamstop_transforms.step import Step, Work


@dataclass(eq=False)
class CheckLeaks(Step):
    """Encode every instance and search the finished bytes for its identifiers."""

    column = "ms_check"

    def begin(self) -> Work:
        """Return the work on an instance."""
        return _check


def _check(instance: Instance) -> None:
    instance.encoded = encode(instance.dataset)
    try:
        instance.identifiers_checked = check_leaks(instance.encoded, instance.report)
    except Quarantined:
        instance.leaks_found = 1
        raise
