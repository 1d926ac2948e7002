"""Tiles of slides: letters across borders are found, tiles without steps are passed over."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset
from tests.core.pixel_fixtures import compressed, hide

from beamstop.errors import PixelError
from beamstop.pixels.box import Box
from beamstop.pixels.frames import open_frames
from beamstop.pixels.renditions import Picture
from beamstop.testing import BlockDetector, make_image
from beamstop.text.boxes import TextBox
from beamstop.text.detector import TextPolicy
from beamstop.text.hiding import TextRemainsError
from beamstop.text.regions import Region
from beamstop.text.slide_tiles import TileReader, blocks, has_steps, planes_of

SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
GLASS = 232
SIDE = 64


def matrix(rows: int, columns: int) -> NDArray[np.uint8]:
    return np.full((rows * SIDE, columns * SIDE, 3), GLASS, np.uint8)


def tiled(picture: NDArray[np.uint8], order: Sequence[int] | None = None, **header: Any) -> FileDataset:
    """Return a slide of tiles: TILED_FULL, or TILED_SPARSE with the tiles in an order of their own."""
    rows, columns = picture.shape[0] // SIDE, picture.shape[1] // SIDE
    tiles = [
        picture[row * SIDE : (row + 1) * SIDE, column * SIDE : (column + 1) * SIDE]
        for row in range(rows)
        for column in range(columns)
    ]
    numbers = range(len(tiles)) if order is None else order
    dataset = make_image(np.stack([tiles[it] for it in numbers]), "RGB", SOPClassUID=SLIDE, **header)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    dataset.TotalPixelMatrixRows, dataset.TotalPixelMatrixColumns = picture.shape[:2]
    dataset.DimensionOrganizationType = "TILED_FULL" if order is None else "TILED_SPARSE"
    if order is not None:
        dataset.PerFrameFunctionalGroupsSequence = [_group(it // columns, it % columns) for it in order]
    return dataset


def _group(row: int, column: int) -> Dataset:
    position, group = Dataset(), Dataset()
    position.RowPositionInTotalImagePixelMatrix = row * SIDE + 1
    position.ColumnPositionInTotalImagePixelMatrix = column * SIDE + 1
    group.PlanePositionSlideSequence = [position]
    return group


def assembled(dataset: Dataset, rows: int, columns: int, order: Sequence[int] | None = None) -> Any:
    frames = open_frames(dataset)
    assert frames is not None
    whole = np.zeros((rows * SIDE, columns * SIDE, 3), np.uint8)
    for index, number in enumerate(range(rows * columns) if order is None else order):
        row, column = divmod(number, columns)
        whole[row * SIDE : (row + 1) * SIDE, column * SIDE : (column + 1) * SIDE] = frames.decode(index).cells
    return whole


class WholeWordDetector(BlockDetector):
    """Finds a dark block only where all of it is seen: 40 pixels wide, 20 high."""

    def find(self, picture: Picture) -> list[TextBox]:
        self.looks.append((picture.shape[0], picture.shape[1]))
        count, _, stats, _ = cv2.connectedComponentsWithStats((picture < 40).astype(np.uint8))
        return [
            TextBox(left, top, width, height)
            for left, top, width, height, _ in stats[1:count].tolist()
            if 36 < width < 44 and 16 < height < 24
        ]


@pytest.mark.parametrize("order", [None, [5, 3, 4, 0, 2, 1]])
def test_a_letter_across_the_borders_of_tiles_is_hidden(order: Sequence[int] | None) -> None:
    picture = matrix(2, 3)
    picture[54:74, 44:84] = 30  # in four tiles
    dataset = tiled(picture, order)
    report = hide(dataset, TextPolicy(), WholeWordDetector())
    after = assembled(dataset, 2, 3, order)
    assert not after[54:74, 44:84].any()
    assert (after[:40] == GLASS).all()
    touched = (
        {0, 1, 3, 4} if order is None else {index for index, it in enumerate(order) if it in (0, 1, 3, 4)}
    )
    assert {change.frame for change in report.changes} == touched
    assert report.text_boxes_hidden == 4
    assert (report.frames, report.frames_examined, report.examined) == (6, 6, True)


def test_a_letter_between_two_blocks_is_hidden_once() -> None:
    picture = matrix(1, 20)
    picture[20:40, 1024 - 20 : 1024 + 20] = 30
    dataset = tiled(picture)
    report = hide(dataset, TextPolicy(), WholeWordDetector())
    assert not assembled(dataset, 1, 20)[20:40, 1004:1044].any()
    assert [(change.frame, change.action) for change in report.changes] == [(15, "X"), (16, "X")]


def test_tiles_that_were_not_touched_keep_their_bytes() -> None:
    picture = matrix(2, 2)
    picture[90:110, 80:120] = 30
    dataset = tiled(picture)
    streams = compressed(dataset, "1.2.840.10008.1.2.4.90")
    hide(dataset, TextPolicy(), WholeWordDetector())
    frames = open_frames(dataset)
    assert frames is not None
    assert [frames.stored(index) == streams[index] for index in range(4)] == [True, True, True, False]
    assert not assembled(dataset, 2, 2)[90:110, 80:120].any()


def test_blocks_of_glass_are_passed_over() -> None:
    detector = WholeWordDetector()
    report = hide(tiled(matrix(2, 3)), TextPolicy(), detector)
    assert detector.looks == []
    assert report.examined


@pytest.mark.parametrize(
    ("rows", "columns", "word"),
    [
        (1, 40, np.s_[20:40, 2000:2040]),
        (40, 1, np.s_[2030:2050, 12:52]),
        (20, 20, np.s_[1014:1034, 1004:1044]),
    ],
)
def test_a_block_behind_or_below_one_of_glass_is_searched(rows: int, columns: int, word: Any) -> None:
    picture = matrix(rows, columns)
    picture[word] = 30
    dataset = tiled(picture)
    hide(dataset, TextPolicy(), WholeWordDetector())
    after = assembled(dataset, rows, columns)
    assert not after[word].any()
    assert after.any(axis=2).sum() > after.shape[0] * after.shape[1] - 60 * 40


def test_every_tile_is_inside_one_block() -> None:
    dataset = tiled(matrix(3, 20))
    frames = open_frames(dataset)
    assert frames is not None
    (plane,) = planes_of(dataset, frames.layout) or ()
    inside = [index for block in blocks(plane, frames.layout) for index in block.inside]
    assert sorted(inside) == list(range(60))


def test_a_place_without_a_tile_is_shown_in_the_middle_colour_of_the_others() -> None:
    picture = matrix(2, 2)
    picture[:] = (200, 100, 150)
    picture[:8, :8] = (0, 255, 3)
    dataset = tiled(picture, [0, 1, 3])  # the third is missing
    frames = open_frames(dataset)
    assert frames is not None
    (plane,) = planes_of(dataset, frames.layout) or ()
    (block,) = blocks(plane, frames.layout)
    assert (TileReader(frames).picture(block).cells == picture).all()


def test_focal_planes_are_not_mixed() -> None:
    picture = matrix(2, 2)
    dataset = tiled(picture)
    dataset.PixelData, dataset.NumberOfFrames = dataset.PixelData * 2, 8
    frames = open_frames(dataset)
    assert frames is not None
    planes = planes_of(dataset, frames.layout) or []
    assert [sorted(plane.tiles.values()) for plane in planes] == [[0, 1, 2, 3], [4, 5, 6, 7]]


@pytest.mark.parametrize("wrong", ["no", "matrix", "positions"])
def test_tiles_that_do_not_say_where_they_lie_are_searched_one_by_one(wrong: str) -> None:
    picture = matrix(1, 2)
    picture[20:40, 10:50] = 30
    dataset = tiled(picture, [0, 1] if wrong == "positions" else None)
    if wrong == "no":
        del dataset.TotalPixelMatrixColumns
    elif wrong == "matrix":
        dataset.TotalPixelMatrixColumns = 3 * SIDE
    else:
        del dataset.PerFrameFunctionalGroupsSequence[1].PlanePositionSlideSequence
    hide(dataset, TextPolicy(), WholeWordDetector())
    assert not assembled(dataset, 1, 2)[20:40, 10:50].any()


@pytest.mark.parametrize("size", [0.5, 0.8, 1.5, 3])
@pytest.mark.parametrize("contrast", [20, 40, 120])
@pytest.mark.parametrize("blur", [0, 1])
def test_a_tile_with_letters_is_never_passed_over(size: float, contrast: int, blur: float) -> None:
    for channel in (0, 1, 2, slice(None)):
        picture = np.full((256, 256, 3), 200, np.uint8)
        letters = np.zeros((256, 256), np.uint8)
        cv2.putText(letters, "Roe", (20, 150), cv2.FONT_HERSHEY_SIMPLEX, size, 255, max(round(size * 2), 1))
        soft = cv2.GaussianBlur(letters, (0, 0), blur) if blur else letters
        picture[..., channel] -= (soft / 255 * contrast).astype(np.uint8)[..., None][
            ..., 0 if isinstance(channel, int) else slice(None)
        ]
        assert has_steps(frame_of(picture))


@pytest.mark.parametrize("contrast", [30, 120])
def test_a_tile_with_soft_letters_is_not_passed_over(contrast: int) -> None:
    letters = np.zeros((256, 256), np.uint8)
    cv2.putText(letters, "Roe", (20, 150), cv2.FONT_HERSHEY_SIMPLEX, 2, 255, 6)
    soft = cv2.GaussianBlur(letters.astype(np.float32), (0, 0), 5)
    picture = np.repeat((200 - soft / 255 * contrast)[..., None], 3, axis=2).astype(np.uint8)
    assert has_steps(frame_of(picture))


def test_glass_with_noise_has_no_steps() -> None:
    noise = np.random.default_rng(1).integers(-3, 4, (256, 256, 3))
    assert not has_steps(frame_of((GLASS + noise).astype(np.uint8)))


def frame_of(picture: NDArray[np.uint8]) -> Any:
    frames = open_frames(make_image(picture, "RGB"))
    assert frames is not None
    return frames.decode(0)


class RemainingDetector(BlockDetector):
    """Finds another piece of text at each look, the third one across the borders of four tiles."""

    def find(self, picture: Picture) -> list[TextBox]:
        self.looks.append((picture.shape[0], picture.shape[1]))
        if len(self.looks) == 3:
            return [TextBox(SIDE - 10, SIDE - 8, 30, 20)]
        return [TextBox(100, 4 + 30 * len(self.looks), 12, 12)]


def test_text_that_remains_is_listed_in_pixels_of_each_tile_as_a_recipe_leaves_it() -> None:
    picture = matrix(2, 3)
    picture[54:74, 44:84] = 30
    with pytest.raises(PixelError) as raised:
        hide(tiled(picture), TextPolicy(), RemainingDetector())
    assert raised.value.reason == "text_remains"
    assert raised.value.detail == (
        "PixelData frame 0: [54, 56, 10, 8]; PixelData frame 1: [0, 56, 20, 8]; "
        "PixelData frame 3: [54, 0, 10, 12]; PixelData frame 4: [0, 0, 20, 12]"
    )
    assert isinstance(raised.value, TextRemainsError)
    still = [change for change in raised.value.changes if not change.action]
    assert [(change.frame, change.x, change.y) for change in still] == [
        (0, 54, 56),
        (1, 0, 56),
        (3, 54, 0),
        (4, 0, 0),
    ]
    boxes = ((54, 56, 10, 8), (0, 56, 20, 8), (54, 0, 10, 12), (0, 0, 20, 12))
    leave = (Region(None, tuple(Box(*box) for box in boxes)),)
    report = hide(tiled(picture), TextPolicy(leave=leave), RemainingDetector())
    assert report.examined is False
    assert {change.frame for change in report.changes if change.why == "left"} == {0, 1, 3, 4}
