"""Networks that are not installed: what a run and its report say of them."""

import re
from pathlib import Path

import pytest
from tests.pipeline.audits import a_row, write_run

from beamstop.ocr.detector import Prepared, make_detector
from beamstop.ocr.weights import CRAFT, DBNET, DIGESTS, PP_OCR, find
from beamstop.recipe.load import load_recipe
from beamstop_pipeline.job import check_networks
from beamstop_pipeline.lacking import lacks_of
from beamstop_pipeline.report.figures import read_figures
from beamstop_pipeline.report.page import render_report

SLOW = (
    "the small text detector {} not installed: CRAFT searches every picture, which takes three times "
    "the CPU and finds other boxes"
)
ASCII = (
    "PP-OCR's recogniser {} not installed: english_g2 reads instead, which knows only ASCII "
    "letters and fewer words"
)
REMEDY = "; install beamstop's wheel, or run make networks"


def test_a_run_says_at_its_start_what_is_missing_and_what_that_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    lacks = Prepared(("ru",), (DBNET, PP_OCR))
    monkeypatch.setattr("beamstop.ocr.detector.prepare", lambda *reading: lacks)
    assert check_networks(load_recipe("default"), here=True) == (
        SLOW.format("is") + REMEDY,
        ASCII.format("is") + REMEDY,
        "no weights to read ru: such words are hidden, even authorised ones",
    )
    assert check_networks(load_recipe("default"), here=False) == ()
    assert check_networks(load_recipe("basic"), here=True) == ()


@pytest.mark.ocr
def test_the_fingerprint_tells_what_a_detector_did_without(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = make_detector().fingerprint
    assert lacks_of([whole]) == []
    for module in ("detector", "recognizer"):
        monkeypatch.setattr(
            f"beamstop.ocr.{module}.find",
            lambda name, given=None: None if name in (DBNET, PP_OCR) else find(name, given),
        )
    poor = make_detector().fingerprint
    assert lacks_of([whole, poor]) == [SLOW.format("was"), ASCII.format("was")]


def test_a_report_says_what_the_workers_did_without(tmp_path: Path) -> None:
    craft, doubts = f"craft-{DIGESTS[CRAFT][:12]}", f"doubts-{DIGESTS[PP_OCR][:12]}"
    write_run(tmp_path, "20260101T000000Z-aaa", [a_row("a")], engines=[f"{craft} unproposed {doubts}", "own"])
    page = re.sub(r"\s+", " ", render_report(read_figures(str(tmp_path))))
    assert SLOW.format("was") in page
    assert "english_g2 reads" not in page
