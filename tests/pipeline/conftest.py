"""Runs of the whole job, what they left, and an object store to run on."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud.storage import Client
from tests import buckets
from tests.buckets import serving

from beamstop_pipeline.cli import main


@dataclass(frozen=True)
class Ran:
    """What one run left."""

    code: int
    output: Path
    audit: Path
    record: dict[str, Any]

    def table(self, name: str) -> list[dict[str, Any]]:
        """Return the rows that this run wrote to a table of the audit."""
        files = sorted((self.audit / name).glob(f"{self.record['run_id']}-*.parquet"))
        return [row for file in files for row in pq.read_table(file).to_pylist()]

    @property
    def outcomes(self) -> Counter[tuple[str, str | None]]:
        """How many sources ended in which outcome, for which reason."""
        return Counter((row["outcome"], row["reason"]) for row in self.table("instances"))

    @property
    def tree(self) -> dict[str, str]:
        """Path → SHA-256 of every file below OUTPUT, hidden ones included."""
        files = [path for path in self.output.rglob("*") if path.is_file()]
        return {
            str(path.relative_to(self.output)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in files
        }


Run = Callable[..., Ran]
Serve = Callable[..., bool]


@pytest.fixture
def run(tmp_path: Path, key_file: Path) -> Run:
    """Return a function that runs the job, header only and in this process unless told otherwise."""

    def _run(
        *inputs: Path, to: str = "1", workers: int = 1, recipe: str = "basic", more: tuple[str, ...] = ()
    ) -> Ran:
        output, audit = tmp_path / f"out{to}", tmp_path / f"audit{to}"
        earlier = set((audit / "runs").glob("*.json"))
        places = ["--output", str(output), "--audit", str(audit)]
        settings = ["--key", str(key_file), "--recipe", recipe, "--workers", str(workers), "--quiet"]
        settings.append("--accept-changed-recipe")  # a test that names another one means it
        code = main(["run", "--input", *map(str, inputs), *places, *settings, *more])
        # An earlier run that broke may get one, too.
        record = max(set((audit / "runs").glob("*.json")) - earlier)
        return Ran(code, output, audit, json.loads(record.read_text()))

    return _run


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return a function that starts a program until the test ends and says whether it listens at its port."""
    with ExitStack() as started:

        def _serve(command: Sequence[str], port: int, environment: Mapping[str, str] | None = None) -> bool:
            return started.enter_context(serving(command, port, environment))

        yield _serve


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Return a function that names a port of loopback that nobody uses."""
    return buckets.free_port


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """Return a client of a server of its own that speaks Google's protocol."""
    with buckets.running("gs", tmp_path) as running:
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        buckets.forget_clients()
        yield Client(project="test", credentials=AnonymousCredentials())
        buckets.forget_clients()
