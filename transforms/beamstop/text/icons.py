"""Icons (IconImageSequence, PS3.3 C.7.6.1.1.6): too small to be cleaned, so one with text is removed."""

from collections.abc import Callable, Iterator
from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from beamstop.changes import Change
from beamstop.dicom.elements import MALFORMED
from beamstop.dicom.files import transfer_syntax_of
from beamstop.dicom.limits import DEEPEST
from beamstop.dicom.tags import tag_name, vr_of
from beamstop.errors import PixelError
from beamstop.pixels.frames import open_frames
from beamstop.text.detector import TextDetector
from beamstop.text.hiding import shows_text

_FIRST_ITEM = b"\xfe\xff\0\xe0"  # of a compressed icon; beside compressed pixels it may be native (PS3.5 A.4)
_ICON_IMAGE_SEQUENCE = 0x00880200


def remove_icons_with_text(
    dataset: Dataset, detector: TextDetector, is_removed: Callable[[tuple[int, ...]], bool]
) -> list[Change]:
    """Remove every icon, at any depth, in which text is found or that cannot be looked at; in place.

    Args:
        dataset: one instance.
        detector: finds text.
        is_removed: says of a path of tags whether the recipe removes what is there; such icons are skipped.

    Returns:
        one change per IconImageSequence removed.
    """
    changes = []
    for place, path, label in list(_holders(dataset)):
        if not is_removed(path) and _show_text(place, dataset, detector):
            del place[_ICON_IMAGE_SEQUENCE]
            changes.append(Change(label, "(0088,0200)", "SQ", "X", "text", why="icon"))
    return changes


def _holders(top: Dataset) -> Iterator[tuple[Dataset, tuple[int, ...], str]]:
    """Yield what has an IconImageSequence, with the tags and keywords down to that."""
    stack: list[tuple[Dataset, tuple[int, ...], str]] = [(top, (), "")]
    while stack:
        dataset, path, label = stack.pop()
        for tag, element in list(dataset._dict.items()):
            here, name = (*path, int(tag)), label + tag_name(tag)
            if tag == _ICON_IMAGE_SEQUENCE:
                yield dataset, here, name
            elif vr_of(tag, element.VR) == "SQ" and len(path) < DEEPEST:
                items = enumerate(_items(dataset, tag))
                stack.extend((item, here, f"{name}[{number}].") for number, item in items)


def _items(dataset: Dataset, tag: int) -> list[Dataset]:
    try:
        value: Any = dataset[tag].value
        return [item for item in value or () if isinstance(item, Dataset)]
    except MALFORMED:  # left to the rules engine, which refuses it
        return []


def _show_text(place: Dataset, top: Dataset, detector: TextDetector) -> bool:
    try:
        icons = list(place[_ICON_IMAGE_SEQUENCE].value or ())
        return any(_shows_text(icon, top, detector) for icon in icons)
    except (PixelError, *MALFORMED):  # cannot tell
        return True


def _value(icon: Dataset) -> bytes:
    """Return the value of its pixel data, without which it has no frames."""
    return bytes(icon.PixelData or b"") if "PixelData" in icon else b""


def _shows_text(icon: Dataset, top: Dataset, detector: TextDetector) -> bool:
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
    if frames.changed:  # there are bytes behind the last frame
        return True
    decoded = (frames.decode(index) for index in range(len(frames)))
    return any(frame.clear_unused_bits() or shows_text(frame, detector) for frame in decoded)
