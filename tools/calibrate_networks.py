"""Measure the ranges of activations for `beamstop.ocr.quantization`, on pictures of the tuning seed.

    python tools/calibrate_networks.py     writes transforms/beamstop/data/activations.json

The range of a layer's input reaches from its 0.01st to its 99.99th percentile in one tile, and is the widest
over all tiles of all pictures.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

from pictures import TUNING_SEED, draw  # noqa: E402

from beamstop.ocr import networks  # noqa: E402
from beamstop.ocr.quantization import layers  # noqa: E402
from beamstop.ocr.tiles import normalized  # noqa: E402
from beamstop.ocr.weights import CRAFT, DBNET, installed  # noqa: E402
from beamstop.pixels.frames import open_frames  # noqa: E402
from beamstop.pixels.renditions import Picture  # noqa: E402

# Modality → how many pictures to draw with text and without.
COUNTS = {"CT": (2, 1), "MR": (2, 1), "US": (2, 0), "SC": (2, 0), "CR": (1, 0), "MG": (1, 0)}
TILE = 384  # pixels
OUT = ROOT / "transforms" / "beamstop" / "data" / "activations.json"


def tiles() -> Iterator[Picture]:
    """Yield the busiest tile of every picture, and that of its double size if it is small."""
    import cv2

    for picture in draw(TUNING_SEED, COUNTS):
        frames = open_frames(picture.dataset())
        for grey in frames.decode(0).pictures() if frames else []:
            yield from busiest(grey)
            if max(grey.shape) <= 1280:
                yield from busiest(np.asarray(cv2.resize(grey, None, fx=2, fy=2), np.uint8))


def busiest(grey: Picture, count: int = 1) -> list[Picture]:
    """Return the tiles of a picture with the largest standard deviation, 384 × 384 pixels or smaller."""
    rows, columns = grey.shape
    cut = [
        grey[top : top + TILE, left : left + TILE]
        for top in range(0, max(rows - TILE, 0) + 1, TILE)
        for left in range(0, max(columns - TILE, 0) + 1, TILE)
    ]
    return sorted(cut, key=lambda tile: -float(tile.std()))[:count]


class Watch:
    """Records the widest range of every layer's input in one network."""

    def __init__(self, model: Any) -> None:
        from openvino import Core, Model, opset13

        self._names = list(layers(model))
        taps = [opset13.result(layer.input_value(0)) for layer in layers(model).values()]
        watched = Model(taps, model.get_parameters(), "watched")
        self._request = (
            Core()
            .compile_model(watched, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1})
            .create_infer_request()
        )
        self.ranges = dict.fromkeys(self._names, (0.0, 0.0))

    def look(self, tile: Picture) -> None:
        """Widen the ranges by those of one tile."""
        self._request.infer([normalized(tile)])
        for number, name in enumerate(self._names):
            some = self._request.get_output_tensor(number).data.ravel()[::31]
            low, high = np.percentile(some, (0.01, 99.99))
            self.ranges[name] = min(float(low), self.ranges[name][0]), max(float(high), self.ranges[name][1])


def main() -> None:
    """Measure the ranges and write the file."""
    found = [path for name in (CRAFT, DBNET) if (path := installed(name))]
    if len(found) < 2:
        sys.exit("the detectors' weights are not installed: make setup")
    watches = {path.stem: Watch(networks.converted(path)) for path in found}
    seen = 0
    for tile in tiles():
        seen += 1
        for watch in watches.values():
            watch.look(tile)
    OUT.write_text(
        json.dumps(
            {
                "how": f"tools/calibrate_networks.py, {seen} tiles of seed {TUNING_SEED}",
                "ranges": {
                    name: {
                        layer: [float(f"{end:.4g}") for end in ends] for layer, ends in watch.ranges.items()
                    }
                    for name, watch in watches.items()
                },
            },
            indent=1,
        )
        + "\n"
    )
    print(f"{seen} tiles, {OUT}")


if __name__ == "__main__":
    main()
