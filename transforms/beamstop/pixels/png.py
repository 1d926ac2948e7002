"""Frames as PNG pictures: windowed to 8 bits, or 16 bits without a window; black is black."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi, convert_color_space

from beamstop.pixels.frame import Frame
from beamstop.pixels.renditions import not_padding

Picture = NDArray[np.uint8] | NDArray[np.uint16]

_BYTE = 8
_SOFTWARE = "beamstop"
_MARK = f"tEXtSoftware\0{_SOFTWARE}".encode("ascii")  # PNG 11.3.3.2; comes first, after the header
_MARK_ENDS_BEFORE = 64  # bytes from the start
_DISPLAY = (
    "ModalityLUTSequence",
    "RescaleSlope",
    "RescaleIntercept",
    "VOILUTSequence",
    "VOILUTFunction",
    "WindowCenter",
    "WindowWidth",
)
# PS3.3 C.7.6.16.2.9 and .10: where enhanced multi-frame instances say how a frame is displayed.
_OF_A_FRAME = ("PixelValueTransformationSequence", "FrameVOILUTSequence")


def render(frame: Frame, index: int) -> Picture:
    """Return one frame as a picture: (rows, columns), or (rows, columns, 3) for colour.

    Grey values go through the Modality LUT or rescale, then the first VOI LUT, else the first window
    (PS3.3 C.11.1, C.11.2), and become uint8. Without either, values stored in more than 8 bits
    become uint16: as they are up to 16 bits, signed ones counted from the lowest that their bits can
    hold, so that pictures compare; wider ones and floating point stretched from the lowest to the
    highest in use. In at most 8 bits, unsigned values keep their range and signed ones are stretched.
    MONOCHROME1 is inverted. Overlays and presentation states are not applied.

    Args:
        frame: as decoded.
        index: of the frame, from 0, in the instance.

    Raises:
        Exceptions of pydicom for a malformed lookup table; NotImplementedError for a photometric
        interpretation that it cannot convert.
    """
    values = frame.values()
    if frame.photometric == "PALETTE COLOR":
        colours = apply_color_lut(np.ascontiguousarray(values), frame.dataset)[..., :3]
        return _eight_bits(colours, colours.dtype.itemsize * 8)
    if values.ndim == 3:
        colours = _eight_bits(values, frame.layout.bits_stored)
        if not frame.photometric.startswith("YBR"):
            return colours
        rgb: Picture = convert_color_space(colours, frame.photometric, "RGB")
        return rgb
    display = display_of(frame.dataset, index)
    is_shown = "VOILUTSequence" in display or ("WindowCenter" in display and "WindowWidth" in display)
    if is_shown or frame.layout.bits_stored <= _BYTE:
        picture, white = _grey(frame, values, display), 255
    else:
        picture, white = _sixteen_bits(frame, values)
    return white - picture if frame.photometric == "MONOCHROME1" else picture


def display_of(dataset: Dataset, index: int) -> Dataset:
    """Return the display attributes of one frame, enhanced multi-frame or not."""
    told = Dataset()
    frames = dataset.get("PerFrameFunctionalGroupsSequence") or []
    groups = [*(dataset.get("SharedFunctionalGroupsSequence") or [])[:1], *frames[index : index + 1]]
    items = [item for group in groups for keyword in _OF_A_FRAME for item in (group.get(keyword) or [])[:1]]
    for place in (dataset, *items):
        for keyword in _DISPLAY:
            if place.get(keyword) not in (None, "", []):
                told[keyword] = place[keyword]
    return told


def _grey(frame: Frame, values: NDArray[Any], display: Dataset) -> Picture:
    plane = apply_modality_lut(values, display)
    if "VOILUTSequence" in display:
        bits = int(display.VOILUTSequence[0].LUTDescriptor[2])
        return _scaled(apply_voi(np.rint(plane).astype(np.int64), display), 0, (1 << bits) - 1)
    if "WindowCenter" in display:
        return _windowed(plane, display)
    layout = frame.layout
    if values is plane and not layout.signed:
        return _eight_bits(values, layout.bits_stored)
    used = plane[not_padding(values, frame.dataset)]
    return _scaled(plane, used.min(), used.max())


def _sixteen_bits(frame: Frame, values: NDArray[Any]) -> tuple[NDArray[np.uint16], int]:
    """Return values without display attributes, and the white value."""
    layout = frame.layout
    if layout.floating or layout.bits_stored > 2 * _BYTE:
        used = values[not_padding(values, frame.dataset)]
        return _scaled(values, used.min(), used.max(), np.uint16), 0xFFFF
    lowest = -(1 << (layout.bits_stored - 1)) if layout.signed else 0
    return (values.astype(np.int32) - lowest).astype(np.uint16), (1 << layout.bits_stored) - 1


def _windowed(plane: NDArray[Any], display: Dataset) -> Picture:
    """Apply the first window (PS3.3 C.11.2.1.2 and C.11.2.1.3)."""
    center, width = (float(_first(display[name].value)) for name in ("WindowCenter", "WindowWidth"))
    function = display.get("VOILUTFunction") or "LINEAR"
    if function == "SIGMOID":
        return _scaled(1 / (1 + np.exp(np.clip(-4 * (plane - center) / width, -500, 500))), 0, 1)
    if function == "LINEAR":
        center, width = center - 0.5, max(width - 1, 1e-9)
    return _scaled(plane, center - width / 2, center + width / 2)


def _first(value: Any) -> Any:
    return value if isinstance(value, str | int | float) else next(iter(value), value)


def _scaled(plane: NDArray[Any], low: float, high: float, kind: Any = np.uint8) -> NDArray[Any]:
    share = (np.nan_to_num(plane.astype(np.float64)) - low) / max(float(high) - float(low), 1e-9)
    scaled: NDArray[Any] = np.rint(np.clip(share, 0, 1) * np.iinfo(kind).max).astype(kind)
    return scaled


def _eight_bits(values: NDArray[Any], bits: int) -> Picture:
    if bits == 8:
        return values.astype(np.uint8)
    return (values >> (bits - 8)).astype(np.uint8) if bits > 8 else _scaled(values, 0, (1 << bits) - 1)


def encode_png(picture: Picture, sha256: str) -> bytes:
    """Return a picture as PNG.

    Args:
        picture: as `render` returns it.
        sha256: of the clean file, in hex; becomes the PNG's text `Source`.
    """
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    told = PngInfo()
    told.add_text("Software", _SOFTWARE)
    told.add_text("Source", sha256)
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(file, "PNG", pnginfo=told)
    return file.getvalue()


def is_ours(data: bytes) -> bool:
    """Return whether a file was made by `encode_png`.

    >>> is_ours(encode_png(np.zeros((2, 2), np.uint8), "ab")), is_ours(b"theirs")
    (True, False)
    """
    return _MARK in data[:_MARK_ENDS_BEFORE]
