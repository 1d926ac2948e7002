"""From patterns to sources."""

import os
import re
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.testing.util import assert_that, equal_to

from beamstop_transforms.instance import Source
from beamstop_transforms.match import (
    Branch,
    Match,
    _are_apart,
    _as_expression,
    branch,
    find_sources,
    list_branch,
)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("a.dcm", "b.txt", "deep/c.dcm", "deep/er/d.dcm", ".hidden.dcm", ".partial/new/e.dcm"):
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path / "tree"


def found(pattern: Path | str) -> list[str]:
    return sorted(os.path.basename(source.path) for source in find_sources(str(pattern)))


def test_a_folder_is_searched_to_the_bottom_but_not_in_partial(tree: Path) -> None:
    assert found(tree) == [".hidden.dcm", "a.dcm", "b.txt", "c.dcm", "d.dcm"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("a.dcm", ["a.dcm"]),
        ("*.dcm", [".hidden.dcm", "a.dcm"]),
        ("d*", ["c.dcm", "d.dcm"]),
        ("**/*.dcm", [".hidden.dcm", "a.dcm", "c.dcm", "d.dcm"]),
        ("**", [".hidden.dcm", "a.dcm", "b.txt", "c.dcm", "d.dcm"]),
        ("**/**/*.dcm", [".hidden.dcm", "a.dcm", "c.dcm", "d.dcm"]),
        ("[ab].*", ["a.dcm", "b.txt"]),
        ("nothing*", []),
    ],
)
def test_a_glob_finds_files_and_enters_folders(tree: Path, pattern: str, expected: list[str]) -> None:
    assert found(tree / pattern) == expected


def test_a_name_with_brackets_is_taken_as_it_is(tree: Path) -> None:
    (tree / "[1].dcm").write_bytes(b"x")
    assert found(tree / "[1].dcm") == ["[1].dcm"]


@pytest.mark.parametrize("pattern", ["", "**/*.dcm"])
def test_a_symbolic_link_back_up_does_not_loop(tree: Path, pattern: str) -> None:
    (tree / "deep" / "up").symlink_to(tree)
    assert found(tree / pattern if pattern else tree).count("c.dcm") == 1


def test_links_that_lead_out_of_the_input_are_followed(
    tree: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """docs/security.md says who can thereby decide what is read."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for name in ("alone.dcm", "among.dcm"):
        (elsewhere / name).write_bytes(b"x")
    (tree / "file.dcm").symlink_to(elsewhere / "alone.dcm")
    (tree / "folder").symlink_to(elsewhere)
    assert {"file.dcm", "alone.dcm", "among.dcm"} <= set(found(tree))


def test_a_dangling_link_is_a_source_that_will_fail(tree: Path) -> None:
    (tree / "gone.dcm").symlink_to(tree / "nowhere")
    assert "gone.dcm" in found(tree)


def test_size_and_modification_time_are_told(tree: Path) -> None:
    os.utime(tree / "a.dcm", ns=(1, 1_700_000_000_123_456_789))
    (source,) = find_sources(str(tree / "a.dcm"))
    assert (source.size, source.version) == (1, "1700000000123456789")


def test_a_name_of_any_bytes_is_found(tree: Path) -> None:
    name = b"\xff\xfe\n.dcm"
    Path(os.fsdecode(os.path.join(os.fsencode(tree), name))).write_bytes(b"x")
    assert os.path.join(os.fsencode(tree), name) in {source.raw_path for source in find_sources(str(tree))}


def test_a_source_that_two_patterns_name_is_one_source(tree: Path) -> None:
    patterns = [str(tree), str(tree / "*.dcm"), str(tree / "deep" / ".." / "a.dcm")]
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        names = pipeline | Match(patterns) | beam.Map(lambda source: os.path.basename(source.path))
        assert_that(names, equal_to([".hidden.dcm", "a.dcm", "b.txt", "c.dcm", "d.dcm"]))


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("gs://b/p/**", "gs://b/p/x/y.dcm", True),
        ("gs://b/p/*", "gs://b/p/x/y.dcm", False),
        ("gs://b/p/*.dcm", "gs://b/p/y.dcm", True),
        ("gs://b/p/?.dcm", "gs://b/p/y.dcm", True),
    ],
)
def test_a_star_stays_in_its_folder_two_do_not(pattern: str, name: str, fits: bool) -> None:
    assert bool(re.fullmatch(_as_expression(pattern), name)) is fits


def test_many_folders_become_branches_and_nothing_is_lost_or_found_twice(tmp_path: Path) -> None:
    for number in range(300):
        folder = tmp_path / f"{number % 10}" / f"{number}"
        folder.mkdir(parents=True)
        (folder / "a.dcm").write_bytes(b"x")
    (tmp_path / "top.dcm").write_bytes(b"x")
    found = list(branch(str(tmp_path)))
    branches = [it for it in found if isinstance(it, Branch)]
    assert len(branches) >= 200
    below = [source.path for it in branches for source in list_branch(it)]
    every = [it.path for it in found if isinstance(it, Source)] + below
    assert len(every) == len(set(every)) == 301


def test_sources_above_the_branches_are_found_by_the_transform_too(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"{number}").mkdir()
        (tmp_path / f"{number}" / "a.dcm").write_bytes(b"x")
    (tmp_path / "top.dcm").write_bytes(b"x")
    expected = sorted(str(path) for path in tmp_path.rglob("*.dcm"))
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        paths = pipeline | Match([str(tmp_path)]) | beam.Map(lambda source: source.path)
        assert_that(paths, equal_to(expected))


@pytest.mark.parametrize(
    ("patterns", "apart"),
    [
        (["/a/b"], True),
        (["/a/b", "/a/bc", "gs://a/b", "gs://a/bc"], True),
        (["/a/b", "/a/b/c"], False),
        (["/a/c", "/a", "/b"], False),
        (["/a/b", "/a/x/../b"], False),
        (["/a/b*", "/a/c*"], False),
        (["gs://a/b/**", "gs://a/b/c"], False),
        (["gs://a/b/*.dcm", "gs://a/c/*.dcm"], True),
    ],
)
def test_patterns_are_apart_where_no_source_can_fit_two(patterns: list[str], apart: bool) -> None:
    assert _are_apart(patterns) is apart
