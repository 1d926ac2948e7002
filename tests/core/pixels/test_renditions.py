"""Grey renditions: what shows in them."""

import numpy as np
import pytest
from pydicom.dataset import Dataset

from beamstop.pixels.renditions import GROUND, local_contrast, noise_unit, pictures

STROKE = np.s_[30:34, 40:60]


def stroke(ground: float, ink: float) -> np.ndarray:
    plane = np.full((100, 120), ground, np.float32)
    plane[STROKE] = ink
    return plane


def test_uniform_picture_is_ground() -> None:
    assert (local_contrast(np.full((80, 90), 1234.0)) == GROUND).all()


@pytest.mark.parametrize(("ground", "ink"), [(0, 4095), (-1024, 3071), (800, 840), (4000, 4095)])
def test_bright_stroke_is_white_whatever_its_ground(ground: float, ink: float) -> None:
    picture = local_contrast(stroke(ground, ink))
    assert (picture[STROKE] == 255).all()
    assert abs(int(picture[90, 110]) - GROUND) <= 1


def test_dark_stroke_is_black_and_monochrome1_turns_it_white() -> None:
    values = stroke(800, 0).astype(np.uint16)
    assert (local_contrast(values.astype(np.float32))[STROKE] == 0).all()
    (inverted,) = pictures(values, "MONOCHROME1", 12, Dataset())
    assert (inverted[STROKE] == 255).all()


def test_far_brighter_stroke_does_not_dim_a_faint_one_elsewhere() -> None:
    wide = np.full((100, 400), 100, np.float32)
    wide[STROKE] = 110
    alone = local_contrast(wide)[STROKE]
    wide[30:34, 300:320] = 4095
    np.testing.assert_array_equal(local_contrast(wide)[STROKE], alone)


def test_what_is_hidden_shows_grey_and_casts_no_shadow() -> None:
    plane = np.full((100, 120), 1000, np.float32)
    hidden = np.zeros(plane.shape, bool)
    hidden[STROKE] = True
    plane[hidden] = -1024
    assert np.ptp(local_contrast(plane, hidden=hidden)) <= 1
    assert np.ptp(local_contrast(plane)) > 100


def test_what_is_hidden_amid_noise_shows_noise_like_it() -> None:
    plane = np.random.default_rng(1).normal(1000, 5, (100, 120)).astype(np.float32)
    hidden = np.zeros(plane.shape, bool)
    hidden[20:60, 10:90] = True
    plane[hidden] = -1024
    picture = local_contrast(plane, hidden=hidden).astype(float)
    inside, around = picture[hidden], picture[~hidden]
    assert abs(inside.mean() - around.mean()) < 3
    assert 0.85 < inside.std() / around.std() < 1.15
    plane[30:34, 40:60] = 1000  # anything but black shows there, too
    shown = local_contrast(plane, hidden=hidden)[30:34, 40:60]
    assert shown.mean() > 200


def test_red_text_on_blue_of_the_same_brightness_shows_in_one_rendition() -> None:
    colours = np.zeros((100, 120, 3), np.uint8)
    colours[..., 2] = 255
    colours[STROKE] = (255, 0, 0)
    found = pictures(colours, "RGB", 8, Dataset())
    assert len(found) == 5
    assert max(abs(int(picture[31, 50]) - int(picture[90, 110])) for picture in found) > 100


def test_grey_stored_as_colour_is_looked_at_once() -> None:
    colours = np.repeat(stroke(20, 200).astype(np.uint8)[..., None], 3, axis=-1)
    assert len(pictures(colours, "RGB", 8, Dataset())) == 1


@pytest.mark.parametrize(
    ("values", "bits", "unit"),
    [
        (np.array([0, 255], np.uint8), 8, 1.0),
        (np.array([0, 1], np.uint8), 1, 2 / 256),
        (np.array([0, 4095], np.uint16), 12, 4.0),
        (np.array([0, 65535 * 8], np.uint32), 32, 8.0),
        (np.array([0, 65535 * 3, np.nan], np.float32), 32, 3.0),
        (np.zeros(2, np.float32), 32, 1.0),
    ],
)
def test_noise_unit(values: np.ndarray, bits: int, unit: float) -> None:
    assert noise_unit(values, bits) == pytest.approx(unit)


def test_text_as_bright_as_a_busy_ground_shows_by_its_colour() -> None:
    random = np.random.default_rng(3)
    ground = np.array([200.0, 120.0, 180.0]) + random.normal(0, 40, (100, 120, 1))  # brightness varies
    ground[STROKE] = (ground[STROKE] @ [0.299, 0.587, 0.114])[..., None] + [-60.0, 31.0, 0.0]
    found = pictures(np.clip(ground, 0, 255).astype(np.uint8), "RGB", 8, Dataset())

    def contrast(picture: np.ndarray) -> float:
        stroke = np.zeros(picture.shape, bool)
        stroke[STROKE] = True
        return abs(picture[stroke].mean() - picture[~stroke].mean()) / picture[~stroke].std()

    assert [contrast(picture) > 3 for picture in found] == [False, False, False, False, True]


def test_hues_are_not_rendered_of_a_grey_picture_with_a_few_coloured_letters() -> None:
    grey = np.repeat(np.random.default_rng(3).integers(0, 200, (100, 120, 1)), 3, axis=-1)
    grey[STROKE] = (255, 255, 0)
    assert len(pictures(grey.astype(np.uint8), "RGB", 8, Dataset())) == 2


def test_black_letters_on_dark_colours_beside_bright_ones_show_in_the_shadows() -> None:
    colours = np.zeros((100, 120, 3), np.uint8)
    colours[..., 2] = np.where(np.arange(120) // 20 % 2, 250, 30)
    colours[30:34, 40:60] = 0  # on the dark
    found = pictures(colours, "RGB", 8, Dataset())
    assert len(found) == 5
    brightest, shadows = (
        abs(float(it[30:34, 42:58].mean()) - float(it[20:28, 42:58].mean())) for it in (found[0], found[2])
    )
    assert shadows > 3 * brightest


@pytest.mark.parametrize("photometric", ["MONOCHROME2", "MONOCHROME1"])
def test_areas_rendered_alone_look_as_in_the_whole_picture(photometric: str) -> None:
    rng = np.random.default_rng(2)
    values = (rng.normal(900, 60, (700, 900)) + np.arange(900)).astype(np.uint16)
    hidden, shown = np.zeros(values.shape, bool), np.zeros(values.shape, bool)
    hidden[100:140, 80:300] = True
    shown[40:200, 20:360] = shown[600:650, 800:] = True
    values[hidden] = 0
    (whole,) = pictures(values, photometric, 12, Dataset(), hidden=hidden)
    (part,) = pictures(values, photometric, 12, Dataset(), hidden=hidden, shown=shown)
    apart = np.abs(whole.astype(int) - part)[shown & ~hidden]
    assert apart.max() <= 1  # sums of floating-point numbers round differently
    assert set(np.unique(part[~shown])) == {GROUND}


def test_colours_are_rendered_only_in_the_areas_to_be_shown() -> None:
    values = np.random.default_rng(2).integers(0, 255, (200, 300, 3), dtype=np.uint8)
    shown = np.zeros(values.shape[:2], bool)
    shown[40:90, 20:200] = True
    wholes = pictures(values, "RGB", 8, Dataset())
    parts = pictures(values, "RGB", 8, Dataset(), shown=shown)
    for whole, part in zip(wholes, parts, strict=True):
        assert np.array_equal(part, np.where(shown, whole, GROUND))
