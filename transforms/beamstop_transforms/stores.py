"""Where files are put: a local folder, a `gs://` prefix or an imaging server, behind one small protocol."""

import base64
import errno
import fcntl
import hashlib
import io
import os
import shutil
import sys
import threading
import uuid
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import cache, partial
from io import FileIO
from typing import Any, NamedTuple, Protocol

from beamstop.errors import DeidError

PARTIAL = ".partial"  # the one hidden folder of a target that holds what is not finished


class Found(NamedTuple):
    """What stands under a name.

    Attributes:
        version: changes with every write; what `write` compares with.
        sha256: of the content, in hex.
    """

    version: object
    sha256: str


class Store(Protocol):
    """Whole objects by name; a name is a relative path with `/`."""

    def find(self, name: str) -> Found | None:
        """Say what stands under a name."""

    def read(self, name: str) -> tuple[object, bytes] | None:
        """Return version and content of what stands under a name."""

    def write(self, name: str, data: bytes, version: object | None, durable: bool = True) -> bool:
        """Put data under a name, at once and whole, if it still has this version.

        Args:
            name: where to.
            data: the whole content.
            version: as `find` or `read` returned it; None if nothing may stand there.
            durable: do not return before the data would survive a loss of power.

        Returns:
            False if the name has another version: nothing was done.

        Raises:
            StoreError: nothing can be written there, such as on a full disk.
        """

    def together(self, contents: Sequence[bytes]) -> AbstractContextManager[None]:
        """Make it cheap to write these contents inside; what is written is durable when it ends.

        Raises:
            StoreError: see `write`.
        """

    def remove(self, name: str) -> None:
        """Remove what stands under a name, if anything does."""

    def names(self, folder: str) -> Iterator[str]:
        """Yield the names below a folder; all names for the empty one."""

    def folders(self, folder: str) -> list[str]:
        """Return the names of the folders in a folder, sorted."""

    def clear(self, folder: str) -> None:
        """Remove a folder with all in it."""


def is_remote(target: str) -> bool:
    """Say whether a path is an address in an object store."""
    return target.startswith("gs://")


def is_dicomweb(target: str) -> bool:
    """Say whether a target is an imaging server."""
    return target.startswith("dicomweb:")


def open_store(target: str) -> Store:
    """Return the store of a local folder, `gs://` prefix or `dicomweb:` service."""
    if is_dicomweb(target):
        from beamstop_transforms.dicomweb import DicomwebStore

        return DicomwebStore(target)
    return GcsStore(target) if is_remote(target) else LocalStore(target)


def paths_in(target: str, folder: str, ending: str) -> list[str]:
    """Return the paths of what lies in a folder of a target and has this ending, sorted."""
    names = (name for name in open_store(target).names(folder) if name.endswith(ending))
    return sorted(f"{target.rstrip('/')}/{name}" for name in names)


