"""`hide: identifying`, measured: device lines kept whole, identifiers and strangers' names left, by modality.

    python benchmarks/identifying.py [--seed 2031] [--pictures 6] [--only US CT] [--recognizer ppocr]
        [--sheet sheet.png] [--lines]

Screens are drawn: columns in the corners in which lines of the device, of the patient and of strangers
stand below each other. A device line is kept if at least 90 % of its letters are as they were. Of a line that
has to go less than half covered is a leak. Looking again is in the CPU time.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pictures import FACES, Picture, Word, burn_line, finished, ground, length
from pydicom.dataset import Dataset
from text_files import Seen, sheet

from beamstop.errors import Quarantined
from beamstop.ocr import load_detector
from beamstop.recipe.load import parse_recipe
from beamstop.steps.hide_text import hide_text
from beamstop.text.detector import TextDetector

TUNING_SEED, REPORTING_SEED = 31, 2031
_RECIPE = parse_recipe("{name: identifying, options: [clean-pixel-data], text: {hide: identifying}}")
_KEPT, _LEAKED, _HIDDEN = 0.9, 0.5, 0.95
_HEIGHTS = {"US": 15, "CT": 14, "MR": 11, "DX": 32, "MG": 34, "SC": 17}  # of letters, pixels
_SAME = 0.03  # of the range: lossless, but for what a colour transform rounds

# As scanners of many makers write them; every other one is drawn with the tuning seed alone.
DEVICE = {
    "US": (
        "PSV 84.2 cm/s|EDV 21.0 cm/s|RI 0.74|PI 1.22|S/D 3.9|TAMV 30.1 cm/s|HR 72 bpm|MI 1.2|TIs 0.4|"
        "TIS 0.5 MI 0.8|Depth 12.4 cm|D 15.0 cm|Gain 48%|Gn 62|FR 32 Hz|FR 25Hz|Frq 7.5 MHz|5.0 MHz|"
        "Dyn R 60 dB|DR 60|65 dB|PRF 5000 Hz|PRF 1.2 kHz|WF 100 Hz|WF Low|SV 2.0 mm|Angle 60°|"
        "Angle 60 deg|Invert|Persist Med|Map F|Map 3|C 60|P Low|2D Gen|Res|THI|Vel 58.4 cm/s|"
        "Max PG 45 mmHg|Dist 4.52 cm|1 Dist 3.27 cm|Area 12.5 cm²|Vol 45.3 ml|BPD 4.52 cm|HC 17.2 cm|"
        "FL 3.21 cm|EF 62 %|LVIDd 4.8 cm|EFW 320 g|LT CCA|RT ICA PROX|RT KIDNEY SAG|LIVER|IVC|TRANS|"
        "Frame 12/64|Zoom 1.5x|Power 100%|0 dB|2.4 m/s|-58.4 cm/s|Tiefe 12,4 cm|Bildrate 32 Hz|"
        "Profondeur 12,4 cm|Fréquence 5,0 MHz|Ganancia 48%|Djup 12,4 cm|C5-1|L12-3|Abd Gen|Carotid|"
        "Thyroid|GA 19w4d|AC 15.1 cm|Focus 4.0 cm|Line Density High|PW 45%|CF 58%|SonoCT|XRES"
    ),
    "CT": (
        "120 kV|210 mA|5.0 mm|W 400 L 40|WW 350 WL 40|KVP 120|mAs 180|kV 120|mA 300|Thk 5.0 mm|SL 5.0|"
        "SP -125.5|Tilt 0.0|GT 0.0|TI 0.5 s|FoV 350 mm|DFOV 36.0 cm|Pitch 0.984|Rot 0.50 s|"
        "CTDIvol 8.42 mGy|DLP 312.5 mGycm|B30f|STANDARD|LUNG|BONE|Matrix 512|512 x 512|Img 45|Im: 45/120|"
        "Se: 3|Zoom 100%|Scout|Topogram|Helical|AXIAL|ABDOMEN C+|R|L|A|P|Contrast 100 ml|Mean 45.2 HU|"
        "SD 12.1|Area 123.4 mm²|10 cm|Schichtdicke 5,0 mm|Épaisseur 3,0 mm|Coupe 12|Kernel B30f|"
        "Table 125.5 mm|Scan 3|HFS|WITHOUT CONTRAST"
    ),
    "MR": (
        "TR 4500|TE 90 ms|TE 85|TI 2200|FA 150|FA 90°|NEX 2|NSA 1.0|ETL 16|BW 130|SL 5.0|SL 5.0 mm|"
        "SP 6.5|FoV 230*230|FoV 220 mm|256*256|320 x 256|W 1200 C 600|T2 TSE|T1 SE|FLAIR|DWI b1000|ADC|"
        "SAG T2|COR STIR|t2_tse_tra|STIR|Matrix 256x256|1.5T|3.0 T|SAR 0.8 W/kg|A|P|Se 4|Im 12|Thk 4 mm|"
        "Gap 1.0 mm|Coil Head|TR 500.0 TE 12.0|Schichtdicke 5,0 mm|SAG|LUMBAR SPINE|AX T1 FS|"
        "Band 150 Hz/Px|PD FS"
    ),
    "DX": (
        "70 kVp|3.2 mAs|EI 1250|DI -0.4|EXI 1820|S 250|L 2.0|REX 1800|DAP 1.2 dGycm²|200 mA|16 ms|"
        "SID 180 cm|AP|PA|LAT|R|L|ERECT|SUPINE|PORTABLE|CHEST PA|GRID|Dose 0.12 mGy|LEFT HAND|R KNEE|"
        "KNIE AP|THORAX PA|STANDING"
    ),
    "MG": (
        "28 kVp|63 mAs|W/Rh|Mo/Rh|Compression 98 N|Comp 12 daN|Thickness 52 mm|52 mm|98 N|AGD 1.42 mGy|"
        "ESE 5.2 mGy|AEC|R CC|L MLO|RCC|LMLO|MLO 45°|Force 110 N|Dose 1.6 mGy|Angle 45°|EI 350|"
        "30 kV 80 mAs"
    ),
    "SC": (
        "75 kV|450 mA|15 fps|LAO 30 CRAN 20|RAO 15|CAUD 10|LAO 30°|FD 20 cm|SID 105 cm|Frame 12/64|Run 3|"
        "DAP 12.3 Gycm²|Time 2.5 s|SUV 4.2|12.3 kBq/ml|600 kcts|Duration 600 s|Mean 45.2|Volume 12.4 cm³|"
        "Ejection Fraction 62 %|Heart Rate 72 bpm|Result|Summary|Measurements|Left Ventricle|Max 15.0"
    ),
}
PEOPLE = (
    ("Hargreaves^Dolores", "TQ-771204", "19480623", "St Aubrey Infirmary", "Thackeray^Oswin", "A8841207"),
    ("Penhaligon^Ruth", "00923881", "19610309", "Wexcombe General Hospital", "Aldridge^Tamsin", "RX-55-1204"),
    ("Böttcher^Günther", "G4471208", "19391102", "Klinikum Thornau", "Süßmilch^Käthe", "20214477"),
    ("Lefèvre^Hélène", "77-31-90", "19750815", "Hôpital Saint-Aubin", "Châtelain^Zoé", "FR901227"),
    ("Świątek^Grażyna", "P8812034", "19690227", "Szpital Dębowy", "Dąbrowski^Michał", "PL-77120"),
    ("Ibáñez^Begoña", "H-20913", "19821230", "Clínica Zúñiga", "Ordóñez^José", "ES4471"),
    ("Brown^Rose", "BR-40771", "19550504", "Marsh Lane Clinic", "Wood^Grant", "MX-11902"),
)
STRANGERS = (
    "K. Lindqvist|Op: M. Obi|Dr. A. Okafor|QUANDT|Haverlandt|Tech: BW|Winifred Larkspur|Wexley|"
    "Nowak J.|R. Thornbury|Sonographer Petronella|Dr Weiss|ROSALVA|Mueller|T. Ashgrove|Bjørn Ødegård|"
    "Zeng Wei|O'Malley|VILLANUEVA|Kowalczyk"
)


@dataclass
class Tally:
    """What came of the lines of one modality."""

    device: int = 0
    kept: int = 0
    own: int = 0
    own_left: int = 0
    own_half: int = 0
    strangers: int = 0
    strangers_left: int = 0
    quarantined: int = 0
    seconds: list[float] = field(default_factory=list)


Lines = list[tuple[str, str, Word]]  # kind, text, place


def screens(seed: int, modality: str, count: int) -> Iterator[tuple[Picture, Dataset, Lines]]:
    """Yield pictures with their headers, and their lines."""
    number = list(DEVICE).index(modality)
    device = [it for i, it in enumerate(DEVICE[modality].split("|")) if i % 2 == (seed == TUNING_SEED)]
    for index in range(count):
        random = np.random.default_rng([seed, number, index])
        plane = ground(random, modality).copy()
        person = PEOPLE[random.integers(len(PEOPLE))]
        wanted = [("own", line) for line in own_lines(random, person)]
        wanted += [("stranger", str(line)) for line in random.choice(STRANGERS.split("|"), 2, replace=False)]
        some = random.choice(device, min(14, len(device)), replace=False)
        wanted += [("device", str(line)) for line in some]
        lines = _written(random, plane, wanted, modality)
        words = [word for *_, word in lines]
        picture = finished(random, modality, f"{modality}-{seed}-{index:03}", plane, words)
        yield picture, header(picture, person), lines


def own_lines(random: np.random.Generator, person: tuple[str, ...]) -> list[str]:
    """Return what a scanner writes of somebody's header, each in one of several ways."""
    name, number, born, place, doctor, accession = person
    family, given = name.split("^")
    year, month, day = born[:4], born[4:6], born[6:]
    ways = (
        (
            f"{family.upper()}, {given}",
            f"{family} {given}",
            f"{family.upper()}^{given.upper()}",
            f"{given} {family}",
        ),
        (number, f"ID: {number}", f"MRN {number}", f"PID {number}"),
        (
            f"{day}.{month}.{year}",
            f"DOB {month}/{day}/{year}",
            f"{year}-{month}-{day}",
            f"*{day}.{month}.{year}",
        ),
        (place, place.upper()),
        ("14.09.2021", "2021-09-14 08:42", "14-SEP-2021", "09/14/2021 08:42:11"),
        (f"Acc {accession}", accession),
        (f"Ref: {doctor.split('^')[0]}", f"Dr. {doctor.split('^')[0]}"),
    )
    return [str(random.choice(way)) for way in ways]


