"""Rows on disk: each is found by its number, wherever blocks and files end; a changed one is not believed."""

from bisect import bisect_left
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from beamstop_transforms.ledger import sorted_rows
from beamstop_transforms.ledger.sorted_rows import SealBrokenError, Shelf, SortedRows, write_sorted

ROW = np.dtype([("number", "<u8"), ("at", "<u2")])
KEY = bytes(range(32))
BLOCK, TAG = 64, 16


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(str(tmp_path), "rows")


@pytest.fixture
def two_blocks_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sorted_rows, "FILE_BLOCKS", 2)
    monkeypatch.setattr(sorted_rows, "_FILE_ROWS", 2 * BLOCK)


def rows_of(numbers: list[int]) -> Any:
    return np.array([(number, at) for at, number in enumerate(numbers)], ROW)


def written(shelf: Shelf, numbers: list[int], parts: int = 1) -> SortedRows:
    count, _ = write_sorted(shelf, "n", ROW, np.array_split(rows_of(numbers), parts), KEY)
    assert count == len(numbers)
    return SortedRows(shelf, "n", ROW, count, KEY)


def places(rows: SortedRows, number: int) -> list[tuple[int, int]]:
    """Return where a number is found, and what its rows say of that."""
    return [(at, int(np.frombuffer(row, ROW)["at"][0])) for at, row in rows.find(number)]


@pytest.mark.usefixtures("two_blocks_a_file")
@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 127, 128, 129, 256, 257])
@pytest.mark.parametrize("parts", [1, 3, 40])
def test_each_number_is_found_at_its_place_and_no_other_is(shelf: Shelf, count: int, parts: int) -> None:
    rows = written(shelf, [3 * number + 1 for number in range(count)], parts)
    assert len(rows) == count
    assert [places(rows, 3 * number + 1) for number in range(count)] == [[(it, it)] for it in range(count)]
    assert [places(rows, it) for it in (0, 2, 3 * count, 3 * count + 1, (1 << 64) - 1)] == [[]] * 5


@pytest.mark.usefixtures("two_blocks_a_file")
@pytest.mark.parametrize("before", [0, 1, 60, 63, 64, 65, 127, 128])
@pytest.mark.parametrize("equal", [2, 64, 200])
def test_equal_numbers_are_all_found_in_as_many_blocks_as_they_take(
    shelf: Shelf, before: int, equal: int
) -> None:
    rows = written(shelf, [*range(before), *([500] * equal), 501])
    assert places(rows, 500) == [(it, it) for it in range(before, before + equal)]
    assert places(rows, 501) == [(before + equal, before + equal)]


def test_a_number_is_not_found_in_bytes_that_belong_to_two_rows(shelf: Shelf) -> None:
    numbers = [0, 1 << 48, 2 << 48]
    astride = int.from_bytes(rows_of(numbers).tobytes()[16:24], "little")
    assert astride < 1 << 48
    assert places(written(shelf, numbers), astride) == []


@pytest.mark.usefixtures("two_blocks_a_file")
def test_between_two_numbers_are_all_rows_from_the_one_to_before_the_other(shelf: Shelf) -> None:
    numbers = sorted([*range(0, 600, 2), *([200] * 70)])
    rows = written(shelf, numbers)
    ends = [0, 1, 2, 127, 128, 199, 200, 201, 254, 256, 598, 599, 1000]
    for low in ends:
        for high in (it for it in ends if it >= low):
            begin, found = rows.between(low, high)
            first, last = bisect_left(numbers, low), bisect_left(numbers, high)
            assert (begin, found["at"].tolist()) == (first, list(range(first, last)))


def test_the_largest_number_of_64_bits_is_below_the_end(shelf: Shelf) -> None:
    rows = written(shelf, [1, (1 << 64) - 1])
    assert [rows.between(2, end)[1]["at"].tolist() for end in ((1 << 64) - 1, 1 << 64)] == [[], [1]]


@pytest.mark.usefixtures("two_blocks_a_file")
def test_files_hold_two_blocks_each_and_their_digests_are_told(shelf: Shelf) -> None:
    _, files = write_sorted(shelf, "n", ROW, [rows_of(list(range(300)))], KEY)
    assert list(files) == ["n-00000", "n-00001", "n-00002", "n-fences"]
    assert {name: shelf.digest(name) for name in files} == files
    sizes = {name: len(shelf.read(name) or b"") for name in files}
    assert sizes == {
        **dict.fromkeys(("n-00000", "n-00001"), 2 * (BLOCK * ROW.itemsize + TAG)),
        "n-00002": 44 * ROW.itemsize + TAG,
        "n-fences": 5 * 8 + TAG,
    }


def test_without_rows_nothing_is_written(shelf: Shelf) -> None:
    assert write_sorted(shelf, "n", ROW, [rows_of([]), rows_of([])], KEY) == (0, {})
    assert shelf.names() == set()


def changed(at: int) -> Callable[[bytes], bytes]:
    return lambda data: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


STRIDE = BLOCK * ROW.itemsize + TAG


@pytest.mark.parametrize(
    "spoil",
    [
        *(changed(it) for it in (0, BLOCK * ROW.itemsize - 1, BLOCK * ROW.itemsize, STRIDE - 1)),
        lambda data: data[: STRIDE - 1],
        lambda data: data[STRIDE : 2 * STRIDE] + data[:STRIDE] + data[2 * STRIDE :],
        lambda data: data[STRIDE : 2 * STRIDE] + data[STRIDE:],
        lambda data: b"",
    ],
)
def test_a_block_that_was_changed_cut_or_moved_is_not_believed(
    shelf: Shelf, spoil: Callable[[bytes], bytes]
) -> None:
    rows = written(shelf, list(range(150)))
    shelf.write("n-00000", spoil(shelf.read("n-00000") or b""))
    with pytest.raises(SealBrokenError):
        list(rows.find(7))
    with pytest.raises(SealBrokenError):
        rows.between(7, 8)


@pytest.mark.parametrize("spoil", [changed(0), changed(8), changed(-1 + 3 * 8 + TAG), lambda data: b""])
def test_first_numbers_that_were_changed_are_not_believed(
    shelf: Shelf, spoil: Callable[[bytes], bytes]
) -> None:
    written(shelf, list(range(150)))
    shelf.write("n-fences", spoil(shelf.read("n-fences") or b""))
    with pytest.raises(SealBrokenError):
        SortedRows(shelf, "n", ROW, 150, KEY)


def test_another_key_and_another_count_open_nothing(shelf: Shelf) -> None:
    written(shelf, list(range(150)))
    for count, key in ((150, bytes(32)), (BLOCK * 2, KEY), (BLOCK * 3 + 1, KEY)):
        with pytest.raises(SealBrokenError):
            SortedRows(shelf, "n", ROW, count, key)


def test_a_file_that_is_gone_is_no_empty_one(shelf: Shelf) -> None:
    rows = written(shelf, [1])
    shelf.remove("n-00000")
    with pytest.raises(SealBrokenError, match=r"^rows/n-00000 is gone$"):
        list(rows.find(1))
    assert (shelf.digest("n-00000"), shelf.read("n-00000")) == (None, None)
