"""Hiding burned-in text: what text is, what finds it, what may stay, and the search of an instance."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Literal, Protocol

import numpy as np
from pydicom.dataset import Dataset

from beamstop.changes import Change
from beamstop.errors import PixelError
from beamstop.pixels.frames import PIXEL_TAGS, Frame, Frames, open_frames
from beamstop.pixels.renditions import GROUND, Mask, Picture
from beamstop.text.judge import Judge
from beamstop.text.regions import Area, Region, areas_of

_LOOKS = 3  # look, look again, look once more
_REACH = 64  # pixels that a change can tell on: twice the reach of renditions.local_contrast


@dataclass(frozen=True, slots=True)
class TextBox:
    """An axis-aligned box that holds text.

    Attributes:
        x, y: upper left pixel, columns and rows counted from 0.
        width, height: in pixels.
        text: what it reads, None where it was not read.
        confidence: of the reading, 0 to 1.
        faint: the finder was not sure by itself: something else had to speak for it.
    """

    x: int
    y: int
    width: int
    height: int
    text: str | None = None
    confidence: float | None = None
    faint: bool = field(default=False, compare=False)

    def padded(self, rows: int, columns: int) -> "TextBox":
        """Return the box grown by 2 pixels and 15 % of its short side, 6 pixels at most, inside the picture.

        It is the boxes of small letters that fall short; those of large ones reach into what is around.

        >>> TextBox(10, 1, 40, 20).padded(rows=100, columns=52)
        TextBox(x=5, y=0, width=47, height=26, text=None, confidence=None, faint=False)
        """
        margin = min(2 + round(0.15 * min(self.width, self.height)), 6)
        left, top = max(self.x - margin, 0), max(self.y - margin, 0)
        right, bottom = min(self.x + self.width + margin, columns), min(self.y + self.height + margin, rows)
        return replace(self, x=left, y=top, width=max(right - left, 0), height=max(bottom - top, 0))


class TextFinder(Protocol):
    """Finds text in grey pictures: uint8 of shape (rows, columns), text dark or bright on any ground."""

    @property
    def fingerprint(self) -> str:
        """What decides the boxes: engine, versions, thresholds, weights, precision."""

    def find(self, picture: Picture) -> list[TextBox]:
        """Return a box for each piece of text; unread."""

    def read(self, picture: Picture, boxes: Sequence[TextBox]) -> list[TextBox]:
        """Return the same boxes in the same order, read where it can."""


@dataclass(frozen=True)
class TextPolicy:
    """What text is hidden; on its own, all of it.

    Attributes:
        hide: `all` text but authorised words and markers, or only what may be `identifying`.
        authorized_words: words, whole lines or `/patterns/` that stay; compared without regard to case.
        markers: words that stay where a line has no others.
        languages: EasyOCR's codes of the languages that words are read in.
        regions: what is filled before anything is looked for.
        ultrasound_regions: `spare` what is found inside a scan, or `search` it as all else.
        look_again: look at what has been hidden once more, and quarantine where there is still text.
    """

    hide: Literal["all", "identifying"] = "all"
    authorized_words: tuple[str, ...] = ()
    markers: tuple[str, ...] = ()
    languages: tuple[str, ...] = ("en",)
    regions: tuple[Region, ...] = ()
    ultrasound_regions: Literal["search", "spare"] = "search"
    look_again: bool = True


@dataclass
class PixelReport:
    """What was found and done in the pixels of one instance.

    Attributes:
        frames: of the instance.
        frames_examined: frames looked at, or equal to the bit to one looked at.
        text_boxes_hidden, text_boxes_kept: over all frames, device regions among the hidden.
        text_residue: boxes "found" again inside hidden areas; a flag, detectors see edges.
        pixels_changed: pixel data are not what they were.
        examined: every frame of this instance was examined, so that 113101 may be claimed.
        changes: one per box; action X hidden, K kept. And one per icon removed.
    """

    frames: int = 0
    frames_examined: int = 0
    text_boxes_hidden: int = 0
    text_boxes_kept: int = 0
    text_residue: int = 0
    pixels_changed: bool = False
    examined: bool = False
    changes: list[Change] = field(default_factory=list)

    @property
    def text_hidden(self) -> bool:
        """Whether anything was filled in the pixel data; overlay planes and icons do not count."""
        return any(change.action == "X" and change.tag in PIXEL_TAGS.values() for change in self.changes)

    def add_boxes(self, changes: Iterable[Change]) -> None:
        """Count boxes hidden or kept and list them."""
        for change in changes:
            self.text_boxes_hidden += change.action == "X"
            self.text_boxes_kept += change.action == "K"
            self.changes.append(change)


class Canvas(Protocol):
    """Something that text can be seen on and hidden in."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""

    def pictures(self, hidden: Mask | None = None) -> list[Picture]:
        """Return renditions in which all text shows, in at least one of them; what is hidden is told."""

    def blacken(self, x: int, y: int, width: int, height: int) -> tuple[int, int, int, int]:
        """Fill a box that lies within the shape with what is black there; return it as it was filled.

        It may have had to grow: blocks of a JPEG, and columns that share their colour, go together.
        """


