"""Converts a network's convolutions to 8-bit integers: a quarter of the time on processors for these."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beamstop.errors import DeidError

# Kind of layer → axes of its weights that are summed: each output channel has its own scale.
_KINDS = {"Convolution": (1, 2, 3), "GroupConvolution": (2, 3, 4), "ConvolutionBackpropData": (0, 2, 3)}

Ranges = Mapping[str, tuple[float, float]]


def layers(model: Any) -> dict[str, Any]:
    """Return layer name → convolution of an OpenVINO model."""
    nodes = (node for node in model.get_ordered_ops() if node.get_type_name() in _KINDS)
    return {node.get_friendly_name().partition("/")[0]: node for node in nodes}


def quantize(model: Any, ranges: Ranges) -> None:
    """Round the inputs and weights of all convolutions to 8 bits, in place; the runtime does the rest.

    Args:
        model: of OpenVINO, weights in float32.
        ranges: layer → lowest and highest input measured on pictures; values beyond are clipped.

    Raises:
    DeidError: the layers are not the measured ones.
    """
    from openvino import opset13

    found = layers(model)
    if found.keys() != ranges.keys():
        raise DeidError("the networks' layers have other names in this OpenVINO: install the release before")
    rounded: dict[tuple[str, int], Any] = {}
    for name, layer in found.items():
        source = layer.input_value(0)
        place = source.get_node().get_friendly_name(), source.get_index()
        if place not in rounded:
            low, high = _limits(*ranges[name])
            rounded[place] = opset13.fake_quantize(source, low, high, low, high, 256).output(0)
        layer.input(0).replace_source_output(rounded[place])
        layer.input(1).replace_source_output(_rounded_weights(layer))
    model.validate_nodes_and_infer_types()


def _limits(low: float, high: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return limits for which zero is one of the 256 steps: 0 to 255, or -128 to 127."""
    if low < 0:
        high = max(-low, high)
        low = -high * 128 / 127
    return np.array(min(low, 0), np.float32), np.array(high, np.float32)


def _rounded_weights(layer: Any) -> Any:
    """Return weights as integers of -127 to 127, times a scale per output channel."""
    from openvino import Type, opset13

    output = layer.input_value(1)
    weights = _constant(output.get_node()).reshape(tuple(output.get_shape()))
    largest = np.abs(weights).max(axis=_KINDS[layer.get_type_name()], keepdims=True)
    scale = np.maximum(largest, 1e-8).astype(np.float32) / 127
    whole = np.clip(np.round(weights / scale), -127, 127).astype(np.int8)
    return opset13.multiply(opset13.convert(whole, Type.f32), scale).output(0)


def _constant(node: Any) -> NDArray[np.float32]:
    while node.get_type_name() != "Constant":  # the constant is reshaped
        node = node.input_value(0).get_node()
    return np.asarray(node.data, np.float32)
