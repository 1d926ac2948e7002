"""What a series of slices shows of a face, and where it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from pydicom.dataset import Dataset

Action = Literal["remove", "reject", "tell"]


class Verdict(Enum):
    """What is to be done about the face in one instance.

    NONE: the picture shows that there is none. LEFT: it may show one, which is left. REMOVE: it is blanked.
    REFUSE: it may show one, and nobody can say where.
    """

    NONE = "none"
    LEFT = "left"
    REMOVE = "remove"
    REFUSE = "refuse"


@dataclass(frozen=True)
class FaceFinding:
    """What was found in one instance.

    Attributes:
        verdict: see `Verdict`.
        masks: of each frame, what is to be blanked: bits of rows times columns, packed by `numpy.packbits`;
            None for a frame without. None at all but for REMOVE.
        fill: the stored value to blank with.
        reason: a code; of REFUSE.
    """

    verdict: Verdict
    masks: tuple[bytes | None, ...] | None = None
    fill: int = 0
    reason: str = ""


def look_at_series(datasets: Sequence[Dataset], action: Action) -> list[FaceFinding]:
    """Return a finding for each instance of a series, in their order."""
    return [FaceFinding(Verdict.REFUSE, reason="face_may_show") for _ in datasets]
