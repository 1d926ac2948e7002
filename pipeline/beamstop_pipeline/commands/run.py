"""`beamstop run`: de-identify an archive."""

import base64
import json
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Annotated, Any, Literal, NewType

import typer

from beamstop_pipeline.errors import ConfigurationError
from beamstop_pipeline.exit_codes import Exit, refusing_bad_configuration
from beamstop_pipeline.first_word import say_first
from beamstop_pipeline.silence import silenced

MayFork = NewType("MayFork", bool)  # True from the command line: this process has not started a thread
_WHAT, _PLACES, _KEY = "What is done", "Where it goes", "The key: exactly one of"
_LIMITS, _OUTPUT = "Limits", "What is printed"


def run(
    context: typer.Context,
    output: Annotated[
        str,
        typer.Option(
            help="folder, gs://, s3:// or az:// prefix, or dicomweb:URL for the clean files",
            rich_help_panel=_PLACES,
        ),
    ],
    audit: Annotated[str, typer.Option(help="folder or prefix for the audit", rich_help_panel=_PLACES)],
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            help="files, folders, globs, gs://bucket/prefix/**, s3://…, az://…, dicomweb:URL; several times",
            rich_help_panel=_PLACES,
        ),
    ] = None,
    subscription: Annotated[
        str | None,
        typer.Option(
            help="instead of --input: a Pub/Sub subscription to new objects, projects/…/subscriptions/…",
            rich_help_panel=_PLACES,
        ),
    ] = None,
    recipe: Annotated[
        str, typer.Option(help="a file, or the name of a recipe that ships", rich_help_panel=_WHAT)
    ] = "default",
    key: Annotated[
        str | None,
        typer.Option(help="file:PATH, env:NAME or secret:projects/…/versions/…", rich_help_panel=_KEY),
    ] = None,
    ephemeral_key: Annotated[
        bool,
        typer.Option(
            "--ephemeral-key",
            help="a key for this run alone; its results cannot be repeated",
            rich_help_panel=_KEY,
        ),
    ] = False,
    subjects: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="CSV, TSV or Parquet table of subjects: who is admitted, and under which pseudonym",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    signing_key: Annotated[
        str | None,
        typer.Option(
            help="sign the run's record, so that anybody can check it; a key from keygen --signing",
            rich_help_panel=_PLACES,
        ),
    ] = None,
    crosswalk: Annotated[
        str | None,
        typer.Option(
            help="folder or prefix for the table from clean files back to originals", rich_help_panel=_PLACES
        ),
    ] = None,
    attributes: Annotated[
        str | None,
        typer.Option(help="folder or prefix for a table of the clean attributes", rich_help_panel=_PLACES),
    ] = None,
    png: Annotated[
        str | None,
        typer.Option(
            help="folder or prefix for a PNG of each clean frame",
            rich_help_panel=_PLACES,
        ),
    ] = None,
    incremental: Annotated[
        bool,
        typer.Option(
            "--incremental",
            help="skip unchanged sources that an earlier run has decided",
            rich_help_panel=_WHAT,
        ),
    ] = False,
    prune: Annotated[
        bool,
        typer.Option(
            "--prune",
            help="with --incremental: remove clean files whose source is gone or rejected now",
            rich_help_panel=_WHAT,
        ),
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="process at most this many sources, spread over the archive, the same ones each time",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="DATE",
            help="with --input dicomweb:URL: only studies since this day, such as 2026-01-31",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    accept_changed_recipe: Annotated[
        bool,
        typer.Option(
            "--accept-changed-recipe",
            help="confirm another recipe than the earlier runs in AUDIT had",
            rich_help_panel=_WHAT,
        ),
    ] = False,
    accept_moved_output: Annotated[
        bool,
        typer.Option(
            "--accept-moved-output",
            help="confirm that the clean files of AUDIT were moved to this OUTPUT",
            rich_help_panel=_WHAT,
        ),
    ] = False,
    audit_detail: Annotated[
        Literal["instances", "changes"],
        typer.Option(help="write rows per instance only, or per changed element too", rich_help_panel=_WHAT),
    ] = "changes",
    window: Annotated[
        float,
        typer.Option(min=1, help="with --subscription: seconds covered by one record", rich_help_panel=_WHAT),
    ] = 300,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, max=1024, help="worker processes  [default: one per CPU]", rich_help_panel=_LIMITS
        ),
    ] = None,
    max_bytes: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="fail larger sources unread  [default: by a worker's memory, 4 GiB at most]",
            rich_help_panel=_LIMITS,
        ),
    ] = None,
    max_frames: Annotated[
        int, typer.Option(min=1, help="fail instances with more frames", rich_help_panel=_LIMITS)
    ] = 1_000_000,
    max_pixels: Annotated[
        int, typer.Option(min=1, help="fail instances with more pixels in a frame", rich_help_panel=_LIMITS)
    ] = 1 << 28,
    max_seconds: Annotated[
        float,
        typer.Option(min=1, help="fail instances that take longer, in seconds", rich_help_panel=_LIMITS),
    ] = 1800,
    decoder_memory: Annotated[
        int,
        typer.Option(
            min=256, help="megabytes for the process that decodes compressed frames", rich_help_panel=_LIMITS
        ),
    ] = 4096,
    max_elements: Annotated[
        int,
        typer.Option(min=1, help="fail instances with more elements and items", rich_help_panel=_LIMITS),
    ] = 2_000_000,
    max_depth: Annotated[
        int,
        typer.Option(min=1, max=150, help="fail instances with items nested deeper", rich_help_panel=_LIMITS),
    ] = 100,
    max_memory: Annotated[
        int | None,
        typer.Option(
            min=512,
            help="megabytes for each worker process; the run ends if one takes more",
            rich_help_panel=_LIMITS,
        ),
    ] = None,
    stall_timeout: Annotated[
        float,
        typer.Option(
            min=1,
            help="end the run after this many seconds without a finished source",
            rich_help_panel=_LIMITS,
        ),
    ] = 2400,
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet", help="print nothing unless something needs attention", rich_help_panel=_OUTPUT
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="print one JSON object at the end", rich_help_panel=_OUTPUT)
    ] = False,
) -> None:
    """De-identify sources into OUTPUT, with a row for each in AUDIT.

    Beam's own options are accepted too, except those that --workers replaces. Running again into the same
    OUTPUT and AUDIT is normal: files that are already there stay.

        beamstop run --input /archive --output /clean --audit /audit --key study.key

        beamstop run --input 'gs://in/2026/**' --output gs://out/clean --audit gs://out/audit
          --key secret:projects/p/secrets/study/versions/1 --runner DataflowRunner --json

    Exit codes: 0 every source was written or rejected; 1 something was quarantined or
    failed; with --incremental, only if no earlier run reported it; 2 bad configuration,
    nothing was read; 3 the run itself broke.
    """
    with silenced(), ExitStack() as held:
        with refusing_bad_configuration():
            _check_numbers(context)
            _check_options(key, ephemeral_key, incremental, prune, output, since, limit, quiet, as_json)
            if not quiet and not as_json:
                say_first("starting")
            from beamstop.recipe.load import load_recipe

            loaded = load_recipe(recipe)
            from beamstop.dicom.limits import Limits
            from beamstop.keys import resolve_key
            from beamstop.signing import resolve_signing_key
            from beamstop_pipeline import job as jobs
            from beamstop_pipeline.imports import import_job
            from beamstop_pipeline.running.beam_options import is_local
            from beamstop_pipeline.running.earlier_runs import check_earlier_runs
            from beamstop_pipeline.running.engines import check_engine
            from beamstop_pipeline.running.forked_workers import forked_workers
            from beamstop_pipeline.running.leases import leased
            from beamstop_pipeline.running.targets import sole_run
            from beamstop_transforms.ledger.subjects import put_lines
            from beamstop_transforms.ledger.target import new_run_id

            started = jobs.start_time()
            workers = workers or os.cpu_count() or 1
            options = _beam_options(context, subscription is not None)
            processes = jobs.processes_of(workers, max_memory) if is_local(options) else 0
            if processes and context.obj == MayFork(True):
                import_job()
                forked = held.enter_context(forked_workers(processes))
            else:
                forked = []
            if key is not None:
                resolve_key(key)
            if signing_key is not None:
                resolve_signing_key(signing_key)
            job = jobs.Job(
                inputs=jobs.with_since(inputs or (), since),
                subscription=subscription,
                window=window,
                output=output,
                audit=audit,
                recipe=loaded,
                key=key or held.enter_context(_ephemeral_key()),
                signing_key=signing_key,
                crosswalk=crosswalk,
                attributes=attributes,
                png=png,
                incremental=incremental,
                prune=prune,
                limit=limit,
                ephemeral=ephemeral_key,
                audit_detail=audit_detail,
                limits=Limits(
                    frames=max_frames,
                    pixels=max_pixels,
                    seconds=max_seconds,
                    decoder_memory=decoder_memory,
                    elements=max_elements,
                    depth=max_depth,
                ),
                workers=workers,
                max_memory=max_memory,
                stall_timeout=stall_timeout,
                run_id=new_run_id(started),
                started=started.isoformat(timespec="milliseconds"),
            )
            job = replace(job, lines=jobs.lines_of(subjects, loaded, job.key))
            jobs.check_places(job.inputs, job.targets)
            if not is_local(options):
                _check_elsewhere(context, job, options)
            job = _with_max_bytes(job, max_bytes, options)
            jobs.check_faces(job)
            jobs.check_stream(job, is_local(options))
            if not is_local(options):
                check_engine(options)
            job, kept = jobs.check_stores(job)
            warnings = (
                *kept,
                *job.recipe.warnings,
                *check_earlier_runs(job, accept_changed_recipe, accept_moved_output),
                *jobs.check_networks(job.recipe, is_local(options)),
            )

            def say(sentence: str) -> None:
                if not quiet:
                    typer.echo(sentence, err=True)

            for warning in warnings:
                say(warning)
            if subscription is None:
                jobs.check_inputs(job.inputs)
            held.enter_context(leased(job.leases, job.run_id, say, _end_at_once))
            for folder in jobs.prepare_folders(job.targets):
                held.enter_context(sole_run(folder, job.audit, job.run_id, keep_parts=incremental))
            if job.lines:
                put_lines(job.audit, job.lines, loaded.identity(resolve_key(job.key)))
            if incremental:
                job = _conclude(job, quiet or as_json)
        raise typer.Exit(_run(job, options, forked, quiet, as_json, recipe, subjects))


