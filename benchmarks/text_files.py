"""Text hiding on real files: what is found in the first frame of each, and a sheet of before beside after.

    python benchmarks/text_files.py FILE_OR_FOLDER... [--sheet sheet.png]

Nobody has marked where text is in them: the sheet is for the eye. Looking again is in the CPU time.
"""

import argparse
import time
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError

from beamstop.dicom.files import transfer_syntax_of
from beamstop.errors import DeidError
from beamstop.ocr import load_detector
from beamstop.pixels.frames import open_frames
from beamstop.text.detector import TextDetector, TextPolicy
from beamstop.text.hiding import search_and_hide
from beamstop.text.judge import TextJudge

Grey = NDArray[np.uint8]

_SIDE, _ACROSS = 360, 3  # pixels of a picture on the sheet, pairs in a row


class Seen(NamedTuple):
    """One frame before and after: how many boxes were hidden, and their part of the picture."""

    name: str
    before: Grey
    after: Grey
    boxes: int
    area: float


def main() -> None:
    """Print one row per file; write the sheet of those in which something was hidden."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--sheet", type=Path, help="PNG to write")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    detector = load_detector()
    print("| file | size | boxes | hidden area | CPU s |\n|---|--:|--:|--:|--:|")
    seen = [one for file in files(given.paths) for one in looked_at(file, detector)]
    print(f"\n{len(seen)} pictures, boxes in {sum(one.boxes > 0 for one in seen)}")
    if given.sheet:
        sheet([one for one in seen if one.boxes]).save(given.sheet)


def files(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield files, and those below folders, each once."""
    for path in paths:
        yield from (file for file in (sorted(path.rglob("*")) if path.is_dir() else [path]) if file.is_file())


def looked_at(file: Path, detector: TextDetector) -> Iterator[Seen]:
    """Yield what was seen in a file, and print it; nothing where there are no pixels to look at."""
    started = time.process_time()
    try:
        dataset = dcmread(file)
        transfer_syntax_of(dataset)
        seen = hidden_in(dataset, file.name, detector)
    except InvalidDicomError:
        return
    except DeidError as error:
        print(f"| {file.name} | quarantined: {error} | | | |", flush=True)
        return
    if seen:
        rows, columns = seen.before.shape
        seconds = time.process_time() - started
        print(
            f"| {seen.name} | {rows}×{columns} | {seen.boxes} | {seen.area:.2%} | {seconds:.2f} |", flush=True
        )
        yield seen


def hidden_in(dataset: Dataset, name: str, detector: TextDetector) -> Seen | None:
    """Hide all text in the first frame, as a run does."""
    frames = open_frames(dataset)
    if frames is None:
        return None
    frame = frames.decode(0)
    values = frame.values().copy()
    search = search_and_hide(frame, TextJudge(TextPolicy(), dataset), detector, "frame 0")
    covered = np.zeros(frame.shape, bool)
    for box, _ in search.hidden:
        covered[box.y : box.y + box.height, box.x : box.x + box.width] = True
    window = np.nanpercentile(values, (0.5, 99.5))
    before, after = (grey(plane, window, frame.photometric) for plane in (values, frame.values()))
    return Seen(name, before, after, len(search.hidden), float(covered.mean()))


def grey(values: NDArray[Any], window: NDArray[Any], photometric: str) -> Grey:
    """Return 8 bits in a window: luminance of YBR, the mean of RGB, MONOCHROME1 inverted."""
    plane = np.nan_to_num(values.astype(np.float64))
    if plane.ndim == 3:
        plane = plane[..., 0] if photometric.startswith("YBR") else plane.mean(axis=-1)
    low, high = window
    shown: Grey = (np.clip((plane - low) / max(high - low, 1e-9), 0, 1) * 255).astype(np.uint8)
    return 255 - shown if photometric == "MONOCHROME1" else shown


def sheet(seen: list[Seen]) -> Image.Image:
    """Return the pairs in rows, with the names of their files."""
    wide, high = 2 * _SIDE + 12, _SIDE + 20
    canvas = Image.new("L", (_ACROSS * wide, max(-(-len(seen) // _ACROSS), 1) * high), 60)
    for number, one in enumerate(seen):
        x, y = number % _ACROSS * wide, number // _ACROSS * high
        ImageDraw.Draw(canvas).text((x, y + 2), f"{one.name}: {one.boxes}", fill=255)
        for part, picture in enumerate((one.before, one.after)):
            small = Image.fromarray(picture)
            small.thumbnail((_SIDE, _SIDE))
            canvas.paste(small, (x + part * _SIDE, y + 18))
    return canvas


if __name__ == "__main__":
    main()
