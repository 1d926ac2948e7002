"""EasyOCR's networks in torch, with checked weights: for the export."""

from io import BytesIO
from pathlib import Path
from typing import Any

from beamstop.ocr.weights import CRAFT, checked


def network(weights: Path) -> Any:
    """Return the module for a file of weights, ready to run, with one input and one output.

    CRAFT takes (1, 3, rows, columns) and returns (1, rows / 2, columns / 2, 2): scores of text, and of links
    between letters. A recogniser takes (1, 1, 64, columns) and returns (1, steps, letters).

    Raises:
        DeidError: the weights are not EasyOCR's.
    """
    import torch

    tensors = _state(weights)
    with torch.device("meta"):  # does not make random weights, which would be replaced anyway
        module = _craft() if weights.name == CRAFT else _recognizer(tensors["Prediction.bias"].shape[0])
    module.network.load_state_dict(tensors, assign=True)
    module.eval().requires_grad_(False)  # including the wrapper, which would set training mode again
    _fold_batch_norm(module)
    return module


def _craft() -> Any:
    from easyocr import craft
    from torch import nn

    class Scores(nn.Module):
        """Returns CRAFT's scores without its features."""

        def __init__(self) -> None:
            super().__init__()
            self.network = craft.CRAFT()

        def forward(self, batch: Any) -> Any:
            return self.network(batch)[0]

    return Scores()


def _recognizer(letters: int) -> Any:
    from easyocr.model.vgg_model import Model
    from torch import nn

    class Steps(nn.Module):
        """The parts of EasyOCR's second-generation recogniser in their order, for any width."""

        def __init__(self) -> None:
            super().__init__()
            self.network = Model(input_channel=1, output_channel=256, hidden_size=256, num_class=letters)

        def forward(self, batch: Any) -> Any:
            seen = self.network.FeatureExtraction(batch).mean(dim=2).permute(0, 2, 1)
            for layer in self.network.SequenceModeling:
                seen = layer.linear(layer.rnn(seen)[0])
            return self.network.Prediction(seen)

    return Steps()


def _state(weights: Path) -> dict[str, Any]:
    """Load checked weights, only as tensors: EasyOCR itself would unpickle anything."""
    import torch

    loaded: dict[str, Any] = torch.load(BytesIO(checked(weights)), map_location="cpu", weights_only=True)
    return {name.removeprefix("module."): tensor for name, tensor in loaded.items()}


def _fold_batch_norm(network: Any) -> None:
    """Fold each normalisation into the convolution before it: the same sums, less memory traffic."""
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    for block in network.modules():
        if isinstance(block, nn.Sequential):
            for (first, convolution), (second, norm) in zip(
                list(block.named_children()), list(block.named_children())[1:], strict=False
            ):
                if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    setattr(block, first, fuse_conv_bn_eval(convolution, norm))
                    setattr(block, second, nn.Identity())
