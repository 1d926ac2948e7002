"""`beamstop recipe …` and `beamstop explain`: what a recipe does, without a run."""

import json
import os
import secrets
import stat
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from beamstop.errors import DeidError
from beamstop_pipeline.exit_codes import Exit, refusing_bad_configuration
from beamstop_pipeline.first_word import say_first
from beamstop_pipeline.silence import silenced

app = typer.Typer(help="Look into a recipe, or add reviewers' verdicts to it.", no_args_is_help=True)

RecipeName = Annotated[str, typer.Argument(metavar="NAME|FILE", help="a recipe that ships, or a file")]
SopClass = Annotated[
    str | None,
    typer.Option(help="UID or keyword, such as CTImageStorage: resolve compound codes by its IOD"),
]


@app.command()
def show(recipe: RecipeName) -> None:
    """Print the whole effective recipe: settings, options, bouncers, insertions, and all rules.

    Names of recipes that ship: default, basic, research, strict, hipaa-safe-harbor, tcia, mammography-kskit.

        beamstop recipe show research
    """
    from beamstop.recipe.load import load_recipe
    from beamstop_pipeline.explain import describe_recipe

    with silenced(), refusing_bad_configuration():
        for line in describe_recipe(load_recipe(recipe)):
            typer.echo(line)


@app.command(name="check")
def check_recipe(recipe: RecipeName) -> None:
    """Check whether a recipe can be used; list mistakes with their lines and remedies.

        beamstop recipe check ours.yaml

    Exit codes: 0 it can be used; 2 it cannot.
    """
    from beamstop.recipe.load import load_recipe

    with silenced(), refusing_bad_configuration():
        loaded = load_recipe(recipe)
        typer.echo(f"{recipe}: valid, {len(loaded.rules.flatten())} rules, digest {loaded.digest}")
        for warning in loaded.warnings:
            typer.echo(warning)


@app.command(name="explain")
def explain_attributes(
    recipe: RecipeName,
    tags: Annotated[
        list[str], typer.Argument(metavar="TAG…", help="keywords, tags (gggg,eeee), paths, 0013,[CTP]10")
    ],
    sop_class: SopClass = None,
) -> None:
    """Show which rule applies to each attribute, and why.

    Attributes are named by keyword, tag, path through sequences, or private block and element. With
    --sop-class, compound codes such as X/Z/D are resolved by its IOD.

        beamstop recipe explain default PatientName "(0008,1030)" "0013,[CTP]10"

        beamstop recipe explain default StudyDate --sop-class CTImageStorage
    """
    from beamstop.recipe.load import load_recipe
    from beamstop_pipeline.explain import explain_attribute

    with silenced(), refusing_bad_configuration():
        loaded = load_recipe(recipe)
        for tag in tags:
            for line in explain_attribute(loaded, tag, sop_class):
                typer.echo(line)


@app.command()
def schema(
    recipe: Annotated[
        str | None, typer.Argument(metavar="[NAME|FILE]", help="not needed: all recipes have one schema")
    ] = None,
) -> None:
    """Print the JSON schema of recipes, for editors that complete and check as you type.

    A comment at the top of a recipe names it: # yaml-language-server: $schema=recipe.schema.json

        beamstop recipe schema > recipe.schema.json
    """
    from beamstop.recipe.load import recipe_schema

    typer.echo(json.dumps(recipe_schema(), indent=2))


@app.command()
def amend(
    recipe: RecipeName,
    verdicts: Annotated[
        list[Path], typer.Argument(metavar="VERDICTS…", help="files downloaded from review pages")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="the new recipe; must not exist")],
) -> None:
    """Add reviewers' verdicts to a recipe: missed text as device regions, words that may stay.

    A region applies to one modality and size, and one manufacturer and model if the clean file keeps them; it
    is blanked in every frame of every such instance. Boxes that reviewers called no text become text.leave
    for these instances, which then do not claim 113101. Read the new recipe before you run it.

        beamstop report /audit --review /clean

        beamstop recipe amend default verdicts-20260102.json -o ours.yaml

    Exit codes: 0 written; 2 the recipe cannot be amended, or the file exists.
    """
    with silenced(), refusing_bad_configuration():
        from beamstop_pipeline.report.verdicts import amend as amended
        from beamstop_pipeline.report.verdicts import read_verdicts

        made = amended(recipe, [read_verdicts(path) for path in verdicts], output.stem)
        try:
            with open(output, "x", encoding="utf-8") as file:
                file.write(made.text)
        except OSError as error:
            raise DeidError(f"-o {output}: {error.strerror}; name a file that does not exist") from None
    counted = ", ".join(f"{number} {verdict.replace('_', ' ')}" for verdict, number in made.verdicts.items())
    typer.echo(f"verdicts: {counted or 'none'}")
    added = [
        f"{number} {what}{'' if number == 1 else 's'}"
        for number, what in ((made.areas, "region"), (made.left, "box to leave"), (made.words, "word"))
    ]
    added[1] = added[1].replace("box to leaves", "boxes to leave")
    typer.echo(f"{output}: {', '.join(added)} added, digest {made.recipe.digest}")
    typer.echo(f"to run with it: beamstop run … --recipe {output} --accept-changed-recipe")
    if made.unmarked:
        typer.echo(f"{made.unmarked} with missed text have no box: mark the text on the page", err=True)


