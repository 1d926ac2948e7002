"""The text finder: a small detector proposes, EasyOCR's CRAFT confirms, its recogniser reads."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from math import ceil
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from beamstop.ocr import networks
from beamstop.ocr.networks import Network
from beamstop.ocr.recognizer import Recognizer
from beamstop.ocr.weights import CRAFT, DBNET, DIGESTS, ENGLISH, proposer_weights, weights_folder
from beamstop.pixels.renditions import GROUND, Mask, Picture
from beamstop.text.hiding import TextBox

_RECOGNIZERS = {"en": ENGLISH}

Scores = NDArray[np.float32]

# For detection, not for reading: EasyOCR's .7/.4/.4 miss faint and small text. Boxes that score less than .5
# were anatomy or curves, every one, of what 252 drawn pictures and both networks left to decide.
_TEXT, _LINK, _LOW = 0.5, 0.2, 0.15
# What scores less than _SURE counts where DBNet sees text, too, and where a step stands out from the noise:
# without one anatomy scores up to .7, written words more.
_SURE, _STEP, _AROUND = 0.75, 3.0, 24
# Of a large picture's box so much is sharp: words .97 and more, what bones make of noise .4 at most.
_THROUGHOUT = 0.6
# DBNet marks .15 and more of lines of text, .1 at most of large anatomy; of small boxes it may miss most.
_TALL, _MARKED = 100, 0.12
# DBNet proposes: a spot that it gives .4 anywhere counts as far as it gives .1, and .7 of a letter or 12
# pixels around it, too. It marks the core of a line, about .45 of the letters' height.
_PROPOSED, _WORTH, _NEAR, _CONTEXT, _CORE = 0.1, 0.4, 12, 0.7, 0.45
# What it gives .9 on average, and letters that may be, is a line .3 of a letter around the core, as soon as
# CRAFT sees any text in it, shown small. Of drawn words 4 in 5 are so, and nothing else; of real pictures
# kidneys, but for larger letters, and coloured noise, in which CRAFT sees nothing.
_CERTAIN, _LETTERS, _BESIDE = 0.9, (5.0, 35.0), 0.3
_SMALL = 14.0  # letters up to this height, in pixels, are doubled for CRAFT; to confirm none is larger
# Larger letters are mostly anatomy, and most of the work: looked at only where a step stands out so far.
_HUGE, _FAR = 70.0, 7.0
_SAME = 0.95  # a box that shares so much with a larger one is the same: the rest is no glyph
_SPARSE = 1.3  # places are joined unless that adds so much that nobody proposed
# In pictures beyond this size only what changes within two pixels, more than the noise does, is looked at.
_LARGE, _BLOCK, _BEYOND, _FLOOR, _CROWD, _SHARE = 1280, 32, 5.0, 12, 15, 0.06
# Letters of 7 to 12 pixels need enlarging: of faint words 77 % are found as they are, 89 % at 1.5, 93 % at 2.
_ENLARGE = ((640, 2.0), (1280, 1.5))  # longest side in pixels up to which, and how much
_TILE, _MARGIN = 512, 64  # pixels; bounds the memory, and what is uniform is not looked at
_MEAN = np.array([0.485, 0.456, 0.406], np.float32) * 255  # of ImageNet, which both were trained with
_SPREAD = np.array([0.229, 0.224, 0.225], np.float32) * 255
_SHADES = ((np.arange(256, dtype=np.float32)[:, None] - _MEAN) / _SPREAD).T.copy()


class EasyOcrFinder:
    """Finds text in any language, and reads the languages there are weights for.

    DBNet, where it is installed, looks at the whole picture at little cost and proposes; CRAFT looks
    at what was proposed, coarsely where DBNet is certain, and has the last word. Without DBNet, CRAFT
    looks at everything.

    Attributes:
        fingerprint: engines, versions, thresholds, digests of the weights, precision.
        unread_languages: asked for, but there are no weights to read them with; their words are
            hidden even where they are authorised.
    """

    def __init__(self, folder: Path, languages: tuple[str, ...], proposer: Path | None) -> None:
        self._craft = networks.load(folder / CRAFT)
        self._dbnet = networks.load(proposer) if proposer and networks.has_openvino() else None
        self._folder = folder
        self.unread_languages = _unread(languages, folder)
        readable = [language for language in languages if language not in self.unread_languages]
        self._recognizer = _RECOGNIZERS[readable[0]] if readable else None
        self.fingerprint = " ".join(
            (
                f"opencv-python-headless-{version('opencv-python-headless')}",
                f"craft-{DIGESTS[CRAFT][:12]}",
                f"{self._recognizer[:-4]}-{DIGESTS[self._recognizer][:12]}" if self._recognizer else "unread",
                f"dbnet-{DIGESTS[DBNET][:12]}-{_PROPOSED}-{_WORTH}-{_CERTAIN}-{_LARGE}x{_BEYOND}"
                if self._dbnet
                else "unproposed",
                f"{_TEXT}/{_LINK}/{_LOW}/{_SURE}/{_STEP}/{_HUGE}/{_FAR}/{_THROUGHOUT}/{_TALL}x{_MARKED}",
                "/".join(f"{limit}x{scale}" for limit, scale in _ENLARGE),
                self._craft.fingerprint,
            )
        )

    def find(self, picture: Picture) -> list[TextBox]:
        """Return an upright box around each piece of text.

        Args:
            picture: uint8 (rows, columns), as `renditions.local_contrast` makes it.
        """
        sharp = _sharp(picture) if max(picture.shape) > _LARGE else None
        found = self._proposed(picture, sharp)

        def is_believed(box: TextBox) -> bool:
            part = np.s_[box.y : box.y + box.height, box.x : box.x + box.width]
            is_sharp = sharp is None or bool(sharp[part].mean() >= _THROUGHOUT)
            marked = float(found.marked[part].mean())
            return is_sharp and marked > (_MARKED if min(box.width, box.height) > _TALL else 0)

        seen = (
            box if score >= _SURE else replace(box, faint=True)
            for place in found.places
            for box, score in self._boxes(picture, place)
            if score >= _SURE or (is_believed(box) and _stands_out(picture, box, _STEP))
        )
        return _distinct((*found.lines, *seen))

    def read(self, picture: Picture, boxes: Sequence[TextBox]) -> list[TextBox]:
        """Return the same boxes with what they say; as they are where no language can be read."""
        if self._recognizer is None:
            return list(boxes)
        recognizer = _load_recognizer(self._folder / self._recognizer)
        return [
            replace(box, text=text, confidence=sure)
            for box in boxes
            for text, sure in [recognizer(picture[box.y : box.y + box.height, box.x : box.x + box.width])]
        ]

    def _proposed(self, picture: Picture, sharp: Mask | None) -> "_Proposed":
        """Return lines that both networks see, where CRAFT has to look, and what DBNet takes for text."""
        enlarge, shape = _scale(picture), picture.shape
        if self._dbnet is None:
            every = _Place(0, 0, shape[1], shape[0], enlarge)
            return _Proposed([], [every], np.ones(shape, bool))
        lines, places, marked = [], [], np.zeros(shape, bool)
        for scale in sorted({1.0, enlarge}):
            scores = _scored(self._dbnet, _resized(picture, scale), sharp)
            cores, shown = _cores(scores, scale, shape)
            marked |= shown
            for core, letter, mean in cores:
                place = _Place.around(core, max(_CONTEXT * letter, _NEAR), _zoom(letter), shape)
                if _is_certain(letter, mean) and self._confirms(picture, place, letter):
                    lines.append(_Place.around(core, _BESIDE * letter, 1.0, shape).box)
                elif letter <= _HUGE or _stands_out(picture, core, _FAR):
                    places.append(place)
        return _Proposed(lines, _joined(places), marked)

    def _confirms(self, picture: Picture, place: "_Place", letter: float) -> bool:
        """Say whether CRAFT sees any text in a place, shown no larger than small letters need."""
        coarse = place._replace(scale=min(_SMALL / letter, 1.0))
        text, _ = self._scores(coarse.cut(picture))
        return bool(text.max() >= _TEXT)

    def _boxes(self, picture: Picture, place: "_Place") -> list[tuple[TextBox, float]]:
        """Return CRAFT's boxes in a place with their scores."""
        text, link = self._scores(place.cut(picture))
        return [(_moved(_shrunk(box, place.scale), place), score) for box, score in _boxes(text, link)]

    def _scores(self, picture: Picture) -> tuple[Scores, Scores]:
        """Return CRAFT's text and link scores at half size; 0 where the picture is uniform."""
        rows, columns = picture.shape
        scores = np.zeros((2, (rows + 1) // 2, (columns + 1) // 2), np.float32)
        for core, tile in _tiles(picture, _TILE):
            found = _run(self._craft, picture[tile])[0].transpose(2, 0, 1)
            outer, inner = _halved(core), _halved(_inside(core, tile))
            scores[:, *outer] = found[:, *inner]
        return scores[0], scores[1]


class _Place(NamedTuple):
    """A part of a picture, right and bottom excluded, and how much it is resized for CRAFT."""

    left: int
    top: int
    right: int
    bottom: int
    scale: float

    @property
    def area(self) -> int:
        """In pixels of the picture."""
        return (self.right - self.left) * (self.bottom - self.top)

    @property
    def box(self) -> TextBox:
        """As a box of text."""
        return TextBox(self.left, self.top, self.right - self.left, self.bottom - self.top)

    def cut(self, picture: Picture) -> Picture:
        """Return the part as CRAFT is shown it."""
        return _resized(picture[self.top : self.bottom, self.left : self.right], self.scale)

    @classmethod
    def around(cls, box: TextBox, margin: float, scale: float, shape: tuple[int, ...]) -> "_Place":
        """Return a place with a margin around a box, inside a picture of a shape."""
        return cls(
            max(int(box.x - margin), 0),
            max(int(box.y - margin), 0),
            min(ceil(box.x + box.width + margin), shape[1]),
            min(ceil(box.y + box.height + margin), shape[0]),
            scale,
        )


class _Proposed(NamedTuple):
    """What DBNet proposes: lines that need no further look, places that do, the pixels that it marks."""

    lines: list[TextBox]
    places: list[_Place]
    marked: Mask


def _scored(dbnet: Network, picture: Picture, sharp: Mask | None) -> Scores:
    """Return DBNet's score of every pixel, of a large picture where it is sharp alone.

    DBNet sees what is around, too: sharp parts cut out of a noisy ground look like words.
    """
    scores = np.zeros(picture.shape, np.float32)
    shown = picture if sharp is None else np.where(sharp, picture, np.uint8(GROUND))
    for core, tile in _tiles(shown, 2 * _TILE if sharp is None else _TILE):
        scores[core] = _run(dbnet, picture[tile])[0, 0][_inside(core, tile)]
    if sharp is not None:
        scores[~sharp] = 0
    return scores


def _cores(
    scores: Scores, scale: float, shape: tuple[int, ...]
) -> tuple[list[tuple[TextBox, float, float]], Mask]:
    """Return what DBNet takes for lines: core, height of the letters, mean score; and the pixels of them all.

    Args:
        scores: of the picture resized.
        scale: how much it was.
        shape: of the picture.
    """
    import cv2

    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        (scores > _PROPOSED).astype(np.uint8), connectivity=8
    )
    best = np.zeros(count, np.float32)
    np.maximum.at(best, labels[labels > 0].astype(np.intp), scores[labels > 0])
    means = np.bincount(labels.ravel(), scores.ravel(), count) / stats[:, cv2.CC_STAT_AREA]
    worth = best >= _WORTH
    shown = cv2.resize(worth[labels].astype(np.uint8), shape[::-1], interpolation=cv2.INTER_AREA)
    cores = [
        (_shrunk(TextBox(left, top, width, height), scale), min(width, height) / _CORE / scale, mean)
        for (left, top, width, height, _), mean in zip(
            stats[worth].tolist(), means[worth].tolist(), strict=True
        )
    ]
    return cores, shown > 0


def _is_certain(letter: float, mean: float) -> bool:
    return mean >= _CERTAIN and _LETTERS[0] <= letter <= _LETTERS[1]


def _zoom(letter: float) -> float:
    return 2.0 if letter <= _SMALL else 1.0


def _joined(places: list[_Place]) -> list[_Place]:
    """Join places of one scale that touch, so that nothing is looked at twice."""
    rest, done = sorted(places), []
    while rest:
        one = rest.pop()
        for other in rest:
            if _touch(one, other) and _together(one, other).area <= _SPARSE * (one.area + other.area):
                rest.remove(other)
                rest.append(_together(one, other))
                break
        else:
            done.append(one)
    return done


def _together(one: _Place, other: _Place) -> _Place:
    return _Place(
        min(one.left, other.left),
        min(one.top, other.top),
        max(one.right, other.right),
        max(one.bottom, other.bottom),
        one.scale,
    )


def _touch(one: _Place, other: _Place) -> bool:
    apart = (
        one.left >= other.right
        or other.left >= one.right
        or one.top >= other.bottom
        or other.top >= one.bottom
    )
    return one.scale == other.scale and not apart


def _moved(box: TextBox, place: _Place) -> TextBox:
    return replace(box, x=box.x + place.left, y=box.y + place.top)


def _distinct(boxes: Iterable[TextBox]) -> list[TextBox]:
    """Leave out boxes that lie within another for the most part."""
    kept: list[TextBox] = []
    for box in sorted(boxes, key=lambda box: (-box.width * box.height, box.y, box.x)):
        if not any(_shared(box, other) > _SAME * box.width * box.height for other in kept):
            kept.append(box)
    return kept


def _shared(one: TextBox, other: TextBox) -> int:
    across = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    down = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    return max(across, 0) * max(down, 0)


def _run(network: Network, tile: Picture) -> Scores:
    """Run a network on a tile, padded to what it wants."""
    rows, columns = tile.shape
    padding = (0, _sized(rows) - rows), (0, _sized(columns) - columns)
    return network.run(normalized(np.pad(tile, padding, constant_values=GROUND)))


def _sized(pixels: int) -> int:
    """Return the next of a few sizes: for each new one a network is made ready, which costs a run or two."""
    step = next(step for limit, step in ((192, 32), (384, 64), (10**9, 128)) if pixels <= limit)
    return ceil(pixels / step) * step


def normalized(picture: Picture) -> NDArray[np.float32]:
    """Return a grey picture as the batch of (1, 3, rows, columns) that the detectors were trained with."""
    return np.stack([shades[picture] for shades in _SHADES])[None]


Part = tuple[slice, slice]


def _inside(core: Part, tile: Part) -> Part:
    """Return where a core lies in its tile."""
    down, across = (
        slice(part.start - whole.start, part.stop - whole.start)
        for part, whole in zip(core, tile, strict=True)
    )
    return down, across


def _halved(part: Part) -> Part:
    down, across = (slice(side.start // 2, (side.stop + 1) // 2) for side in part)
    return down, across


def prepare(languages: tuple[str, ...] = ("en",)) -> tuple[str, ...]:
    """Make ready once what every finder on this machine reads; see `networks.prepare`.

    Returns:
        the languages that there are no weights to read with.

    Raises:
        DeidError: there are no weights, or they are not those that were published.
    """
    folder, proposer = weights_folder(), proposer_weights()
    unread = _unread(languages, folder)
    readers = dict.fromkeys(folder / _RECOGNIZERS[name] for name in languages if name not in unread)
    networks.prepare([folder / CRAFT, *([proposer] if proposer else []), *readers])
    return unread


def _unread(languages: tuple[str, ...], folder: Path) -> tuple[str, ...]:
    return tuple(name for name in languages if not (folder / _RECOGNIZERS.get(name, "none")).is_file())


def load_finder(languages: tuple[str, ...] = ("en",), weights: str | Path | None = None) -> EasyOcrFinder:
    """Load the networks from this machine; nothing is downloaded.

    Args:
        languages: EasyOCR's codes of the languages that authorised words are read in.
        weights: folder of the weights; see `weights_folder` for where they are looked for without it.

    Raises:
        DeidError: there are no weights, or they are not those that were published.
    """
    return EasyOcrFinder(weights_folder(weights), languages, proposer_weights(weights))


@cache
def _load_recognizer(weights: Path) -> Recognizer:
    return Recognizer(weights)


def _scale(picture: Picture) -> float:
    return next((scale for limit, scale in _ENLARGE if max(picture.shape) <= limit), 1.0)


def _resized(picture: Picture, scale: float) -> Picture:
    import cv2

    if scale == 1:
        return picture
    how = cv2.INTER_LINEAR if scale > 1 else cv2.INTER_AREA
    return np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=how), np.uint8)


def _shrunk(box: TextBox, scale: float) -> TextBox:
    """Return the smallest box of whole pixels around one on the enlarged picture."""
    left, top = int(box.x / scale), int(box.y / scale)
    right, bottom = ceil((box.x + box.width) / scale), ceil((box.y + box.height) / scale)
    return TextBox(left, top, right - left, bottom - top)


def _tiles(picture: Picture, side: int) -> Iterator[tuple[tuple[slice, slice], tuple[slice, slice]]]:
    """Yield what a tile answers for, and the tile with its margin; uniform parts are left out."""
    rows, columns = picture.shape
    for top in range(0, rows, side):
        for left in range(0, columns, side):
            core = _content(
                picture, slice(top, min(top + side, rows)), slice(left, min(left + side, columns))
            )
            if core is not None:
                yield core, (_grown(core[0], rows), _grown(core[1], columns))


def _content(picture: Picture, down: slice, across: slice) -> tuple[slice, slice] | None:
    """Return the part of a tile in which anything differs from its neighbours, None if there is none."""
    import cv2

    tile = picture[down, across]
    kernel = np.ones((3, 3), np.uint8)
    differs = cv2.dilate(tile, kernel) != cv2.erode(tile, kernel)
    spans = [np.flatnonzero(differs.any(axis=axis)) for axis in (1, 0)]
    if not spans[0].size:
        return None
    down, across = (
        # Scores come at half size: begin at even rows and columns.
        slice(part.start + int(span[0]) // 2 * 2, min(part.start + int(span[-1]) // 2 * 2 + 2, part.stop))
        for part, span in zip((down, across), spans, strict=True)
    )
    return down, across


def _grown(part: slice, limit: int) -> slice:
    return slice(max(part.start - _MARGIN, 0), min(part.stop + _MARGIN, limit))


def _stands_out(picture: Picture, box: TextBox, times: float) -> bool:
    """Say whether the sharpest steps in a box are beyond what the noise around explains: 2.6 median steps."""
    inside = _steps(picture[box.y : box.y + box.height, box.x : box.x + box.width])
    left, top = max(box.x - _AROUND, 0), max(box.y - _AROUND, 0)
    around = _steps(picture[top : box.y + box.height + _AROUND, left : box.x + box.width + _AROUND])
    if not inside.size:
        return True
    return bool(np.percentile(inside, 98) >= times * max(np.median(around), 1))


def _sharp(picture: Picture) -> Mask:
    """Say where steps crowd that the noise around cannot explain, as they do where something is written.

    Burned-in letters change their grey within two pixels; what a detector saw is blurred by its optics.
    """
    import cv2

    steps = np.zeros(picture.shape, np.uint8)
    steps[1:-1, 1:-1] = np.minimum(_steps(picture), 255)
    rows, columns = picture.shape
    padded = np.pad(steps, ((0, -rows % _BLOCK), (0, -columns % _BLOCK)), mode="edge")
    down, across = padded.shape[0] // _BLOCK, padded.shape[1] // _BLOCK
    blocks = padded.reshape(down, _BLOCK, across, _BLOCK).transpose(0, 2, 1, 3).reshape(down, across, -1)
    usual = np.percentile(blocks[..., ::3], 30, axis=-1, method="lower").astype(np.float32)
    limit = cv2.resize(np.clip(usual * _BEYOND, _FLOOR, 255), padded.shape[::-1])[:rows, :columns]
    crowd = cv2.boxFilter((steps >= limit).astype(np.float32), -1, (_CROWD, _CROWD)) > _SHARE
    return cv2.dilate(crowd.astype(np.uint8), np.ones((2 * _CROWD + 1,) * 2, np.uint8)).astype(bool)


def _steps(picture: Picture) -> NDArray[np.int16]:
    """Return the larger of the grey steps down and across, over two pixels since text is smoothed."""
    grey = picture.astype(np.int16)
    steps: NDArray[np.int16] = np.maximum(
        np.abs(grey[2:, 2:] - grey[2:, :-2]), np.abs(grey[2:, 2:] - grey[:-2, 2:])
    )
    return steps


def _boxes(text: NDArray[np.float32], link: NDArray[np.float32]) -> list[tuple[TextBox, float]]:
    """Return the upright boxes of connected text, grown as CRAFT itself does it, with their scores."""
    import cv2

    together = ((text > _LOW) | (link > _LINK)).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(together, connectivity=4)
    best = np.zeros(count, np.float32)
    np.maximum.at(best, labels.ravel().astype(np.intp), text.ravel())
    boxes = []
    for label in range(1, count):
        left, top, width, height, area = (int(value) for value in stats[label])
        if best[label] >= _TEXT:
            grown = int(np.sqrt(area * min(width, height) / (width * height)) * 2) // 2 + 1
            x, y = max(left - grown, 0), max(top - grown, 0)
            right, bottom = min(left + width + grown, text.shape[1]), min(top + height + grown, text.shape[0])
            boxes.append((TextBox(2 * x, 2 * y, 2 * (right - x), 2 * (bottom - y)), float(best[label])))
    return boxes
