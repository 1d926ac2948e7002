"""kskit's functions on pixels, by their own names and order of arguments.

They work on arrays and files without a recipe; `beamstop.deidentify` is the whole chain. Where they
differ from kskit: every frame is searched and every box is hidden, single characters too; boxes are
clipped to the picture and cover rotated words; white is white and black is black in colour, 16-bit and
signed pictures; the networks are loaded once; compressed pixels are decoded; and no message carries a
value of the dataset.
"""

import copy
import warnings
from collections.abc import Iterable, Sequence
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi_lut
from pydicom.pixels.utils import pixel_array

from beamstop.dicom.elements import MALFORMED
from beamstop.dicom.files import transfer_syntax_of
from beamstop.dicom.pydicom_guards import guarded
from beamstop.errors import PixelError
from beamstop.ocr import load_detector
from beamstop.pixels.decoder_child import DECODER_ERRORS

if TYPE_CHECKING:
    from PIL.Image import Image

    from beamstop.text.boxes import TextBox
    from beamstop.text.detector import TextDetector

Pixels = npt.NDArray[Any]
Quad = list[list[int]]
TextArea = tuple[Quad, str, float]

_MARGIN = 8  # pixels around a box: accents and punctuation reach out of it
_SAMPLES = (3, 4)
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_LANGUAGES = ("fr",)


@guarded()
def get_PIL_image(dataset: Dataset) -> "Image | None":  # noqa: N802 - kskit's name
    """Return the first frame as it is displayed, in 8 bits; None without pixels.

    Grey pictures come as mode L, windowed where the dataset says how it can be and stretched to 0-255 else,
    MONOCHROME1 inverted; colour as mode RGB.

    Raises:
        PixelError: the pixels cannot be decoded.
    """
    from PIL import Image

    if not any(keyword in dataset for keyword in _PIXELS):
        return None
    try:
        return Image.fromarray(_first_picture(dataset))
    except (MemoryError, *MALFORMED) as error:
        raise PixelError("pixels_undecodable", type(error).__name__) from None


def _first_picture(dataset: Dataset) -> npt.NDArray[np.uint8]:
    frame = _decode(dataset, index=0)
    if frame.ndim == 3:
        return _eight_bit(frame)
    if dataset.get("PhotometricInterpretation") == "PALETTE COLOR":
        with suppress(*MALFORMED):
            colours = apply_color_lut(frame, dataset)[..., :3]
            return (colours >> (8 * (colours.itemsize - 1))).astype(np.uint8)
    picture = _eight_bit(_windowed(frame, dataset))
    return 255 - picture if _is_inverted(dataset) else picture


def _windowed(frame: Pixels, dataset: Dataset) -> Pixels:
    """Return a grey frame as its VOI shows it, or as it is where a window says nothing that can be shown."""
    if "WindowCenter" in dataset or "VOILUTSequence" in dataset:
        with suppress(*MALFORMED):
            shown = apply_voi_lut(apply_modality_lut(frame, dataset), dataset)
            if np.isfinite(shown).all():
                return shown
    return frame


def get_LUT_value(data: Pixels, window: float, level: float) -> Pixels:  # noqa: N802 - kskit's name
    """Return values windowed linearly to 0-255 (PS3.3 C.11.2.1.2.1), uint8, same shape.

    Args:
        data: values of any numeric dtype.
        window: window width, at least 1.
        level: window center.

    >>> get_LUT_value(np.array([0, 50, 100]), 101, 50.5).tolist()
    [0, 128, 255]
    """
    if window <= 1:
        return np.where(data <= level - 0.5, 0, 255).astype(np.uint8)
    scaled = (data - (level - 0.5)) / (window - 1) + 0.5
    return np.rint(np.clip(scaled, 0, 1) * 255).astype(np.uint8)


def get_text_areas(
    pixels: Pixels, languages: Sequence[str] = _LANGUAGES, detector: "TextDetector | None" = None
) -> list[TextArea]:
    """Return the text areas of one picture, as (four corners, text, confidence).

    Args:
        pixels: (rows, columns) or (rows, columns, 3 or 4), any numeric dtype.
        languages: EasyOCR's codes; the networks for them are loaded once per process. Text of any language is
            found; what is written in Latin letters, Chinese and Japanese is read.
        detector: used instead of beamstop's.
    """
    return _text_areas(pixels, _detector(languages, detector))


