"""EasyOCR's networks as a detector."""

import json
import os
import subprocess
import sys
from dataclasses import fields, replace
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from tests.core.pixel_fixtures import compressed, hide, palette

from beamstop.errors import DeidError
from beamstop.ocr import networks
from beamstop.ocr.detector import EasyOcrDetector, make_detector, prepare
from beamstop.ocr.networks import export, exported
from beamstop.ocr.thresholds import THRESHOLDS, Thresholds
from beamstop.ocr.weights import CRAFT, DBNET, DIGESTS, ENGLISH, PP_OCR, find, installed
from beamstop.pixels.frames import open_frames
from beamstop.pixels.renditions import RENDITIONS, Renditions, local_contrast
from beamstop.testing import make_image
from beamstop.text.detector import TextPolicy
from beamstop.text.hiding import PixelReport

pytestmark = pytest.mark.ocr

ROWS, COLUMNS = 160, 320
DEJAVU = Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf")  # has Greek and Cyrillic letters
WORDS = {"SMITH": (16, 10), "1961": (130, 10), "MLO": (16, 56)}


@pytest.fixture(scope="module")
def detector() -> EasyOcrDetector:
    return make_detector()


def drawn(words: dict[str, tuple[int, int]] = WORDS) -> np.ndarray:
    """Return words of 20 pixels as 0 to 1, (rows, columns)."""
    picture = Image.new("L", (COLUMNS, ROWS))
    font = ImageFont.load_default(20)
    for word, place in words.items():
        ImageDraw.Draw(picture).text(place, word, fill=255, font=font)
    return np.asarray(picture) / 255


def scene(seed: int = 5) -> np.ndarray:
    """Return soft tissue with noise, 60 to 120 of 255."""
    rows, columns = np.mgrid[:ROWS, :COLUMNS]
    soft = 90 + 25 * np.sin(rows / 40) * np.cos(columns / 60)
    return soft + np.random.default_rng(seed).normal(0, 2, (ROWS, COLUMNS))


def as_kind(kind: str, ink: np.ndarray) -> object:
    grey = np.clip(scene() + 140 * ink, 0, 255)
    if kind == "signed":
        return make_image((grey * 8 - 1024).astype("<i2"))
    if kind == "MONOCHROME1":
        return make_image((255 - grey).astype("u1"), kind)
    if kind == "PALETTE COLOR":
        dataset = make_image((255 - grey).astype("u1"), kind)
        palette(dataset)
        return dataset
    if kind == "YBR_FULL":
        return make_image(np.stack([grey, grey * 0 + 128, grey * 0 + 128], axis=-1).astype("u1"), kind)
    if kind == "RGB":
        return make_image(np.repeat(grey[..., None], 3, axis=-1).astype("u1"), kind)
    return make_image(grey.astype("u1"))


