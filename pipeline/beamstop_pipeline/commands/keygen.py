"""`beamstop keygen`: make the key of runs, or a key pair to sign their records."""

from pathlib import Path
from typing import Annotated

import typer

from beamstop_pipeline.exit_codes import refusing_bad_configuration


def keygen(
    file: Annotated[Path, typer.Argument(help="file for the key; must not exist")],
    signing: Annotated[
        bool, typer.Option("--signing", help="an Ed25519 pair for run --signing-key: FILE and FILE.pub")
    ] = False,
) -> None:
    """Write 32 random bytes to FILE, readable by its owner alone.

    Keep it safe: with the same key, a patient gets the same pseudonym again, and anybody who has it can
    compute the pseudonyms of known patients. An existing file is never replaced.

        beamstop keygen study.key

    With --signing, make a key pair instead: FILE signs and stays with you, FILE.pub goes to whoever checks.
    One pair may sign for many archives.

        beamstop keygen hospital.signing --signing
    """
    from beamstop.keys import generate_key
    from beamstop.signing import generate_pair

    with refusing_bad_configuration():
        if signing:
            typer.echo(f"to give away: {generate_pair(file)}; to keep secret: {file}")
        else:
            generate_key(file)
