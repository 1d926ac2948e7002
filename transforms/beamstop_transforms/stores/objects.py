"""An `s3://` or `az://` prefix as a store, and functions to read and list buckets and containers."""

import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import datetime
from itertools import islice
from typing import Any

from beamstop_transforms.stores.base import ABOUT, STAYS, Found, KeptError
from beamstop_transforms.stores.clients import (
    Address,
    bucket_of,
    code_of,
    is_denied,
    is_invalid_name,
    is_kept,
    no_bucket,
    signed_in,
    status_of,
    usable,
)


class ObjectStore:
    """A prefix in a bucket of S3 or a compatible store, or in a container of Azure.

    Uploads are atomic, so that no temporary objects are needed. The version of an object is its ETag.
    """

    def __init__(self, root: str) -> None:
        self._at = Address.of(root)
        self._prefix = f"{self._at.name.rstrip('/')}/" if self._at.name.rstrip("/") else ""
        self._bucket = bucket_of(self._at.kind, self._at.bucket)

    def find(self, name: str) -> Found | None:
        """See `Store`; the digest is in the object's metadata, so that nothing is downloaded."""
        import obstore

        with usable(self._at):
            try:
                about = obstore.get(self._bucket, self._prefix + name, options={"head": True})
            except FileNotFoundError:
                return None
            known, beside = about.attributes.get("sha256"), str(about.attributes.get(ABOUT) or "")
        if known is not None:
            return Found(about.meta["e_tag"], known, beside)
        found = self.read(name)
        return found and Found(found[0], hashlib.sha256(found[1]).hexdigest(), beside)

    def read(self, name: str) -> tuple[object, bytes] | None:
        """See `Store`."""
        import obstore

        with usable(self._at):
            try:
                found = obstore.get(self._bucket, self._prefix + name)
                return found.meta["e_tag"], bytes(found.bytes())
            except FileNotFoundError:
                return None

    def write(
        self, name: str, data: bytes, version: object | None, durable: bool = True, about: str = ""
    ) -> bool:
        """See `Store`; every write is durable.

        An upload whose response was lost counts as written, also if it was sent again and finds its own
        object.
        """
        import obstore
        from obstore.exceptions import AlreadyExistsError, GenericError, PreconditionError

        attributes = _attributes(data, about)
        with usable(self._at):
            try:
                obstore.put(
                    self._bucket,
                    self._prefix + name,
                    data,
                    attributes=attributes,
                    mode="create" if version is None else {"e_tag": str(version)},
                    use_multipart=False,  # a multipart upload cannot require that there is no object yet
                )
            except FileNotFoundError:
                raise no_bucket(self._at) from None
            except (AlreadyExistsError, PreconditionError):
                return self._holds(name, attributes["sha256"], about)
            except GenericError as error:
                if (status_of(error) or 500) < 500 or not self._holds(name, attributes["sha256"], about):
                    raise
        return True

    def _holds(self, name: str, sha256: str, about: str) -> bool:
        """Return whether a name has this content; the object is read, its metadata alone are not trusted."""
        found = self.find(name)
        if found is None or (found.sha256, found.about) != (sha256, about):
            return False
        content = self.read(name)
        return content is not None and hashlib.sha256(content[1]).hexdigest() == sha256

    def keep(self, name: str, under: str) -> None:
        """See `Store`; the store copies the object, nothing is downloaded."""
        import obstore

        with usable(self._at):
            obstore.copy(self._bucket, self._prefix + name, self._prefix + under, overwrite=True)

    def together(self, contents: Sequence[bytes]) -> AbstractContextManager[None]:
        """See `Store`; every upload is durable on its own."""
        return nullcontext()

    def remove(self, name: str) -> None:
        """See `Store`."""
        self._remove([self._prefix + name])

    def names(self, folder: str, since: datetime | None = None) -> Iterator[str]:
        """See `Store`."""
        prefix = f"{self._prefix}{folder}/" if folder else self._prefix
        for found in _listed(self._at._replace(name=prefix)):
            is_old = since is not None and found["last_modified"] < since
            # Without the object that a console makes for the prefix itself.
            if found["path"].startswith(prefix) and not is_old:
                yield found["path"].removeprefix(self._prefix)

    def folders(self, folder: str) -> list[str]:
        """See `Store`."""
        import obstore

        prefix = f"{self._prefix}{folder}/" if folder else self._prefix
        with usable(self._at):
            listed = obstore.list_with_delimiter(self._bucket, prefix.rstrip("/") or None)
        return sorted(it.removeprefix(prefix) for it in listed["common_prefixes"])

    def clear(self, folder: str) -> None:
        """See `Store`."""
        names = self.names(folder)
        with suppress(KeptError):
            while some := list(islice(names, _REMOVED_AT_ONCE)):
                self._remove([self._prefix + it for it in some])

    def _remove(self, names: list[str]) -> None:
        import obstore
        from obstore.exceptions import BaseError

        with usable(self._at):
            try:
                obstore.delete(self._bucket, names)
            except FileNotFoundError:  # from Azure, if somebody else removed one of them
                for name in names if len(names) > 1 else ():
                    with suppress(FileNotFoundError):
                        obstore.delete(self._bucket, name)
            except BaseError as error:
                if is_kept(error):
                    raise KeptError(f"{self._at.place}: {STAYS}") from None
                raise