def covered(report: PixelReport, shape: tuple[int, int] = (ROWS, COLUMNS)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    for change in report.changes:
        mask[change.y : change.y + change.height, change.x : change.x + change.width] = True
    return mask


@pytest.mark.parametrize("kind", ["MONOCHROME2", "signed", "MONOCHROME1", "PALETTE COLOR", "YBR_FULL", "RGB"])
def test_written_words_are_covered_and_cannot_be_read_again(detector: EasyOcrDetector, kind: str) -> None:
    dataset = as_kind(kind, drawn())
    hidden = covered(hide(dataset, TextPolicy(), detector))
    assert hidden[drawn() > 0].all()
    assert hidden.mean() < 0.25
    frames = open_frames(dataset)
    assert frames is not None
    picture = frames.decode(0).pictures()[0]
    assert WORDS.keys().isdisjoint(box.text for box in detector.read(picture, detector.find(picture)))


def test_dark_words_and_words_of_one_brightness_with_their_ground_are_found(
    detector: EasyOcrDetector,
) -> None:
    red_on_blue = np.zeros((ROWS, COLUMNS, 3))
    red_on_blue[..., 2] = 255 * (1 - drawn())
    red_on_blue[..., 0] = 255 * drawn()
    assert hide(make_image(red_on_blue.astype("u1"), "RGB"), TextPolicy(), detector).text_boxes_hidden >= 3
    dark = make_image(np.clip(scene() - 80 * drawn(), 0, 255).astype("u1"))
    assert hide(dark, TextPolicy(), detector).text_boxes_hidden >= 3


def test_picture_without_words_is_left_alone(detector: EasyOcrDetector) -> None:
    dataset = as_kind("MONOCHROME2", np.zeros((ROWS, COLUMNS)))
    compressed(dataset, "1.2.840.10008.1.2.4.90")
    before = dataset.PixelData
    assert hide(dataset, TextPolicy(), detector).pixels_changed is False
    assert dataset.PixelData is before


def test_authorized_word_is_read_and_stays(detector: EasyOcrDetector) -> None:
    dataset = as_kind("MONOCHROME2", drawn())
    report = hide(dataset, TextPolicy(authorized_words=("mlo",)), detector)
    kept = [change for change in report.changes if change.action == "K"]
    assert [change.why for change in kept] == ["authorized_word"]
    assert kept[0].y > 40


def test_words_that_craft_would_not_have_counted_alone_are_faint(detector: EasyOcrDetector) -> None:
    picture = local_contrast(scene() + 140 * drawn())
    assert [box.faint for box in detector.find(picture)] == [False] * 3
    unsure = make_detector(thresholds=replace(THRESHOLDS, sure=1.1, certain=1.1))
    assert [box.faint for box in unsure.find(picture)] == [True] * 3


def test_each_threshold_and_each_number_of_the_renditions_changes_the_fingerprint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    digests = [THRESHOLDS.digest]
    for it in fields(Thresholds):
        digests.append(replace(THRESHOLDS, **{it.name: "another"}).digest)
    for it in fields(Renditions):
        changed = replace(RENDITIONS, **{it.name: "another"})
        monkeypatch.setattr("beamstop.pixels.renditions.RENDITIONS", changed)
        digests.append(replace(THRESHOLDS).digest)
    assert len(set(digests)) == len(digests) == 1 + len(fields(Thresholds)) + len(fields(Renditions))


@pytest.mark.parametrize(
    "name",
    [
        "pixels.cover._BLOCK",
        "pixels.cover._EACH",
        "pixels.renditions._GRAIN",
        "ocr.doubts._SHORT",
        "ocr.line_ends._REACH",
        "ocr.thresholds._FINE",
        "text.boxes._MOST_PADDED",
        "text.codes._LOOKS",
        "text.hiding._LOOKS",
        "text.judge._SURE",
        "text.lines._COVERED",
        "text.slide_tiles._RING",
    ],
)
def test_each_constant_that_decides_boxes_changes_the_fingerprint(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    before = replace(THRESHOLDS).digest
    monkeypatch.setattr(f"beamstop.{name}", 7777)
    assert replace(THRESHOLDS).digest != before


def test_fingerprints_are_equal_in_processes_that_order_sets_differently() -> None:
    program = "from beamstop.ocr.thresholds import THRESHOLDS; print(THRESHOLDS.digest)"
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            check=True,
            text=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert digests == {THRESHOLDS.digest}


def test_what_dbnet_is_certain_of_counts_only_where_craft_sees_something(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Reduced pictures are not searched here: there what is read counts without CRAFT."""
    detector = make_detector(thresholds=replace(THRESHOLDS, blurred_at=((10**9, ()),)))

    def blind(batch: np.ndarray) -> np.ndarray:
        return np.zeros((1, batch.shape[2] // 2, batch.shape[3] // 2, 2), np.float32)

    picture = local_contrast(scene() + 140 * drawn())
    assert len(detector.find(picture)) == 3
    monkeypatch.setattr(detector, "_craft", networks.Network(blind, "blind", ""))
    assert detector.find(picture) == []


@pytest.mark.skipif(not DEJAVU.is_file(), reason="needs Debian's fonts-dejavu-core")
@pytest.mark.parametrize(("size", "blur", "noise"), [(56, 6.0, 80.0), (30, 3.0, 20.0)])
def test_blurred_letters_of_a_large_picture_are_found(
    detector: EasyOcrDetector, size: int, blur: float, noise: float
) -> None:
    """Sharpness decides nothing where letters are large: film, photos of a screen, scans are soft."""
    canvas = Image.new("L", (1400, 1330))
    ImageDraw.Draw(canvas).text((300, 600), "KOWALSKI 1961", fill=255, font=ImageFont.truetype(DEJAVU, size))
    ink = np.asarray(canvas) / 255
    soft = cv2.GaussianBlur(ink, None, blur)
    values = 800 + 1500 * soft + np.random.default_rng(5).normal(0, noise, ink.shape)
    report = hide(make_image(values.astype("<u2")), TextPolicy(), detector)
    hidden = covered(report, ink.shape)
    assert hidden[ink > 0.4].mean() > 0.95
    assert hidden.mean() < 0.08


@pytest.mark.skipif(not DEJAVU.is_file(), reason="needs Debian's fonts-dejavu-core")
@pytest.mark.parametrize(
    ("name", "size", "blur", "ink", "noise"),
    [
        ("H. Vandermol", 40, 4.5, 250, 8.0),
        ("H. Vandermol", 40, 5.0, 400, 30.0),
        ("T. Quarsetby", 30, 3.8, 500, 40.0),
    ],
)
def test_soft_names_across_bones_of_a_film_are_found_and_the_bones_are_not(
    detector: EasyOcrDetector, name: str, size: int, blur: float, ink: int, noise: float
) -> None:
    """There the surroundings differ far more than letters do: networks see them in a band of frequencies."""
    canvas = Image.new("L", (1060, 1340))
    ImageDraw.Draw(canvas).text((400, 600), name, fill=255, font=ImageFont.truetype(DEJAVU, size))
    letters = np.asarray(canvas) / 255
    film = np.zeros(letters.shape)
    cv2.ellipse(film, (530, 670), (450, 540), 0, 0, 360, 1500, -1)
    cv2.ellipse(film, (500, 640), (60, 160), 10, 0, 360, 2300, -1)
    film = 300 + cv2.GaussianBlur(film, None, 25) + np.random.default_rng(5).normal(0, noise, film.shape)
    written = film + ink * cv2.GaussianBlur(letters, None, blur)
    hidden = covered(hide(make_image(written.astype("<u2")), TextPolicy(), detector), film.shape)
    assert hidden[letters > 0.4].mean() > 0.95
    assert hidden.mean() < 0.08
    assert hide(make_image(film.astype("<u2")), TextPolicy(), detector).text_boxes_hidden == 0


def test_letters_of_a_hundred_pixels_are_found(detector: EasyOcrDetector) -> None:
    canvas = Image.new("L", (640, 480))
    ImageDraw.Draw(canvas).text((60, 160), "SMITH", fill=255, font=ImageFont.truetype(str(DEJAVU), 140))
    ink = np.asarray(canvas) / 255
    picture = 90 + np.random.default_rng(5).normal(0, 2, ink.shape) + 60 * ink
    assert (
        covered(hide(make_image(picture.astype("u1")), TextPolicy(), detector), ink.shape)[ink > 0].mean()
        > 0.95
    )


def test_words_on_the_seam_of_two_tiles_are_found_once(detector: EasyOcrDetector) -> None:
    wide = np.zeros((200, 1400), np.float32)
    wide[90:112, 990:1080] = drawn({"SMITH": (0, 0)})[:22, :90] * 200
    assert len(detector.find(local_contrast(wide))) == 1


def test_uniform_picture_costs_nothing_and_holds_nothing(detector: EasyOcrDetector) -> None:
    assert detector.find(np.full((6000, 6000), 96, np.uint8)) == []


@pytest.mark.parametrize("shape", [(1, 1), (1, 400), (400, 2), (1, 3000), (3000, 2)])
def test_pictures_lower_or_narrower_than_any_letter_hold_nothing(
    detector: EasyOcrDetector, shape: tuple[int, int]
) -> None:
    """Reduced for soft letters nothing would be left of them."""
    picture = np.random.default_rng(5).integers(0, 256, shape).astype(np.uint8)
    assert detector.find(picture) == []


def test_language_without_weights_is_still_detected_and_said() -> None:
    russian = make_detector(("ru",))
    assert russian.unread_languages == ("ru",)
    assert "unread" in russian.fingerprint
    report = hide(as_kind("MONOCHROME2", drawn()), TextPolicy(authorized_words=("MLO",)), russian)
    assert (report.text_boxes_hidden, report.text_boxes_kept) == (3, 0)


def test_preparing_a_run_says_which_languages_nobody_reads(detector: EasyOcrDetector) -> None:
    assert prepare(("en", "fr", "ru", "ko")) == (("ru", "ko"), ())
    assert prepare(("en", "fr"), "easyocr") == (("fr",), ())


def test_fingerprint_names_engine_weights_and_precision(detector: EasyOcrDetector) -> None:
    words = detector.fingerprint.split()
    assert words[0].startswith("opencv-")
    assert words[1:3] == [f"craft-{DIGESTS[CRAFT][:12]}", f"{PP_OCR[:-5]}-{DIGESTS[PP_OCR][:12]}"]
    assert words[3].startswith(f"dbnet-{DIGESTS[DBNET][:12]}")
    assert words[4] == f"thresholds-{THRESHOLDS.digest}"
    assert words[5] == MEASURED.get(version("openvino"), words[5])
    assert words[-1] == "int8"


MEASURED = {"2026.4.1": "exports-e216f4d4-45233774"}  # docs/security.md has them; equal on every machine


def test_other_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "craft_mlt_25k.pth").write_bytes(b"anything")
    with pytest.raises(DeidError, match="not the weights that were published"):
        make_detector(weights=tmp_path)


def test_missing_weights_are_said_and_not_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEAMSTOP_WEIGHTS", str(tmp_path))
    with pytest.raises(DeidError, match="beamstop\\[weights\\]"):
        make_detector()
    assert list(tmp_path.iterdir()) == []


def test_without_the_small_detector_craft_looks_at_everything(
    detector: EasyOcrDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find(DBNET) is not None
    monkeypatch.setattr("beamstop.ocr.detector.find", lambda name, given=None: None)
    alone = make_detector()
    assert "unproposed" in alone.fingerprint
    report = hide(as_kind("MONOCHROME2", drawn()), TextPolicy(), alone)
    assert report.text_boxes_hidden >= 3


def test_an_export_is_made_once_and_read_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEAMSTOP_CACHE", str(tmp_path / "cache"))
    weights = installed(DBNET)
    assert weights is not None
    made = exported(weights)
    before = made.stat().st_mtime_ns
    assert exported(weights) == made
    assert made.stat().st_mtime_ns == before
    assert sorted(path.suffix for path in (tmp_path / "cache").iterdir()) == [".bin", ".sha256", ".xml"]
    assert (tmp_path / "cache").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("suffix", [".bin", ".xml", ".sha256"])
def test_an_export_that_somebody_changed_is_noticed_and_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    monkeypatch.setenv("BEAMSTOP_CACHE", str(tmp_path / "cache"))
    weights = installed(DBNET)
    assert weights is not None
    made = exported(weights)
    before = {it: it.read_bytes() for it in made.parent.iterdir()}
    changed = bytearray(before[made.with_suffix(suffix)])
    changed[len(changed) // 2] ^= 1
    made.with_suffix(suffix).write_bytes(changed)
    assert exported(weights) == made
    assert {it: it.read_bytes() for it in made.parent.iterdir()} == before
    made.with_suffix(suffix).unlink()
    assert exported(weights) == made
    assert {it: it.read_bytes() for it in made.parent.iterdir()} == before


def test_a_changed_export_is_refused_where_it_cannot_be_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BEAMSTOP_CACHE", str(tmp_path / "cache"))
    weights = installed(DBNET)
    assert weights is not None
    made = exported(weights)
    made.with_suffix(".bin").write_bytes(made.with_suffix(".bin").read_bytes() + b"1")
    monkeypatch.setattr("beamstop.ocr.networks._writable_folder", refuse)
    with pytest.raises(DeidError, match="nowhere"):
        exported(weights)


def refuse() -> Path:
    raise DeidError("nowhere to keep it")


@pytest.fixture
def packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the graph of the small detector, exported as for a wheel, which is looked for there."""
    weights, made = installed(DBNET), tmp_path / f"{DBNET}.xml"
    assert weights is not None
    export(weights, made)
    monkeypatch.setattr("beamstop.ocr.weights.packed", lambda name: (tmp_path / f"{name}.xml",))
    return made


def test_what_is_packed_goes_before_weights_and_needs_no_cache(
    packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("beamstop.ocr.networks._writable_folder", refuse)
    assert find(DBNET) == exported(packed) == packed
    assert find(CRAFT) == installed(CRAFT)


def test_what_is_packed_and_what_is_made_of_weights_here_are_the_same_network(packed: Path) -> None:
    weights = installed(DBNET)
    assert weights is not None
    ours, theirs = networks.load(packed), networks.load(weights)
    assert (ours.digest, ours.fingerprint) == (theirs.digest, theirs.fingerprint)
    batch = np.random.default_rng(1).normal(0, 1, (1, 3, 64, 96)).astype(np.float32)
    assert np.array_equal(ours.run(batch), theirs.run(batch))


@pytest.mark.parametrize("suffix", [".bin", ".xml"])
def test_what_is_packed_is_refused_where_somebody_changed_it(packed: Path, suffix: str) -> None:
    changed = bytearray(packed.with_suffix(suffix).read_bytes())
    changed[len(changed) // 2] ^= 1
    packed.with_suffix(suffix).write_bytes(changed)
    with pytest.raises(DeidError, match=f"{suffix}: not the network that was exported .* install beamstop"):
        exported(packed)
    packed.with_suffix(suffix).unlink()
    with pytest.raises(DeidError, match="install beamstop again"):
        exported(packed)


def test_a_folder_of_weights_that_is_named_goes_before_what_is_packed(packed: Path, tmp_path: Path) -> None:
    folder, weights = tmp_path / "named", installed(DBNET)
    assert weights is not None
    folder.mkdir()
    assert find(DBNET, folder) == packed
    assert find(CRAFT, folder) is None
    (folder / DBNET).write_bytes(weights.read_bytes())
    assert find(DBNET, folder) == folder / DBNET


def test_networks_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "beamstop.ocr.detector.find", lambda name, given=None: None if name in (DBNET, PP_OCR) else find(name)
    )
    assert prepare() == ((), (DBNET, PP_OCR))


def test_a_worker_finds_and_reads_without_torch_and_easyocr(detector: EasyOcrDetector) -> None:
    script = """
import sys
for name in ("torch", "torchvision", "easyocr"):
    sys.modules[name] = None  # an import fails
import json
from tests.core.ocr.test_detector import drawn, scene
from beamstop.ocr import load_detector
from beamstop.pixels.renditions import local_contrast
detector = load_detector()
picture = local_contrast(scene() + 140 * drawn())
print(json.dumps(sorted(box.text for box in detector.read(picture, detector.find(picture)))))
"""
    root = str(Path(__file__).parents[3])
    found = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True, timeout=120
    )
    assert json.loads(found.stdout) == sorted(WORDS)


def test_an_export_that_is_missing_where_easyocr_is_missing_too_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BEAMSTOP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("beamstop.ocr.networks.find_spec", lambda name: None)
    weights = installed(ENGLISH)
    assert weights is not None
    with pytest.raises(DeidError, match=r"english_g2.pth is not exported .* install beamstop's wheel"):
        exported(weights)


@pytest.mark.skipif(not DEJAVU.is_file(), reason="needs Debian's fonts-dejavu-core")
@pytest.mark.parametrize("word", ["Jürgen Łukasz", "Παπαδόπουλος", "Смирнова"])
def test_letters_that_nobody_here_reads_are_found(detector: EasyOcrDetector, word: str) -> None:
    picture = Image.new("L", (COLUMNS, ROWS))
    ImageDraw.Draw(picture).text((30, 60), word, fill=255, font=ImageFont.truetype(DEJAVU, 16))
    ink = np.asarray(picture) / 255
    report = hide(as_kind("MONOCHROME2", ink), TextPolicy(), detector)
    assert covered(report)[ink > 0.4].mean() > 0.95


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_turned_words_are_found(detector: EasyOcrDetector, turns: int) -> None:
    ink = np.rot90(drawn(), turns)
    grey = np.clip(np.rot90(scene(), turns) + 140 * ink, 0, 255).astype("u1")
    report = hide(make_image(grey), TextPolicy(), detector)
    assert covered(report, grey.shape)[ink > 0.4].mean() > 0.95


def test_same_picture_gives_the_same_boxes_in_another_detector(detector: EasyOcrDetector) -> None:
    picture = local_contrast(scene() + 140 * drawn())
    assert make_detector().find(picture) == detector.find(picture) != []


def test_two_processes_may_make_the_same_export(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    script = (
        "from beamstop.ocr.networks import prepare; from beamstop.ocr.weights import DBNET, installed;"
        "prepare([installed(DBNET)])"
    )
    environment = {**os.environ, "BEAMSTOP_CACHE": str(cache)}
    both = [subprocess.Popen([sys.executable, "-c", script], env=environment) for _ in range(2)]
    assert [process.wait(timeout=300) for process in both] == [0, 0]
    assert sorted(path.suffix for path in cache.iterdir()) == [".bin", ".sha256", ".xml"]


def test_export_is_kept_elsewhere_where_the_home_folder_cannot_be_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.delenv("BEAMSTOP_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert networks._writable_folder() == tmp_path / f"beamstop-cache-{os.getuid()}"


def test_a_folder_that_everybody_can_write_to_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o777)
    monkeypatch.setenv("BEAMSTOP_CACHE", str(tmp_path))
    with pytest.raises(DeidError, match="BEAMSTOP_CACHE"):
        networks._writable_folder()
