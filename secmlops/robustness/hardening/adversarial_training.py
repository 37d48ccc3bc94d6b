"""Adversarial training: learn from images as an attacker would change them (ATLAS AML.M0003).

Each objective attacks the images of a batch and returns the loss on what comes of it. The size of the attack grows
over the first part of the training, because large attacks on a network that knows nothing leave it knowing nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from secmlops.robustness.attacks.attack import Attack
from secmlops.robustness.attacks.ball import LinfBall
from secmlops.robustness.attacks.standing import stands


@dataclass(frozen=True, slots=True)
class CrossEntropy:
    """Standard training, the yardstick of all others."""

    def __call__(self, network: nn.Module, images: Tensor, labels: Tensor, progress: float) -> Tensor:
        """Mean cross-entropy, nats."""
        return nn.functional.cross_entropy(network(images).float(), labels)


@dataclass(frozen=True, slots=True)
class FgsmTraining:
    """One long step from a random start ("Fast is better than free", Wong, Rice and Kolter 2020).

    As cheap as two epochs of standard training each, but robustness to many small steps can be lost from one epoch to
    the next (catastrophic overfitting): train with `RobustAccuracy` as validation and `FitConfig.largest_drop`.

    Attributes:
        eps: largest change of a pixel.
        step: length of the step as a multiple of eps.
        growth: share of the training over which eps grows from zero; 0 for none.
    """

    eps: float
    step: float = 1.25
    growth: float = 0.0

    def __call__(self, network: nn.Module, images: Tensor, labels: Tensor, progress: float) -> Tensor:
        """Mean cross-entropy of the attacked images, nats."""
        eps = grown(self.eps, progress, self.growth)
        attacked = climbed(network, images, eps, 1, self.step, lambda logits: _cross_entropy(logits, labels))
        return nn.functional.cross_entropy(network(attacked).float(), labels)


@dataclass(frozen=True, slots=True)
class PgdTraining:
    """Many small steps from a random start (Madry et al. 2018).

    Attributes:
        eps: largest change of a pixel.
        steps: of the attack.
        step: length of all steps together as a multiple of eps.
        growth: share of the training over which eps grows from zero.
    """

    eps: float
    steps: int = 10
    step: float = 2.5
    growth: float = 0.2

    def __call__(self, network: nn.Module, images: Tensor, labels: Tensor, progress: float) -> Tensor:
        """Mean cross-entropy of the attacked images, nats."""
        eps = grown(self.eps, progress, self.growth)
        attacked = climbed(network, images, eps, self.steps, self.step, lambda logits: _cross_entropy(logits, labels))
        return nn.functional.cross_entropy(network(attacked).float(), labels)


@dataclass(frozen=True, slots=True)
class Trades:
    """Be right on the images, and say the same of all images around them (TRADES, Zhang et al. 2019).

    Attributes:
        eps: largest change of a pixel.
        beta: weight of the second beside the first; trades clean accuracy for robustness.
        steps: of the attack.
        step: length of all steps together as a multiple of eps.
        growth: share of the training over which eps grows from zero.
    """

    eps: float
    beta: float = 4.0
    steps: int = 8
    step: float = 2.5
    growth: float = 0.2

    def __call__(self, network: nn.Module, images: Tensor, labels: Tensor, progress: float) -> Tensor:
        """Mean cross-entropy of the images and divergence of the attacked ones from them, nats."""
        logits = network(images).float()
        belief = logits.detach().softmax(1)
        eps = grown(self.eps, progress, self.growth)
        attacked = climbed(network, images, eps, self.steps, self.step, lambda other: _divergence(other, belief))
        divergence = _divergence(network(attacked).float(), logits.softmax(1)) / len(images)
        return nn.functional.cross_entropy(logits, labels) + self.beta * divergence


@dataclass(frozen=True, slots=True, eq=False)
class RobustAccuracy:
    """The share of images that a network still gets right under an attack: a validation score for `fit`.

    Attributes:
        attack: the attack.
        images: float32 (n, c, h, w), not among those that the network trains on.
        labels: int64 (n,).
    """

    attack: Attack
    images: Tensor
    labels: Tensor

    def __call__(self, network: nn.Module) -> float:
        """Accuracy under the attack, in [0, 1]."""
        device = next(network.parameters()).device
        images, labels = self.images.to(device), self.labels.to(device)
        return float(stands(network, self.attack(network, images, labels), labels).float().mean())


def grown(eps: float, progress: float, growth: float) -> float:
    """The size of the attack when a share `progress` of the training is done, growing linearly over `growth`."""
    return eps if progress >= growth else eps * progress / growth


def climbed(
    network: nn.Module, images: Tensor, eps: float, steps: int, length: float, loss: Callable[[Tensor], Tensor]
) -> Tensor:
    """Images after steps up a loss from random starts within eps, for training: no early stop, no search for the best.

    Args:
        network: attacked.
        images: float32 (n, c, h, w) in [0, 1].
        eps: largest change of a pixel.
        steps: how many.
        length: of all steps together, as a multiple of eps.
        loss: of float32 logits (n, k), summed over the images.
    """
    around = LinfBall((images - eps).clamp_(min=0), (images + eps).clamp_(max=1))
    attacked = torch.lerp(around.low, around.high, torch.rand_like(images))
    for _ in range(steps):
        attacked.requires_grad_()
        (gradient,) = torch.autograd.grad(loss(network(attacked).float()), attacked)
        attacked = around.climb(attacked.detach(), gradient, length * eps / steps)
    return attacked


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    return nn.functional.cross_entropy(logits, labels, reduction="sum")


def _divergence(logits: Tensor, belief: Tensor) -> Tensor:
    """Kullback-Leibler divergence of what the logits say from the belief, summed, nats."""
    return nn.functional.kl_div(logits.log_softmax(1), belief, reduction="sum")
