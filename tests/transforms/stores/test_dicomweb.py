"""An imaging server that takes instances, throttles, loses answers, refuses, or says yes and does nothing."""

import json
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from urllib3.util import Retry

from beamstop.errors import Failed
from beamstop_transforms.instance import Source
from beamstop_transforms.read import read_source
from beamstop_transforms.stores import StoreError, dicomweb
from beamstop_transforms.stores.dicomweb import DicomwebStore, address, check_dicomweb
from beamstop_transforms.stores.dicomweb_input import Search, studies_of, with_since

NAME = "studies/1.2/series/1.3/instances/1.4"


class Server(ThreadingHTTPServer):
    """It keeps what it is sent under the name that its sender writes into it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.instances: dict[str, bytes] = {}
        self.trouble: list[int] = []
        self.reason: int | None = None  # it fails every instance, with this Failure Reason
        self.coerces = False  # it changes what it stores, and warns
        self.lose_answer = False
        self.requests = 0
        self.pages: list[list[Any]] = []  # what searches find, one after the other
        self.raw: bytes | None = None
        self.asked: list[str] = []

    @property
    def target(self) -> str:
        return f"dicomweb:http://127.0.0.1:{self.server_port}/dicom-web/"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        if self._troubled():
            return
        found = self.server.instances.get(self.path.removeprefix("/dicom-web/"))
        if self.path.startswith("/dicom-web/studies?"):
            self.server.asked.append(self.path)
            found_now = self.server.pages.pop(0) if self.server.pages else []
            self._answer(200, self.server.raw or json.dumps(found_now).encode())
        elif found is None:
            self._answer(404, b"")
        else:
            part = b"\r\n--b--x\r\nContent-Type: application/dicom\r\n\r\n" + found + b"\r\n--b--x--\r\n"
            self._answer(200, part, 'multipart/related; type="application/dicom"; boundary=b--x')

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self._troubled():
            return
        boundary = re.search("boundary=(.*)", self.headers["Content-Type"])[1].encode()
        data = body.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n--" + boundary + b"--\r\n")
        if self.server.reason is not None:
            failed = [{"00081197": {"vr": "US", "Value": [self.server.reason]}}]
            self._answer(409, json.dumps({"00081198": {"vr": "SQ", "Value": failed}}).encode())
            return
        stored: dict[str, Any] = {"00081155": {"vr": "UI", "Value": ["1.4"]}}
        if self.server.coerces:
            data += b"coerced"
            stored["00081196"] = {"vr": "US", "Value": [0xB000]}
        self.server.instances.setdefault(NAME, data)  # as Orthanc does: what it has it keeps, and says yes
        if self.server.lose_answer:
            self.server.lose_answer = False
            self._answer(503, b"")
        else:
            self._answer(200, json.dumps({"00081199": {"vr": "SQ", "Value": [stored]}}).encode())

    def _troubled(self) -> bool:
        self.server.requests += 1
        if self.server.trouble:
            self._answer(self.server.trouble.pop(0), b"")
            return True
        return False

    def _answer(self, status: int, body: bytes, kind: str = "application/dicom+json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = Server()
    Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    monkeypatch.setattr(Retry, "sleep", lambda *_: None)
    dicomweb.session_of.cache_clear()
    yield server
    dicomweb.session_of.cache_clear()
    server.shutdown()
    server.server_close()


def test_what_is_sent_is_found_byte_for_byte(server: Server) -> None:
    store = DicomwebStore(server.target)
    assert store.find(NAME) is None
    assert store.write(NAME, b"\r\n--data\r\n", None)
    assert store.read(NAME)[1] == b"\r\n--data\r\n"
    assert server.requests == 3


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_server_that_throttles_or_fails_is_asked_again(server: Server, status: int) -> None:
    server.trouble = [status, status]
    assert DicomwebStore(server.target).write(NAME, b"data", None)
    assert server.requests == 3


def test_an_answer_that_was_lost_does_no_harm(server: Server) -> None:
    server.lose_answer = True
    assert DicomwebStore(server.target).write(NAME, b"data", None)
    assert server.instances == {NAME: b"data"}


def test_what_stands_there_from_a_try_before_counts_as_stored(server: Server) -> None:
    server.instances[NAME], server.reason = b"data", 0x0111
    assert DicomwebStore(server.target).write(NAME, b"data", None)


@pytest.mark.parametrize(("reason", "detail"), [(0x0110, "0110"), (0xA700, "A700")])
def test_an_instance_that_the_server_fails_is_not_stored(server: Server, reason: int, detail: str) -> None:
    server.reason = reason
    with pytest.raises(Failed, match=f"not_stored: {detail}"):
        DicomwebStore(server.target).write(NAME, b"data", None)


def test_a_server_that_keeps_what_it_had_and_says_yes_is_found_out(server: Server) -> None:
    store = DicomwebStore(server.target)
    store.write(NAME, b"one", None)
    with pytest.raises(Failed, match="not_stored: kept"):
        store.write(NAME, b"two", store.find(NAME).version)


def test_an_instance_that_the_server_changes_is_not_stored(server: Server) -> None:
    server.coerces = True
    with pytest.raises(Failed, match="not_stored: kept"):
        DicomwebStore(server.target).write(NAME, b"data", None)


def test_trouble_that_stays_fails_the_instance(server: Server) -> None:
    server.trouble = [500] * 100
    with pytest.raises(Failed, match="not_stored: 500"):
        DicomwebStore(server.target).find(NAME)


@pytest.mark.parametrize(("status", "said"), [(401, "not authenticated"), (403, "not permitted")])
def test_a_server_that_lets_nobody_in_breaks_the_run(server: Server, status: int, said: str) -> None:
    server.trouble = [status]
    with pytest.raises(StoreError, match=said):
        DicomwebStore(server.target).find(NAME)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "not authenticated; put user and password for 127.0.0.1 into ~/.netrc"),
        (404, "no DICOMweb service answers there"),
        (503, "no DICOMweb service answers there"),
    ],
)
def test_a_service_that_cannot_be_used_is_said(server: Server, status: int, said: str) -> None:
    server.trouble = [status]
    with pytest.raises(StoreError, match=said):
        check_dicomweb(server.target)
    assert server.requests == 1


def test_a_service_that_answers_can_be_used(server: Server) -> None:
    check_dicomweb(server.target)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("dicomweb:host/dicom-web", "needs the URL of a service"),
        ("dicomweb:ftp://host", "needs the URL of a service"),
        ("dicomweb:http://[::1", "needs the URL of a service"),
        ("dicomweb:http://host:99999", "needs the URL of a service"),
        ("dicomweb:https://host/dicom-web?x=y", "needs the URL of a service"),
        ("dicomweb:https://user:secret@host/dicom-web", "takes no password in the URL"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_and_not_repeated(target: str, said: str) -> None:
    with pytest.raises(StoreError, match=said) as refusal:
        address(target)
    assert "secret" not in str(refusal.value)


def served(server: Server) -> str:
    """Return the address of a server's service, without what tells a store of it."""
    return server.target.removeprefix("dicomweb:").rstrip("/")


