"""A proxy on loopback between a store and its client: adds delays and faults, and loses responses."""

import http.client
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

_OF_ONE_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive"}


class Between(ThreadingHTTPServer):
    """Forwards requests to a server and its responses back.

    Attributes:
        delay: seconds added to each request.
        line: bytes a second, in each direction, that all bodies share; None for no limit.
        trouble: status and body for the next requests, one each, which do not reach the server.
        lose_answer: whether the server carries out the next request, but the client gets a 503.
        dropped: names of request headers that are not forwarded, in lower case.
        answers: method, or method and a parameter of the query → status and body for all such requests.
        requests: method and path of every request so far.
        named: method and object of every request so far that concerns a single object.
        authorizations: Authorization header of every request so far; empty if it has none.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, url: str, delay: float = 0.0, line: float | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = urlsplit(url)
        self.delay = delay
        self.line = line
        self._up, self._down = threading.Lock(), threading.Lock()
        self.trouble: list[tuple[int, str]] = []
        self.lose_answer = False
        self.dropped: frozenset[str] = frozenset()
        self.answers: dict[str, tuple[int, str]] = {}
        self.requests: list[str] = []
        self.named: list[tuple[str, str]] = []
        self.authorizations: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}{self.upstream.path}"

    def carry(self, size: int, is_up: bool) -> None:
        """Take as long as the line takes for a body, after the bodies before it."""
        if self.line is not None:
            with self._up if is_up else self._down:
                time.sleep(size / self.line)


class _Handler(BaseHTTPRequestHandler):
    server: Between
    protocol_version = "HTTP/1.1"

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        between = self.server
        between.requests.append(f"{self.command} {self.path}")
        between.named += [(self.command, it) for it in self._objects(body)]
        between.authorizations.append(self.headers.get("Authorization", ""))
        time.sleep(between.delay)
        between.carry(len(body), is_up=True)
        always = [it for words, it in between.answers.items() if set(words.split()) <= self._words()]
        if between.trouble or always:
            status, said = always[0] if always else between.trouble.pop(0)
            return self._answer(status, [("Content-Type", "application/xml")], said.encode())
        upstream = http.client.HTTPConnection(between.upstream.hostname or "", between.upstream.port)
        headers = {
            name: value
            for name, value in self.headers.items()
            if name.lower() not in between.dropped | _OF_ONE_HOP
        }
        upstream.request(self.command, self.path, body, {**headers, "Content-Length": str(len(body))})
        answer = upstream.getresponse()
        content = answer.read()
        upstream.close()
        if between.lose_answer:
            between.lose_answer = False
            return self._answer(503, [], b"")
        kept = [it for it in answer.getheaders() if it[0].lower() not in _OF_ONE_HOP]
        length = answer.getheader("Content-Length") if self.command == "HEAD" else None
        return self._answer(answer.status, kept, content, length)

    def _objects(self, body: bytes) -> list[str]:
        """Return the name of the requested object, if any; Google has it after /o/ or in an upload's body."""
        path = urlsplit(self.path).path
        if path.startswith("/upload/"):
            return [it.decode() for it in re.findall(rb'"name": ?"([^"]+)"', body[:2000])[:1]]
        if path.endswith("/o"):
            return []
        inner = path.partition("/o/")[2] or path.removeprefix(self.server.upstream.path)
        return [unquote(inner)]

    def _words(self) -> set[str]:
        """Return the method and the parameters of the query."""
        return {self.command, *urlsplit(self.path).query.replace("delete=", "delete").split("&")}

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass_on  # noqa: N815

    def _answer(
        self, status: int, headers: list[tuple[str, str]], body: bytes, length: str | None = None
    ) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        if status not in (204, 304):
            self.send_header("Content-Length", length or str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.server.carry(len(body), is_up=False)
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""

    def handle_one_request(self) -> None:
        with suppress(ConnectionError):  # the test killed the client
            super().handle_one_request()
            return
        self.close_connection = True


@contextmanager
def between(url: str, delay: float = 0.0, line: float | None = None) -> Iterator[Between]:
    """Run the proxy for the server at a URL; delay in seconds, line in bytes a second."""
    server = Between(url, delay, line)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
