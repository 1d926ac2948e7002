"""`beamstop demo`: the job on a small archive, and a page of before and after."""

from pathlib import Path
from typing import Annotated

import typer

from beamstop_pipeline.errors import ConfigurationError
from beamstop_pipeline.exit_codes import Exit, refusing_bad_configuration
from beamstop_pipeline.first_word import say_first
from beamstop_pipeline.silence import silenced


def demo(
    folder: Annotated[Path, typer.Argument(help="folder for everything; must be empty or not exist")] = Path(
        "demo-out"
    ),
) -> None:
    """De-identify a small archive with invented identities, and show the result.

    Real pictures that come with pydicom get the invented names of two people, in headers and burned into
    pixels; beside them are files of other kinds. FOLDER gets the archive (in), a key, the clean files (out),
    the audit, the crosswalk, and demo.html: header and picture before and after, side by side.

        beamstop demo
    """
    with silenced(), refusing_bad_configuration():
        say_first("making an archive with invented identities")
        from beamstop_pipeline.demo import build_archive

        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ConfigurationError(f"FOLDER {folder}: is not empty; remove it or name another folder")
        build_archive(folder / "in")
    files = len(list((folder / "in").iterdir()))
    typer.echo(f"{files} files with invented identities are in {folder / 'in'}")
    raise typer.Exit(_run_and_show(folder))


def _run_and_show(folder: Path) -> int:
    from beamstop_pipeline.cli import main as beamstop
    from beamstop_pipeline.demo_page import write_page

    output, audit, crosswalk, key = (folder / name for name in ("out", "audit", "crosswalk", "key"))
    places = {"--input": folder / "in", "--output": output, "--audit": audit, "--crosswalk": crosswalk}
    code = beamstop(["keygen", str(key)])
    if code == Exit.OK:
        options = [str(word) for option in places.items() for word in option]
        code = beamstop(["run", *options, "--key", str(key)])
    if code not in (Exit.OK, Exit.SET_ASIDE):
        return code
    page = folder / "demo.html"
    if unforeseen := write_page(page, audit, crosswalk, output):
        typer.echo(f"beamstop: files of the demo were set aside as {', '.join(unforeseen)}", err=True)
        return Exit.SET_ASIDE
    typer.echo("One file is cut off and one has spoilt pixels: a run of your own would end with exit code 1.")
    typer.echo(f"Before and after, to open in a browser: {page}")
    return Exit.OK
