"""The graph: the whole job on one screen; every source ends in exactly one audit row."""

from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import apache_beam as beam

from beamstop.faces.series import Action
from beamstop_pipeline.job import Job
from beamstop_pipeline.running.progress import NoteListed, NoteOutcomes
from beamstop_transforms.audit import JobOutputs, WriteAudit
from beamstop_transforms.deidentify import Deidentify
from beamstop_transforms.group_series import LookAtSeries, ReadHeaders
from beamstop_transforms.ledger.attempts import Attempts
from beamstop_transforms.ledger.decisions import Decisions
from beamstop_transforms.ledger.target import Target
from beamstop_transforms.match import Match
from beamstop_transforms.notifications import Notified, ReadNotifications
from beamstop_transforms.read import ReadDicom
from beamstop_transforms.record import Run
from beamstop_transforms.redistribute import HEADERS, TEXT, Redistribute, Work
from beamstop_transforms.rejoin_series import Rejoined, RejoinSeries
from beamstop_transforms.resolve_duplicates import ResolveDuplicates
from beamstop_transforms.sample import Sample
from beamstop_transforms.seal_parts import SealParts
from beamstop_transforms.skip_decided import SkipDecided, Skipping
from beamstop_transforms.step import Attempted
from beamstop_transforms.stores import is_dicomweb
from beamstop_transforms.windows import WriteWindows, into_windows
from beamstop_transforms.write import WriteDicom, Written


def build(pipeline: beam.Pipeline, job: Job) -> Any:
    """Add the job to a pipeline.

    Returns:
        the counts, one element, when the run's record is written; for a stream, one element per window.
    """
    if job.subscription is not None:
        return build_stream(pipeline | "ReadNotifications" >> ReadNotifications(job.subscription), job)
    target = target_of_job(job)
    sources = pipeline | "Match" >> Match(job.inputs)
    if job.limit is not None:
        sources = sources | "Sample" >> Sample(job.limit)
    decisions = _decisions(job, target)
    action = job.recipe.face_action
    skipping = sources | "SkipDecided" >> SkipDecided(decisions, job.key, hold=action is not None)
    listed = skipping.fresh | "NoteListed" >> NoteListed(job.progress)
    # Only paths cross this shuffle; from reading to writing is one fused chain.
    shared_out = listed | "Redistribute" >> Redistribute(_work(job), _attempts(job, target), job.limits.bytes)
    if action is not None:
        shared_out, skipping = _in_series(shared_out, skipping, job, target, action)
    written = _deidentify(shared_out, job, target)
    run = run_of_job(job, target)
    finished = written.rows | "NoteOutcomes" >> NoteOutcomes(job.progress)
    resolved = written.claims | "ResolveDuplicates" >> ResolveDuplicates(target, decisions, skipping.skipped)
    return JobOutputs(
        rows=resolved.overturned,
        sources=sources,
        skipped=skipping.skipped,
        losers=resolved.losers,
        parts=finished | "SealParts" >> SealParts(run),
    ) | "WriteAudit" >> WriteAudit(run)


def _in_series(
    sources: Any, skipping: Skipping, job: Job, target: Target, action: Action
) -> tuple[Any, Skipping]:
    """Return the sources, each searched with its series, and the sources that are still skipped."""
    keyed = sources | "ReadHeaders" >> ReadHeaders(
        job.key, job.limits, _work(job), job.recipe if job.incremental else None
    )
    rejoined = Rejoined(keyed, skipping.skipped)
    if job.incremental:
        rejoined = keyed | "RejoinSeries" >> RejoinSeries(skipping.skipped, target, job.recipe, job.limits)
    looked_at = rejoined.keyed | "LookAtSeries" >> LookAtSeries(
        action,
        job.key,
        job.limits,
        job.load_look,
        _attempts(job, target),
        job.suspects,
        job.progress,
    )
    return looked_at, Skipping(looked_at, rejoined.skipped)


def build_stream(messages: Any, job: Job) -> Any:
    """Add the job on notifications of new objects, which never end.

    Args:
        messages: with `attributes` and `data`, as from Pub/Sub.
        job: the job.

    Returns:
        the counts of each window when its record is written.
    """
    target = Target(job.output, job.audit, job.key, job.run_id, first_wins=True, keeps=job.output_keeps)
    sources = messages | "Notified" >> Notified(job.targets.values())
    # Windows are assigned after this Reshuffle, because it would drop late elements.
    shuffled = sources | "Reshuffle" >> beam.Reshuffle() | "Window" >> into_windows(job.window)
    written = _deidentify(shuffled, job, target)
    return written.rows | "WriteWindows" >> WriteWindows(run_of_job(job, target))


def _deidentify(sources: Any, job: Job, target: Target) -> Written:
    """Return the output of WriteDicom, with the rows of every step, each with all that belongs to it."""
    detail = job.audit_detail == "changes"
    read = ReadDicom(job.key, job.limits, job.suspects, job.progress)
    clean = Deidentify(job.recipe, job.key, job.load_detector, detail, job.limits, job.subjects, grouped=True)
    is_stream = job.subscription is not None
    write = WriteDicom(target, job.attributes is not None, job.incremental, together=True, at_once=is_stream)
    # Refused instances stay in the chain: runners would join separate branches only after all the work.
    instances = sources | "ReadDicom" >> Attempted(read)
    written: Written = instances | "Deidentify" >> Attempted(clean) | "WriteDicom" >> write
    return written


def _work(job: Job) -> Work:
    return TEXT if job.recipe.needs_detector else HEADERS


def _attempts(job: Job, target: Target) -> Attempts | None:
    """Return the notes of packs; None for a local run, which knows which source each worker processes."""
    return Attempts(target, job.careful) if job.progress is None else None


def _decisions(job: Job, target: Target) -> Decisions | None:
    if not job.incremental:
        return None
    return Decisions(target, job.recipe.digest, version("beamstop"), job.subjects_digest, job.absent)


def target_of_job(job: Job) -> Target:
    """Return the target of a job over inputs."""
    first_wins = job.output_keeps or is_dicomweb(job.output)
    return Target(
        job.output,
        job.audit,
        job.key,
        job.run_id,
        first_wins,
        job.recovered,
        job.output_keeps,
        job.ledger,
        job.left_open,
    )


def run_of_job(job: Job, target: Target) -> Run:
    """Return the facts about a job for its record."""
    return Run(
        target=target,
        recipe=job.recipe,
        crosswalk=job.crosswalk,
        attributes=job.attributes,
        png=job.png,
        detail=job.audit_detail == "changes",
        inputs=job.inputs,
        # Sources outside of a sample are not gone.
        prune=job.prune if job.incremental and job.limit is None else None,
        options={
            # Only the number of inputs: names of folders and files often contain names of patients.
            "inputs": len(job.inputs),
            "stream": job.subscription is not None,
            "crosswalk": job.crosswalk is not None,
            "attributes": job.attributes is not None,
            "png": job.png is not None,
            "ephemeral_key": job.ephemeral,
            "incremental": job.incremental,
            "prune": job.prune,
            "limit": job.limit,
            "subjects": bool(job.lines),
            "audit_detail": job.audit_detail,
            "limits": asdict(job.limits),
            "workers": job.workers,
            "max_memory": job.max_memory,
            "stall_timeout": job.stall_timeout,
            "signed": job.signing_key is not None,
        },
        subjects=job.subjects_digest,
        signing_key=job.signing_key,
        started=job.started,
    )