_REMOVED_AT_ONCE = 1000


def _attributes(data: bytes, about: str) -> dict[str, str]:
    kept = {"Content-Type": "application/octet-stream", "sha256": hashlib.sha256(data).hexdigest()}
    return kept | ({ABOUT: about} if about else {})


def read_object(path: str) -> bytes:
    """Return the bytes of one object.

    Raises:
        OSError: it cannot be read.
        StoreError: the credentials are no longer valid.
    """
    import obstore

    with _as_os_error(path) as at:
        return bytes(obstore.get(bucket_of(at.kind, at.bucket), at.name).bytes())


def read_range(path: str, start: int, length: int) -> bytes:
    """Return a range of bytes of an object; fewer if it ends before. Raises as `read_object` does."""
    import obstore
    from obstore.exceptions import GenericError

    with _as_os_error(path) as at:
        bucket = bucket_of(at.kind, at.bucket)
        try:
            return bytes(obstore.get_range(bucket, at.name, start=start, length=length))
        except GenericError as error:
            if code_of(error) == "InvalidRange":
                return b""
            raise


@contextmanager
def _as_os_error(path: str) -> Iterator[Address]:
    """Yield the address of an object; errors of this object alone are raised as OSError."""
    from obstore.exceptions import BaseError

    at = Address.of(path)
    try:
        with signed_in(at):
            yield at
    except ValueError as error:
        if not is_invalid_name(error):
            raise
        raise OSError("InvalidName") from None
    except BaseError as error:
        raise (PermissionError if is_denied(error) else OSError(code_of(error))) from None


@contextmanager
def open_object(path: str) -> Iterator[Any]:
    """Open an object to read parts of it; a small one is read as a whole, in one request."""
    import obstore
    from obstore.exceptions import GenericError

    at = Address.of(path)
    with usable(at):
        try:
            beginning = obstore.get(bucket_of(at.kind, at.bucket), at.name, options={"range": (0, _SMALL)})
            size, content = beginning.meta["size"], bytes(beginning.bytes())
        except GenericError as error:
            if code_of(error) != "InvalidRange":  # InvalidRange: the object is empty
                raise
            size, content = 0, b""
    # Outside of `usable`: errors of the caller's code are not the store's.
    yield io.BytesIO(content) if size <= _SMALL else io.BufferedReader(_Parts(at, size), _PART)


class _Parts(io.RawIOBase):
    """A large object of which only parts are requested."""

    def __init__(self, at: Address, size: int) -> None:
        super().__init__()
        self._object, self._size, self._here = at, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._here, os.SEEK_END: self._size}[whence]
        self._here = max(start + offset, 0)
        return self._here

    def tell(self) -> int:
        return self._here

    def readinto(self, buffer: Any) -> int:
        import obstore

        many = min(len(buffer), max(self._size - self._here, 0))
        if many:
            at = self._object
            with usable(at):
                bucket = bucket_of(at.kind, at.bucket)
                data = obstore.get_range(bucket, at.name, start=self._here, length=many)
            buffer[:many] = memoryview(data)
            self._here += many
        return many