@guarded()
def _text_areas(pixels: Pixels, detector: "TextDetector") -> list[TextArea]:
    from beamstop.pixels.renditions import pictures

    values, photometric = (pixels[..., :3], "RGB") if _has_samples(pixels) else (pixels, "MONOCHROME2")
    views = pictures(values, photometric, pixels.dtype.itemsize * 8, Dataset())
    boxes = list(dict.fromkeys(box for view in views for box in detector.find(view)))
    return [(_corners(box), box.text or "", box.confidence or 0.0) for box in detector.read(views[0], boxes)]


def _detector(languages: Sequence[str], detector: "TextDetector | None") -> "TextDetector":
    """Return the detector given, else beamstop's; a warning says which languages it cannot read."""
    if detector is not None:
        return detector
    found = load_detector(tuple(languages))
    unread = getattr(found, "unread_languages", ())
    if unread:
        names = ", ".join(unread)
        warnings.warn(f"no weights to read {names}: such text is found, not read", stacklevel=3)
    return found


def remove_authorized_words_from(
    ocr_data: Iterable[TextArea], authorized_words: Iterable[str] = ()
) -> list[TextArea]:
    """Return the areas whose text is not, as a whole and in either case, an authorized word.

    Args:
        ocr_data: areas as from `get_text_areas`.
        authorized_words: such as `Config(...).authorized_words`; kskit read a file of its own, here none is
            authorized unless it is named.

    >>> remove_authorized_words_from([([[0, 0]], "RCC", 0.9), ([[5, 5]], "DOE", 0.9)], ["rcc"])
    [([[5, 5]], 'DOE', 0.9)]
    """
    spared = {word.strip().upper() for word in authorized_words} - {""}
    return [area for area in ocr_data if area[1].strip().upper() not in spared]


def hide_text(
    pixels: Pixels,
    ocr_data: Iterable[TextArea],
    color_value: str = "black",
    mode: str = "rectangle",
    margin: int = _MARGIN,
) -> Pixels:
    """Return a copy in which every area is blanked.

    Args:
        pixels: (rows, columns), with samples (rows, columns, 3 or 4), or with frames before these;
            of several frames all are covered.
        ocr_data: areas as from `get_text_areas`.
        color_value: `black` or `white`: the ends of the 8-bit range, else of the values in use.
        mode: `rectangle`. kskit's `blur` is refused, since blurred words can be read again.
        margin: pixels that a rectangle is larger than its area, on every side.

    Raises:
        ValueError: another color or mode.

    >>> hide_text(np.full((4, 4), 9, np.uint8), [([[1, 1], [2, 1], [2, 2], [1, 2]], "A", 1.0)], margin=0)[1]
    array([9, 0, 0, 9], dtype=uint8)
    """
    if mode != "rectangle":
        raise ValueError("mode: only rectangle, since blurred text can be read again")
    hidden = pixels.copy()
    value = _color(pixels, color_value)
    row_axis = pixels.ndim - (3 if _has_samples(pixels) else 2)
    rows, columns = pixels.shape[row_axis : row_axis + 2]
    for quad, _, _ in ocr_data:
        corners = np.asarray(quad, dtype=float).reshape(-1, 2)
        left, top = np.floor(corners.min(axis=0)).astype(int) - margin
        right, bottom = np.ceil(corners.max(axis=0)).astype(int) + margin + 1
        box = (
            slice(max(top, 0), min(max(bottom, 0), rows)),
            slice(max(left, 0), min(max(right, 0), columns)),
        )
        hidden[(slice(None),) * row_axis + box] = value
    return hidden


def numpy2bytes(pixels: Pixels, dataset: Dataset) -> bytes:
    """Return pixels as PixelData holds them uncompressed: little endian, BitsAllocated, signed or not.

    Raises:
        ValueError: BitsAllocated is not 8, 16 or 32.
    """
    bits = dataset.get("BitsAllocated")
    if bits not in (8, 16, 32):
        raise ValueError("BitsAllocated (0028,0100): only 8, 16 and 32")
    kind = "i" if dataset.get("PixelRepresentation") else "u"
    data = pixels.astype(f"<{kind}{bits // 8}").tobytes()
    return data + b"\0" * (len(data) % 2)


def deidentify_image_ndarray(
    dataset: Dataset,
    authorized_words: Iterable[str] = (),
    languages: Sequence[str] = _LANGUAGES,
    detector: "TextDetector | None" = None,
) -> Pixels:
    """Return the pixels of every frame with text hidden, shaped and typed as `dataset.pixel_array`.

    YBR comes as RGB. Pixels without text come back with the values they had.

    Args:
        dataset: stays as it is.
        authorized_words: words, or whole lines, that stay; compared without regard to case.
        languages: EasyOCR's codes.
        detector: used instead of beamstop's.

    Raises:
        PixelError: no pixels, pixels that cannot be decoded, or text that remains.
    """
    return _deidentified(dataset, tuple(authorized_words), _detector(languages, detector))


