"""Jobs that are disturbed, what an undisturbed run leaves, and what is wrong where another has left."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq
from tests.reliability import archives
from tests.reliability.trials import Ended, Job, Snapshot, copied, run, snapshot

from beamstop.identity import Identity
from beamstop_transforms.instance import Source, source_id_of, version_digest

ALL = ("--crosswalk", "--attributes", "--png")


@dataclass(frozen=True)
class Scenario:
    """A job, and what an earlier run had left when it began.

    Attributes:
        name: for the report.
        job: the command that is disturbed.
        prior: folder that every trial begins as a copy of; need not be there.
        undisturbed: what the job leaves.
        ended: how it ends then.
    """

    name: str
    job: Job
    prior: Path
    undisturbed: Snapshot
    ended: Ended


class Change(NamedTuple):
    """A source, and the files that it is before and after."""

    source: Path
    before: Path
    after: Path


def scenarios(base: Path, wanted: str) -> Iterator[Scenario]:
    """Yield the jobs that are disturbed, those whose name holds what is wanted."""
    archive, key, other = base / "archive", base / "key", base / "other.yaml"
    late = archives.plant(archive)
    key.write_bytes(archives.KEY)
    key.chmod(0o600)
    other.write_text(archives.RECIPE)
    job = Job(archive, key)
    whole, part, none = base / "whole", base / "part", base / "none"
    for name, prior, changed in (
        ("a first run", none, job),
        ("a first run, all tables", none, replace(job, more=ALL)),
        ("a first run, --incremental", none, replace(job, more=(*ALL, "--incremental"))),
        ("a grown archive", part, replace(job, more=ALL)),
        ("a grown archive, --incremental", part, replace(job, more=(*ALL, "--incremental"))),
        ("another recipe", whole, replace(job, more=ALL, recipe=str(other))),
        (
            "another recipe, --incremental",
            whole,
            replace(job, more=(*ALL, "--incremental"), recipe=str(other)),
        ),
        ("nothing new, --incremental", whole, replace(job, more=(*ALL, "--incremental"))),
    ):
        if wanted not in name:
            continue
        if prior is not none and not prior.exists():
            _before(replace(job, more=ALL), prior, late if prior is part else [])
        home = copied(prior, base / "undisturbed")
        ended = run(changed, home)
        _must_end(ended, 1)
        yield Scenario(name, changed, prior, snapshot(home), ended)


def _before(job: Job, home: Path, absent: list[Path]) -> None:
    """Run a job as an earlier run has done, when some sources were not there yet."""
    for path in absent:
        path.rename(home.parent / path.name)
    _must_end(run(job, home), 1)
    for path in absent:
        (home.parent / path.name).rename(path)


def _must_end(ended: Ended, code: int) -> None:
    if ended.code != code:
        raise SystemExit(f"an undisturbed run ended with {ended.code}: {ended.said}")


def changing(base: Path, wanted: str) -> Iterator[tuple[Scenario, Change]]:
    """Yield the archive after each change of a source whose name holds what is wanted, and the change."""
    archive, key = base / "changing", base / "key of changing"
    archives.plant(archive)
    key.write_bytes(archives.KEY)
    key.chmod(0o600)
    source = archive / "001.dcm"
    # Without --prune the clean file of what the source was before stays, and the run says so.
    job = Job(archive, key, more=("--incremental", "--prune"))
    for how, before, after in archives.versions(source, base / "versions"):
        name = f"a source that changes: {how}"
        if wanted not in name:
            continue
        shutil.copy2(after, source)
        home = copied(base / "none", base / "undisturbed")
        ended = run(job, home)
        yield (
            Scenario(name, job, base / "none", snapshot(home), ended),
            Change(source, before, after),
        )


def settled(scenario: Scenario, home: Path) -> list[str]:
    """Let a run go on undisturbed; return how the result differs from one that never was disturbed."""
    ended = run(scenario.job, home)
    if ended.code != code_of_a_next_run(scenario, home):
        return [f"the next run ended with {ended.code}: {ended.said}"]
    return list(differences(scenario.undisturbed, snapshot(home)))


def code_of_a_next_run(scenario: Scenario, home: Path) -> int:
    """Return the exit code that a run must have had which came after a disturbed one.

    That of an undisturbed run; but with --incremental 0 if all that it and runs that broke set aside was said
    already, of the same bytes, by a run that ended.
    """
    ends = (json.loads(path.read_text()) for path in sorted((home / "audit" / "runs").glob("*.json")))
    whole = [record["run_id"] for record in ends if not record.get("broken")]
    if "--incremental" not in scenario.job.more or scenario.ended.code != 1 or len(whole) < 2:
        return scenario.ended.code
    tables = (pq.read_table(path).to_pylist() for path in (home / "audit" / "instances").glob("*.parquet"))
    said, new = set[tuple[object, ...]](), set[tuple[object, ...]]()
    for row in (row for rows in tables for row in rows if row["outcome"] in {"quarantined", "failed"}):
        what = tuple(row[name] for name in ("source_id", "source_digest", "source_size", "outcome", "reason"))
        (said if row["run_id"] <= whole[-2] else new).add(what)
    return 0 if new <= said else 1


def differences(wanted: Snapshot, found: Snapshot) -> Iterator[str]:
    """Yield how two snapshots differ."""
    for path in sorted(wanted.tree.keys() | found.tree.keys()):
        if path not in found.tree:
            yield f"missing: {path}"
        elif path not in wanted.tree:
            yield f"too much: {path}"
        elif wanted.tree[path] != found.tree[path]:
            yield f"other bytes: {path}"
    for table, rows in wanted.rows.items():
        for source in sorted(rows.keys() | found.rows[table].keys()):
            if rows.get(source) != found.rows[table].get(source):
                yield f"{table}, source {source[-40:]}: {rows.get(source)} is {found.rows[table].get(source)}"
    for stray in found.strays:
        yield f"left: {stray}"


def untrue(home: Path, change: Change) -> list[str]:
    """Return what the row of a source says wrongly that changed when it was listed or read.

    A row may say an older version than it read, never a newer one: it would not be read again.
    """
    identity = Identity(archives.KEY)
    source_id = source_id_of(Source(str(change.source), 0, ""), identity)
    tables = (pq.read_table(path).to_pylist() for path in (home / "audit" / "instances").glob("*.parquet"))
    (row,) = (row for rows in tables for row in rows if row["source_id"] == source_id)
    before, after = (
        (
            identity.digest("source", it.read_bytes()).hex(),
            it.stat().st_size,
            version_digest(source_id, str(it.stat().st_mtime_ns), identity),
        )
        for it in (change.before, change.after)
    )
    said = row["source_digest"], row["bytes_in"], row["source_version"]
    true = said in (before, after, (*after[:2], before[2]))
    return [] if true else ["its row is true for neither version"]
