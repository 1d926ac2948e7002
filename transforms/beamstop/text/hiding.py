"""Hiding text and codes on a canvas and in the frames of an instance: search, blank, search again."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Protocol, TypeVar

import numpy as np
from pydicom.dataset import Dataset

from beamstop.changes import Change
from beamstop.dicom.deadline import check_time
from beamstop.errors import PixelError
from beamstop.identity import Identity
from beamstop.pixels.box import Box
from beamstop.pixels.frame import Frame, Frames
from beamstop.pixels.frames import open_frames
from beamstop.pixels.layout import PIXEL_TAGS
from beamstop.pixels.renditions import Mask, Picture, Plane
from beamstop.rules.slide_labels import shows_slide_label
from beamstop.text.boxes import TextBox, believed, is_mostly_in, mark, within
from beamstop.text.codes import find_codes
from beamstop.text.detector import TextDetector
from beamstop.text.judge import CODE, TextJudge
from beamstop.text.regions import boxes_of, scan_boxes
from beamstop.text.slide_tiles import TilePlane, TileReader, blocks, planes_of

_B = TypeVar("_B", bound=Box)
_LOOKS = 3  # search, search again, search once more
_MARGIN = 2  # pixels beside blanked areas that do not count on their own
TEXT_REMAINS = "text_remains"
_LETTER = 5  # pixels, the smallest letter, down and across
_SLACK = 4  # pixels by which boxes differ from frame to frame
_LISTED = 20  # boxes that an error lists
_ENDLESS = 1 << 16, 1 << 16  # more than any number of rows and columns
_REACH = 64  # pixels that a change can affect: twice the reach of renditions.local_contrast


@dataclass
class PixelReport:
    """The results for the pixels of one instance.

    Attributes:
        frames: of the instance.
        frames_examined: frames searched, or equal to one that was searched.
        frames_cleaned: frames with extras that were cut.
        text_boxes_hidden, text_boxes_kept: over all frames, device regions among the hidden.
        text_residue: boxes "found" again inside hidden areas; a flag, since detectors see edges.
        pixels_changed: pixel data have changed.
        examined: every frame of this instance was searched, and no box was left by the recipe: 113101 may be
            claimed.
        changes: one per box; action X hidden, K kept. And one per icon removed.
        decoders: names of decoders that replaced the first one of the transfer syntax.
    """

    frames: int = 0
    frames_examined: int = 0
    frames_cleaned: int = 0
    text_boxes_hidden: int = 0
    text_boxes_kept: int = 0
    text_residue: int = 0
    pixels_changed: bool = False
    examined: bool = False
    changes: list[Change] = field(default_factory=list)
    decoders: tuple[str, ...] = ()

    @property
    def text_hidden(self) -> bool:
        """Whether anything was blanked in the pixel data; overlay planes and icons do not count."""
        return any(change.action == "X" and change.tag in PIXEL_TAGS.values() for change in self.changes)

    def add_boxes(self, changes: Iterable[Change]) -> None:
        """Count boxes hidden or kept and list them."""
        for change in changes:
            self.text_boxes_hidden += change.action == "X"
            self.text_boxes_kept += change.action == "K"
            self.changes.append(change)


class Canvas(Protocol):
    """A picture in which text can be found and hidden."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""

    def pictures(self, hidden: Mask | None = None, shown: Mask | None = None) -> list[Picture]:
        """Return renditions, uint8 (rows, columns); all text shows in at least one of them.

        Args:
            hidden: bool (rows, columns), the blanked areas.
            shown: bool (rows, columns), the areas to render, None for all; the rest is GROUND.
        """

    def planes(self) -> list[Plane]:
        """Return grey planes, finite and as bright as they are; all codes show in at least one of them."""

    def blank(self, box: Box) -> Box:
        """Blank a box within the shape with black; return the box that was blanked.

        It may have grown: blocks of a JPEG, and columns that share their colour, are blanked together.
        """


