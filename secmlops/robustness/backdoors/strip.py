"""STRIP: a mark wins over whatever else is in the image (Gao et al. 2019, arXiv 1902.06531).

Clean images are laid over an image, one at a time. The answers to these mixtures vary, unless the image carries a mark
that the network obeys: then they hardly do. An image whose answers have less entropy than nearly all clean images'
is suspected. The method needs no knowledge of the mark and judges a single image, so it also fits the request path;
it is blind to marks that work for images of some classes only, and to networks that answer by little evidence anyway.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

_OVERLAYS = 20
_FALSE_REJECTIONS = 0.05
_BATCH = 2048


@dataclass(frozen=True, slots=True)
class Screening:
    """The verdict on images.

    Attributes:
        suspects: whose answers vary too little, bool (n,).
        entropies: mean entropy of the answers to the mixtures, in nats (n,).
        threshold: an entropy below it is suspected.
    """

    suspects: Tensor
    entropies: Tensor
    threshold: float


def strip(
    network: nn.Module,
    images: Tensor,
    clean: Tensor,
    *,
    overlays: int = _OVERLAYS,
    false_rejections: float = _FALSE_REJECTIONS,
    seed: int = 0,
) -> Screening:
    """Screen images (n, c, h, w).

    Args:
        network: images to logits; what may have a backdoor.
        images: to be screened.
        clean: trusted images (m, c, h, w) of all classes: they are laid over the others, and set the threshold.
        overlays: how many are laid over each image.
        false_rejections: share of clean images that may be suspected.
        seed: which are laid over which.
    """
    usual = entropies(network, clean, clean, overlays=overlays, seed=seed)
    found = entropies(network, images, clean, overlays=overlays, seed=seed + 1)
    threshold = float(usual.quantile(false_rejections))
    return Screening(found < threshold, found, threshold)


@torch.no_grad()
def entropies(network: nn.Module, images: Tensor, clean: Tensor, *, overlays: int = _OVERLAYS, seed: int = 0) -> Tensor:
    """Mean entropy of the answers to each image (n, c, h, w) under so many clean ones drawn by lot, in nats (n,)."""
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros(len(images))
    for _ in range(overlays):
        drawn = torch.randint(len(clean), (len(images),), generator=generator)
        for rows in torch.arange(len(images)).split(_BATCH):
            logs = network((images[rows] + clean[drawn[rows]]).clamp(0, 1)).log_softmax(dim=1)
            total[rows] -= (logs.exp() * logs).sum(dim=1)
    return total / overlays