@dataclass
class Search:
    """What a search of one canvas found: boxes as hidden and as kept, both with why; residue."""

    hidden: list[tuple[TextBox, str]] = field(default_factory=list)
    kept: list[tuple[TextBox, str]] = field(default_factory=list)
    residue: int = 0

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


def hide(dataset: Dataset, policy: TextPolicy, finder: TextFinder) -> PixelReport:
    """Hide text in every frame of the top-level pixel data, in place.

    Frames without text keep their bytes, compressed or not. Bits outside BitsStored, where overlays
    used to be kept (PS3.5 8.1.1), are cleared. An icon is removed when text was hidden: it would show it.

    Args:
        dataset: one instance, its attributes as they were read; SOPInstanceUID stays.
        policy: what may stay, and the regions that go in any case.
        finder: finds and reads text.

    Raises:
        PixelError: `pixels_undecodable`, `pixels_unsupported` (video), or `text_remains` when there is
            still new text after two rounds of hiding.
    """
    frames = open_frames(dataset)
    if frames is None:
        return PixelReport()
    report = PixelReport(frames=len(frames), frames_examined=len(frames), examined=True)
    judge = Judge(policy, dataset)
    areas = areas_of(dataset, policy.regions)
    searches: dict[bytes, tuple[int, Search]] = {}
    for index in range(len(frames)):
        digest = blake2b(frames.stored(index), digest_size=32).digest()
        if digest in searches:
            first, search = searches[digest]
            frames.repeat(first, index)
        else:
            search = _examine(frames, index, judge, finder, areas)
            searches[digest] = index, search
        report.add_boxes(search.changes(frames.tag, frames.vr, index))
        report.text_residue += search.residue
    frames.write()
    report.pixels_changed = frames.changed
    if report.text_boxes_hidden and "IconImageSequence" in dataset:
        del dataset.IconImageSequence
        report.changes.append(Change("IconImageSequence", "(0088,0200)", "SQ", "X", "text", why="icon"))
    return report


