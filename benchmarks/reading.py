"""Lines of text, read: letter by letter, with case and accents folded, and CPU milliseconds a line.

    python benchmarks/reading.py [--seed 2029] [--times 2] [--recognizers ppocr easyocr] [--cjk FONT]
        [--wrong]

Names, numbers and device lines in nine languages, 9 to 34 pixels high, bright and dark, on noise, blurred now
and then, in boxes that are a little too large or too small. Chinese and Japanese need a font that has them.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from pictures import FACES, FONTS, REPORTING_SEED
from PIL import Image, ImageDraw, ImageFont

from beamstop.ocr import load_detector
from beamstop.pixels.renditions import Picture, local_contrast
from beamstop.text.boxes import TextBox
from beamstop.text.detector import TextDetector
from beamstop.words.vocabulary import fold

_SIZES = (9, 11, 13, 16, 20, 26, 34)
LINES = {
    "names, en": "HARGREAVES, DOLORES|PENHALIGON^RUTH|Whitcombe|Tamsin Aldridge|BLACKWOOD J|Oswin Thackeray",
    "names, fr": "François Lefèvre|BÉRÉNICE DÛMONT|Noël|Gérôme|Châtelain, Zoé|Benoît|LEFÈVRE|Hélène",
    "names, de": "Müller-Lüdenscheidt|JÄGER, KÄTHE|Groß, Jörg|Schröder|Böttcher, Günther|Weiß|Süßmilch",
    "names, es": "García Núñez, Íñigo|MUÑOZ|Peña|Ibáñez, José|Begoña Zúñiga|GÜELL, MARÍA|Ordóñez|Martínez",
    "names, it": "Niccolò D'Amico|Bartolomè|Cantù|Donà, Eléna|Scardapàne|Fusarò|Libertà|Nicolò",
    "names, pt": "João Conceição|SIMÕES|Magalhães|Assunção|Guimarães, Inês|Falcão|Brandão|Antónia",
    "names, pl": "Łukasz Wiśniewski|ŻÓŁTOWSKA|Kędzierska|Świątek|Grażyna Dąbrowska|Michał|Jędrzejczyk|Ćwikła",
    "names, cs": "Dvořák|NOVÁKOVÁ|Jiří Růžička|Čapek|Věra Šimková|Žižka|Kateřina|Hůlka",
    "names, sv": "Åsa Björklund|ÖSTERGÅRD|Sjöström|Håkansson|Bjørn Ødegård|Kjærsgaard|Mårten|Sørensen",
    "names, el": "ΠΑΠΑΔΟΠΟΥΛΟΣ|Νίκος Γεωργίου|ΕΛΕΝΗ|Δημητρίου",
    "names, ru": "Смирнова|ИВАНОВ ПЁТР|Наталья|КУЗНЕЦОВ",
    "numbers": "TQ-771204|4711-0815|MRN 00923881|23.06.1948|1948-06-23|14.09.2021 08:42|PID 77-31-90|"
    "A123456789|01632 960331|03/12/1956|ID: 88412|S21-40933|12-MAR-1956|07:45:12",
    "device lines, en": "PSV 84.2 cm/s|EDV 21.7 cm/s|RI 0.74|PRF 5000 Hz|65 dB|120 kV|250 mA|Depth 12.4 cm|"
    "MI 1.2 TIS 0.4|Gain 48%|FR 32 Hz|Slice 3.0 mm|W 350 L 40|FOV 240 mm|TR 4500 TE 90|5.0 MHz|Persist Low|"
    "C5-1 Abd|Frame 12/64|kVp 28 mAs 63|Compression 98 N|AGD 1.42 mGy|HR 72 bpm",
    "device lines, other": "Tiefe 12,4 cm|Schichtdicke 3,0 mm|Verstärkung 48%|Profondeur 12,4 cm|"
    "Épaisseur 3,0 mm|Fréquence 5,0 MHz|Profundidad 12,4 cm|Ganancia 48%|Profondità 12,4 cm|Spessore 3,0 mm|"
    "Frequência 5 MHz|Głębokość 12,4 cm|Grubość 3,0 mm|Tloušťka 3,0 mm|Zesílení 48 dB|Djup 12,4 cm|"
    "Förstärkning 48 dB",
    "markers": "R|L|AP|PA|LAT|CC|MLO|RCC|LCC|RMLO|LMLO|ERECT|SUPINE",
}
CJK = {
    "names, ja": "山田太郎|鈴木花子|高橋|渡辺美咲|さくら病院",
    "names, zh": "王小明|李秀英|张伟|陈静|欧阳娜",
}


class Line(NamedTuple):
    """A line, and where it stands in its picture."""

    text: str
    picture: Picture
    box: TextBox


def lines(texts: str, seed: int, times: int, faces: tuple[Path, ...]) -> Iterator[Line]:
    """Yield each text so many times, each time drawn otherwise."""
    for number, text in enumerate(texts.split("|")):
        for again in range(times):
            random = np.random.default_rng([seed, number, again])
            font = ImageFont.truetype(str(random.choice(faces)), int(random.choice(_SIZES)))
            yield _drawn(random, text, font)


def _drawn(random: np.random.Generator, text: str, font: ImageFont.FreeTypeFont) -> Line:
    left, top, right, bottom = map(int, font.getbbox(text))
    canvas = Image.new("L", (right - left + 160, bottom - top + 120))
    ImageDraw.Draw(canvas).text((80 - left, 60 - top), text, fill=255, font=font)
    ink = np.asarray(canvas) / 255 * random.choice([50, 90, 140])
    is_dark = random.random() < 0.25
    ground = 180 if is_dark else 60
    plane = ground + (-ink if is_dark else ink) + random.normal(0, random.choice([0.5, 2, 5]), ink.shape)
    if random.random() < 0.3:
        plane = cv2.GaussianBlur(plane, None, random.uniform(0.4, 1.0))
    picture = local_contrast(np.clip(plane, 0, 255).astype(np.uint8).astype(np.float32))
    more = random.integers(-1, 4, 4)
    box = TextBox(80, 60, right - left, bottom - top)
    return Line(
        text, picture, box.between(80 - more[0], 60 - more[1], box.right + more[2], box.bottom + more[3])
    )


def measure(detector: TextDetector, some: list[Line], say: bool) -> tuple[int, int, float]:
    """Return how many lines are read, letter by letter and folded, and CPU milliseconds a line."""
    exact = alike = 0
    started = time.process_time()
    readings = [detector.read(line.picture, [line.box])[0] for line in some]
    spent = time.process_time() - started
    for line, reading in zip(some, readings, strict=True):
        text, wanted = (reading.text or "").replace(" ", ""), line.text.replace(" ", "")
        exact += text == wanted
        alike += fold(text) == fold(wanted)
        if say and fold(text) != fold(wanted):
            print(f"{line.text!r} {reading.text!r} {reading.confidence or 0:.2f}")
    return exact, alike, 1000 * spent / len(some)


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seed", type=int, default=REPORTING_SEED)
    parser.add_argument("--times", type=int, default=2, help="that each line is drawn")
    parser.add_argument(
        "--recognizers", nargs="+", choices=["ppocr", "easyocr"], default=["ppocr", "easyocr"]
    )
    parser.add_argument("--cjk", type=Path, help="a font that has Chinese and Japanese")
    parser.add_argument("--wrong", action="store_true", help="show what is read wrongly")
    given = parser.parse_args()
    faces = tuple(FONTS / face for face in FACES)
    drawn = {name: list(lines(texts, given.seed, given.times, faces)) for name, texts in LINES.items()}
    if given.cjk:
        drawn |= {name: list(lines(it, given.seed, given.times, (given.cjk,))) for name, it in CJK.items()}
    table: dict[str, list[str]] = defaultdict(list)
    for recognizer in given.recognizers:
        detector = load_detector(("en",), recognizer)
        detector.read(drawn["numbers"][0].picture, [drawn["numbers"][0].box])  # loads the network
        for name, some in drawn.items():
            exact, alike, spent = measure(detector, some, given.wrong)
            table[name].append(f"{exact}, {alike} of {len(some)} | {spent:.0f}")
    print("| | " + " | ".join(f"{name}: exact, folded | ms" for name in given.recognizers) + " |")
    print("|---" * (1 + 2 * len(given.recognizers)) + "|")
    for name, cells in table.items():
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
