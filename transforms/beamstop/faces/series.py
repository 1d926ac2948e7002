"""What a series of slices shows of a face, and where it is."""

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
from beamstop.faces.head import WHOLE, Fit, Pose, find_head, template
from beamstop.faces.headers import Kind, Region, face_header
from beamstop.faces.outline import Modality, Outline, outline_of, threshold_of
from beamstop.faces.slices import NoPlaceError, Slice, Stack, slices_of, stacks_of
from beamstop.faces.volume import Grid, Volume, volume_of
from beamstop.pixels.frame import Frames
from beamstop.pixels.frames import open_frames

Action = Literal["remove", "reject", "tell"]
Corner = NDArray[np.float64]
FACE_MAY_SHOW = "face_may_show"
# Details of it
NO_POSITION = "slices without a position"
NO_VOLUME = "slices that make no volume"
NO_HEAD = "no head that could be told"
NO_AIR = "no value of air that can be stored"
TWO_HEADS = "a second head"

_COARSE, _FINE = 4.0, 2.0  # mm
_AROUND, _NEAR = 30.0, 5.0  # mm of a volume around the template; and how much of them may be missing
_LONGEST_GAP = 15.0  # mm between slices: more than half of a nose
_SHORTEST = 40.0  # mm from the first slice to the last: less is no volume
_FEWEST = 4  # slices
_THIN = 20.0  # mm
_WIDEST = 3000.0  # mm: no scanner sees more
_ALIKE = 0.1  # of pixels of two frames of one place, by which those that are bright differ
_CONTRAST = 20.0  # between the darkest and the brightest pixel: less is an empty picture
# In MR and PT ghosts can be brighter than the threshold, and join a head to something larger.
_THRESHOLDS = 1.0, 2.0, 4.0
_SECOND = 500e3  # mm³ of another body that is looked at, too
_FULL, _ALL = 0.9, 0.98  # of a cross-section is body: no air beside it; no air at all
_LARGE = 90000.0  # mm² of body without air beside it: no head, but a part of a trunk
_WAIST = 10.0  # mm that are taken off a cross-section all around
_AREA = 2500.0, 36000.0  # mm² of what is left of a head's
_ACROSS, _BACK = 190.0, 240.0  # mm that it measures at most
_RUN = 40.0  # mm of such cross-sections: from the brows to the mouth of a child
_AIR = {"CT": -1000.0, "MR": 0.0, "PT": 0.0}


class Verdict(Enum):
    """What is to be done about the face in one instance.

    NONE: the picture shows that there is none. LEFT: it may show one, which is left. REMOVE: it is blanked.
    REFUSE: it may show one, and nobody can say where. FEW: too few slices to show one by themselves, which
    proves nothing about them together with those of other series.
    """

    NONE = "none"
    LEFT = "left"
    REMOVE = "remove"
    REFUSE = "refuse"
    FEW = "few"


@dataclass(frozen=True)
class FaceFinding:
    """What was found in one instance.

    Attributes:
        verdict: see `Verdict`.
        masks: of each frame, what is to be blanked: bits of rows times columns, packed by `numpy.packbits`;
            None for a frame without. None at all except for REMOVE.
        fill: the stored value to blank with.
        reason: a code; of REFUSE.
        detail: more of why it is refused, in words of ours.
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

    Frames are laid into the patient by their own positions and orientations: gaps, copies of a place, tilted
    gantries, echoes, times and several orientations need no order of their own. A head is looked for in each
    stack of frames that makes a volume; the others take the cut of the best one, being in the same frame of
    reference. What cannot be laid there, and may show a face, is refused.

    Args:
        datasets: instances of one series in one frame of reference, with pixels. They stay as they are.
        action: of the recipe; without `remove` nothing is cut.

    Returns:
        a finding for each, in their order.

    Raises:
        DeidError: scipy is not installed.
        PixelError: a frame cannot be decoded.
    """
    if not find_spec("scipy"):
        raise DeidError("scipy is not installed, which finding faces needs: pip install 'beamstop[faces]'")
    return _Series(datasets, action).findings()


