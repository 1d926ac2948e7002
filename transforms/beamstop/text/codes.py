"""Machine-readable codes in pictures, of one dimension and of two: zxing-cpp finds and decodes them.

At some scale, a code has many edges for its size. The reader gets only such areas, each unchanged,
normalised, enlarged, and turned (for slanted bars). The content stays in memory.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from beamstop.pixels.box import Box
from beamstop.pixels.renditions import GROUND, Picture, Plane, local_contrast

if TYPE_CHECKING:
    import zxingcpp

Points = NDArray[np.float64]  # (corners, 2): across, down
Back = Callable[[Points], Points]

# A view of an area: unchanged or normalised, scale, rotation in degrees.
_PLAIN, _EVEN = 0, 1
_UPRIGHT_LOOKS = ((_PLAIN, 1, 0), (_EVEN, 1, 0), (_PLAIN, 2, 0), (_EVEN, 2, 0))
_LOOKS = (*_UPRIGHT_LOOKS, (_EVEN, 1, 22), (_EVEN, 1, 45), (_EVEN, 1, 68))


@dataclass(frozen=True)
class CodeSearch:
    """Every number that determines which codes are found (docs/detectors.md).

    Attributes:
        scales: at which a picture is searched.
        noise: differences below this many deviations of the noise count as flat.
        least: differences below this share of a plane's range count as flat in any case.
        step: difference of grey within two pixels that makes an edge.
        window: pixels, in which edges are counted.
        edges: the share of edges from which on there may be a code.
        two_shades: of the deviations in a window, the square of their mean for the mean of their squares:
            1 where there are but two shades, 0.64 in noise.
        near: pixels between areas that are searched as one.
        around: pixels shown around an area: bars are recognised only with a quiet zone beside them.
        other: greys that a second plane, 0 to 255, must differ by for an area of it to be searched.
        smallest: pixels, sides of the smallest area that is searched.
        enlarged: pixels, longest side of an area that is also shown in double size.
        rounds: how often the reader searches again after codes it found are blanked.
        square: the largest ratio of the longest to the shortest side of a code that cannot be decoded.
        shortest: pixels, the shortest side of such a code.
        margin: pixels, and share of the longer side, that a box reaches beyond the corners of a code.
    """

    scales: tuple[float, ...] = (1.0, 0.5, 0.25)
    noise: float = 3.0
    least: float = 1 / 512
    step: int = 32
    window: int = 31
    edges: float = 0.14
    two_shades: float = 0.77
    near: int = 12
    around: int = 48
    other: float = 16.0
    smallest: int = 12
    enlarged: int = 1300
    rounds: int = 6
    square: float = 1.5
    shortest: int = 20
    margin: tuple[int, float] = (3, 0.08)


SEARCH = CodeSearch()


class Code(NamedTuple):
    """A code in a picture: its box with a margin, and its content, empty if it cannot be decoded."""

    box: Box
    content: str


def find_codes(planes: Iterable[Plane]) -> list[Code]:
    """Return the codes that can be read in any plane of one picture, ordered by place.

    Args:
        planes: of one size, finite, as `renditions.planes` makes them.
    """
    found: list[Code] = []
    first: Plane | None = None
    for plane in planes:
        shown = plane.astype(np.float32)
        for code in found:
            _flatten(shown, code.box)
        for scale in SEARCH.scales:
            found += _at_scale(shown, scale, first)
        first = plane if first is None else first
    return sorted(_joined(found), key=lambda code: (code.box.y, code.box.x, code.content))


def codes_fingerprint() -> str:
    """Return the fingerprint of everything that determines which codes are found."""
    import hashlib

    digest = hashlib.sha256(repr((SEARCH, _LOOKS)).encode()).hexdigest()[:12]
    return f"zxing-cpp-{version('zxing-cpp')} codes-{digest}"


def _at_scale(plane: Plane, scale: float, first: Plane | None) -> list[Code]:
    """Return the codes found at a scale, and flatten them in the plane, for the scales after it.

    Args:
        plane: changed where a code is found.
        scale: to search at.
        first: plane of the picture, searched before; areas in which this one is like it are skipped.
    """
    import cv2

    rows, columns = plane.shape
    level, size = plane, (round(columns * scale), round(rows * scale))
    if min(size) < SEARCH.smallest:
        return []
    if scale != 1:
        level = cv2.resize(plane, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    even = local_contrast(level, SEARCH.noise * _noise(level) + _least(level))
    codes = []
    for area in _areas(even):
        if first is not None and _is_alike(plane, first, area, scale):
            continue
        for corners, content in _read_area(level[area.pixels], even[area.pixels], scale == 1):
            inside = _box(corners + np.array((area.x, area.y)), scale).cut(rows, columns)
            if inside is not None:
                codes.append(Code(inside, content))
    for code in codes:
        _flatten(plane, code.box)
    return codes


def _flatten(plane: Plane, box: Box) -> None:
    plane[box.pixels] = np.median(plane[box.pixels])


def _is_alike(plane: Plane, first: Plane, area: Box, scale: float) -> bool:
    part = tuple(slice(int(it.start / scale), int(it.stop / scale)) for it in area.pixels)
    return bool(np.abs(plane[part] - first[part]).max(initial=0) < SEARCH.other)


def _noise(plane: Plane) -> float:
    """Return the deviation of noise between neighbours, estimated over the whole picture."""
    middle = plane[::3, 1:-1] - (plane[::3, :-2] + plane[::3, 2:]) / 2
    return float(np.median(np.abs(middle))) * 1.21 if middle.size else 0.0  # 1.4826 / sqrt(1.5)


def _least(plane: Plane) -> float:
    """Return the smallest difference that may count."""
    return SEARCH.least * float(np.ptp(plane)) or 1.0


def _areas(even: Picture) -> list[Box]:
    """Return where edges are as dense as in a code."""
    import cv2

    rows, columns = even.shape
    window = (SEARCH.window, SEARCH.window)
    edges = np.zeros((rows, columns), np.uint8)
    edges[:, 1:-1] |= cv2.absdiff(even[:, 2:], even[:, :-2]) > SEARCH.step
    edges[1:-1] |= cv2.absdiff(even[2:], even[:-2]) > SEARCH.step
    density = cv2.boxFilter(edges, cv2.CV_32F, window, borderType=cv2.BORDER_CONSTANT)
    dense = density > SEARCH.edges
    down, across = (np.flatnonzero(dense.any(axis=axis)) for axis in (1, 0))
    if not down.size:
        return []
    some = Box.of_edges(int(across[0]), int(down[0]), int(across[-1]) + 1, int(down[-1]) + 1)
    part = some.grown(max(SEARCH.window, SEARCH.near), rows, columns)  # what follows reaches no farther
    shown = even[part.pixels]
    apart = cv2.absdiff(shown, cv2.boxFilter(shown, -1, window))
    mean = cv2.boxFilter(apart, cv2.CV_32F, window)
    square = cv2.sqrBoxFilter(apart, cv2.CV_32F, window)
    coded = (dense[part.pixels] & (mean * mean > SEARCH.two_shades * square)).astype(np.uint8)
    if not coded.any():
        return []
    near = np.ones((2 * SEARCH.near + 1,) * 2, np.uint8)
    count, _, stats, _ = cv2.connectedComponentsWithStats(cv2.dilate(coded, near))
    margin = SEARCH.around - SEARCH.near
    return [
        Box(part.x + left, part.y + top, width, height).grown(margin, rows, columns)
        for left, top, width, height, _ in stats[1:count].tolist()
        if min(width, height) >= SEARCH.smallest
    ]


def _read_area(plain: Plane, even: Picture, is_full: bool) -> Iterator[tuple[Points, str]]:
    """Yield corners and content of the codes in an area, each once: what was found is blanked in all views.

    Args:
        plain: the area, unchanged.
        even: the same, normalised.
        is_full: it was not reduced, so that small codes have to be enlarged.
    """
    views = [_stretched(plain), even.copy()]
    for number, zoom, degrees in _LOOKS:
        if zoom > 1 and not (is_full and max(even.shape) <= SEARCH.enlarged):
            continue
        shown, back = _turned(views[number], degrees) if degrees else _enlarged(views[number], zoom)
        for _ in range(SEARCH.rounds):
            codes = list(_read(shown, _upright() if degrees else _formats()))
            for corners, content in codes:
                _cover(shown, corners)
                placed = back(corners)
                for view in views:
                    _cover(view, placed)
                yield placed, content
            if not codes:
                break


def _stretched(plain: Plane) -> Picture:
    low, high = float(plain.min()), float(plain.max())
    stretched: Picture = ((plain - low) * (255 / max(high - low, 1e-6))).astype(np.uint8)
    return stretched


def _enlarged(view: Picture, zoom: int) -> tuple[Picture, Back]:
    """Return an enlarged picture, and the function that maps its points back."""
    import cv2

    shown: Picture = cv2.resize(view, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_LINEAR).astype(np.uint8)
    return shown, lambda corners: corners / zoom


def _turned(view: Picture, degrees: int) -> tuple[Picture, Back]:
    """Return a picture turned about its centre, and the function that maps its points back."""
    import cv2

    rows, columns = view.shape
    side = int(np.hypot(rows, columns)) + 2
    there = cv2.getRotationMatrix2D((columns / 2, rows / 2), degrees, 1)
    there[:, 2] += side / 2 - columns / 2, side / 2 - rows / 2
    back = cv2.invertAffineTransform(there)
    shown = cv2.warpAffine(view, there, (side, side), flags=cv2.INTER_LINEAR, borderValue=GROUND)
    return shown.astype(np.uint8), lambda corners: corners @ back[:, :2].T + back[:, 2]


def _read(shown: Picture, formats: "zxingcpp.BarcodeFormats") -> Iterator[tuple[Points, str]]:
    import zxingcpp

    for code in zxingcpp.read_barcodes(shown, formats=formats, return_errors=True):
        place = code.position
        corners = np.array(
            [
                (corner.x, corner.y)
                for corner in (place.top_left, place.top_right, place.bottom_right, place.bottom_left)
            ],
            float,
        )
        if code.valid or _is_plausible(code.symbology, corners):
            yield corners, code.text if code.valid else ""


def _is_plausible(kind: "zxingcpp.BarcodeFormat", corners: Points) -> bool:
    """Return whether a code that was found but not decoded is credible: some kinds are "found" in noise."""
    import zxingcpp

    kinds = zxingcpp.BarcodeFormat
    sides = np.linalg.norm(corners - np.roll(corners, 1, axis=0), axis=1)
    is_square = bool(sides.max() <= SEARCH.square * sides.min() and sides.min() >= SEARCH.shortest)
    return is_square and kind in (kinds.QRCode, kinds.Aztec)


def _cover(shown: Picture, corners: Points) -> None:
    box = _box(corners, 1.0).cut(*shown.shape)
    if box is not None:
        shown[box.pixels] = GROUND


def _box(corners: Points, scale: float) -> Box:
    """Return the upright box around corners at a scale, with its margin, in pixels of the picture."""
    left, top = np.floor(corners.min(axis=0) / scale).astype(int).tolist()
    right, bottom = (np.ceil(corners.max(axis=0) / scale).astype(int) + 1).tolist()
    pixels, share = SEARCH.margin
    margin = round(pixels / scale + share * max(right - left, bottom - top))
    return Box.of_edges(left - margin, top - margin, right + margin, bottom + margin)


def _joined(codes: list[Code]) -> list[Code]:
    """Join boxes of one content that meet: bars are found in parts."""
    joined: list[Code] = []
    for code in codes:
        box = code.box
        for other in [it for it in joined if it.content == code.content and it.box.shared(box)]:
            joined.remove(other)
            box = Box.of_edges(
                min(box.x, other.box.x),
                min(box.y, other.box.y),
                max(box.right, other.box.right),
                max(box.bottom, other.box.bottom),
            )
        joined.append(Code(box, code.content))
    return joined


def _formats() -> "zxingcpp.BarcodeFormats":
    """Return all kinds except for the code on the edge of a film, which tells only the type of film."""
    import zxingcpp

    kinds = zxingcpp.BarcodeFormat
    return zxingcpp.BarcodeFormats([*_upright(), kinds.QRCode, kinds.DataMatrix, kinds.Aztec, kinds.MaxiCode])


def _upright() -> "zxingcpp.BarcodeFormats":
    """Return the kinds whose bars must be horizontal or vertical to be read."""
    import zxingcpp

    kinds = zxingcpp.BarcodeFormat
    bars = [kinds.Codabar, kinds.Code39, kinds.Code93, kinds.Code128, kinds.ITF, kinds.DataBar, kinds.EANUPC]
    return zxingcpp.BarcodeFormats([*bars, kinds.Telepen, kinds.PDF417])
