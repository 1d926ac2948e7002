"""Hiding burned-in text: what text is, what finds it, what may stay, and the search of an instance."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Literal, Protocol

import numpy as np
from pydicom.dataset import Dataset

from beamstop.changes import Change
from beamstop.errors import PixelError
from beamstop.frames import Frame, Frames, open_frames
from beamstop.renditions import GROUND, Mask, Picture

# View and laterality markers of radiography: text that says nothing about a person.
MARKERS = (
    "R",
    "L",
    "AP",
    "PA",
    "LAT",
    "CC",
    "MLO",
    "ML",
    "LM",
    "RCC",
    "LCC",
    "RMLO",
    "LMLO",
    "ERECT",
    "SUPINE",
)

MIN_CONFIDENCE = 0.3  # below it a reading spares nothing: 29 of 31 markers kept, 0 of 136 names
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
    """

    x: int
    y: int
    width: int
    height: int
    text: str | None = None
    confidence: float | None = None

    def padded(self, rows: int, columns: int) -> "TextBox":
        """Return the box grown by 2 pixels and 15 % of its short side all round, inside the picture.

        >>> TextBox(10, 1, 40, 20).padded(rows=100, columns=52)
        TextBox(x=5, y=0, width=47, height=26, text=None, confidence=None)
        """
        margin = 2 + round(0.15 * min(self.width, self.height))
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
    """What text is hidden.

    Attributes:
        hide: `all` text but authorised words, or only what may be `identifying`: then the view and
            laterality markers of radiography stay too.
        authorized_words: words, or whole lines, that stay; compared without regard to case.
        languages: EasyOCR's codes of the languages that words are read in.
    """

    hide: Literal["all", "identifying"] = "all"
    authorized_words: tuple[str, ...] = ()
    languages: tuple[str, ...] = ("en",)

    @property
    def spares(self) -> bool:
        """Whether any text may stay, so that boxes must be read."""
        return bool(self.authorized_words) or self.hide == "identifying"

    def why_kept(self, text: str) -> str | None:
        """Return why a word or line may stay, None if it may not.

        >>> policy = TextPolicy(authorized_words=("SHOCR", "left breast"))
        >>> policy.why_kept("shocr"), policy.why_kept("Left  Breast"), policy.why_kept("LEFT")
        ('authorized_word', 'authorized_word', None)
        """
        line = _folded(text)
        words = line.split()
        authorized = {_folded(word) for word in self.authorized_words}
        if line in authorized or (words and authorized.issuperset(words)):
            return "authorized_word"
        if self.hide == "identifying" and words and {word.casefold() for word in MARKERS}.issuperset(words):
            return "marker"
        return None


@dataclass
class PixelReport:
    """What was found and done in the pixels of one instance.

    Attributes:
        frames: of the instance.
        frames_examined: frames looked at, or equal to the bit to one looked at.
        text_boxes_hidden, text_boxes_kept: over all frames.
        text_residue: boxes "found" again inside hidden areas; a flag, detectors see edges.
        pixels_changed: pixel data are not what they were.
        examined: every frame of this instance was examined, so that 113101 may be claimed.
        changes: one per box; action X hidden, K kept.
    """

    frames: int = 0
    frames_examined: int = 0
    text_boxes_hidden: int = 0
    text_boxes_kept: int = 0
    text_residue: int = 0
    pixels_changed: bool = False
    examined: bool = False
    changes: list[Change] = field(default_factory=list)

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

    def blacken(self, x: int, y: int, width: int, height: int) -> None:
        """Fill a box that lies within the shape with what is black there."""


