"""The job: every setting of a run, validated before anything is read."""

import os
import re
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from beamstop.dicom.limits import Limits
from beamstop.errors import SubjectsError
from beamstop.keys import resolve_key
from beamstop.ocr import load_detector
from beamstop.recipe.model import Recipe, SubjectPart
from beamstop.subjects import Line, table_digest
from beamstop.text.detector import DetectorLoader
from beamstop_pipeline.errors import ConfigurationError
from beamstop_pipeline.lacking import warnings_of
from beamstop_transforms.group_series import LookLoader, load_look
from beamstop_transforms.subjects import StagedSubjects

STALL_TIMEOUT = 2400.0
WINDOW = 300.0
AuditDetail = Literal["instances", "changes"]


@dataclass(frozen=True)
class Job:
    """One run.

    Attributes:
        inputs: files, folders, globs, patterns in buckets, imaging servers; none for a stream.
        output: OUTPUT: a local folder, a prefix in a bucket, or a `dicomweb:` service, which the other
            targets may not be.
        audit: AUDIT.
        crosswalk: CROSSWALK; None if not wanted.
        attributes: ATTRIBUTES; None if not wanted.
        png: PNG; None if not wanted.
        recipe: the recipe.
        key: reference of the run's key, never the key.
        signing_key: reference of the private key that signs the record; None for no signature.
        subscription: Pub/Sub subscription to new objects, for a stream; None for a run over inputs.
        window: of a stream: seconds covered by one record.
        incremental: skip what an earlier run has decided.
        prune: remove clean files that have no source any more.
        limit: process at most this many sources, from all over the archive; None for all.
        ephemeral: the key exists for this run only.
        audit_detail: `changes` for rows per changed element, too; `instances` without these.
        limits: sources beyond them are failed.
        workers: worker processes of a local run.
        max_memory: megabytes of each worker process of a local run; None for no limit.
        stall_timeout: seconds without a finished source after which a local run is given up.
        run_id: sorts by time.
        started: UTC, ISO 8601.
        progress: local folder where workers note their progress; None for a remote run.
        suspects: source_id → reason of the sources that broke an earlier run.
        careful: source_ids that remote workers were processing when they died: see `Attempts`.
        recovered: see `recovered_runs`.
        ledger, left_open: see `Target`.
        lines: of the table of subjects and of the bouncers' lists; empty without these.
        subjects: the table, when it is staged for workers.
        output_keeps: OUTPUT is in a bucket in which nothing can be replaced or removed.
        leases: the targets in buckets in which something can be.
        load_detector: loads the text detector, once per worker process.
        load_look: loads the function that searches a series for a face, once per worker process.
    """

    inputs: tuple[str, ...]
    output: str
    audit: str
    recipe: Recipe
    key: str = field(repr=False)
    signing_key: str | None = field(default=None, repr=False)
    subscription: str | None = None
    window: float = WINDOW
    crosswalk: str | None = None
    attributes: str | None = None
    png: str | None = None
    incremental: bool = False
    prune: bool = False
    limit: int | None = None
    ephemeral: bool = False
    audit_detail: AuditDetail = "changes"
    limits: Limits = field(default_factory=Limits)
    workers: int = 1
    max_memory: int | None = None
    stall_timeout: float = STALL_TIMEOUT
    run_id: str = ""
    started: str = ""
    progress: str | None = None
    suspects: Mapping[str, str] = field(default_factory=dict)
    careful: frozenset[str] = field(default=frozenset(), repr=False)
    recovered: tuple[str, ...] = ()
    ledger: tuple[str, ...] | None = None
    left_open: tuple[int, tuple[str, ...]] | None = None
    lines: tuple[Line, ...] = field(default=(), repr=False)
    subjects: StagedSubjects | None = None
    output_keeps: bool = False
    leases: tuple[str, ...] = ()
    load_detector: DetectorLoader = load_detector
    load_look: LookLoader = load_look

    @cached_property
    def subjects_digest(self) -> str | None:
        """The keyed digest of the table of subjects, in hex; None without a table."""
        if not self.lines:
            return None
        return table_digest(self.lines, self.recipe.identity(resolve_key(self.key))).hex()

    @property
    def absent(self) -> str:
        """What the recipe does with patients without a line in the table."""
        return (self.recipe.subjects or SubjectPart()).absent

    @property
    def processes(self) -> int:
        """How many workers of a local run are separate processes; 0 if the only worker is this process.

        A worker's memory can only be watched from another process.
        """
        return processes_of(self.workers, self.max_memory)

    @property
    def targets(self) -> dict[str, str]:
        """Option → folder or prefix that this run writes to."""
        named = {
            "--output": self.output,
            "--audit": self.audit,
            "--crosswalk": self.crosswalk,
            "--attributes": self.attributes,
            "--png": self.png,
        }
        return {option: target for option, target in named.items() if target is not None}


