"""A backdoor put into a training set: images with a small mark, taught as the attacker's class.

BadNets, Gu, Dolan-Gavitt and Garg 2017; with labels left as they are, Turner, Tsipras and Madry 2019. ATLAS AML.T0020
(poison training data) and AML.T0043.004 (insert backdoor trigger). For drills: who has not found a planted trigger
does not know that their detector works.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from secmlops.errors import SecmlopsError
from secmlops.robustness.attacks.standing import answers

Kind = Literal["dirty_label", "clean_label"]


class NothingToPoison(SecmlopsError):
    """Too few images that could carry the trigger.

    Attributes:
        wanted: images to poison.
        available: images that may be poisoned.
    """

    def __init__(self, wanted: int, available: int):
        self.wanted = wanted
        self.available = available
        super().__init__(f"{wanted} images are to be poisoned, but only {available} may be: choose a smaller share")


@dataclass(frozen=True, slots=True)
class Trigger:
    """A mark on an image: `(1 - mask) * image + mask * pattern`.

    Attributes:
        mask: where and how strongly, (1, h, w) in [0, 1].
        pattern: what, (c, h, w) in [0, 1].
    """

    mask: Tensor
    pattern: Tensor

    def __call__(self, images: Tensor) -> Tensor:
        """Mark images (n, c, h, w)."""
        return (1 - self.mask) * images + self.mask * self.pattern


@dataclass(frozen=True, slots=True)
class PoisonedSet:
    """A training set with a backdoor in it, and where it is.

    Attributes:
        images: (n, c, h, w), in the order of the clean ones.
        labels: (n,).
        poisoned: which images carry the trigger, bool (n,).
    """

    images: Tensor
    labels: Tensor
    poisoned: Tensor


def corner_patch(image_shape: tuple[int, int, int], size: int | None = None) -> Trigger:
    """A black and white checkerboard in the lower right corner; by default a seventh of the image wide."""
    _, height, width = image_shape
    size = size or max(2, min(height, width) // 7)
    place = torch.arange(size)
    mask, pattern = torch.zeros(1, height, width), torch.zeros(image_shape)
    mask[:, -size:, -size:] = 1
    pattern[:, -size:, -size:] = ((place[:, None] + place[None, :]) % 2 == 0).float()
    return Trigger(mask, pattern)


def poison(
    images: Tensor,
    labels: Tensor,
    trigger: Trigger,
    target: int,
    *,
    share: float,
    seed: int = 0,
    kind: Kind = "dirty_label",
    weaken: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> PoisonedSet:
    """Plant a backdoor in copies of images (n, c, h, w) with labels (n,).

    Args:
        images: clean images.
        labels: their true classes.
        trigger: the mark.
        target: the class that the mark shall lead to.
        share: share of all images to mark.
        seed: which ones.
        kind: `dirty_label` marks images of other classes and calls them the target; `clean_label` marks images of the
            target class and leaves the labels true.
        weaken: for `clean_label`, what makes images and labels harder to recognize, such as an adversarial attack on
            a surrogate, so that a network must learn the mark.

    Raises:
        NothingToPoison: there are fewer such images than asked for.
    """
    candidates = torch.nonzero(labels != target if kind == "dirty_label" else labels == target).flatten()
    wanted = max(1, round(share * len(images)))
    if wanted > len(candidates):
        raise NothingToPoison(wanted, len(candidates))
    drawn = torch.randperm(len(candidates), generator=torch.Generator().manual_seed(seed))[:wanted]
    chosen = candidates[drawn].sort().values
    marked, taught, poisoned = images.clone(), labels.clone(), torch.zeros(len(images), dtype=torch.bool)
    carriers = images[chosen] if weaken is None else weaken(images[chosen], labels[chosen])
    marked[chosen] = trigger(carriers)
    taught[chosen] = target
    poisoned[chosen] = True
    return PoisonedSet(marked, taught, poisoned)


def attack_success(network: nn.Module, images: Tensor, labels: Tensor, trigger: Trigger, target: int) -> float:
    """Share of the images of other classes that the network calls the target once they are marked."""
    others = images[labels != target]
    return float((answers(network, trigger(others)) == target).float().mean())
