from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, RLELossless

from beamstop.errors import PixelError, RecipeError
from beamstop.kskit import Config
from beamstop.kskit.images import (
    deidentify_image_dcm,
    deidentify_image_ndarray,
    deidentify_image_png,
    get_LUT_value,
    get_PIL_image,
    get_text_areas,
    hide_text,
    numpy2bytes,
    remove_authorized_words_from,
    save_deidentified_image_png,
)
from beamstop.pixels.encoders import encode_frame
from beamstop.text.boxes import TextBox
from beamstop.text.hiding import Picture

WORD = ([[4, 2], [9, 2], [9, 5], [4, 5]], "DOE", 0.9)


class PatchDetector:
    """Calls it text where a picture is brightest and darkest by far: one box around bright values."""

    fingerprint = "patch"

    def __init__(self, text: str = "DOE") -> None:
        self._text = text

    def find(self, picture: Picture) -> list[TextBox]:
        rows, columns = np.nonzero(picture > 200)
        if rows.size == 0 or rows.size > picture.size / 2:
            return []
        left, top = int(columns.min()), int(rows.min())
        return [TextBox(left, top, int(columns.max()) - left + 1, int(rows.max()) - top + 1)]

    def read(self, picture: Picture, boxes: Sequence[TextBox]) -> list[TextBox]:
        return [TextBox(box.x, box.y, box.width, box.height, self._text, 0.9) for box in boxes]


def make_image(pixels: np.ndarray, frames: int = 1, photometric: str = "MONOCHROME2") -> FileDataset:
    """A dataset around pixels of shape ([frames,] rows, columns[, 3])."""
    dataset = FileDataset(None, Dataset(), file_meta=FileMetaDataset(), preamble=b"\0" * 128)
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    colour = photometric in ("RGB", "YBR_FULL")
    shape = pixels.shape[:-1] if colour else pixels.shape
    dataset.Rows, dataset.Columns = shape[-2:]
    dataset.SamplesPerPixel = 3 if colour else 1
    if colour:
        dataset.PlanarConfiguration = 0
    if frames > 1:
        dataset.NumberOfFrames = frames
    dataset.PhotometricInterpretation = photometric
    bits = pixels.dtype.itemsize * 8
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit = bits - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.add_new("PixelData", "OB" if bits == 8 else "OW", pixels.tobytes())
    return dataset


@pytest.mark.parametrize("planar", [0, 1])
def test_components_of_a_codestream_lie_as_it_says_itself(planar: int) -> None:
    colours = np.full((40, 60, 3), (20, 40, 90), np.uint8)
    colours[20:, :30] = 120, 30, 20
    dataset = make_image(colours, photometric="RGB")
    stream = encode_frame(JPEG2000Lossless, colours, 8, "RGB")
    assert stream is not None
    dataset.PixelData = encapsulate([stream + bytes(len(stream) % 2)])
    dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
    dataset.PlanarConfiguration = planar
    shown = get_PIL_image(dataset)
    assert shown is not None
    assert np.array_equal(np.asarray(shown), colours)
    assert np.array_equal(deidentify_image_ndarray(dataset, detector=PatchDetector()), colours)


def picture_with_text(dtype: type = np.uint8, low: int = 10, high: int = 250) -> np.ndarray:
    pixels = np.full((40, 60), low, dtype)
    pixels[10:16, 20:40] = high
    return pixels


# hide_text


def test_box_is_black_and_the_rest_as_before():
    pixels = np.full((12, 16), 77, np.uint8)
    hidden = hide_text(pixels, [WORD], margin=0)
    expected = pixels.copy()
    expected[2:6, 4:10] = 0
    np.testing.assert_array_equal(hidden, expected)
    assert (pixels == 77).all()


def test_margin_grows_the_box_and_is_clipped_to_the_picture():
    hidden = hide_text(np.full((12, 16), 77, np.uint8), [WORD], margin=3)
    expected = np.full((12, 16), 77, np.uint8)
    expected[0:9, 1:13] = 0
    np.testing.assert_array_equal(hidden, expected)


def test_default_margin_leaves_most_of_a_picture():
    """kskit's 300 pixels blacked 94 % of a 700 x 800 picture for one word."""
    word = ([[300, 300], [400, 300], [400, 330], [300, 330]], "DOE", 0.9)
    hidden = hide_text(np.full((700, 800), 77, np.uint8), [word])
    assert (hidden == 0).mean() < 0.02


