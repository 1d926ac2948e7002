"""CheckLeaks: finish the file and search it for the instance's own identifiers."""

from typing import Any

import apache_beam as beam

from beamstop.chain import check
from beamstop.dicom.files import encode
from beamstop.errors import Quarantined
from beamstop_transforms.instance import Instance
from beamstop_transforms.step import StepFn, branches


class CheckLeaks(beam.PTransform):
    """Encode every instance and search the finished bytes for what must not be in them."""

    def expand(self, instances: Any) -> Any:
        """Return `Branches`: the proved instances and the rows of the quarantined."""
        return branches(instances, _CheckLeaksFn())


class _CheckLeaksFn(StepFn):
    step = "CheckLeaks"
    column = "ms_check"

    def work(self, instance: Instance) -> None:
        instance.encoded = encode(instance.read)
        try:
            instance.identifiers_checked = check(instance.encoded, instance.applied)
        except Quarantined:
            instance.leaks_found = 1
            raise