@dataclass
class Search:
    """The result of searching one canvas: hidden and kept boxes, both with the reason; residue."""

    hidden: list[tuple[TextBox, str]] = field(default_factory=list)
    kept: list[tuple[TextBox, str]] = field(default_factory=list)
    residue: int = 0

    @property
    def left(self) -> bool:
        """Whether a box stays because the recipe calls it no text."""
        return any(why == "left" for _, why in self.kept)

    def changes(self, tag: str, vr: str, frame: int) -> list[Change]:
        """Return one change per box; frames count from 0."""
        rows = [(box, "X", why) for box, why in self.hidden] + [(box, "K", why) for box, why in self.kept]
        rows.sort(key=lambda row: (row[0].y, row[0].x, row[1]))
        return [
            Change(
                "",
                tag,
                vr,
                action,
                "text",
                frame=frame,
                x=box.x,
                y=box.y,
                width=box.width,
                height=box.height,
                why=why,
            )
            for box, action, why in rows
        ]


class TextRemainsError(PixelError):
    """Text is still found after the last search.

    Args:
        where: keyword and frame.
        search: the result so far.
        found: boxes in which text is still found.
        tiles: places of the frames that were searched together; then `where` is only the keyword.

    Attributes:
        changes: one per box of this and earlier canvases: hidden, kept, or, without an action, still found.
    """

    def __init__(
        self, where: str, search: Search, found: list[TextBox], tiles: Mapping[int, Box] | None = None
    ) -> None:
        super().__init__(TEXT_REMAINS, _remains(where, found, tiles))
        self._search, self._found = search, found
        self.changes: list[Change] = []

    def placed(self, before: Iterable[Change], tag: str, vr: str, frame: int) -> "TextRemainsError":
        """Add the frame and earlier changes; return the error."""
        whole = Box(0, 0, *_ENDLESS)
        return self.placed_in_tiles(before, tag, vr, {frame: whole})

    def placed_in_tiles(
        self, before: Iterable[Change], tag: str, vr: str, tiles: Mapping[int, Box]
    ) -> "TextRemainsError":
        """Add the tiles and earlier changes; return the error."""
        still = [(box, TEXT_REMAINS) for box in self._found]
        self.changes = list(before)
        for frame, tile in sorted(tiles.items()):
            done = Search(_parts(self._search.hidden, tile), _parts(self._search.kept, tile))
            seen = Search(_parts(still, tile)).changes(tag, vr, frame)
            self.changes += [*done.changes(tag, vr, frame), *(change._replace(action="") for change in seen)]
        return self


def hide_text_in_frames(
    dataset: Dataset, judge: TextJudge, detector: TextDetector, identity: Identity | None = None
) -> PixelReport:
    """Hide text in every frame of the top-level pixel data, in place.

    Frames without text keep their bytes, compressed or not. Labels and overviews of slides are blanked as a
    whole. Bits outside BitsStored, where overlays used to be kept (PS3.5 8.1.1), are cleared. An icon is
    removed when text was hidden: it would show it.

    Args:
        dataset: one instance, its attributes as they were read; SOPInstanceUID stays.
        judge: decides what may stay in this instance. The regions of its policy are blanked in any case.
        detector: finds and reads text.
        identity: its key selects the instances that a second decoder reads if that is expensive; None for
            all.

    Raises:
        PixelError: `pixels_undecodable`, `pixels_unsupported` (video), or `text_remains`: there is still
            new text after two rounds of hiding.
    """
    frames = open_frames(dataset, compare=True, identity=identity)
    if frames is None:
        return PixelReport()
    report = PixelReport(frames=len(frames), frames_examined=len(frames), examined=True)
    regions = boxes_of(dataset, judge.policy.regions)
    is_label = shows_slide_label(dataset)
    planes = None if is_label else planes_of(dataset, frames.layout)
    leave = boxes_of(dataset, judge.policy.leave)
    if planes:
        for index, search in _hide_text_in_tiles(frames, planes, judge, detector, regions, leave):
            report.add_boxes(search.changes(frames.tag, frames.vr, index))
            report.text_residue += search.residue
            report.examined &= not search.left
        return _finished(report, frames, dataset)
    scans = scan_boxes(dataset) if judge.policy.ultrasound_regions == "keep" else ()
    searches: dict[bytes, tuple[int, Search]] = {}
    for index in range(len(frames)):
        check_time()
        digest = blake2b(frames.stored(index), digest_size=32).digest()
        if digest in searches:
            first, search = searches[digest]
            frames.repeat(first, index)
        else:
            if is_label:
                search = _blank_frame(frames, index)
            else:
                try:
                    search = _hide_text_in_frame(frames, index, judge, detector, regions, scans, leave)
                except TextRemainsError as error:
                    raise error.placed(report.changes, frames.tag, frames.vr, index) from None
            searches[digest] = index, search
        report.add_boxes(search.changes(frames.tag, frames.vr, index))
        report.text_residue += search.residue
        report.examined &= not search.left
    return _finished(report, frames, dataset)