def header(picture: Picture, person: tuple[str, ...]) -> Dataset:
    """Return the picture as an instance of somebody."""
    dataset = picture.dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = person[:3]
    dataset.InstitutionName, dataset.ReferringPhysicianName, dataset.AccessionNumber = person[3:]
    dataset.StudyDate, dataset.StudyTime = "20210914", "084211"
    return dataset


def _written(
    random: np.random.Generator, plane: np.ndarray, wanted: list[tuple[str, str]], modality: str
) -> Lines:
    """Burn lines into columns in the corners, kinds mixed; what does not fit is left out."""
    rows, columns = plane.shape
    height = _HEIGHTS[modality] + int(random.integers(-2, 5))
    face, colour = str(random.choice(FACES)), float(random.uniform(0.75, 1.0))
    step = round(height * random.uniform(1.25, 1.7))
    order = random.permutation(len(wanted))
    corners = np.array_split(order, 4)
    lines: Lines = []
    for corner, chosen in enumerate(corners):
        top = 6 if corner < 2 else rows - 8 - step * len(chosen)
        for place, number in enumerate(chosen):
            kind, text = wanted[number]
            wide = length(text, height, face)
            left = 6 if corner % 2 == 0 else columns - wide - 6
            if wide < columns // 2 - 10 and top + place * step + height * 1.4 < rows:
                word = burn_line(plane, text, top + place * step, left, height, face, colour, kind)
                lines.append((kind, text, word))
    return lines


