"""The command line: `beamstop run`, `beamstop keygen`; the other commands have modules of their own."""

import base64
import json
import os
import secrets
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from beamstop.errors import DeidError, KeyReferenceError
from beamstop_pipeline.commands import (
    recipe as recipe_commands,
)
from beamstop_pipeline.commands import report as report_command
from beamstop_pipeline.commands import (
    sources as sources_command,
)
from beamstop_pipeline.commands import (
    verify as verify_command,
)
from beamstop_pipeline.silence import silenced

DONE, SET_ASIDE, BAD_CONFIGURATION, BROKEN = 0, 1, 2, 3

app = typer.Typer(
    name="beamstop",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,  # its tracebacks show the values of variables
)
_DO, _LOOK, _SET_UP = "De-identify", "Look at what came out", "Prepare"
_WHAT, _PLACES, _KEY = "What is done", "Where it goes", "The key: exactly one of"
_LIMITS, _SAID = "Limits", "What is said"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = app(args=with_repeated_inputs(given), prog_name="beamstop", standalone_mode=False)
    except SystemExit as stop:
        return int(stop.code or DONE)
    except _UsageError as error:
        if not given or type(error).__name__ == "NoArgsIsHelpError":
            error.show()
        else:
            typer.echo(f"beamstop: {_sentence(error)}", err=True)
        return BAD_CONFIGURATION
    except Exception as fault:  # noqa: BLE001  a traceback may quote a value, and 1 would mean "finished"
        why = os.strerror(fault.errno) if isinstance(fault, OSError) and fault.errno else type(fault).__name__
        typer.echo(f"beamstop: the run broke: {why}", err=True)
        return BROKEN
    return code if isinstance(code, int) else DONE


_UsageError: Any = typer.BadParameter.__base__  # typer has a click of its own, or not, and does not export it


def _sentence(error: Any) -> str:
    """Return what is wrong with a command, and where its help is."""
    said = " ".join(error.format_message().split()).rstrip(".")
    return f"{said}; see {error.ctx.command_path if error.ctx else 'beamstop'} --help"


def with_repeated_inputs(arguments: Sequence[str]) -> list[str]:
    """Give every value after `--input` a flag of its own, so that the shell may expand patterns.

    >>> with_repeated_inputs(["run", "--input", "a.dcm", "b.dcm", "--output", "o"])
    ['run', '--input=a.dcm', '--input=b.dcm', '--output', 'o']
    """
    result, in_inputs = [], False
    for argument in arguments:
        if argument == "--input":
            in_inputs = True
        elif argument.startswith("-"):
            in_inputs = argument.startswith("--input=")
            result.append(argument)
        else:
            result.append(f"--input={argument}" if in_inputs else argument)
    return result


@app.callback()
def _beamstop() -> None:
    """De-identify DICOM archives, header and pixels, and prove it.

    A first run:

        beamstop keygen study.key

        beamstop run --input /archive --output /clean --audit /audit --key study.key

    Exit codes of every command: 0 all is well; 1 it ended, but something needs a look;
    2 bad configuration, nothing was done; 3 broken.
    """


@app.command(rich_help_panel=_SET_UP)
def keygen(file: Annotated[Path, typer.Argument(help="where the key goes; must not exist")]) -> None:
    """Write 32 random bytes to FILE, readable by its owner alone.

    Keep it: with the same key the same patient gets the same pseudonym, and who has it can
    make pseudonyms of known patients. An existing file is never replaced.

        beamstop keygen study.key
    """
    from beamstop.keys import generate_key

    try:
        generate_key(file)
    except KeyReferenceError as error:
        _refuse(error)