@dataclass
class _Found:
    """A stack, and the head in it; or why nobody can say that it shows no face, empty if it shows none.

    With `is_thin` it shows none by itself.
    """

    stack: Stack
    why: str = ""
    is_thin: bool = False
    is_head: bool = False
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
        heads = [it for it in found if it.is_head]
        if not heads:
            refused |= {piece.instance: it.why for it in found if it.why for piece in it.stack.slices}
            why = next(iter(refused.values()), NO_POSITION if not found else "")
            if not why:
                return [_FEW if all(it.is_thin for it in found) else _NO_FACE for _ in self._numbers]
            return [self._refused(refused.get(number, why)) for number in self._numbers]
        if self.action != "remove":
            return [_LEFT for _ in self._numbers]
        best = max(heads, key=lambda it: it.fit.close * it.fit.seen if it.fit else 0.0)
        masks: list[dict[int, bytes]] = [{} for _ in self._numbers]
        thin = {piece.instance for it in found if it.is_thin for piece in it.stack.slices}
        for one in found:
            cut = one.cut or best.cut
            for piece in one.stack.slices:
                mask = cut.mask(piece) if cut else None
                if mask is not None:
                    masks[piece.instance][piece.frame] = np.packbits(mask).tobytes()
        return [
            self._refused(refused[number])
            if number in refused
            else _FEW  # it lies beyond the face, if it lies where it says
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
        """Return the stored value of air; None for frames that do not agree on it, and for floating point."""
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
            return _Found(stack, "" if _is_empty(volume) else NO_HEAD)
        around = _Around(volume, modality, threshold)
        fit = find_head(coarse, around)
        if fit is None or not _is_head(fit, face_header(self.datasets[first]).region):
            factors = (1.0,) if modality == "CT" else _THRESHOLDS
            outlines = [coarse, *(outline_of(volume, grid, modality, threshold * it) for it in factors[1:])]
            has_none = all(_has_no_head(it) for it in outlines if it is not None)
            return _Found(stack, "" if has_none else NO_HEAD)
        if _is_whole_head(outline_of(volume, grid, modality, threshold, second=True)):
            return _Found(stack, TWO_HEADS)
        found = _Found(stack, is_head=True, fit=fit)
        if self.action == "remove":
            outline = around(fit.pose)
            found.cut = cut_of(fit, outline) if outline else None
        return found

    def _are_alike(self, stack: Stack) -> bool:
        """Say whether the frames of one place show about the same: a position may be that of all slices."""
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
        """Return the real values of a frame."""
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
    """Outlines of a volume around a pose, in fine steps; the last one is used again near by."""

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
    """Say whether a head was found; where no header speaks of one, all of it must be seen."""
    return fit.is_good and (region is Region.HEAD or fit.seen >= WHOLE)


def _is_whole_head(body: Outline | None) -> bool:
    """Say whether another body beside the one with a head is a head, too."""
    if body is None or float(np.sum(body.body & body.inside)) * body.grid.step**3 < _SECOND:
        return False
    fit = find_head(body, lambda _: body)
    return fit is not None and fit.is_good and fit.seen >= WHOLE


def _is_empty(volume: Volume) -> bool:
    """Say whether a volume shows nothing: its stored values hardly differ."""
    slope = min(1.0, *(abs(it.slope) for it in volume.stack.slices))
    return float(np.ptp(volume.values)) < _CONTRAST * slope


def _is_thin(stack: Stack) -> bool:
    """Say whether a stack is too thin, or its slices too far apart, to show a face from outside.

    In slices from front to back or from top to bottom, that is: one that lies sagittally shows a profile.
    """
    is_sagittal = int(np.argmax(np.abs(stack.places[0][0].normal))) == 0
    return not is_sagittal and (stack.span < _THIN or stack.gap > _LONGEST_GAP)


def _has_no_head(outline: Outline) -> bool:
    """Say whether no run of cross-sections is as large as those of a head: a trunk has none, nor a finger.

    Arms beside a head are parted from it first. Nobody can tell where a cross-section has no air beside the
    body, as in a small field of view, or no air at all, as where values are not what they should be.
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
    """Return the nearest value that pixels can have and that is no padding (PS3.3 C.7.5.1.1.2)."""
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