def examine(
    picture: Picture, dataset: Dataset, lines: Lines, detector: TextDetector, tally: Tally, say: bool
) -> Seen:
    """Hide text in one picture and count its lines."""
    started = time.process_time()
    try:
        changes = hide_text(dataset, _RECIPE, detector).changes
    except Quarantined:  # nothing is written
        changes, dataset.PixelData = [], bytes(len(dataset.PixelData))
        tally.quarantined += 1
    tally.seconds.append(time.process_time() - started)
    stored = np.frombuffer(dataset.PixelData, picture.values.dtype)
    now = stored[: picture.values.size].reshape(picture.values.shape).astype(np.float64)
    before = picture.values.astype(np.float64)
    differs = np.abs(before - now) > _SAME * (1 << picture.bits_stored)
    differs = differs.any(axis=-1) if differs.ndim == 3 else differs
    hidden = differs.copy()
    for it in changes:  # black letters do not differ from the black under which they are
        if it.action == "X" and it.x is not None:
            hidden[it.y : it.y + it.height, it.x : it.x + it.width] = True
    for kind, text, word in lines:
        covered = word.covered(differs if kind == "device" else hidden)
        if kind == "device":
            tally.device += 1
            tally.kept += covered <= 1 - _KEPT
            wrong = covered > 1 - _KEPT
        elif kind == "own":
            tally.own += 1
            tally.own_left += covered < _LEAKED
            tally.own_half += _LEAKED <= covered < _HIDDEN
            wrong = covered < _HIDDEN
        else:
            tally.strangers += 1
            tally.strangers_left += covered < _LEAKED
            wrong = covered < _LEAKED
        if wrong and say:
            top, bottom = word.top + word.height * 0.3, word.top + word.glyphs.shape[0] * 0.8
            right = word.left + word.glyphs.shape[1]
            boxes = [
                f"{it.action} {it.why}"
                for it in changes
                if it.x < right and word.left < it.x + it.width and it.y < bottom and top < it.y + it.height
            ]
            print(f"{picture.name} {kind} {text!r} {covered:.2f} {boxes}")
    shown = picture.grey()
    after = np.where(differs, np.uint8(0), shown)
    return Seen(picture.name, shown, after, len(changes), float(differs.mean()))


