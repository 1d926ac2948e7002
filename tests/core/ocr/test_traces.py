"""Traces of an ECG, of breathing, and what looks like one."""

import cv2
import numpy as np
import pytest

from beamstop.ocr.thresholds import THRESHOLDS
from beamstop.ocr.traces import without_traces
from beamstop.pixels.renditions import local_contrast

ROWS, COLUMNS = 240, 640


def beats(tall: float = 40, period: int = 70) -> np.ndarray:
    """Return the row of an ECG in each column."""
    phase = np.arange(COLUMNS) % period / period
    wave = np.exp(-(((phase - 0.4) / 0.02) ** 2)) + 0.25 * np.exp(-(((phase - 0.7) / 0.06) ** 2))
    return 180 - wave * tall


def drawn(rows: np.ndarray, first: int = 0, last: int = COLUMNS, thick: int = 2) -> np.ndarray:
    """Return a line through these rows on black with noise, float32 (rows, columns)."""
    points = np.stack([np.arange(COLUMNS), rows], axis=1).astype(np.int32)[first:last]
    plane = np.zeros((ROWS, COLUMNS), np.uint8)
    cv2.polylines(plane, [points], False, 200, thick)
    return plane + np.random.default_rng(5).normal(0, 1, plane.shape).astype(np.float32)


def ink_of(plane: np.ndarray) -> np.ndarray:
    """Return where a rendition of a plane shows ink after traces were taken out."""
    return without_traces(local_contrast(plane), THRESHOLDS) > 96 + THRESHOLDS.ink


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("tall", "period", "thick"), [(40, 70, 2), (14, 45, 1), (60, 150, 3)])
def test_an_ecg_is_taken_out_bright_or_dark(sign: int, tall: float, period: int, thick: int) -> None:
    picture = local_contrast(sign * drawn(beats(tall, period), thick=thick))
    erased = without_traces(picture, THRESHOLDS)
    before, after = (np.abs(it[120:200].astype(int) - 96) >= 90 for it in (picture, erased))
    assert before.sum() > 300
    assert after.sum() < 0.02 * before.sum()


def test_both_parts_of_a_trace_that_a_bar_divides_are_taken_out() -> None:
    plane = drawn(beats(), 0, 300) + drawn(beats(), 320, COLUMNS)
    assert ink_of(plane)[120:200].mean() < 0.001  # noise


@pytest.mark.parametrize("top", [110, 150])
def test_letters_above_a_trace_and_across_it_stay(top: int) -> None:
    letters = np.zeros((ROWS, COLUMNS), np.uint8)
    cv2.putText(letters, "Marrowby", (250, top + 20), cv2.FONT_HERSHEY_SIMPLEX, 0.7, 255, 2, cv2.LINE_AA)
    left = ink_of(np.maximum(drawn(beats()), letters.astype(np.float32)))
    assert left[letters > 200].mean() > 0.95


def test_a_line_of_letters_that_touch_a_rule_stays() -> None:
    plane = drawn(np.full(COLUMNS, 180.0))
    letters = np.zeros((ROWS, COLUMNS), np.uint8)
    cv2.putText(letters, "Marrowby", (250, 179), cv2.FONT_HERSHEY_SIMPLEX, 0.7, 255, 2, cv2.LINE_AA)
    left = ink_of(np.maximum(plane, letters.astype(np.float32)))
    assert left[letters > 200].mean() > 0.95


def test_a_line_of_blurred_letters_is_no_trace() -> None:
    letters = np.zeros((ROWS, COLUMNS), np.uint8)
    cv2.putText(letters, "mmmmmmmmmmmmmmmm", (20, 180), cv2.FONT_HERSHEY_SIMPLEX, 1.2, 255, 4, cv2.LINE_AA)
    picture = local_contrast(cv2.GaussianBlur(letters.astype(np.float32), (0, 0), 6))
    assert without_traces(picture, THRESHOLDS) is picture


def test_large_pictures_are_not_searched_for_traces() -> None:
    picture = np.pad(local_contrast(drawn(beats())), ((0, 2048), (0, 0)), constant_values=96)
    assert without_traces(picture, THRESHOLDS) is picture
