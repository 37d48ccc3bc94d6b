"""A classifier that sees transformed images (ATLAS AML.M0010, input restoration)."""

from torch import Tensor, nn


class Transformed(nn.Module):
    """A transformation and a network as one classifier from images to logits.

    What an attacker who ignores the transformation achieves against it says little: measure it with an attack that
    knows it (Athalye, Carlini and Wagner 2018).
    """

    def __init__(self, transformation: nn.Module, network: nn.Module):
        super().__init__()
        self.transformation = transformation
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, classes) of images (n, c, h, w) in [0, 1]."""
        return self.network(self.transformation(images))