def _finished(report: PixelReport, frames: Frames, dataset: Dataset) -> PixelReport:
    """Write the frames, and remove an icon that would show what was hidden."""
    frames.write()
    report.pixels_changed = frames.changed
    report.decoders = tuple(sorted(frames.decoders))
    if report.text_boxes_hidden and "IconImageSequence" in dataset:
        del dataset.IconImageSequence
        report.changes.append(Change("IconImageSequence", "(0088,0200)", "SQ", "X", "text", why="icon"))
    return report


def _hide_text_in_frame(
    frames: Frames,
    index: int,
    judge: TextJudge,
    detector: TextDetector,
    regions: tuple[Box, ...],
    scans: tuple[Box, ...],
    leave: tuple[Box, ...],
) -> Search:
    frame: Frame = frames.decode(index)
    cleared = frame.clear_unused_bits()
    frames.range.see(frame.values())
    where = f"{frames.keyword} frame {index}"
    search = search_and_hide(frame, judge, detector, where, regions, scans, leave)
    frames.range.see_again(frame.values())
    if cleared or search.hidden:
        frames.put(index, frame)
    return search


def _hide_text_in_tiles(
    frames: Frames,
    planes: list[TilePlane],
    judge: TextJudge,
    detector: TextDetector,
    regions: tuple[Box, ...],
    leave: tuple[Box, ...],
) -> Iterator[tuple[int, Search]]:
    """Yield the results of each tile that has any, in order.

    Tiles are searched in blocks with a margin. Blocks whose tiles are all without steps are skipped, unless
    there are regions.
    """
    reader = TileReader(frames)
    found: dict[int, Search] = {}
    for block in (block for plane in planes for block in blocks(plane, frames.layout)):
        check_time()
        show = [reader.may_show_text(index) for index in sorted(block.inside)]
        if not regions and not any(show):
            continue
        canvas = reader.picture(block)
        blanked, left = (
            tuple(_moved(box, part.x, part.y) for part in block.parts.values() for box in boxes)
            for boxes in (regions, leave)
        )
        try:
            search = search_and_hide(
                canvas, judge, detector, frames.keyword, blanked, leave=left, tiles=block.parts
            )
        except TextRemainsError as error:
            raise error.placed_in_tiles((), frames.tag, frames.vr, block.parts) from None
        for index, part in block.parts.items():
            of_tile = found.setdefault(index, Search())
            of_tile.hidden += _parts(search.hidden, part)
            if index in block.inside:
                of_tile.kept += _parts(search.kept, part)
        found[min(block.inside)].residue += search.residue
    for index in sorted(found):
        search = found[index]
        search.hidden = list(dict.fromkeys(search.hidden))
        if search.hidden:
            frame = frames.decode(index)
            search.hidden = [(_blank(frame, box), why) for box, why in search.hidden]
            frames.put(index, frame)
        if search.hidden or search.kept or search.residue:
            yield index, search


