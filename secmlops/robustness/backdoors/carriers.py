"""Which training images carry a mark that Neural Cleanse reconstructed.

First by cause: where the mark would be, an image gets the pixels of other images; one that loses its class by that was
held by the mark (the idea of SentiNet, Chou, Tramer and Pellegrino 2020, with the region known). Then by likeness: what
distinguishes those images from all images of other classes is the mark, as their contents are of many classes; a
linear model learns it and finds the carriers that the first test missed.
"""

import numpy as np
import torch
from torch import Tensor, nn

from secmlops.robustness.attacks.standing import answers
from secmlops.robustness.backdoors.trigger import Trigger

_IN_MASK = 0.3
_SWAPS = 5
_FEWEST = 3
"""Fewer images held by the mark teach nothing about it."""


def find_carriers(
    network: nn.Module, images: Tensor, labels: Tensor, trigger: Trigger, target: int, *, seed: int = 0
) -> Tensor:
    """The images of the training set that carry the mark, bool (n,).

    Args:
        network: the network with the backdoor.
        images: its training images (n, c, h, w).
        labels: their classes (n,), as taught.
        trigger: the reconstructed mark.
        target: the class that it leads to; only its images are looked at.
        seed: whose pixels an image gets.
    """
    of_target = torch.nonzero(labels == target).flatten()
    others = images[labels != target]
    held = _held_by_the_mark(network, images[of_target], others, trigger, target, seed)
    carriers = torch.zeros(len(images), dtype=torch.bool)
    carriers[of_target[held]] = True
    if held.sum() >= _FEWEST and len(others):
        carriers[of_target] |= _like(images[of_target], images[of_target][held], others)
    return carriers


@torch.no_grad()
def _held_by_the_mark(
    network: nn.Module, images: Tensor, others: Tensor, trigger: Trigger, target: int, seed: int
) -> Tensor:
    """Which images are called the target, but mostly not when the mark's place is filled with other pixels."""
    generator = torch.Generator().manual_seed(seed)
    mask = (trigger.mask > _IN_MASK).float()
    lost = torch.zeros(len(images))
    for _ in range(_SWAPS):
        fill = others[torch.randint(len(others), (len(images),), generator=generator)]
        lost += answers(network, (1 - mask) * images + mask * fill) != target
    return (lost > _SWAPS / 2) & (answers(network, images) == target)


def _like(images: Tensor, carriers: Tensor, others: Tensor) -> Tensor:
    """Which images a linear model of the pixels takes for carriers rather than for images of other classes."""
    from sklearn.linear_model import LogisticRegression

    pixels = torch.cat([carriers, others]).flatten(1).numpy()
    is_carrier = np.arange(len(pixels)) < len(carriers)
    model = LogisticRegression(class_weight="balanced", max_iter=500).fit(pixels, is_carrier)
    return torch.from_numpy(model.predict(images.flatten(1).numpy()))
