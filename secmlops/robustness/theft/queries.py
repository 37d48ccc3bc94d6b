"""A model as its users see it, and answers that give less away."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

Array = npt.NDArray[np.float32]
Predict = Callable[[Array], Array]
"""Images (n, c, h, w) in [0, 1] to probabilities (n, classes): a network here, or a service far away."""

Obfuscation = Callable[[Array], Array]
"""Probabilities to what is told instead of them; ATLAS AML.M0002."""

_BATCH = 512


def of_network(network: nn.Module) -> Predict:
    """A network of logits as a model that is asked for probabilities."""

    @torch.no_grad()
    def predict(images: Array) -> Array:
        parts = [network(batch).softmax(dim=1) for batch in torch.from_numpy(images).split(_BATCH)]
        return torch.cat(parts).numpy()

    return predict


def obfuscated(predict: Predict, obfuscation: Obfuscation) -> Predict:
    """The model, telling less."""
    return lambda images: obfuscation(predict(images))


def rounded(decimals: int) -> Obfuscation:
    """Tell probabilities to so many decimals."""
    return lambda probabilities: probabilities.round(decimals)


def top_one(probabilities: Array) -> Array:
    """Tell the class alone: 1 for it, 0 for the others."""
    return np.eye(probabilities.shape[1], dtype=np.float32)[probabilities.argmax(axis=1)]


def mixed(images: Tensor, count: int, seed: int = 0) -> Tensor:
    """So many queries from few images: convex mixtures of two drawn by lot (mixup, Zhang et al. 2018)."""
    generator = torch.Generator().manual_seed(seed)
    first, second = torch.randint(len(images), (2, count), generator=generator)
    weight = torch.rand(count, 1, 1, 1, generator=generator)
    return weight * images[first] + (1 - weight) * images[second]
