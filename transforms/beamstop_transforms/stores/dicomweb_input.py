"""An imaging server as input: QIDO-RS lists instances, WADO-RS reads them (PS3.18 10.6, 10.4)."""

import re
from collections.abc import Iterator, Mapping
from email.message import Message
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit

import requests
from pydicom.uid import RE_VALID_UID

from beamstop.errors import Failed
from beamstop_transforms.stores.base import StoreError
from beamstop_transforms.stores.dicomweb import (
    INSTANCE,
    JSON,
    SCHEME,
    STILL,
    WITHIN,
    address,
    content_of,
    session_of,
)

_STUDY, _SERIES, _SOP = "0020000D", "0020000E", "00080018"
_PAGE = 200  # studies or instances in one answer
_PART = 1 << 20
_PLAIN = re.compile(RE_VALID_UID)
VERSION = "url"  # of every instance: an instance that changed would have another UID, and so another URL


class Search(NamedTuple):
    """The search that an input describes.

    Attributes:
        url: of the service.
        filters: of the search for studies, in QIDO-RS's syntax.
    """

    url: str
    filters: Mapping[str, str]

    @classmethod
    def of(cls, pattern: str) -> "Search":
        """Parse `dicomweb:URL?filters`.

        Raises:
            StoreError: it is no usable address.
        """
        target, _, query = pattern.partition("?")
        filters = parse_qsl(query, keep_blank_values=True)
        if len({name for name, _ in filters}) < len(filters):
            raise StoreError("dicomweb: takes each filter once; separate several UIDs by commas")
        if any(name in ("limit", "offset", "includefield", "fuzzymatching") for name, _ in filters):
            raise StoreError("dicomweb: takes attributes to filter by, such as ?ModalitiesInStudy=CT")
        return cls(address(target), dict(filters))


def studies_of(search: Search) -> Iterator[str]:
    """Yield the URLs of the matching studies, each once.

    Raises:
        StoreError: the search failed.
    """
    for found in _pages(search.url, "studies", search.filters):
        uid = _uid(found, _STUDY)
        if uid is not None:
            yield f"{search.url}/studies/{uid}"


def instances_of(study: str) -> Iterator[str]:
    """Yield the paths of a study's instances, each once, as they are in sources.

    Raises:
        StoreError: the search failed.
    """
    url, _, uid = study.rpartition("/studies/")
    for found in _pages(url, f"studies/{uid}/instances", {}):
        series, instance = _uid(found, _SERIES), _uid(found, _SOP)
        if series is not None and instance is not None:
            yield f"{SCHEME}{study}/series/{series}/instances/{instance}"


def _pages(url: str, what: str, filters: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Yield the results of a search, page by page; a server without paging returns all of them each time."""
    seen = set[tuple[str | None, ...]]()
    offset = 0
    while True:
        asked = urlencode({**filters, "limit": _PAGE, "offset": offset}, safe=",-")
        answer = _ask(url, f"{what}?{asked}", JSON)
        page = [] if answer.status_code == requests.codes.no_content else _listed(url, answer)
        fresh = 0
        for found in page:
            named = tuple(_uid(found, tag) for tag in (_STUDY, _SERIES, _SOP))
            if named not in seen:
                seen.add(named)
                fresh += 1
                yield found
        if not fresh:
            return
        offset += len(page)


def _listed(url: str, answer: requests.Response) -> list[dict[str, Any]]:
    if answer.ok:
        try:
            found = answer.json()
        except requests.JSONDecodeError:
            found = None
        if isinstance(found, list) and all(isinstance(it, dict) for it in found):
            return found
    raise StoreError(f"{url}: the server refused the search ({answer.status_code}); check the filters")


def _uid(found: Mapping[str, Any], tag: str) -> str | None:
    """Return a UID of a result; None if it has none, or none that may be part of a URL."""
    element = found.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    value = values[0] if isinstance(values, list) and values else None
    return value if isinstance(value, str) and _PLAIN.fullmatch(value) else None


def read_instance(path: str, max_bytes: int) -> bytes:
    """Return the bytes of one instance, in the transfer syntax that the server has.

    Raises:
        OSError: it cannot be read.
        Failed: `too_large`: there are more bytes than allowed; the rest is not fetched.
        StoreError: the server does not respond, or rejects the credentials.
    """
    url, _, name = path.removeprefix(SCHEME).partition("/studies/")
    with _ask(url, f"studies/{name}", INSTANCE, stream=True) as answer:
        if answer.status_code in (404, 410):
            raise FileNotFoundError
        if answer.status_code != requests.codes.ok:
            raise OSError(str(answer.status_code))
        parts, size = [], 0
        try:
            for part in answer.iter_content(_PART):
                size += len(part)
                if size > max_bytes + _ENVELOPE:
                    raise Failed("too_large")
                parts.append(part)
        except requests.RequestException as error:
            raise OSError(type(error).__name__) from None
        kind = Message()
        kind["Content-Type"] = answer.headers.get("Content-Type", "")
    data = content_of(kind, b"".join(parts))
    if len(data) > max_bytes:
        raise Failed("too_large")
    return data


_ENVELOPE = 1 << 16  # bytes allowed for a multipart message around its one part


def _ask(url: str, what: str, headers: Mapping[str, str], stream: bool = False) -> requests.Response:
    session = session_of(urlsplit(url).hostname or "")
    try:
        answer = session.get(f"{url}/{what}", headers=headers, timeout=WITHIN, stream=stream)
    except requests.RequestException as error:
        raise StoreError(f"{url}: {type(error).__name__}") from None
    if answer.status_code in STILL:
        raise StoreError(f"{url}: {STILL[answer.status_code]}")
    return answer


def with_since(pattern: str, since: str) -> str:
    """Return the input with a filter for studies of this day and later.

    Raises:
        StoreError: it has a filter by StudyDate already.
    """
    if any(name.lower() in ("studydate", "00080020") for name in Search.of(pattern).filters):
        raise StoreError("--since: the input has StudyDate already; leave one of them out")
    return f"{pattern}{'&' if '?' in pattern else '?'}StudyDate={since.replace('-', '')}-"


def server_of(target: str) -> str:
    """Return the name of a server: host and port; for Google's service, the DICOM store.

    >>> server_of("dicomweb:https://pacs.example.org:8042/dicom-web/studies/1.2?x=y")
    'pacs.example.org:8042'
    """
    parts = urlsplit(address(target.partition("?")[0]))
    if parts.hostname == "healthcare.googleapis.com":
        return parts.path.partition("/dicomWeb")[0]
    return f"{parts.hostname}:{parts.port or {'http': 80}.get(parts.scheme, 443)}"
