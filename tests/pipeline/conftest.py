"""Runs of the whole job, and what they left."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

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
        code = main(["run", "--input", *map(str, inputs), *places, *settings, *more])
        (record,) = set((audit / "runs").glob("*.json")) - earlier
        return Ran(code, output, audit, json.loads(record.read_text()))

    return _run
