"""The commands at the end of a run's summary, complete with the run's own options."""

import shlex
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from beamstop_pipeline.graph import target_of_job
from beamstop_pipeline.job import Job
from beamstop_pipeline.running.set_aside import SetAside
from beamstop_transforms.ledger.sealed import sealed_records

_OF_SEVERAL = {"duplicate_conflict", "occupied"}  # `explain`, which checks one file, cannot find these


class Next(NamedTuple):
    """A command to copy, with its purpose."""

    what: str
    command: str


def next_commands(
    job: Job, inputs: Sequence[str], recipe: str, subjects: str | None, aside: SetAside
) -> Iterator[Next]:
    """Yield the commands that a person may want after a run.

    Args:
        job: the run.
        inputs: the inputs, named for the commands.
        recipe: the recipe, named as on the command line.
        subjects: the table of subjects, named as on the command line; None if there is none.
        aside: sources that it set aside.
    """
    is_server = job.output.startswith("dicomweb:")
    review = ["--review", job.output] if job.recipe.hides_text and not is_server else []
    attributes = ["--attributes", job.attributes] if job.attributes is not None else []
    report = _next("the archive as it is now, to read and sign", "report", job.audit, *review, *attributes)
    if job.ephemeral:
        yield report
        return  # the key exists no longer
    originals = [each for pattern in inputs for each in ("--input", pattern)]
    key = ["--key", job.key]
    rules = ["--recipe", recipe, *(["--subjects", subjects] if subjects is not None else [])]
    if aside.reasons:
        reasons = [each for reason in aside.reasons for each in ("--reason", reason)]
        yield _next("which files were set aside", "sources", job.audit, *originals, *key, *reasons)
        if not _OF_SEVERAL.issuperset(aside.reasons):
            yield _next("why, of one of them", "explain", "FILE", *rules)
    if runs := _runs_without_crosswalk(job):
        what = f"a crosswalk without the gaps of {runs} run{'s' if runs > 1 else ''} that had none"
        yield _next(what, "crosswalk", job.audit, *originals, *key, "-o", "crosswalk.csv")
    places = ["--output", job.output, "--audit", job.audit, *rules]
    yield _next("an independent check", "verify", *originals, *places, *key)
    yield report  # it shows what verify found


def _next(what: str, *arguments: str) -> Next:
    return Next(what, _shell(*arguments))


def _shell(*arguments: str) -> str:
    return f"beamstop {shlex.join(arguments)}"


def _runs_without_crosswalk(job: Job) -> int:
    """Return how many runs of the audit have no crosswalk, if others have one."""
    had = [
        bool(record.get("options", {}).get("crosswalk"))
        for record in sealed_records(job.audit, target_of_job(job).identity())
    ]
    return had.count(False) if any(had) else 0
