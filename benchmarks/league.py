"""A league table: de-identifiers on one archive with an answer key, header, free text and pixels.

    python benchmarks/league.py [--seed 20261] [--tools …]

Every tool gets each file alone, as bytes, and gives bytes back. Tools that are not installed are named
and left out (`league_tools`). The column on conformance needs dciodvfy (Debian: dicom3tools).
"""

import argparse
import logging
import os
import re
import shutil
import subprocess
import tempfile
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import numpy as np
from attributes import machine
from league_archive import LEAGUE_SEED, Instance, build
from league_tools import Tool, tools
from pydicom import Dataset, dcmread
from pydicom.pixels import pixel_array

QUESTIONS = (
    "identifiers gone",
    "elements kept",
    "words kept",
    "UIDs",
    "patients",
    "intervals",
    "references",
    "safe private",
)
PIXELS = ("words hidden", "clean pixels")
_STILL_SEEN = 0.1  # of a word's contrast


@dataclass
class Score:
    """What one tool got right, by question; `asked` is the same for every tool."""

    right: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    files: int = 0
    errors: int = 0
    seconds: float = 0.0

    def note(self, question: str, is_right: bool) -> None:
        """Count one answer."""
        self.asked[question] += 1
        self.right[question] += bool(is_right)

    def wrong(self, question: str) -> int:
        """Return how many answers were wrong."""
        return self.asked[question] - self.right[question]

    def share(self, *questions: str) -> str:
        """Return right answers of all that were asked, in percent."""
        asked = sum(self.asked[question] for question in questions)
        return f"{100 * sum(self.right[question] for question in questions) / asked:.1f}" if asked else "–"


def judge(instance: Instance, clean: bytes | None, score: Score) -> Dataset | None:
    """Score what one file alone can tell; a file that a tool refuses leaks nothing and keeps nothing."""
    lowered = (clean or b"").lower()
    for needle in instance.needles:
        score.note("identifiers gone", needle.lower().encode() not in lowered)
    dataset = None
    if clean is not None:
        with suppress(Exception):  # a tool may give back anything
            dataset = dcmread(BytesIO(clean), force=True)
    for path, value in instance.values:
        score.note("elements kept", _at(dataset, path) == value)
    for path, word in instance.words:
        score.note("words kept", word in _words(_at(dataset, path)))
    creator, group, element, value = instance.private
    score.note("safe private", _private(dataset, creator, group, element) == value)
    if instance.picture is not None:
        _judge_pixels(instance, dataset, score)
    return dataset


def _words(text: object) -> set[str]:
    """Return the words of a text, with and without the punctuation around them."""
    found = re.split(r"[\s^]+", str(text or ""))
    return {*found, *(word.strip(",.;:!?") for word in found)}


def _at(dataset: Dataset | None, path: tuple[str | int, ...]) -> Any:
    found: Any = dataset
    with suppress(Exception):
        for step in path:
            found = found[step] if isinstance(step, int) else getattr(found, step)
        return found
    return None


def _private(dataset: Dataset | None, creator: str, group: int, element: int) -> Any:
    with suppress(Exception):
        if dataset is not None:
            return dataset.private_block(group, creator)[element].value
    return None


def _judge_pixels(instance: Instance, dataset: Dataset | None, score: Score) -> None:
    picture = instance.picture
    if picture is None:
        return
    words = [word for word in picture.words if word.kind != "marker"]
    if not words:
        before = instance.dataset.PixelData
        score.note("clean pixels", dataset is not None and dataset.get("PixelData") == before)
        return
    after = None
    with suppress(Exception):
        if dataset is not None:
            after = pixel_array(dataset, raw=True)
    for word in words:
        rows, columns = word.glyphs.shape
        part = np.s_[word.top : word.top + rows, word.left : word.left + columns]
        seen = (
            1.0
            if after is None
            else _contrast(after[part], word.glyphs) / max(_contrast(picture.values[part], word.glyphs), 1e-6)
        )
        score.note("words hidden", seen < _STILL_SEEN)


def _contrast(values: Any, glyphs: Any) -> float:
    """Return how far letters stand out from what is between them."""
    grey = values.astype(float)
    grey = grey.mean(axis=-1) if grey.ndim == 3 else grey
    if glyphs.all():
        return 0.0
    return abs(float(grey[glyphs].mean() - grey[~glyphs].mean()))


