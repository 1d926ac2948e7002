"""A `gs://` prefix as a store, and functions to read and list buckets; one client per process."""

import base64
import hashlib
import io
import os
import sys
import threading
import uuid
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import datetime
from functools import cache, partial
from typing import Any

from beamstop_transforms.stores.base import ABOUT, PARTIAL, STAYS, Found, KeptError, StoreError


class GcsStore:
    """A prefix in a bucket. Uploads are atomic there, so that no temporary objects are needed."""

    def __init__(self, root: str) -> None:
        bucket, _, prefix = root.removeprefix("gs://").partition("/")
        self._prefix = prefix.rstrip("/") + "/" if prefix else ""
        self._bucket = _client().bucket(bucket)
        self._usable = partial(_usable, bucket)

    def find(self, name: str) -> Found | None:
        """See `Store`; the digest is in the object's metadata, so that nothing is downloaded."""
        with self._usable():
            blob = self._bucket.get_blob(self._prefix + name, retry=_retry())
            if blob is None:
                return None
            kept = blob.metadata or {}
            known = kept.get("sha256")
            if known is None:
                known = hashlib.sha256(blob.download_as_bytes(retry=_retry())).hexdigest()
            return Found(blob.generation, known, kept.get(ABOUT, ""))

    def read(self, name: str) -> tuple[object, bytes] | None:
        """See `Store`."""
        with self._usable():
            blob = self._bucket.get_blob(self._prefix + name, retry=_retry())
            if blob is None:
                return None
            data = blob.download_as_bytes(if_generation_match=blob.generation, retry=_retry())
            return blob.generation, data

    def write(
        self, name: str, data: bytes, version: object | None, durable: bool = True, about: str = ""
    ) -> bool:
        """See `Store`; every write is durable.

        An upload whose response was lost is sent again and then finds its own object: that counts as written.
        """
        from google.api_core.exceptions import NotFound, PreconditionFailed

        blob = self._bucket.blob(self._prefix + name)
        sha256 = hashlib.sha256(data).hexdigest()
        kept = {"sha256": sha256} | ({ABOUT: about} if about else {})
        blob.metadata = kept
        with self._usable():
            try:
                blob.upload_from_string(
                    data,
                    "application/octet-stream",
                    if_generation_match=version or 0,
                    checksum="crc32c",
                    retry=_retry(),
                )
            except NotFound:
                raise _no_bucket(self._bucket.name) from None
            except PreconditionFailed:
                there = self._bucket.get_blob(self._prefix + name, retry=_retry())
                is_there = there is not None and there.crc32c == _crc32c(data)
                return is_there and all((there.metadata or {}).get(it) == kept.get(it) for it in _KEPT)
        return True

    def keep(self, name: str, under: str) -> None:
        """See `Store`; Cloud Storage copies the object, nothing is downloaded."""
        with self._usable():
            blob = self._bucket.blob(self._prefix + name)
            self._bucket.copy_blob(blob, self._bucket, self._prefix + under, retry=_retry())

    def together(self, contents: Sequence[bytes]) -> AbstractContextManager[None]:
        """See `Store`; every upload is durable on its own."""
        return nullcontext()

    def remove(self, name: str) -> None:
        """See `Store`."""
        from google.api_core.exceptions import Forbidden, NotFound

        with self._usable(), suppress(NotFound):
            try:
                self._bucket.blob(self._prefix + name).delete(retry=_retry())
            except Forbidden:  # also raised for retention and holds
                raise KeptError(f"gs://{self._bucket.name}: {STAYS}") from None

    def names(self, folder: str, since: datetime | None = None) -> Iterator[str]:
        """See `Store`."""
        prefix = f"{self._prefix}{folder}/" if folder else self._prefix
        with self._usable():
            for blob in self._bucket.list_blobs(prefix=prefix, fields=_LISTED, retry=_retry()):
                if since is None or blob.updated >= since:
                    yield blob.name.removeprefix(self._prefix)

    def folders(self, folder: str) -> list[str]:
        """See `Store`."""
        prefix = f"{self._prefix}{folder}/" if folder else self._prefix
        listing = self._bucket.list_blobs(prefix=prefix, delimiter="/", fields=_LISTED, retry=_retry())
        with self._usable():
            for _ in listing:
                continue  # the prefixes are complete when all pages have been read
        return sorted(longer.removeprefix(prefix).rstrip("/") for longer in listing.prefixes)

    def clear(self, folder: str) -> None:
        """See `Store`."""
        with ThreadPoolExecutor(_AT_ONCE) as pool, suppress(KeptError):
            for _ in pool.map(self.remove, self.names(folder)):
                continue


