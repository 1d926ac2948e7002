"""The detectors as functions of a batch, in a runtime made for inference where it is installed.

CRAFT's weights are turned into OpenVINO's format once and kept in a cache; workers only read that file.
"""

import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from beamstop.errors import DeidError
from beamstop.weights import CRAFT, DIGESTS, checked

CACHE_VARIABLE = "BEAMSTOP_CACHE"


class Network(NamedTuple):
    """A network that is ready.

    Attributes:
        run: (1, 3, rows, columns) float32, both a multiple of 32, → what the network gives, float32.
        fingerprint: runtime, version, precision.
    """

    run: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    fingerprint: str


def load_craft(weights: Path) -> Network:
    """Return CRAFT; it gives (1, rows / 2, columns / 2, 2): how much is text, and how much joins letters.

    Args:
        weights: EasyOCR's file.

    Raises:
        DeidError: the weights are not EasyOCR's.
    """
    if _has_openvino():
        return _compiled(str(exported_craft(weights)))
    return _in_torch(weights)


def prepare(weights: Path) -> None:
    """Make what `load_craft` needs, once per machine, so that worker processes only read it."""
    if _has_openvino():
        exported_craft(weights)


def load_dbnet(weights: Path | None) -> Network | None:
    """Return PaddleOCR's small detector; it gives (1, 1, rows, columns): how much is text.

    None without its weights, or where OpenVINO is not installed: torch cannot run it.

    Raises:
        DeidError: the weights are not those that were published.
    """
    return _compiled(checked(weights)) if weights and _has_openvino() else None


def exported_craft(weights: Path) -> Path:
    """Return CRAFT in OpenVINO's format, made now if it is not in the cache.

    Several processes may do so at once: the file appears under its name when it is whole.

    Raises:
        DeidError: the weights are not EasyOCR's.
    """
    checked(weights)
    name = f"craft-{DIGESTS[CRAFT][:12]}-openvino-{version('openvino')}.xml"
    for folder in _cache_folders():
        made = folder / name
        if made.is_file() and made.with_suffix(".bin").is_file() and _trusted(folder):
            return made
    openvino = _openvino()
    folder = _writable_folder()
    made = folder / name
    model = _converted(weights)
    with tempfile.TemporaryDirectory(dir=folder) as partial:
        whole = Path(partial, name)
        openvino.save_model(model, whole, compress_to_fp16=False)
        os.replace(whole.with_suffix(".bin"), made.with_suffix(".bin"))
        os.replace(whole, made)
    return made


@cache
def _has_openvino() -> bool:
    return find_spec("openvino") is not None


def _cache_folders() -> list[Path]:
    """Return where exports are kept: $BEAMSTOP_CACHE, or else ~/.cache/beamstop or one of this machine."""
    named = os.environ.get(CACHE_VARIABLE)
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser(), "beamstop")
    shared = Path(tempfile.gettempdir(), f"beamstop-cache-{os.getuid()}")
    return [Path(named)] if named else [home, shared]


def _writable_folder() -> Path:
    """Return the first of them that can be written to, made where it is missing."""
    for folder in _cache_folders():
        with suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if os.access(folder, os.W_OK | os.X_OK) and _trusted(folder):
                return folder
    raise DeidError(f"no folder to keep networks in: name one that can be written to in ${CACHE_VARIABLE}")


def _trusted(folder: Path) -> bool:
    """Say whether it is this user's, or root's who built the machine, and not open to everybody."""
    status = folder.stat()
    return status.st_uid in (0, os.getuid()) and not status.st_mode & 0o002


@cache
def _openvino() -> Any:
    """Import OpenVINO without the part of it that calls home about conversions."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def _compiled(model: str | bytes) -> Network:
    """Compile a model for one thread: with a process per CPU, more would only wait."""
    openvino = _openvino()
    core = openvino.Core()
    fast = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    settings = {
        "INFERENCE_PRECISION_HINT": "bf16" if fast else "f32",
        "INFERENCE_NUM_THREADS": 1,
        "NUM_STREAMS": 1,
    }
    request = core.compile_model(core.read_model(model), "CPU", settings).create_infer_request()

    def run(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        request.infer([batch])
        return np.array(request.get_output_tensor(0).data, np.float32)

    return Network(run, f"openvino-{version('openvino')} {'bfloat16' if fast else 'float32'}")


def _converted(weights: Path) -> Any:
    import torch

    openvino = _openvino()
    example = torch.zeros(1, 3, 64, 96)
    return openvino.convert_model(_only_scores(_craft(weights)), example_input=example, input=[1, 3, -1, -1])


def _in_torch(weights: Path) -> Network:
    import torch

    network = _only_scores(_craft(weights)).to(memory_format=torch.channels_last)
    # bfloat16 finds the same text in 2/5 of the time, where the processor has it.
    fast = torch.cpu._is_avx512_bf16_supported()
    kind = torch.bfloat16 if fast else torch.float32
    network.to(dtype=kind)

    def run(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        tensor = torch.from_numpy(batch).to(kind).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            scores: NDArray[np.float32] = network(tensor).float().numpy()
        return scores

    return Network(run, f"torch-{version('torch')} {'bfloat16' if fast else 'float32'}")


def _only_scores(craft: Any) -> Any:
    """Leave out the features that CRAFT gives beside its scores."""
    from torch import nn

    class Scores(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.craft = craft

        def forward(self, batch: Any) -> Any:
            return self.craft(batch)[0]

    return Scores().eval()  # a wrapper in training mode would put the network back into it


def _craft(weights: Path) -> Any:
    import torch

    import_easyocr()
    from easyocr import craft

    with torch.device("meta"):  # no random weights just to be replaced
        network = craft.CRAFT()
    network.load_state_dict(state(weights), assign=True)
    network.eval().requires_grad_(False)
    _fold_batch_norm(network)
    return network


def state(weights: Path) -> dict[str, Any]:
    """Load checked weights as tensors and nothing else: EasyOCR itself would unpickle anything."""
    import torch

    loaded: dict[str, Any] = torch.load(BytesIO(checked(weights)), map_location="cpu", weights_only=True)
    return {name.removeprefix("module."): tensor for name, tensor in loaded.items()}


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


@cache
def import_easyocr() -> Any:
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
