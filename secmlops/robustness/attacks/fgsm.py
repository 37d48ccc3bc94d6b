"""The fast gradient sign method (Goodfellow, Shlens and Szegedy, 2015): one step as far as the budget allows."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from secmlops.robustness.attacks.attack import Classifier
from secmlops.robustness.attacks.ball import BallNorm, ball
from secmlops.robustness.attacks.goal import gradient, untargeted
from secmlops.robustness.attacks.standing import attack_standing


@dataclass(frozen=True)
class Fgsm:
    """One step of length eps along the sign of the cross-entropy's gradient (the normalized gradient for `l2`).

    Attributes:
        eps: budget.
        norm: of the budget.
        batch_size: images at a time.
    """

    eps: float
    norm: BallNorm = "linf"
    batch_size: int = 500
    name: ClassVar[str] = "fgsm"

    def __call__(self, classifier: Classifier, images: Tensor, labels: Tensor) -> Tensor:
        """Attack images, with their true labels (n,)."""

        def step(images: Tensor, labels: Tensor) -> Tensor:
            rows = torch.arange(len(images), device=images.device)
            upward, _, _ = gradient(untargeted(classifier, labels), images, rows)
            return ball(images, self.eps, self.norm).climb(images, upward, self.eps)

        return attack_standing(classifier, images, labels, step, batch_size=self.batch_size)
