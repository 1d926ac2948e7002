"""Archives: each member of a zip or an uncompressed tar that an input names is a source, read in memory.

The path of a member is `zip:ARCHIVE!/MEMBER` or `tar:ARCHIVE!/MEMBER`, with `%25` and `%21` for `%` and `!`
in both parts. If several members have one name, the second ends in `!2`, the third in `!3` …, so that no two
sources have the same path.
"""

import struct
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from functools import lru_cache
from io import BytesIO
from typing import Any, NamedTuple

from beamstop.errors import Failed, Rejected
from beamstop_transforms.instance import Source
from beamstop_transforms.stores import is_remote, open_seekable, read_range, version_of

MAX_MEMBERS = 200_000  # of one archive
MAX_RATIO = 1100  # of a member's size to its compressed size; deflate reaches 1032 at most
BEGINNING = 512  # first bytes of a file, by which its kind is recognised
_BROKEN, _TOO_MANY = "archive_unreadable", "archive_too_large"
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_PACKED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!\x1a\x07": "rar",
}
_ENCRYPTED = 0x1
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ERRORS = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    struct.error,
    EOFError,
    ValueError,
    NotImplementedError,
    RuntimeError,
)


def archive_kind(beginning: bytes) -> str | None:
    r"""Return the kind of archive that a file begins like: zip, tar, gzip …; None if it is none.

    >>> archive_kind(b"PK\x03\x04..."), archive_kind(bytes(257) + b"ustar"), archive_kind(b"text")
    ('zip', 'tar', None)
    """
    if beginning[128:132] == b"DICM":
        return None
    if beginning.startswith(_ZIP):
        return "zip"
    if beginning[257:262] == b"ustar":
        return "tar"
    return next((kind for magic, kind in _PACKED.items() if beginning.startswith(magic)), None)


def opened(source: Source) -> Iterator[Source]:
    """Yield the members of a zip or an uncompressed tar; any other source is yielded itself.

    An archive that cannot be read to its end is yielded as well, as a source that fails: its content is
    unknown.
    """
    try:
        kind = archive_kind(read_range(source.path, 0, BEGINNING)) if source.size else None
    except OSError:  # reading it will fail with the reason
        kind = None
    if kind not in ("zip", "tar"):
        yield source
        return
    names = Counter[str]()
    try:
        for member in _zip_members(source) if kind == "zip" else _tar_members(source):
            names[member.name] += 1
            yield Source(_path(kind, source.path, member.name, names[member.name]), *member[1:])
    except _TooManyError:
        yield _failing(source, _TOO_MANY)
    except (*_ERRORS, OSError):
        yield _failing(source, _BROKEN)


def _failing(source: Source, reason: str) -> Source:
    return Source(source.path, source.size, source.version, suspect=reason)


class _TooManyError(Exception):
    """The archive has more members than `MAX_MEMBERS`."""


class _Member(NamedTuple):
    """One member: its name, and the fields of `Source`."""

    name: str
    size: int
    version: str
    suspect: str = ""
    span: tuple[int, int] | None = None


def _zip_members(source: Source) -> Iterator[_Member]:
    with open_seekable(source.path) as file:
        for info in _directory(file, source.size).infolist():
            if not info.is_dir():
                version = f"{info.CRC:08x}-{''.join(f'{it:02d}' for it in info.date_time)}"
                yield _Member(info.filename, info.file_size, version)


def _directory(file: Any, size: int) -> zipfile.ZipFile:
    """Open a zip and read its directory, unless that is a zip bomb."""
    end: Any = zipfile._EndRecData(file)  # type: ignore[attr-defined]
    if end is not None and end[zipfile._ECD_ENTRIES_TOTAL] > MAX_MEMBERS:  # type: ignore[attr-defined]
        raise _TooManyError
    if end is not None and end[zipfile._ECD_SIZE] > MAX_MEMBERS * _LARGEST_ENTRY:  # type: ignore[attr-defined]
        raise _TooManyError
    found = zipfile.ZipFile(file)
    if len(found.infolist()) > MAX_MEMBERS:
        raise _TooManyError
    if end is not None and found.start_dir != end[zipfile._ECD_OFFSET]:  # type: ignore[attr-defined]
        raise zipfile.BadZipFile("it is the end of another archive")
    if sum(it.compress_size for it in found.infolist()) > size:
        raise zipfile.BadZipFile("members lie in one another")
    return found


_LARGEST_ENTRY = 1024  # bytes in the directory of a zip, on average


