"""Trials: a job that dies, or meets a fault, at a chosen moment, and what the next run makes of it."""

import hashlib
import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
from pydicom import dcmread
from tests.reliability.faults import Counter, nothing, only_whole_files

Act = Callable[[int, str, str], None]
_TABLES = ("audit/instances", "audit/changes", "crosswalk", "attributes")
_TARGETS = ("output", "audit", "crosswalk", "attributes", "png")
_NAMES = ("source_id", "output_path", "sop_instance_uid")
_OF_A_LOSER = ("source_id", "source_digest", "source_version", "outcome", "step", "reason", "output_path")
_TIMES = frozenset({"run_id", "ms_read", "ms_pixels", "ms_attributes", "ms_check", "ms_write", "mac"})


@dataclass(frozen=True)
class Job:
    """One command: the archive, the key, the recipe and further options."""

    archive: Path
    key: Path
    recipe: str = "basic"
    more: tuple[str, ...] = ()
    workers: int = 1

    def command(self, home: Path) -> list[str]:
        """Return the arguments of `beamstop` for targets below a folder."""
        wanted = [name for name in _TARGETS if name in ("output", "audit") or f"--{name}" in self.more]
        places = [part for name in wanted for part in (f"--{name}", str(home / name))]
        flags = [part for part in self.more if part.removeprefix("--") not in _TARGETS]
        common = ["--key", str(self.key), "--recipe", self.recipe, "--workers", str(self.workers), "--quiet"]
        common += ["--accept-changed-recipe", "--accept-moved-output"]  # scenarios are copied and go on
        return ["run", "--input", str(self.archive), *places, *common, *flags]


@dataclass(frozen=True)
class Ended:
    """How a run ended: exit code (negative: the signal), what it said, how many changes it made."""

    code: int
    said: str
    changes: int


def run(job: Job, home: Path, act: Act | None = None, limit: int | None = None) -> Ended:
    """Run a job in a forked process; the fault strikes there alone.

    Args:
        job: what is run.
        home: where to.
        act: is told every change of the file system before it is made.
        limit: bytes beyond which no file can grow.
    """
    said, counted = home / "said", home / "changes"
    home.mkdir(exist_ok=True)
    (home / "tmp").mkdir(exist_ok=True)
    child = os.fork()
    if child == 0:
        try:
            _serve(job, home, act or nothing(), said, counted, limit)
        finally:
            os._exit(98)  # whatever happens: never back into the code of the parent
    _, status = os.waitpid(child, 0)
    text = said.read_text()
    changes = int(counted.read_text() or 0) if counted.exists() else 0
    for path in (said, counted):
        path.unlink(missing_ok=True)
    return Ended(os.waitstatus_to_exitcode(status), text, changes)


def run_processes(job: Job, home: Path, disturb: Callable[[subprocess.Popen[bytes]], None]) -> Ended:
    """Run a job as a command of its own, with its worker processes.

    Args:
        job: what is run.
        home: where to.
        disturb: does its worst to the process while it runs, and returns.
    """
    (home / "tmp").mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "beamstop_pipeline", *job.command(home)]
    with open(home / "said", "wb") as said:
        process = subprocess.Popen(
            command,
            stdout=said,
            stderr=said,
            env={**os.environ, "TMPDIR": str(home / "tmp")},
            start_new_session=True,
        )
        disturb(process)
        code = process.wait()
    text = (home / "said").read_text()
    (home / "said").unlink()
    return Ended(code, text, 0)


def when_there_are(files: int, folder: Path, then: Callable[[subprocess.Popen[bytes]], None]) -> Any:
    """Return what does something to a process as soon as so many files are below a folder."""

    def _disturb(process: subprocess.Popen[bytes]) -> None:
        while process.poll() is None:
            if sum(len(names) for _, _, names in os.walk(folder)) >= files:
                then(process)
                return
            time.sleep(0.002)

    return _disturb


def kill_all(process: subprocess.Popen[bytes]) -> None:
    """Kill a command and its worker processes."""
    os.killpg(process.pid, signal.SIGKILL)


def kill_driver(process: subprocess.Popen[bytes]) -> None:
    """Kill a command alone; its workers are to notice."""
    process.kill()


def kill_worker(process: subprocess.Popen[bytes]) -> None:
    """Kill one worker process, as soon as there is one."""
    while process.poll() is None:
        for child in psutil.Process(process.pid).children():
            if "beamstop_pipeline.worker" in child.cmdline():
                child.kill()
                return
        time.sleep(0.002)


