"""Pictures made in code, a detector that takes bright blocks for text, and one that finds nothing."""

from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileDataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.uid import UID

from beamstop.pixels.encoders import encode_frame
from beamstop.pixels.renditions import Picture
from beamstop.testing import BlockDetector
from beamstop.text.boxes import TextBox
from beamstop.text.detector import TextDetector, TextPolicy
from beamstop.text.hiding import PixelReport, hide_text_in_frames
from beamstop.text.judge import TextJudge

ROWS, COLUMNS = 80, 120
BLOCK = (slice(20, 34), slice(30, 70))  # where "text" stands: brighter than all around
HIDDEN = (slice(16, 38), slice(26, 74))  # the block with its padding of 2 + 15 % of 14 pixels


class StubbornDetector(BlockDetector):
    """Finds a new box whenever it looks."""

    def find(self, picture: Picture) -> list[TextBox]:
        self.looks.append((picture.shape[0], picture.shape[1]))
        return [TextBox(20 * len(self.looks), 40, 8, 8)]


def hide(dataset: Dataset, policy: TextPolicy, detector: TextDetector) -> PixelReport:
    """Hide text in the frames of an instance as a policy says."""
    return hide_text_in_frames(dataset, TextJudge(policy, dataset), detector)


def ground(rows: int = ROWS, columns: int = COLUMNS) -> np.ndarray[Any, Any]:
    """Return a faint pattern, 10 to 13, as int64 (rows, columns)."""
    return 10 + (np.arange(rows)[:, None] // 3 + np.arange(columns) // 5) % 4


def with_block(bright: int, low: int = 0) -> np.ndarray[Any, Any]:
    """Return the pattern with a bright block in it, all raised by `low`."""
    values = ground() + low
    values[BLOCK] = bright
    return values


def compressed(
    dataset: FileDataset, syntax: str, extended: bool = False, codestreams: Any = None
) -> list[bytes]:
    """Compress an instance made by `image` in place; return the frames' codestreams."""
    count = int(dataset.get("NumberOfFrames", 1))
    shape = (count, dataset.Rows, dataset.Columns, *((3,) if dataset.SamplesPerPixel == 3 else ()))
    kind = "i" if dataset.PixelRepresentation else "u"
    frames = np.frombuffer(dataset.PixelData, f"{kind}{dataset.BitsAllocated // 8}")[
        : np.prod(shape)
    ].reshape(shape)
    if codestreams is None:
        photometric = dataset.PhotometricInterpretation
        codestreams = [encode_frame(UID(syntax), frame, dataset.BitsStored, photometric) for frame in frames]
    streams = [stream + bytes(len(stream) % 2) for stream in codestreams]
    if extended:
        dataset.PixelData, dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = (
            encapsulate_extended(streams)
        )
    else:
        dataset.PixelData = encapsulate(streams)
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    return streams


def palette(dataset: Dataset, size: int = 256) -> None:
    """Give an instance a palette from white to black: the darkest index is the last."""
    falling = np.linspace(65535, 0, size).astype("<u2").tobytes()
    for colour in ("Red", "Green", "Blue"):
        setattr(dataset, f"{colour}PaletteColorLookupTableDescriptor", [size, 0, 16])
        setattr(dataset, f"{colour}PaletteColorLookupTableData", falling)
