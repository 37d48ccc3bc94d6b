"""Training as a function, for whatever needs many networks of one kind: drills, shadow models."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from secmlops.robustness.hardening.adversarial_training import CrossEntropy
from secmlops.robustness.hardening.fit import FitConfig, Objective, fit
from secmlops.robustness.networks import NetworkConfig, build

Train = Callable[[Tensor, Tensor], nn.Module]
"""Images (n, c, h, w) and labels (n,) to a new, trained network."""


def trainer(network: NetworkConfig, config: FitConfig, objective: Objective | None = None) -> Train:
    """What trains networks of a kind, by default on cross-entropy; the same images give the same network."""

    def train(images: Tensor, labels: Tensor) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            new = build(network)
        fit(new, images, labels, objective or CrossEntropy(), config)
        return new

    return train