def _serve(job: Job, home: Path, act: Act, said: Path, counted: Path, limit: int | None) -> None:
    os.setsid()
    os.environ["TMPDIR"] = str(home / "tmp")
    import tempfile

    tempfile.tempdir = str(home / "tmp")  # else Python writes a file to see whether it can, and may die of it
    with open(said, "w", buffering=1) as out:
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(io.FileIO(number, "w"), line_buffering=True) for number in (1, 2)
    )
    only_whole_files([home / name for name in _TARGETS])
    counter = Counter([home / name for name in (*_TARGETS, "tmp")], act)
    sys.addaudithook(counter)
    from beamstop_pipeline.cli import main

    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, unlimited[1]))
    try:
        code = main(job.command(home))
    except BaseException as stop:  # noqa: BLE001  whatever gets here must not return into the parent's code
        sys.stderr.write(f"{type(stop).__name__}\n")
        code = 99
    resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    counted.write_text(str(counter.changes))
    sys.stderr.flush()
    os._exit(code)


@dataclass
class Snapshot:
    """What stands below a folder when no run is going on.

    Attributes:
        tree: path → SHA-256 of every clean file and picture; folders end in `/`.
        rows: table → what identifies a source → its newest rows, without times.
        strays: what must not be there at all.
    """

    tree: dict[str, str] = field(default_factory=dict)
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    strays: list[str] = field(default_factory=list)


def snapshot(home: Path) -> Snapshot:
    """Look at what runs have left."""
    found = Snapshot()
    for name in ("output", "png"):
        for path in (home / name).rglob("*"):
            where = str(path.relative_to(home))
            found.tree[where + "/" * path.is_dir()] = "" if path.is_dir() else _sha256(path)
    finished = {path.stem for path in (home / "audit" / "runs").glob("*.json")}
    newest: dict[str, str] = {}  # source_id, output path and UID of a clean file → the run whose row holds
    names: dict[str, set[str]] = {}  # source_id → all that its rows ever named
    disputed: dict[str, set[str]] = {}  # source_id → its rivals, as its newest row has them
    for table in _TABLES:
        rows: dict[str, list[str]] = {}
        for path in sorted((home / table).glob("*.parquet")):
            run_id = _run_of(path)
            if run_id not in finished:
                found.strays.append(str(path.relative_to(home)))
                continue
            for row in pq.read_table(path).to_pylist():
                if table == "audit/instances":
                    rows[row["source_id"]] = [_said(row)]
                    named = {row[name]: run_id for name in _NAMES if row[name]}
                    newest |= named
                    names.setdefault(row["source_id"], set()).update(named)
                    rivals = (row["detail"] or "").split() if row["reason"] == "duplicate_conflict" else []
                    disputed[row["source_id"]] = set(rivals)
                else:
                    # What a run says more of a source holds as long as its row does.
                    known = next(row[name] for name in (*_NAMES, "SOPInstanceUID") if row.get(name))
                    if newest.get(known) == run_id:
                        rows.setdefault(known, []).append(_said(row))
        # A skipped source whose file is disputed keeps its row; after a crash it is read again, and disputed.
        sources = set().union(*({it, *rivals} for it, rivals in disputed.items() if rivals))
        left_out = set().union(*(names.get(it, set()) for it in sources))
        found.rows[table] = {known: sorted(said) for known, said in rows.items() if known not in left_out}
    found.strays += [
        str(path.relative_to(home)) for path in home.rglob("*") if path.name == ".partial" or _is_left(path)
    ]
    return found


def _is_left(path: Path) -> bool:
    return path.parent.name == "tmp"


def _said(row: dict[str, Any]) -> str:
    if str(row.get("reason")).startswith("duplicate"):
        # A skipped source that loses has a row from the ledger alone; after a crash it is read again.
        row = {name: row[name] for name in _OF_A_LOSER}
    # A table of attributes has no column for what does not occur in its run.
    known = {name: value for name, value in row.items() if name not in _TIMES and value is not None}
    return json.dumps(known, sort_keys=True, default=str)  # dates of the typed column


def _run_of(path: Path) -> str:
    return path.name.rsplit("-", 3)[0]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def halves(home: Path) -> Iterator[str]:
    """Yield what is not whole among the files that stand under a final name."""
    for name in _TARGETS:
        for path in (home / name).rglob("*"):
            if ".partial" in path.parts or not path.is_file():
                continue
            try:
                _read_whole(path)
            except Exception as fault:  # noqa: BLE001  whatever cannot be read is what we look for
                yield f"{path.relative_to(home)}: {type(fault).__name__}"


def _read_whole(path: Path) -> None:
    if path.suffix == ".dcm":
        clean = dcmread(path)
        again = io.BytesIO()
        clean.save_as(again, enforce_file_format=True)
        if len(again.getvalue()) != path.stat().st_size:
            raise EOFError
    elif path.suffix == ".parquet":
        pq.read_table(path)
    elif path.suffix == ".json":
        json.loads(path.read_text())
    elif path.suffix == ".png":
        from PIL import Image

        with Image.open(path) as picture:
            picture.load()


def copied(prior: Path, home: Path) -> Path:
    """Return a new home that begins as another one has ended."""
    shutil.rmtree(home, ignore_errors=True)
    if prior.exists():
        shutil.copytree(prior, home)
    return home
