"""Doubts: boxes that are no word on their own, as detectors find them in teeth, ribs and folds."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from beamstop.ocr.thresholds import Thresholds
from beamstop.pixels.renditions import Picture
from beamstop.text.boxes import TextBox
from beamstop.text.lines import lines_of

_SHORT = 5  # letters that a word without more kinds of them counts as having

Read = Callable[[Picture, Sequence[TextBox]], list[TextBox]]
Score = Callable[[Picture, TextBox, int], float]

# What rings and bars are read as.
_ALIKE = {**dict.fromkeys("0OQDCUGO°(),.", "O"), **dict.fromkeys("1IL|[]!:;/'", "I")}


def with_doubts(
    picture: Picture, boxes: Sequence[TextBox], read: Read, letters_in: Score, thresholds: Thresholds
) -> list[TextBox]:
    """Return the same boxes; those that would be no word on their own are doubted.

    Short boxes are read, and long ones of large letters or on which the networks do not agree: Doppler can
    look like such lines. A script that the recogniser does not know must not cost a name: the detector looks
    again at what cannot be read, shown small.

    Args:
        picture: that the boxes were found in.
        boxes: unread.
        read: as a text detector reads.
        letters_in: the detector's score of a box of so many lines, 0 to 1, shown as small as can be read.
        thresholds: say what is short and what is large.
    """
    unread = [box for box in boxes if not box.legible]
    short = read(picture, [box for box in unread if _is_short(box, thresholds)])
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


def _is_short(box: TextBox, thresholds: Thresholds) -> bool:
    """Return whether a box has room for a letter or two, whichever way it is turned."""
    return max(box.width, box.height) <= thresholds.short * min(box.width, box.height)


def _is_disputable(box: TextBox, thresholds: Thresholds) -> bool:
    """Return whether a line is one that the networks do not agree on, or higher than lines mostly are."""
    is_large = min(box.width, box.height) > thresholds.big
    return not _is_short(box, thresholds) and (is_large or not box.agreed)


def _is_word(box: TextBox, thresholds: Thresholds) -> bool:
    """Say whether what was read is more than a letter, or one letter again and again; unread, it may be."""
    if box.text is None:
        return True
    letters, kinds = len("".join(box.text.split())), len(_letters(box))
    enough = next(sure for most, sure in thresholds.legible if min(letters, max(kinds, _SHORT)) <= most)
    return kinds > 1 and (box.confidence or 0) >= enough


def _may_be_line(box: TextBox, thresholds: Thresholds) -> bool:
    """Return whether different letters are read in a line no higher than most, with a little confidence."""
    is_low = min(box.width, box.height) <= thresholds.big
    return is_low and len(_letters(box)) > 1 and (box.confidence or 0) >= thresholds.soft


def _is_letter(box: TextBox, thresholds: Thresholds) -> bool:
    """Return whether one letter is read, however often; rings need not be read with confidence."""
    letters = _letters(box)
    return letters == {"O"} or (len(letters) == 1 and (box.confidence or 0) >= thresholds.letter)


def _is_line(boxes: list[TextBox]) -> bool:
    """Return whether boxes beside each other may be a line of a script that nobody here reads."""
    is_sure = len(boxes) > 1 and not all(box.faint for box in boxes)
    return is_sure and len({letter for box in boxes for letter in _letters(box) or {""}}) > 1


def _letters(box: TextBox) -> set[str]:
    return {_ALIKE.get(letter, letter) for letter in (box.text or "").upper() if not letter.isspace()}


def _unread(box: TextBox) -> TextBox:
    return replace(box, text=None, confidence=None)