def _check_numbers(context: typer.Context) -> None:
    for name, value in context.params.items():
        if isinstance(value, int) and value > sys.maxsize:
            raise ConfigurationError(f"--{name.replace('_', '-')}: the number is too large")


def _check_options(
    key: str | None,
    ephemeral: bool,
    incremental: bool,
    prune: bool,
    output: str,
    since: str | None,
    limit: int | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Check the options against each other, before anything is imported.

    Raises:
        ConfigurationError: two of them exclude each other, or one needs another.
    """
    if key is None and not ephemeral:
        raise ConfigurationError(
            "no key: name one with --key (beamstop keygen makes it), or ask for --ephemeral-key"
        )
    if key is not None and ephemeral:
        raise ConfigurationError("--key and --ephemeral-key exclude each other: name one")
    if ephemeral and incremental:
        raise ConfigurationError(
            "--incremental needs the key of the earlier runs: name it with --key, not --ephemeral-key"
        )
    if prune and not incremental:
        raise ConfigurationError("--prune compares with earlier runs: add --incremental")
    if prune and output.startswith("dicomweb:"):
        raise ConfigurationError("--prune cannot remove instances from an imaging server: leave it out")
    if prune and since is not None:
        raise ConfigurationError("--prune needs to see every source: leave out --since")
    if prune and limit is not None:
        raise ConfigurationError("--prune needs to see every source: leave out --limit")
    if quiet and as_json:
        raise ConfigurationError("--quiet and --json exclude each other: name one")


def _end_at_once(why: str) -> None:
    from beamstop_pipeline.running.runner import end_at_once

    end_at_once(why)


def _with_max_bytes(job: Any, given: int | None, options: Any) -> Any:
    """Return the job with --max-bytes as given, or as its workers' memory allows."""
    from beamstop_pipeline.running import memory
    from beamstop_pipeline.running.beam_options import is_local

    is_here = is_local(options)
    has = memory.memory_here(job.max_memory) if is_here else memory.memory_elsewhere(options)
    fits = memory.fitting_max_bytes(given, has, job.recipe.needs_detector, is_here)
    return replace(job, limits=replace(job.limits, bytes=fits))


def _conclude(job: Any, quiet: bool) -> Any:
    """Write the records of runs that broke; return the job, which also finishes their work."""
    from beamstop_pipeline.graph import run_of_job, target_of_job
    from beamstop_transforms.conclude import conclude
    from beamstop_transforms.ledger.index import bring_up_to_date
    from beamstop_transforms.ledger.left_open import put_left_open
    from beamstop_transforms.ledger.sealed import recovered_runs

    target = target_of_job(job)
    for run_id, rows in conclude(run_of_job(job, target)):
        if not quiet:
            typer.echo(f"run {run_id} broke; its {rows} finished sources count", err=True)
    identity = target.identity()
    return replace(
        job,
        recovered=recovered_runs(job.audit, identity),
        ledger=bring_up_to_date(job.audit, identity),
        left_open=put_left_open(target),
    )


def _beam_options(context: typer.Context, streaming: bool) -> Any:
    from apache_beam.options.pipeline_options import StandardOptions

    from beamstop_pipeline.running.beam_options import parse_beam_options

    options = parse_beam_options(context.args, [name for opts in _names(context).values() for name in opts])
    options.view_as(StandardOptions).streaming = streaming
    return options


def _check_elsewhere(context: typer.Context, job: Any, options: Any) -> None:
    from beamstop_pipeline.running.beam_options import check_elsewhere

    names = _names(context)
    sources = {name: context.get_parameter_source(name) for name in names}
    given = [names[name][0] for name, source in sources.items() if source and source.name == "COMMANDLINE"]
    places = {"--input": job.inputs, **{name: [it] for name, it in job.targets.items()}}
    keys = {"--key": job.key, **({"--signing-key": job.signing_key} if job.signing_key else {})}
    check_elsewhere(options, keys, places, given)


def _names(context: typer.Context) -> dict[str, list[str]]:
    return {parameter.name: parameter.opts for parameter in context.command.params if parameter.name}


def _run(
    job: Any, options: Any, forked: Any, quiet: bool, as_json: bool, recipe: str, subjects: str | None
) -> int:
    from beamstop_pipeline.running.beam_options import is_local
    from beamstop_pipeline.running.display import display
    from beamstop_pipeline.running.engines import SubmissionError
    from beamstop_pipeline.running.runner import RunError, run_elsewhere, run_locally

    shown = display(quiet or as_json)
    try:
        if is_local(options):
            result = run_locally(job, options, shown, forked)
        else:
            result = run_elsewhere(job, options, shown)
    except (RunError, SubmissionError) as error:
        shown.close()
        typer.echo(f"beamstop: {error}", err=True)
        return Exit.BROKEN if isinstance(error, RunError) else Exit.BAD_CONFIGURATION
    shown.close()
    if result is not None and job.subscription is None:
        return _summarise(job, result, quiet, as_json, recipe, subjects)
    return _submitted(job, quiet, as_json)


def _submitted(job: Any, quiet: bool, as_json: bool) -> int:
    """Print where the record of a submitted run will be, or the records of a stream."""
    if as_json:
        typer.echo(json.dumps({"run_id": job.run_id, "audit": job.audit}))
    elif not quiet:
        where = f"its record will be {job.audit}/runs/{job.run_id}.json"
        if job.subscription is not None:
            where = f"its records, one for each window, are in {job.audit}/runs"
        typer.echo(f"run {job.run_id} is submitted; {where}")
    return Exit.OK


def _summarise(job: Any, result: Any, quiet: bool, as_json: bool, recipe: str, subjects: str | None) -> int:
    """Print the summary of a run; return the exit code."""
    from beamstop_pipeline.running.set_aside import set_aside
    from beamstop_transforms.record import record_name
    from beamstop_transforms.stores import open_store

    found = open_store(job.audit).read(record_name(job.run_id))
    if found is None:
        typer.echo("beamstop: the run broke: it left no record in AUDIT/runs", err=True)
        return Exit.BROKEN
    record = json.loads(found[1])
    aside = set_aside(job, record)
    code = Exit.SET_ASIDE if aside.wants_a_look else Exit.OK
    if as_json:
        typer.echo(json.dumps(_to_json(record, job.audit, aside.known.total())))
    elif not quiet or code:
        from rich.console import Console

        from beamstop_pipeline.running.display import summary
        from beamstop_pipeline.running.next_commands import next_commands
        from beamstop_transforms.metrics import figures_by_step

        # Output that is not on a terminal ends up in logs, and folder names often name patients.
        inputs = job.inputs if sys.stdout.isatty() else ("ORIGINALS",)
        Console().print(summary(record, aside, figures_by_step(result), job.output, job.audit))
        for it in next_commands(job, inputs, recipe, subjects, aside):
            typer.echo(f"{it.what}:\n  {it.command}")
        if inputs is not job.inputs and not job.ephemeral:
            typer.echo("ORIGINALS stands for what this run had as --input, which is not printed into a log")
    return code


_COUNTS = (
    "sources",
    "written",
    "rejected",
    "quarantined",
    "failed",
    "unchanged",
    "skipped",
    "known",
    "bytes_in",
    "bytes_out",
)


def _to_json(record: dict[str, Any], audit: str, known: int) -> dict[str, Any]:
    told = record["counts"] | {"known": known}
    counts = {name: told[name] for name in _COUNTS}
    if since := record.get("since"):
        left = sum(since["left"].values()) - since["pruned"]
        counts |= {
            "gone": since["gone"],
            "changed": since["changed"],
            "left": left,
            "pruned": since["pruned"],
        }
    return {"run_id": record["run_id"], **counts, "seconds": record["seconds"], "audit": audit}


@contextmanager
def _ephemeral_key() -> Iterator[str]:
    """Put a new key into the environment, which worker processes inherit; yield its reference."""
    name = f"BEAMSTOP_KEY_{secrets.token_hex(4).upper()}"
    os.environ[name] = base64.b64encode(secrets.token_bytes(32)).decode()
    try:
        yield f"env:{name}"
    finally:
        del os.environ[name]
