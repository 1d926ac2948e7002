"""The graph: the whole job on one screen; every source ends in exactly one audit row."""

import platform
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

import apache_beam as beam

from beamstop.recipe.model import Recipe
from beamstop.rules.profile import edition
from beamstop_pipeline.job import Job
from beamstop_pipeline.running.progress import NoteListed, NoteOutcomes
from beamstop_transforms.apply_recipe import ApplyRecipe
from beamstop_transforms.audit import Drafts, Run, WriteAudit
from beamstop_transforms.bounce import Bounce
from beamstop_transforms.check_leaks import CheckLeaks
from beamstop_transforms.hide_text import HideText
from beamstop_transforms.insert import Insert
from beamstop_transforms.ledger.decisions import Decisions
from beamstop_transforms.match import Match
from beamstop_transforms.notifications import Notified, ReadNotifications
from beamstop_transforms.read import ReadDicom
from beamstop_transforms.redistribute import Spread
from beamstop_transforms.resolve_duplicates import Settle
from beamstop_transforms.skip_decided import Skip
from beamstop_transforms.stores import is_dicomweb
from beamstop_transforms.tables import PER_BUNDLE
from beamstop_transforms.windows import WriteWindows, into_windows
from beamstop_transforms.write import Target, WriteDicom, Written


def build(pipeline: beam.Pipeline, job: Job) -> Any:
    """Add the job to a pipeline.

    Returns:
        the counts of the run, one element, when its record stands; those of each window of a stream.
    """
    if job.subscription is not None:
        return build_stream(pipeline | "ReadNotifications" >> ReadNotifications(job.subscription), job)
    target = Target(job.output, job.audit, job.run_id, first_wins=is_dicomweb(job.output))
    run = _run(job, target)
    sources = pipeline | "Match" >> Match(job.inputs)
    decisions = _decisions(job, target)
    skipping = sources | "Skip" >> Skip(decisions, job.key)
    listed = skipping.fresh | "NoteListed" >> NoteListed(job.progress)
    # Only paths cross this; from reading to writing is one fused chain.
    chain = _deidentify(listed | "Spread" >> Spread(), job, target)
    settled = chain.written.claims | "SettleDuplicates" >> Settle(target, decisions, skipping.skipped)
    rows = (*chain.rows, settled.overturned) | "NoteOutcomes" >> NoteOutcomes(job.progress)
    return Drafts(
        sources=sources,
        skipped=skipping.skipped,
        rows=rows,
        changes=chain.written.changes,
        crosswalk=chain.written.crosswalk,
        attributes=chain.written.attributes,
        losers=settled.losers,
    ) | "WriteAudit" >> WriteAudit(run)


def build_stream(messages: Any, job: Job) -> Any:
    """Add the job on notifications of new objects, which never end.

    Args:
        messages: with `attributes` and `data`, as Pub/Sub has them.
        job: what is done.

    Returns:
        the counts of each window when its record stands.
    """
    target = Target(job.output, job.audit, job.run_id, first_wins=True)
    sources = messages | "Notified" >> Notified(job.targets.values())
    # Windows come after it: a Reshuffle drops what is late for its window.
    shuffled = sources | "Reshuffle" >> beam.Reshuffle() | "Window" >> into_windows(job.window)
    chain = _deidentify(shuffled, job, target)
    return chain.rows | "Rows" >> beam.Flatten() | "WriteWindows" >> WriteWindows(_run(job, target))


class Chain(NamedTuple):
    """What comes of sources: what WriteDicom returns, and the rows of every step."""

    written: Written
    rows: tuple[Any, ...]


def _deidentify(sources: Any, job: Job, target: Target) -> Chain:
    read = sources | "ReadDicom" >> ReadDicom(job.key, job.limits, job.suspects, job.progress)
    bounced = read.instances | "Bounce" >> Bounce(job.recipe)
    hidden = bounced.instances | "HideText" >> HideText(job.recipe, job.load_finder)
    again = hidden.instances | "BounceAgain" >> Bounce(job.recipe)
    applied = again.instances | "ApplyRecipe" >> ApplyRecipe(
        job.recipe, job.key, job.audit_detail == "changes", job.limits.depth
    )
    inserted = applied.instances | "Insert" >> Insert(job.recipe)
    checked = inserted.instances | "CheckLeaks" >> CheckLeaks()
    written = checked.instances | "WriteDicom" >> WriteDicom(
        target, job.attributes is not None, job.incremental, job.subscription is not None
    )
    refusals = (step.refused for step in (read, bounced, hidden, again, applied, inserted, checked))
    return Chain(written, (*refusals, written.rows))


def _decisions(job: Job, target: Target) -> Decisions | None:
    return Decisions(target, job.recipe.digest, version("beamstop")) if job.incremental else None


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
                "stream": job.subscription is not None,
                "crosswalk": job.crosswalk is not None,
                "attributes": job.attributes is not None,
                "png": job.png is not None,
                "ephemeral_key": job.ephemeral,
                "incremental": job.incremental,
                "prune": job.prune,
                "audit_detail": job.audit_detail,
                "limits": asdict(job.limits),
                "workers": job.workers,
                "max_memory": job.max_memory,
                "stall_timeout": job.stall_timeout,
            },
        },
        inputs=job.inputs,
        prune=job.prune if job.incremental else None,
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
_CODECS = ("imagecodecs", "pyjpegls", "pylibjpeg-openjpeg", "python-gdcm")
_NETWORKS = ("opencv-python-headless", "openvino", "easyocr", "torch")


def versions() -> dict[str, str]:
    """Return the versions of what can change a result."""
    found = {"python": platform.python_version()}
    for package in (*_PACKAGES, *_CODECS, *_NETWORKS):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
