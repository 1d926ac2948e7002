"""The graph: the whole job on one screen; every source ends in exactly one audit row."""

import platform
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import apache_beam as beam

from beamstop.profile import edition
from beamstop.recipe import Recipe
from beamstop_pipeline.job import Job
from beamstop_pipeline.progress import NoteListed, NoteOutcomes
from beamstop_transforms.apply_recipe import ApplyRecipe
from beamstop_transforms.audit import Drafts, Run, WriteAudit
from beamstop_transforms.bounce import Bounce
from beamstop_transforms.check_leaks import CheckLeaks
from beamstop_transforms.decisions import Decisions
from beamstop_transforms.hide_text import HideText
from beamstop_transforms.insert import Insert
from beamstop_transforms.match import Match
from beamstop_transforms.read import ReadDicom
from beamstop_transforms.settle import Settle
from beamstop_transforms.skip import Skip
from beamstop_transforms.stores import is_dicomweb
from beamstop_transforms.tables import PER_BUNDLE
from beamstop_transforms.write import Target, WriteDicom


def build(pipeline: beam.Pipeline, job: Job) -> Any:
    """Add the job to a pipeline.

    Returns:
        the counts of the run, one element, when its record stands.
    """
    target = Target(job.output, job.audit, job.run_id, first_wins=is_dicomweb(job.output))
    run = _run(job, target)
    sources = pipeline | "Match" >> Match(job.inputs)
    skipping = sources | "Skip" >> Skip(_decisions(job), job.key)
    listed = skipping.fresh | "NoteListed" >> NoteListed(job.progress)
    # Only paths cross this; from reading to writing is one fused chain.
    shuffled = listed | "Reshuffle" >> beam.Reshuffle()
    read = shuffled | "ReadDicom" >> ReadDicom(job.key, job.limits, job.suspects, job.progress)
    bounced = read.instances | "Bounce" >> Bounce(job.recipe)
    hidden = bounced.instances | "HideText" >> HideText(job.recipe, job.load_finder)
    again = hidden.instances | "BounceAgain" >> Bounce(job.recipe)
    applied = again.instances | "ApplyRecipe" >> ApplyRecipe(job.recipe, job.key, run.detail)
    inserted = applied.instances | "Insert" >> Insert(job.recipe)
    checked = inserted.instances | "CheckLeaks" >> CheckLeaks()
    written = checked.instances | "WriteDicom" >> WriteDicom(
        target, job.attributes is not None, job.incremental
    )
    settled = written.claims | "SettleDuplicates" >> Settle(target, skipping.held)

    refusals = (step.refused for step in (read, bounced, hidden, again, applied, inserted, checked))
    rows = (*refusals, written.rows, settled.overturned) | "NoteOutcomes" >> NoteOutcomes(job.progress)
    return Drafts(
        sources=sources,
        skipped=skipping.skipped,
        rows=rows,
        changes=written.changes,
        crosswalk=written.crosswalk,
        attributes=written.attributes,
        losers=settled.losers,
    ) | "WriteAudit" >> WriteAudit(run)


def _decisions(job: Job) -> Decisions | None:
    return Decisions(job.audit, job.recipe.digest, version("beamstop")) if job.incremental else None


def _run(job: Job, target: Target) -> Run:
    return Run(
        target=target,
        crosswalk=job.crosswalk,
        attributes=job.attributes,
        png=job.png,
        detail=job.audit_detail == "changes",
        key=job.key,
        columns={
            "run_id": job.run_id,
            "recipe_digest": job.recipe.digest,
            "beamstop_version": version("beamstop"),
        },
        record={
            "versions": versions(),
            "recipe": asked(job.recipe),
            "standard": edition(),
            "options": {
                # How many, not which: names of folders and files often hold those of patients.
                "inputs": len(job.inputs),
                "crosswalk": job.crosswalk is not None,
                "attributes": job.attributes is not None,
                "png": job.png is not None,
                "ephemeral_key": job.ephemeral,
                "incremental": job.incremental,
                "audit_detail": job.audit_detail,
                "limits": asdict(job.limits),
                "workers": job.workers,
                "stall_timeout": job.stall_timeout,
            },
        },
        started=job.started,
        shards=PER_BUNDLE if job.progress is not None else 16,
    )


def asked(recipe: Recipe) -> dict[str, Any]:
    """Return what a run's record says of its recipe: settings, and how many entries of its own, not which."""
    return {
        "name": recipe.name,
        "digest": recipe.digest,
        "profile": recipe.profile,
        "options": list(recipe.options),
        "unlisted": recipe.unlisted,
        "unknown": recipe.unknown,
        "unvouched": recipe.unvouched,
        "encapsulated": recipe.encapsulated,
        "attributes": len(recipe.attributes),
        "insert": sorted(recipe.insert),
        "bouncers": len(recipe.doormen),
        "text": {
            "hide": recipe.text.hide,
            "authorized_words": len(recipe.text.authorized_words),
            "regions": len(recipe.text.regions),
            "languages": list(recipe.text.languages),
            "ultrasound_regions": recipe.text.ultrasound_regions,
        },
        "kskit": recipe.kskit is not None,
    }


_PACKAGES = ("beamstop", "apache-beam", "pydicom", "numpy", "pyarrow")
_CODECS = ("imagecodecs", "pyjpegls", "pylibjpeg-openjpeg", "python-gdcm", "easyocr", "torch")


def versions() -> dict[str, str]:
    """Return the versions of what can change a result."""
    found = {"python": platform.python_version()}
    for package in (*_PACKAGES, *_CODECS):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