def _parts(boxes: Iterable[tuple[TextBox, str]], tile: Box) -> list[tuple[TextBox, str]]:
    """Return the parts of boxes inside a tile, in its own pixels."""
    moved = ((_moved(box, -tile.x, -tile.y).cut(tile.height, tile.width), why) for box, why in boxes)
    return [(box, why) for box, why in moved if box is not None]


def _moved(box: _B, across: int, down: int) -> _B:
    return replace(box, x=box.x + across, y=box.y + down)


def _blank_frame(frames: Frames, index: int) -> Search:
    """Blank a whole frame: people write on a slide's label by hand."""
    frame = frames.decode(index)
    frames.range.see(frame.values())
    frame.clear_unused_bits()
    rows, columns = frame.shape
    whole = _blank(frame, TextBox(0, 0, columns, rows))
    frames.range.see_again(frame.values())
    frames.put(index, frame)
    return Search(hidden=[(whole, "slide_label")])


def search_and_hide(
    canvas: Canvas,
    judge: TextJudge,
    detector: TextDetector,
    where: str,
    regions: Iterable[Box] = (),
    scans: tuple[Box, ...] = (),
    leave: tuple[Box, ...] = (),
    tiles: Mapping[int, Box] | None = None,
) -> Search:
    """Blank regions, hide text and codes on one canvas, search again, and hide what is new; in place.

    Args:
        canvas: changed only where something is hidden.
        judge: decides what may stay.
        detector: finds and reads text.
        where: keyword and frame, for the error.
        regions: blanked before the first search.
        scans: areas in which text of a device may stay.
        leave: boxes that a person has called no text; also for text that spans several of them.
        tiles: places of the frames of which the canvas consists; then `where` is only the keyword.

    Raises:
        PixelError: `text_remains`, with the boxes in question, in pixels of the frame or tile.
    """
    search = Search()
    rows, columns = canvas.shape
    left_alone = np.zeros((rows, columns), dtype=bool)
    for area in leave:
        mark(left_alone, area.grown(_SLACK, rows, columns))
    black = _blank_regions(canvas, search, regions)
    areas = black.copy()  # regions of the recipe, and codes
    words: list[TextBox] = []  # hidden words
    settled = black.copy()  # hidden, or kept on purpose
    changed = black  # since the last search
    has_codes = True  # until a search finds none
    looks = _LOOKS if judge.policy.look_again else 1
    for look in range(looks):
        check_time()
        near = shown = None
        if look:  # areas far from any change were searched before and are unchanged
            near = _grown(changed, _REACH)
            shown = _grown(near, _REACH)
        pictures = canvas.pictures(black, shown)
        # A letter beside what was blanked may be its edge: it quarantines nothing.
        judged = judge if look < max(looks - 1, 1) else None
        found = [box for picture in pictures for box in _found(picture, detector, judged)]
        boxes = within(found, rows, columns)
        boxes = [box for box in believed(boxes, areas, words) if near is None or is_mostly_in(near, box)]
        fresh = [box for box in boxes if not is_mostly_in(settled, box) and not _is_sliver(box, black)]
        search.residue = len(boxes) - len(fresh) if look or search.hidden else 0
        left = [box for box in fresh if left_alone[box.pixels].all()]
        fresh = [box for box in fresh if box not in left]
        codes = judge.decide_codes(find_codes(canvas.planes())) if has_codes else []
        has_codes = any(not verdict.kept for verdict in codes)
        sure = [box for box in fresh if not box.doubted]  # letters beside hidden ones quarantine nothing
        if (sure or has_codes) and look and look == looks - 1:
            rest = [*sure, *(verdict.box for verdict in codes if not verdict.kept)]
            raise TextRemainsError(where, search, rest, tiles)
        changed = np.zeros_like(black)
        for box in left:
            search.kept.append((box, "left"))
            mark(settled, box)
        if look:
            codes = [verdict for verdict in codes if not verdict.kept]  # those are listed
        verdicts = [*judge.decide(pictures[0], fresh, detector, scans), *codes]
        for box, kept, why in verdicts:
            if kept:
                search.kept.append((box, why))
                mark(settled, box)
        spared = [box for box, _ in search.kept]
        for box, kept, why in verdicts:
            if not kept:
                padded = box if why == CODE else box.beside(spared, rows, columns)
                blanked = _blank(canvas, padded)
                search.hidden.append((blanked, why))
                mark(changed, blanked)
                if why == CODE:
                    mark(areas, blanked)
                else:
                    words.append(box)
        black |= changed
        settled |= black
        if not changed.any():
            break
    return search