def test_box_outside_the_picture_hides_nothing():
    far = ([[-90, -90], [-80, -90], [-80, -80], [-90, -80]], "DOE", 0.9)
    assert (hide_text(np.full((12, 16), 77, np.uint8), [far]) == 77).all()


def test_single_characters_are_hidden():
    assert (hide_text(np.full((12, 16), 77, np.uint8), [(WORD[0], "J", 0.9)], margin=0) == 0).sum() == 24


def test_rotated_and_reversed_quads_are_covered_whole():
    rotated = ([[8, 2], [12, 6], [8, 10], [4, 6]], "DOE", 0.9)
    hidden = hide_text(np.full((16, 16), 77, np.uint8), [rotated], margin=0)
    assert (hidden[2:11, 4:13] == 0).all()
    reversed_ = ([[9, 5], [4, 5], [4, 2], [9, 2]], "DOE", 0.9)
    np.testing.assert_array_equal(
        hide_text(np.full((12, 16), 77, np.uint8), [reversed_], margin=0),
        hide_text(np.full((12, 16), 77, np.uint8), [WORD], margin=0),
    )


def test_white_is_white_in_colour():
    hidden = hide_text(np.full((12, 16, 3), 77, np.uint8), [WORD], color_value="white", margin=0)
    assert hidden[3, 5].tolist() == [255, 255, 255]


@pytest.mark.parametrize(
    ("dtype", "low", "high", "black", "white"),
    [(np.uint16, 7, 4095, 0, 4095), (np.int16, -1024, 3071, -1024, 3071)],
)
def test_black_and_white_of_16_bits(dtype, low, high, black, white):
    pixels = np.array([[low, high]], dtype).repeat(12, axis=0).repeat(8, axis=1)
    for name, value in (("black", black), ("white", white)):
        hidden = hide_text(pixels, [WORD], color_value=name, margin=0)
        assert hidden.dtype == dtype
        assert (hidden[2:6, 4:10] == value).all()


@pytest.mark.parametrize("shape", [(3, 12, 16), (3, 12, 16, 3)])
def test_every_frame_is_covered(shape):
    hidden = hide_text(np.full(shape, 77, np.uint8), [WORD], margin=0)
    assert (hidden[:, 2:6, 4:10] == 0).all()
    assert (hidden == 0).sum() == 3 * 24 * (shape[-1] if len(shape) == 4 else 1)


@pytest.mark.parametrize("wrong", [{"mode": "blur"}, {"color_value": "red"}])
def test_what_does_not_hide_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        hide_text(np.zeros((12, 16), np.uint8), [WORD], **wrong)


# get_text_areas, remove_authorized_words_from


def test_text_areas_are_corners_text_and_confidence():
    areas = get_text_areas(picture_with_text(), detector=PatchDetector())
    assert areas == [([[20, 10], [40, 10], [40, 16], [20, 16]], "DOE", 0.9)]


def test_no_text_gives_no_areas():
    assert get_text_areas(np.zeros((40, 60), np.uint8), detector=PatchDetector()) == []


def test_colour_is_searched_as_grey():
    colour = np.stack([picture_with_text()] * 3, axis=-1)
    assert get_text_areas(colour, detector=PatchDetector()) == get_text_areas(
        picture_with_text(), detector=PatchDetector()
    )


def test_authorized_words_are_left_in_whatever_their_confidence_and_place():
    """kskit decided by the first box and hid nothing when that was uncertain."""
    areas = [(WORD[0], "Rcc", 0.1), (WORD[0], "DOE", 0.9), (WORD[0], "RCC DOE", 0.9)]
    assert [text for _, text, _ in remove_authorized_words_from(areas, ["rcc", ""])] == ["DOE", "RCC DOE"]


# get_PIL_image, get_LUT_value


def test_picture_is_windowed_where_the_dataset_says_how():
    dataset = make_image(np.array([[0, 500, 1000, 4000]], np.uint16))
    dataset.WindowCenter, dataset.WindowWidth = 500, 1000
    picture = get_PIL_image(dataset)
    assert picture is not None
    assert picture.mode == "L"
    assert np.asarray(picture).tolist() == [[0, 127, 255, 255]]


