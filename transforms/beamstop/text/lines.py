"""Lines of text: groups boxes into lines, and merges boxes of the same text."""

from collections.abc import Iterable
from dataclasses import replace
from functools import reduce

from beamstop.text.boxes import TextBox

_ALIKE = 1.6  # the largest ratio of heights in one line
_FRAGMENT = 1.9  # the same for a box that is mostly a part of another
_COVERED = 0.85  # share of a block's rows and columns: the rest has no room for a line


def lines_of(boxes: Iterable[TextBox]) -> list[list[TextBox]]:
    """Group boxes on one line with gaps smaller than its height, from left to right."""
    lines: list[list[TextBox]] = []
    for box in sorted(boxes, key=lambda box: (box.x, box.y)):
        for line in lines:
            last = line[-1]
            if on_one_line(last, box) and box.x - last.x - last.width < last.height:
                line.append(box)
                break
        else:
            lines.append([box])
    return lines


def merged(boxes: Iterable[TextBox]) -> list[TextBox]:
    """Merge boxes that share pixels on a line: two renditions show the same words."""
    found: list[TextBox] = []
    for box in sorted(boxes, key=lambda box: (box.x, box.y, box.width, box.height)):
        joined = box
        while same := next((it for it in found if _are_one(it, joined)), None):
            found.remove(same)
            joined = union(same, joined)
        found.append(joined)
    return found


def without_blocks(boxes: Iterable[TextBox]) -> list[TextBox]:
    """Leave out boxes that span several lines, if each of these has its own box."""
    found = list(boxes)
    return [box for box in found if not _is_a_block(box, found)]


def _is_a_block(box: TextBox, boxes: list[TextBox]) -> bool:
    lines = [
        it for it in boxes if it.height * _ALIKE < box.height and 2 * it.shared(box) > it.width * it.height
    ]
    rows = {row for it in lines for row in range(it.y, it.bottom)}
    columns = {column for it in lines for column in range(it.x, it.right)}
    return (
        len(rows.intersection(range(box.y, box.bottom))) >= _COVERED * box.height
        and len(columns.intersection(range(box.x, box.right))) >= _COVERED * box.width
    )


def on_one_line(one: TextBox, other: TextBox) -> bool:
    """Return whether two boxes share more than half of the lower one's rows."""
    overlap = min(one.bottom, other.bottom) - max(one.y, other.y)
    return 2 * overlap > min(one.height, other.height)


def _are_one(one: TextBox, other: TextBox) -> bool:
    low, high = sorted((one.height, other.height))
    smaller = min(one.width * one.height, other.width * other.height)
    most = _FRAGMENT if 2 * one.shared(other) > smaller else _ALIKE
    return on_one_line(one, other) and one.shared(other) > 0 and high <= most * low


def whole(line: list[TextBox]) -> list[TextBox]:
    """Return a line as one box, if its boxes are of one height: it is read best in one piece."""
    heights = [box.height for box in line]
    return [reduce(union, line)] if max(heights) <= _ALIKE * min(heights) else line


def union(one: TextBox, other: TextBox) -> TextBox:
    """Return the smallest box around two; faint if both are."""
    left, top = min(one.x, other.x), min(one.y, other.y)
    right, bottom = max(one.right, other.right), max(one.bottom, other.bottom)
    return replace(one.between(left, top, right, bottom), faint=one.faint and other.faint)
