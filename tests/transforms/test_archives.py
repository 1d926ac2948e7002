"""Archives: what their members are called, what is read of them, and what is refused."""

import io
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from tests.buckets import KINDS, Bucket

from beamstop.errors import Failed, Refusal, Rejected
from beamstop_transforms import archives
from beamstop_transforms.archives import archive_of, find_member, opened
from beamstop_transforms.instance import Source
from beamstop_transforms.match import find_sources
from beamstop_transforms.read import read_source
from beamstop_transforms.redistribute import pack, unpack

LARGEST = 1 << 20
CONTENTS = {"a.dcm": b"one", "deep/b.dcm": b"two" * 9000, "empty": b"", "ä!%/c d": b"three"}


def zipped(contents: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        archive.writestr("deep/", b"")
        for name, content in contents.items():
            archive.writestr(zipfile.ZipInfo(name, (2026, 1, 2, 3, 4, 6)), content, method)
    return made.getvalue()


def tarred(contents: Mapping[str, bytes], form: int = tarfile.GNU_FORMAT) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=form) as archive:
        folder = tarfile.TarInfo("deep")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return made.getvalue()


@pytest.fixture(params=["folder", *KINDS])
def put(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str, bytes], str]]:
    """Return a function that puts an archive somewhere and returns its path, for every kind of place."""
    archives._zip.cache_clear()
    bucket: Bucket | None = None
    if request.param != "folder":
        bucket = request.getfixturevalue("make_bucket")(request.param)

    def _put(name: str, data: bytes) -> str:
        if bucket is None:
            (tmp_path / name).write_bytes(data)
            return str(tmp_path / name)
        bucket.put(name, data)
        return f"{bucket.root}/{name}"

    yield _put
    archives._zip.cache_clear()


@pytest.fixture
def here(tmp_path: Path) -> Callable[[bytes], list[Source]]:
    """Return a function that names an archive in a folder and returns what is found in it."""

    def _here(data: bytes) -> list[Source]:
        (tmp_path / "a.zip").write_bytes(data)
        return list(find_sources(str(tmp_path / "a.zip")))

    archives._zip.cache_clear()
    return _here


def names(sources: list[Source]) -> list[str]:
    return [it.path.rpartition("/a.zip!/")[2] for it in sources]


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("a.zip", zipped),
        ("a.zip", lambda it: zipped(it, zipfile.ZIP_STORED)),
        ("a.tar", tarred),
        ("a.tar", lambda it: tarred(it, tarfile.PAX_FORMAT)),
        ("no ending", zipped),
    ],
)
def test_each_member_of_an_archive_that_is_named_is_a_source(
    put: Callable[[str, bytes], str], name: str, make: Callable[[Mapping[str, bytes]], bytes]
) -> None:
    contents = {**CONTENTS, "long/" * 40 + "name": b"far"}
    path = put(name, make(contents))
    kind = "tar" if name.endswith("tar") else "zip"
    found = list(find_sources(path))
    escaped = [it.replace("%", "%25").replace("!", "%21") for it in contents]
    assert [it.path for it in found] == [f"{kind}:{path}!/{it}" for it in escaped]
    assert [archive_of(it.path) for it in found] == [path] * len(contents)
    assert [it.size for it in found] == [len(it) for it in contents.values()]
    travelled = list(unpack(pack(found)))
    assert travelled == found
    assert [read_source(it, LARGEST) for it in travelled] == list(contents.values())
    assert [find_member(it.path) for it in found] == found


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_members_of_one_name_are_told_apart(here: Callable[[bytes], list[Source]]) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in (("x", b"one"), ("x", b"two"), ("x!2", b"three"), ("x", b"four")):
            archive.writestr(name, content)
    found = here(made.getvalue())
    assert names(found) == ["x", "x!2", "x%212", "x!3"]
    assert [read_source(it, LARGEST) for it in found] == [b"one", b"two", b"three", b"four"]


