"""Opens the frames of an instance, which are decoded and put back one by one."""

import re

from pydicom.dataset import Dataset
from pydicom.tag import Tag

from beamstop.dicom.elements import is_open_ended
from beamstop.dicom.files import transfer_syntax_of
from beamstop.errors import PixelError
from beamstop.identity import Identity
from beamstop.pixels.encapsulated import _EncapsulatedFrames
from beamstop.pixels.frame import Frames
from beamstop.pixels.layout import PIXEL_TAGS, Layout, number_of_frames
from beamstop.pixels.native import _NativeFrames

# MPEG2, MPEG-4 AVC and HEVC (PS3.5 8.2.5 to 8.2.9)
_VIDEO = re.compile(r"1\.2\.840\.10008\.1\.2\.4\.10[0-8](\.1)?")
_STANDARD = re.compile(r"1\.2\.840\.10008\.[0-9.]+")


def open_frames(dataset: Dataset, compare: bool = False, identity: Identity | None = None) -> Frames | None:
    """Return the frames of the top-level pixel data; None if there are none.

    Args:
        dataset: one instance.
        compare: have a second decoder read the first compressed frame, too (see `encapsulated`).
        identity: if that is slow, its key selects the instances for which it is done; None for all.

    Raises:
        PixelError: `pixels_undecodable`, or `pixels_unsupported` for video.
    """
    present = [keyword for keyword in PIXEL_TAGS if keyword in dataset]
    if not present:
        return None
    if len(present) > 1:  # PS3.3 C.7.6.3: one of them
        raise PixelError("pixels_undecodable", ", ".join(present))
    syntax = transfer_syntax_of(dataset)
    if is_video(syntax):
        raise PixelError("pixels_unsupported", f"{present[0]}: {syntax}")
    try:
        encapsulated = syntax.is_encapsulated
    except ValueError:  # not one that pydicom knows
        named = syntax if _STANDARD.fullmatch(syntax) else "private transfer syntax"
        raise PixelError("pixels_undecodable", f"{present[0]}: {named}") from None
    if not encapsulated:
        refuse_fragments(dataset)
    layout = Layout.of(dataset, compressed=encapsulated)
    if encapsulated:
        return _EncapsulatedFrames(dataset, layout, syntax, compare, identity)
    return _NativeFrames(dataset, layout, syntax)


def refuse_fragments(dataset: Dataset) -> None:
    """Refuse fragments under a transfer syntax without compression: their meaning is unknown.

    Raises:
        PixelError: `pixels_undecodable`.
    """
    for keyword in PIXEL_TAGS:
        if keyword in dataset and is_open_ended(dataset._dict[Tag(keyword)]):
            raise PixelError(
                "pixels_undecodable", f"{keyword}: fragments under {transfer_syntax_of(dataset)}"
            )


def is_video(syntax: str) -> bool:
    """Return whether a transfer syntax is for video, whose frames are not coded one by one."""
    return _VIDEO.fullmatch(syntax) is not None


def frame_count(dataset: Dataset) -> int:
    """Return the declared number of frames: 0 without pixel data, 1 if it is not declared."""
    if not any(keyword in dataset for keyword in PIXEL_TAGS):
        return 0
    return number_of_frames(dataset)
