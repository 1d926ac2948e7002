"""The networks as functions of a batch, in OpenVINO.

Each is exported into OpenVINO's format once, the detectors in 8-bit integers: by `make networks` for a wheel
or, without these, into a cache on this machine. Reading an export needs neither torch nor EasyOCR.
"""

import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from hashlib import file_digest, sha256
from importlib.metadata import version
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from beamstop.errors import DeidError
from beamstop.ocr.quantization import Ranges, quantize
from beamstop.ocr.weights import CRAFT, DIGESTS, check_export, checked, is_export, weights_of

CACHE_VARIABLE = "BEAMSTOP_CACHE"


class Network(NamedTuple):
    """A network, ready to run.

    Attributes:
        run: input, (1, channels, rows, columns) float32 → output, float32.
        fingerprint: runtime, version, precision.
        digest: SHA-256 of the export, in hex.
    """

    run: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    fingerprint: str
    digest: str


def load(file: Path) -> Network:
    """Return the network of a file from `weights.find`.

    Raises:
        DeidError: the file is not the published one; or it is not exported yet, and the packages for an
        export
            are not installed.
    """
    return _compiled(exported(file), is_rounded=bool(_activations(weights_of(file))[0]))


def letters_of(file: Path) -> list[str]:
    """Return the letters for the outputs of a recogniser of PaddleOCR, from its file.

    Raises:
        DeidError: see `load`.
    """
    model = _openvino().Core().read_model(str(exported(file)))
    letters: str = model.get_rt_info(["framework", "character"]).astype(str)
    return letters.split("\n")


def prepare(found: Iterable[Path]) -> None:
    """Make the files that `load` needs, once per machine, so that worker processes only read them."""
    for file in found:
        exported(file)


def exported(file: Path) -> Path:
    """Return a network in OpenVINO's format: packed, from the cache, or exported now.

    Several processes may export at the same time: a file gets its name only when it is whole.

    Raises:
        DeidError: see `load`.
    """
    if is_export(file):
        check_export(file)
        return file
    checked(file)
    digest, measured = DIGESTS[file.name][:12], _activations(file.name)[1]
    name = f"{file.stem}-{digest}-{measured}-openvino-{version('openvino')}.xml"
    for folder in _cache_folders():
        made = folder / name
        if _is_whole(made) and _trusted(folder):
            return made
    folder = _writable_folder()
    made = folder / name
    with tempfile.TemporaryDirectory(dir=folder) as partial:
        whole = Path(partial, name)
        export(file, whole)
        _sealed(whole).write_text(_digest(whole))
        for suffix in (".bin", ".sha256", ".xml"):
            os.replace(whole.with_suffix(suffix), made.with_suffix(suffix))
    return made


def export(weights: Path, made: Path) -> None:
    """Write the network of a file of weights in OpenVINO's format; the same versions give the same bytes.

    Args:
        weights: see `weights.installed`.
        made: the file for the graph, `.xml`; the weights are in a file `.bin` beside it.

    Raises:
        DeidError: see `load`.
    """
    model = converted(weights)
    ranges, _ = _activations(weights.name)
    if ranges:
        quantize(model, ranges)
    _name_by_place(model, weights.stem)
    _openvino().save_model(model, made, compress_to_fp16=False)


def _is_whole(made: Path) -> bool:
    """Return whether an export exists and is unchanged; otherwise it is made again.

    Its digest is in a file beside it, against damage and carelessness. Somebody who can write there can
    change both, but then the audit's `engine` names another export.
    """
    try:
        return _digest(made) == _sealed(made).read_text()
    except OSError:
        return False


def _digest(made: Path) -> str:
    """Return the SHA-256 over an export's two files."""
    whole = sha256()
    for path in (made, made.with_suffix(".bin")):
        with open(path, "rb") as file:
            whole.update(file_digest(file, "sha256").digest())
    return whole.hexdigest()


def _sealed(made: Path) -> Path:
    return made.with_suffix(".sha256")


def _name_by_place(model: Any, name: str) -> None:
    """Name layers by their position: their own names depend on what the process did before."""
    model.set_friendly_name(name)
    for number, node in enumerate(model.get_ordered_ops()):
        node.set_friendly_name(f"{node.get_type_name()}_{number}")


def converted(weights: Path) -> Any:
    """Return a network as a model of OpenVINO in float32, for any number of rows and columns.

    Raises:
        DeidError: see `load`.
    """
    openvino = _openvino()
    if weights.suffix == ".onnx":
        return openvino.Core().read_model(checked(weights))
    if not find_spec("easyocr"):
        raise DeidError(
            f"{weights.name} is not exported in ${CACHE_VARIABLE}, and EasyOCR, which exports it, is not "
            "installed: install beamstop's wheel, which has the networks"
        )
    import torch

    from beamstop.ocr.easyocr_networks import network

    shape = (1, 3, 64, 96) if weights.name == CRAFT else (1, 1, 64, 96)
    wanted = [*shape[:2], -1, -1] if weights.name == CRAFT else [*shape[:3], -1]
    return openvino.convert_model(network(weights), example_input=torch.zeros(shape), input=wanted)


def _activations(weights: str) -> tuple[Ranges, str]:
    """Return the measured ranges of a network's layers and a name for them; none if it stays in float32.

    Args:
        weights: name of the file of weights.
    """
    document = json.loads((files("beamstop") / "data" / "activations.json").read_text(encoding="utf-8"))
    ranges = document["ranges"].get(Path(weights).stem, {})
    measured = sha256(json.dumps(ranges).encode()).hexdigest()[:8]
    name = f"int8-{measured}" if ranges else "float32"
    return {layer: (low, high) for layer, (low, high) in ranges.items()}, name


def _cache_folders() -> list[Path]:
    """Return possible folders for exports: $BEAMSTOP_CACHE, or ~/.cache/beamstop and one of this machine."""
    named = os.environ.get(CACHE_VARIABLE)
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser(), "beamstop")
    shared = Path(tempfile.gettempdir(), f"beamstop-cache-{os.getuid()}")
    return [Path(named)] if named else [home, shared]


def _writable_folder() -> Path:
    """Return the first folder that can be written to; make it if it is missing."""
    for folder in _cache_folders():
        with suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if os.access(folder, os.W_OK | os.X_OK) and _trusted(folder):
                return folder
    raise DeidError(f"no folder to keep networks in: name one that can be written to in ${CACHE_VARIABLE}")


def _trusted(folder: Path) -> bool:
    """Return whether a folder belongs to this user or to root, and others cannot write to it."""
    status = folder.stat()
    return status.st_uid in (0, os.getuid()) and not status.st_mode & 0o002


@cache
def _openvino() -> Any:
    """Import OpenVINO without its telemetry about conversions."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def _compiled(model: Path, is_rounded: bool) -> Network:
    """Compile a model for one thread: with a process per CPU, more threads would only wait.

    Everything that is not in integers is computed in float32 on all processors: bfloat16 is slower on some.
    """
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1}
    request = _openvino().Core().compile_model(str(model), "CPU", settings).create_infer_request()

    def run(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        request.infer([batch])
        return np.array(request.get_output_tensor(0).data, np.float32)

    kind = "int8" if is_rounded else "float32"
    return Network(run, f"openvino-{version('openvino')} {kind}", _digest(model))
