"""Doubts: boxes that are not a word on their own, such as detectors find in teeth, ribs and folds."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from beamstop.ocr.thresholds import Thresholds
from beamstop.pixels.renditions import Picture
from beamstop.text.boxes import TextBox
from beamstop.text.lines import lines_of

_SHORT = 5  # letters for which a longer word counts if it has no more different ones

Read = Callable[[Picture, Sequence[TextBox]], list[TextBox]]
Score = Callable[[Picture, TextBox, int], float]

# Letters as which rings and bars are read, each group mapped to one.
_ALIKE = {**dict.fromkeys("0OQDCUGO°(),.", "O"), **dict.fromkeys("1IL|[]!:;/'", "I")}


def with_doubts(
    picture: Picture, boxes: Sequence[TextBox], read: Read, letters_in: Score, thresholds: Thresholds
) -> list[TextBox]:
    """Return the same boxes; those that are not a word on their own are marked as doubted.

    Short boxes are read, and so are long ones with large letters or about which the networks disagree,
    because Doppler can look like such lines. So that names in a script that the recogniser does not know are
    not lost, the detector examines unreadable boxes again at small size.

    Args:
        picture: the picture in which the boxes were found.
        boxes: unread boxes.
        read: the text detector's function to read.
        letters_in: returns the detector's score, 0 to 1, at small size of a box with a number of lines.
        thresholds: decide what is short and what is large.
    """
    unread = [box for box in boxes if not box.legible]
    short = read(picture, [box for box in unread if is_short(box, thresholds)])
    doubted = [
        box
        for box in short
        if not _is_word(box, thresholds)
        and (_is_letter(box, thresholds) or letters_in(picture, box, 1) < thresholds.sure)
    ]
    wordless = {box for line in lines_of(doubted) if not _is_line(line) for box in map(_unread, line)}
    long = read(picture, [box for box in unread if _is_disputable(box, thresholds)])
    wordless |= {
        _unread(box)
        for box in long
        if not (_is_word(box, thresholds) or _may_be_line(box, thresholds))
        and letters_in(picture, box, 1) < thresholds.sure
        and letters_in(picture, box, 2) < thresholds.certain
    }
    return [replace(box, doubted=box in wordless) for box in boxes]


def is_read(box: TextBox, thresholds: Thresholds) -> bool:
    """Return whether a word, or certainly a letter, is read in a box; True if there is no recogniser."""
    is_certain = len(box.text or "") == 1 and (box.confidence or 0) >= thresholds.certain
    return is_certain or _is_word(box, thresholds)


def is_short(box: TextBox, thresholds: Thresholds) -> bool:
    """Return whether a box has room only for a letter or two, upright or turned."""
    return max(box.width, box.height) <= thresholds.short * min(box.width, box.height)


def _is_disputable(box: TextBox, thresholds: Thresholds) -> bool:
    """Return whether the networks disagree about a line, or it is higher than most lines."""
    is_large = min(box.width, box.height) > thresholds.big
    return not is_short(box, thresholds) and (is_large or not box.agreed)


def _is_word(box: TextBox, thresholds: Thresholds) -> bool:
    """Return whether the text is more than one letter, and not one letter repeated; True if unread."""
    if box.text is None:
        return True
    letters, kinds = len("".join(box.text.split())), len(_letters(box))
    enough = next(sure for most, sure in thresholds.legible if min(letters, max(kinds, _SHORT)) <= most)
    return kinds > 1 and (box.confidence or 0) >= enough


def _may_be_line(box: TextBox, thresholds: Thresholds) -> bool:
    """Return whether different letters are read, with a little confidence, in a line of usual height."""
    is_low = min(box.width, box.height) <= thresholds.big
    return is_low and len(_letters(box)) > 1 and (box.confidence or 0) >= thresholds.soft


def _is_letter(box: TextBox, thresholds: Thresholds) -> bool:
    """Return whether only one letter is read, once or repeated; for rings, with any confidence."""
    letters = _letters(box)
    return letters == {"O"} or (len(letters) == 1 and (box.confidence or 0) >= thresholds.letter)


def _is_line(boxes: list[TextBox]) -> bool:
    """Return whether neighbouring boxes may be a line of a script that the recogniser does not know."""
    is_sure = len(boxes) > 1 and not all(box.faint for box in boxes)
    return is_sure and len({letter for box in boxes for letter in _letters(box) or {""}}) > 1


def _letters(box: TextBox) -> set[str]:
    return {_ALIKE.get(letter, letter) for letter in (box.text or "").upper() if not letter.isspace()}


def _unread(box: TextBox) -> TextBox:
    return replace(box, text=None, confidence=None)
