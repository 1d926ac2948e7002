"""TextJudge: which boxes of text stay, as authorised words, markers, or harmless lines."""

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
    is_bare_label,
    is_pattern,
    why_identifying,
    word_test,
)
from beamstop.text.codes import Code
from beamstop.text.detector import TextDetector, TextPolicy
from beamstop.text.device_lines import why_harmless
from beamstop.text.dose_screens import is_dose_table, is_dose_word, is_row
from beamstop.text.lines import lines_of, merged, on_one_line, whole, without_blocks
from beamstop.words.identifiers import harvest

# View and laterality markers of radiography: text that says nothing about a person.
_MARKERS = "R L AP PA LAT CC MLO ML LM RCC LCC RMLO LMLO ERECT SUPINE"
MARKERS = tuple(_MARKERS.split())

MIN_CONFIDENCE = 0.3  # below it, no text is kept; measured: 29 of 31 markers kept, 0 of 136 names
_SURE = 0.5  # for words that are not authorised
CODE = "code"  # reason for hiding a machine-readable code
_HARMLESS = frozenset({"marker", "device_setting", "medical_word"})
_UNTOLD = frozenset({"number", "unknown"})  # reasons that a table of doses overrules


class Verdict(NamedTuple):
    """The verdict on a box, and the code of its reason."""

    box: TextBox
    kept: bool
    why: str


class TextJudge:
    """Decides which text of one instance stays; one judge per instance.

    Args:
        policy: of the recipe.
        dataset: the instance before its attributes are changed: its identifiers never stay, whatever the
            recipe does with them in the header. They are collected when first needed.
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
            picture: the picture in which the boxes were found.
            boxes: unread boxes.
            detector: reads them.
            scans: boxes in which text stays, except the instance's own identifiers.
        """
        lines = lines_of(merged(without_blocks(boxes)) if self._reads_everything else boxes)
        if self.policy.hide == "identifying" and not self.policy.authorized_words:
            lines = [whole(line) for line in lines]
        readable = [box for line in lines if self._is_worth_reading(line, scans) for box in line]
        reads = {
            box: replace(box, text=read.text, confidence=read.confidence)
            for box, read in zip(readable, detector.read(picture, readable) if readable else (), strict=True)
        }
        read_lines = [[reads.get(box, box) for box in line] for line in lines]
        verdicts = [verdict for line in read_lines for verdict in self._line(line, scans)]
        if self.policy.hide != "identifying":
            return verdicts
        return self._after_labels(self._with_dose_tables(verdicts))

    def decide_codes(self, codes: Iterable[Code]) -> list[Verdict]:
        """Decide on machine-readable codes: one stays if a recipe authorises all of its content.

        Codes are never markers or device settings, and a code with an identifier of the instance never stays.
        """
        return [
            Verdict(TextBox(box.x, box.y, box.width, box.height), kept, "authorized_word" if kept else CODE)
            for box, content in codes
            for kept in [self._is_authorized(content) and not self._own.is_part_of(content)]
        ]

    @property
    def hides_letters(self) -> bool:
        """Whether single letters are hidden: the recipe keeps no markers."""
        return not self.policy.markers

    def may_be_letter(self, box: TextBox) -> bool:
        """Return whether a box that is not a word was read as a letter; True if unread."""
        return box.text is None or (bool(box.text) and (box.confidence or 0) >= MIN_CONFIDENCE)

    @cached_property
    def _own(self) -> OwnWords:
        return OwnWords(harvest(self._dataset, lambda path: False))

    @property
    def _reads_everything(self) -> bool:
        return bool(self.policy.authorized_words) or self.policy.hide == "identifying"

    def _is_worth_reading(self, line: list[TextBox], scans: tuple[Box, ...]) -> bool:
        if self._reads_everything:
            return True
        return all(map(self._may_be_marker, line)) or any(scan.holds(box) for scan in scans for box in line)

    def _may_be_marker(self, box: TextBox) -> bool:
        """Return whether a box is short enough for the longest marker; a letter is hardly wider than high."""
        return box.width <= self._longest * box.height

    def _line(self, line: list[TextBox], scans: tuple[Box, ...]) -> list[Verdict]:
        """Decide on the boxes of a line: first as a whole, then one by one."""
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
        """Return the verdict on a single box: an authorised word in a hidden line, or text in a scan."""
        box = verdict.box
        if verdict.kept:
            return verdict
        if self._is_sure([box], MIN_CONFIDENCE) and self._is_authorized(box.text or ""):
            return Verdict(box, True, "authorized_word")
        if any(scan.holds(box) for scan in scans) and not why_identifying(line, self._own):
            return Verdict(box, True, "ultrasound_region")
        return verdict

    def _identifying(self, line: list[TextBox], text: str) -> list[Verdict]:
        """Decide on a line when only identifying text is hidden: all of it must be known to be harmless."""
        why = self._why_identifying(line, text)
        return [Verdict(box, why in _HARMLESS, why) for box in line]

    def _why_identifying(self, line: list[TextBox], text: str) -> str:
        if not self._is_sure(line, _SURE):
            return why_identifying(text, self._own) or "unread"
        if self._own.has(text) or self._own.resembles(text):
            return "identifier"
        why = why_harmless(text, self._is_marker)
        if why in _HARMLESS:
            return "identifier" if self._own.in_line(text) else why
        return why_identifying(text, self._own) or why

    def _is_marker(self, word: str) -> bool:
        return word in self._markers

    def _with_dose_tables(self, verdicts: list[Verdict]) -> list[Verdict]:
        """Keep the rows of a table of doses: lines below its head with nothing but cells."""
        told = [it for it in verdicts if (it.kept or it.why in _UNTOLD) and self._is_sure([it.box], _SURE)]
        if not is_dose_table(it.box.text or "" for it in told):
            return verdicts
        head = min(it.box.y for it in told if is_dose_word(it.box.text or ""))
        return [
            Verdict(it.box, True, "device_setting")
            if it.why in _UNTOLD and it.box.y >= head and self._is_row(it.box)
            else it
            for it in verdicts
        ]

    def _is_row(self, box: TextBox) -> bool:
        text = box.text or ""
        return self._is_sure([box], _SURE) and is_row(text, self._is_marker) and not self._own.in_line(text)

    def _after_labels(self, verdicts: list[Verdict]) -> list[Verdict]:
        """Hide the text to the right of a label that is alone on its line, or else below it."""
        labels = [verdict.box for verdict in verdicts if is_bare_label(verdict.box.text or "")]
        boxes = [verdict.box for verdict in verdicts]
        reached = {box for label in labels for box in _announced(label, boxes)}
        return [
            Verdict(verdict.box, False, "label")
            if verdict.box in reached and verdict.why != "authorized_word"
            else verdict
            for verdict in verdicts
        ]

    def _is_authorized(self, text: str) -> bool:
        """Return whether a line, or each of its words, is authorised; the instance's identifiers never are.

        A pattern may match a name by chance, so text that merely resembles a name is hidden, too.
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


def _announced(label: TextBox, boxes: list[TextBox]) -> list[TextBox]:
    """Return the boxes to the right of a label on its line or, if there are none, directly below it."""
    right = [box for box in boxes if box.x > label.x and on_one_line(label, box)]
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