def search_and_hide(
    canvas: Canvas, judge: Judge, finder: TextFinder, where: str, areas: Iterable[Area] = ()
) -> Search:
    """Fill areas, hide text on one canvas, look again, and hide what is new; in place.

    Args:
        canvas: changed only where something is hidden.
        judge: says what may stay.
        finder: finds and reads text.
        where: keyword and frame, for the error.
        areas: that are filled before the first look.

    Raises:
        PixelError: `text_remains`.
    """
    search = Search()
    rows, columns = canvas.shape
    black = _fill(canvas, search, areas)
    settled = black.copy()  # hidden, or kept on purpose
    changed = black  # since the last look
    looks = _LOOKS if judge.policy.look_again else 1
    for look in range(looks):
        pictures = canvas.pictures(black)
        near = None
        if look:  # what lies far from what changed was looked at before and is as it was
            near = _grown(changed, _REACH)
            beyond = ~_grown(near, _REACH)
            for picture in pictures:
                picture[beyond] = GROUND
        boxes = _within([box for picture in pictures for box in finder.find(picture)], rows, columns)
        boxes = [box for box in boxes if near is None or _mostly(near, box)]
        fresh = [box for box in boxes if not _mostly(settled, box)]
        search.residue = len(boxes) - len(fresh) if look or areas else 0
        if fresh and look and look == looks - 1:
            raise PixelError("text_remains", where)
        changed = np.zeros_like(black)
        for box, kept, why in judge.decide(pictures[0], fresh, finder):
            if kept:
                search.kept.append((box, why))
                _mark(settled, box)
            else:
                filled = _filled(canvas, box.padded(rows, columns))
                search.hidden.append((filled, why))
                _mark(changed, filled)
        black |= changed
        settled |= black
        if not changed.any():
            break
    return search


def _fill(canvas: Canvas, search: Search, areas: Iterable[Area]) -> Mask:
    """Fill areas with black, list them, and return where they are."""
    rows, columns = canvas.shape
    black = np.zeros((rows, columns), dtype=bool)
    for area in areas:
        inside = area.cut(rows, columns)
        if inside is not None:
            box = _filled(canvas, TextBox(inside.x, inside.y, inside.width, inside.height))
            search.hidden.append((box, "region"))
            _mark(black, box)
    return black


def _filled(canvas: Canvas, box: TextBox) -> TextBox:
    """Fill a box and return it as it was filled."""
    x, y, width, height = canvas.blacken(box.x, box.y, box.width, box.height)
    return replace(box, x=x, y=y, width=width, height=height)


def _examine(frames: Frames, index: int, judge: Judge, finder: TextFinder, areas: tuple[Area, ...]) -> Search:
    frame: Frame = frames.decode(index)
    cleared = frame.clear_unused_bits()
    frames.range.see(frame.values())
    search = search_and_hide(frame, judge, finder, f"{frames.keyword} frame {index}", areas)
    frames.range.see_again(frame.values())
    if cleared or search.hidden:
        frames.put(index, frame)
    return search


def _within(boxes: Iterable[TextBox], rows: int, columns: int) -> list[TextBox]:
    """Cut boxes to the picture, drop what lies outside or is there twice, order them by place."""
    cut = []
    for box in boxes:
        left, top = max(box.x, 0), max(box.y, 0)
        right, bottom = min(box.x + box.width, columns), min(box.y + box.height, rows)
        if right > left and bottom > top:
            cut.append(replace(box, x=left, y=top, width=right - left, height=bottom - top))
    distinct = dict.fromkeys(_without_needless_doubt(cut, rows, columns))
    return sorted(distinct, key=lambda box: (box.y, box.x, box.height, box.width))


def _without_needless_doubt(boxes: list[TextBox], rows: int, columns: int) -> list[TextBox]:
    """Take it back that a box is faint where it lies on some that are not: another rendition showed more."""
    sure = np.zeros((rows, columns), dtype=bool)
    for box in boxes:
        if not box.faint:
            _mark(sure, box.padded(rows, columns))
    return [replace(box, faint=box.faint and not _mostly(sure, box)) for box in boxes]


def _grown(area: Mask, reach: int) -> Mask:
    import cv2

    kernel = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    return cv2.dilate(area.astype(np.uint8), kernel).astype(bool)


def _mark(area: Mask, box: TextBox) -> None:
    area[box.y : box.y + box.height, box.x : box.x + box.width] = True


def _mostly(area: Mask, box: TextBox) -> bool:
    return bool(area[box.y : box.y + box.height, box.x : box.x + box.width].mean() > 0.5)
