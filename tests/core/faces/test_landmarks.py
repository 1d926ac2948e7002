"""What landmarks by curvature find on a head, before and after."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import FileDataset
from tests.heads import Head, Scan, series

from beamstop.faces.landmarks import has_landmarks
from beamstop.faces.series import look_at_series
from beamstop.steps.remove_face import remove_face

CHILD = Scan(shape=(72, 56), spacing=3.0, apart=3.0, count=64, centre=(0.0, -15.0, -25.0), noise=20)
PET = Scan(contrast="PT", shape=(64, 64), centre=(0.0, -10.0, -40.0), noise=60)


def depth_of_skin(instances: list[FileDataset], skin: float, turn: int = 1) -> NDArray[Any]:
    """Return how far the skin of axial slices lies from the front, mm; with -1 from behind."""
    values = np.stack(
        [np.frombuffer(it.PixelData, "<u2").reshape(it.Rows, it.Columns) for it in reversed(instances)]
    )
    body = values[:, ::turn] > skin
    return np.where(body.any(axis=1), body.argmax(axis=1) * instances[0].PixelSpacing[0], np.inf)


@pytest.mark.parametrize(
    ("head", "scan", "skin"),
    [(Head(size=0.82, nose=0.6), CHILD, 1024 - 300), (Head(), PET, 700)],
    ids=["a child in CT", "PET"],
)
def test_the_tip_of_a_nose_between_two_eyes_is_found_before_and_not_after(
    head: Head, scan: Scan, skin: float
) -> None:
    instances = series(head, scan)
    before, behind = depth_of_skin(instances, skin), depth_of_skin(instances, skin, -1)
    for instance, finding in zip(instances, look_at_series(instances, "remove"), strict=True):
        assert not finding.reason
        remove_face(instance, finding)
    depths = (before, depth_of_skin(instances, skin), behind)
    assert [has_landmarks(depth, scan.spacing) for depth in depths] == [True, False, False]
