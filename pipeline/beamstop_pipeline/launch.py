"""Launches a template: turns its parameters into options of `beamstop run`, and does not wait for the end."""

from collections.abc import Iterator, Sequence

import typer
from typer.core import TyperOption

from beamstop_pipeline.cli import app
from beamstop_pipeline.cli import main as beamstop
from beamstop_pipeline.errors import ConfigurationError
from beamstop_pipeline.exit_codes import Exit

_FLAGS = {"true": True, "false": False}


def main(arguments: Sequence[str]) -> int:
    """Launch a job with the parameters of a template; return the exit code of the command line.

    Args:
        arguments: `--name=value` for each parameter, and Beam's own options.
    """
    try:
        options = [option for argument in arguments for option in as_options(argument)]
    except ConfigurationError as error:
        typer.echo(f"beamstop: {error}", err=True)
        return Exit.BAD_CONFIGURATION
    return beamstop(["run", *options, "--no_wait_until_finish"])


def as_options(argument: str) -> Iterator[str]:
    """Yield the command line option of one parameter.

    Names have `_` instead of `-`. An empty parameter is ignored. A flag is `true` or `false`. A repeatable
    option has one value per line, because names of objects may contain anything but a line break.

    Raises:
        ConfigurationError: a flag has another value.

    >>> list(as_options("--audit_detail=instances")), list(as_options("--incremental=true"))
    (['--audit-detail=instances'], ['--incremental'])
    """
    name, _, value = argument.partition("=")
    option = parameters().get(name.removeprefix("--"))
    if option is None:
        yield argument  # an option of Beam
    elif option.is_flag and value:
        if value.casefold() not in _FLAGS:
            raise ConfigurationError(f"{name}: must be true or false")
        if _FLAGS[value.casefold()]:
            yield option.opts[0]
    elif value:
        for part in value.splitlines() if option.multiple else [value]:
            yield f"{option.opts[0]}={part}"


def parameters() -> dict[str, TyperOption]:
    """Return parameter of a template → option of `beamstop run`."""
    run = typer.main.get_command(app).commands["run"]  # type: ignore[attr-defined]
    options = (it for it in run.params if isinstance(it, TyperOption))
    return {it.opts[0].removeprefix("--").replace("-", "_"): it for it in options}
