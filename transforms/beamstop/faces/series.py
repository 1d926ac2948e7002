"""Search a series of slices for a face, and say which pixels of each frame to blank.

Thresholds were set by hand; docs/faces.md lists the main ones and measures the result.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from beamstop.dicom.elements import MALFORMED
from beamstop.dicom.pydicom_guards import guarded
from beamstop.dicom.views import view_of
from beamstop.errors import DeidError, PixelError
from beamstop.faces.cut import Cut, cut_of
from beamstop.faces.head import WHOLE, Fit, Pose, beside_head, find_head, template
from beamstop.faces.headers import Kind, Region, face_header
from beamstop.faces.landmarks import look_for_landmarks
from beamstop.faces.outline import Modality, Outline, outline_of, threshold_of
from beamstop.faces.slices import NoPlaceError, Slice, Stack, slices_of, stacks_of
from beamstop.faces.volume import Grid, Volume, volume_of
from beamstop.pixels.frame import Frames
from beamstop.pixels.frames import open_frames

Action = Literal["remove", "reject", "tell"]
Corner = NDArray[np.float64]
FACE_MAY_SHOW = "face_may_show"
# Details of a refusal, for the audit; docs/faces.md explains them.
NO_POSITION = "slices without a position"
NO_VOLUME = "slices that make no volume"
NO_HEAD = "no head that could be told"
NO_AIR = "no value of air that can be stored"
TWO_HEADS = "a second head"
TOUCHED = "something touches the head"
REMAINS = "the face remains"

_COARSE, _FINE = 4.0, 2.0  # mm: steps of the two grids
# mm of volume around the placed template; and by how much a new pose may exceed the last outline's box.
_AROUND, _NEAR = 30.0, 5.0
_LONGEST_GAP = 15.0  # mm between slices: more than half of a nose
_SHORTEST = 40.0  # mm from the first slice to the last: a shorter stack makes no volume
_FEWEST = 4  # slices
_THIN = 20.0  # mm: thinner stacks show no face by themselves
_WIDEST = 3000.0  # mm: no scanner has a larger field of view
_ALIKE = 0.1  # frames in one place may differ by this share of bright pixels
_CONTRAST = 20.0  # stored values between the darkest and the brightest pixel: less is an empty picture
# In MR and PT, ghosts can be brighter than the threshold and join a head to something larger.
_THRESHOLDS = 1.0, 2.0, 4.0
_SECOND = 500e3  # mm³: another body from this size on is searched, too
_TOUCHING = 20e3  # mm³ beside a head that are joined to it: more is a hand, an arm or another head
_ALIKE_HEAD = 0.7  # least share of the template's skin that is seen, and that lies on skin, of a second head
# Share of body in a cross-section: above the first, no air beside the body is seen; above the second, no air.
_FULL, _ALL = 0.9, 0.98
_LARGE = 90000.0  # mm²: a larger cross-section without air beside the body is of a trunk
_WAIST = 10.0  # mm: cross-sections are eroded by this, to separate arms from a head
_AREA = 2500.0, 36000.0  # mm²: smallest and largest eroded cross-section of a head
_ACROSS, _BACK = 190.0, 240.0  # mm: its largest width and depth
_RUN = 40.0  # mm of such cross-sections in a row: from the brows to the mouth of a child
# Real value of air: HU in CT, no signal in MR, no activity in PT.
_AIR = {"CT": -1000.0, "MR": 0.0, "PT": 0.0}
# Surfaces on which a face is sought after the cut: HU, or times the threshold.
_SURFACES = {"CT": (-600.0, -450.0, -300.0), "MR": (1.0, 1.5, 2.0), "PT": (1.0, 1.5, 2.0)}
# Renderings, of 75, in which chance may find landmarks after the cut.
_BY_CHANCE = 4


class Verdict(Enum):
    """The result for one instance.

    NONE: the pictures prove that there is no face. LEFT: a face may show and stays. REMOVE: the face is
    blanked. REFUSE: a face may show, and cannot be located. FEW: too few slices to show a face by themselves;
    together with slices of other series they may.
    """

    NONE = "none"
    LEFT = "left"
    REMOVE = "remove"
    REFUSE = "refuse"
    FEW = "few"


@dataclass(frozen=True)
class FaceFinding:
    """The finding for one instance.

    Attributes:
        verdict: see `Verdict`.
        masks: for REMOVE, the pixels to blank in each frame: rows × columns bits, packed by `numpy.packbits`;
            None for a frame without any. Otherwise None.
        fill: stored value to blank with.
        reason: code of a refusal, for the audit.
        detail: fixed text that explains the refusal, without patient data.
    """

    verdict: Verdict
    masks: tuple[bytes | None, ...] | None = None
    fill: int = 0
    reason: str = ""
    detail: str = ""


_NO_FACE = FaceFinding(Verdict.NONE)
_LEFT = FaceFinding(Verdict.LEFT)
_FEW = FaceFinding(Verdict.FEW)


@guarded()
def look_at_series(datasets: Sequence[Dataset], action: Action) -> list[FaceFinding]:
    """Look for a face in all instances of a series together.

    Each frame is placed by its own position and orientation, so gaps, copies, tilted gantries, echoes, time
    points and several orientations need no special rules. Every stack of frames that makes a volume is
    searched for a head. The other stacks get the cut of the best fit, as they are in the same frame of
    reference. A frame that may show a face but cannot be placed is refused.

    Args:
        datasets: instances of one series in one frame of reference, with pixels. They are not changed.
        action: of the recipe; masks are made for `remove` only.

    Returns:
        one finding per instance, in the same order.

    Raises:
        DeidError: scipy is not installed.
        PixelError: a frame cannot be decoded.
    """
    if not find_spec("scipy"):
        raise DeidError("scipy is not installed, which finding faces needs: pip install 'beamstop[faces]'")
    return _Series(datasets, action).findings()


@dataclass
class _Found:
    """The result of searching one stack.

    Attributes:
        stack: that was searched.
        why: detail of a refusal, if the stack may show a face that was not located; otherwise empty.
        is_thin: whether it has too few slices to show a face by itself.
        volume: if it may show a head that was not found.
        fit: of a head; otherwise None.
        cut: of that head; None unless faces are to be removed.
    """

    stack: Stack
    why: str = ""
    is_thin: bool = False
    volume: Volume | None = None
    fit: Fit | None = None
    cut: Cut | None = None


@dataclass
class _Series:
    datasets: Sequence[Dataset]
    action: Action
    _open: tuple[int, Frames | None] = field(default=(-1, None))

    def findings(self) -> list[FaceFinding]:
        slices: list[Slice] = []
        refused: dict[int, str] = {}
        for number, dataset in enumerate(self.datasets):
            try:
                slices += slices_of(number, dataset)
            except NoPlaceError:
                refused[number] = NO_POSITION
        found = [self._look(stack) for stack in stacks_of(slices)]
        stop = next((it.why for it in found if it.why in (TWO_HEADS, TOUCHED, REMAINS)), "")
        if stop:
            return [self._refused(stop) for _ in self._numbers]
        if not any(it.fit for it in found):
            refused |= {piece.instance: it.why for it in found if it.why for piece in it.stack.slices}
            why = next(iter(refused.values()), NO_POSITION if not found else "")
            if not why:
                return [_FEW if all(it.is_thin for it in found) else _NO_FACE for _ in self._numbers]
            return [self._refused(refused.get(number, why)) for number in self._numbers]
        if self.action != "remove":
            return [_LEFT for _ in self._numbers]
        heads = [(it.fit, it.cut) for it in found if it.fit and it.cut]
        fit, best = max(heads, key=lambda it: it[0].close * it[0].seen)
        if any(self._shows_face(it.volume, fit, best) for it in found if it.volume):
            return [self._refused(REMAINS) for _ in self._numbers]
        masks: list[dict[int, bytes]] = [{} for _ in self._numbers]
        thin = {piece.instance for it in found if it.is_thin for piece in it.stack.slices}
        for one in found:
            for piece in one.stack.slices:
                mask = (one.cut or best).mask(piece)
                if mask is not None:
                    masks[piece.instance][piece.frame] = np.packbits(mask).tobytes()
        return [
            self._refused(refused[number])
            if number in refused
            # The cut does not reach a thin stack that lies beyond the face; but its position may be wrong.
            else _FEW
            if number in thin and not masks[number]
            else self._removed(number, masks[number])
            for number in self._numbers
        ]

    @property
    def _numbers(self) -> range:
        return range(len(self.datasets))

    def _refused(self, why: str) -> FaceFinding:
        if self.action != "remove":
            return _LEFT
        return FaceFinding(Verdict.REFUSE, reason=FACE_MAY_SHOW, detail=why)

    def _removed(self, number: int, masks: dict[int, bytes]) -> FaceFinding:
        if not masks:
            return _NO_FACE
        dataset = view_of(self.datasets[number])
        count = max(*masks, int(dataset.get("NumberOfFrames") or 1) - 1) + 1
        fill = self._fill(number, dataset)
        if fill is None:
            return self._refused(NO_AIR)
        return FaceFinding(Verdict.REMOVE, tuple(masks.get(it) for it in range(count)), fill)

    def _fill(self, number: int, dataset: Dataset) -> int | None:
        """Return the stored value of air; None if frames need different ones or pixels are floats."""
        if "BitsStored" not in dataset:
            return None
        modality = self._modality(number)
        values = set()
        for piece in slices_of(number, dataset):
            values.add(round((_AIR[modality] - piece.intercept) / piece.slope))
        return _storable(values.pop(), dataset) if len(values) == 1 else None

    def _look(self, stack: Stack) -> _Found:
        if len(stack.places) < _FEWEST or stack.span < _SHORTEST or stack.gap > _LONGEST_GAP:
            if not self._are_alike(stack):
                return _Found(stack, NO_POSITION)
            return _Found(stack, is_thin=True) if _is_thin(stack) else _Found(stack, NO_VOLUME)
        volume = volume_of(stack, self._values)
        first = stack.places[0][0].instance
        modality = self._modality(first)
        threshold = threshold_of(volume, modality)
        low, high = volume.box()
        if np.any(high - low > _WIDEST):
            return _Found(stack, NO_POSITION)
        grid = Grid.around(low, high, _COARSE)
        coarse = outline_of(volume, grid, modality, threshold)
        if coarse is None:
            return _Found(stack) if _is_empty(volume) else _Found(stack, NO_HEAD, volume=volume)
        around = _Around(volume, modality, threshold)
        fit = find_head(coarse, around)
        if fit is None or not _is_head(fit, face_header(self.datasets[first]).region):
            factors = (1.0,) if modality == "CT" else _THRESHOLDS
            outlines = [coarse, *(outline_of(volume, grid, modality, threshold * it) for it in factors[1:])]
            has_none = all(_has_no_head(it) for it in outlines if it is not None)
            return _Found(stack) if has_none else _Found(stack, NO_HEAD, volume=volume)
        touching, other = beside_head(fit.pose, coarse)
        if touching > _TOUCHING:
            return _Found(stack, TOUCHED)
        if any(map(_may_be_head, (other, outline_of(volume, grid, modality, threshold, second=True)))):
            return _Found(stack, TWO_HEADS)
        if self.action != "remove":
            return _Found(stack, fit=fit)
        outline = around(fit.pose)
        cut = cut_of(fit, outline) if outline else None
        if cut is None or self._shows_face(volume, fit, cut):
            return _Found(stack, REMAINS)
        return _Found(stack, fit=fit, cut=cut)

    def _shows_face(self, volume: Volume, fit: Fit, cut: Cut) -> bool:
        """Return whether a head shows a face after the cut, in more renderings than by chance."""
        modality = self._modality(volume.stack.places[0][0].instance)
        unit = 1.0 if modality == "CT" else threshold_of(volume, modality)
        values, inside = volume.sampled(cut.grid)
        values[(cut.level > 0) | ~inside] = _AIR[modality]
        levels = [it * unit for it in _SURFACES[modality]]
        found = look_for_landmarks(values, cut.grid, fit.pose, levels, _AIR[modality])
        return sum(found) > _BY_CHANCE

    def _are_alike(self, stack: Stack) -> bool:
        """Return whether frames in one place look alike; if not, slices may all carry one wrong position."""
        most = [it for it in max(stack.places, key=len) if not it.is_phase]
        if len(most) < _FEWEST:
            return True
        shares, level = [], None
        for piece in most:
            values = self._values(piece)
            level = (float(values.min()) + float(values.max())) / 2 if level is None else level
            shares.append(float(np.mean(values > level)))
        return max(shares) - min(shares) <= _ALIKE

    def _modality(self, number: int) -> Modality:
        header = face_header(self.datasets[number])
        if header.kind is Kind.VOLUME and header.modality in ("CT", "MR", "PT"):
            return header.modality  # type: ignore[return-value]
        return "MR"

    def _values(self, piece: Slice) -> NDArray[Any]:
        """Return the real values of a frame: (rows, columns), rescaled."""
        number, frames = self._open
        if number != piece.instance:
            frames = open_frames(self.datasets[piece.instance])
            self._open = piece.instance, frames
        if frames is None or frames.layout.samples != 1:
            raise PixelError("pixels_undecodable", "PixelData")
        values = frames.decode(piece.frame).values()
        real: NDArray[Any] = values * np.float32(piece.slope) + np.float32(piece.intercept)
        return real


class _Around:
    """Returns the outline of a body around a pose, in steps of 2 mm; near poses share one outline."""

    def __init__(self, volume: Volume, modality: Modality, threshold: float) -> None:
        self._volume, self._modality, self._threshold = volume, modality, threshold
        self._last: tuple[Corner, Corner, Outline | None] | None = None

    def __call__(self, pose: Pose) -> Outline | None:
        head = template().grid
        ends = np.array(head.low), np.array(head.low) + head.step * (np.array(head.shape) - 1)
        corners = np.array([[ends[(it >> axis) & 1][axis] for axis in range(3)] for it in range(8)])
        placed = pose.placed(corners)
        low, high = self._volume.box()
        start = np.maximum(placed.min(axis=0) - _AROUND, low)
        end = np.minimum(placed.max(axis=0) + _AROUND, high)
        if np.any(end - start < _FINE * 4):
            return None
        if self._last and np.all(start >= self._last[0] - _NEAR) and np.all(end <= self._last[1] + _NEAR):
            return self._last[2]
        found = outline_of(self._volume, Grid.around(start, end, _FINE), self._modality, self._threshold)
        self._last = start, end, found
        return found


def _is_head(fit: Fit, region: Region) -> bool:
    """Return whether a fit is a head; unless the header names the head, the whole head must be seen."""
    return fit.is_good and (region is Region.HEAD or fit.seen >= WHOLE)


def _may_be_head(body: Outline | None) -> bool:
    """Return whether another body may be a head, in whatever position."""
    if body is None or float(np.sum(body.body & body.inside)) * body.grid.step**3 < _SECOND:
        return False
    fit = find_head(body, lambda _: body)
    return fit is not None and min(fit.seen, fit.close) >= _ALIKE_HEAD


def _is_empty(volume: Volume) -> bool:
    """Return whether a volume is empty: its stored values hardly differ."""
    slope = min(1.0, *(abs(it.slope) for it in volume.stack.slices))
    return float(np.ptp(volume.values)) < _CONTRAST * slope


def _is_thin(stack: Stack) -> bool:
    """Return whether a stack is too thin, or its slices too far apart, to render a face.

    Sagittal slices never count as thin: a single one shows a profile.
    """
    is_sagittal = int(np.argmax(np.abs(stack.places[0][0].normal))) == 0
    return not is_sagittal and (stack.span < _THIN or stack.gap > _LONGEST_GAP)


def _has_no_head(outline: Outline) -> bool:
    """Return whether no run of axial cross-sections has the size of a head's, as in a trunk or a finger.

    Arms beside a head are separated from it first. A cross-section counts as a head's if it has no air beside
    the body, as in a small field of view, or no air at all, as with wrong pixel values.
    """
    from scipy import ndimage

    body, step = outline.body & outline.inside, outline.grid.step
    run = 0
    for number in range(body.shape[2]):
        parts, count = ndimage.label(
            ndimage.distance_transform_edt(np.pad(body[:, :, number], 1)) > _WAIST / step
        )
        areas = np.bincount(parts.ravel(), minlength=count + 1)[1:] * step * step
        boxes = ndimage.find_objects(parts)
        whole = max(int(np.sum(outline.inside[:, :, number])), 1)
        share = int(np.sum(body[:, :, number])) / whole
        is_cut = share > _ALL or (share > _FULL and whole * step * step < _LARGE)
        run = run + 1 if is_cut or any(map(_is_like_head, areas.tolist(), boxes, [step] * count)) else 0
        if run * step >= _RUN:
            return False
    return True


def _is_like_head(area: float, box: tuple[slice, slice], step: float) -> bool:
    across, back = ((it.stop - it.start) * step for it in box)
    return _AREA[0] <= area <= _AREA[1] and across <= _ACROSS and back <= _BACK


def _storable(value: int, dataset: Dataset) -> int:
    """Return the nearest value that can be stored and is not padding (PS3.3 C.7.5.1.1.2)."""
    stored = int(dataset.BitsStored)
    signed = int(dataset.get("PixelRepresentation") or 0) == 1
    low, high = (-(1 << (stored - 1)), (1 << (stored - 1)) - 1) if signed else (0, (1 << stored) - 1)
    value = min(max(value, low), high)
    try:
        padding = int(dataset.get("PixelPaddingValue"))
        limit = int(dataset.get("PixelPaddingRangeLimit", padding))
    except MALFORMED:
        return value
    first, last = sorted((padding, limit))
    if not first <= value <= last:
        return value
    return last + 1 if last + 1 <= high else max(first - 1, low)
