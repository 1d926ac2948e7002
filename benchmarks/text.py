"""Text hiding, measured: words leaked and hidden, area hidden wrongly, pictures touched, CPU seconds.

    python benchmarks/text.py [--seed 1987] [--engines beamstop easyocr tesseract] [--only CT MR] [--scale 1]
        [--hard film teeth ...] [--sheet sheet.png]

One thread, one process. Tesseract is left out where it is not installed (Debian: tesseract-ocr).
Boxes of all engines are padded alike; looking again is left out.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from hard_pictures import KINDS, draw_hard
from numpy.typing import NDArray
from pictures import REPORTING_SEED, Picture, draw
from PIL import Image
from text_files import Seen, sheet

from beamstop.pixels.frames import open_frames
from beamstop.text.boxes import TextBox, believed, within
from beamstop.text.codes import find_codes

# Modality → pictures with text, and without.
COUNTS = {"CT": (8, 4), "MR": (8, 4), "US": (6, 3), "SC": (6, 3), "CR": (2, 1), "DX": (2, 1), "MG": (3, 1)}
HARD_COUNT = 3
LEAKED, HIDDEN = 0.5, 0.95  # of the glyphs covered: less than that, at least that
_BESIDE = 16  # pixels around words that may be covered, too: padding, and the space between lines

Mask = NDArray[np.bool_]
Engine = Callable[[Picture], list[TextBox]]


@dataclass
class Tally:
    """What came of the pictures of one modality."""

    words: int = 0
    leaked: list[int] = field(default_factory=list)  # per picture
    counts: list[int] = field(default_factory=list)
    hidden: int = 0
    wrong: list[float] = field(default_factory=list)
    blank: int = 0
    touched: int = 0
    seconds: list[float] = field(default_factory=list)

    def add(self, picture: Picture, boxes: list[TextBox], seconds: float) -> None:
        """Count one picture; markers may go or stay."""
        mask = _mask(picture, boxes)
        covered = [word.covered(mask) for word in picture.words if word.kind != "marker"]
        self.words += len(covered)
        self.counts.append(len(covered))
        self.leaked.append(sum(share < LEAKED for share in covered))
        self.hidden += sum(share >= HIDDEN for share in covered)
        self.wrong.append(float((mask & ~_around_words(picture)).mean()))
        self.seconds.append(seconds)
        if not covered:  # at most a marker, which may go
            self.blank += 1
            self.touched += self.wrong[-1] > 0


def beamstop_engine() -> Engine:
    """Return beamstop's detector on its own renditions."""
    from beamstop.ocr import load_detector

    detector = load_detector()

    def find(picture: Picture) -> list[TextBox]:
        frames = open_frames(picture.dataset())
        if frames is None:
            return []
        frame = frames.decode(0)
        rows, columns = picture.values.shape[:2]
        found = [box for grey in frame.pictures() for box in detector.find(grey)]
        if any(word.kind == "code" for word in picture.words):
            boxes = (code.box for code in find_codes(frame.planes()))
            found += [TextBox(box.x, box.y, box.width, box.height) for box in boxes]
        return believed(within(found, rows, columns), np.zeros((rows, columns), bool))

    return find


def easyocr_engine() -> Engine:
    """Return EasyOCR's `readtext` as it comes, on 8 bits between two percentiles."""
    import easyocr
    import torch

    from beamstop.ocr.weights import CRAFT, installed

    torch.set_num_threads(1)
    craft = installed(CRAFT)
    if craft is None:
        sys.exit("EasyOCR's weights are not installed: make setup")
    reader: Any = easyocr.Reader(
        ["en"], gpu=False, verbose=False, download_enabled=False, model_storage_directory=str(craft.parent)
    )

    def find(picture: Picture) -> list[TextBox]:
        quads = (np.array(quad) for quad, _, _ in reader.readtext(picture.grey()))
        return [
            TextBox(*(int(v) for v in quad.min(axis=0)), *(int(v) for v in np.ptp(quad, axis=0)))
            for quad in quads
        ]

    return find


def tesseract_engine() -> Engine:
    """Return Tesseract's command as it comes, on the same 8 bits."""

    def find(picture: Picture) -> list[TextBox]:
        with tempfile.NamedTemporaryFile(suffix=".png") as file:
            Image.fromarray(picture.grey()).save(file, "PNG")
            file.flush()
            table = subprocess.run(
                ["tesseract", file.name, "stdout", "tsv"],
                env={**os.environ, "OMP_THREAD_LIMIT": "1"},
                capture_output=True,
                check=True,
                text=True,
            ).stdout
        words = [line.split("\t") for line in table.splitlines()[1:]]
        return [TextBox(*map(int, word[6:10])) for word in words if word[0] == "5" and word[11].strip()]

    return find


