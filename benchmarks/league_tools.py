"""The tools of the league: beamstop and what else is installed; each takes an archive, gives clean files.

From PyPI: dicom-anonymizer, dicognito, deid, dcm-anonymizer, dcmanon (`pip install -e '.[bench]'`), and
gdcmanon, which comes with python-gdcm; from Debian: orthanc.
"""

import hashlib
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from attributes import peers

import beamstop
from beamstop.errors import Refusal

Tool = Callable[[list[bytes]], list[bytes | None]]  # None for what it refuses or breaks on
KEY = hashlib.sha256(b"league").digest()


def tools() -> Iterator[tuple[str, Callable[[], Tool]]]:
    """Yield the name of every tool that is installed, and what makes it ready; say which are not."""
    for name in ("research", "default", "basic"):
        yield f"beamstop {name}", partial(_beamstop, name)
    for name, peer in peers():
        yield name, partial(partial, _each, peer)
    for name, make in (("Orthanc", _orthanc), ("gdcmanon", _gdcmanon)):
        if shutil.which(name) is None:
            print(f"{name} is not installed: left out", file=sys.stderr)
        else:
            yield name, make


def _each(clean: Callable[[bytes], Any], archive: list[bytes]) -> list[bytes | None]:
    """Run a function of one file on each."""
    found: list[bytes | None] = []
    for data in archive:
        try:
            found.append(bytes(clean(data)))
        except Refusal:
            found.append(None)
        except Exception as error:  # noqa: BLE001  somebody else's program, which we only measure
            print(type(error).__name__, file=sys.stderr)
            found.append(None)
    return found


def _beamstop(name: str) -> Tool:
    recipe = beamstop.load_recipe(name)
    return partial(_each, lambda data: beamstop.deidentify_bytes(data, recipe, KEY))


def _gdcmanon() -> Tool:
    """Return gdcmanon, which encrypts what it takes out for a certificate made here."""

    def run(archive: list[bytes]) -> list[bytes | None]:
        with tempfile.TemporaryDirectory() as folder:
            secret, certificate = f"{folder}/key", f"{folder}/certificate"
            request = f"openssl req -x509 -nodes -newkey rsa:2048 -subj /CN=league -keyout {secret} -out"
            subprocess.run([*request.split(), certificate], check=True, capture_output=True)

            def clean(data: bytes) -> bytes:
                source, target = Path(folder, "in.dcm"), Path(folder, "out.dcm")
                source.write_bytes(data)
                target.unlink(missing_ok=True)
                command = ["gdcmanon", "-e", "-c", certificate, source, target]
                subprocess.run(command, check=True, capture_output=True)
                return target.read_bytes()

            return _each(clean, archive)

    return run


def _orthanc() -> Tool:
    """Return Orthanc's anonymisation of whole patients, its default profile; its CPU is not measured."""

    def run(archive: list[bytes]) -> list[bytes | None]:
        with _orthanc_server() as ask:
            ids = [json.loads(ask("/instances", data))["ID"] for data in archive]
            for patient in json.loads(ask("/patients")):
                ask(f"/patients/{patient}/anonymize", b'{"Synchronous": true}')
            made = {}
            for new in set(json.loads(ask("/instances"))) - set(ids):
                made[ask(f"/instances/{new}/metadata/AnonymizedFrom").decode()] = new
            return [ask(f"/instances/{made[old]}/file") if old in made else None for old in ids]

    return run


@contextmanager
def _orthanc_server() -> Iterator[Callable[..., bytes]]:
    """Start a server that only this machine sees; yield what asks it, or posts if there is a body."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        settings = {"HttpPort": port, "DicomServerEnabled": False, "RemoteAccessAllowed": False}
        settings |= {"StorageDirectory": folder, "IndexDirectory": folder, "Plugins": []}
        Path(folder, "orthanc.json").write_text(json.dumps(settings))
        nowhere = subprocess.DEVNULL
        server = subprocess.Popen(["Orthanc", f"{folder}/orthanc.json"], stdout=nowhere, stderr=nowhere)

        def ask(path: str, body: bytes | None = None) -> bytes:
            request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=body)
            with urllib.request.urlopen(request, timeout=60) as answer:
                return bytes(answer.read())

        try:
            for _ in range(100):
                with suppress(OSError):
                    ask("/system")
                    break
                time.sleep(0.1)
            yield ask
        finally:
            server.terminate()
            server.wait()
