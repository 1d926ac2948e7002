"""The exceptions of beamstop.

::

    DeidError
    ├── RecipeError        a recipe that cannot be used          (configuration: exit code 2)
    ├── KeyReferenceError  a key that cannot be read or is unsafe (configuration: exit code 2)
    ├── SubjectsError      a table of subjects that cannot be used (configuration: exit code 2)
    ├── PixelError         pixels that cannot be decoded, searched or written back
    └── Refusal            this instance is not written
        ├── Rejected       not wanted, by the recipe's policy
        ├── Quarantined    it could not be proved clean
        └── Failed         DICOM, but unreadable; or a bug in beamstop

Messages never contain a value of a dataset, at most keyword, tag, transfer syntax and class of the cause.
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
    """The base class of all exceptions that beamstop raises on purpose."""


class RecipeError(DeidError):
    """A recipe cannot be read, understood or applied; the message says file, line and remedy."""


class KeyReferenceError(DeidError):
    """A key reference cannot be resolved, or others can read the key; the message says the remedy."""


class SubjectsError(DeidError):
    """A table of subjects cannot be used; the message has line numbers and the remedy, but no value."""


class PixelError(DeidError):
    """Pixels cannot be decoded, searched or written back.

    Args:
        reason: a code for the audit, such as ``pixels_undecodable``.
        detail: what was tried, without any value of the dataset.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class Refusal(DeidError):  # noqa: N818  its kinds are outcomes, not errors
    """The instance is not written; the reason code goes into the audit.

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
    """It is not wanted: a bouncer rejected it, or it is not DICOM, a DICOMDIR or a duplicate."""


class Quarantined(Refusal):
    """It could not be proved clean, so it is not written."""


class Failed(Refusal):
    """It is DICOM but cannot be read, or beamstop itself failed on it."""