def test_members_of_one_name_in_a_tar_are_told_apart(here: Callable[[bytes], list[Source]]) -> None:
    one = tarred({"x": b"one"})[: 3 * 512]
    found = here(one + tarred({"x": b"two"}))
    assert names(found) == ["x", "x!2"]
    assert [read_source(it, LARGEST) for it in found] == [b"one", b"two"]


def test_no_file_has_the_path_of_a_member(tmp_path: Path) -> None:
    (tmp_path / "a.zip!").mkdir()
    (tmp_path / "a.zip!" / "x").write_bytes(b"a file")
    (tmp_path / "a.zip").write_bytes(zipped({"x": b"a member"}))
    (tmp_path / "a!.zip").write_bytes(zipped({"x": b"another"}))
    patterns = [tmp_path, tmp_path / "a.zip", tmp_path / "a!.zip"]
    paths = [it.path for pattern in patterns for it in find_sources(str(pattern))]
    assert len(set(paths)) == len(paths) == 5


def test_a_name_that_leads_elsewhere_is_a_name(here: Callable[[bytes], list[Source]], tmp_path: Path) -> None:
    before = sorted(tmp_path.parent.rglob("*"))
    contents = {"../../outside.dcm": b"one", "/etc/passwd": b"two", "C:\\x": b"three"}
    found = here(zipped(contents))
    assert [read_source(it, LARGEST) for it in found] == [b"one", b"two", b"three"]
    assert sorted(tmp_path.parent.rglob("*")) == sorted([*before, tmp_path / "a.zip"])


@pytest.mark.parametrize(
    ("pattern", "is_opened"),
    [("a.zip", True), ("*.zip", True), ("*.ZIP", False), ("**", False), ("*", False), ("", False)],
)
def test_an_archive_is_opened_only_if_it_is_named(tmp_path: Path, pattern: str, is_opened: bool) -> None:
    (tmp_path / "a.zip").write_bytes(zipped({"x": b""}))
    (tmp_path / "A.ZIP").write_bytes(zipped({"x": b""}))
    found = [it.path for it in find_sources(str(tmp_path / pattern))]
    assert (f"zip:{tmp_path}/a.zip!/x" in found) is is_opened
    assert (f"{tmp_path}/a.zip" in found) is (not is_opened and pattern != "*.ZIP")


def refusal_of(source: Source, max_bytes: int = LARGEST) -> tuple[type[Refusal], str, str]:
    with pytest.raises(Refusal) as refusal:
        read_source(source, max_bytes)
    return type(refusal.value), refusal.value.reason, refusal.value.detail


def test_an_encrypted_member_is_rejected(here: Callable[[bytes], list[Source]]) -> None:
    data = bytearray(zipped({"x": b"secret"}))
    for signature, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = data.rfind(signature) + at
        data[place] |= 1
    (found,) = here(bytes(data))
    assert refusal_of(found) == (Rejected, "archive_member", "encrypted")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_member_that_is_packed_in_another_way_is_rejected(
    here: Callable[[bytes], list[Source]], method: int
) -> None:
    (found,) = here(zipped({"x": b"data"}, method))
    assert refusal_of(found) == (Rejected, "archive_member", f"compressed by method {method}")


