"""Interval bound propagation (Gowal et al., 2019): a box of inputs becomes a box of outputs, layer by layer.

Cheap (two passes), differentiable, and loose on networks that were not trained for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from secmlops.robustness.certification.network import Affine, Layer, Layers

_INPUT_ROUNDING = 2.0**-23
_LINE_ROUNDING = 2.0**-21


@dataclass(frozen=True, slots=True)
class Box:
    """All values within `radius` of `center`, element by element.

    Attributes:
        center: (n, ...).
        radius: (n, ...), none negative.
    """

    center: Tensor
    radius: Tensor

    @staticmethod
    def between(lower: Tensor, upper: Tensor) -> "Box":
        """The box from its corners."""
        return Box((lower + upper) / 2, (upper - lower) / 2)

    @property
    def lower(self) -> Tensor:
        """The least values."""
        return self.center - self.radius

    @property
    def upper(self) -> Tensor:
        """The greatest values."""
        return self.center + self.radius

    @property
    def magnitude(self) -> Tensor:
        """The greatest absolute values."""
        return self.center.abs() + self.radius

    def take(self, indices: Tensor) -> "Box":
        """The boxes of some of the images."""
        return Box(self.center[indices], self.radius[indices])

    def within(self, other: "Box") -> "Box":
        """What two boxes share, of which each is known to hold."""
        lower, upper = torch.maximum(self.lower, other.lower), torch.minimum(self.upper, other.upper)
        return Box.between(lower, torch.maximum(lower, upper))


def around(images: Tensor, eps: float) -> Box:
    """All images within `eps` of each pixel and within [0, 1].

    It is wider by 2^-23, so that what an attacker computes in float32 as image + eps lies inside.
    """
    outward = eps + _INPUT_ROUNDING
    return Box.between((images - outward).clamp(0, 1), (images + outward).clamp(0, 1))


def seen(layers: Layers, images: Tensor, eps: float) -> Box:
    """What the first layer may see of all images within `eps`: the box itself, or what it is stretched to.

    In float32 the line is off by at most 2^-22 / (high - low) where it is not cut off: constants, difference and
    quotient round by a share of 2^-24 each. The stretched box is wider by twice that.
    """
    box = around(images, eps)
    if layers.stretching is None:
        return box
    outward = _LINE_ROUNDING / layers.stretching.width
    lower, upper = (layers.stretching.line(corner) for corner in (box.lower, box.upper))
    return Box.between((lower - outward).clamp(0, 1), (upper + outward).clamp(0, 1))


def propagate(hidden: Sequence[Layer], box: Box) -> list[Box]:
    """The box of inputs of each hidden layer, and last what they put out; the first is the given one."""
    boxes = [box]
    for layer in hidden:
        boxes.append(through(layer, boxes[-1]))
    return boxes


def through(layer: Layer, box: Box) -> Box:
    """The box of outputs of one layer."""
    match layer:
        case nn.ReLU():
            return Box.between(functional.relu(box.lower), functional.relu(box.upper))
        case nn.Flatten():
            return Box(box.center.flatten(1), box.radius.flatten(1))
        case _:
            return Box(apply(layer, box.center), apply_absolute(layer, box.radius))


def apply(layer: Affine, values: Tensor) -> Tensor:
    """The layer, in the number format of the values."""
    bias = None if layer.bias is None else layer.bias.to(values.dtype)
    return _affine(layer, values, layer.weight.to(values.dtype), bias)


def apply_absolute(layer: Affine, values: Tensor) -> Tensor:
    """The layer with the absolute values of its weights and without its bias."""
    return _affine(layer, values, layer.weight.to(values.dtype).abs(), None)


def margins(layers: Layers, features: Box, labels: Tensor) -> Tensor:
    """Lower bounds of logit of the label minus logit of each class, (n, classes); 0 at the label itself.

    Args:
        layers: of the network.
        features: what the hidden layers put out.
        labels: (n,).
    """
    rows, constants = layers.differences(labels, features.center.dtype)
    bounds = rows @ features.center.unsqueeze(2) - rows.abs() @ features.radius.unsqueeze(2)
    return bounds.squeeze(2) + constants


def _affine(layer: Affine, values: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if isinstance(layer, nn.Linear):
        return functional.linear(values, weight, bias)
    return functional.conv2d(values, weight, bias, layer.stride, layer.padding, layer.dilation, layer.groups)