_KEPT = ("sha256", ABOUT)
_LISTED = "items(name,size,generation,updated),prefixes,nextPageToken"
_AT_ONCE = 8  # objects that are removed at the same time: the client keeps ten connections
_LONGEST_RETRY = 300.0  # seconds: throttling and outages end within minutes or not at all


@cache
def _retry() -> Any:
    """Return the policy for 408, 429, 5xx and broken connections: retry after 0.5 s, 1 s, … 32 s."""
    from google.cloud.storage.retry import DEFAULT_RETRY

    return DEFAULT_RETRY.with_delay(initial=0.5, maximum=32, multiplier=2).with_timeout(_LONGEST_RETRY)


def _crc32c(data: bytes) -> str:
    import google_crc32c

    return base64.b64encode(google_crc32c.Checksum(data).digest()).decode()


@cache
def _client() -> Any:
    """Return this process's client; a client per object would open a new connection each time."""
    from google.cloud.storage import Client
    from requests.adapters import HTTPAdapter

    client = Client()
    for scheme in ("https://", "http://"):
        client._http.mount(scheme, HTTPAdapter(pool_connections=_CONNECTIONS, pool_maxsize=_CONNECTIONS))
    return client


_CONNECTIONS = 32  # that stay open: sources are read ahead while clean files are written


def read_object(path: str) -> bytes:
    """Return the bytes of one object.

    Raises:
        OSError: it cannot be read.
        StoreError: the credentials are no longer valid.
    """
    with _as_os_error(path) as blob:
        data: bytes = blob.download_as_bytes(retry=_retry())
    return data


@contextmanager
def _as_os_error(path: str) -> Iterator[Any]:
    """Yield an object; errors of this object alone are raised as OSError."""
    from google.api_core.exceptions import Forbidden, GoogleAPIError, NotFound

    bucket, _, name = path.removeprefix("gs://").partition("/")
    try:
        with _signed_in(bucket):
            yield _client().bucket(bucket).blob(name)
    except NotFound:
        raise FileNotFoundError from None
    except Forbidden:
        raise PermissionError from None
    except GoogleAPIError as error:
        raise OSError(type(error).__name__) from None


def read_range(path: str, start: int, length: int) -> bytes:
    """Return a range of bytes of an object; fewer if it ends before. Raises as `read_object` does."""
    from google.api_core.exceptions import RequestRangeNotSatisfiable

    with _as_os_error(path) as blob:
        try:
            data: bytes = blob.download_as_bytes(start=start, end=start + length - 1, retry=_retry())
        except RequestRangeNotSatisfiable:
            return b""
    return data


@contextmanager
def open_object(path: str) -> Iterator[Any]:
    """Open an object to read parts of it; a small one is read as a whole, in one request."""
    bucket, _, name = path.removeprefix("gs://").partition("/")
    blob = _client().bucket(bucket).blob(name)
    with _usable(bucket):
        beginning = _beginning(blob)
        if len(beginning) < _SMALL:
            yield io.BytesIO(beginning)
            return
        with blob.open("rb", chunk_size=_PART, retry=_retry()) as reader:
            yield reader


def _beginning(blob: Any) -> bytes:
    from google.api_core.exceptions import RequestRangeNotSatisfiable

    try:
        beginning: bytes = blob.download_as_bytes(start=0, end=_SMALL - 1, retry=_retry())
    except RequestRangeNotSatisfiable:  # the object is empty
        return b""
    return beginning


_SMALL = 4 << 20  # bytes: most Parquet files of a night's run are no larger
_PART = 1 << 20


