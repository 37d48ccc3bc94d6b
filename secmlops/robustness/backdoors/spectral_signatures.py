"""Spectral signatures: poisoned images stand out where their class varies most (Tran, Li and Madry 2018).

The method always names a fixed share of each class, poisoned or not: it ranks, and does not decide. Give it the classes
that something else has accused.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from secmlops.robustness.backdoors.activations import last_hidden

_EXCESS = 1.5
"""How many times the expected poison is taken out, as in the paper."""


@dataclass(frozen=True, slots=True)
class Spectrum:
    """The ranking of a training set.

    Attributes:
        suspects: the highest scores of each class, bool (n,).
        scores: squared projection of an image's activations on the first singular vector of its class (n,).
    """

    suspects: Tensor
    scores: Tensor


def spectral_signatures(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    expected_share: float,
    classes: Sequence[int] | None = None,
) -> Spectrum:
    """Rank the training set (images (n, c, h, w), labels (n,)) that a network was trained on.

    Args:
        network: the trained network.
        images: its training images.
        labels: their classes, as taught.
        expected_share: share of a class that may be poisoned, at most; 1.5 times as many are suspected.
        classes: where to look; all by default.
    """
    activations = last_hidden(network, images)
    scores, suspects = torch.zeros(len(images)), torch.zeros(len(images), dtype=torch.bool)
    for label in labels.unique().tolist() if classes is None else classes:
        of_class = torch.nonzero(labels == label).flatten()
        centred = activations[of_class] - activations[of_class].mean(dim=0)
        _, _, directions = torch.linalg.svd(centred, full_matrices=False)
        scores[of_class] = (centred @ directions[0]) ** 2
        named = min(len(of_class), round(_EXCESS * expected_share * len(of_class)))
        suspects[of_class[scores[of_class].topk(named).indices]] = True
    return Spectrum(suspects, scores)