@pytest.mark.parametrize(
    ("pages", "found"),
    [
        ([], []),
        ([["1.2", "1.3"], ["1.4"]], ["1.2", "1.3", "1.4"]),
        ([["1.2", "1.3"], ["1.3", "1.4"]], ["1.2", "1.3", "1.4"]),  # one came in between
        ([["1.2", "1.3"], ["1.2", "1.3"]], ["1.2", "1.3"]),  # a server that knows no pages
        ([["1.2", "../../x", "", "1.3"]], ["1.2", "1.3"]),
    ],
)
def test_studies_are_found_page_by_page(server: Server, pages: list[list[str]], found: list[str]) -> None:
    server.pages = [[{"0020000D": {"vr": "UI", "Value": [uid]}} for uid in page] for page in pages]
    search = Search.of(server.target + "?ModalitiesInStudy=CT")
    assert [it.rpartition("/")[2] for it in studies_of(search)] == found
    assert all("ModalitiesInStudy=CT" in it for it in server.asked)


@pytest.mark.parametrize("answer", [b"<html>", b"{}", b"[1]"])
def test_a_search_that_is_not_answered_is_said(server: Server, answer: bytes) -> None:
    server.raw = answer
    with pytest.raises(StoreError, match="the server refused the search"):
        list(studies_of(Search.of(server.target)))


def test_an_instance_is_read_byte_for_byte(server: Server) -> None:
    server.instances[NAME] = b"\r\n--data\r\n" * 100
    path = f"dicomweb:{served(server)}/{NAME}"
    assert read_source(Source(path, 0, "url"), 10_000) == server.instances[NAME]
    with pytest.raises(Failed, match="too_large"):
        read_source(Source(path, 0, "url"), 10)


@pytest.mark.parametrize(
    ("trouble", "detail"), [([404], "FileNotFoundError"), ([500] * 100, "OSError"), ([400], "OSError")]
)
def test_an_instance_that_cannot_be_had_is_its_own_trouble(
    server: Server, trouble: list[int], detail: str
) -> None:
    server.trouble = trouble
    with pytest.raises(Failed, match=f"source_unreadable: {detail}"):
        read_source(Source(f"dicomweb:{served(server)}/{NAME}", 0, "url"), 100)


def test_a_server_that_is_busy_is_asked_again(server: Server) -> None:
    server.instances[NAME] = b"data"
    server.trouble = [429, 503, 503]
    assert read_source(Source(f"dicomweb:{served(server)}/{NAME}", 0, "url"), 100) == b"data"


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("?limit=1", "takes attributes to filter by"),
        ("?StudyInstanceUID=1.2&StudyInstanceUID=1.3", "takes each filter once"),
    ],
)
def test_a_filter_that_cannot_be_used_is_refused(pattern: str, said: str) -> None:
    with pytest.raises(StoreError, match=said):
        Search.of(f"dicomweb:https://host/dicom-web{pattern}")


def test_a_day_is_asked_for_once() -> None:
    assert with_since("dicomweb:https://h/d", "2026-01-31") == "dicomweb:https://h/d?StudyDate=20260131-"
    assert with_since("dicomweb:https://h/d?a=b", "2026-01-31").endswith("?a=b&StudyDate=20260131-")
    with pytest.raises(StoreError, match="has StudyDate already"):
        with_since("dicomweb:https://h/d?StudyDate=20260101", "2026-01-31")
