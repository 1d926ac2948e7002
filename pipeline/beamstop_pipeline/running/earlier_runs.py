"""Compares a run with AUDIT: its key must be the same, another OUTPUT or recipe must be confirmed."""

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from beamstop.audit import record_mac
from beamstop.identity import Identity
from beamstop.keys import resolve_key
from beamstop_pipeline.errors import ConfigurationError
from beamstop_pipeline.job import Job
from beamstop_transforms.ledger.sealed import SealedTable, read_records, rows_of, sealed_tables
from beamstop_transforms.ledger.subjects import changes
from beamstop_transforms.ledger.target import Target, is_run_id, open_claims
from beamstop_transforms.record import Recorded, output_digest
from beamstop_transforms.stores import is_elsewhere, open_store

_LOOKED_AT = 10  # clean files that are compared to recognise OUTPUT
_TABLES = ("crosswalk", "attributes", "png")
_FILL = dict.fromkeys(_TABLES, "run once without") | {"crosswalk": "beamstop crosswalk makes one of all"}


def check_earlier_runs(job: Job, accept_changed_recipe: bool, accept_moved_output: bool) -> tuple[str, ...]:
    """Check a run against the newest record in AUDIT; return warnings.

    Args:
        job: the run.
        accept_changed_recipe: another recipe was confirmed.
        accept_moved_output: a moved OUTPUT was confirmed; it must have the newest clean files.

    Raises:
        ConfigurationError: another key, or another recipe or OUTPUT that was not confirmed.
    """
    record = _newest_record(job.audit)
    if record is None:
        return ()
    identity = Identity(resolve_key(job.key))
    _check_key(record, identity)
    changed = tuple(_check_recipe(record, job, accept_changed_recipe))
    _check_subjects(record, job, accept_changed_recipe)
    _check_output(record, job, identity, accept_moved_output)
    return (*changed, *_emptied(job, identity), *_changed_tables(record, job))


def _newest_record(audit: str) -> dict[str, Any] | None:
    """Return the newest record that has a seal, with any key."""
    sealed = [it for run_id, it in read_records(audit) if is_run_id(run_id) and "mac" in it]
    return sealed[-1] if sealed else None


def _check_key(record: Mapping[str, Any], identity: Identity) -> None:
    if _options(record).get("ephemeral_key"):
        raise ConfigurationError(
            "--audit: its newest run had --ephemeral-key and cannot be continued; name a new AUDIT and OUTPUT"
        )
    if record["mac"] != record_mac(record, identity):
        raise ConfigurationError(
            "--key: it did not seal the newest run in AUDIT; name the key of that run, or a new AUDIT and "
            "OUTPUT. If it is that key, the record was changed: beamstop verify says how"
        )


def _check_recipe(record: Mapping[str, Any], job: Job, is_accepted: bool) -> Iterator[str]:
    """Check the recipe that the user gave; return warnings."""
    earlier = Recorded.of(record)
    is_same = earlier.is_what_was_given(job.recipe)
    if not is_same and not is_accepted:
        raise ConfigurationError(
            f"--recipe {job.recipe.name}: the newest run in AUDIT had another one, {earlier.name}; "
            "name that one, or add --accept-changed-recipe to de-identify every source again by this one"
        )
    if is_same and earlier.digest != job.recipe.digest:
        why = _NEWER if earlier.given is not None else _UNKNOWN
        yield f"recipe {job.recipe.name}: {why}; every source is de-identified again"


def _check_subjects(record: Mapping[str, Any], job: Job, is_accepted: bool) -> None:
    """Check that the table of subjects is given, and that sources of its changed lines can be found."""
    before = record.get("subjects")
    if before is not None and not job.lines and not is_accepted:
        raise ConfigurationError(
            "--subjects: the newest run in AUDIT had a table; name it, or add --accept-changed-recipe to "
            "admit patients whom it refused, and take pseudonyms from the key"
        )
    if not job.incremental or before is None or job.subjects_digest is None:
        return
    identity = job.recipe.identity(resolve_key(job.key))
    changed = changes(job.audit, identity, before, job.subjects_digest, job.absent, job.lines)
    if changed is not None and changed.untraceable:
        raise ConfigurationError(
            f"--subjects: {changed.untraceable} lines, by accession number, of a list of the recipe's, or by "
            "PatientID in one with with_issuer, have changed since the newest run, and clean files made "
            "under them cannot be found; run once without --incremental, then again with it (and --prune)"
        )


