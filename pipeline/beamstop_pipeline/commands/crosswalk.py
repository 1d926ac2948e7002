"""`beamstop crosswalk`: the original of each clean file; needs the key."""

import csv
import os
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from beamstop_pipeline.errors import ConfigurationError
from beamstop_pipeline.exit_codes import Exit, refusing_bad_configuration
from beamstop_pipeline.first_word import say_first
from beamstop_pipeline.silence import silenced

if TYPE_CHECKING:
    from beamstop_pipeline.crosswalk import Tie

_AT_ONCE = 10_000  # rows
_UID_COLUMNS = ("original_uid", "uid")


def crosswalk(
    audit: Annotated[
        str, typer.Argument(metavar="AUDIT", help="AUDIT of the runs, a folder or prefix in a bucket")
    ],
    key: Annotated[str, typer.Option(help="the key of the runs; file:PATH, env:NAME or secret:projects/…")],
    inputs: Annotated[
        list[str] | None, typer.Option("--input", help="the originals, named as in the runs")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="FILE.csv or FILE.parquet; without it, print the table"
        ),
    ] = None,
    find: Annotated[
        str | None,
        typer.Option(metavar="PSEUDONYM", help="only the originals of this clean PatientID or UID"),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(help="recipe of the runs: also write FILE-uids, with all UIDs that it remaps"),
    ] = None,
    subjects: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="check that the newest run had this table of subjects"),
    ] = None,
) -> None:
    """Make the table from clean files to their originals, after the run; needs the key.

    It reads the originals again, without pixels, and has a row for every clean file of the audit, whether or
    not its run had --crosswalk. **It leads to the patients: keep it where the originals are.**

        beamstop crosswalk /audit --input /archive --key study.key -o crosswalk.csv

        beamstop crosswalk /audit --input /archive --key study.key --find DLAYQ5PBKB67QFWM

    With --recipe, a second table, crosswalk-uids.csv, has each remapped UID and its new UID once, including
    frames of reference and references.

    With --subjects as well, the command fails unless this is the table of the newest run, line by line.

    Exit codes: 0 every clean file has a row; 1 originals are missing or have changed; 2 bad configuration.
    """
    with silenced(), refusing_bad_configuration():
        say_first("reading the audit")
        from beamstop.recipe.load import load_recipe
        from beamstop.subjects import table_digest
        from beamstop_pipeline.crosswalk import Crosswalk
        from beamstop_pipeline.originals import check_subjects, identity_of

        _check_output(output, recipe)
        identity = identity_of(audit, inputs or [], key)
        loaded = load_recipe(recipe) if recipe is not None else None
        if subjects is not None:
            if loaded is None:
                raise ConfigurationError("--subjects: the recipe says how to read it; name it with --recipe")
            own = loaded.identity(identity.key)
            lines = [*loaded.read_subjects(subjects, identity.key), *loaded.read_lists(identity.key)]
            check_subjects(audit, identity, table_digest(lines, own).hex())
        found = Crosswalk(audit, inputs or [], identity, loaded, find)
        if output is None:
            _print(found.ties())
        else:
            _write(output, found.ties(), with_uids=loaded is not None)
    for count, what in (
        (found.missing, "not among --input"),
        (found.changed, "changed since the run"),
    ):
        if count:
            typer.echo(f"clean files without a row, because their originals are {what}: {count}", err=True)
    raise typer.Exit(Exit.SET_ASIDE if found.missing or found.changed else Exit.OK)


def _check_output(output: Path | None, recipe: str | None) -> None:
    if output is None and recipe is not None:
        raise ConfigurationError("--recipe: writes a second table for UIDs; name a file with -o")
    if output is not None and output.suffix not in (".csv", ".parquet"):
        raise ConfigurationError(f"-o {output}: the file must end in .csv or .parquet")
    if output is not None and not output.absolute().parent.is_dir():
        raise ConfigurationError(f"-o {output}: there is no such folder; make it first")


def _print(ties: "Iterable[Tie]") -> None:
    from beamstop.audit import CROSSWALK

    writer = csv.writer(sys.stdout)
    writer.writerow(CROSSWALK.names)
    for tie in ties:
        writer.writerow(tie.row.values())


def _write(output: Path, ties: "Iterable[Tie]", with_uids: bool) -> None:
    """Write one or two tables, readable by their owner only, as a whole or not at all."""
    from beamstop.audit import CROSSWALK

    uids: dict[str, str] = {}

    def rows() -> Iterator[dict[str, Any]]:
        for tie in ties:
            uids.update(tie.uids)
            yield tie.row

    _write_table(output, CROSSWALK.names, rows())
    if with_uids:
        place = output.with_name(f"{output.stem}-uids{output.suffix}")
        pairs = (dict(zip(_UID_COLUMNS, pair, strict=True)) for pair in sorted(uids.items()))
        _write_table(place, list(_UID_COLUMNS), pairs)


def _write_table(path: Path, columns: list[str], rows: Iterable[dict[str, Any]]) -> None:
    from beamstop_pipeline.private_files import private_file

    with private_file(path) as file:
        if path.suffix == ".csv":
            with os.fdopen(os.dup(file.fileno()), "w", encoding="utf-8", newline="") as text:
                lines = csv.DictWriter(text, columns)
                lines.writeheader()
                lines.writerows(rows)
        else:
            import pyarrow as pa
            import pyarrow.parquet as pq

            schema, left = pa.schema([(name, pa.string()) for name in columns]), iter(rows)
            with pq.ParquetWriter(file, schema) as writer:
                while batch := list(islice(left, _AT_ONCE)):
                    writer.write_batch(pa.RecordBatch.from_pylist(batch, schema))
