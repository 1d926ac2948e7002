"""Icons (IconImageSequence, PS3.3 C.7.6.1.1.6): too small to be cleaned, so one with text is removed."""

from collections.abc import Callable

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from beamstop.changes import Change
from beamstop.dicom.elements import MALFORMED
from beamstop.dicom.files import transfer_syntax_of
from beamstop.dicom.limits import DEEPEST
from beamstop.dicom.walk import Place, is_readable, walk
from beamstop.errors import PixelError
from beamstop.pixels.frames import open_frames
from beamstop.text.detector import TextDetector
from beamstop.text.hiding import shows_text

_FIRST_ITEM = b"\xfe\xff\0\xe0"  # of a compressed icon; icons may also be native (PS3.5 A.4)
_ICON_IMAGE_SEQUENCE = 0x00880200


def remove_icons_with_text(
    dataset: Dataset,
    detector: TextDetector,
    is_removed: Callable[[tuple[int, ...]], bool],
    has_extras: Callable[[Dataset], bool] = lambda icon: False,
) -> list[Change]:
    """Remove every icon, at any depth, with text or that cannot be searched; in place.

    An icon's own icons are not searched: the rules engine removes them.

    Args:
        dataset: one instance.
        detector: finds text.
        is_removed: tells whether the recipe removes the attribute at a path of tags; such icons are skipped.
        has_extras: tells whether an icon's frames have extras; such icons are removed.

    Returns:
        one change per IconImageSequence removed.
    """
    changes = []
    icons = (place for place in walk(dataset, _may_hold_icons) if place.tag == _ICON_IMAGE_SEQUENCE)
    for icon in list(icons):
        if not is_removed(icon.path) and _show_text(icon.dataset, dataset, detector, has_extras):
            del icon.dataset[_ICON_IMAGE_SEQUENCE]
            changes.append(Change(icon.label, "(0088,0200)", "SQ", "X", "text", why="icon"))
    return changes


def _may_hold_icons(place: Place) -> bool:
    """Return whether to search a sequence for icons; the rules engine refuses one that cannot be read."""
    return place.tag != _ICON_IMAGE_SEQUENCE and place.depth < DEEPEST and is_readable(place)


def _show_text(
    place: Dataset, top: Dataset, detector: TextDetector, has_extras: Callable[[Dataset], bool]
) -> bool:
    try:
        icons = list(place[_ICON_IMAGE_SEQUENCE].value or ())
        return any(_shows_text(icon, top, detector, has_extras) for icon in icons)
    except (PixelError, *MALFORMED):  # cannot tell
        return True


def _value(icon: Dataset) -> bytes:
    """Return the value of its pixel data, without which it has no frames."""
    return bytes(icon.PixelData or b"") if "PixelData" in icon else b""


def _shows_text(
    icon: Dataset, top: Dataset, detector: TextDetector, has_extras: Callable[[Dataset], bool]
) -> bool:
    view = Dataset({**icon._dict})
    implicit, little = top.original_encoding
    view.set_original_encoding(implicit, little, top._character_set)
    view.file_meta = FileMetaDataset()
    syntax = transfer_syntax_of(top)
    is_native = syntax.is_encapsulated and not _value(icon).startswith(_FIRST_ITEM)
    view.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian if is_native else syntax
    frames = open_frames(view)
    if frames is None:
        return False
    if frames.changed or has_extras(view):  # there are bytes after the last frame, or extras in one
        return True
    decoded = (frames.decode(index) for index in range(len(frames)))
    return any(frame.clear_unused_bits() or shows_text(frame, detector) for frame in decoded)
