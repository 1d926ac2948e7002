"""Boxes of text, and masks of the pixels that they cover."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from beamstop.pixels.box import Box
from beamstop.pixels.renditions import Mask

_PADDING, _PADDED, _MOST_PADDED = 2, 0.15, 6  # pixels, and share of the short side; pixels at most
_YIELDS = 0.15  # share of its height that a hidden box leaves to a kept line, at most, on each side
_BESIDE = 1.5  # letters: the gap within which a line continues
_FEW_LETTERS = 2.2  # times as long as high
_SIMILAR = 0.35  # the largest difference in height of boxes in one line


@dataclass(frozen=True, slots=True)
class TextBox(Box):
    """An upright box around text.

    Attributes:
        text: the text read, None if it was not read.
        confidence: of the reading, 0 to 1.
        faint: the detector was not sure on its own; the other network confirmed the box.
        doubted: not a word on its own; counts only beside others.
        legible: the detector read a word in it, in letters that are too soft in the picture itself.
        agreed: one network was certain of it, and the other one saw text there, too.
    """

    text: str | None = None
    confidence: float | None = None
    faint: bool = field(default=False, compare=False)
    doubted: bool = field(default=False, compare=False)
    legible: bool = field(default=False, compare=False, repr=False)
    agreed: bool = field(default=False, compare=False, repr=False)

    def padded(self, rows: int, columns: int) -> "TextBox":
        """Return the box grown by 2 pixels and 15 % of its short side, 6 pixels at most, inside the picture.

        Boxes of small letters are too small; those of large letters reach into their surroundings.

        >>> TextBox(10, 1, 40, 20).padded(rows=100, columns=52)
        TextBox(x=5, y=0, width=47, height=26, text=None, confidence=None, faint=False, doubted=False)
        """
        return self.grown(
            min(_PADDING + round(_PADDED * min(self.width, self.height)), _MOST_PADDED), rows, columns
        )

    def beside(self, others: Iterable[Box], rows: int, columns: int) -> "TextBox":
        """Return the padded box without covering kept boxes: it gives up half of the overlap.

        Boxes of lines close below each other share a few rows, in which neither has letters.

        >>> TextBox(0, 0, 50, 20).beside([Box(0, 16, 80, 20)], rows=99, columns=99)
        TextBox(x=0, y=0, width=55, height=18, text=None, confidence=None, faint=False, doubted=False)
        """
        padded = self.padded(rows, columns)
        left, top, right, bottom = padded.x, padded.y, padded.right, padded.bottom
        most = round(_YIELDS * self.height)
        for other in others:
            if not other.shared(padded):
                continue
            above, below = other.bottom - self.y, self.bottom - other.y  # rows of overlap
            before, behind = other.right - self.x, self.right - other.x
            least = min(above, below, before, behind)
            if least == above:
                top = max(top, self.y + min(most, above // 2) if above > 0 else other.bottom)
            elif least == below:
                bottom = min(bottom, self.bottom - min(most, below // 2) if below > 0 else other.y)
            elif least == before:
                left = max(left, min(other.right, self.x))
            else:
                right = min(right, max(other.x, self.right))
        return self.between(left, top, right, bottom)


def within(boxes: Iterable[TextBox], rows: int, columns: int) -> list[TextBox]:
    """Cut boxes to the picture, drop those outside and duplicates, order them by place."""
    cut = [inside for box in boxes if (inside := box.cut(rows, columns)) is not None]
    distinct = dict.fromkeys(_without_needless_doubt(cut, rows, columns))
    return sorted(distinct, key=lambda box: (box.y, box.x, box.height, box.width))


def _without_needless_doubt(boxes: list[TextBox], rows: int, columns: int) -> list[TextBox]:
    """Return boxes; faint ones that certain ones cover are no longer faint: another rendition showed more."""
    sure = np.zeros((rows, columns), dtype=bool)
    for box in boxes:
        if not box.faint:
            mark(sure, box.padded(rows, columns))
    return [replace(box, faint=box.faint and not is_mostly_in(sure, box)) for box in boxes]


def believed(boxes: Iterable[TextBox], hidden: Mask, words: Iterable[TextBox] = ()) -> list[TextBox]:
    """Drop doubted boxes that are alone: beside words they are letters, alone they are anatomy.

    Args:
        boxes: inside the picture.
        hidden: bool (rows, columns), areas and codes that were blanked, in which words may have been.
        words: found and hidden before; a letter beside one has about the same height.
    """
    found = list(boxes)
    sure = [(word, word.padded(*hidden.shape)) for word in words]
    sure += [(box, box) for box in found if not box.doubted]
    return [
        box
        for box in found
        if not box.doubted
        or hidden[_around(box, *hidden.shape).pixels].any()
        or any(_is_beside(box, word, covered, hidden.shape) for word, covered in sure)
    ]


def _is_beside(box: TextBox, word: TextBox, covered: TextBox, shape: tuple[int, int]) -> bool:
    one, other = min(box.width, box.height), min(word.width, word.height)
    return _SIMILAR * max(one, other) <= min(one, other) and _around(box, *shape).shared(covered) > 0


def _around(box: TextBox, rows: int, columns: int) -> TextBox:
    """Return areas in which a line may continue: around a letter or two, at both ends of longer text."""
    if max(box.width, box.height) <= _FEW_LETTERS * min(box.width, box.height):
        return box.grown(round(_BESIDE * max(box.width, box.height)), rows, columns)
    reach = round(_BESIDE * min(box.width, box.height))
    across, down = (reach, 0) if box.width > box.height else (0, reach)
    ends = box.between(box.x - across, box.y - down, box.right + across, box.bottom + down)
    return ends.cut(rows, columns) or box


def mark(mask: Mask, box: Box) -> None:
    """Set the pixels of a box in a mask, bool of shape (rows, columns), in place."""
    mask[box.pixels] = True


def is_mostly_in(mask: Mask, box: Box) -> bool:
    """Return whether more than half of a box is set in a mask, bool of shape (rows, columns)."""
    return bool(mask[box.pixels].mean() > 0.5)
