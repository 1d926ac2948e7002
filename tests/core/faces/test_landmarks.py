"""What landmarks by curvature find on a head, before and after."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileDataset
from tests.heads import Head, Scan, series

from beamstop.faces.landmarks import has_landmarks
from beamstop.faces.series import look_at_series
from beamstop.steps.remove_face import remove_face

STEP = 3.0  # mm
CHILD = Scan(shape=(72, 56), spacing=STEP, apart=STEP, count=64, centre=(0.0, -15.0, -25.0), noise=20)


def depth_of_skin(instances: list[FileDataset], turn: int = 1) -> NDArray[Any]:
    """Return how far the skin of axial CT slices lies from the front, mm; with -1 from behind."""
    values = np.stack(
        [np.frombuffer(it.PixelData, "<u2").reshape(it.Rows, it.Columns) for it in reversed(instances)]
    )
    body = values[:, ::turn] > 1024 - 300
    return np.where(body.any(axis=1), body.argmax(axis=1) * STEP, np.inf)


def test_the_tip_of_a_nose_between_two_eyes_is_found_before_and_not_after() -> None:
    instances = series(Head(size=0.82, nose=0.6), CHILD)
    before, behind = depth_of_skin(instances), depth_of_skin(instances, -1)
    for instance, finding in zip(instances, look_at_series(instances, "remove"), strict=True):
        remove_face(instance, finding)
    found = [has_landmarks(depth, STEP) for depth in (before, depth_of_skin(instances), behind)]
    assert found == [True, False, False]
