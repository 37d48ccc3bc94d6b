"""The networks that bounds can walk through: a Sequential of Conv2d, ReLU, Flatten and Linear, ending in a Linear.

The images may pass through a `ContrastStretching` first.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from secmlops.errors import SecmlopsError
from secmlops.robustness.transformations import ContrastStretching, Transformed

Affine = nn.Conv2d | nn.Linear
Layer = nn.Conv2d | nn.Linear | nn.ReLU | nn.Flatten


class UnsupportedLayer(SecmlopsError):
    """A network has a layer that the bounds do not know.

    Attributes:
        position: of the layer, from 0, counting the innermost layers of nested Sequentials.
        layer: its type and, where that is the trouble, its setting.
    """

    def __init__(self, position: int, layer: str):
        self.position, self.layer = position, layer
        super().__init__(
            f"layer {position} ({layer}) has no bounds here: build the network from Conv2d with zero padding, ReLU, "
            "Flatten and Linear, ending in a Linear (`NetworkConfig(activation='relu')`), behind nothing or a "
            "ContrastStretching"
        )


@dataclass(frozen=True, slots=True)
class Layers:
    """A network taken apart.

    Attributes:
        hidden: all layers but the last.
        last: the one that puts out logits.
        stretching: what images pass through before the layers.
    """

    hidden: tuple[Layer, ...]
    last: nn.Linear
    stretching: ContrastStretching | None = None

    @property
    def classes(self) -> int:
        """How many logits there are."""
        return self.last.out_features

    def differences(self, labels: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """The last layer merged with logit of the label minus logit of each class.

        A bound of the difference is tighter than the difference of two bounds (Gowal et al., 2019).

        Returns:
            Coefficients (n, classes, features) over what the hidden layers put out, and constants (n, classes).
        """
        weight = self.last.weight.to(dtype)
        rows = weight[labels].unsqueeze(1) - weight
        if self.last.bias is None:
            return rows, torch.zeros(rows.shape[:2], dtype=dtype, device=rows.device)
        bias = self.last.bias.to(dtype)
        return rows, bias[labels].unsqueeze(1) - bias


def layers_of(network: nn.Module) -> Layers:
    """Take a network apart.

    Raises:
        UnsupportedLayer: a layer has no bounds here, or the last is no Linear.
    """
    stretching = None
    if isinstance(network, Transformed) and isinstance(network.transformation, ContrastStretching):
        stretching, network = network.transformation, network.network
    *hidden, last = [_known(position, layer) for position, layer in enumerate(_innermost(network))] or [nn.Flatten()]
    if not isinstance(last, nn.Linear):
        raise UnsupportedLayer(len(hidden), f"{type(last).__name__}, the last")
    return Layers(tuple(hidden), last, stretching)


def _innermost(network: nn.Module) -> Iterator[nn.Module]:
    if isinstance(network, nn.Sequential):
        for child in network:
            yield from _innermost(child)
    else:
        yield network


def _known(position: int, layer: nn.Module) -> Layer:
    match layer:
        case nn.Conv2d():
            if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
                raise UnsupportedLayer(position, f"Conv2d with padding {layer.padding!r}, {layer.padding_mode}")
            return layer
        case nn.Flatten():
            if (layer.start_dim, layer.end_dim) != (1, -1):
                raise UnsupportedLayer(position, f"Flatten({layer.start_dim}, {layer.end_dim})")
            return layer
        case nn.Linear() | nn.ReLU():
            return layer
        case _:
            raise UnsupportedLayer(position, type(layer).__name__)