ENGINES = {"beamstop": beamstop_engine, "easyocr": easyocr_engine, "tesseract": tesseract_engine}


def cpu_seconds() -> float:
    """Return CPU time of this process and of the commands that it waited for."""
    used = os.times()
    return time.process_time() + used.children_user + used.children_system


def _mask(picture: Picture, boxes: list[TextBox]) -> Mask:
    rows, columns = picture.values.shape[:2]
    mask = np.zeros((rows, columns), bool)
    for box in (box.padded(rows, columns) for box in boxes):
        mask[box.y : box.y + box.height, box.x : box.x + box.width] = True
    return mask


def _around_words(picture: Picture) -> Mask:
    mask = np.zeros(picture.values.shape[:2], bool)
    for word in picture.words:
        rows, columns = word.glyphs.shape
        top, left = max(word.top - _BESIDE, 0), max(word.left - _BESIDE, 0)
        mask[top : word.top + rows + _BESIDE, left : word.left + columns + _BESIDE] = True
    return mask


def interval(tally: Tally, draws: int = 2000) -> tuple[float, float]:
    """Return the 95 % interval of the share of leaked words, by drawing pictures anew."""
    random = np.random.default_rng(0)
    leaked, counts = np.array(tally.leaked), np.array(tally.counts)
    picks = random.integers(len(leaked), size=(draws, len(leaked)))
    shares = leaked[picks].sum(axis=1) / np.maximum(counts[picks].sum(axis=1), 1)
    low, high = np.percentile(shares, (2.5, 97.5))
    return float(low), float(high)


def together(tallies: list[Tally]) -> Tally:
    """Return all modalities as one."""
    every = Tally()
    for tally in tallies:
        every.words += tally.words
        every.hidden += tally.hidden
        every.blank += tally.blank
        every.touched += tally.touched
        every.leaked += tally.leaked
        every.counts += tally.counts
        every.wrong += tally.wrong
        every.seconds += tally.seconds
    return every


def row(name: str, tally: Tally) -> str:
    """Return a row of the table."""
    low, high = interval(tally)
    return (
        f"| {name} | {sum(tally.leaked)}/{tally.words} ({100 * low:.1f}-{100 * high:.1f} %) "
        f"| {100 * tally.hidden / max(tally.words, 1):.1f} % | {100 * np.mean(tally.wrong):.2f} % "
        f"| {tally.touched}/{tally.blank} | {np.mean(tally.seconds):.2f} |"
    )


def main() -> None:
    """Measure and print one table per engine."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seed", type=int, default=REPORTING_SEED)
    parser.add_argument("--engines", nargs="+", choices=sorted(ENGINES), default=list(ENGINES))
    parser.add_argument("--only", nargs="+", choices=list(COUNTS), default=list(COUNTS), help="modalities")
    parser.add_argument("--hard", nargs="+", choices=list(KINDS), help="kinds of hard pictures, instead")
    parser.add_argument("--scale", type=int, default=1, help="so many times the pictures")
    parser.add_argument("--sheet", type=Path, help="PNG to write: before and after of the first engine")
    given = parser.parse_args()
    seen: list[Seen] = []
    for name in given.engines:
        if name == "tesseract" and not shutil.which("tesseract"):
            print("\ntesseract is not installed")
            continue
        find = ENGINES[name]()
        print(f"\n{name}, seed {given.seed}\n")
        print("| | words leaked (95 %) | hidden | wrong area | text-free touched | CPU s a picture |")
        print("|---|--:|--:|--:|--:|--:|")
        tallies: list[Tally] = []
        for kind, drawn in _drawn(given):
            tallies.append(Tally())
            for picture in drawn:
                started = cpu_seconds()
                boxes = find(picture)
                tallies[-1].add(picture, boxes, cpu_seconds() - started)
                if given.sheet and name == given.engines[0]:
                    seen.append(_shown(picture, boxes))
            print(row(kind, tallies[-1]), flush=True)
        print(row("all", together(tallies)))
        used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        print(f"\npeak {max(usage.ru_maxrss for usage in used) >> 10} MB", flush=True)
    if given.sheet:
        sheet(seen).save(given.sheet)


def _drawn(given: argparse.Namespace) -> Iterator[tuple[str, Iterator[Picture]]]:
    """Yield what each row is about, and its pictures."""
    for name in given.hard or ():
        yield name, draw_hard(given.seed, {name: given.scale * HARD_COUNT})
    for name in given.only if not given.hard else ():
        written, blank = COUNTS[name]
        yield name, draw(given.seed, {name: (given.scale * written, given.scale * blank)})


def _shown(picture: Picture, boxes: list[TextBox]) -> Seen:
    mask, before = _mask(picture, boxes), picture.grey()
    return Seen(picture.name, before, np.where(mask, np.uint8(0), before), len(boxes), float(mask.mean()))


if __name__ == "__main__":
    main()
