"""How far a network computed in float32 can be from the same network in real numbers.

Bounds hold for real numbers; what is attacked and served rounds. A sum of n products in float32, in whatever order and
with or without fused operations, is off by at most gamma(n) times the sum of absolute products, where
gamma(n) = n u / (1 - n u) and u = 2^-24 (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 3.1).
Carried from layer to layer this bounds the error of every logit, for PyTorch and ONNX Runtime alike. It does not cover
bfloat16, TF32 or Winograd convolutions.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from secmlops.robustness.certification.intervals import Box, apply_absolute
from secmlops.robustness.certification.network import Affine, Layers

_UNIT = 2.0**-24
_BIAS_AND_BOUND = 2
"""Terms beside the products: the bias, and one for the bound itself, which is computed in float64 and rounds too."""


def logit_errors(layers: Layers, boxes: Sequence[Box]) -> Tensor:
    """The largest error of each logit over a box of images, float64 (n, classes).

    Args:
        layers: of the network.
        boxes: float64, of inputs of each layer (`intervals.propagate`).
    """
    error = torch.zeros_like(boxes[0].radius)
    for layer, box in zip((*layers.hidden, layers.last), boxes, strict=True):
        match layer:
            case nn.ReLU():
                pass
            case nn.Flatten():
                error = error.flatten(1)
            case _:
                error = _affine_error(layer, box.magnitude, error)
    return error


def _affine_error(layer: Affine, magnitude: Tensor, error: Tensor) -> Tensor:
    terms = layer.weight[0].numel() + _BIAS_AND_BOUND
    gamma = terms * _UNIT / (1 - terms * _UNIT)
    grown = apply_absolute(layer, (1 + gamma) * error + gamma * magnitude)
    if layer.bias is None:
        return grown
    bias = layer.bias.to(grown.dtype).abs()
    return grown + gamma * (bias if isinstance(layer, nn.Linear) else bias[:, None, None])
