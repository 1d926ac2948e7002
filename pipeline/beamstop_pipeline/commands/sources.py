"""`beamstop sources`: which files the rows of the audit are about; needs the key."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from beamstop.outcome import Outcome
from beamstop_pipeline.errors import ConfigurationError
from beamstop_pipeline.exit_codes import refusing_bad_configuration
from beamstop_pipeline.first_word import say_first
from beamstop_pipeline.silence import silenced

if TYPE_CHECKING:
    from beamstop.identity import Identity


def sources(
    audit: Annotated[
        str, typer.Argument(metavar="AUDIT", help="AUDIT of the runs, a folder or prefix in a bucket")
    ],
    key: Annotated[str, typer.Option(help="the key of the runs; file:PATH, env:NAME or secret:projects/…")],
    inputs: Annotated[
        list[str] | None, typer.Option("--input", help="the originals, named as in the runs")
    ] = None,
    outcome: Annotated[
        list[Outcome] | None,
        typer.Option(
            help="several times  [default: quarantined, failed; with --reason all]", show_default=False
        ),
    ] = None,
    reason: Annotated[
        list[str] | None, typer.Option(metavar="CODE", help="only these; several times")
    ] = None,
) -> None:
    """List the quarantined and failed files; needs the key.

    The audit has a keyed digest in place of each path. This command lists the originals again and prints a
    line for each source with one of the outcomes: outcome, reason, detail and path, separated by tabs. The
    detail of a duplicate_conflict has the paths of the other sources. **Paths may identify patients: treat
    the output like the originals.**

        beamstop sources /audit --input /archive --key study.key

        beamstop sources /audit --input /archive --key study.key --reason leak

    Exit codes: 0 listed; 2 bad configuration, such as another key.
    """
    with silenced():
        with refusing_bad_configuration():
            say_first("reading the audit")
            from beamstop_pipeline.originals import identity_of, originals

            set_aside = list(Outcome) if reason else [Outcome.QUARANTINED, Outcome.FAILED]
            identity = identity_of(audit, inputs or [], key)
            _check_reasons(audit, identity, reason or [])
            left = _wanted(audit, identity, outcome or set_aside, reason or [])
        others = {it for why in left.values() if why.is_conflict for it in why.detail.split()}
        paths: dict[str, str] = {}  # printed at the end, when all sources have been seen
        conflicts: list[tuple[_Why, str]] = []
        for source_id, source in originals(inputs or [], identity):
            path = _in_one_line(source.raw_path)
            if source_id in others:
                paths[source_id] = path
            if source_id in left:
                why = left.pop(source_id)
                if why.is_conflict:
                    conflicts.append((why, path))
                else:
                    typer.echo("\t".join((*why, path)))
        for why, path in conflicts:
            named = ", ".join(paths.get(it, it) for it in why.detail.split())
            typer.echo("\t".join((why.outcome, why.reason, named, path)))
    if left:
        typer.echo(f"{len(left)} more are in the audit and not among --input", err=True)


class _Why(NamedTuple):
    outcome: str
    reason: str
    detail: str

    @property
    def is_conflict(self) -> bool:
        return self.reason == "duplicate_conflict"


def _check_reasons(audit: str, identity: "Identity", reasons: Sequence[str]) -> None:
    """Check that each code is one of beamstop's, or one in the audit, from a custom bouncer.

    Raises:
        ConfigurationError: a code is neither.
    """
    import pyarrow.compute as pc

    from beamstop_pipeline.report.reasons import REMEDIES
    from beamstop_transforms.ledger.sealed import INSTANCES, rows_of, sealed_tables

    unknown = set(reasons) - REMEDIES.keys()
    if not unknown:
        return
    had = {
        code
        for sealed in sealed_tables(audit, identity, [INSTANCES])
        for batch in rows_of(audit, sealed, ["reason"])
        for code in pc.unique(batch["reason"]).to_pylist()
        if code
    }
    for code in sorted(unknown - had):
        near = get_close_matches(code, REMEDIES.keys() | had, 1)
        meant = f"; did you mean {near[0]}?" if near else "; the report lists the reasons of this audit"
        raise ConfigurationError(f"--reason {code}: no such reason{meant}")


def _wanted(
    audit: str, identity: "Identity", outcomes: Sequence[str], reasons: Sequence[str]
) -> dict[str, _Why]:
    """Return source_id → reason and detail of the sources whose newest row is wanted."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from beamstop_transforms.ledger.sealed import INSTANCES, rows_of, sealed_tables

    found: dict[str, _Why] = {}
    columns = ["source_id", *_Why._fields]
    for sealed in sealed_tables(audit, identity, [INSTANCES]):  # the oldest run first
        batches = list(rows_of(audit, sealed, columns))
        if not batches:
            continue
        table = pa.Table.from_batches(batches)
        is_wanted = pc.is_in(table["outcome"], pa.array(map(str, outcomes), pa.string()))
        if reasons:
            is_wanted = pc.and_(is_wanted, pc.is_in(table["reason"], pa.array(reasons, pa.string())))
        held = pc.is_in(table["source_id"], pa.array(found, pa.string()))
        for source_id in table.filter(held)["source_id"].to_pylist():
            del found[source_id]
        for source_id, *why in zip(*(it.to_pylist() for it in table.filter(is_wanted).columns), strict=True):
            found[source_id] = _Why(*(text or "" for text in why))
    return found


def _in_one_line(path: bytes) -> str:
    r"""Return a path for people: bytes that are not UTF-8 and control characters as escapes.

    >>> _in_one_line(b"a/\xff\n\xc3\xa4.dcm")
    'a/\\xff\\nä.dcm'
    """
    text = path.decode(errors="backslashreplace")
    return "".join(it if it.isprintable() else it.encode("unicode_escape").decode() for it in text)
