"""`beamstop keygen`: make the run's key."""

from pathlib import Path
from typing import Annotated

import typer

from beamstop_pipeline.exit_codes import refusing_bad_configuration


def keygen(file: Annotated[Path, typer.Argument(help="where the key goes; must not exist")]) -> None:
    """Write 32 random bytes to FILE, readable by its owner alone.

    Keep it: with the same key the same patient gets the same pseudonym, and who has it can
    make pseudonyms of known patients. An existing file is never replaced.

        beamstop keygen study.key
    """
    from beamstop.keys import generate_key

    with refusing_bad_configuration():
        generate_key(file)