def list_objects(address: str) -> Iterator[tuple[str, int, str]]:
    """Yield path, size and generation of the objects under a `gs://` prefix, page by page."""
    bucket, _, prefix = address.removeprefix("gs://").partition("/")
    with _usable(bucket):
        for blob in _client().list_blobs(bucket, prefix=prefix, fields=_LISTED, retry=_retry()):
            yield f"gs://{bucket}/{blob.name}", blob.size, str(blob.generation)


def object_itself(path: str) -> tuple[str, int, str] | None:
    """Return path, size and generation of one object; None if it does not exist."""
    bucket, _, name = path.removeprefix("gs://").partition("/")
    with _usable(bucket):
        blob = _client().bucket(bucket).get_blob(name, retry=_retry()) if name else None
    return None if blob is None else (path, blob.size, str(blob.generation))


def list_level(address: str) -> Iterator[tuple[str, int, str] | str]:
    """Yield the objects under a `gs://` prefix up to the next `/`, and the longer prefixes that end there."""
    bucket, _, prefix = address.removeprefix("gs://").partition("/")
    listing = _client().list_blobs(bucket, prefix=prefix, delimiter="/", fields=_LISTED, retry=_retry())
    with _usable(bucket):
        for page in listing.pages:
            for blob in page:
                yield f"gs://{bucket}/{blob.name}", blob.size, str(blob.generation)
            for longer in page.prefixes:
                yield f"gs://{bucket}/{longer}"


def list_letters(address: str) -> Iterator[tuple[str, int, str] | str]:
    """Yield the objects under a `gs://` prefix if they fit one page, otherwise longer prefixes.

    The prefixes are one letter longer, or longer if all names share more letters; each takes a request.
    """
    bucket, _, prefix = address.removeprefix("gs://").partition("/")
    listing = _client().list_blobs(bucket, prefix=prefix, fields=_LISTED, retry=_retry())
    with _usable(bucket):
        blobs, longer = list(next(listing.pages, ())), []
        if listing.next_page_token is not None:
            blobs, longer = [], [prefix]
        while len(longer) == 1:
            found = list(_one_letter(bucket, longer[0]))
            longer = [it for it in found if isinstance(it, str)]
            blobs += [it for it in found if not isinstance(it, str)]
    for blob in blobs:
        yield f"gs://{bucket}/{blob.name}", blob.size, str(blob.generation)
    for prefix in longer:
        yield f"gs://{bucket}/{prefix}"


def _one_letter(bucket: str, prefix: str) -> Iterator[Any]:
    """Yield the object whose name is the prefix, if there is one, and the prefixes one letter longer."""
    start: str | None = prefix
    while start is not None:
        two = _client().list_blobs(
            bucket, prefix=prefix, start_offset=start, max_results=2, fields=_LISTED, retry=_retry()
        )
        blobs = list(two)
        if blobs and blobs[0].name == prefix:
            yield blobs.pop(0)
        if not blobs:
            return
        letter = blobs[0].name[len(prefix)]
        yield prefix + letter
        start = _after(prefix, letter)


def _after(prefix: str, letter: str) -> str | None:
    """Return the smallest name greater than all names with this prefix; names sort by code point."""
    if ord(letter) == sys.maxunicode:
        return None
    return prefix + chr(0xE000 if letter == "\ud7ff" else ord(letter) + 1)


@contextmanager
def _signed_in(bucket: str) -> Iterator[None]:
    """Raise StoreError if credentials have expired: every other object would fail as well."""
    from google.api_core.exceptions import Unauthorized
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except (GoogleAuthError, Unauthorized) as error:
        name = type(error).__name__
        raise StoreError(f"gs://{bucket}: the credentials are no longer valid ({name}); {_SIGN_IN}") from None