_SMALL = 4 << 20  # bytes: most Parquet files of a night's run are no larger
_PART = 1 << 20


def list_objects(address: str) -> Iterator[tuple[str, int, str]]:
    """Yield path, size and ETag of the objects whose addresses have this prefix, page by page."""
    at = Address.of(address)
    for found in _listed(at):
        if found["path"].startswith(at.name) and not _is_folder(at, found):
            yield f"{at.place}/{found['path']}", found["size"], found["e_tag"] or ""


def object_itself(path: str) -> tuple[str, int, str] | None:
    """Return path, size and ETag of one object; None if it does not exist."""
    import obstore

    at = Address.of(path)
    if not at.name or at.name.endswith("/"):
        return None
    with usable(at):
        try:
            about = obstore.head(bucket_of(at.kind, at.bucket), at.name)
        except FileNotFoundError:
            return None
    return path, about["size"], _as_listed(at, about["e_tag"] or "")


def _as_listed(at: Address, e_tag: str) -> str:
    return e_tag.strip('"') if at.kind == "az" else e_tag  # Azure's lists have ETags without quotes


def list_level(address: str) -> Iterator[tuple[str, int, str] | str]:
    """Yield the objects under a prefix up to the next `/`, and the longer prefixes that end there.

    A large level with no folders among its first names is yielded as the prefix itself, to be listed page by
    page: other levels are held in memory as a whole.
    """
    import obstore

    at = Address.of(address)
    first = list(islice(list_objects(address), _LARGEST_LEVEL + 1))
    begin = len(f"{at.place}/{at.name}")
    if len(first) <= _LARGEST_LEVEL:
        yield from (it for it in first if "/" not in it[0][begin:])
        inner = (it[0] for it in first if "/" in it[0][begin:])
        yield from dict.fromkeys(it[: it.index("/", begin) + 1] for it in inner)
        return
    if not any("/" in it[0][begin:] for it in first):
        yield address
        return
    with usable(at):
        level = obstore.list_with_delimiter(bucket_of(at.kind, at.bucket), _folder_of(at.name) or None)
    for found in level["objects"]:
        if found["path"].startswith(at.name) and not _is_folder(at, found):
            yield f"{at.place}/{found['path']}", found["size"], found["e_tag"] or ""
    for longer in level["common_prefixes"]:
        if f"{longer}/".startswith(at.name):
            yield f"{at.place}/{longer}/"


_LARGEST_LEVEL = 10_000  # objects


def _folder_of(name: str) -> str:
    return name.rpartition("/")[0]


def _listed(at: Address) -> Iterator[Any]:
    """Yield the store's entries for objects whose names have this prefix, and perhaps more."""
    import obstore

    folder, bucket = _folder_of(at.name), bucket_of(at.kind, at.bucket)
    begins_within = at.name.rpartition("/")[2] != "" and not at.bucket.endswith(_UNSORTED)
    if begins_within and (itself := object_itself(f"{at.place}/{at.name}")) is not None:
        yield {"path": at.name, "size": itself[1], "e_tag": itself[2]}  # the listing begins after it
    pages = obstore.list(bucket, folder or None, offset=at.name if begins_within else None)
    with usable(at):
        for page in pages:
            for found in page:
                if begins_within and found["path"] > at.name and not found["path"].startswith(at.name):
                    return
                yield found


_UNSORTED = "--x-s3"  # how names of S3's directory buckets end; these list in no order


def _is_folder(at: Address, found: Any) -> bool:
    """Return whether a listed object stands for a folder, as consoles and Azure's hierarchies make them."""
    import obstore

    if found["size"] > 0:
        return False
    with usable(at):
        try:
            about = obstore.get(bucket_of(at.kind, at.bucket), found["path"], options={"head": True})
        except FileNotFoundError:  # its name ends in a slash, which the client drops
            return True
    return about.attributes.get("hdi_isfolder") == "true"
