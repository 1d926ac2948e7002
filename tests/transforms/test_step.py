"""The edge between Beam and the core, and the steps on it."""

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.testing.util import assert_that, equal_to
from pydicom.dataset import FileDataset

from beamstop import load_recipe
from beamstop.errors import Failed, PixelError, Quarantined, Rejected
from beamstop.text.boxes import TextBox
from beamstop.text.codes import codes_fingerprint
from beamstop.text.hiding import Picture, PixelReport
from beamstop_transforms import Bounce, HideText, Instance, ReadDicom, Source
from beamstop_transforms.step import attempt

SENTINEL = "Zzyzxqua"


class CornerDetector:
    """Sees text where the upper left corner is not black; notes that it was made."""

    fingerprint = "corner 1"

    def find(self, picture: Picture) -> list[TextBox]:
        return [TextBox(0, 0, 4, 4)] if picture[:4, :4].any() else []

    def read(self, picture: Picture, boxes: Sequence[TextBox]) -> list[TextBox]:
        return list(boxes)


def load_corner(log: str, languages: tuple[str, ...]) -> CornerDetector:
    with open(log, "a") as file:
        file.write(",".join(languages) + "\n")
    return CornerDetector()


def raising(error: Exception) -> Callable[[Instance], None]:
    def work(instance: Instance) -> None:
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Rejected("r", "d"), ("rejected", "Raise", "r", "d")),
        (Quarantined("q"), ("quarantined", "Raise", "q", None)),
        (Failed("f"), ("failed", "Raise", "f", None)),
        (PixelError("p", "d"), ("quarantined", "Raise", "p", "d")),
        (ValueError(SENTINEL), ("failed", "Raise", "fault", "ValueError")),
        (MemoryError(SENTINEL), ("failed", "Raise", "too_large", "memory")),
        (RecursionError(SENTINEL), ("failed", "Raise", "fault", "RecursionError")),
    ],
)
def test_what_is_raised_becomes_a_row_of_codes(error: Exception, expected: tuple[str, ...]) -> None:
    row = attempt("Raise", "ms_check", raising(error), Instance(Source("path", 1, ""), "ab"))
    assert row is not None
    assert tuple(row[name] for name in ("outcome", "step", "reason", "detail")) == expected
    assert row["ms_check"] >= 0
    assert SENTINEL not in str(row)


def test_a_row_has_only_codes_of_what_was_read(make_dataset: Callable[..., FileDataset]) -> None:
    dataset = make_dataset(Modality="CT")
    row = Instance(Source(SENTINEL, 1, "v"), "ab", dataset=dataset).row()
    assert row["modality"] == "CT"
    assert row["sop_class_uid"] == "1.2.840.10008.5.1.4.1.1.2"
    dataset.SOPClassUID = "1.2.3.4"
    assert Instance(Source(SENTINEL, 1, "v"), "ab", dataset=dataset).row()["sop_class_uid"] is None
    assert SENTINEL not in str(row)


def test_a_row_says_which_decoders_stood_in_for_the_usual_one() -> None:
    source = Source(SENTINEL, 1, "v")
    assert "detail" not in Instance(source, "ab", pixels=PixelReport()).row()
    row = Instance(source, "ab", pixels=PixelReport(decoders=("charls", "openjpeg"))).row()
    assert row["detail"] == "PixelData: read by charls, openjpeg"


def _modality(instance: Instance) -> str:
    return str(instance.dataset.Modality)


def test_reading_and_bouncing_stand_alone(archive: Path, key_file: Path) -> None:
    (archive / "x").write_bytes(b"x")
    paths = [*archive.rglob("*.dcm"), archive / "x"]
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        sources = pipeline | beam.Create([Source(str(path), path.stat().st_size, "") for path in paths])
        read = sources | ReadDicom(str(key_file))
        bounced = read.instances | Bounce(load_recipe("basic"))
        assert_that(bounced.instances | beam.Map(_modality), equal_to(["CT"] * 3), "instances")
        reasons = read.refused | beam.Map(lambda row: row["reason"])
        assert_that(reasons, equal_to(["not_dicom"]), "refused")


def _with_pixels(dataset: Any) -> FileDataset:
    picture = np.zeros((64, 64), np.uint8)
    picture[:4, :4] = 255
    dataset.Rows = dataset.Columns = 64
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation, dataset.SamplesPerPixel = 7, 0, 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.PixelData = picture.tobytes()
    return dataset  # type: ignore[no-any-return]


def _what_hide_text_did(instance: Instance) -> tuple[str | None, int, bool, str]:
    pixels: Any = instance.pixels
    digest = hashlib.sha256(instance.dataset.PixelData).hexdigest()
    return instance.engine, pixels.text_boxes_hidden, pixels.pixels_changed, digest


def test_text_is_hidden_by_one_finder_per_process(
    tmp_path: Path, key_file: Path, make_dataset: Callable[..., FileDataset]
) -> None:
    for number in range(3):
        dataset = _with_pixels(make_dataset(SOPInstanceUID=f"1.2.{number}"))
        dataset.save_as(tmp_path / f"{number}.dcm", enforce_file_format=True)
    black = hashlib.sha256(bytes(64 * 64)).hexdigest()
    log = tmp_path / "loads"
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        sources = pipeline | beam.Create([Source(str(path), 0, "") for path in tmp_path.glob("*.dcm")])
        read = sources | ReadDicom(str(key_file))
        hidden = read.instances | HideText(load_recipe("default"), partial(load_corner, str(log)))
        did = hidden.instances | beam.Map(_what_hide_text_did)
        assert_that(did, equal_to([(f"corner 1 {codes_fingerprint()}", 1, True, black)] * 3))
    assert log.read_text() == "en\n"


def test_no_finder_is_loaded_for_a_recipe_that_leaves_pixels_alone(
    tmp_path: Path, key_file: Path, archive: Path
) -> None:
    log = tmp_path / "loads"
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        sources = pipeline | beam.Create([Source(str(archive / "1.dcm"), 0, "")])
        read = sources | ReadDicom(str(key_file))
        _ = read.instances | HideText(load_recipe("basic"), partial(load_corner, str(log)))
    assert not log.exists()