def judge_together(archive: list[Instance], cleaned: list[Dataset | None], score: Score) -> None:
    """Score what only the whole archive can tell: UIDs, patients, intervals, references."""
    given: dict[str, set[str]] = defaultdict(set)
    ids: dict[str, set[str]] = defaultdict(set)
    days: dict[str, set[tuple[str, str]]] = defaultdict(set)
    pairs = [(instance, clean) for instance, clean in zip(archive, cleaned, strict=True) if clean is not None]
    for instance, clean in pairs:
        before = instance.dataset
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
            given[str(before[keyword].value)].add(str(_at(clean, (keyword,)) or ""))
        ids[instance.person.patient_id].add(str(_at(clean, ("PatientID",)) or ""))
        days[instance.person.patient_id].add((str(before.StudyDate), str(_at(clean, ("StudyDate",)) or "")))
    owners = Counter(new for news in given.values() for new in news)
    for old, news in given.items():
        (new, *more) = sorted(news)
        score.note("UIDs", not more and new not in ("", old) and owners[new] == 1 and _is_uid(new))
    holders = Counter(new for news in ids.values() for new in news)
    for old, news in ids.items():
        (new, *more) = sorted(news)
        score.note("patients", not more and new not in ("", old) and holders[new] == 1)
    for dates in days.values():
        score.note("intervals", _is_shifted(sorted(dates)))
    for instance, clean in pairs:
        for path in instance.references:
            target = str(_at(instance.dataset, path))
            new = given[target]
            score.note("references", new == {str(_at(clean, path))} and new != {target})


def _is_uid(text: str) -> bool:
    return len(text) <= 64 and re.fullmatch(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))+", text) is not None


def _is_shifted(dates: list[tuple[str, str]]) -> bool:
    """Return whether all dates of a patient moved by one distance, and not by none."""
    try:
        moved = {np.datetime64(_iso(new)) - np.datetime64(_iso(old)) for old, new in dates}
    except ValueError:
        return False
    return len(moved) == 1 and moved != {np.timedelta64(0, "D")}


def _iso(date: str) -> str:
    return f"{date[:4]}-{date[4:6]}-{date[6:8]}"


def measure(tool: Tool, archive: list[Instance]) -> Score:
    """Run a tool over the archive and score it."""
    score = Score(files=len(archive))
    started = cpu_seconds()
    results = tool([instance.data for instance in archive])
    score.seconds = cpu_seconds() - started
    cleaned = []
    for instance, clean in zip(archive, results, strict=True):
        score.refused += clean is None
        cleaned.append(judge(instance, clean, score))
        score.errors += clean is not None and bool(_errors(clean) - _errors(instance.data))
    judge_together(archive, cleaned, score)
    return score


def cpu_seconds() -> float:
    """Return CPU time of this process and of the commands that it waited for."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def _errors(data: bytes) -> Counter[str]:
    """Return dciodvfy's errors without values; nothing where it is not installed."""
    dciodvfy = shutil.which("dciodvfy")
    if dciodvfy is None:
        return Counter()
    with tempfile.NamedTemporaryFile(suffix=".dcm") as file:
        file.write(data)
        file.flush()
        said = subprocess.run(
            [dciodvfy, file.name], capture_output=True, check=False, text=True, errors="replace"
        ).stderr
    lines = (line for line in said.splitlines() if line.startswith("Error"))
    return Counter(re.sub(r"(?<!Element=)(?<!Module=)<[^>]*>|\d+(\.\d+)+|\b0$", "", line) for line in lines)


COLUMNS: tuple[tuple[str, Callable[[Score], str]], ...] = (
    ("all actions right, %", lambda score: score.share(*QUESTIONS)),
    (
        "identifiers left",
        lambda score: f"{score.wrong('identifiers gone')} of {score.asked['identifiers gone']}",
    ),
    *(
        (f"{question}, %", lambda score, question=question: score.share(question))
        for question in QUESTIONS[1:]
    ),
    *((f"{question}, %", lambda score, question=question: score.share(question)) for question in PIXELS),
    ("new conformance errors", lambda score: f"{score.errors} of {score.files - score.refused}"),
    ("refused", lambda score: str(score.refused)),
    (
        "files per CPU second",
        lambda score: f"{score.files / score.seconds:.1f}" if score.seconds > 0.05 else "–",
    ),
)


def main() -> None:
    """Build the archive, run every tool, print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seed", type=int, default=LEAGUE_SEED)
    parser.add_argument("--tools", nargs="+", help="only these; their names as in the table")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    archive = list(build(given.seed))
    people = {instance.person for instance in archive}
    print(f"{len(archive)} files of {len(people)} people, seed {given.seed}; {machine()}\n")
    print("| | " + " | ".join(name for name, _ in COLUMNS) + " |")
    print("|---" + "|--:" * len(COLUMNS) + "|")
    for name, make in tools():
        if not given.tools or name in given.tools:
            score = measure(make(), archive)
            print(f"| {name} | " + " | ".join(show(score) for _, show in COLUMNS) + " |", flush=True)


if __name__ == "__main__":
    main()