def row(name: str, tally: Tally) -> str:
    """Return a row of the table."""
    share = 100 * tally.kept / max(tally.device, 1)
    return (
        f"| {name} | {tally.kept}/{tally.device} ({share:.0f} %) | {tally.own_left}/{tally.own} "
        f"| {tally.own_half} | {tally.strangers_left}/{tally.strangers} | {tally.quarantined} "
        f"| {np.mean(tally.seconds):.2f} |"
    )


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seed", type=int, default=REPORTING_SEED)
    parser.add_argument("--pictures", type=int, default=6, help="of each modality")
    parser.add_argument("--only", nargs="+", choices=list(DEVICE), default=list(DEVICE))
    parser.add_argument("--recognizer", choices=["ppocr", "easyocr"], default="ppocr")
    parser.add_argument("--lines", action="store_true", help="name the lines that came out wrong")
    parser.add_argument("--sheet", type=Path, help="PNG to write: before and after")
    given = parser.parse_args()
    detector = load_detector(("en",), given.recognizer)
    print("| | device lines kept | header's left | half | strangers' left | quarantined | CPU s a picture |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    seen, every = [], Tally()
    for modality in given.only:
        tally = Tally()
        for picture, dataset, lines in screens(given.seed, modality, given.pictures):
            seen.append(examine(picture, dataset, lines, detector, tally, given.lines))
        print(row(modality, tally), flush=True)
        for name, value in vars(tally).items():
            setattr(every, name, getattr(every, name) + value)
    print(row("all", every))
    if given.sheet:
        sheet(seen).save(given.sheet)


if __name__ == "__main__":
    main()