@app.command(rich_help_panel=_DO, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def run(
    context: typer.Context,
    output: Annotated[
        str,
        typer.Option(
            help="folder, gs:// prefix or dicomweb:URL for the clean files", rich_help_panel=_PLACES
        ),
    ],
    audit: Annotated[str, typer.Option(help="folder or gs:// prefix for the audit", rich_help_panel=_PLACES)],
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            help="files, folders, globs, gs://bucket/prefix/**; several times",
            rich_help_panel=_PLACES,
        ),
    ] = None,
    subscription: Annotated[
        str | None,
        typer.Option(
            help="projects/…/subscriptions/… of Pub/Sub, which tells of new objects, in place of --input",
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
            "--ephemeral-key", help="a key for this run only: nothing can be repeated", rich_help_panel=_KEY
        ),
    ] = False,
    crosswalk: Annotated[
        str | None,
        typer.Option(help="folder or gs:// prefix for original and new identifiers", rich_help_panel=_PLACES),
    ] = None,
    attributes: Annotated[
        str | None,
        typer.Option(
            help="folder or gs:// prefix for a table of the clean attributes", rich_help_panel=_PLACES
        ),
    ] = None,
    png: Annotated[
        str | None,
        typer.Option(
            help="folder or gs:// prefix for pictures of the clean frames: windowed, else 16 bits",
            rich_help_panel=_PLACES,
        ),
    ] = None,
    incremental: Annotated[
        bool,
        typer.Option(
            "--incremental",
            help="skip sources that the audit says are decided and unchanged",
            rich_help_panel=_WHAT,
        ),
    ] = False,
    prune: Annotated[
        bool,
        typer.Option(
            "--prune",
            help="with --incremental: remove clean files whose source is gone, or not written any more",
            rich_help_panel=_WHAT,
        ),
    ] = False,
    audit_detail: Annotated[
        Literal["instances", "changes"],
        typer.Option(help="a row per instance, or per element too", rich_help_panel=_WHAT),
    ] = "changes",
    window: Annotated[
        float, typer.Option(min=1, help="seconds of a stream that have one record", rich_help_panel=_WHAT)
    ] = 300,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="worker processes  [default: one per CPU]", rich_help_panel=_LIMITS),
    ] = None,
    max_bytes: Annotated[
        int, typer.Option(min=1, help="a larger source is not read but failed", rich_help_panel=_LIMITS)
    ] = 4 << 30,
    max_frames: Annotated[
        int, typer.Option(min=1, help="more frames: failed", rich_help_panel=_LIMITS)
    ] = 1_000_000,
    max_pixels: Annotated[
        int, typer.Option(min=1, help="more pixels in a frame: failed", rich_help_panel=_LIMITS)
    ] = 1 << 28,
    max_seconds: Annotated[
        float, typer.Option(min=1, help="more time for one instance: failed", rich_help_panel=_LIMITS)
    ] = 1800,
    decoder_memory: Annotated[
        int,
        typer.Option(
            min=256, help="megabytes for the process that decodes compressed frames", rich_help_panel=_LIMITS
        ),
    ] = 4096,
    max_elements: Annotated[
        int,
        typer.Option(min=1, help="more elements and items in an instance: failed", rich_help_panel=_LIMITS),
    ] = 2_000_000,
    max_depth: Annotated[
        int, typer.Option(min=1, max=150, help="more items in items: failed", rich_help_panel=_LIMITS)
    ] = 100,
    max_memory: Annotated[
        int | None,
        typer.Option(
            min=512,
            help="megabytes for each worker process; one that takes more is ended, and the run with it",
            rich_help_panel=_LIMITS,
        ),
    ] = None,
    stall_timeout: Annotated[
        float,
        typer.Option(
            min=1,
            help="seconds without a finished source before the run is given up",
            rich_help_panel=_LIMITS,
        ),
    ] = 2400,
    quiet: Annotated[bool, typer.Option("--quiet", help="say nothing", rich_help_panel=_SAID)] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="print one JSON object at the end", rich_help_panel=_SAID)
    ] = False,
) -> None:
    """De-identify sources into OUTPUT, with a row for each in AUDIT.

    Beam's own options are accepted beside these, but those in place of which --workers stands. Running
    again into the same OUTPUT and AUDIT is normal: what is there already stays as it is.

        beamstop run --input /archive --output /clean --audit /audit --key study.key

        beamstop run --input 'gs://in/2026/**' --output gs://out/clean --audit gs://out/audit
          --key secret:projects/p/secrets/study/versions/1 --runner DataflowRunner --json

    Exit codes: 0 every source was written or rejected by policy; 1 something was quarantined or
    failed; 2 bad configuration, nothing was read; 3 the run itself broke.
    """
    with silenced(), ExitStack() as held:
        try:
            from beamstop.dicom.limits import Limits
            from beamstop.recipe.model import load_recipe
            from beamstop_pipeline import job as jobs
            from beamstop_pipeline.running.beam_options import is_local
            from beamstop_pipeline.running.targets import sole_run

            jobs.check_key(key, ephemeral_key, incremental)
            if prune and not incremental:
                raise jobs.ConfigurationError("--prune goes by the earlier runs: name --incremental, too")
            if prune and output.startswith("dicomweb:"):
                raise jobs.ConfigurationError("--prune removes files: what an imaging server has is its own")
            if quiet and as_json:
                raise jobs.ConfigurationError("--quiet and --json exclude each other: name one")
            started = jobs.start_time()
            job = jobs.Job(
                inputs=tuple(inputs or ()),
                subscription=subscription,
                window=window,
                output=output,
                audit=audit,
                recipe=load_recipe(recipe),
                key=key or held.enter_context(_ephemeral_key()),
                crosswalk=crosswalk,
                attributes=attributes,
                png=png,
                incremental=incremental,
                prune=prune,
                ephemeral=ephemeral_key,
                audit_detail=audit_detail,
                limits=Limits(
                    max_bytes, max_frames, max_pixels, max_seconds, decoder_memory, max_elements, max_depth
                ),
                workers=workers or os.cpu_count() or 1,
                max_memory=max_memory,
                stall_timeout=stall_timeout,
                run_id=jobs.new_run_id(started),
                started=started.isoformat(timespec="milliseconds"),
            )
            jobs.check_places(job.inputs, job.targets)
            options = _beam_options(context, job)
            jobs.check_stream(job, is_local(options))
            warnings = (*job.recipe.warnings, *jobs.check_networks(job.recipe, is_local(options)))
            if not quiet:
                for warning in warnings:
                    typer.echo(warning, err=True)
            jobs.check_stores(job.inputs, job.targets)
            if subscription is None:
                jobs.check_inputs(job.inputs)
            for folder in jobs.prepare_folders(job.targets):
                held.enter_context(sole_run(folder, job.audit, job.run_id))
        except DeidError as error:
            _refuse(error)
        raise typer.Exit(_run(job, options, quiet, as_json))