def test_picture_is_stretched_where_there_is_no_window():
    picture = get_PIL_image(make_image(np.array([[1000, 1500, 2000]], np.uint16)))
    assert np.asarray(picture).tolist() == [[0, 127, 255]]


def test_monochrome1_is_inverted_for_display():
    picture = get_PIL_image(make_image(np.array([[0, 255]], np.uint8), photometric="MONOCHROME1"))
    assert np.asarray(picture).tolist() == [[255, 0]]


def test_colour_picture_is_rgb():
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    picture = get_PIL_image(make_image(pixels, photometric="RGB"))
    assert picture is not None
    assert picture.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(picture), pixels)


def test_first_frame_is_the_picture_of_several():
    pixels = np.stack([np.zeros((4, 4), np.uint8), np.full((4, 4), 9, np.uint8)])
    picture = get_PIL_image(make_image(pixels, frames=2))
    assert np.asarray(picture).tolist() == [[0] * 4] * 4


def test_compressed_picture_is_decoded():
    """kskit handed the compressed bytes to Pillow."""
    dataset = make_image(picture_with_text())
    dataset.compress(RLELossless)
    np.testing.assert_array_equal(np.asarray(get_PIL_image(dataset)), picture_with_text())


def test_no_pixels_no_picture():
    assert get_PIL_image(Dataset()) is None


def test_error_of_broken_pixels_names_no_value():
    dataset = make_image(np.zeros((40, 60), np.uint8))
    dataset.PatientName = "Doe^Jane"
    dataset.PixelData = b"\0"
    with pytest.raises(PixelError, match=r"^pixels_undecodable: ValueError$"):
        get_PIL_image(dataset)


