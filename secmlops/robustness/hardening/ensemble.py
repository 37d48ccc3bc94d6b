"""Several networks as one classifier (ATLAS AML.M0006)."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn


class Ensemble(nn.Module):
    """Answers with the mean of its members' probabilities (Lakshminarayanan et al. 2017).

    Attributes:
        members: the networks, from the same images to logits of the same classes.
    """

    def __init__(self, members: Iterable[nn.Module]):
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, images: Tensor) -> Tensor:
        """Logarithms of the mean probabilities, (n, classes): logits as good as any, and an attack can follow them."""
        each = torch.stack([member(images).log_softmax(1) for member in self.members])
        return each.logsumexp(0) - math.log(len(self.members))

    def disagreement(self, images: Tensor) -> Tensor:
        """How far the members' answers differ, (n,): the divergence of each from their mean, averaged, nats.

        High where an attack carries over from one member to another only in part, so it serves as a detector's score.
        """
        each = torch.stack([member(images).log_softmax(1) for member in self.members])
        mean = each.logsumexp(0) - math.log(len(self.members))
        return (each.exp() * (each - mean)).sum(2).mean(0)
