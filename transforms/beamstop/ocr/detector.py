"""The text detector: a small network proposes, EasyOCR's CRAFT confirms, a recogniser reads."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache, reduce
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from beamstop.ocr import networks
from beamstop.ocr.doubts import is_read, is_short, with_doubts
from beamstop.ocr.line_ends import followed
from beamstop.ocr.networks import Network
from beamstop.ocr.places import Place, around, joined, resized, shrunk
from beamstop.ocr.recognizer import Readable, Recognizer, in_a_letter, load_recognizer, readable
from beamstop.ocr.sharpness import banded, sharp, sharpened, stands_out
from beamstop.ocr.thresholds import THRESHOLDS, Thresholds
from beamstop.ocr.tiles import Scores, halved, inside, run_padded, tiles, tiles_of
from beamstop.ocr.traces import without_traces
from beamstop.ocr.weights import CRAFT, DBNET, DIGESTS, PP_OCR, find, find_craft, weights_of
from beamstop.pixels.box import Box
from beamstop.pixels.renditions import Mask, Picture
from beamstop.text.boxes import TextBox, is_mostly_in, mark
from beamstop.text.lines import lines_of, union


class EasyOcrDetector:
    """Finds text in any language, and reads the languages for which there are weights.

    If DBNet is installed, it searches the whole picture at little cost and proposes boxes. CRAFT examines the
    proposals, coarsely if DBNet is certain, and decides. Without DBNet, CRAFT examines everything.

    Args:
        craft: file of CRAFT, see `weights.find`.
        reader: file of the recogniser; None if no language can be read.
        verifier: file of the recogniser for doubted boxes; None if there is none.
        proposer: file of DBNet; None if it is not installed.
        thresholds: decide what is found.

    Attributes:
        fingerprint: engines, versions, digests of thresholds, weights and exports, precision.
        unread_languages: languages without weights for reading; their words are hidden even if authorised.
    """

    def __init__(
        self,
        craft: Path,
        reader: Readable,
        verifier: Path | None,
        proposer: Path | None,
        thresholds: Thresholds = THRESHOLDS,
    ) -> None:
        self._craft = networks.load(craft)
        self._dbnet = networks.load(proposer) if proposer else None
        self._thresholds = thresholds
        self._reader = reader.file
        self._verifier = verifier
        self.unread_languages = reader.unread
        self.fingerprint = " ".join(
            (
                f"opencv-python-headless-{version('opencv-python-headless')}",
                f"craft-{DIGESTS[CRAFT][:12]}",
                _fingerprint(self._reader) if self._reader else "unread",
                f"dbnet-{DIGESTS[DBNET][:12]}" if self._dbnet else "unproposed",
                f"thresholds-{thresholds.digest}",
                "exports-" + "-".join(it.digest[:8] for it in (self._craft, self._dbnet) if it),
                f"doubts-{DIGESTS[weights_of(verifier)][:12]}" if verifier else "undoubting",
                self._craft.fingerprint,
            )
        )

    def find(self, picture: Picture) -> list[TextBox]:
        """Return an upright box around each piece of text.

        Args:
            picture: uint8 (rows, columns), as `renditions.local_contrast` makes it.
        """
        thresholds = self._thresholds
        picture = without_traces(picture, thresholds)
        longest = max(picture.shape)
        is_large = longest > thresholds.large
        if is_large:
            boxes = self._found(picture, sharp(picture, thresholds))
            boxes = _distinct((*boxes, *self._soft(picture, boxes)), picture, thresholds.same)
            boxes = followed(picture, boxes, thresholds)
        else:
            enlarge = next((scale for limit, scale in thresholds.enlarge if longest <= limit), 1.0)
            boxes = self._found(picture, None, enlarge)
            more = self._blurred(picture, self._known(picture, boxes))
            boxes = _distinct((*boxes, *more), picture, thresholds.same)
        boxes = with_doubts(picture, boxes, self._verify, self._letters_in, thresholds)
        return boxes if is_large else followed(picture, boxes, thresholds)

    def _soft(self, picture: Picture, boxes: list[TextBox]) -> list[TextBox]:
        """Return the boxes of letters that are too blurred for the search of a large picture's sharp parts.

        Blurred letters are large: the picture is reduced and searched, and once more sharpened if that finds
        any.
        """
        longest = max(picture.shape)
        scale = min(self._thresholds.coarse, self._thresholds.reduced / longest)
        if scale * min(picture.shape) < self._thresholds.least:
            return []
        known = self._known(picture, boxes)
        reduced = _reduced(picture, known, scale)
        soft = self._found(reduced.shown, None, reduced=reduced)
        if soft:
            soft += self._found(sharpened(reduced.shown, self._thresholds), None, reduced=reduced)
        found = _enlarged(soft, picture, scale)
        return found + self._blurred(picture, [*known, *self._known(picture, found)])

    def _blurred(self, picture: Picture, known: list[TextBox]) -> list[TextBox]:
        """Return lines of letters that are larger and more blurred than networks know, or in noise.

        At reduced size, the networks know such letters, and the noise is gone.
        """
        lines: list[TextBox] = []
        longest = max(picture.shape)
        passes = next(passes for limit, passes in self._thresholds.blurred_at if longest <= limit)
        for (reduced_by, most), enlarge, band in passes:
            scale = min(reduced_by, most / longest)
            if scale * min(picture.shape) < self._thresholds.least:
                continue
            found = [line for line in lines if not is_short(line, self._thresholds)]
            reduced = _reduced(picture, [*known, *found], scale)
            if band:
                reduced = reduced._replace(shown=banded(reduced.shown, band), is_banded=True)
            lines += _enlarged(self._proposed(reduced.shown, None, enlarge, reduced).lines, picture, scale)
        return lines

    def _found(
        self,
        picture: Picture,
        sharp_parts: Mask | None,
        enlarge: float = 1.0,
        reduced: "_Reduced | None" = None,
    ) -> list[TextBox]:
        """Return the boxes on a picture, and on the picture enlarged.

        Args:
            picture: uint8 (rows, columns).
            sharp_parts: mask of the parts to search; None for all.
            enlarge: factor.
            reduced: for soft letters, the reduced picture and what it was made from; else None.
        """
        thresholds = self._thresholds
        found = self._proposed(picture, sharp_parts, enlarge, reduced)

        def is_believed(box: TextBox) -> bool:
            is_sharp = sharp_parts is None or bool(sharp_parts[box.pixels].mean() >= thresholds.throughout)
            marked = float(found.marked[box.pixels].mean())
            is_tall = min(box.width, box.height) > thresholds.tall
            return is_sharp and marked > (thresholds.marked if is_tall else 0)

        seen = (
            box if score >= thresholds.sure else replace(box, faint=True)
            for place in found.places
            for box, score in self._boxes(picture, place)
            if score >= thresholds.sure
            or (is_believed(box) and stands_out(picture, box, thresholds.step, thresholds))
        )
        return _distinct((*found.lines, *seen), picture, thresholds.same)

    def read(self, picture: Picture, boxes: Sequence[TextBox]) -> list[TextBox]:
        """Return the same boxes with their text; unchanged if no language can be read."""
        return self._read(self._reader, picture, boxes)

    def _known(self, picture: Picture, boxes: Sequence[TextBox]) -> list[TextBox]:
        """Return the boxes that are certainly text, which no search has to find again.

        Faint boxes may be pieces of lines, and short ones lines that were not separated: these have to be
        read.
        """
        thresholds = self._thresholds
        unsure = [box for box in boxes if box.faint or is_short(box, thresholds)]
        read = [box for box in self._verify(picture, unsure) if is_read(box, thresholds)]
        return [box for box in boxes if box not in unsure] + read

    def _verify(self, picture: Picture, boxes: Sequence[TextBox]) -> list[TextBox]:
        return self._read(self._verifier, picture, boxes)

    def _read(self, file: Path | None, picture: Picture, boxes: Sequence[TextBox]) -> list[TextBox]:
        if file is None:
            return list(boxes)
        recognizer = _load_recognizer(file, self._thresholds)
        read = (recognizer(picture[self._shown(box, picture.shape)]) for box in boxes)
        return [
            replace(box, text=text, confidence=sure) for box, (text, sure) in zip(boxes, read, strict=True)
        ]

    def _shown(self, box: TextBox, shape: tuple[int, ...]) -> tuple[slice, slice]:
        """Return the part of a picture that is read for a box, with a margin for letters beyond it."""
        return around(box, self._thresholds.above * min(box.width, box.height), shape).pixels

    def _proposed(
        self, picture: Picture, sharp_parts: Mask | None, enlarge: float, reduced: "_Reduced | None"
    ) -> "_Proposed":
        """Return lines that both networks see, places for CRAFT to examine, pixels that DBNet marks."""
        thresholds, shape = self._thresholds, picture.shape
        if self._dbnet is None:
            every = Place(TextBox(0, 0, shape[1], shape[0]), enlarge)
            return _Proposed([], [every], np.ones(shape, bool))
        lines, places, marked = [], [], np.zeros(shape, bool)
        pieces: list[TextBox] = []
        for scale in sorted({1.0, enlarge}):
            scores = self._scored(self._dbnet, resized(picture, scale), sharp_parts)
            cores, shown = _cores(scores, scale, shape, thresholds)
            marked |= shown
            for core, letter, mean in cores:
                if reduced and is_mostly_in(reduced.known, core):
                    continue
                margin = max(thresholds.context * letter, thresholds.near)
                zoom = 2.0 if letter <= thresholds.small else 1.0
                place = Place(around(core, margin, shape), zoom)
                score = self._confirmed(picture, core, place, letter, mean, reduced is not None)
                if score is not None:
                    box = around(core, thresholds.beside * letter, shape)
                    lines.append(replace(box, agreed=score >= thresholds.sure))
                elif reduced and (line := self._read_line(reduced, core, letter, mean)):
                    lines.append(line)
                else:
                    if reduced and thresholds.piece <= letter <= thresholds.huge:
                        pieces.append(around(core, thresholds.blurred * letter, shape))
                    if mean >= thresholds.dim and (
                        letter <= thresholds.huge or self._may_be_huge(picture, core, place.box, letter)
                    ):
                        places.append(place)
        if reduced and max(reduced.picture.shape) > thresholds.large:
            lines += self._pieced(reduced, pieces)
        return _Proposed(lines, joined(places, thresholds.sparse), marked)

    def _scored(self, dbnet: Network, picture: Picture, sharp_parts: Mask | None) -> Scores:
        """Return DBNet's score of every pixel; in a large picture only of its sharp parts.

        DBNet also sees the surroundings: sharp parts cut out of a noisy ground would look like words.
        """
        thresholds = self._thresholds
        scores = np.zeros(picture.shape, np.float32)
        side = 2 * thresholds.tile
        if sharp_parts is None:
            parts = tiles(picture, side, thresholds.margin)
        else:
            parts = tiles_of(sharp_parts, side, thresholds.beside_sharp, thresholds)
        for core, tile in parts:
            scores[core] = run_padded(dbnet, picture[tile], thresholds)[0, 0][inside(core, tile)]
        if sharp_parts is not None:
            scores[~sharp_parts] = 0
        return scores

    def _confirmed(
        self, picture: Picture, core: TextBox, place: Place, letter: float, mean: float, is_soft: bool
    ) -> float | None:
        """Return CRAFT's score if DBNet is certain and CRAFT sees any text at small size; otherwise None.

        DBNet is less certain of soft letters, so for these CRAFT has to be sure. At reduced size, anatomy
        also looks like soft letters: if only one of the networks is sure, something has to be read.
        """
        thresholds = self._thresholds
        is_certain = _is_certain(letter, mean, thresholds)
        smallest, largest = thresholds.letters
        may_be_soft = is_soft and mean >= thresholds.likely and smallest <= letter <= largest
        if not is_certain and not may_be_soft:
            return None
        score = self._coarsely(picture, place.box, letter)
        if score < (thresholds.text if is_certain else thresholds.sure):
            return None
        is_agreed = is_certain and (not is_soft or score >= thresholds.sure)
        return score if is_agreed or self._may_be_read(picture, core) else None

    def _may_be_huge(self, picture: Picture, core: TextBox, box: TextBox, letter: float) -> bool:
        """Return whether huge letters, or lines that DBNet does not separate, stand out, and CRAFT sees any.

        CRAFT is shown the surroundings at the size at which such letters are no longer huge.
        """
        thresholds = self._thresholds
        if not stands_out(picture, core, thresholds.far, thresholds):
            return False
        text, _ = self._scores(Place(box, thresholds.huge / letter).cut(picture))
        return bool(text.max() >= thresholds.text)

    def _may_be_read(self, picture: Picture, core: TextBox) -> bool:
        """Return whether anything is read in a core; True if there is no recogniser."""
        (read,) = self._verify(picture, [around(core, self._thresholds.blur, picture.shape)])
        return read.confidence is None or read.confidence >= self._thresholds.soft

    def _read_line(self, reduced: "_Reduced", core: TextBox, letter: float, mean: float) -> TextBox | None:
        """Return the line around a core if a word is read in it, because it may be too blurred for CRAFT."""
        thresholds, shape = self._thresholds, reduced.shown.shape
        if mean < thresholds.likely:
            return None
        kinds = max(self._kinds_read(reduced, around(core, margin, shape)) for margin in (1, thresholds.blur))
        line = around(core, max(thresholds.blurred * letter, thresholds.blur), shape)
        return replace(line, legible=kinds >= thresholds.kinds) if kinds else None

    def _pieced(self, reduced: "_Reduced", pieces: list[TextBox]) -> list[TextBox]:
        """Return lines of which DBNet sees only pieces, if a word is read in them."""
        thresholds = self._thresholds
        return [
            replace(line, legible=True)
            for line in (reduce(union, line) for line in lines_of(pieces))
            if self._kinds_read(reduced, line) >= thresholds.kinds
        ]

    def _kinds_read(self, reduced: "_Reduced", box: TextBox) -> int:
        """Return how many kinds of letters are read in a long box; 0 for less than a word.

        Large pictures are read at full size, smoothed, and in a band of frequencies, which removes blur. In
        small ones that would read patches of Doppler.
        """
        thresholds = self._thresholds
        length = max(box.width, box.height) / min(box.width, box.height)
        if self._verifier is None or length < thresholds.wide:
            return 0
        views: list[tuple[Picture, list[TextBox]]] = [(reduced.shown, [box])]
        if max(reduced.picture.shape) > thresholds.large:
            (whole,) = _enlarged([box], reduced.picture, reduced.scale)
            full = _smoothed(reduced.picture, whole, thresholds)
            views = [full, *views] if reduced.is_banded else [full]
        for view in views:
            (read,) = self._verify(*view)
            letters = "".join((read.text or "").split())
            sure = in_a_letter(read.confidence or 0, len(letters))
            if len(letters) >= thresholds.word and sure >= thresholds.barely:
                return len(set(letters))
        return 0

    def _coarsely(self, picture: Picture, box: TextBox, letter: float) -> float:
        coarse = Place(box, min(self._thresholds.small / letter, 1.0))
        text, _ = self._scores(coarse.cut(picture))
        return float(text.max())

    def _letters_in(self, picture: Picture, box: TextBox, lines: int) -> float:
        """Return CRAFT's score of a box at small size."""
        letter = min(box.width, box.height) / lines
        return self._coarsely(picture, around(box, self._thresholds.beside * letter, picture.shape), letter)

    def _boxes(self, picture: Picture, place: Place) -> list[tuple[TextBox, float]]:
        """Return CRAFT's boxes in a place with their scores."""
        text, link = self._scores(place.cut(picture))
        return [(place.to_picture(box), score) for box, score in _boxes(text, link, self._thresholds)]

    def _scores(self, picture: Picture) -> tuple[Scores, Scores]:
        """Return CRAFT's text and link scores at half size; 0 where the picture is uniform."""
        rows, columns = picture.shape
        scores = np.zeros((2, (rows + 1) // 2, (columns + 1) // 2), np.float32)
        for core, tile in tiles(picture, self._thresholds.tile, self._thresholds.margin):
            found = run_padded(self._craft, picture[tile], self._thresholds)[0].transpose(2, 0, 1)
            outer, inner = halved(core), halved(inside(core, tile))
            scores[:, *outer] = found[:, *inner]
        return scores[0], scores[1]


class _Reduced(NamedTuple):
    """A picture reduced for soft letters.

    Attributes:
        shown: the reduced picture, or a band of its frequencies.
        known: mask of text in it that was found before and need not be found again.
        picture: from which it was made.
        scale: factor by which it was reduced.
        is_banded: only a band of frequencies is shown.
    """

    shown: Picture
    known: Mask
    picture: Picture
    scale: float
    is_banded: bool = False


def _reduced(picture: Picture, known: list[TextBox], scale: float) -> _Reduced:
    """Return a picture reduced, with a mask of its known boxes."""
    shown = resized(picture, scale)
    covered = np.zeros(shown.shape, bool)
    for box in known:
        mark(covered, shrunk(box.padded(*picture.shape), 1 / scale))
    return _Reduced(shown, covered, picture, scale)


def _smoothed(picture: Picture, box: TextBox, thresholds: Thresholds) -> tuple[Picture, list[TextBox]]:
    """Return the surroundings of a box, smoothed, and the box in them."""
    import cv2

    part = around(box, min(box.width, box.height), picture.shape)
    smooth = np.asarray(cv2.GaussianBlur(picture[part.pixels], (0, 0), thresholds.unblurred), np.uint8)
    return smooth, [TextBox(box.x - part.x, box.y - part.y, box.width, box.height)]


def _enlarged(boxes: list[TextBox], picture: Picture, scale: float) -> list[TextBox]:
    """Return boxes found in a reduced picture, in pixels of the original picture."""
    return [it for box in boxes if (it := shrunk(box, scale).cut(*picture.shape))]


def _fingerprint(file: Path) -> str:
    name = weights_of(file)
    return f"{Path(name).stem}-{DIGESTS[name][:12]}"


class _Proposed(NamedTuple):
    """DBNet's proposals: confirmed lines, places for CRAFT to examine, and the marked pixels."""

    lines: list[TextBox]
    places: list[Place]
    marked: Mask


def _cores(
    scores: Scores, scale: float, shape: tuple[int, ...], thresholds: Thresholds
) -> tuple[list[tuple[TextBox, float, float]], Mask]:
    """Return DBNet's lines (core, height of the letters, mean score) and a mask of all their pixels.

    Args:
        scores: of the resized picture.
        scale: of the resized picture.
        shape: of the original picture.
        thresholds: decide what counts.
    """
    import cv2

    over = scores > thresholds.proposed
    at = np.flatnonzero(over)
    scored = scores.ravel()[at]
    if scored.max(initial=0) < thresholds.worth:
        return [], np.zeros(shape, bool)
    down, across = _span(over, 1), _span(over, 0)
    part = over[down, across]
    count, labels, stats, _ = cv2.connectedComponentsWithStats(part.astype(np.uint8), connectivity=8)
    stats[:, :2] += across.start, down.start
    labelled = labels[part].astype(np.intp)
    best = np.zeros(count, np.float32)
    np.maximum.at(best, labelled, scored)
    means = np.bincount(labelled, scored, count) / np.maximum(stats[:, cv2.CC_STAT_AREA], 1)
    worth = best >= thresholds.worth
    marked = np.zeros(scores.shape, np.uint8)
    marked.ravel()[at] = worth[labelled]
    if marked.shape != shape:
        marked = np.asarray(cv2.resize(marked, shape[::-1], interpolation=cv2.INTER_AREA), np.uint8)
    cores = [
        (
            shrunk(TextBox(left, top, width, height), scale),
            min(width, height) / thresholds.core / scale,
            mean,
        )
        for (left, top, width, height, _), mean in zip(
            stats[worth].tolist(), means[worth].tolist(), strict=True
        )
    ]
    return cores, marked > 0


def _span(there: NDArray[np.bool_], axis: int) -> slice:
    """Return from the first to the last row or column in which anything is set; there is one.

    Args:
        there: (rows, columns).
        axis: 1 for rows, 0 for columns.
    """
    at = np.flatnonzero(np.any(there, axis=axis))
    return slice(int(at[0]), int(at[-1]) + 1)


def _is_certain(letter: float, mean: float, thresholds: Thresholds) -> bool:
    smallest, largest = thresholds.letters
    return mean >= thresholds.certain and smallest <= letter <= largest


def _distinct(boxes: Iterable[TextBox], picture: Picture, same: float) -> list[TextBox]:
    """Leave out boxes that are mostly inside another one, or inside what is blanked above and below it.

    So are pieces of a line that CRAFT sees at the edge of a place.
    """
    kept: list[TextBox] = []
    covered: list[TextBox] = []
    for box in sorted(boxes, key=lambda box: (-box.width * box.height, box.y, box.x)):
        if not any(box.shared(other) > same * box.width * box.height for other in covered):
            kept.append(box)
            covered.append(_beside(box, box.padded(*picture.shape)))
    return kept


def _beside(box: TextBox, padded: TextBox) -> TextBox:
    """Return a padded box without its padding at both ends, where a line may continue."""
    if box.width >= box.height:
        return box.between(box.x, padded.y, box.right, padded.bottom)
    return box.between(padded.x, box.y, padded.right, box.bottom)


def _boxes(text: Scores, link: Scores, thresholds: Thresholds) -> list[tuple[TextBox, float]]:
    """Return the upright boxes of connected text, enlarged as in CRAFT's own code, with their scores."""
    import cv2

    together = ((text > thresholds.low) | (link > thresholds.link)).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(together, connectivity=4)
    best = np.zeros(count, np.float32)
    np.maximum.at(best, labels.ravel().astype(np.intp), text.ravel())
    boxes = []
    for label in range(1, count):
        left, top, width, height, area = (int(value) for value in stats[label])
        if best[label] >= thresholds.text:
            grown = int(np.sqrt(area * min(width, height) / (width * height)) * 2) // 2 + 1
            box = Box(left, top, width, height).grown(grown, *text.shape)
            doubled = TextBox(2 * box.x, 2 * box.y, 2 * box.width, 2 * box.height)
            boxes.append((doubled, float(best[label])))
    return boxes


class Prepared(NamedTuple):
    """What a detector on this machine lacks.

    Attributes:
        unread: requested languages that no installed recogniser reads.
        missing: networks that are not installed, see `weights.DIGESTS`.
    """

    unread: tuple[str, ...]
    missing: tuple[str, ...]


def prepare(languages: tuple[str, ...] = ("en",), recognizer: str = "ppocr") -> Prepared:
    """Prepare, once per machine, the files that every detector reads; see `networks.prepare`.

    Raises:
        DeidError: there are no weights, or not the published ones.
    """
    proposer, reader = find(DBNET), readable(languages, recognizer)
    wanted = dict.fromkeys((find_craft(), proposer, reader.file, readable(("en",)).file))
    networks.prepare(file for file in wanted if file)
    return Prepared(reader.unread, tuple(name for name in (DBNET, PP_OCR) if find(name) is None))


def make_detector(
    languages: tuple[str, ...] = ("en",),
    weights: str | Path | None = None,
    thresholds: Thresholds = THRESHOLDS,
    recognizer: str = "ppocr",
) -> EasyOcrDetector:
    """Load the networks from this machine; nothing is downloaded.

    `beamstop.ocr.load_detector` does it once per process.

    Args:
        languages: EasyOCR's codes of the languages in which authorised words are read.
        weights: folder of the weights; without it, see `weights.find`.
        thresholds: decide what is found.
        recognizer: `ppocr`, or `easyocr`, which reads only English.

    Raises:
        DeidError: there are no weights, or not the published ones; or no such recogniser.
    """
    return EasyOcrDetector(
        find_craft(weights),
        readable(languages, recognizer, weights),
        readable(("en",), given=weights).file,
        find(DBNET, weights),
        thresholds,
    )


@cache
def _load_recognizer(file: Path, thresholds: Thresholds) -> Recognizer:
    return load_recognizer(file, thresholds)