BROKEN_DISPLAY = {
    "width 0": {"WindowCenter": 40, "WindowWidth": 0},
    "no width": {"WindowCenter": 40},
    "empty window": {"WindowCenter": None, "WindowWidth": None},
    "empty sequence": {"VOILUTSequence": []},
    "empty item": {"VOILUTSequence": [Dataset()]},
    "slope 0": {"RescaleSlope": 0, "RescaleIntercept": None, "WindowCenter": 40, "WindowWidth": 80},
    "function": {"VOILUTFunction": "OTHER", "WindowCenter": 40, "WindowWidth": 80},
    "empty photometric": {"PhotometricInterpretation": None},
    "palette without palette": {"PhotometricInterpretation": "PALETTE COLOR"},
    "no rows": {"Rows": 0},
    "empty rows": {"Rows": None},
    "frames that are not there": {"NumberOfFrames": 7},
    "frames in words": {"NumberOfFrames": None},
    "no pixels": {"PixelData": b""},
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("attributes", BROKEN_DISPLAY.values(), ids=BROKEN_DISPLAY)
def test_a_picture_is_a_picture_or_none_or_the_announced_error(attributes):
    dataset = make_image(np.arange(4096, dtype=np.uint16).reshape(64, 64))
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    try:
        picture = get_PIL_image(dataset)
    except PixelError:
        return
    assert picture is None or picture.size == (64, 64)


@pytest.mark.filterwarnings("ignore")
def test_a_window_that_shows_nothing_is_no_window():
    dataset = make_image(np.array([[1000, 1500, 2000]], np.uint16))
    dataset.WindowCenter, dataset.WindowWidth = 40, 0
    assert np.asarray(get_PIL_image(dataset)).tolist() == [[0, 127, 255]]


def test_words_are_authorized_only_where_they_are_named():
    assert remove_authorized_words_from([WORD]) == [WORD]


def test_a_config_is_a_recipe_and_words_and_nothing_that_is_not_there(tmp_path):
    (tmp_path / "words.txt").write_text("\ufeffrcc\n\n LCC \n")
    config = Config(authorized_words_path=tmp_path / "words.txt")
    assert (config.recipe.name, config.authorized_words) == ("mammography-kskit", ("RCC", "LCC"))
    assert Config().authorized_words == ()
    with pytest.raises(RecipeError):
        Config(recipe_path=tmp_path / "none.json")


def written_picture():
    import cv2

    pixels = np.full((300, 900), 20, np.uint8)
    cv2.putText(pixels, "SUPINE", (60, 100), cv2.FONT_HERSHEY_DUPLEX, 2, 255, 3)
    cv2.putText(pixels, "WUBBLEFORD", (60, 240), cv2.FONT_HERSHEY_DUPLEX, 2, 255, 3)
    return pixels


@pytest.mark.ocr
def test_words_are_read_by_default_unless_a_language_is_asked_for_that_nobody_can_read():
    pixels = written_picture()
    assert {area[1].upper() for area in get_text_areas(pixels)} == {"SUPINE", "WUBBLEFORD"}
    clean = deidentify_image_ndarray(make_image(pixels), authorized_words=["supine"])
    np.testing.assert_array_equal(clean[:120], pixels[:120])
    assert (clean[160:] == clean.min()).sum() > 10_000
    with pytest.warns(UserWarning, match="no weights to read ru"):
        areas = get_text_areas(pixels, languages=["ru"])
    assert [area[1] for area in areas] == ["", ""]


def test_window_of_width_1_is_a_threshold():
    assert get_LUT_value(np.array([0, 1, 2]), 1, 1).tolist() == [0, 255, 255]


# deidentify_image_*


def test_text_is_hidden_in_the_array_and_the_dataset_stays():
    dataset = make_image(picture_with_text())
    before = dataset.PixelData
    hidden = deidentify_image_ndarray(dataset, detector=PatchDetector())
    assert hidden.shape == (40, 60)
    assert hidden.max() == 10
    assert dataset.PixelData == before


def test_text_is_hidden_in_every_frame_by_its_own_boxes():
    frames = np.stack([picture_with_text(), np.full((40, 60), 10, np.uint8), picture_with_text()[::-1]])
    hidden = deidentify_image_ndarray(make_image(frames, frames=3), detector=PatchDetector())
    assert hidden.max() == 10
    np.testing.assert_array_equal(hidden[1], frames[1])


def test_authorized_word_stays():
    hidden = deidentify_image_ndarray(make_image(picture_with_text()), ["rcc"], detector=PatchDetector("RCC"))
    np.testing.assert_array_equal(hidden, picture_with_text())


def test_dcm_gives_the_clean_pixel_data(tmp_path):
    make_image(picture_with_text()).save_as(tmp_path / "one.dcm")
    data = deidentify_image_dcm(tmp_path / "one.dcm", detector=PatchDetector())
    assert len(data) == 40 * 60
    assert max(data) == 10


def test_png_is_written_under_the_name(tmp_path):
    make_image(picture_with_text()).save_as(tmp_path / "one.dcm")
    deidentify_image_png(tmp_path / "one.dcm", tmp_path, "clean", detector=PatchDetector())
    assert np.asarray(Image.open(tmp_path / "clean.png")).max() == 10


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_png_of_8_and_16_bits_holds_the_values(tmp_path, dtype):
    pixels = picture_with_text(dtype)
    save_deidentified_image_png(pixels, tmp_path / "grey")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "grey.png")), pixels)


def test_png_of_several_frames_is_one_each(tmp_path):
    """kskit wrote nothing and said so in a log."""
    save_deidentified_image_png(np.zeros((2, 40, 60), np.uint8), tmp_path / "cine")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cine-0001.png", "cine-0002.png"]


@pytest.mark.parametrize(
    ("bits", "signed", "expected"),
    [(8, 0, b"\x01\x02\x03\0"), (16, 0, b"\1\0\2\0\3\0"), (16, 1, b"\1\0\2\0\3\0")],
)
def test_bytes_are_little_endian_and_even(bits, signed, expected):
    dataset = Dataset()
    dataset.BitsAllocated, dataset.PixelRepresentation = bits, signed
    assert numpy2bytes(np.array([1, 2, 3]), dataset) == expected


def test_other_depths_are_refused():
    dataset = Dataset()
    dataset.BitsAllocated = 1
    with pytest.raises(ValueError, match="BitsAllocated"):
        numpy2bytes(np.array([1]), dataset)


@pytest.mark.ocr
def test_a_word_of_english_is_read():
    from PIL import ImageDraw, ImageFont

    picture = Image.new("L", (400, 120))
    ImageDraw.Draw(picture).text((20, 30), "SHOCR", fill=255, font=ImageFont.load_default(48))
    areas = get_text_areas(np.asarray(picture), languages=["en"])
    assert [text for _, text, _ in areas] == ["SHOCR"]
