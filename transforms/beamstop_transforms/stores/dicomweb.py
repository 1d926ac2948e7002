"""An imaging server as OUTPUT, over DICOMweb (PS3.18); `dicomweb_input` reads from one."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from email.message import Message
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from beamstop.errors import Failed
from beamstop_transforms.stores.base import Found, StoreError
from beamstop_transforms.stores.gcs import check_credentials

SCHEME = "dicomweb:"
_GOOGLE = "healthcare.googleapis.com"
WITHIN = (10.0, 300.0)  # seconds to connect, to wait for a response
_CHECK_WITHIN = (3.0, 15.0)
INSTANCE = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
JSON = {"Accept": "application/dicom+json"}
_FAILED, _REASON = "00081198", "00081197"  # Failed SOP Sequence, Failure Reason
_STORED, _WARNING = "00081199", "00081196"  # Referenced SOP Sequence, Warning Reason
STILL = {401: "not authenticated", 403: "not permitted"}


class DicomwebStore:
    """The instances of an imaging server; a name is `studies/…/series/…/instances/…`.

    It must return instances byte for byte as they were sent. It has no claims, and nothing can be removed.
    """

    def __init__(self, target: str) -> None:
        self._url = address(target)

    def find(self, name: str) -> Found | None:
        """See `Store`."""
        found = self.read(name)
        if found is None:
            return None
        sha256 = hashlib.sha256(found[1]).hexdigest()
        return Found(sha256, sha256)

    def read(self, name: str) -> tuple[object, bytes] | None:
        """See `Store`; by WADO-RS, in the transfer syntax that the server has.

        Raises:
            Failed: `not_stored`: the server cannot return the instance.
        """
        answer = self._ask("GET", name, headers=INSTANCE)
        if answer.status_code in (404, 410):
            return None
        if answer.status_code != requests.codes.ok:
            raise Failed("not_stored", str(answer.status_code))
        data = _only_part(answer)
        return hashlib.sha256(data).hexdigest(), data

    def write(
        self, name: str, data: bytes, version: object | None, durable: bool = True, about: str = ""
    ) -> bool:
        """See `Store`; by STOW-RS.

        A server may report success and keep its old instance, or report failure for one that it has from an
        earlier try. So unless the name was free and the response is a plain success, the instance is read
        back.

        Raises:
            Failed: `not_stored`; the detail is the server's Failure Reason in hex, its HTTP status, or `kept`
            if
                the server still has another instance there.
        """
        answer = self._ask("POST", "studies", **_message(data))
        if version is not None or not _is_stored(answer):
            found = self.find(name)
            if found is None or found.sha256 != hashlib.sha256(data).hexdigest():
                raise Failed("not_stored", _why_not(answer))
        return True

    def keep(self, name: str, under: str) -> None:
        """Refuse: an imaging server has no place for copies."""
        raise StoreError("DICOMweb cannot copy instances")

    def together(self, contents: Sequence[bytes]) -> AbstractContextManager[None]:
        """See `Store`; every instance is sent on its own."""
        return nullcontext()

    def remove(self, name: str) -> None:
        """Refuse: DICOMweb has no such request."""
        raise StoreError("DICOMweb cannot remove instances: use the server's own means")

    def names(self, folder: str, since: datetime | None = None) -> Iterator[str]:
        """Yield nothing: the server's other instances are not beamstop's."""
        yield from ()

    def folders(self, folder: str) -> list[str]:
        """Return nothing: there are no folders."""
        return []

    def clear(self, folder: str) -> None:
        """Do nothing: there are no folders."""

    def _ask(self, method: str, name: str, **request: Any) -> requests.Response:
        try:
            answer = session_of(urlsplit(self._url).hostname or "").request(
                method, f"{self._url}/{name}", timeout=WITHIN, **request
            )
        except requests.RequestException as error:
            raise StoreError(f"{self._url}: {type(error).__name__}") from None
        if answer.status_code in STILL:
            raise StoreError(f"{self._url}: {STILL[answer.status_code]}")
        return answer


def address(target: str) -> str:
    """Return the URL of a `dicomweb:` target.

    Raises:
        StoreError: it is no usable URL.
    """
    url = target.removeprefix(SCHEME).rstrip("/")
    try:
        parts = urlsplit(url)
        is_service = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # brackets that do not close, or a port that is no number
        is_service = False
    if not is_service or parts.query or parts.fragment:
        raise StoreError("dicomweb: needs the URL of a service, such as dicomweb:https://host/dicom-web")
    if parts.username or parts.password:
        raise StoreError("dicomweb: takes no password in the URL, where others see it: put it into ~/.netrc")
    return url


def check_dicomweb(target: str) -> None:
    """Check, with a search, that the service is there and accepts the credentials.

    Raises:
        StoreError: it is not, or does not; the message says the remedy.
    """
    url = address(target.partition("?")[0])
    if urlsplit(url).hostname == _GOOGLE:
        check_credentials()
    try:
        with _new_session(urlsplit(url).hostname or "") as session:
            answer = session.get(f"{url}/studies?limit=1", headers=JSON, timeout=_CHECK_WITHIN)
    except requests.RequestException as error:
        raise StoreError(f"{url}: {type(error).__name__}; is the server reachable?") from None
    if answer.status_code in STILL:
        raise StoreError(f"{url}: {STILL[answer.status_code]}; {_remedy(url)}")
    if not answer.ok:
        raise StoreError(f"{url}: no DICOMweb service answers there ({answer.status_code}); check the URL")


def _remedy(url: str) -> str:
    host = urlsplit(url).hostname
    if host == _GOOGLE:
        return "grant these credentials roles/healthcare.dicomEditor"
    return f"put user and password for {host} into ~/.netrc, readable by you alone"


@cache
def session_of(host: str) -> requests.Session:
    """Return this process's session with a server.

    A request that ends in 408, 429 or 5xx, or has no response, is sent again after 0.5 s, 1 s, … 32 s:
    storing the same bytes under the same UID twice does no harm.
    """
    session = _new_session(host)
    again = Retry(
        total=9,
        backoff_factor=0.5,
        backoff_max=32,
        status_forcelist=(408, 429, 500, 502, 503, 504),
        allowed_methods=None,
        raise_on_status=False,
    )
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=again))
    return session


def _new_session(host: str) -> requests.Session:
    if host != _GOOGLE:
        return requests.Session()  # uses ~/.netrc
    import google.auth
    from google.auth.transport.requests import AuthorizedSession

    credentials, _ = google.auth.default(["https://www.googleapis.com/auth/cloud-healthcare"])
    session: requests.Session = AuthorizedSession(credentials)
    return session


def _message(data: bytes) -> dict[str, Any]:
    """Return headers and body that send one instance (PS3.18 10.5)."""
    boundary = hashlib.sha256(data).hexdigest()  # data that contain their own digest are not known
    head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    kind = f'multipart/related; type="application/dicom"; boundary={boundary}'
    body = b"".join([head, data, f"\r\n--{boundary}--\r\n".encode()])
    return {"headers": {**JSON, "Content-Type": kind}, "data": body}


def _only_part(answer: requests.Response) -> bytes:
    kind = Message()
    kind["Content-Type"] = answer.headers.get("Content-Type", "")
    return content_of(kind, answer.content)


def content_of(kind: Message, content: bytes) -> bytes:
    """Return the one part of a multipart message; any other message unchanged."""
    boundary = kind.get_param("boundary")
    if boundary is None:
        return content
    part = content.partition(b"\r\n\r\n")[2]
    return part.rpartition(f"\r\n--{boundary}--".encode())[0]


def _is_stored(answer: requests.Response) -> bool:
    """Return whether the response is a plain success."""
    stored = _items(answer, _STORED)
    return answer.ok and bool(stored) and not _items(answer, _FAILED) and _WARNING not in stored[0]


def _why_not(answer: requests.Response) -> str:
    for item in _items(answer, _FAILED):
        for reason in item.get(_REASON, {}).get("Value", []):
            return f"{reason:04X}"
    return "kept" if answer.ok else str(answer.status_code)


def _items(answer: requests.Response, sequence: str) -> list[dict[str, Any]]:
    try:
        document = answer.json()
    except requests.JSONDecodeError:
        return []
    found = document.get(sequence) if isinstance(document, dict) else None
    return list(found.get("Value") or []) if isinstance(found, dict) else []
