"""Renderings of heads on the page for reviewing: what whoever has the clean archive can draw."""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lxml import html
from PIL import Image
from pydicom.dataset import FileDataset

from beamstop.testing import as_bytes, make_image
from beamstop_pipeline.cli import main
from beamstop_pipeline.report.heads import VIEWS, render

pytest.importorskip("scipy")
SIZE, STEP = 48, 4.0  # pixels, mm
MIDDLE = SIZE * STEP / 2


def phantom() -> list[FileDataset]:
    """Return slices of a ball with a nose on its front, of CT: air is −1000 HU, all else 0."""
    z, y, x = (np.indices((SIZE, SIZE, SIZE)) - (SIZE - 1) / 2) * STEP
    ball = x**2 + y**2 + z**2 < 70**2
    nose = (np.abs(x) < 10) & (np.abs(z) < 10) & (y < 0) & (y > -90)
    values = np.where(ball | nose, 1024, 24).astype(np.uint16)
    header: dict[str, Any] = {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2",
        "Modality": "CT",
        "PatientID": "R-1001",
        "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": "1.2.3.4",
        "FrameOfReferenceUID": "1.2.3.5",
        "BodyPartExamined": "HEAD",
        "PixelSpacing": [STEP, STEP],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "RescaleSlope": 1,
        "RescaleIntercept": -1024,
    }
    return [
        make_image(
            plane, SOPInstanceUID=f"1.2.3.4.{number}", ImagePositionPatient=[0, 0, number * STEP], **header
        )
        for number, plane in enumerate(values)
    ]


def test_a_nose_stands_out_to_the_left_of_who_looks_from_the_left() -> None:
    views = render(phantom(), "CT")
    assert list(views) == list(VIEWS)
    seen = [np.flatnonzero(view[view.shape[0] // 2]) / view.shape[1] for view in views.values()]
    front, _, left = ((it.min(), it.max()) for it in seen)
    assert front[0] == pytest.approx(1 - front[1], abs=0.02)
    assert left[0] + 0.08 < 1 - left[1]


def test_what_makes_no_volume_is_not_drawn() -> None:
    assert render(phantom()[:2], "CT") == {}


def test_a_page_for_reviewing_shows_heads_of_the_clean_archive(
    tmp_path: Path, key_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number, dataset in enumerate(phantom()):
        (folder / f"{number}.dcm").write_bytes(as_bytes(dataset))
    places = ["--output", str(tmp_path / "out"), "--audit", str(tmp_path / "audit")]
    run = ["run", "--input", str(folder), *places, "--key", str(key_file), "--recipe", "basic", "--quiet"]
    assert main([*run, "--workers", "1"]) == 0
    review = ["--review", str(tmp_path / "out"), "--sample", "2", "-o", str(tmp_path / "r.html")]
    assert main(["report", str(tmp_path / "audit"), *review]) == 0
    page = html.document_fromstring((tmp_path / "r-review.html").read_text())
    (figure,) = page.xpath("//section[@class='heads']/figure")
    assert figure.findtext("figcaption") == "CT, 48 files: a face may show, and was left"
    for image in figure.xpath("img/@src"):
        drawn = Image.open(io.BytesIO(base64.b64decode(image.removeprefix("data:image/webp;base64,"))))
        assert drawn.convert("L").getextrema()[1] > 200
    assert len(figure.xpath("img")) == 3
