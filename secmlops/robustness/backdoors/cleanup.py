"""Finding the images of a backdoor, leaving them out, and training again until nothing is accused any more.

What this cannot do: a mark that turns too few images for Neural Cleanse to find a small one, such as clean-label
poisoning of few images may leave behind, or one spread over the whole image, is not accused; and where marked images
outnumber the true images of their class, that class is left with few.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from secmlops.robustness.backdoors.carriers import find_carriers
from secmlops.robustness.backdoors.neural_cleanse import Reconstruction, Search, reconstruct
from secmlops.robustness.trainer import Train

_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A training set without its backdoor, as far as it was found.

    Attributes:
        network: trained on what was kept.
        kept: which images of the training set, bool (n,).
        accused: in each round, the classes that had a backdoor; an empty last entry means that nothing is left to see.
        reconstructions: in each round, the marks that were found.
    """

    network: nn.Module
    kept: Tensor
    accused: tuple[tuple[int, ...], ...]
    reconstructions: tuple[Reconstruction, ...]

    @property
    def is_clean(self) -> bool:
        """Whether the last network is accused of nothing."""
        return not self.accused[-1]


def clean_up(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    train: Train,
    *,
    reference: Tensor,
    classes: int,
    search: Search | None = None,
    rounds: int = _ROUNDS,
    seed: int = 0,
) -> Cleaned:
    """Look for backdoors, leave out the images that carry their marks, and train again; at most so many rounds.

    A network that is accused of nothing is returned as it is, and so is its training set.

    Args:
        network: trained on images and labels.
        images: the training set (n, c, h, w).
        labels: its labels (n,), as taught.
        train: trains a new network.
        reference: trusted images (m, c, h, w) of all classes, such as a validation set; a few hundred will do.
        classes: number of classes.
        search: how to look for marks.
        rounds: trainings at most.
        seed: of what is drawn.
    """
    kept = torch.ones(len(images), dtype=torch.bool)
    found = [reconstruct(network, reference, classes, search)]
    while found[-1].accused and len(found) <= rounds:
        carriers = torch.zeros_like(kept)
        for target in found[-1].accused:
            carriers |= find_carriers(network, images, labels, found[-1].triggers[target], target, seed=seed)
        if not (carriers & kept).any():
            break
        kept &= ~carriers
        network = train(images[kept], labels[kept])
        found.append(reconstruct(network, reference, classes, search))
    return Cleaned(network, kept, tuple(each.accused for each in found), tuple(found))