@dataclass
class Search:
    """What a search of one canvas found: boxes as hidden, boxes as kept with why, residue."""

    hidden: list[TextBox] = field(default_factory=list)
    kept: list[tuple[TextBox, str]] = field(default_factory=list)
    residue: int = 0

    def changes(self, tag: str, vr: str, frame: int) -> list[Change]:
        """Return one change per box; frames count from 0."""
        rows = [(box, "X", "text") for box in self.hidden] + [(box, "K", why) for box, why in self.kept]
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
        dataset: one instance; SOPInstanceUID stays.
        policy: what may stay.
        finder: finds and reads text.

    Raises:
        PixelError: `pixels_undecodable`, `pixels_unsupported` (video), or `text_remains` when there is
            still new text after two rounds of hiding.
    """
    frames = open_frames(dataset)
    if frames is None:
        return PixelReport()
    report = PixelReport(frames=len(frames), frames_examined=len(frames), examined=True)
    searches: dict[bytes, tuple[int, Search]] = {}
    for index in range(len(frames)):
        digest = blake2b(frames.stored(index), digest_size=32).digest()
        if digest in searches:
            first, search = searches[digest]
            frames.repeat(first, index)
        else:
            search = _examine(frames, index, policy, finder)
            searches[digest] = index, search
        report.add_boxes(search.changes(frames.tag, frames.vr, index))
        report.text_residue += search.residue
    frames.write()
    report.pixels_changed = frames.changed
    if report.text_boxes_hidden and "IconImageSequence" in dataset:
        del dataset.IconImageSequence
    return report


def search_and_hide(canvas: Canvas, policy: TextPolicy, finder: TextFinder, where: str) -> Search:
    """Hide text on one canvas, look again, and hide what is new; in place.

    Args:
        canvas: changed only where text is hidden.
        policy: what may stay.
        finder: finds and reads text.
        where: keyword and frame, for the error.

    Raises:
        PixelError: `text_remains`.
    """
    search = Search()
    rows, columns = canvas.shape
    black = np.zeros((rows, columns), dtype=bool)
    settled = black.copy()  # hidden, or kept on purpose
    changed = black  # since the last look
    for look in range(_LOOKS):
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
        search.residue = len(boxes) - len(fresh) if look else 0
        if fresh and look == _LOOKS - 1:
            raise PixelError("text_remains", where)
        hidden, kept = _decide(pictures[0], fresh, policy, finder)
        for box in [*hidden, *(box for box, _ in kept)]:
            settled[box.y : box.y + box.height, box.x : box.x + box.width] = True
        search.kept += kept
        changed = np.zeros_like(black)
        for box in hidden:
            padded = box.padded(rows, columns)
            canvas.blacken(padded.x, padded.y, padded.width, padded.height)
            changed[padded.y : padded.y + padded.height, padded.x : padded.x + padded.width] = True
            search.hidden.append(padded)
        black |= changed
        settled |= black
        if not hidden:
            break
    return search


def _examine(frames: Frames, index: int, policy: TextPolicy, finder: TextFinder) -> Search:
    frame: Frame = frames.decode(index)
    cleared = frame.clear_unused_bits()
    search = search_and_hide(frame, policy, finder, f"{frames.keyword} frame {index}")
    frames.note(frame)
    if cleared or search.hidden:
        frames.put(index, frame)
    return search


def _decide(
    picture: Picture, boxes: list[TextBox], policy: TextPolicy, finder: TextFinder
) -> tuple[list[TextBox], list[tuple[TextBox, str]]]:
    """Return the boxes to hide, and those to keep with why."""
    if not policy.spares or not boxes:
        return boxes, []
    reads = [
        replace(box, text=read.text, confidence=read.confidence)
        for box, read in zip(boxes, finder.read(picture, boxes), strict=True)
    ]
    kept: dict[TextBox, str] = {}
    for line in [*_lines(reads), *([box] for box in reads)]:
        if all(box.text and (box.confidence or 0) >= MIN_CONFIDENCE for box in line):
            why = policy.why_kept(" ".join(box.text or "" for box in line))
            if why:
                kept |= dict.fromkeys(line, why)
    return [box for box in reads if box not in kept], list(kept.items())


def _lines(boxes: Iterable[TextBox]) -> list[list[TextBox]]:
    """Group boxes that stand beside each other, closer than a line is high, from left to right."""
    lines: list[list[TextBox]] = []
    for box in sorted(boxes, key=lambda box: (box.x, box.y)):
        for line in lines:
            last = line[-1]
            overlap = min(last.y + last.height, box.y + box.height) - max(last.y, box.y)
            if 2 * overlap > min(last.height, box.height) and box.x - last.x - last.width < last.height:
                line.append(box)
                break
        else:
            lines.append([box])
    return lines


def _within(boxes: Iterable[TextBox], rows: int, columns: int) -> list[TextBox]:
    """Cut boxes to the picture, drop what lies outside, order them by place."""
    cut = []
    for box in boxes:
        left, top = max(box.x, 0), max(box.y, 0)
        right, bottom = min(box.x + box.width, columns), min(box.y + box.height, rows)
        if right > left and bottom > top:
            cut.append(replace(box, x=left, y=top, width=right - left, height=bottom - top))
    return sorted(cut, key=lambda box: (box.y, box.x, box.height, box.width))


def _grown(area: Mask, reach: int) -> Mask:
    import cv2

    kernel = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    return cv2.dilate(area.astype(np.uint8), kernel).astype(bool)


def _mostly(area: Mask, box: TextBox) -> bool:
    return bool(area[box.y : box.y + box.height, box.x : box.x + box.width].mean() > 0.5)


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())