app.command(name="report", rich_help_panel=_LOOK)(report_command.report)
app.command(name="verify", rich_help_panel=_LOOK)(verify_command.verify)
app.command(name="sources", rich_help_panel=_LOOK)(sources_command.sources)
app.command(name="explain", rich_help_panel=_SET_UP)(recipe_commands.explain_file)
app.add_typer(recipe_commands.app, name="recipe", rich_help_panel=_SET_UP)


def _beam_options(context: typer.Context, job: Any) -> Any:
    from apache_beam.options.pipeline_options import StandardOptions

    from beamstop_pipeline.running.beam_options import check_elsewhere, is_local, parse_beam_options

    names = {parameter.name: parameter.opts for parameter in context.command.params if parameter.name}
    options = parse_beam_options(context.args, [name for opts in names.values() for name in opts])
    options.view_as(StandardOptions).streaming = job.subscription is not None
    if not is_local(options):
        sources = {name: context.get_parameter_source(name) for name in names}
        given = [
            names[name][0] for name, source in sources.items() if source and source.name == "COMMANDLINE"
        ]
        places = {"--input": job.inputs, **{name: [it] for name, it in job.targets.items()}}
        check_elsewhere(options, job.key, places, given)
    return options


def _run(job: Any, options: Any, quiet: bool, as_json: bool) -> int:
    from beamstop_pipeline.running.beam_options import is_local
    from beamstop_pipeline.running.display import display
    from beamstop_pipeline.running.runner import RunError, run_elsewhere, run_locally

    shown = display(quiet or as_json)
    try:
        if is_local(options):
            run_locally(job, options, shown)
            ended = True
        else:
            ended = run_elsewhere(job, options)
    except RunError as error:
        shown.close()
        typer.echo(f"beamstop: {error}", err=True)
        return BROKEN
    shown.close()
    if ended and job.subscription is None:
        return _conclude(job, quiet, as_json)
    return _submitted(job, quiet, as_json)


def _submitted(job: Any, quiet: bool, as_json: bool) -> int:
    """Say where the record of a run will stand that nobody waits for, or the records of a stream."""
    if as_json:
        typer.echo(json.dumps({"run_id": job.run_id, "audit": job.audit}))
    elif not quiet:
        stands = f"its record will be {job.audit}/runs/{job.run_id}.json"
        if job.subscription is not None:
            stands = f"its records, one for each window, are in {job.audit}/runs"
        typer.echo(f"run {job.run_id} is submitted; {stands}")
    return DONE


def _conclude(job: Any, quiet: bool, as_json: bool) -> int:
    """Say what became of the sources; return the exit code."""
    from beamstop_transforms.audit import record_name
    from beamstop_transforms.stores import open_store

    found = open_store(job.audit).read(record_name(job.run_id))
    if found is None:
        typer.echo("beamstop: the run broke: it left no record in AUDIT/runs", err=True)
        return BROKEN
    record = json.loads(found[1])
    if as_json:
        typer.echo(json.dumps(_as_object(record, job.audit)))
    elif not quiet:
        from rich.console import Console

        from beamstop_pipeline.running.display import summary

        Console().print(summary(record, job.output, job.audit))
    return SET_ASIDE if record["counts"]["quarantined"] or record["counts"]["failed"] else DONE


_COUNTS = (
    "sources",
    "written",
    "rejected",
    "quarantined",
    "failed",
    "unchanged",
    "skipped",
    "bytes_in",
    "bytes_out",
)


def _as_object(record: dict[str, Any], audit: str) -> dict[str, Any]:
    counts = {name: record["counts"][name] for name in _COUNTS}
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
    """Make a key that worker processes inherit by the environment; yield its reference."""
    name = f"BEAMSTOP_KEY_{secrets.token_hex(4).upper()}"
    os.environ[name] = base64.b64encode(secrets.token_bytes(32)).decode()
    try:
        yield f"env:{name}"
    finally:
        del os.environ[name]


def _refuse(error: DeidError) -> None:
    typer.echo(f"beamstop: {error}", err=True)
    raise typer.Exit(BAD_CONFIGURATION)