class LocalStore:
    """A folder; new folders are the owner's alone (mode 0700).

    A file is written under `.partial` and moved, so that its final name appears only when it is
    whole. Processes of one machine that write one name are kept apart by a lock file.
    """

    def __init__(self, root: str) -> None:
        self._root = root  # paths are texts here: pathlib takes as long as the rest for a small file
        self._staged: dict[int, str] = {}  # id of a content → where it lies, on the disk already
        self._changed: set[str] | None = None  # folders whose entries are not yet on the disk

    def find(self, name: str) -> Found | None:
        """See `Store`."""
        found = self.read(name)
        return found and Found(found[0], hashlib.sha256(found[1]).hexdigest())

    def read(self, name: str) -> tuple[object, bytes] | None:
        """See `Store`."""
        try:
            with open(self._at(name), "rb") as file:
                return _version(os.fstat(file.fileno())), file.read()
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes, version: object | None, durable: bool = True) -> bool:
        """See `Store`."""
        with self._usable():
            temporary = self._staged.pop(id(data), None) or self._temporary(data, durable)
            try:
                with self._locked(name):
                    if self._version_of(name) != version:
                        return False
                    target = self._at(name)
                    _move(temporary, target)
            finally:
                _unlink(temporary)
            if durable and self._changed is not None:
                self._changed.add(os.path.dirname(target))
            elif durable:
                _sync(os.path.dirname(target))
            return True

    @contextmanager
    def together(self, contents: Sequence[bytes]) -> Iterator[None]:
        """See `Store`: a disk takes the contents of many files in hardly more time than that of one."""
        staged: list[str] = []
        try:
            with self._usable(), ThreadPoolExecutor(_AT_ONCE) as threads:
                staged += [self._temporary(it, durable=False) for it in contents if len(contents) > 1]
                list(threads.map(_sync, staged))
                self._staged = {id(content): path for content, path in zip(contents, staged, strict=False)}
                self._changed = set()
                yield
                list(threads.map(_sync, self._changed))
        finally:
            for path in staged:
                _unlink(path)
            self._staged, self._changed = {}, None

    def remove(self, name: str) -> None:
        """See `Store`; folders that become empty go too."""
        _unlink(self._at(name))
        self._remove_empty(name)

    def _remove_empty(self, name: str) -> None:
        """Remove the folders above a name that are empty."""
        while name := os.path.dirname(name):
            try:
                os.rmdir(self._at(name))
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
                    raise
                if error.errno != errno.ENOENT:
                    break

    def names(self, folder: str) -> Iterator[str]:
        """See `Store`."""
        for here, _, files in os.walk(self._at(folder)):
            for file in files:
                yield os.path.relpath(os.path.join(here, file), self._root)

    def folders(self, folder: str) -> list[str]:
        """See `Store`."""
        try:
            with os.scandir(self._at(folder)) as entries:
                return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
        except FileNotFoundError:
            return []

    def clear(self, folder: str) -> None:
        """See `Store`; folders that become empty go too."""
        shutil.rmtree(self._at(folder), ignore_errors=True)
        self._remove_empty(folder)

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _temporary(self, data: bytes, durable: bool) -> str:
        path = self._at(f"{PARTIAL}/new/{uuid.uuid4().hex}")
        _make_folder(os.path.dirname(path))
        try:
            with open(path, "xb", buffering=0) as file:
                _write_all(file, data)
                if durable:
                    os.fsync(file.fileno())
        except BaseException:
            _unlink(path)
            raise
        return path

    @contextmanager
    def _usable(self) -> Iterator[None]:
        """Tell trouble with the whole folder from trouble with one file in it."""
        try:
            yield
        except OSError as error:
            number = error.errno or 0
            if number in _OF_THE_PLACE or not os.access(self._root, os.W_OK | os.X_OK):
                raise StoreError(f"{self._root}: {os.strerror(number)}") from None
            raise

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        # 256 lock files serve all names: a name of its own each would double the files.
        path = self._at(f"{PARTIAL}/locks/{hashlib.sha256(name.encode()).hexdigest()[:2]}")
        _make_folder(os.path.dirname(path))
        with open(path, "wb", buffering=0) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _version_of(self, name: str) -> object | None:
        try:
            return _version(os.stat(self._at(name)))
        except FileNotFoundError:
            return None


# What no other file of the folder would be spared.
_OF_THE_PLACE = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE}
)


def _move(temporary: str, target: str) -> None:
    """Give a file its name, in folders that are made for it; `remove` may take them away meanwhile."""
    while True:
        _make_folder(os.path.dirname(target))
        try:
            return os.replace(temporary, target)
        except FileNotFoundError:
            if not os.path.exists(temporary):
                raise