def explain_file(
    file: Annotated[
        str,
        typer.Argument(
            help="one DICOM file, object or member of an archive; or a folder, for the faces in its series"
        ),
    ],
    recipe: Annotated[str, typer.Option(help="a file, or the name of a recipe that ships")] = "default",
    subjects: Annotated[
        Path | None, typer.Option(metavar="FILE", help="a table of subjects, as beamstop run takes it")
    ] = None,
    show_values: Annotated[
        bool, typer.Option("--show-values", help="print values too; on a terminal only")
    ] = False,
    heads: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="of a folder: renderings of its heads before and after, as HTML"),
    ] = None,
) -> None:
    """Show what would happen to every element and text box of one instance; write nothing.

    The file goes through every step of a run, including the search for leaks, with a random key. Values are
    shown only with --show-values, on a terminal.

        beamstop explain /archive/1.dcm --recipe ours.yaml

    Of a folder it shows what becomes of each series that may show a face, under a recipe with
    clean-recognizable-visual-features; --heads writes a page of renderings. **It shows patients' faces.**

        beamstop explain /archive/study7 --recipe ours.yaml --heads heads.html

    Exit codes: 0 it would be written or rejected; 1 quarantined or failed; 2 bad configuration.
    """
    with silenced(), refusing_bad_configuration():
        say_first("reading the recipe")
        from beamstop.chain import load_subjects
        from beamstop.recipe.load import load_recipe
        from beamstop_pipeline.explain import describe_instance, explain_instance, is_set_aside

        if show_values and not sys.stdout.isatty():
            raise DeidError("--show-values: values of a patient are printed on a terminal only")
        loaded = load_recipe(recipe)
        if Path(file).is_dir():
            _explain_series(file, loaded, heads)
            return
        if heads is not None:
            raise DeidError("--heads: is for series; name their folder")
        try:
            data = _content(file)
        except OSError as error:
            why = (os.strerror(error.errno) if error.errno else type(error).__name__).lower()
            raise DeidError(f"FILE: {why}; name one DICOM file") from None
        key = secrets.token_bytes(32)
        is_needed = subjects is not None or loaded.has_lists
        table = load_subjects(subjects, loaded, key) if is_needed else None
        found = explain_instance(data, loaded, key, subjects=table)
        for line in describe_instance(found, show_values):
            typer.echo(line)
        if is_set_aside(found):
            raise typer.Exit(Exit.SET_ASIDE)


def _explain_series(folder: str, recipe: Any, heads: Path | None) -> None:
    from beamstop_pipeline.explain_series import explain_series, lines_of, render_looks
    from beamstop_pipeline.private_files import private_file

    if recipe.face_action is None:
        raise DeidError(
            "FILE: a folder is searched for faces only, and the recipe leaves these; name one file, "
            "or a recipe with clean-recognizable-visual-features"
        )
    looks = explain_series(folder, recipe.face_action, secrets.token_bytes(32))
    for line in lines_of(looks):
        typer.echo(line)
    if heads is not None:
        rendered = render_looks(looks)
        with private_file(heads) as page:
            page.write(rendered.encode())
        typer.echo(f"renderings, which show faces: {heads}")


def _content(file: str) -> bytes:
    """Return the bytes of a file, an object, or a member of an archive as `beamstop sources` names it."""
    from beamstop.dicom.limits import DEFAULT_LIMITS
    from beamstop_transforms.archives import find_member, is_member, read_member
    from beamstop_transforms.stores import is_remote, read_remote

    if is_member(file):
        member = find_member(file)
        if member is None:
            raise DeidError("FILE: no such member; name it as beamstop sources prints it")
        return read_member(member)
    if is_remote(file):
        return read_remote(file)
    about = os.stat(file)
    if not stat.S_ISREG(about.st_mode) or about.st_size > DEFAULT_LIMITS.bytes:
        raise DeidError("FILE: not a regular file, or larger than 4 GiB; name one DICOM file")
    return Path(file).read_bytes()
