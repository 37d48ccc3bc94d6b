"""What one neuron of a stack of convolutions sees: bounding it takes a window of the image and not all of it."""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows of one size, each in one of n images; they may reach over its border, where padding puts zeros.

    Attributes:
        owners: which image each lies in, (windows,).
        top: its first row, (windows,).
        left: its first column, (windows,).
        height: how many rows.
        width: how many columns.
    """

    owners: Tensor
    top: Tensor
    left: Tensor
    height: int = 1
    width: int = 1

    def before(self, layer: nn.Conv2d) -> "Windows":
        """The windows of a convolution's input from which these of its output come."""
        down, right = layer.stride
        above, beside = (int(pad) for pad in layer.padding)
        return Windows(
            self.owners,
            self.top * down - above,
            self.left * right - beside,
            (self.height - 1) * down + layer.dilation[0] * (layer.kernel_size[0] - 1) + 1,
            (self.width - 1) * right + layer.dilation[1] * (layer.kernel_size[1] - 1) + 1,
        )

    def cut(self, images: Tensor) -> Tensor:
        """The windows (windows, channels, height, width) of images (n, channels, ...)."""
        rows = self.top.unsqueeze(1) + torch.arange(self.height, device=images.device)
        columns = self.left.unsqueeze(1) + torch.arange(self.width, device=images.device)
        tall, wide = images.shape[2:]
        known = images.permute(0, 2, 3, 1)[
            self.owners[:, None, None], rows.clamp(0, tall - 1)[:, :, None], columns.clamp(0, wide - 1)[:, None, :]
        ]
        inside = ((rows >= 0) & (rows < tall))[:, :, None] & ((columns >= 0) & (columns < wide))[:, None, :]
        return (known * inside.unsqueeze(3)).permute(0, 3, 1, 2)


def unpadded(layer: nn.Conv2d) -> nn.Conv2d:
    """The same convolution of windows, which bring their padding along."""
    bare = copy.copy(layer)
    bare.padding = (0, 0)
    return bare
