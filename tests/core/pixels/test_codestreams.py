import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate, generate_frames

from beamstop.dicom.files import encode, read_dicom
from beamstop.errors import Quarantined
from beamstop.pixels.codestreams import comments, is_lossy
from beamstop.recipe.load import load_recipe
from beamstop.steps.apply_recipe import apply_recipe
from beamstop.steps.check_leaks import check_leaks

JPEG = b"\xff\xd8\xff\xe0\x00\x04JF\xff\xfe\x00\x0cfor Roe J.\xff\xda\x00\x04\xff\xfe\xff\xd9"
J2K = b"\xff\x4f\xff\x51\x00\x04ab\xff\x64\x00\x08\x00\x01hey!\xff\x90\x00\x04\xff\x64\xff\xd9"


def test_comments_and_application_segments_are_read_up_to_the_pixels():
    assert comments(encapsulate([JPEG, J2K])) == b"JF\nfor Roe J.\n\x00\x01hey!"


def test_what_follows_the_end_is_found_behind_a_hundred_thousand_scans():
    assert comments(encapsulate([JPEG[:2] + b"\xff\xda\x00\x02" * 100_000 + b"\xff\xd9Roe "])) == b"Roe "


def test_other_codestreams_say_nothing():
    assert comments(encapsulate([b"\x01\x00\x00\x00" * 16])) == b""


@pytest.mark.parametrize("cut", range(3, len(JPEG), 4))
def test_a_codestream_that_is_cut_short_is_read_as_far_as_it_goes(cut):
    assert b"JFfor Roe J.".startswith(comments(encapsulate([JPEG[:cut]])).rstrip(b"\0").replace(b"\n", b""))


def test_what_is_not_made_of_fragments_is_quarantined():
    with pytest.raises(Quarantined, match="pixels_undecodable"):
        comments(b"\xff\xd8\xff\xe0 no item")


@pytest.mark.filterwarnings("ignore")
def test_a_name_in_a_comment_of_a_compressed_frame_is_a_leak(key):
    recipe = load_recipe("basic")
    with open(get_testdata_file("SC_rgb_jpeg_dcmtk.dcm"), "rb") as file:
        dataset = read_dicom(file.read())
    dataset.PatientName = "Quibbleton^Zora"
    frame = dataset.PixelData.split(b"\xff\xd8\xff", 1)[1]
    named = b"\xff\xd8\xff\xfe\x00\x0eQuibbleton  \xff" + frame.rstrip(b"\0")
    dataset.PixelData = encapsulate([named])
    report = apply_recipe(dataset, recipe, recipe.identity(key))
    with pytest.raises(Quarantined, match="leak: PixelData comment"):
        check_leaks(encode(dataset), report)


@pytest.mark.parametrize(
    ("name", "lossy"),
    [
        ("JPEG-lossy.dcm", True),
        ("JPEG-LL.dcm", False),
        ("JPEGLSNearLossless_08.dcm", True),
        ("MR_small_jpeg_ls_lossless.dcm", False),
        ("JPEG2000.dcm", True),
        ("examples_jpeg2k.dcm", False),
        ("MR_small_RLE.dcm", False),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_a_codestream_says_whether_it_lost_something(name, lossy):
    dataset = dcmread(get_testdata_file(name))
    codestream = next(generate_frames(dataset.PixelData, number_of_frames=1))
    assert is_lossy(codestream) is lossy
    assert not is_lossy(codestream[:3])
