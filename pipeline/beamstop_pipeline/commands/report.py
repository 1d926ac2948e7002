"""`beamstop report`: the page that an archive manager signs, and the one for reviewing pictures."""

import os
from pathlib import Path
from typing import Annotated

import typer

from beamstop_pipeline.exit_codes import Exit, refusing_bad_configuration
from beamstop_pipeline.silence import silenced


def report(
    audit: Annotated[
        str, typer.Argument(metavar="AUDIT", help="AUDIT of the runs, a folder or prefix in a bucket")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="where the report goes; an earlier one is replaced")
    ] = Path("report.html"),
    review: Annotated[
        str | None,
        typer.Option(metavar="CLEAN", help="OUTPUT of the runs: write a page for reviewing pictures, too"),
    ] = None,
    sample: Annotated[int, typer.Option(min=1, help="clean instances on the page for reviewing")] = 60,
) -> None:
    """Write what the newest run did as one HTML file, to be read, printed and signed.

    It is made from the audit alone and says nothing that could identify a patient. The file asks for
    nothing beyond itself and runs no script.

        beamstop report /audit -o report.html

    With --review, a second page beside it, report-review.html, shows clean pictures with the boxes that
    were hidden: most boxes, faint text, something seen again, one of each kind and device, some at
    random. **It shows pictures that may still hold what identifies a patient: keep it with the clean
    archive.** Verdicts are downloaded from it; beamstop recipe amend turns them into a recipe for the
    next run.

        beamstop report /audit -o report.html --review /clean

    Exit codes: 0 written; 1 written, but a part of the audit could not be read or does not fit the
    record; 2 bad configuration, such as an audit in which no run has ended.
    """
    with silenced(), refusing_bad_configuration():
        from beamstop_pipeline.job import check_stores
        from beamstop_pipeline.report.figures import read_figures
        from beamstop_pipeline.report.page import render_report

        _check_place(output)
        check_stores([audit, *filter(None, [review])], {})
        figures = read_figures(audit)
        pages = {output: render_report(figures)}
        if review is not None:
            from beamstop_pipeline.report.review import render_review

            place = output.with_name(f"{output.stem}-review.html")
            pages[place] = render_review(figures, audit, review, sample)
        for path, page in pages.items():
            _write_private(path, page)
    for doubt in figures.doubts:
        typer.echo(f"beamstop: {doubt}", err=True)
    typer.echo(f"report on run {figures.record['run_id']}: {output}")
    if review is not None:
        typer.echo(f"review, with pictures that may hold residue: {place}")
    raise typer.Exit(Exit.SET_ASIDE if figures.doubts else Exit.OK)


def _check_place(output: Path) -> None:
    from beamstop_pipeline.job import ConfigurationError

    if output.is_dir() or not output.absolute().parent.is_dir():
        raise ConfigurationError(
            f"-o {output}: not a file in a folder that exists; name one, such as report.html"
        )


def _write_private(path: Path, text: str) -> None:
    """Write a file for its owner alone, whole or not at all.

    Raises:
        ConfigurationError: it cannot be written there.
    """
    from beamstop_pipeline.job import ConfigurationError

    partial = path.with_name(f".{path.name}.partial")
    try:
        with open(
            os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8"
        ) as file:
            file.write(text)
        os.replace(partial, path)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}; choose another place") from None
