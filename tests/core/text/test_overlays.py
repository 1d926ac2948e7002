"""Text in overlay planes."""

import numpy as np
import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRBigEndian
from tests.core.pixel_fixtures import BLOCK, COLUMNS, HIDDEN, ROWS

from beamstop.changes import Change
from beamstop.testing import BlockDetector
from beamstop.text.detector import TextPolicy
from beamstop.text.judge import TextJudge
from beamstop.text.overlays import clear_embedded_overlays, hide_overlay_text


def overlay(planes: np.ndarray, group: int = 0x6002) -> Dataset:
    frames, rows, columns = planes.shape
    dataset = Dataset()
    dataset.add_new((group, 0x0010), "US", rows)
    dataset.add_new((group, 0x0011), "US", columns)
    dataset.add_new((group, 0x0015), "IS", frames)
    dataset.add_new((group, 0x3000), "OW", np.packbits(planes.ravel(), bitorder="little").tobytes())
    return dataset


def planes_of(dataset: Dataset, shape: tuple[int, int, int]) -> np.ndarray:
    bits = np.unpackbits(np.frombuffer(dataset[0x6002, 0x3000].value, "u1"), bitorder="little")
    return bits[: np.prod(shape)].reshape(shape)


def test_text_is_cleared_from_its_plane_only() -> None:
    planes = np.zeros((2, ROWS, COLUMNS), "u1")
    planes[0, 70, 5:100] = 1  # a line that somebody drew
    planes[1] = planes[0]
    planes[1][BLOCK] = 1
    dataset = overlay(planes)
    changes = hide_overlay_text(dataset, TextJudge(TextPolicy(), dataset), BlockDetector())
    planes[1][HIDDEN] = 0
    assert np.array_equal(planes_of(dataset, planes.shape), planes)
    assert changes == [
        Change("", "(6002,3000)", "OW", "X", "text", frame=1, x=26, y=16, width=48, height=22, why="text")
    ]


def test_words_of_a_plane_are_swapped_in_big_endian() -> None:
    """OW swaps the bytes of each word (PS3.5 6.2): read without that, letters fall to pieces."""
    planes = np.zeros((1, ROWS, COLUMNS), "u1")
    planes[0][BLOCK] = 1
    dataset = overlay(planes)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    element = dataset[0x6002, 0x3000]
    element.value = np.frombuffer(element.value, "u2").byteswap().tobytes()
    (change,) = hide_overlay_text(dataset, TextJudge(TextPolicy(), dataset), BlockDetector())
    assert (change.x, change.y, change.width, change.height) == (26, 16, 48, 22)
    assert not any(element.value)


def test_plane_without_text_keeps_its_bytes() -> None:
    planes = np.zeros((1, ROWS, COLUMNS), "u1")
    planes[0, 70, 5:100] = 1
    dataset = overlay(planes)
    before = dataset[0x6002, 0x3000].value
    assert hide_overlay_text(dataset, TextJudge(TextPolicy(), dataset), BlockDetector()) == []
    assert dataset[0x6002, 0x3000].value is before


def test_bits_beyond_the_last_plane_are_cleared() -> None:
    dataset = overlay(np.zeros((1, ROWS, COLUMNS), "u1"))
    dataset[0x6002, 0x3000].value += b"Roe^Jane"
    hide_overlay_text(dataset, TextJudge(TextPolicy(), dataset), BlockDetector())
    assert not any(dataset[0x6002, 0x3000].value)


@pytest.mark.parametrize("rows", [0, 4000, None, -4, "many"])
def test_plane_that_does_not_fit_its_data_goes_with_its_group(rows: object) -> None:
    dataset = overlay(np.ones((1, ROWS, COLUMNS), "u1"))
    dataset.add_new(0x60000022, "LO", "another group")
    dataset[0x6002, 0x0010] = DataElement(0x60020010, "LO" if rows == "many" else "SS", rows)
    changes = hide_overlay_text(dataset, TextJudge(TextPolicy(), dataset), BlockDetector())
    assert changes == [Change("", "(6002,3000)", "OW", "X", "text", why="overlay")]
    assert [tag >> 16 for tag in dataset._dict] == [0x6000]


@pytest.mark.parametrize("short", [1, 2, 900])
def test_plane_whose_data_are_cut_short_goes_with_its_group(short: int) -> None:
    dataset = overlay(np.ones((1, ROWS, COLUMNS), "u1"))
    dataset[0x6002, 0x3000].value = dataset[0x6002, 0x3000].value[:-short]
    changes = hide_overlay_text(dataset, TextJudge(TextPolicy(), dataset), BlockDetector())
    assert [change.why for change in changes] == ["overlay"]
    assert not dataset._dict


def test_plane_whose_data_are_no_bytes_goes() -> None:
    dataset = overlay(np.ones((1, ROWS, COLUMNS), "u1"))
    dataset[0x6002, 0x3000] = DataElement(0x60023000, "US", [65535] * 600)
    changes = hide_overlay_text(dataset, TextJudge(TextPolicy(), dataset), BlockDetector())
    assert [(change.vr, change.why) for change in changes] == [("OW", "overlay")]


def test_instance_without_overlays_is_left_alone() -> None:
    assert hide_overlay_text(Dataset(), TextJudge(TextPolicy(), Dataset()), BlockDetector()) == []


def test_a_plane_without_data_goes_with_its_group() -> None:
    dataset = Dataset()
    for element, vr in ((0x0010, "US"), (0x0011, "US"), (0x0040, "CS"), (0x0102, "US"), (0x3000, "OW")):
        dataset.add_new((0x6000, element), vr, None)
    dataset.add_new((0x6002, 0x0010), "US", 4)
    assert not clear_embedded_overlays(dataset)
    assert hide_overlay_text(dataset, TextJudge(TextPolicy(), dataset), BlockDetector()) == []
    assert [tag >> 16 for tag in dataset._dict] == [0x6002]


@pytest.mark.parametrize(
    ("group", "is_overlay"),
    [(0x6000, True), (0x601E, True), (0x60FE, True), (0x6001, False), (0x6100, False), (0x5FFE, False)],
)
@pytest.mark.parametrize("says_how_many", [True, False])
def test_even_groups_from_6000_to_60fe_are_overlays_of_one_plane_if_they_do_not_say(
    group: int, is_overlay: bool, says_how_many: bool
) -> None:
    planes = np.zeros((1, ROWS, COLUMNS), "u1")
    planes[0][BLOCK] = 1
    dataset = overlay(planes, group)
    if not says_how_many:
        del dataset[group, 0x0015]
    changes = hide_overlay_text(dataset, TextJudge(TextPolicy(), dataset), BlockDetector())
    assert [it.tag for it in changes] == ([f"({group:04X},3000)"] if is_overlay else [])
    assert any(dataset[group, 0x3000].value) != is_overlay
