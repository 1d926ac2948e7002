"""The recognisers: what they read, and what they do not take for text."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from beamstop.errors import DeidError
from beamstop.ocr.detector import make_detector
from beamstop.ocr.recognizer import Recognizer, load_recognizer, readable
from beamstop.ocr.weights import DIGESTS, ENGLISH, PP_OCR, find, weights_of
from beamstop.pixels.renditions import local_contrast
from beamstop.text.boxes import TextBox

DEJAVU = Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf")
pytestmark = [
    pytest.mark.ocr,
    pytest.mark.skipif(not DEJAVU.is_file(), reason="needs Debian's fonts-dejavu-core"),
]
LINES = {
    "en": ["HARGREAVES, DOLORES", "TQ-771204", "23.06.1948 14:07", "PSV 84.2 cm/s", "PRF 5000 Hz", "65 dB"],
    "fr": ["Hélène Châtelain", "Épaisseur 3,0 mm"],
    "de": ["Käthe Süßmilch", "Schichtdicke 3,0 mm"],
    "es": ["Begoña Ibáñez", "Profundidad 12,4 cm"],
    "it": ["Niccolò Cantù", "Profondità 12,4 cm"],
    "pt": ["João Conceição", "Frequência 5 MHz"],
    "pl": ["Grażyna Świątek", "Głębokość 12,4 cm"],
    "cs": ["Jiří Dvořák", "Hloubka 12,4 cm"],
    "sv": ["Åsa Björklund", "Förstärkning 48 dB"],
}
MARKERS = ["R", "L", "CC", "MLO", "RCC", "AP"]


@pytest.fixture(scope="module")
def read() -> Recognizer:
    file = readable(("en",)).file
    assert file is not None
    assert weights_of(file) == PP_OCR
    return load_recognizer(file)


def crop(line: str, size: int = 22, margin: int = 3) -> np.ndarray:
    """Return a line on soft tissue with noise, as the recogniser is shown it."""
    font = ImageFont.truetype(str(DEJAVU), size)
    left, top, right, bottom = map(int, font.getbbox(line))
    canvas = Image.new("L", (right - left + 120, bottom - top + 90))
    ImageDraw.Draw(canvas).text((60 - left, 45 - top), line, fill=255, font=font)
    noise = np.random.default_rng(3).normal(0, 2, (canvas.height, canvas.width))
    picture = local_contrast((90 + noise + np.asarray(canvas) * 0.5).astype(np.float32))
    return picture[
        45 - margin : canvas.height - 45 + margin,
        60 - margin : canvas.width - 60 + margin,
    ]


@pytest.mark.parametrize("line", [line for lines in LINES.values() for line in lines])
def test_lines_of_nine_languages_are_read_letter_by_letter(read: Recognizer, line: str) -> None:
    text, sure = read(crop(line))
    assert text == line
    assert sure is not None
    assert sure > 0.5


@pytest.mark.parametrize("gap", [4, 5, 6, 7, 8])
def test_whether_letters_stand_apart_does_not_tell_on_how_sure_they_are(read: Recognizer, gap: int) -> None:
    parts = [crop(part, 16) for part in ("W", "400", "L", "40")]
    between = np.full((parts[0].shape[0], gap), 96, np.uint8)
    high = max(part.shape[0] for part in parts)
    padded = [np.pad(part, ((high - part.shape[0], 0), (0, 0)), mode="edge") for part in (*parts, between)]
    line = np.hstack([padded[0], padded[4], padded[1], padded[4], padded[2], padded[4], padded[3]])
    text, sure = read(line)
    assert (text or "").replace(" ", "") == "W400L40"
    assert sure is not None
    assert sure > 0.9


@pytest.mark.parametrize("marker", MARKERS)
def test_markers_are_read_with_confidence(read: Recognizer, marker: str) -> None:
    text, sure = read(crop(marker, 30))
    assert text == marker
    assert sure is not None
    assert sure > 0.5


@pytest.mark.parametrize("turns", [1, 3])
def test_what_stands_upright_is_read_either_way(read: Recognizer, turns: int) -> None:
    assert read(np.rot90(crop("TQ-771204"), turns))[0] == "TQ-771204"


def test_a_raised_two_is_read_as_a_keyboard_writes_it(read: Recognizer) -> None:
    assert read(crop("12.5 cm²", 28))[0] == "12.5 cm2"


def test_noise_and_curves_are_single_letters_at_most_or_read_without_confidence(read: Recognizer) -> None:
    random = np.random.default_rng(1)
    rows, columns = np.mgrid[:24, :120]
    for number in range(40):
        curve = 60 * np.sin(columns / random.uniform(3, 9) + rows / random.uniform(2, 8) + number)
        text, sure = read(local_contrast((90 + curve + random.normal(0, 8, curve.shape)).astype(np.float32)))
        assert text is not None
        assert sure is not None
        assert len(text) < 2 or sure < 0.3


def test_too_little_to_be_read_is_none(read: Recognizer) -> None:
    assert read(np.full((2, 40), 96, np.uint8)) == (None, None)
    assert read(np.full((0, 0), 96, np.uint8)) == (None, None)
    assert read(np.full((20, 40), 96, np.uint8)) == ("", 0.0)


def test_the_same_crop_is_read_the_same_by_another_recogniser(read: Recognizer) -> None:
    file = find(PP_OCR)
    assert file is not None
    assert load_recognizer(file)(crop("Grażyna Świątek")) == read(crop("Grażyna Świątek"))


def test_ppocr_reads_latin_letters_chinese_and_japanese() -> None:
    found = readable(("en", "fr", "pl", "ja", "ch_sim", "ru", "ko", "ar", "vi"))
    assert found.unread == ("ru", "ko", "ar", "vi")
    assert found.file == find(PP_OCR)
    assert readable(("ru",)).file is None


def test_easyocr_reads_in_its_place_where_a_recipe_says_so_and_where_there_is_no_ppocr(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chosen = readable(("en", "fr"), "easyocr")
    assert chosen == (find(ENGLISH), ("fr",))
    monkeypatch.setattr(
        "beamstop.ocr.recognizer.find", lambda name, given=None: None if name == PP_OCR else find(name, given)
    )
    assert readable(("en", "fr"), "ppocr") == chosen
    detector = make_detector(recognizer="easyocr")
    assert f"english_g2-{DIGESTS[ENGLISH][:12]}" in detector.fingerprint
    picture = crop("SHOCR", 40, margin=40)
    rows, columns = picture.shape
    box = TextBox(30, 30, columns - 60, rows - 60)
    assert [it.text for it in detector.read(picture, [box])] == ["SHOCR"]


def test_another_recogniser_is_refused() -> None:
    with pytest.raises(DeidError, match="no recognizer 'tesseract': ppocr or easyocr"):
        readable(("en",), "tesseract")