def processes_of(workers: int, max_memory: int | None) -> int:
    """Return how many workers of a local run are separate processes; see `Job.processes`."""
    return workers if workers > 1 or max_memory is not None else 0


def start_time() -> datetime:
    """Return the time at which a run starts."""
    return datetime.now(UTC)


def lines_of(subjects: str | None, recipe: Recipe, key: str) -> tuple[Line, ...]:
    """Return the lines of a table of subjects and of bouncers' lists; empty without either.

    Args:
        subjects: a file or object; None if there is none.
        recipe: says how the table is read.
        key: reference of the run's key.

    Raises:
        SubjectsError: the table cannot be used, or the recipe needs one and there is none.
    """
    if subjects is None:
        if recipe.subjects is not None:
            recipe.bouncers_of(None)
        return tuple(recipe.read_lists(resolve_key(key)))
    with _here(subjects) as path:
        return (*recipe.read_subjects(path, resolve_key(key)), *recipe.read_lists(resolve_key(key)))


@contextmanager
def _here(subjects: str) -> Iterator[str]:
    """Yield a local path of a table; an object becomes a private temporary file."""
    from beamstop_transforms.stores import is_remote, open_store

    if not is_remote(subjects):
        yield subjects
        return
    place, _, name = subjects.rpartition("/")
    found = open_store(place).read(name)
    if found is None:
        raise SubjectsError(f"--subjects {subjects}: there is no such object; check its name")
    with tempfile.NamedTemporaryFile(suffix=Path(name).suffix) as file:
        file.write(found[1])
        file.flush()
        yield file.name


def check_places(inputs: Sequence[str], targets: dict[str, str]) -> None:
    """Check that no target is inside another or an input, and no input inside a target.

    Raises:
        ConfigurationError: one is, one is empty, a target other than OUTPUT is an imaging server, or others
            can read the crosswalk's folder.
    """
    _check_privacy(targets.get("--crosswalk"))
    for option, place in [*targets.items(), *(("--input", pattern) for pattern in inputs)]:
        if not place:
            raise ConfigurationError(f"{option} is empty: name a place; . is the current folder")
        if place.startswith("dicomweb:") and option not in ("--output", "--input"):
            raise ConfigurationError(
                f"{option}: takes no imaging server; name a folder or a prefix in a bucket"
            )
    _check_servers(inputs, targets.get("--output", ""))
    from beamstop_transforms.match import home

    named = list(targets.items())
    for number, (option, target) in enumerate(named):
        for other_option, other in named[:number]:
            if _overlap(target, other):
                raise ConfigurationError(
                    f"{option} and {other_option} lie inside one another: choose two folders"
                )
        for pattern in inputs:
            if _overlap(target, home(pattern)):
                raise ConfigurationError(
                    f"{option} and --input lie inside one another: choose another folder"
                )


