"""The network family: plain stacks of convolutions, activations and linear layers, which bounds can walk through.

A classifier here is an `nn.Module` from images, float32 of shape (n, channels, height, width) in [0, 1], to logits of
shape (n, classes). Normalization, where a model has any, is its first layer, so attacks and bounds see pixels.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

Activation = Literal["relu", "silu"]
Positive = Annotated[int, Field(gt=0, le=4096)]

_ACTIVATIONS: dict[Activation, type[nn.Module]] = {"relu": nn.ReLU, "silu": nn.SiLU}


class NetworkConfig(BaseModel):
    """What to build: strided 4x4 convolutions that halve the image, then linear layers.

    Attributes:
        image_shape: channels, height, width of an image.
        classes: number of classes.
        channels: output channels of each convolution.
        hidden: width of each hidden linear layer.
        activation: after every layer but the last; the bounds of `certification` know `relu`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    image_shape: tuple[Positive, Positive, Positive]
    classes: Annotated[int, Field(ge=2, le=1000)]
    channels: tuple[Positive, ...] = (16, 32)
    hidden: tuple[Positive, ...] = (100,)
    activation: Activation = "relu"


def build(config: NetworkConfig) -> nn.Sequential:
    """Build the network with PyTorch's default initialization (seed it with `torch.manual_seed`)."""
    layers: list[nn.Module] = []
    channels, height, width = config.image_shape
    for out in config.channels:
        layers += [nn.Conv2d(channels, out, 4, stride=2, padding=1), _ACTIVATIONS[config.activation]()]
        channels, height, width = out, height // 2, width // 2
    layers.append(nn.Flatten())
    features = channels * height * width
    for out in config.hidden:
        layers += [nn.Linear(features, out), _ACTIVATIONS[config.activation]()]
        features = out
    return nn.Sequential(*layers, nn.Linear(features, config.classes))


def with_weights(config: NetworkConfig, weights: Mapping[str, Tensor]) -> nn.Sequential:
    """Build the network and load weights, in evaluation mode.

    Raises:
        RuntimeError: the weights are another network's.
    """
    with torch.device("meta"):
        network = build(config)
    network.load_state_dict(dict(weights), strict=True, assign=True)
    return network.eval()
