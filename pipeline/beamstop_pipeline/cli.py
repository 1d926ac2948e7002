"""The command line `beamstop`; each command has a module in `commands`."""

import atexit
import gc
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated, Any

import typer

from beamstop_pipeline.commands import crosswalk, demo, keygen, recipe, report, run, sources, verify
from beamstop_pipeline.commands.run import MayFork
from beamstop_pipeline.exit_codes import Exit

app = typer.Typer(
    name="beamstop",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,  # its tracebacks show the values of variables
)
_DO, _CHECK, _SET_UP = "De-identify", "Check what came out", "Prepare"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code.

    Args:
        arguments: to use in place of `sys.argv`. A caller that passes them may have started threads, so that
            no process is forked.

    Returns:
        0 all is well; 1 finished, but something needs attention; 2 bad configuration; 3 broken.
    """
    if arguments is None:
        _collect_seldom()
        _open_standard_streams()
    if sys.flags.optimize > 1:
        typer.echo("beamstop: Apache Beam needs docstrings: start Python with -O at most, not -OO", err=True)
        return Exit.BAD_CONFIGURATION
    given = list(sys.argv[1:] if arguments is None else arguments)
    settings = {"prog_name": "beamstop", "standalone_mode": False, "obj": MayFork(arguments is None)}
    try:
        code = app(args=with_repeated_inputs(given), **settings)
    except SystemExit as stop:
        return int(stop.code or Exit.OK)
    except _UsageError as error:
        if not given or type(error).__name__ == "NoArgsIsHelpError":
            error.show()
        else:
            typer.echo(f"beamstop: {_sentence(error)}", err=True)
        return Exit.BAD_CONFIGURATION
    except Exception as fault:  # noqa: BLE001  a traceback may quote a value, and 1 would mean "finished"
        why = os.strerror(fault.errno) if isinstance(fault, OSError) and fault.errno else type(fault).__name__
        typer.echo(f"beamstop: the run broke: {why}", err=True)
        return Exit.BROKEN
    return code if isinstance(code, int) else Exit.OK


def _collect_seldom() -> None:
    """Make Python collect cyclic garbage less often, and not at all at the end of the process.

    A command imports a million objects that live until it ends. Collections took 0.5 s of CPU time, a third
    of that of the imports, and another 0.3 s at the end.
    """
    gc.set_threshold(10_000)
    atexit.register(gc.freeze)


def _open_standard_streams() -> None:
    """Open closed standard streams on /dev/null; else a file would get their number, and the output."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115  until the process ends
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115  likewise


_UsageError: Any = typer.BadParameter.__base__  # some versions of typer bundle click, and none exports it


def _sentence(error: Any) -> str:
    """Return a usage error as one sentence that ends with the command for help."""
    message = " ".join(error.format_message().split()).rstrip(".")
    return f"{message}; see {error.ctx.command_path if error.ctx else 'beamstop'} --help"


def with_repeated_inputs(arguments: Sequence[str]) -> list[str]:
    """Repeat `--input` before every further value, so that patterns which the shell expands work.

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


def _tell_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"beamstop {version('beamstop')}")
        raise typer.Exit


@app.callback()
def _beamstop(
    is_told: Annotated[
        bool,
        typer.Option("--version", callback=_tell_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """De-identify DICOM archives, header and pixels, and prove it.

    In a minute, with invented identities:

        beamstop demo

    A first run:

        beamstop keygen study.key

        beamstop run --input /archive --output /clean --audit /audit --key study.key

    Exit codes of every command: 0 all is well; 1 it finished, but something needs attention; 2 bad
    configuration, nothing was done; 3 broken.
    """


_RUN = {"allow_extra_args": True, "ignore_unknown_options": True}  # so that Beam's own options get through
app.command(name="run", rich_help_panel=_DO, context_settings=_RUN)(run.run)
app.command(name="report", rich_help_panel=_CHECK)(report.report)
app.command(name="verify", rich_help_panel=_CHECK)(verify.verify)
app.command(name="sources", rich_help_panel=_CHECK)(sources.sources)
app.command(name="crosswalk", rich_help_panel=_CHECK)(crosswalk.crosswalk)
app.command(name="demo", rich_help_panel=_SET_UP)(demo.demo)
app.command(name="keygen", rich_help_panel=_SET_UP)(keygen.keygen)
app.command(name="explain", rich_help_panel=_SET_UP)(recipe.explain_file)
app.add_typer(recipe.app, name="recipe", rich_help_panel=_SET_UP)