def test_a_member_over_a_limit_is_not_unpacked(
    here: Callable[[bytes], list[Source]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (found,) = here(zipped({"x": bytes(100_000)}))
    assert refusal_of(found, 99_999) == (Failed, "too_large", "")
    monkeypatch.setattr(archives, "MAX_RATIO", 100)
    assert refusal_of(found) == (Failed, "too_large", "unpacked")


@pytest.mark.parametrize("make", [zipped, tarred])
def test_an_archive_of_too_many_members_fails(
    here: Callable[[bytes], list[Source]],
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[Mapping[str, bytes]], bytes],
) -> None:
    monkeypatch.setattr(archives, "MAX_MEMBERS", 2)
    *_, last = here(make({"x": b"", "y": b"", "z": b""}))
    assert last.suspect == "archive_too_large"


def test_members_that_lie_in_one_another_fail_the_archive(here: Callable[[bytes], list[Source]]) -> None:
    """So a small file would be many large ones."""
    data = zipped({"x": bytes(range(256)) * 100}, zipfile.ZIP_STORED)
    directory, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    entry = data[data.rindex(b"PK\x01\x02") : end]
    tail = bytearray(data[end:])
    struct.pack_into("<HHI", tail, 8, 4, 4, end - directory + 2 * len(entry))
    (found,) = here(data[:end] + entry * 2 + bytes(tail))
    assert found.suspect == "archive_unreadable"


@pytest.mark.parametrize("keep", [0.5, 0.9])
def test_a_zip_that_is_cut_short_fails(here: Callable[[bytes], list[Source]], keep: float) -> None:
    data = zipped(CONTENTS)
    (found,) = here(data[: int(keep * len(data))])
    assert (found.suspect, found.path[-6:]) == ("archive_unreadable", "/a.zip")


def test_of_a_tar_that_is_cut_short_the_rest_fails(here: Callable[[bytes], list[Source]]) -> None:
    data = tarred({"x": b"one", "y": b"2" * 5000})
    one, rest = here(data[:3000])
    assert read_source(one, LARGEST) == b"one"
    assert rest.suspect == "archive_unreadable"


def test_a_zip_that_ends_in_another_one_is_not_taken_for_that(here: Callable[[bytes], list[Source]]) -> None:
    """Its own directory is cut off, or another archive was put behind it: most members would be lost."""
    inner = zipped({"z": b"inner"})
    outer = zipped({"x": b"one", "inner.zip": inner}, zipfile.ZIP_STORED)
    cut = outer[: outer.index(inner) + len(inner)]
    for data in (cut, cut + outer[len(cut) :][:60], zipped({"x": b"one"}) + inner):
        (found,) = here(data)
        assert found.suspect == "archive_unreadable"


def test_a_tar_without_its_end_fails(here: Callable[[bytes], list[Source]]) -> None:
    """Cut between two members, broken in the head of one, or followed by another tar: the rest is lost."""
    data = tarred({"x": b"one", "y": b"two", "z": b"three"})
    second = data.index(b"y\0")
    broken = data[:second] + b"?" + data[second + 1 :]
    for damaged in (data[:second], broken, tarred({"x": b"one"}) + tarred({"y": b"two"})):
        *found, rest = here(damaged)
        assert (names(found), rest.suspect) == (["x"], "archive_unreadable")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_a_link_or_device_in_a_tar_fails(here: Callable[[bytes], list[Source]], kind: bytes) -> None:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        member = tarfile.TarInfo("x")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    (found,) = here(made.getvalue())
    assert refusal_of(found) == (Failed, "source_unreadable", "not a regular file")


def test_an_archive_that_changed_since_it_was_listed_fails(here: Callable[[bytes], list[Source]]) -> None:
    (found,) = here(tarred({"x": b"one"}))
    here(tarred({"y": b"two"}))
    assert refusal_of(found) == (Failed, "source_unreadable", "the archive changed")
    (found,) = here(zipped({"x": b"one"}))
    here(zipped({"y": b"two"}))
    assert refusal_of(found) == (Failed, "source_unreadable", "the archive changed")


def test_a_member_that_is_not_what_its_checksum_says_fails(here: Callable[[bytes], list[Source]]) -> None:
    (found,) = here(zipped({"x": b"Doe^Jane"}, zipfile.ZIP_STORED).replace(b"Doe^Jane", b"Doe^John"))
    assert refusal_of(found) == (Failed, "source_unreadable", "BadZipFile")


def test_a_member_of_a_zip_has_a_version_of_its_own(here: Callable[[bytes], list[Source]]) -> None:
    before = here(zipped({"x": b"one", "y": b"two"}))
    after = here(zipped({"x": b"one", "y": b"2wo", "z": b""}))
    assert before[0].version == after[0].version
    assert before[1].version != after[1].version


def test_an_archive_that_cannot_be_had_says_so_when_it_is_read(tmp_path: Path) -> None:
    source = Source(str(tmp_path / "none.zip"), 10, "1")
    assert list(opened(source)) == [source]