@guarded()
def _deidentified(dataset: Dataset, authorized_words: tuple[str, ...], detector: "TextDetector") -> Pixels:
    from beamstop.text.detector import TextPolicy
    from beamstop.text.hiding import hide_text_in_frames
    from beamstop.text.judge import TextJudge

    clean = copy.deepcopy(dataset)
    policy = TextPolicy(authorized_words=authorized_words)
    hide_text_in_frames(clean, TextJudge(policy, clean), detector)
    return _decode(clean)


def deidentify_image_dcm(
    infile: str | PathLike[str],
    authorized_words: Iterable[str] = (),
    languages: Sequence[str] = _LANGUAGES,
    detector: "TextDetector | None" = None,
) -> bytes:
    """Return the pixel data of a DICOM file with text hidden, uncompressed.

    Raises:
        PixelError: as `deidentify_image_ndarray`.
    """
    detector = _detector(languages, detector)
    with guarded():
        dataset = pydicom.dcmread(infile)
        return numpy2bytes(_deidentified(dataset, tuple(authorized_words), detector), dataset)


def deidentify_image_png(
    infile: str | PathLike[str],
    outdir: str | PathLike[str],
    filename: str,
    authorized_words: Iterable[str] = (),
    languages: Sequence[str] = _LANGUAGES,
    detector: "TextDetector | None" = None,
) -> None:
    """Write the picture of a DICOM file with text hidden to `outdir/filename.png`.

    Raises:
        PixelError: as `deidentify_image_ndarray`.
    """
    detector = _detector(languages, detector)
    with guarded():
        pixels = _deidentified(pydicom.dcmread(infile), tuple(authorized_words), detector)
    save_deidentified_image_png(pixels, Path(outdir) / filename)


def save_deidentified_image_png(pixels: Pixels, outfile: str | PathLike[str]) -> None:
    """Write `outfile.png`; of several frames `outfile-0001.png` and so on.

    Args:
        pixels: one picture or several; 8 and 16 bits are written as they are, any other dtype is
            stretched to 8 bits.
        outfile: without `.png`.
    """
    from PIL import Image

    frame_axes = pixels.ndim - (3 if _has_samples(pixels) else 2)
    frames = pixels if frame_axes else pixels[np.newaxis]
    for number, frame in enumerate(frames, start=1):
        suffix = f"-{number:04}" if frame_axes else ""
        grey_or_bytes = frame.dtype == np.uint8 or (frame.dtype == np.uint16 and frame.ndim == 2)
        Image.fromarray(frame if grey_or_bytes else _eight_bit(frame)).save(f"{outfile}{suffix}.png")


def _decode(dataset: Dataset, index: int | None = None) -> Pixels:
    """Return the pixels of all frames, or of one."""
    syntax = transfer_syntax_of(dataset)
    try:
        # A codestream says how its components lie, whatever Planar Configuration says (PS3.5 8.2).
        options: dict[str, Any] = {"planar_configuration": 0} if syntax.is_encapsulated else {}
        pixels: Pixels = pixel_array(dataset, index=index, **options)
    except DECODER_ERRORS as error:
        raise PixelError("pixels_undecodable", type(error).__name__) from None
    return pixels


def _has_samples(pixels: Pixels) -> bool:
    return pixels.ndim >= 3 and pixels.shape[-1] in _SAMPLES


def _is_inverted(dataset: Dataset) -> bool:
    return bool(dataset.get("PhotometricInterpretation") == "MONOCHROME1")


def _eight_bit(pixels: Pixels) -> npt.NDArray[np.uint8]:
    """Return the values in use stretched to 0-255; 8-bit pictures stay as they are."""
    if pixels.dtype == np.uint8:
        return pixels
    pixels = np.nan_to_num(pixels)
    low, high = float(pixels.min()), float(pixels.max())
    stretched: npt.NDArray[np.uint8] = ((pixels - low) * (255 / max(high - low, 1e-9))).astype(np.uint8)
    return stretched


def _corners(box: "TextBox") -> Quad:
    right, bottom = box.x + box.width, box.y + box.height
    return [[box.x, box.y], [right, box.y], [right, bottom], [box.x, bottom]]


def _color(pixels: Pixels, name: str) -> Any:
    if name not in ("black", "white"):
        raise ValueError("color_value: black or white")
    if pixels.dtype == np.uint8:
        return 0 if name == "black" else 255
    if name == "white":
        return pixels.max()  # what the bits stored can hold is not to be seen from the array
    return 0 if pixels.dtype.kind == "u" else pixels.min()
