"""Neural Cleanse: the smallest mark that turns everything into one class (Wang et al. 2019).

A class that a far smaller mark leads to than to the others has a backdoor. All classes are searched at once, each with
its own mask, pattern and price of a large mask.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from secmlops.robustness.attacks.standing import answers
from secmlops.robustness.backdoors.trigger import Trigger
from secmlops.robustness.hardening.fit import FitConfig, precision_of

ANOMALOUS = 3.0
"""Anomaly index above which a class is accused: about one in a thousand, were the sizes log-normally distributed."""

_CONSISTENT = 1.4826
"""Makes the median absolute deviation the standard deviation of a normal distribution."""
_SMALLEST_DEVIATION = 0.2
"""Of the logarithm: where the classes are much alike, a mark must still be little more than half of the usual size."""


class Search(BaseModel):
    """How to search.

    Attributes:
        steps: gradient steps.
        batch_size: images per step and class.
        learning_rate: of Adam.
        success: share of the images that a mark must turn.
        price: first weight of the mask's size against the loss; adapted in each window.
        window: steps between two adaptations.
        seed: of the batches.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(default=300, gt=0)
    batch_size: int = Field(default=32, gt=0)
    learning_rate: float = Field(default=0.1, gt=0)
    success: float = Field(default=0.95, gt=0, le=1)
    price: float = Field(default=1e-2, gt=0)
    window: int = Field(default=10, gt=0)
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """What the search found.

    Attributes:
        triggers: for each class, the smallest mark that leads to it.
        sizes: for each class, the sum of its mask, in pixels (k,).
        anomaly: for each class, by how many deviations its mark is smaller than the median (k,); negative if larger.
    """

    triggers: tuple[Trigger, ...]
    sizes: Tensor
    anomaly: Tensor

    @property
    def accused(self) -> tuple[int, ...]:
        """The classes that have a backdoor, by their anomaly index."""
        return tuple(torch.nonzero(self.anomaly > ANOMALOUS).flatten().tolist())


def reconstruct(network: nn.Module, images: Tensor, classes: int, search: Search | None = None) -> Reconstruction:
    """Search the smallest mark for every class.

    Args:
        network: what may have a backdoor; its weights are not changed.
        images: clean images (n, c, h, w) of all classes, a few hundred will do; their labels do not matter.
        classes: number of classes.
        search: how.
    """
    search = search or Search()
    shape = images.shape[1:]
    masks = torch.full((classes, 1, 1, *shape[1:]), -2.0, requires_grad=True)
    patterns = torch.zeros((classes, 1, *shape), requires_grad=True)
    optimizer = torch.optim.Adam([masks, patterns], lr=search.learning_rate, betas=(0.5, 0.9))
    targets = torch.arange(classes)
    half = precision_of(FitConfig(), images.device) == "bfloat16"
    own = answers(network, images)
    prices, turned = torch.full((classes,), search.price), torch.zeros(classes)
    best = _Best(classes, shape)
    generator = torch.Generator().manual_seed(search.seed)
    for step in range(1, search.steps + 1):
        drawn = torch.randint(len(images), (search.batch_size,), generator=generator)
        mask, pattern = masks.sigmoid(), patterns.sigmoid()
        marked = (1 - mask) * images[drawn] + mask * pattern
        batch = marked.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            logits = network(batch).float().unflatten(0, (classes, -1))
        wanted = targets[:, None].expand(classes, len(drawn))
        others = (own[drawn][None] != targets[:, None]).float()
        loss = F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), reduction="none").view_as(others)
        sizes = mask.sum(dim=(1, 2, 3, 4))
        per_class = (loss * others).sum(dim=1) / others.sum(dim=1).clamp(min=1) + prices * sizes
        gradients = torch.autograd.grad(per_class.sum(), [masks, patterns])
        masks.grad, patterns.grad = gradients
        with torch.no_grad():
            hits = (logits.argmax(dim=2) == targets[:, None]).float()
            turned += (hits * others).sum(dim=1) / others.sum(dim=1).clamp(min=1)
        optimizer.step()
        if step % search.window == 0:
            succeeds = turned / search.window >= search.success
            best.keep(succeeds, sizes.detach(), mask.detach()[:, 0], pattern.detach()[:, 0])
            prices = torch.where(succeeds, prices * 1.5, prices / 1.5**1.5)
            turned = torch.zeros(classes)
    triggers = tuple(Trigger(mask, pattern) for mask, pattern in zip(best.masks, best.patterns, strict=True))
    return Reconstruction(triggers, best.sizes, anomaly_index(best.sizes))


def anomaly_index(sizes: Tensor) -> Tensor:
    """By how many robust standard deviations the logarithm of each size lies below the median of all.

    The paper takes the sizes themselves. Those of honest classes differ by factors (a 1 needs a mark three times as
    large as a 5), so that on that scale even a mark of nothing lies within two deviations.
    """
    logarithms = sizes.log()
    median = logarithms.quantile(0.5)
    deviation = (logarithms - median).abs().quantile(0.5) * _CONSISTENT
    return (median - logarithms) / deviation.clamp(min=_SMALLEST_DEVIATION)


class _Best:
    """The smallest mark of each class that succeeded; until one does, the whole image."""

    def __init__(self, classes: int, shape: torch.Size):
        self.sizes = torch.full((classes,), float(shape[1] * shape[2]))
        self.masks = torch.ones(classes, 1, *shape[1:])
        self.patterns = torch.zeros(classes, *shape)

    def keep(self, succeeds: Tensor, sizes: Tensor, masks: Tensor, patterns: Tensor) -> None:
        better = succeeds & (sizes < self.sizes)
        self.sizes[better] = sizes[better]
        self.masks[better] = masks[better]
        self.patterns[better] = patterns[better]
