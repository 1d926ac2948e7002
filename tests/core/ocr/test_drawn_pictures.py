"""The pictures that text hiding is measured by."""

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tests.core.pixel_fixtures import hide
from tests.scripts import loaded

from beamstop.ocr import load_detector
from beamstop.pixels.frames import open_frames
from beamstop.text.detector import TextPolicy
from beamstop.text.judge import MARKERS

SEED = 101


@pytest.fixture(scope="module")
def pictures() -> ModuleType:
    module = loaded("benchmarks/pictures.py", "drawn_pictures")
    if not module.FONTS.is_dir():
        pytest.skip("needs Debian's fonts-dejavu-core")
    return module


def test_the_same_seed_draws_the_same_pictures_and_another_seed_others(pictures: ModuleType) -> None:
    counts = {"CT": (1, 0), "US": (1, 0)}
    first, again, other = (list(pictures.draw(seed, counts)) for seed in (1, 1, 2))
    for one, same, different in zip(first, again, other, strict=True):
        assert one.name == same.name
        np.testing.assert_array_equal(one.values, same.values)
        assert one.values.shape != different.values.shape or (one.values != different.values).any()


def test_seeds_for_tuning_and_reporting_differ(pictures: ModuleType) -> None:
    assert pictures.TUNING_SEED != pictures.REPORTING_SEED


@pytest.mark.parametrize(
    ("modality", "bits", "signed"), [("CT", 12, True), ("MR", 12, False), ("US", 8, False), ("SC", 8, False)]
)
def test_picture_is_an_instance_that_frames_can_open(
    pictures: ModuleType, modality: str, bits: int, signed: bool
) -> None:
    (picture,) = pictures.draw(3, {modality: (1, 0)})
    dataset = picture.dataset()
    assert (dataset.BitsStored, bool(dataset.PixelRepresentation)) == (bits, signed)
    frames = open_frames(dataset)
    assert frames is not None
    np.testing.assert_array_equal(frames.decode(0).values(), picture.values)


def test_words_differ_from_what_is_around_them(pictures: ModuleType) -> None:
    """Of the brightest and darkest styles every word must be seen, or it would not be text."""
    words = 0
    for picture in pictures.draw(4, {"MR": (6, 0)}):
        values = picture.values.astype(float)
        for word in picture.words:
            rows, columns = word.glyphs.shape
            part = values[word.top : word.top + rows, word.left : word.left + columns]
            assert part.shape == word.glyphs.shape
            if word.style in ("white", "boxed") and not word.glyphs.all():
                assert abs(np.median(part[word.glyphs]) - np.median(part[~word.glyphs])) > 400
                words += 1
    assert words > 5


def test_coverage_of_a_word_is_that_of_its_glyphs(pictures: ModuleType) -> None:
    glyphs = np.array([[1, 1, 0, 0], [1, 1, 0, 0]], bool)
    word = pictures.Word(top=3, left=2, glyphs=glyphs, kind="latin", style="white", height=10)
    hidden = np.zeros((10, 10), bool)
    assert word.covered(hidden) == 0
    hidden[3, :] = True
    assert word.covered(hidden) == 0.5
    hidden[:, 4:] = True
    assert word.covered(hidden) == 0.5
    hidden[:] = True
    assert word.covered(hidden) == 1


def test_pictures_without_text_have_no_words_but_markers(pictures: ModuleType) -> None:
    for picture in pictures.draw(5, {"CT": (0, 2), "US": (0, 1)}):
        assert all(word.kind == "marker" for word in picture.words)


def hidden_in(picture: Any) -> np.ndarray:
    report = hide(picture.dataset(), TextPolicy(markers=MARKERS), load_detector())
    hidden = np.zeros(picture.values.shape[:2], bool)
    for change in report.changes:
        hidden[change.y : change.y + change.height, change.x : change.x + change.width] = True
    return hidden


@pytest.fixture(scope="module")
def hard(pictures: ModuleType) -> Iterator[ModuleType]:
    sys.modules["pictures"] = pictures  # as a script finds it beside itself
    yield loaded("benchmarks/hard_pictures.py", "hard_pictures")
    del sys.modules["pictures"]


@pytest.mark.ocr
@pytest.mark.parametrize("kind", ["teeth", "panoramic", "sulci", "ribs", "spine", "echo"])
def test_anatomy_and_traces_that_look_like_letters_stay(hard: ModuleType, kind: str) -> None:
    (picture,) = hard.draw_hard(SEED, {kind: 1})
    hidden = hidden_in(picture)
    assert all(word.covered(hidden) > 0.95 for word in picture.words)
    if picture.stays is None:
        assert not hidden.any()
    else:
        assert not (hidden & picture.stays).any()


@pytest.mark.ocr
def test_traces_stay_and_names_above_and_across_them_go(hard: ModuleType) -> None:
    for picture in hard.draw_hard(SEED, {"traces": 3}):
        hidden = hidden_in(picture)
        assert all(word.covered(hidden) > 0.95 for word in picture.words)
        assert hidden[picture.stays].mean() < 0.05


@pytest.mark.ocr
@pytest.mark.parametrize("kind", ["film", "mucosa", "blurred"])
def test_soft_text_and_text_as_bright_as_its_ground_are_hidden(hard: ModuleType, kind: str) -> None:
    (picture,) = hard.draw_hard(SEED, {kind: 1})
    hidden = hidden_in(picture)
    assert all(word.covered(hidden) > 0.95 for word in picture.words)


@pytest.mark.ocr
def test_a_patch_of_doppler_that_looks_like_a_line_when_reduced_stays(hard: ModuleType) -> None:
    """It was lost whole: reduced to a third, colours look like blurred letters."""
    *_, picture = hard.draw_hard(44, {"flow": 5})
    hidden = hidden_in(picture)
    assert all(word.covered(hidden) > 0.95 for word in picture.words)
    assert not (hidden & picture.stays).any()


@pytest.mark.ocr
def test_ribs_of_a_drawn_radiograph_are_no_text(pictures: ModuleType) -> None:
    """Ends of ribs used to count: bones curve like letters, and noise is sharp here and there."""
    (picture,) = pictures.draw(pictures.TUNING_SEED, {"DX": (0, 1)})
    frames = open_frames(picture.dataset())
    assert frames is not None
    found = [box for grey in frames.decode(0).pictures() for box in load_detector().find(grey)]
    (marker,) = picture.words
    assert found
    for box in found:
        assert abs(box.y - marker.top) < 100
        assert abs(box.x - marker.left) < 100
