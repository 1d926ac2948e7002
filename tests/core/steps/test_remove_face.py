"""RemoveFace: what was found is blanked, and nothing else."""

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileDataset
from pydicom.pixels import pixel_array
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, RLELossless
from tests.core.pixel_fixtures import compressed

from beamstop.changes import Change
from beamstop.errors import Quarantined
from beamstop.faces.series import FaceFinding, Verdict
from beamstop.steps.remove_face import FaceReport, remove_face
from beamstop.testing import make_image

ROWS, COLUMNS = 16, 24
MASK = np.zeros((ROWS, COLUMNS), bool)
MASK[3:9, 5:12] = True
MASK[4, 20] = True
PACKED = np.packbits(MASK).tobytes()


def volume(dtype: str = "<u2", **header: object) -> FileDataset:
    """Return an instance of three frames of noise."""
    values = np.random.default_rng(3).integers(100, 200, (3, ROWS, COLUMNS)).astype(dtype)
    return make_image(values, **header)


def finding(*masks: bytes | None, fill: int = 7) -> FaceFinding:
    return FaceFinding(Verdict.REMOVE, masks, fill)


def test_masked_pixels_of_a_frame_get_the_value_and_all_others_keep_theirs() -> None:
    dataset = volume()
    before = pixel_array(dataset)
    report = remove_face(dataset, finding(None, PACKED, None))
    expected = before.copy()
    expected[1][MASK] = 7
    assert np.array_equal(pixel_array(dataset), expected)
    assert report == FaceReport(
        (Change("", "(7FE0,0010)", "OW", "X", "face", frame=1, x=5, y=3, width=16, height=6, why="face"),),
        True,
    )


def test_a_negative_value_is_written_as_it_is_in_signed_pixels() -> None:
    dataset = volume("<i2", BitsStored=12)
    remove_face(dataset, finding(PACKED, None, None, fill=-1000))
    assert pixel_array(dataset)[0][MASK].tolist() == [-1000] * int(MASK.sum())


def test_bits_beside_the_stored_value_stay() -> None:
    values = np.full((1, ROWS, COLUMNS), 0xF123, "<u2")
    dataset = make_image(values, BitsStored=12)
    remove_face(dataset, finding(PACKED, fill=7))
    after = np.frombuffer(dataset.PixelData, "<u2").reshape(ROWS, COLUMNS)
    assert set(after[MASK].tolist()) == {0xF007}
    assert set(after[~MASK].tolist()) == {0xF123}


def test_compressed_frames_that_are_not_touched_keep_their_bytes() -> None:
    dataset = volume()
    streams = compressed(dataset, RLELossless)
    before = pixel_array(dataset)
    remove_face(dataset, finding(None, PACKED, None))
    assert dataset.file_meta.TransferSyntaxUID == RLELossless
    assert streams[0] in dataset.PixelData
    assert streams[2] in dataset.PixelData
    before[1][MASK] = 7
    assert np.array_equal(pixel_array(dataset), before)


def test_lossy_jpeg_is_written_uncompressed_so_that_no_pixel_beside_the_mask_changes() -> None:
    import cv2

    values = np.random.default_rng(3).integers(100, 200, (1, ROWS, COLUMNS)).astype(np.uint8)
    dataset = make_image(values)
    compressed(dataset, JPEGBaseline8Bit, codestreams=[cv2.imencode(".jpg", values[0])[1].tobytes()])
    before = pixel_array(dataset).copy()
    remove_face(dataset, finding(PACKED))
    before[MASK] = 7
    assert np.array_equal(pixel_array(dataset), before)
    assert dataset.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert dataset.LossyImageCompression == "01"


def test_an_icon_goes_with_the_face_and_stated_extremes_stay_true() -> None:
    icon = Dataset()
    dataset = volume(IconImageSequence=[icon])
    dataset.SmallestImagePixelValue = int(pixel_array(dataset).min())
    report = remove_face(dataset, finding(PACKED, PACKED, PACKED))
    assert "IconImageSequence" not in dataset
    assert report.changes[-1] == Change("IconImageSequence", "(0088,0200)", "SQ", "X", "face", why="icon")
    assert dataset.SmallestImagePixelValue == 7


@pytest.mark.parametrize("verdict", [Verdict.NONE, Verdict.LEFT])
def test_without_anything_to_remove_nothing_is_touched(verdict: Verdict) -> None:
    dataset = volume()
    before = dataset.PixelData
    assert remove_face(dataset, FaceFinding(verdict)) == FaceReport()
    assert dataset.PixelData == before


@pytest.mark.parametrize("masks", [(PACKED,), (PACKED[:-1], None, None)])
def test_masks_of_other_pixels_are_refused(masks: tuple[bytes | None, ...]) -> None:
    with pytest.raises(Quarantined) as refused:
        remove_face(volume(), finding(*masks))
    assert refused.value.reason == "pixels_undecodable"
