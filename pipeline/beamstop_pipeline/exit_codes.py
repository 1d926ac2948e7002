"""Exit codes of every command, and how a bad configuration is reported."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import typer

from beamstop.errors import DeidError


class Exit(IntEnum):
    """How a command ended."""

    OK = 0  # every source was written or rejected; no findings
    SET_ASIDE = 1  # it finished, but something was quarantined, failed, found, or could not be read
    BAD_CONFIGURATION = 2  # nothing was read
    BROKEN = 3  # the run itself broke


@contextmanager
def refusing_bad_configuration() -> Iterator[None]:
    """Report a `DeidError` raised inside as one sentence on stderr, and exit with code 2."""
    try:
        yield
    except DeidError as error:
        typer.echo(f"beamstop: {error}", err=True)
        raise typer.Exit(Exit.BAD_CONFIGURATION) from None
