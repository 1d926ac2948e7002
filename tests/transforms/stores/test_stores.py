"""Whole objects under their names."""

import os
from pathlib import Path

import pytest

from beamstop_transforms.stores import StoreError, open_store
from beamstop_transforms.stores.local import LocalStore


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(str(tmp_path / "store"))


def test_what_is_written_is_found(store: LocalStore) -> None:
    assert store.write("a/b.dcm", b"data", None)
    found = store.find("a/b.dcm")
    assert found is not None
    assert found.sha256 == "3a6eb0790f39ac87c94f3856b2dd2c5d110e6811602261a9a923d3bb23adc8b7"


def test_an_unexpected_version_is_left_alone(store: LocalStore) -> None:
    assert store.write("a", b"one", None)
    assert not store.write("a", b"two", None)
    assert store.read("a")[1] == b"one"


def test_the_expected_version_is_replaced(store: LocalStore) -> None:
    store.write("a", b"one", None)
    assert store.write("a", b"two", store.find("a").version)
    assert store.read("a")[1] == b"two"


def test_a_file_that_cannot_be_finished_leaves_nothing(store: LocalStore, tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        store.write("a", "no bytes", None)  # type: ignore[arg-type]
    assert [path for path in (tmp_path / "store").rglob("*") if path.is_file()] == []


def test_folders_are_the_owners_alone(store: LocalStore, tmp_path: Path) -> None:
    store.write("a/b/c", b"", None)
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "store").rglob("*") if path.is_dir()}
    assert modes == {0o700}


def test_an_empty_name_is_not_the_root_of_the_file_system() -> None:
    with pytest.raises(StoreError, match="is empty"):
        open_store("")


def test_a_folder_that_is_a_link_is_an_error(store: LocalStore, tmp_path: Path) -> None:
    store.write("b", b"", None)
    (tmp_path / "store" / "a").symlink_to(tmp_path / "nowhere")
    with pytest.raises(StoreError, match="is a link") as raised:
        store.write("a/b", b"data", None)
    assert "/a" not in str(raised.value).replace(str(tmp_path), "")


def test_removing_takes_empty_folders_along(store: LocalStore, tmp_path: Path) -> None:
    store.write("a/b/c", b"", None)
    store.write("a/d", b"", None)
    store.remove("a/b/c")
    store.remove("never/there")
    assert os.listdir(tmp_path / "store" / "a") == ["d"]


def test_what_is_written_together_is_as_if_each_was_written_alone(store: LocalStore, tmp_path: Path) -> None:
    first, second, third = b"one", b"two", b"three"
    with store.together([first, second, third]):
        assert store.write("a/1", first, None)
        assert not store.write("a/1", second, None)
        assert store.write("a/2", second, None)
        assert store.read("a/2")[1] == b"two"
    files = {path.name: path.read_bytes() for path in (tmp_path / "store" / "a").iterdir()}
    assert files == {"1": b"one", "2": b"two"}
    assert list((tmp_path / "store" / ".partial" / "new").iterdir()) == []
