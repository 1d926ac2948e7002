"""TextJudge: which boxes of text stay, as authorised words, markers, or what a recipe holds harmless."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

from pydicom.dataset import Dataset

from beamstop.pixels.box import Box
from beamstop.pixels.renditions import Picture
from beamstop.text.boxes import TextBox
from beamstop.text.burned_words import (
    OwnWords,
    folded,
    is_label,
    is_pattern,
    why_harmless,
    why_identifying,
    word_test,
)
from beamstop.text.detector import TextDetector, TextPolicy
from beamstop.words.identifiers import harvest

# View and laterality markers of radiography: text that says nothing about a person.
_MARKERS = "R L AP PA LAT CC MLO ML LM RCC LCC RMLO LMLO ERECT SUPINE"
MARKERS = tuple(_MARKERS.split())

MIN_CONFIDENCE = 0.3  # a reading below it keeps nothing: 29 of 31 markers kept, 0 of 136 names
_SURE = 0.5  # for words that are not authorised
_HARMLESS = frozenset({"marker", "device_setting", "medical_word"})


class Verdict(NamedTuple):
    """What becomes of a box, and the code of why."""

    box: TextBox
    kept: bool
    why: str


class TextJudge:
    """Decides which text of one instance stays; one judge per instance.

    Args:
        policy: of the recipe.
        dataset: the instance before its attributes are changed: its identifiers are words that never stay,
            whatever the recipe does with them. They are gathered when first needed.
    """

    def __init__(self, policy: TextPolicy, dataset: Dataset) -> None:
        self.policy = policy
        self._dataset = dataset
        self._words = [word_test(entry) for entry in policy.authorized_words if not is_pattern(entry)]
        self._patterns = [word_test(entry) for entry in policy.authorized_words if is_pattern(entry)]
        self._markers = frozenset(map(folded, policy.markers))
        self._longest = max(map(len, self._markers), default=0)

    def decide(
        self, picture: Picture, boxes: Sequence[TextBox], detector: TextDetector, scans: tuple[Box, ...] = ()
    ) -> list[Verdict]:
        """Decide on every box; only those that may stay are read.

        Args:
            picture: that the boxes were found in.
            boxes: unread.
            detector: reads.
            scans: boxes in which text stays that is not the instance's own.
        """
        lines = lines_of(boxes)
        readable = [box for line in lines if self._is_worth_reading(line, scans) for box in line]
        reads = {
            box: replace(box, text=read.text, confidence=read.confidence)
            for box, read in zip(readable, detector.read(picture, readable) if readable else (), strict=True)
        }
        read_lines = [[reads.get(box, box) for box in line] for line in lines]
        verdicts = [verdict for line in read_lines for verdict in self._line(line, scans)]
        return self._after_labels(verdicts) if self.policy.hide == "identifying" else verdicts

    @cached_property
    def _own(self) -> OwnWords:
        return OwnWords(harvest(self._dataset, lambda path: False))

    def _is_worth_reading(self, line: list[TextBox], scans: tuple[Box, ...]) -> bool:
        if self.policy.authorized_words or self.policy.hide == "identifying":
            return True
        return all(map(self._may_be_marker, line)) or any(scan.holds(box) for scan in scans for box in line)

    def _may_be_marker(self, box: TextBox) -> bool:
        """Say whether a box is short enough for the longest marker; a letter is hardly wider than high."""
        return box.width <= self._longest * box.height

    def _line(self, line: list[TextBox], scans: tuple[Box, ...]) -> list[Verdict]:
        """Decide on boxes that stand beside each other: as a whole first, then one by one."""
        text = " ".join(box.text or "" for box in line)
        if self._is_sure(line, MIN_CONFIDENCE) and self._is_authorized(text):
            return [Verdict(box, True, "authorized_word") for box in line]
        if self._is_sure(line, _SURE) and self._are_markers(text):
            return [Verdict(box, True, "marker") for box in line]
        if self.policy.hide == "identifying":
            verdicts = self._identifying(line, text)
        else:
            verdicts = [Verdict(box, False, "faint_text" if box.faint else "text") for box in line]
        return [self._singly(verdict, text, scans) for verdict in verdicts]

    def _singly(self, verdict: Verdict, line: str, scans: tuple[Box, ...]) -> Verdict:
        """Return the verdict on a box alone: an authorised word in a hidden line, or part of a scan."""
        box = verdict.box
        if verdict.kept:
            return verdict
        if self._is_sure([box], MIN_CONFIDENCE) and self._is_authorized(box.text or ""):
            return Verdict(box, True, "authorized_word")
        if any(scan.holds(box) for scan in scans) and not why_identifying(line, self._own):
            return Verdict(box, True, "ultrasound_region")
        return verdict

    def _identifying(self, line: list[TextBox], text: str) -> list[Verdict]:
        """Decide on a line when only identifying text is hidden; what cannot be told is hidden, too."""
        why = why_identifying(text, self._own)
        if why:
            return [Verdict(box, False, why) for box in line]
        words = [(box, word) for box in line for word in (box.text or "").split()]
        whys = why_harmless([word for _, word in words], lambda word: word in self._markers)
        alone = _HARMLESS.issuperset(whys) and self._is_sure(line, _SURE)
        found = list(zip(words, whys, strict=True))
        return [self._box(box, [why for (of, _), why in found if of is box], alone) for box in line]

    def _box(self, box: TextBox, whys: list[str], alone: bool) -> Verdict:
        """Decide on a box by its words; beside hidden words, letters may be initials."""
        if not whys or not self._is_sure([box], _SURE):
            return Verdict(box, False, "unread")
        against = next((why for why in whys if why not in _HARMLESS), None)
        if against is None and not alone and "medical_word" not in whys and not _has_digit(box.text or ""):
            against = "unknown"
        return Verdict(box, against is None, against or whys[0])

    def _after_labels(self, verdicts: list[Verdict]) -> list[Verdict]:
        """Hide what stands to the right of a label, or below one that ends its line."""
        labels = [verdict.box for verdict in verdicts if is_label(verdict.box.text or "")]
        boxes = [verdict.box for verdict in verdicts]
        reached = {box for label in labels for box in _announced(label, boxes)}
        return [
            Verdict(verdict.box, False, "label")
            if verdict.box in reached and verdict.why != "authorized_word"
            else verdict
            for verdict in verdicts
        ]

    def _is_authorized(self, text: str) -> bool:
        """Say whether a word or line is authorised, or each of its words; the instance's own never are.

        A pattern may fit a name by chance, so what merely resembles one goes, too.
        """
        words = text.split()
        if not words or not (self._words or self._patterns):
            return False
        if not self._fits(text) and not all(map(self._fits, words)):
            return False
        named = any(test(text) for test in self._words) or all(
            any(test(word) for test in self._words) for word in words
        )
        return not (self._own.has(text) if named else self._own.resembles(text))

    def _fits(self, text: str) -> bool:
        return any(test(text) for test in (*self._words, *self._patterns))

    def _are_markers(self, text: str) -> bool:
        words = folded(text).split()
        return bool(words) and self._markers.issuperset(words) and not self._own.has(text)

    def _is_sure(self, line: Iterable[TextBox], confidence: float) -> bool:
        return all(box.text and (box.confidence or 0) >= confidence for box in line)


def lines_of(boxes: Iterable[TextBox]) -> list[list[TextBox]]:
    """Group boxes that stand beside each other, closer than a line is high, from left to right."""
    lines: list[list[TextBox]] = []
    for box in sorted(boxes, key=lambda box: (box.x, box.y)):
        for line in lines:
            last = line[-1]
            if _on_one_line(last, box) and box.x - last.x - last.width < last.height:
                line.append(box)
                break
        else:
            lines.append([box])
    return lines


def _has_digit(text: str) -> bool:
    return any(map(str.isdecimal, text))


def _on_one_line(one: TextBox, other: TextBox) -> bool:
    overlap = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    return 2 * overlap > min(one.height, other.height)


def _announced(label: TextBox, boxes: list[TextBox]) -> list[TextBox]:
    """Return the boxes to the right of a label on its line, or those right below it where there are none."""
    right = [box for box in boxes if box.x > label.x and _on_one_line(label, box)]
    if right:
        return right
    bottom = label.y + label.height
    return [
        box
        for box in boxes
        if 0 <= box.y - bottom + label.height // 2 <= 2 * label.height
        and box.x < label.x + label.width
        and label.x < box.x + box.width
    ]