def _check_servers(inputs: Sequence[str], output: str) -> None:
    """Check that OUTPUT is not a server that originals come from."""
    from beamstop_transforms.stores import is_dicomweb
    from beamstop_transforms.stores.dicomweb_input import server_of

    servers = {server_of(it) for it in filter(is_dicomweb, inputs)}
    if is_dicomweb(output) and server_of(output) in servers:
        raise ConfigurationError("--input and --output are on one imaging server: choose another for OUTPUT")


def with_since(inputs: Sequence[str], since: str | None) -> tuple[str, ...]:
    """Return the inputs, with imaging servers limited to studies since a day.

    Raises:
        ConfigurationError: no input is an imaging server, or `since` is not a date.
    """
    from beamstop_transforms.stores import is_dicomweb
    from beamstop_transforms.stores.dicomweb_input import with_since as asked_since

    if since is None:
        return tuple(inputs)
    if not any(map(is_dicomweb, inputs)):
        raise ConfigurationError("--since is for imaging servers: name one with --input dicomweb:URL")
    try:
        day = date.fromisoformat(since).isoformat()
    except ValueError:
        raise ConfigurationError("--since: name a day, such as 2026-01-31") from None
    return tuple(asked_since(it, day) if is_dicomweb(it) else it for it in inputs)


def _check_privacy(crosswalk: str | None) -> None:
    """Check that nobody else can read the crosswalk's folder; a new one is made private."""
    if crosswalk is not None and os.path.isdir(crosswalk) and os.stat(crosswalk).st_mode & 0o077:
        raise ConfigurationError(f"--crosswalk {crosswalk}: others can read it; run chmod 700 on it")


def _overlap(one: str, other: str) -> bool:
    mine, yours = _parts(one), _parts(other)
    shorter = min(len(mine), len(yours))
    return mine[:shorter] == yours[:shorter] or _lies_in(one, other) or _lies_in(other, one)


def _lies_in(one: str, other: str) -> bool:
    """Return whether a folder is another or below it under a name that does not show it: a bind mount."""
    if not os.path.isdir(other):
        return False
    path = Path(os.path.realpath(one))
    return any(os.path.samefile(it, other) for it in (path, *path.parents) if os.path.lexists(it))


def _parts(place: str) -> tuple[str, ...]:
    kind, colon, rest = place.partition(":")
    if colon and kind in ("gs", "s3", "az", "dicomweb"):
        return (kind, *rest.rstrip("/").split("/"))
    return Path(os.path.realpath(place)).parts


def check_faces(job: Job) -> None:
    """Check that a recipe about faces gets whole series, and that scipy is installed.

    Raises:
        ConfigurationError: the run would not see whole series, or scipy is missing.
    """
    if job.recipe.face_action is None:
        return
    whole = "clean-recognizable-visual-features needs whole series"
    if job.subscription is not None:
        raise ConfigurationError(
            f"--subscription: {whole}, and a stream never knows when a series is complete; use --input "
            "with --incremental, or leave the option out of the recipe"
        )
    if job.limit is not None:
        raise ConfigurationError(
            f"--limit: {whole}, and a sample has parts of series; name a few folders with --input instead"
        )
    if find_spec("scipy") is None:
        raise ConfigurationError(
            "clean-recognizable-visual-features needs scipy: pip install 'beamstop[faces]'"
        )


def check_stream(job: Job, here: bool) -> None:
    """Check that there are inputs or a subscription, and that the options fit a stream.

    Args:
        job: the job.
        here: whether the job runs on this machine.

    Raises:
        ConfigurationError: there are neither or both, or an option does not fit a stream.
    """
    if (job.subscription is None) == (not job.inputs):
        raise ConfigurationError("name either --input or --subscription, and not both")
    if job.subscription is None:
        return
    if not re.fullmatch("projects/[^/]+/subscriptions/[^/]+", job.subscription):
        raise ConfigurationError("--subscription: name it as projects/…/subscriptions/…")
    refused = {
        "--incremental": job.incremental,
        "--limit": job.limit,
        "--attributes": job.attributes,
        "--png": job.png,
        "--subjects, or a list of the recipe's bouncers,": job.lines,
    }
    for option, given in refused.items():
        if given:
            raise ConfigurationError(f"{option} is for runs that end: leave it out with --subscription")
    if here:
        raise ConfigurationError(
            "--subscription needs a runner for streams: name one, such as --runner DataflowRunner"
        )
    if find_spec("google.cloud.pubsub") is None:
        raise ConfigurationError("--subscription needs Google's Pub/Sub client: pip install 'beamstop[gcp]'")


