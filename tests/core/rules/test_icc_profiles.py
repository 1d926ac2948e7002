from io import BytesIO

import pytest
from PIL import Image, ImageCms
from pydicom import dcmread
from pydicom.data import get_palette_files
from pydicom.dataset import Dataset
from pydicom.uid import VLWholeSlideMicroscopyImageStorage
from tests.core.test_invariants import as_bytes, instance

from beamstop import deidentify_bytes, load_recipe
from beamstop.rules.icc_profiles import clean_icc_profile
from beamstop.testing import load_no_text_detector

KEY = bytes(range(32))
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
PICTURE = Image.merge("RGB", [Image.linear_gradient("L").rotate(angle) for angle in (0, 90, 180)])


def profile_of_a_palette() -> bytes:
    return bytes(dcmread(get_palette_files("hotiron.dcm")[0]).ICCProfile)


def in_lab(profile: bytes) -> bytes:
    """Return a picture's colours as a profile has them."""
    source = ImageCms.ImageCmsProfile(BytesIO(profile))
    transform = ImageCms.buildTransform(source, ImageCms.createProfile("LAB"), "RGB", "LAB")
    return ImageCms.applyTransform(PICTURE, transform).tobytes()


@pytest.mark.parametrize("profile", [SRGB, profile_of_a_palette()], ids=["version 4", "version 2"])
def test_colours_stay_and_nothing_else_is_said(profile: bytes) -> None:
    clean = clean_icc_profile(profile)
    assert in_lab(clean) == in_lab(profile)
    assert clean_icc_profile(clean) == clean
    read = ImageCms.ImageCmsProfile(BytesIO(clean)).profile
    assert (read.copyright, read.profile_description) == ("none", "none")
    assert (read.manufacturer, read.model, read.target) == (None, None, None)
    assert clean[24:36] == bytes(12)  # date of creation
    assert not any(clean[48:64] + clean[80:128])  # device, program, checksum


@pytest.mark.parametrize("data", [b"", b"Wubbleford" * 20, SRGB[:140], SRGB[:-400]])
def test_what_is_no_profile_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not an ICC profile"):
        clean_icc_profile(data)


def test_strict_keeps_the_colours_of_a_whole_slide_and_not_what_the_profile_tells() -> None:
    path = Dataset()
    path.ICCProfile = SRGB.replace(b"s\0R\0G\0B", b"\0W\0u\0b\0b"[:7])
    data = as_bytes(instance(SOPClassUID=VLWholeSlideMicroscopyImageStorage, OpticalPathSequence=[path]))
    clean = dcmread(BytesIO(deidentify_bytes(data, load_recipe("strict"), KEY, load_no_text_detector)))
    assert in_lab(clean.OpticalPathSequence[0].ICCProfile) == in_lab(SRGB)
