"""Beam transforms that de-identify DICOM: one PTransform per verb."""

from beamstop_transforms.apply_recipe import ApplyRecipe
from beamstop_transforms.audit import WriteAudit
from beamstop_transforms.bounce import Bounce
from beamstop_transforms.check_leaks import CheckLeaks
from beamstop_transforms.hide_text import HideText
from beamstop_transforms.insert import Insert
from beamstop_transforms.instance import Instance, Source
from beamstop_transforms.match import Match
from beamstop_transforms.read import ReadDicom
from beamstop_transforms.redistribute import Spread
from beamstop_transforms.resolve_duplicates import Settle
from beamstop_transforms.skip_decided import Skip
from beamstop_transforms.step import Branches
from beamstop_transforms.write import Target, WriteDicom

__all__ = [
    "ApplyRecipe",
    "Bounce",
    "Branches",
    "CheckLeaks",
    "HideText",
    "Insert",
    "Instance",
    "Match",
    "ReadDicom",
    "Settle",
    "Skip",
    "Source",
    "Spread",
    "Target",
    "WriteAudit",
    "WriteDicom",
]
