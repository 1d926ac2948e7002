"""RemoveFace: blank the face in the pixels of one instance."""

from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset

from beamstop.changes import Change
from beamstop.dicom.deadline import check_time
from beamstop.dicom.elements import MALFORMED
from beamstop.dicom.pydicom_guards import guarded
from beamstop.errors import PixelError, Quarantined
from beamstop.faces.series import FaceFinding, Verdict
from beamstop.pixels.box import Box
from beamstop.pixels.frames import open_frames
from beamstop.steps.hide_text import clean_frames_of

FACE = "face"


@dataclass(frozen=True)
class FaceReport:
    """The changes that `remove_face` made to one instance.

    Attributes:
        changes: one per blanked frame, with the box around the blanked pixels; and one for a removed icon.
        pixels_changed: whether pixel data have changed.
    """

    changes: tuple[Change, ...] = ()
    pixels_changed: bool = False


@guarded()
def remove_face(dataset: Dataset, finding: FaceFinding) -> FaceReport:
    """Blank the face that `look_at_series` found in one instance, in place.

    Frames without a mask keep their bytes. A changed frame is written in the transfer syntax of the instance
    if that works without loss. Otherwise the instance is written uncompressed, as with JPEG of 8 and 12 bits,
    whose blocks reach beyond the mask. An icon shows the face, too, and is removed.

    Args:
        dataset: one instance, with the same pixels as when its series was searched.
        finding: for this instance; does nothing unless its verdict is REMOVE.

    Returns:
        the changes, for the audit.

    Raises:
        Quarantined: pixels cannot be decoded, or do not match the masks.
    """
    if finding.verdict is not Verdict.REMOVE or not finding.masks:
        return FaceReport()
    try:
        return _removed(dataset, finding, finding.masks)
    except PixelError as error:
        raise Quarantined(error.reason, error.detail) from error
    except MALFORMED as error:
        raise Quarantined("pixels_undecodable", type(error).__name__) from None


def _removed(dataset: Dataset, finding: FaceFinding, masks: tuple[bytes | None, ...]) -> FaceReport:
    frames = open_frames(dataset)
    if frames is None or len(frames) != len(masks) or frames.layout.samples != 1 or frames.layout.floating:
        raise PixelError("pixels_undecodable", "NumberOfFrames")
    changes = []
    rows, columns = frames.layout.rows, frames.layout.columns
    for index, packed in enumerate(masks):
        if packed is None:
            continue
        check_time()
        if len(packed) != (rows * columns + 7) // 8:
            raise PixelError("pixels_undecodable", "Rows, Columns")
        bits = np.unpackbits(np.frombuffer(packed, np.uint8), count=rows * columns)
        mask = bits.reshape(rows, columns).astype(bool)
        frame = frames.decode(index)
        frames.range.see(frame.values())
        frame.fill(mask, finding.fill)
        frames.range.see_again(frame.values())
        frames.put(index, frame)
        box = _around(mask)
        changes.append(
            Change(
                "", frames.tag, frames.vr, "X", FACE,
                frame=index, x=box.x, y=box.y, width=box.width, height=box.height, why=FACE,
            )
        )  # fmt: skip
    frames.write()
    if frames.changed:
        clean_frames_of(dataset)  # encoders write comments into codestreams: cut them out
    if changes and "IconImageSequence" in dataset:
        del dataset.IconImageSequence
        changes.append(Change("IconImageSequence", "(0088,0200)", "SQ", "X", FACE, why="icon"))
    return FaceReport(tuple(changes), frames.changed)


def _around(mask: np.ndarray[tuple[int, int], np.dtype[np.bool_]]) -> Box:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return Box.of_edges(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
