"""An object store that throttles, loses answers, refuses, or is not there."""

import base64
import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import google_crc32c
import pytest
from google.auth.compute_engine import _metadata
from pydicom.dataset import Dataset

from beamstop.dicom.files import Encoded
from beamstop.errors import Failed
from beamstop_transforms.instance import Instance, Source
from beamstop_transforms.ledger.target import Target
from beamstop_transforms.placing import Placing
from beamstop_transforms.read import read_source
from beamstop_transforms.stores import (
    StoreError,
    check_remote,
    gcs,
    list_letters,
    list_level,
    list_remote,
    open_store,
)


class Bucket(ThreadingHTTPServer):
    """One bucket that holds objects, and answers with the statuses of `trouble` first."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, dict[str, Any]] = {}
        self.trouble: list[int] = []
        self.lose_answer = False
        self.announced: dict[str, Any] = {}
        self.granted: list[str] = []
        self.requests = 0


class _Handler(BaseHTTPRequestHandler):
    server: Bucket

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path.endswith("/b/b"):  # the client asks in the background where the bucket is
            self._answer(404, {})
            return
        if self._troubled():
            return
        if parts.path.endswith("/iam/testPermissions"):
            self._answer(200, {"permissions": self.server.granted})
        elif parts.path.endswith("/o"):
            self._answer(200, {"items": list(self.server.objects.values())})
        else:
            found = self.server.objects.get(unquote(parts.path.rpartition("/")[2]))
            self._answer(*((200, found) if found else (404, {})))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self._troubled():
            return
        asked = parse_qs(urlsplit(self.path).query)
        if asked["uploadType"] == ["resumable"]:  # the content comes later, with the address that we give
            named = json.loads(body)
            if asked["ifGenerationMatch"] == ["0"] and named["name"] in self.server.objects:
                self._answer(412, {})
                return
            self.server.announced = named
            self._answer(200, {}, {"Location": f"http://127.0.0.1:{self.server.server_port}/later"})
            return
        boundary = self.headers["Content-Type"].partition("boundary=")[2].strip("\"'").encode()
        about, content = (part.partition(b"\r\n\r\n")[2][:-2] for part in body.split(b"--" + boundary)[1:3])
        named = json.loads(about)
        if asked["ifGenerationMatch"] == ["0"] and named["name"] in self.server.objects:
            self._answer(412, {})
            return
        self._keep(named, content)

    def do_DELETE(self) -> None:
        if not self._troubled():
            self.server.objects.pop(unquote(urlsplit(self.path).path.rpartition("/")[2]), None)
            self._answer(204, {})

    def do_PUT(self) -> None:
        self._keep(self.server.announced, self.rfile.read(int(self.headers["Content-Length"])))

    def _keep(self, named: dict[str, Any], content: bytes) -> None:
        crc32c = base64.b64encode(google_crc32c.Checksum(content).digest()).decode()
        known = {**named, "generation": "7", "size": str(len(content)), "crc32c": crc32c}
        self.server.objects[named["name"]] = known
        if self.server.lose_answer:
            self.server.lose_answer = False
            self._answer(503, {})
        else:
            self._answer(200, known)

    def _troubled(self) -> bool:
        self.server.requests += 1
        if self.server.trouble:
            self._answer(self.server.trouble.pop(0), {})
            return True
        return False

    def _answer(
        self, status: int, document: dict[str, Any], headers: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    server = Bucket()
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "test")
    retry = gcs._retry()
    monkeypatch.setattr(gcs, "_retry", lambda: retry.with_delay(initial=0.01, maximum=0.02, multiplier=1))
    gcs._client.cache_clear()
    yield server
    gcs._client.cache_clear()
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_store_that_throttles_or_fails_is_asked_again(bucket: Bucket, status: int) -> None:
    bucket.trouble = [status, status]
    assert open_store("gs://b").write("a.dcm", b"data", None)
    assert bucket.requests == 3
    bucket.trouble = [status, status]
    assert open_store("gs://b").find("a.dcm") is not None
    assert [path for path, _, _ in list_remote("gs://b/")] == ["gs://b/a.dcm"]


@pytest.mark.parametrize(
    ("status", "said"),
    [
        # The test's credentials are anonymous, and cannot be renewed.
        (401, f"the credentials are no longer valid (InvalidOperation); {gcs._SIGN_IN}"),
        (403, "no longer permitted; grant it to these credentials"),
    ],
)
@pytest.mark.parametrize(
    "use",
    [
        lambda: open_store("gs://b").find("a.dcm"),
        lambda: open_store("gs://b").read("a.dcm"),
        lambda: open_store("gs://b").write("a.dcm", b"data", None),
        lambda: list(open_store("gs://b").names("")),
        lambda: open_store("gs://b").folders(""),
        lambda: list(list_remote("gs://b/")),
        lambda: list(list_level("gs://b/")),
        lambda: list(list_letters("gs://b/")),
    ],
)
def test_what_is_refused_is_not_asked_again_and_breaks_the_run(
    bucket: Bucket, use: Callable[[], object], status: int, said: str
) -> None:
    bucket.trouble = [status]
    with pytest.raises(StoreError) as refusal:
        use()
    assert str(refusal.value) == f"gs://b: {said}"
    assert bucket.requests == 1


def test_a_bucket_that_went_away_breaks_the_run(bucket: Bucket) -> None:
    bucket.trouble = [404]
    with pytest.raises(StoreError, match="gs://b: no such bucket"):
        open_store("gs://b").write("a.dcm", b"data", None)


@pytest.mark.parametrize(("status", "detail"), [(403, "PermissionError"), (404, "FileNotFoundError")])
def test_one_source_that_cannot_be_had_is_its_own_trouble(bucket: Bucket, status: int, detail: str) -> None:
    bucket.trouble = [status]
    with pytest.raises(Failed) as failure:
        read_source(Source("gs://b/a.dcm", 4, "7"), 100)
    assert (failure.value.reason, failure.value.detail) == ("source_unreadable", detail)


def test_credentials_that_are_not_known_any_more_are_no_trouble_of_one_source(bucket: Bucket) -> None:
    bucket.trouble = [401]
    with pytest.raises(StoreError, match="the credentials are no longer valid"):
        read_source(Source("gs://b/a.dcm", 4, "7"), 100)


def test_an_upload_whose_answer_was_lost_counts_as_written(bucket: Bucket) -> None:
    bucket.lose_answer = True
    assert open_store("gs://b").write("a.dcm", b"data", None)
    assert not open_store("gs://b").write("a.dcm", b"other", None)


def test_a_large_object_is_created_once_as_a_small_one_is(bucket: Bucket) -> None:
    large = bytes(9 << 20)  # more than the client sends in one request
    assert open_store("gs://b").write("a.dcm", large, None)
    assert open_store("gs://b").write("a.dcm", large, None)
    assert not open_store("gs://b").write("a.dcm", large + b"1", None)


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        ([404], "gs://b: no such bucket; make it, or check the name"),
        ([403], "gs://b: not permitted: storage.objects.list; grant it to these credentials"),
        ([], "gs://b: not permitted: storage.objects.create; grant it to these credentials"),
    ],
)
def test_what_cannot_be_used_is_said_before_anything_is_read(
    bucket: Bucket, trouble: list[int], said: str
) -> None:
    bucket.trouble, bucket.granted = trouble, ["storage.objects.get"]
    with pytest.raises(StoreError) as refusal:
        check_remote(["local"], ["gs://b/out"])
    assert str(refusal.value) == said


def test_an_instance_is_placed_with_one_request(bucket: Bucket, tmp_path: Any, key_file: Path) -> None:
    """Reading its source is another; each process marks its run once, and asks for the mark per bundle."""
    dataset = Dataset()
    placing = Placing(Target("gs://b/out", str(tmp_path), str(key_file), "r1"))
    for number in range(3):
        dataset.PatientID, dataset.SOPInstanceUID = "P", f"1.2.{number}"
        placing.place(Instance(Source("s", 1, ""), "s", "d", dataset, encoded=Encoded(b"x", b"x")))
    assert bucket.requests == 1 + 3
    placing.end_bundle()
    assert bucket.requests == 1 + 3 + 1
    assert sorted(bucket.objects) == [
        "out/.partial/r1/open/run",
        *(f"out/P/NONE/NONE/1.2.{number}.dcm" for number in range(3)),
    ]


def test_what_is_granted_passes(bucket: Bucket) -> None:
    bucket.granted = ["storage.objects.create", "storage.objects.get"]
    assert check_remote(["gs://b/in/**"], ["gs://b/out"]) == frozenset()
    assert bucket.objects == {}


def test_without_credentials_the_remedy_is_said_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    for name in ("STORAGE_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    # A metadata server that takes the connection and never answers, as behind some firewalls.
    silent = socket.create_server(("127.0.0.1", 0))
    monkeypatch.setattr(_metadata, "_GCE_METADATA_HOST", f"127.0.0.1:{silent.getsockname()[1]}")
    monkeypatch.setattr(_metadata, "_GCE_DEFAULT_MDS_IP", f"127.0.0.1:{silent.getsockname()[1]}")
    monkeypatch.setenv("GCE_METADATA_IP", f"127.0.0.1:{silent.getsockname()[1]}")
    started = time.monotonic()
    with pytest.raises(StoreError, match="gcloud auth application-default login"):
        check_remote(["gs://b/in/**"], [])
    assert time.monotonic() - started < 10
    silent.close()
