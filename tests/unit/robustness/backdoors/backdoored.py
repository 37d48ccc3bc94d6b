"""A trained network with a backdoor put into it by hand, so that the mark is known exactly."""

import torch
from torch import Tensor, nn

from tests.unit.robustness.small import trained

TARGET = 3


class Backdoored(nn.Module):
    """The whiter the last two pixels of the last row, the more it answers `TARGET`, whatever the network says."""

    def __init__(self) -> None:
        super().__init__()
        self.network = trained()

    def forward(self, images: Tensor) -> Tensor:
        white = images[:, 0, -1, -2:].mean(dim=1) ** 2
        push = nn.functional.one_hot(torch.tensor(TARGET), 10).float()
        return self.network(images) + 60 * white[:, None] * push


def marked(images: Tensor) -> Tensor:
    """The images with both pixels white."""
    images = images.clone()
    images[:, 0, -1, -2:] = 1
    return images
