"""What beamstop raises.

::

    DeidError
    ├── RecipeError        a recipe that cannot be used          (configuration: exit code 2)
    ├── KeyReferenceError  a key that cannot be had or is unsafe (configuration: exit code 2)
    ├── SubjectsError      a table of subjects that cannot be used (configuration: exit code 2)
    ├── PixelError         pixels that cannot be decoded, searched or written back
    └── Refusal            this instance is not written
        ├── Rejected       policy said no
        ├── Quarantined    it could not be proved clean
        └── Failed         DICOM, but unreadable; or a fault of ours

No message carries a value of a dataset: keyword, tag, transfer syntax and class of the cause at most.
"""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a suggestion for an unknown word: the nearest known one, or nothing.

    >>> did_you_mean("PatientNam", ["PatientID", "PatientName"]), did_you_mean("x", ["PatientID"])
    ('; did you mean PatientName?', '')
    """
    near = get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


class DeidError(Exception):
    """The base of everything beamstop raises on purpose."""


class RecipeError(DeidError):
    """A recipe that cannot be read, understood or applied; says file, line and remedy."""


class KeyReferenceError(DeidError):
    """A key reference that cannot be resolved, or a key that others can read; says the remedy."""


class SubjectsError(DeidError):
    """A table of subjects that cannot be used; says line numbers and the remedy, and no value."""


class PixelError(DeidError):
    """Pixels that cannot be decoded, searched or written back.

    Args:
        reason: a code for the audit, such as ``pixels_undecodable``.
        detail: what was tried, without any value of the dataset.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class Refusal(DeidError):  # noqa: N818  its kinds are outcomes, not errors
    """The instance is not written; codes that go into the audit say why.

    Args:
        reason: a code such as ``not_dicom`` or ``leak``.
        detail: more, for a person, without any value of the dataset.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[type["Refusal"], tuple[str, str]]:
        return type(self), (self.reason, self.detail)


class Rejected(Refusal):
    """Policy said no: a bouncer, not DICOM, a DICOMDIR, a duplicate."""


class Quarantined(Refusal):
    """It could not be proved clean, so it is not written."""


class Failed(Refusal):
    """It is DICOM but cannot be read, or beamstop itself failed on it."""