def _write_all(file: FileIO, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def _unlink(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)


def _version(about: os.stat_result) -> object:
    return about.st_ino, about.st_mtime_ns, about.st_size


def _make_folder(path: str) -> None:
    if not path or os.path.isdir(path):
        return
    _make_folder(os.path.dirname(path))
    with suppress(FileExistsError):
        os.mkdir(path, 0o700)


_AT_ONCE = 16  # files that wait for the disk side by side


def _sync(path: str) -> None:
    """Wait until the content of a file, or the entries of a folder, would survive a loss of power."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class GcsStore:
    """A prefix in a bucket; uploads are atomic there, so nothing temporary is needed."""

    def __init__(self, root: str) -> None:
        bucket, _, prefix = root.removeprefix("gs://").partition("/")
        self._prefix = prefix.rstrip("/") + "/" if prefix else ""
        self._bucket = _client().bucket(bucket)
        self._usable = partial(_usable, bucket)

    def find(self, name: str) -> Found | None:
        """See `Store`; the digest is kept with the object, so that it is not downloaded."""
        with self._usable():
            blob = self._bucket.get_blob(self._prefix + name, retry=_retry())
            if blob is None:
                return None
            known = (blob.metadata or {}).get("sha256")
            if known is None:
                known = hashlib.sha256(blob.download_as_bytes(retry=_retry())).hexdigest()
            return Found(blob.generation, known)

    def read(self, name: str) -> tuple[object, bytes] | None:
        """See `Store`."""
        with self._usable():
            blob = self._bucket.get_blob(self._prefix + name, retry=_retry())
            if blob is None:
                return None
            data = blob.download_as_bytes(if_generation_match=blob.generation, retry=_retry())
            return blob.generation, data

    def write(self, name: str, data: bytes, version: object | None, durable: bool = True) -> bool:
        """See `Store`; what is written is always durable.

        An upload whose answer was lost is sent again and then finds itself there: that counts as written.
        """
        from google.api_core.exceptions import NotFound, PreconditionFailed

        blob = self._bucket.blob(self._prefix + name)
        sha256 = hashlib.sha256(data).hexdigest()
        blob.metadata = {"sha256": sha256}
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
                return there is not None and (there.crc32c, (there.metadata or {}).get("sha256")) == (
                    _crc32c(data),
                    sha256,
                )
        return True

    def together(self, contents: Sequence[bytes]) -> AbstractContextManager[None]:
        """See `Store`; every upload is durable by itself."""
        return nullcontext()

    def remove(self, name: str) -> None:
        """See `Store`."""
        from google.api_core.exceptions import NotFound

        with self._usable(), suppress(NotFound):
            self._bucket.blob(self._prefix + name).delete(retry=_retry())

    def names(self, folder: str) -> Iterator[str]:
        """See `Store`."""
        prefix = f"{self._prefix}{folder}/" if folder else self._prefix
        with self._usable():
            for blob in self._bucket.list_blobs(prefix=prefix, fields=_LISTED, retry=_retry()):
                yield blob.name.removeprefix(self._prefix)

    def folders(self, folder: str) -> list[str]:
        """See `Store`."""
        prefix = f"{self._prefix}{folder}/" if folder else self._prefix
        listing = self._bucket.list_blobs(prefix=prefix, delimiter="/", fields=_LISTED, retry=_retry())
        with self._usable():
            for _ in listing:
                continue  # the prefixes are known when all pages have been read
        return sorted(longer.removeprefix(prefix).rstrip("/") for longer in listing.prefixes)

    def clear(self, folder: str) -> None:
        """See `Store`."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for _ in pool.map(self.remove, self.names(folder)):
                continue


_LISTED = "items(name,size,generation),prefixes,nextPageToken"
_AT_ONCE = 8  # objects that are removed at once: the client keeps ten connections
_LONGEST_RETRY = 300.0  # seconds: throttling and outages of a store pass within minutes or not at all


@cache
def _retry() -> Any:
    """Return when to try again, on 408, 429, 5xx and broken connections: after 0.5 s, 1 s, … 32 s."""
    from google.cloud.storage.retry import DEFAULT_RETRY

    return DEFAULT_RETRY.with_delay(initial=0.5, maximum=32, multiplier=2).with_timeout(_LONGEST_RETRY)


def _crc32c(data: bytes) -> str:
    import google_crc32c

    return base64.b64encode(google_crc32c.Checksum(data).digest()).decode()


@cache
def _client() -> Any:
    """Return this process's client: a client per object costs a new connection each."""
    from google.cloud.storage import Client

    return Client()


def read_remote(path: str) -> bytes:
    """Return the bytes of one object.

    Raises:
        OSError: it cannot be had.
        StoreError: whoever asks is not known any more.
    """
    from google.api_core.exceptions import Forbidden, GoogleAPIError, NotFound

    bucket, _, name = path.removeprefix("gs://").partition("/")
    try:
        with _signed_in(bucket):
            data: bytes = _client().bucket(bucket).blob(name).download_as_bytes(retry=_retry())
    except NotFound:
        raise FileNotFoundError from None
    except Forbidden:
        raise PermissionError from None
    except GoogleAPIError as error:
        raise OSError(type(error).__name__) from None
    return data


@contextmanager
def open_seekable(path: str) -> Iterator[Any]:
    """Open a file or object to read parts of it; a small object comes whole, in one request."""
    if not is_remote(path):
        with open(path, "rb") as file:
            yield file
        return
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
    except RequestRangeNotSatisfiable:  # there is not a single byte
        return b""
    return beginning


_SMALL = 4 << 20  # bytes: most Parquet files of a night's run are no larger
_PART = 1 << 20


def list_remote(address: str) -> Iterator[tuple[str, int, str]]:
    """Yield path, size and generation of the objects under a `gs://` prefix, page by page."""
    bucket, _, prefix = address.removeprefix("gs://").partition("/")
    with _usable(bucket):
        for blob in _client().list_blobs(bucket, prefix=prefix, fields=_LISTED, retry=_retry()):
            yield f"gs://{bucket}/{blob.name}", blob.size, str(blob.generation)


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
    """Yield the objects under a `gs://` prefix if they fit one page, else prefixes by which they go apart.

    These are a letter longer, or some that all names share; each takes a request.
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
    """Yield the object whose name is the prefix, if there is one, and the prefixes a letter longer."""
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
    """Return the least name that is greater than all that begin so; names are sorted by code point."""
    if ord(letter) == sys.maxunicode:
        return None
    return prefix + chr(0xE000 if letter == "\ud7ff" else ord(letter) + 1)


class StoreError(DeidError):
    """An object store that cannot be used as asked; the message says the remedy."""


@contextmanager
def _signed_in(bucket: str) -> Iterator[None]:
    """Tell credentials that lapsed from trouble with one object: every other one would end like it."""
    from google.api_core.exceptions import Unauthorized
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except (GoogleAuthError, Unauthorized) as error:
        name = type(error).__name__
        raise StoreError(f"gs://{bucket}: the credentials hold no longer ({name}); {_SIGN_IN}") from None


@contextmanager
def _usable(bucket: str) -> Iterator[None]:
    """Tell trouble with a whole bucket, and with credentials, from trouble with one object in it."""
    from google.api_core.exceptions import Forbidden, RetryError, ServerError, TooManyRequests
    from requests.exceptions import RequestException

    try:
        with _signed_in(bucket):
            yield
    except Forbidden:
        raise StoreError(f"gs://{bucket}: no longer permitted; grant it to these credentials") from None
    except (RequestException, RetryError, ServerError, TooManyRequests) as error:
        raise StoreError(f"gs://{bucket}: {type(error).__name__}; is the store reachable?") from None


def check_remote(inputs: Iterable[str], targets: Iterable[str]) -> None:
    """Check that there are credentials, that the buckets exist and may be used, and imaging servers answer.

    Args:
        inputs: what is read.
        targets: what is written to, and read again.

    Raises:
        StoreError: one may not, as far as can be told without reading or writing an object.
    """
    inputs, targets = list(inputs), list(targets)
    for server in filter(is_dicomweb, [*inputs, *targets]):
        from beamstop_transforms.dicomweb import check_dicomweb

        check_dicomweb(server)
    written = _buckets(targets)
    needs = {bucket: ["storage.objects.get"] for bucket in [*_buckets(inputs), *written]}
    for bucket in written:
        needs[bucket] += ["storage.objects.create", "storage.objects.delete"]
    if needs and "STORAGE_EMULATOR_HOST" not in os.environ:
        check_credentials()
    for bucket, permissions in needs.items():
        _check_bucket(bucket, permissions)


def _buckets(addresses: Iterable[str]) -> list[str]:
    remote = (it.removeprefix("gs://").partition("/")[0] for it in addresses if is_remote(it))
    return list(dict.fromkeys(remote))


def check_credentials() -> None:
    """Look for Google's credentials, for two seconds: off its machines the search takes half a minute.

    Raises:
        StoreError: none were found.
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
        return  # a store without this question: what is denied shows when it is done
    if missing := sorted(set(permissions) - set(granted)):
        raise _denied(bucket, missing)


_CHECK_WITHIN = 15.0  # seconds


def _no_bucket(bucket: str) -> StoreError:
    return StoreError(f"gs://{bucket}: no such bucket; make it, or check the name")


def _denied(bucket: str, permissions: list[str]) -> StoreError:
    return StoreError(
        f"gs://{bucket}: not permitted: {', '.join(permissions)}; grant it to these credentials"
    )
