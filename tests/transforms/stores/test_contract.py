"""What every store does, wherever it keeps its files: the job relies on this and on nothing else."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from tests.buckets import KINDS, Bucket

from beamstop_transforms.stores import PARTIAL, Store, open_store
from beamstop_transforms.stores.gcs import GcsStore
from beamstop_transforms.stores.local import LocalStore

NAME = "P/1.2/1.2.3/1.2.3.4.dcm"


@pytest.fixture(params=["folder", *KINDS])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Return an empty store of each kind."""
    if request.param == "folder":
        return open_store(str(tmp_path / "out"))
    make_bucket: Callable[[str], Bucket] = request.getfixturevalue("make_bucket")
    return open_store(f"{make_bucket(request.param).root}/some/where")


def names(store: Store, folder: str = "") -> list[str]:
    """Return the names in a folder, but those of a local folder's locks."""
    return sorted(it for it in store.names(folder) if not it.startswith(f"{PARTIAL}/locks/"))


def test_what_is_written_is_found_and_read(store: Store) -> None:
    assert (store.find(NAME), store.read(NAME)) == (None, None)
    assert store.write(NAME, b"data", None)
    found, read = store.find(NAME), store.read(NAME)
    assert found is not None
    assert read is not None
    assert (found.sha256, read[1]) == (sha256(b"data").hexdigest(), b"data")
    assert found.version == read[0]


@pytest.mark.parametrize("content", [b"", bytes(9 << 20)])
def test_an_object_may_be_empty_or_large(store: Store, content: bytes) -> None:
    assert store.write(NAME, content, None)
    assert store.read(NAME)[1] == content
    # Its stand-in forgets the condition of an upload in parts: test_remote.py.
    if not isinstance(store, GcsStore):
        assert not store.write(NAME, content + b"1", None)


def test_nothing_is_created_where_something_stands(store: Store) -> None:
    assert store.write(NAME, b"one", None)
    assert not store.write(NAME, b"two", None)
    assert store.read(NAME)[1] == b"one"


def test_what_stands_is_replaced_if_it_is_what_was_seen(store: Store) -> None:
    store.write(NAME, b"one", None)
    seen = store.find(NAME).version
    assert store.write(NAME, b"two", seen)
    assert not store.write(NAME, b"three", seen)
    assert store.read(NAME)[1] == b"two"
    assert store.find(NAME).sha256 == sha256(b"two").hexdigest()


def test_what_was_removed_is_not_replaced(store: Store) -> None:
    store.write(NAME, b"one", None)
    seen = store.find(NAME).version
    store.remove(NAME)
    store.remove(NAME)
    assert not store.write(NAME, b"two", seen)
    assert store.find(NAME) is None


def test_of_many_who_create_one_name_one_succeeds(store: Store) -> None:
    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(lambda number: store.write(NAME, b"%d" % number, None), range(16)))
    assert won.count(True) == 1
    assert store.read(NAME)[1] == b"%d" % won.index(True)


def test_of_many_who_change_one_object_nobody_is_lost(store: Store) -> None:
    store.write(NAME, b"-", None)

    def add(number: int) -> None:
        while True:
            version, content = store.read(NAME)
            if store.write(NAME, content + b"%d-" % number, version):
                return

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(8)))
    assert sorted(store.read(NAME)[1].strip(b"-").split(b"-")) == [b"%d" % it for it in range(8)]


def test_names_and_folders_are_listed(store: Store) -> None:
    for name in ("a/1", "a/b/2", "a/b/3", "a-c/4", "5"):
        store.write(name, name.encode(), None)
    assert names(store) == ["5", "a-c/4", "a/1", "a/b/2", "a/b/3"]
    assert names(store, "a") == ["a/1", "a/b/2", "a/b/3"]
    assert names(store, "none") == []
    folders = [it for it in store.folders("") if it != PARTIAL]
    assert (folders, store.folders("a"), store.folders("none")) == (["a", "a-c"], ["b"], [])


def test_a_folder_goes_with_all_in_it(store: Store) -> None:
    for name in ("a/1", "a/b/2", "a-c/4"):
        store.write(name, b"", None)
    store.clear("a")
    store.clear("none")
    assert names(store) == ["a-c/4"]


def test_a_line_is_kept_beside_an_object(store: Store) -> None:
    assert store.write(NAME, b"one", None, about="r1 s1")
    store.keep(NAME, "copy")
    beside = [store.find(it).about for it in (NAME, "copy")]
    assert beside == (["", ""] if isinstance(store, LocalStore) else ["r1 s1"] * 2)
    assert store.write(NAME, b"one", store.find(NAME).version)
    assert store.find(NAME).about == ""


def test_an_upload_that_is_sent_again_finds_itself_and_nobody_else(store: Store) -> None:
    assert store.write(NAME, b"one", None, about="r1 s1")
    assert store.write(NAME, b"one", None, about="r1 s1") is not isinstance(store, LocalStore)
    assert not store.write(NAME, b"one", None, about="r1 s2")
    assert not store.write(NAME, b"one", None)
    assert not store.write(NAME, b"two", None, about="r1 s1")


def test_names_are_listed_by_when_they_were_written(store: Store) -> None:
    store.write("a/1", b"", None)
    day = timedelta(days=1)
    assert list(store.names("a", datetime.now(UTC) - day)) == ["a/1"]
    assert list(store.names("a", datetime.now(UTC) + day)) == []


def test_what_stands_is_kept_under_another_name(store: Store) -> None:
    store.write(NAME, b"one", None)
    store.write("aside", b"before", None)
    store.keep(NAME, "aside")
    store.keep(NAME, "other")
    assert [store.read(it)[1] for it in (NAME, "aside", "other")] == [b"one"] * 3
    assert store.find("other").sha256 == sha256(b"one").hexdigest()


@pytest.mark.parametrize("name", ["a b+c=&d.dcm", "100%.dcm", "a%2Fb.dcm", "ä#?*[x].dcm", "~(1)!'.dcm"])
def test_a_name_is_taken_letter_by_letter(store: Store, name: str) -> None:
    assert store.write(f"P/{name}", name.encode(), None)
    assert names(store) == [f"P/{name}"]
    assert store.read(f"P/{name}")[1] == name.encode()


def test_many_contents_are_written_together(store: Store) -> None:
    contents = [b"%d" % it for it in range(4)]
    with store.together(contents):
        assert all(store.write(f"P/{number}", it, None) for number, it in enumerate(contents))
    assert [store.read(f"P/{number}")[1] for number in range(4)] == contents
