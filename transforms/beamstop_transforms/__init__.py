"""Beam transforms that de-identify DICOM: one PTransform per verb, and the composite `Deidentify`.

`DeidentifyFiles` starts from file patterns, `Deidentify` from instances that were read. Each returns
`Branches`: the instances that continue, and an audit row for each that does not. docs/own-pipeline.md has a
complete pipeline, from reading to the audit.
"""

from beamstop_transforms import quiet_beam  # noqa: F401, I001  before anything imports Beam

from beamstop_transforms.apply_recipe import ApplyRecipe
from beamstop_transforms.audit import JobOutputs, WriteAudit
from beamstop_transforms.bounce import Bounce
from beamstop_transforms.check_leaks import CheckLeaks
from beamstop_transforms.deidentify import Deidentify, DeidentifyFiles
from beamstop_transforms.group_series import GroupSeries
from beamstop_transforms.hide_text import HideText
from beamstop_transforms.insert import Insert
from beamstop_transforms.instance import Instance, Source
from beamstop_transforms.ledger.attempts import Attempts
from beamstop_transforms.ledger.decisions import Decisions
from beamstop_transforms.ledger.target import Target, new_run_id
from beamstop_transforms.match import Match
from beamstop_transforms.read import ReadDicom
from beamstop_transforms.record import Run
from beamstop_transforms.redistribute import Redistribute, Work
from beamstop_transforms.remove_face import RemoveFace
from beamstop_transforms.resolve_duplicates import Resolved, ResolveDuplicates
from beamstop_transforms.skip_decided import SkipDecided, Skipping
from beamstop_transforms.step import Branches
from beamstop_transforms.subjects import StagedSubjects, stage_subjects
from beamstop_transforms.write import WriteDicom, Written

__all__ = [
    "ApplyRecipe",
    "Attempts",
    "Bounce",
    "Branches",
    "CheckLeaks",
    "Decisions",
    "Deidentify",
    "DeidentifyFiles",
    "GroupSeries",
    "HideText",
    "Insert",
    "Instance",
    "JobOutputs",
    "Match",
    "ReadDicom",
    "Redistribute",
    "RemoveFace",
    "ResolveDuplicates",
    "Resolved",
    "Run",
    "SkipDecided",
    "Skipping",
    "Source",
    "StagedSubjects",
    "Target",
    "Work",
    "WriteAudit",
    "WriteDicom",
    "Written",
    "new_run_id",
    "stage_subjects",
]
