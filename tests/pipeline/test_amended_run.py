"""From one run to the next: what a reviewer says of clean pictures is done by the next run."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lxml import html
from pydicom import dcmread
from pydicom.uid import UltrasoundImageStorage
from tests.core.pixel_fixtures import BLOCK, HIDDEN, with_block

from beamstop.ocr import load_detector
from beamstop.ocr.detector import Prepared
from beamstop.testing import BlockDetector, make_image
from beamstop.text.boxes import TextBox
from beamstop_pipeline.cli import main

MISSED = (slice(60, 70), slice(10, 40))
BLACK = 10  # what is darkest in the picture


class HalfBlindDetector(BlockDetector):
    """Sees blocks in the upper half of a picture alone."""

    def find(self, picture: Any) -> list[TextBox]:
        return [box for box in super().find(picture) if box.y < 40]


@pytest.fixture
def scanned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[np.ndarray[Any, Any]]:
    """Store a picture with a word that the detector sees and one that it misses; return its pixels."""
    monkeypatch.setattr("beamstop.ocr.detector.prepare", lambda *reading: Prepared((), ()))
    detector = HalfBlindDetector(["LIVER"])
    monkeypatch.setattr("beamstop.ocr.detector.make_detector", lambda languages, recognizer: detector)
    load_detector.cache_clear()
    pixels = with_block(250).astype("u1")
    pixels[MISSED] = 250
    header = {"Modality": "US", "Manufacturer": "O'Hara & Sons", "PatientName": "Roe^Jane", "PatientID": "R1"}
    dataset = make_image(pixels, SOPClassUID=UltrasoundImageStorage, **header)
    (tmp_path / "archive").mkdir()
    dataset.save_as(tmp_path / "archive" / "1.dcm", enforce_file_format=True)
    yield pixels
    load_detector.cache_clear()


def clean_pixels(ran: Any) -> np.ndarray[Any, Any]:
    (path,) = ran.output.rglob("*.dcm")
    return dcmread(path).pixel_array


def verdicts_of(page: Path, missed: list[dict[str, int]], words: list[str]) -> str:
    """Return the file that the page lets a reviewer download who says this of its first picture."""
    document = html.document_fromstring(page.read_text())
    first = document.xpath("//article")[0]
    about = {"sop_instance_uid": first.get("data-uid"), "when": json.loads(first.get("data-when"))}
    verdict = {**about, "verdict": "missed_text", "boxes": missed, "words": words}
    return json.dumps({**json.loads(document.body.get("data-said")), "verdicts": [verdict]})


def test_the_next_run_fills_what_was_missed_and_spares_what_was_hidden_needlessly(
    run: Any, scanned: np.ndarray[Any, Any], tmp_path: Path
) -> None:
    first = run(tmp_path / "archive", recipe="default")
    before = clean_pixels(first)
    assert (before[HIDDEN] == BLACK).all()
    assert (before[MISSED] == scanned[MISSED]).all()

    places = ["-o", str(tmp_path / "r.html"), "--review", str(first.output)]
    assert main(["report", str(first.audit), *places]) == 0
    said = verdicts_of(
        tmp_path / "r-review.html", [{"frame": 0, "x": 10, "y": 60, "width": 30, "height": 10}], ["LIVER"]
    )
    (tmp_path / "verdicts.json").write_text(said)
    ours = tmp_path / "ours.yaml"
    assert main(["recipe", "amend", "default", str(tmp_path / "verdicts.json"), "-o", str(ours)]) == 0

    second = run(tmp_path / "archive", recipe=str(ours))
    after = clean_pixels(second)
    assert (after[MISSED] == BLACK).all()
    assert (after[BLOCK] == scanned[BLOCK]).all()
    whys = sorted(row["why"] for row in second.table("changes") if row["why"])
    assert whys == ["authorized_word", "region"]
    assert second.record["recipe"]["text"]["regions"] == 1