_NEWER = "it means something else in this version of beamstop"
_UNKNOWN = "the runs in AUDIT had a recipe of this name, with other content or in another version of beamstop"


def _check_output(record: Mapping[str, Any], job: Job, identity: Identity, is_accepted: bool) -> None:
    if record.get("output") == output_digest(job.output, identity):
        return
    newest = list(islice(_newest_files(job.audit, identity), _LOOKED_AT))
    standing = list(_standing(job, newest))
    is_known = "output" in record  # audits before 0.2.0 do not name it
    if not is_known and (any(standing) or not newest):
        return
    if not is_accepted:
        raise ConfigurationError(
            "--output: the runs in AUDIT wrote to another OUTPUT; name that one, or a new AUDIT for this "
            "one. If the clean files were moved here, add --accept-moved-output"
        )
    if not all(standing):
        raise ConfigurationError(
            f"--accept-moved-output: of the newest {len(newest)} clean files that AUDIT names, "
            f"{len(newest) - sum(standing)} are not in OUTPUT; move all of them, or name a new AUDIT"
        )


def _emptied(job: Job, identity: Identity) -> Iterator[str]:
    """Yield a warning if sources are skipped whose clean files are gone."""
    if job.incremental:
        newest = list(islice(_newest_files(job.audit, identity), _LOOKED_AT))
        if newest and not any(_standing(job, newest)):
            yield (
                f"--output: none of the newest {len(newest)} clean files that AUDIT names is there, and "
                "--incremental skips their sources; mount it, or run once without --incremental"
            )


class _Written(NamedTuple):
    source_id: str
    sop_instance_uid: str
    output_path: str | None
    output_sha256: str


def _standing(job: Job, written: Sequence[_Written]) -> Iterator[bool]:
    """Yield whether each clean file is in OUTPUT, as written or as a later broken run left it."""
    store = open_store(job.output if is_elsewhere(job.output) else os.path.abspath(job.output))
    claims = open_claims(Target(job.output, job.audit, job.key, job.run_id))
    for it in written:
        path = it.output_path or ""
        found = store.find(path)
        yield found is not None and (
            found.sha256 == it.output_sha256 or claims.made_before(it.sop_instance_uid, path, found.sha256)
        )


def _newest_files(audit: str, identity: Identity) -> Iterator[_Written]:
    """Yield clean files that must be in OUTPUT, newest first; for each path, the last one written."""
    seen, done = set[str](), set[str]()
    for table in reversed(sealed_tables(audit, identity)):
        if table.is_pruned:
            done.update(row["output_path"] for row in _rows(audit, table, ["output_path"]))
            continue
        for row in _rows(audit, table, list(_Written._fields)):
            if row["source_id"] not in seen:
                seen.add(row["source_id"])
                if row["output_path"] is not None and row["output_path"] not in done:
                    done.add(row["output_path"])
                    yield _Written(**row)


def _rows(audit: str, table: SealedTable, columns: list[str]) -> Iterator[dict[str, Any]]:
    for batch in rows_of(audit, table, columns):
        yield from batch.to_pylist()


def _changed_tables(record: Mapping[str, Any], job: Job) -> Iterator[str]:
    """Yield a warning for every other table that was added, or is no longer written."""
    earlier = _options(record)
    for name in _TABLES:
        has_now = getattr(job, name) is not None
        if has_now and not earlier.get(name) and job.incremental:
            yield f"--{name} is new: it has no rows of sources that --incremental skips; {_FILL[name]}"
        if not has_now and earlier.get(name):
            how = f"; {_FILL[name]}" if name == "crosswalk" else ""
            if job.prune:
                how = ", and rows about clean files that --prune removes stay in it: name it"
            yield f"--{name}: the newest run in AUDIT had it; its files are not kept up to date now{how}"


def _options(record: Mapping[str, Any]) -> Mapping[str, Any]:
    options = record.get("options")
    return options if isinstance(options, dict) else {}
