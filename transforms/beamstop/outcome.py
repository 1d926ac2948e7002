"""What becomes of a source; apart from the audit, so that a command's help need not load tables."""

from enum import StrEnum


class Outcome(StrEnum):
    """What became of a source; every source has exactly one in every run."""

    WRITTEN = "written"
    REJECTED = "rejected"
    QUARANTINED = "quarantined"
    FAILED = "failed"
