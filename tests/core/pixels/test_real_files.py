"""Real files of many makes: what the audit says was hidden is all that changed, to the bit."""

from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.pixels import pixel_array
from tests.core.pixel_fixtures import hide

from beamstop.dicom.files import encode, read_dicom
from beamstop.pixels.renditions import Picture
from beamstop.testing import NoTextDetector
from beamstop.text.boxes import TextBox
from beamstop.text.detector import TextPolicy

CHROMA = 4  # pixels that enlarged chrominance reaches beyond a block
BUNDLED = {  # name → how far beyond a box a decoder may see another tint
    **dict.fromkeys(
        (
            "CT_small.dcm",
            "ExplVR_BigEnd.dcm",
            "J2K_pixelrep_mismatch.dcm",
            "JPEG2000.dcm",
            "JPEGLSNearLossless_08.dcm",
            "JPEGLSNearLossless_16.dcm",
            "MR_small_RLE.dcm",
            "MR_small_expb.dcm",
            "MR_small_implicit.dcm",
            "MR_small_jp2klossless.dcm",
            "MR_small_jpeg_ls_lossless.dcm",
            "SC_rgb_dcmtk_+eb+cr.dcm",
            "SC_rgb_gdcm_KY.dcm",
            "SC_rgb_jls_lossy_sample.dcm",
            "SC_rgb_jpeg_gdcm.dcm",
            "SC_rgb_rle_16bit_2frame.dcm",
            "SC_rgb_rle_32bit_2frame.dcm",
            "SC_rgb_small_odd.dcm",
            "SC_rgb_small_odd_big_endian.dcm",
            "SC_ybr_full_422_uncompressed.dcm",
            "examples_palette.dcm",
            "image_dfl.dcm",
            "liver_1frame.dcm",
            "liver_expb_1frame.dcm",
            "rtdose_rle.dcm",
        ),
        0,
    ),
    **dict.fromkeys(
        (
            "SC_rgb_dcmtk_+eb+cy+n1.dcm",
            "SC_rgb_dcmtk_+eb+cy+np.dcm",
            "SC_rgb_dcmtk_+eb+cy+s2.dcm",
            "SC_rgb_dcmtk_+eb+cy+s4.dcm",
            "SC_rgb_jpeg_dcmtk.dcm",
            "SC_rgb_small_odd_jpeg.dcm",
        ),
        CHROMA,
    ),
}


class OnceDetector(NoTextDetector):
    """Finds text in the first picture it is shown, at odd places."""

    looks = 0

    def find(self, picture: Picture) -> list[TextBox]:
        rows, columns = picture.shape
        self.looks += 1
        box = TextBox(columns // 3, rows // 3, max(columns // 5, 1), max(rows // 7, 1))
        return [box] if self.looks == 1 else []


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "reach"), BUNDLED.items())
def test_what_the_audit_says_was_hidden_is_all_that_changed(name: str, reach: int) -> None:
    found = get_testdata_file(name, download=False)
    assert isinstance(found, str)
    data = Path(found).read_bytes()
    before = pixel_array(dcmread(BytesIO(data), force=True), raw=True)
    dataset = read_dicom(data)
    syntax = dataset.file_meta.TransferSyntaxUID
    (change,) = hide(dataset, TextPolicy(), OnceDetector()).changes
    after = pixel_array(dcmread(BytesIO(encode(dataset).data)), raw=True)
    hidden = np.zeros((dataset.get("NumberOfFrames") or 1, dataset.Rows, dataset.Columns), np.uint8)
    box = (slice(change.y, change.y + change.height), slice(change.x, change.x + change.width))
    hidden[0][box] = 1
    kernel = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    outside = np.stack([cv2.dilate(frame, kernel) for frame in hidden]) == 0
    shape = (*hidden.shape, -1)
    assert dataset.file_meta.TransferSyntaxUID == syntax
    assert np.array_equal(after.reshape(shape)[outside], before.reshape(shape)[outside])
    inside = cv2.erode(hidden[0], kernel) == 1
    assert len(np.unique(after.reshape(shape)[0][inside], axis=0)) == 1
