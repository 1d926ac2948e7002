"""The outcomes of sources; not in `audit`, so that a command's help need not load tables."""

from enum import StrEnum


class Outcome(StrEnum):
    """The outcome of a source; every source has exactly one in every run."""

    WRITTEN = "written"
    REJECTED = "rejected"
    QUARANTINED = "quarantined"
    FAILED = "failed"