@contextmanager
def _usable(bucket: str) -> Iterator[None]:
    """Raise StoreError if the whole bucket, or the credentials, cannot be used, not one object alone."""
    from google.api_core.exceptions import Forbidden, RetryError, ServerError, TooManyRequests
    from requests.exceptions import RequestException

    try:
        with _signed_in(bucket):
            yield
    except Forbidden:
        raise StoreError(f"gs://{bucket}: no longer permitted; grant it to these credentials") from None
    except (RequestException, RetryError, ServerError, TooManyRequests) as error:
        raise StoreError(f"gs://{bucket}: {type(error).__name__}; is the store reachable?") from None


def check_buckets(inputs: Iterable[str], targets: Iterable[str]) -> set[str]:
    """Check that there are credentials, and that the buckets exist and may be used.

    Args:
        inputs: addresses to read from.
        targets: addresses to write to and read back.

    Returns:
        the buckets of targets in which objects cannot be removed.

    Raises:
        StoreError: a bucket may not be used; the message says the remedy.
    """
    targets = list(targets)
    written = _buckets(targets)
    needs = {bucket: ["storage.objects.get"] for bucket in [*_buckets(inputs), *written]}
    for bucket in written:
        needs[bucket] += ["storage.objects.create"]
    if needs and "STORAGE_EMULATOR_HOST" not in os.environ:
        check_credentials()
    for bucket, permissions in needs.items():
        _check_bucket(bucket, permissions)
    probed = {it.removeprefix("gs://").partition("/")[0]: it for it in reversed(targets)}
    return {f"gs://{bucket}" for bucket, target in probed.items() if _has_to_stay(GcsStore(target))}


def _has_to_stay(store: GcsStore) -> bool:
    """Write a small object; return whether it cannot be removed: permissions alone do not tell."""
    name = f"{PARTIAL}/conditions/{uuid.uuid4().hex}"  # a run that tidies up removes leftovers
    store.write(name, b"1", None)
    try:
        store.remove(name)
    except KeptError:
        return True
    return False


def _buckets(addresses: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(it.removeprefix("gs://").partition("/")[0] for it in addresses))


def check_credentials() -> None:
    """Look for Google's credentials for two seconds; outside of Google Cloud the search takes half a minute.

    Raises:
        StoreError: there are none.
    """
    found: list[Any] = []
    search = threading.Thread(target=_search_credentials, args=(found,), daemon=True)
    search.start()
    search.join(_CREDENTIALS_WITHIN)
    if not found:
        raise StoreError(f"Google needs credentials and there are none: {_SIGN_IN}")


_SIGN_IN = "run gcloud auth application-default login, or set GOOGLE_APPLICATION_CREDENTIALS"
_CREDENTIALS_WITHIN = 2.0  # seconds


def _search_credentials(found: list[Any]) -> None:
    import google.auth
    from google.auth.exceptions import GoogleAuthError

    try:
        found.append(google.auth.default())
    except GoogleAuthError:
        return


def _check_bucket(bucket: str, permissions: list[str]) -> None:
    from google.api_core.exceptions import Forbidden, GoogleAPICallError, NotFound, Unauthorized
    from google.auth.exceptions import GoogleAuthError

    retry = _retry().with_timeout(_CHECK_WITHIN)
    try:
        next(iter(_client().list_blobs(bucket, max_results=1, retry=retry)), None)
    except NotFound:
        raise _no_bucket(bucket) from None
    except (Forbidden, Unauthorized):
        raise _denied(bucket, ["storage.objects.list"]) from None
    except (GoogleAPICallError, GoogleAuthError, OSError) as error:
        raise StoreError(f"gs://{bucket}: {type(error).__name__}; is the store reachable?") from None
    try:
        granted = _client().bucket(bucket).test_iam_permissions(permissions, retry=retry)
    except GoogleAPICallError:
        return  # a server that cannot test permissions: a denied request fails when it is made
    if missing := sorted(set(permissions) - set(granted)):
        raise _denied(bucket, missing)


_CHECK_WITHIN = 15.0  # seconds


def _no_bucket(bucket: str) -> StoreError:
    return StoreError(f"gs://{bucket}: no such bucket; make it, or check the name")


def _denied(bucket: str, permissions: list[str]) -> StoreError:
    return StoreError(
        f"gs://{bucket}: not permitted: {', '.join(permissions)}; grant it to these credentials"
    )
