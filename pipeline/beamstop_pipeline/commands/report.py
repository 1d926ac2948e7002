"""`beamstop report`: the report with a certificate to sign, and the page for reviewing pictures."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from beamstop_pipeline.errors import ConfigurationError
from beamstop_pipeline.exit_codes import Exit, refusing_bad_configuration
from beamstop_pipeline.first_word import say_first
from beamstop_pipeline.silence import silenced


def report(
    audit: Annotated[
        str, typer.Argument(metavar="AUDIT", help="AUDIT of the runs, a folder or prefix in a bucket")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="file of the report; an earlier one is replaced")
    ] = Path("report.html"),
    review: Annotated[
        str | None,
        typer.Option(metavar="CLEAN", help="OUTPUT of the runs: also write a page for reviewing pictures"),
    ] = None,
    sample: Annotated[int, typer.Option(min=1, help="number of clean instances on the review page")] = 60,
    about: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="YAML file with data_set, recipient, purpose, for page 1"),
    ] = None,
    verdicts: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="file downloaded from a review page; repeatable"),
    ] = None,
    attributes: Annotated[
        str | None,
        typer.Option(help="ATTRIBUTES of the runs: measure how many patients could be singled out"),
    ] = None,
) -> None:
    """Describe the archive as it is now in one HTML file; print and sign page 1.

    It covers all runs of the audit, without pruned files; the newest run has a section. It is made from the
    audit alone, unless you name --attributes, and cannot identify a patient. The file loads nothing and runs
    no script.

        beamstop report /audit -o report.html --about report.yaml --verdicts verdicts.json

    With --review, a second page, report-review.html, shows clean pictures and their hidden boxes: many boxes,
    faint text, text seen again, each kind and device, some at random. **Its pictures may still identify a
    patient: keep it with the clean archive.** Download verdicts from it; beamstop recipe amend turns them
    into a recipe for the next run.

        beamstop report /audit -o report.html --review /clean

    Exit codes: 0 written; 1 written, but a part of the audit could not be read or does not fit a
    record; 2 bad configuration, such as an audit in which no run has ended.
    """
    with silenced(), refusing_bad_configuration():
        say_first("reading the audit")
        from beamstop_pipeline.private_files import private_file

        _check_matplotlib()
        from beamstop_pipeline.report.about import read_about
        from beamstop_pipeline.report.figures import read_figures
        from beamstop_pipeline.report.page import render_report
        from beamstop_pipeline.report.risk import measure
        from beamstop_pipeline.report.verdicts import read_verdicts
        from beamstop_transforms.stores import check_remote

        _check_place(output)
        told = read_about(about) if about is not None else None
        reviews = [read_verdicts(path, "--verdicts") for path in verdicts or ()]
        check_remote([audit, *filter(None, [review, attributes])], [])
        figures = read_figures(audit)
        risk = measure(figures, attributes) if attributes is not None else None
        pages = {output: render_report(figures, told, reviews, risk)}
        if review is not None:
            from beamstop_pipeline.report.review import render_review

            place = output.with_name(f"{output.stem}-review.html")
            pages[place] = render_review(figures, audit, review, sample)
        for path, page in pages.items():
            with private_file(path) as file:
                file.write(page.encode())
    for doubt in figures.doubts:
        typer.echo(f"beamstop: {doubt}", err=True)
    typer.echo(f"report up to run {figures.record['run_id']}: {output}")
    if review is not None:
        typer.echo(f"review page, with pictures that may still show text: {place}")
    raise typer.Exit(Exit.SET_ASIDE if figures.doubts else Exit.OK)


def _check_matplotlib() -> None:
    if find_spec("matplotlib") is None:  # the image for workers has no matplotlib
        raise ConfigurationError("the report's charts are drawn by matplotlib: pip install matplotlib")


def _check_place(output: Path) -> None:
    if output.is_dir() or not output.absolute().parent.is_dir():
        raise ConfigurationError(
            f"-o {output}: not a file in a folder that exists; name one, such as report.html"
        )
