"""What the tests of templates share: the command line's own reading of a command."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytest
import typer

from beamstop_pipeline.cli import app
from beamstop_pipeline.running.beam_options import is_local, parse_beam_options


class Command(NamedTuple):
    """One command, read.

    Attributes:
        ours: parameter → value.
        beam: Beam's options.
        elsewhere: whether another runner is named.
    """

    ours: dict[str, Any]
    beam: Any
    elsewhere: bool


@pytest.fixture
def read() -> Callable[[Sequence[str]], Command]:
    """Return a function that reads what follows `beamstop run`; a misspelt option is an error."""
    command = typer.main.get_command(app).commands["run"]  # type: ignore[attr-defined]

    def _read(arguments: Sequence[str]) -> Command:
        context = command.make_context("run", list(arguments))
        options = parse_beam_options(context.args)
        return Command(context.params, options, not is_local(options))

    return _read