def _tar_members(source: Source) -> Iterator[_Member]:
    with open_seekable(source.path) as file, tarfile.open(fileobj=file, mode="r:") as opened_tar:
        archive: Any = opened_tar
        count = 0
        while (info := archive.next()) is not None:
            archive.members = []  # tarfile would otherwise keep all of them
            if info.isdir():
                continue
            count += 1
            if count > MAX_MEMBERS:
                raise _TooManyError
            if info.offset_data + info.size > source.size:
                raise tarfile.ReadError("cut short")
            span = info.offset, info.offset_data - info.offset + info.size
            yield _Member(info.name, info.size, f"{source.version}@{info.offset}", span=span)
        if not _is_end(file, archive.offset):
            raise tarfile.ReadError("something else stands where the next member should")


def _is_end(file: Any, begin: int) -> bool:
    """Return whether a tar ends here, with zeros: `tarfile` also stops at what it cannot read."""
    file.seek(begin)
    if not (piece := file.read(_PIECE)):
        return False
    while piece and not any(piece):
        piece = file.read(_PIECE)
    return not piece


_PIECE = 1 << 16


def is_member(path: str) -> bool:
    """Return whether a source is a member of an archive, by its path."""
    return path.startswith(("zip:", "tar:"))


def archive_of(path: str) -> str:
    """Return the path of a member's archive.

    >>> archive_of("zip:/archive/a%21.zip!/b/c.dcm!2")
    '/archive/a!.zip'
    """
    return _plain(path[4:].partition("!/")[0])


def _path(kind: str, archive: str, name: str, occurrence: int) -> str:
    again = f"!{occurrence}" if occurrence > 1 else ""
    return f"{kind}:{_escaped(archive)}!/{_escaped(name)}{again}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("!", "%21")


def _plain(text: str) -> str:
    return text.replace("%21", "!").replace("%25", "%")


def find_member(path: str) -> Source | None:
    """Return the source with a member's path; None if there is none."""
    archive = archive_of(path)
    version = version_of(archive)
    if version is None:
        return None
    return next((it for it in opened(Source(archive, *version)) if it.path == path), None)


def read_member(source: Source) -> bytes:
    """Return the bytes of a member.

    Raises:
        Rejected: `archive_member`: encrypted, or compressed by another method than deflate.
        Failed: `source_unreadable`: it is broken, or the archive changed since it was listed.
        OSError: the archive cannot be read.
    """
    try:
        return _from_tar(source) if source.span is not None else _from_zip(source)
    except _ERRORS as error:
        raise Failed("source_unreadable", type(error).__name__) from None


def _from_tar(source: Source) -> bytes:
    begin, length = source.span or (0, 0)
    part = read_range(archive_of(source.path), begin, length)
    if len(part) != length:
        raise Failed("source_unreadable", "the archive changed")
    padded = part + bytes(-length % tarfile.BLOCKSIZE + 2 * tarfile.BLOCKSIZE)
    with tarfile.open(fileobj=BytesIO(padded), mode="r:") as archive:
        info = archive.next()
    if info is None or info.size != source.size or not _is_named(source.path, info.name):
        raise Failed("source_unreadable", "the archive changed")
    if not info.isreg() or info.issparse():
        raise Failed("source_unreadable", "not a regular file")
    return part[info.offset_data :][: info.size]


def _is_named(path: str, name: str) -> bool:
    return path.partition("!/")[2].partition("!")[0] == _escaped(name)


def _from_zip(source: Source) -> bytes:
    archive = archive_of(source.path)
    found = _zip(archive, version_of(archive) if not is_remote(archive) else None)
    info = found.members.get(source.path)
    if info is None or info.file_size != source.size:
        raise Failed("source_unreadable", "the archive changed")
    if info.flag_bits & _ENCRYPTED:
        raise Rejected("archive_member", "encrypted")
    if info.compress_type not in _METHODS:
        raise Rejected("archive_member", f"compressed by method {info.compress_type}")
    if info.file_size > MAX_RATIO * max(info.compress_size, 1):
        raise Failed("too_large", "unpacked")
    return found.archive.read(info)


class _Zip(NamedTuple):
    """An archive that stays open, because more of its members are read soon."""

    archive: zipfile.ZipFile
    members: dict[str, zipfile.ZipInfo]
    held: ExitStack


@lru_cache(maxsize=2)
def _zip(archive: str, version: tuple[int, str] | None) -> _Zip:
    held = ExitStack()
    file = held.enter_context(open_seekable(archive))
    size = file.seek(0, 2)
    found, names = _directory(file, size), Counter[str]()
    members: dict[str, zipfile.ZipInfo] = {}
    for info in found.infolist():
        if not info.is_dir():
            names[info.filename] += 1
            members[_path("zip", archive, info.filename, names[info.filename])] = info
    return _Zip(found, members, held)
