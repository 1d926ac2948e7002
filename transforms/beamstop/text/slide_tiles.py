"""Tiles of slides (PS3.3 C.8.12.4), searched in blocks with a margin."""

from collections import OrderedDict, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from hashlib import blake2b

import numpy as np
from pydicom.dataset import Dataset

from beamstop.dicom.elements import MALFORMED
from beamstop.pixels.box import Box
from beamstop.pixels.frame import Cells, Frame, Frames
from beamstop.pixels.layout import Layout

_BLOCK = 1024  # pixels that are searched at once
_RING = 96  # pixels of margin around a block
_STEP = 6  # of 255 within 5 pixels: letters differ by more
_HELD = 1 << 26  # bytes of decoded tiles in memory

Place = tuple[int, int]  # row and column of a tile


@dataclass
class TilePlane:
    """Adjoining tiles: one focal plane of one optical path.

    Attributes:
        tiles: place → frame.
    """

    tiles: dict[Place, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Block:
    """Tiles that are searched at once.

    Attributes:
        inside: frames that belong to the block.
        parts: frame → its place in the picture, also for frames in the margin.
        shape: rows and columns of the picture.
    """

    inside: frozenset[int]
    parts: dict[int, Box]
    shape: tuple[int, int]


def planes_of(dataset: Dataset, layout: Layout) -> list[TilePlane] | None:
    """Return the tile planes of an instance; None if frames do not adjoin, or their positions are unknown.

    Frames with unused bits are searched one by one, because overlays may be in these; so are frames with a
    declared range of values.
    """
    if layout.frames < 2 or layout.floating or layout.bits_stored != layout.itemsize * 8:
        return None
    try:
        if "TotalPixelMatrixColumns" not in dataset or "SmallestImagePixelValue" in dataset:
            return None
        if str(dataset.get("DimensionOrganizationType") or "") == "TILED_FULL":
            places = _full(dataset, layout)
        else:
            places = [_stated(group, layout) for group in dataset.PerFrameFunctionalGroupsSequence]
    except MALFORMED:
        return None
    if len(places) != layout.frames:
        return None
    planes: list[TilePlane] = []
    seen: dict[Place, int] = defaultdict(int)
    for index, place in enumerate(places):
        number = seen[place]
        seen[place] += 1
        if number == len(planes):
            planes.append(TilePlane())
        planes[number].tiles[place] = index
    return planes


def _full(dataset: Dataset, layout: Layout) -> list[Place]:
    """Return the places of frames without gaps: row by row, plane after plane."""
    across = -(-int(dataset.TotalPixelMatrixColumns) // layout.columns)
    down = -(-int(dataset.TotalPixelMatrixRows) // layout.rows)
    count = across * down
    if count < 1 or layout.frames % count:
        return []
    return [divmod(index % count, across) for index in range(layout.frames)]


def _stated(group: Dataset, layout: Layout) -> Place:
    """Return the place that a frame declares.

    Raises:
        ValueError: it is not on the grid of tiles.
    """
    item = group.PlanePositionSlideSequence[0]
    row = int(item.RowPositionInTotalImagePixelMatrix) - 1
    column = int(item.ColumnPositionInTotalImagePixelMatrix) - 1
    if row % layout.rows or column % layout.columns:
        raise ValueError("tiles overlap")
    return row // layout.rows, column // layout.columns


def blocks(plane: TilePlane, layout: Layout) -> Iterator[Block]:
    """Yield the blocks of a plane, from top to bottom and left to right; each tile is inside one."""
    high, wide = (max(_BLOCK // side, 1) for side in (layout.rows, layout.columns))
    inside: dict[Place, list[Place]] = defaultdict(list)
    for row, column in plane.tiles:
        inside[row // high, column // wide].append((row, column))
    for places in (inside[key] for key in sorted(inside)):
        rows, columns = [row for row, _ in places], [column for _, column in places]
        whole = Box.of_edges(
            min(columns) * layout.columns,
            min(rows) * layout.rows,
            (max(columns) + 1) * layout.columns,
            (max(rows) + 1) * layout.rows,
        )
        yield _block(plane, layout, places, whole)


def _block(plane: TilePlane, layout: Layout, places: list[Place], whole: Box) -> Block:
    shown = Box.of_edges(
        max(whole.x - _RING, 0), max(whole.y - _RING, 0), whole.right + _RING, whole.bottom + _RING
    )
    parts = {}
    for row in range(shown.y // layout.rows, -(-shown.bottom // layout.rows)):
        for column in range(shown.x // layout.columns, -(-shown.right // layout.columns)):
            index = plane.tiles.get((row, column))
            if index is not None:
                left, top = column * layout.columns - shown.x, row * layout.rows - shown.y
                parts[index] = Box(left, top, layout.columns, layout.rows)
    bottom = min(shown.height, max(box.bottom for box in parts.values()))
    right = min(shown.width, max(box.right for box in parts.values()))
    return Block(frozenset(plane.tiles[place] for place in places), parts, (bottom, right))


class TileReader:
    """Decodes tiles, keeps a few, and remembers for each distinct one whether it may have a letter."""

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self._held: OrderedDict[int, Frame] = OrderedDict()
        self._bytes = 0
        self._known: dict[bytes, bool] = {}

    def may_show_text(self, index: int) -> bool:
        """Return whether a tile has steps anywhere: see `has_steps`."""
        digest = blake2b(self._frames.stored(index), digest_size=16).digest()
        if digest not in self._known:
            frame = self._frame(index)
            self._known[digest] = has_steps(frame)
        return self._known[digest]

    def picture(self, block: Block) -> Frame:
        """Return a block as one frame; places without a tile get its commonest colour."""
        first, *_ = block.parts
        frame = self._frame(first)
        rows, columns = block.shape
        cells = np.zeros((rows, columns, *frame.cells.shape[2:]), frame.cells.dtype)
        filled = np.zeros((rows, columns), bool)
        for index, part in block.parts.items():
            inside = part.cut(rows, columns)
            if inside is not None:
                tile = self._frame(index).cells
                cells[inside.pixels] = tile[
                    inside.y - part.y : inside.bottom - part.y, inside.x - part.x : inside.right - part.x
                ]
                filled[inside.pixels] = True
        if not filled.all():
            cells[~filled] = np.median(cells[filled], axis=0).astype(cells.dtype)
        layout = replace(frame.layout, rows=rows, columns=columns)
        return Frame(cells, layout, frame.photometric, frame.dataset)

    def _frame(self, index: int) -> Frame:
        if index in self._held:
            self._held.move_to_end(index)
            return self._held[index]
        frame = self._frames.decode(index)
        self._held[index] = frame
        self._bytes += frame.cells.nbytes
        while self._bytes > _HELD and len(self._held) > 1:
            _, dropped = self._held.popitem(last=False)
            self._bytes -= dropped.cells.nbytes
        return frame


def has_steps(frame: Frame) -> bool:
    """Return whether a frame changes by more than 6 of 255 within 5 pixels, in any channel, as letters do.

    Glass, tissue out of focus and an even colour do not; a letter blurred by 6 pixels does, from a contrast
    of 25 on.
    """
    import cv2

    window = np.ones((5, 5), np.uint8)
    channels = frame.values()
    limit = _STEP * (1 << frame.layout.bits_stored) / 256
    depth: Cells = channels if channels.dtype in (np.uint8, np.uint16) else channels.astype(np.float32)
    apart = cv2.dilate(depth, window).astype(np.float32) - cv2.erode(depth, window)
    return bool(apart.max() > limit)