def _found(picture: Picture, detector: TextDetector, judge: TextJudge | None) -> list[TextBox]:
    """Return a detector's boxes; single letters are not doubted if the judge keeps none."""
    boxes = detector.find(picture)
    doubted = [box for box in boxes if box.doubted]
    if judge is None or not doubted or not judge.hides_letters:
        return boxes
    read = dict(zip(doubted, detector.read(picture, doubted), strict=True))
    return [replace(box, doubted=box.doubted and not judge.may_be_letter(read[box])) for box in boxes]


def shows_text(canvas: Canvas, detector: TextDetector) -> bool:
    """Return whether any text or code is found on a canvas."""
    rows, columns = canvas.shape
    check_time()
    has_text = any(within(detector.find(picture), rows, columns) for picture in canvas.pictures())
    return has_text or bool(find_codes(canvas.planes()))


def _blank_regions(canvas: Canvas, search: Search, regions: Iterable[Box]) -> Mask:
    """Blank regions and list them; return their mask."""
    rows, columns = canvas.shape
    black = np.zeros((rows, columns), dtype=bool)
    for region in regions:
        inside = region.cut(rows, columns)
        if inside is not None:
            box = _blank(canvas, TextBox(inside.x, inside.y, inside.width, inside.height))
            search.hidden.append((box, "region"))
            mark(black, box)
    return black


def _is_sliver(box: TextBox, black: Mask) -> bool:
    """Return whether the part of a box outside of blanked areas is too thin for a letter."""
    import cv2

    beside = black[box.grown(_MARGIN, *black.shape).pixels]
    if not beside.any():
        return False
    kernel = np.ones((2 * _MARGIN + 1, 2 * _MARGIN + 1), np.uint8)
    near = cv2.dilate(beside.astype(np.uint8), kernel).astype(bool)
    top, left = box.y - max(box.y - _MARGIN, 0), box.x - max(box.x - _MARGIN, 0)
    shown = ~near[top : top + box.height, left : left + box.width]
    padded = np.pad(shown, _LETTER).astype(np.uint8)
    return not cv2.erode(padded, np.ones((_LETTER, _LETTER), np.uint8)).any()


def _remains(where: str, boxes: list[TextBox], tiles: Mapping[int, Box] | None) -> str:
    """Return the first twenty boxes in the form of a recipe's `text.leave`.

    Boxes on tiles are given as parts, each in the pixels of its tile.
    """
    if tiles is None:
        parts = [(where, box) for box in boxes]
    else:
        parts = [
            (f"{where} frame {index}", part)
            for index, tile in sorted(tiles.items())
            for part, _ in _parts([(box, "") for box in boxes], tile)
        ]
    named: dict[str, list[str]] = {}
    for name, box in parts[:_LISTED]:
        named.setdefault(name, []).append(f"[{box.x}, {box.y}, {box.width}, {box.height}]")
    listed = "; ".join(f"{name}: {', '.join(rows)}" for name, rows in named.items())
    return listed + (f" and {len(parts) - _LISTED} more" if len(parts) > _LISTED else "")


def _blank(canvas: Canvas, box: TextBox) -> TextBox:
    """Blank a box and return it as it was blanked."""
    blanked = canvas.blank(box)
    return box.between(blanked.x, blanked.y, blanked.right, blanked.bottom)


def _grown(area: Mask, reach: int) -> Mask:
    import cv2

    kernel = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    return cv2.dilate(area.astype(np.uint8), kernel).astype(bool)
