"""Convolutions in 8-bit integers."""

import numpy as np
import pytest

from beamstop.errors import DeidError
from beamstop.ocr.quantization import layers, quantize

pytest.importorskip("openvino")

RANDOM = np.random.default_rng(3)
WEIGHTS = RANDOM.normal(0, [[[[1]]], [[[0.01]]]], (2, 3, 3, 3)).astype(np.float32)


def convolution() -> object:
    """Return a model of one layer whose second channel has a hundredth of the first one's weights."""
    from openvino import Model, opset13

    batch = opset13.parameter([1, 3, -1, -1], np.float32)
    layer = opset13.convolution(batch, WEIGHTS, [1, 1], [1, 1], [1, 1], [1, 1])
    layer.set_friendly_name("conv_0/of a runtime")
    return Model([layer], [batch])


def run(model: object, batch: np.ndarray) -> np.ndarray:
    from openvino import Core

    return Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([batch])[0]


@pytest.mark.parametrize(("low", "high"), [(0.0, 2.0), (-2.0, 1.5)])
def test_every_channel_keeps_its_precision(low: float, high: float) -> None:
    batch = RANDOM.uniform(low, high, (1, 3, 16, 16)).astype(np.float32)
    exact, rounded = run(convolution(), batch), convolution()
    quantize(rounded, {"conv_0": (low, high)})
    error = np.abs(run(rounded, batch) - exact).max(axis=(0, 2, 3)) / np.abs(exact).max(axis=(0, 2, 3))
    assert (error > 0).all()
    assert (error < 0.03).all()


def test_what_is_beyond_the_measured_range_is_cut_off() -> None:
    batch = np.full((1, 3, 8, 8), 5, np.float32)
    model = convolution()
    quantize(model, {"conv_0": (0.0, 2.0)})
    np.testing.assert_allclose(run(model, batch), run(model, np.minimum(batch, 2)), rtol=1e-5)


def test_layers_that_were_not_measured_are_refused() -> None:
    assert list(layers(convolution())) == ["conv_0"]
    with pytest.raises(DeidError, match="install the release before"):
        quantize(convolution(), {"conv_1": (0.0, 1.0)})
