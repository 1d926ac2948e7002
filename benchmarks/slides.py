"""A slide of many tiles: CPU time and memory of hiding text in it.

    python benchmarks/slides.py [--tiles 5000] [--tissue 0.3] [--text 4]

Tiles are JPEG of 256×256, each with bytes of its own: glass with noise, drawn tissue, a few with letters.
"""

import argparse
import resource
import struct
import time

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit

from beamstop.ocr import load_detector
from beamstop.testing import make_image
from beamstop.text.detector import TextPolicy
from beamstop.text.hiding import hide_text_in_frames
from beamstop.text.judge import TextJudge

_SIDE, _KINDS = 256, 24
Tile = NDArray[np.uint8]


def main() -> None:
    """Print a row: tiles, boxes, CPU seconds, milliseconds a tile, peak memory before and after."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tiles", type=int, default=5000)
    parser.add_argument("--tissue", type=float, default=0.3, help="share of the tiles")
    parser.add_argument("--text", type=int, default=4, help="tiles with letters")
    given = parser.parse_args()
    detector = load_detector()
    dataset = slide(given.tiles, given.tissue, given.text)
    size = len(dataset.PixelData)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    started = time.process_time()
    report = hide_text_in_frames(dataset, TextJudge(TextPolicy(), dataset), detector)
    seconds = time.process_time() - started
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print("| tiles | MB | boxes | CPU s | ms a tile | MB before | MB after |\n|--:|--:|--:|--:|--:|--:|--:|")
    print(
        f"| {given.tiles} | {size / 1e6:.0f} | {report.text_boxes_hidden} | {seconds:.1f} "
        f"| {seconds / given.tiles * 1000:.2f} | {before:.0f} | {after:.0f} |"
    )


def slide(count: int, tissue: float, text: int) -> FileDataset:
    """Return a slide whose middle rows are tissue."""
    rng = np.random.default_rng(17)
    glass = [
        coded(rng.normal(232, 1.5, (_SIDE, _SIDE, 3)).clip(0, 255).astype(np.uint8)) for _ in range(_KINDS)
    ]
    blots = [coded(stained(rng)) for _ in range(_KINDS)]
    letters = [coded(written(stained(rng))) for _ in range(max(text, 1))]
    across = int(count**0.5)
    down = count // across
    first, last = (1 - tissue) / 2 * down, (1 + tissue) / 2 * down
    streams = []
    for index in range(across * down):
        kinds = blots if first <= index // across < last else glass
        streams.append(numbered(kinds[index % _KINDS], index))
    for number in range(text):
        at = (number + 1) * len(streams) // (text + 1)
        streams[at] = numbered(letters[number], at)
    dataset = make_image(np.zeros((_SIDE, _SIDE, 3), np.uint8), "YBR_FULL_422")
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.6"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    dataset.NumberOfFrames = len(streams)
    dataset.DimensionOrganizationType = "TILED_FULL"
    dataset.TotalPixelMatrixColumns, dataset.TotalPixelMatrixRows = across * _SIDE, down * _SIDE
    dataset.PixelData = encapsulate(streams)
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    return dataset


def stained(rng: np.random.Generator) -> Tile:
    """Return a tile of tissue: dark blots on pink."""
    grain = cv2.GaussianBlur(rng.normal(size=(_SIDE, _SIDE)), (0, 0), 4)
    grain = np.clip(grain / grain.std(), -2, 2)[..., None]
    shades = (
        np.array([220, 170, 205]) - np.maximum(grain, 0) * [60, 60, 35] + rng.normal(0, 3, (_SIDE, _SIDE, 3))
    )
    tile: Tile = shades.clip(0, 255).astype(np.uint8)
    return tile


def written(tile: Tile) -> Tile:
    """Return a tile with a name on it."""
    return cv2.putText(
        tile.copy(), "ROE, JANE", (20, 140), cv2.FONT_HERSHEY_SIMPLEX, 1.1, (0, 0, 0), 2
    ).astype(np.uint8)


def coded(tile: Tile) -> bytes:
    """Return a tile as JPEG."""
    return bytes(cv2.imencode(".jpg", tile[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])[1])


def numbered(stream: bytes, number: int) -> bytes:
    """Return a JPEG with a comment of its own, so that no two tiles have the same bytes."""
    whole = stream[:2] + b"\xff\xfe" + struct.pack(">HI", 6, number) + stream[2:]
    return whole + bytes(len(whole) % 2)


if __name__ == "__main__":
    main()