def check_networks(recipe: Recipe, here: bool) -> tuple[str, ...]:
    """Check that the text detector's weights are on this machine, if this run needs them here.

    One-time preparations are made now, so that no worker has to.

    Returns:
        a warning for each missing network, with its effect; and one for languages of the recipe that cannot
        be read.

    Raises:
        DeidError: weights are missing, or not the published ones.
    """
    if here and recipe.needs_detector:
        from beamstop.ocr.detector import prepare

        lacks = prepare(*recipe.text_policy.reading)
        unread = f"no weights to read {', '.join(lacks.unread)}: such words are hidden, even authorised ones"
        return (*warnings_of(lacks.missing), *([unread] if lacks.unread else []))
    return ()


def check_stores(job: Job) -> tuple[Job, tuple[str, ...]]:
    """Check that object stores among inputs and targets can be used.

    Returns:
        the job, which knows in which targets files can be replaced or removed; and warnings about the others.

    Raises:
        StoreError: no credentials, no such bucket, no permission, or a store that ignores conditions.
        ConfigurationError: files in AUDIT, or with --prune in OUTPUT, cannot be replaced or removed.
    """
    from beamstop_transforms.stores import check_remote, is_remote

    kept = check_remote(job.inputs, job.targets.values())
    keeping = [option for option, target in job.targets.items() if target in kept]
    if "--audit" in keeping:
        raise ConfigurationError(
            f"--audit {job.audit}: files there cannot be removed (retention, a hold, or no permission to "
            "delete), but a run has to tidy up there; name another bucket, and lock a copy of it"
        )
    if "--output" in keeping and job.prune:
        raise ConfigurationError("--prune removes files, but files in OUTPUT cannot be removed; leave it out")
    warnings = tuple(f"{it}: files there cannot be removed; .partial stays, too" for it in keeping)
    leases = tuple(it for it in job.targets.values() if is_remote(it) and it not in kept)
    return replace(job, output_keeps="--output" in keeping, leases=leases), warnings


def check_inputs(inputs: Sequence[str]) -> None:
    """Check that every pattern matches something.

    Raises:
        ConfigurationError: a pattern matches nothing.
    """
    from beamstop_transforms.match import find_sources

    if not inputs:
        raise ConfigurationError("no input: name files, folders or patterns with --input")
    for pattern in inputs:
        if next(iter(find_sources(pattern)), None) is None:
            raise ConfigurationError(
                f"--input {pattern}: nothing matches; check the path, and quote patterns"
            )


def prepare_folders(targets: dict[str, str]) -> Iterator[Path]:
    """Make the local targets, for their owner only, and yield them.

    Raises:
        ConfigurationError: one cannot be made or written to.
    """
    for option, target in targets.items():
        if target.startswith(("gs://", "s3://", "az://", "dicomweb:")):
            continue
        folder = Path(target)
        try:
            _make_private(folder)
        except OSError as error:
            raise ConfigurationError(f"{option} {target}: {error.strerror}; choose another folder") from error
        if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
            raise ConfigurationError(f"{option} {target}: cannot be written to; choose another folder")
        yield folder


def _make_private(folder: Path) -> None:
    missing = [folder, *folder.parents]
    for path in reversed([it for it in missing if not it.exists()]):
        path.mkdir(mode=stat.S_IRWXU, exist_ok=True)
