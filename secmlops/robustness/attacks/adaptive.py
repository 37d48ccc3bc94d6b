"""Attacks that know the defence: through a transformation that hides the gradient, and past a detector.

Athalye, Carlini and Wagner (2018, arXiv 1802.00420): the backward pass differentiable approximation (BPDA) and the
expectation over transformation (EOT). Carlini and Wagner (2017, arXiv 1705.07263) and Tramer et al. (2020): a detector
is a part of what is attacked.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from secmlops.robustness.attacks.apgd import Apgd
from secmlops.robustness.attacks.attack import Classifier
from secmlops.robustness.attacks.ball import BallNorm
from secmlops.robustness.attacks.goal import Goal, margin
from secmlops.robustness.attacks.standing import attack_standing

_STEEPNESS: Final = 5.0

Transformation = Callable[[Tensor], Tensor]
"""Images to images of the same shape."""


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, transformation: Transformation) -> Tensor:
        return transformation(images).detach()

    @staticmethod
    def backward(ctx: Any, *upward: Tensor) -> tuple[Tensor, None]:
        return upward[0], None


def through(transformation: Transformation, classifier: Classifier) -> Classifier:
    """The classifier behind a transformation, whose gradient is taken for the identity's (BPDA).

    What an attack on it returns has passed the real transformation, so it is a true error of the defended classifier.
    For a transformation that about preserves its input: rounding, median, JPEG, restoration. One that shows its
    gradient to attackers by itself (`shows_gradient`) is left to.
    """
    if getattr(transformation, "shows_gradient", False):
        return lambda images: classifier(transformation(images))

    def transformed(images: Tensor) -> Tensor:
        return classifier(_StraightThrough.apply(images, transformation))

    return transformed


def averaged(classifier: Classifier, samples: int) -> Classifier:
    """The mean logits of a randomized classifier over `samples` draws, so its gradient is the mean gradient (EOT)."""

    def mean(images: Tensor) -> Tensor:
        logits = classifier(images.repeat(samples, *[1] * (images.ndim - 1)))
        return logits.unflatten(0, (samples, len(images))).mean(0)

    return mean


@dataclass(frozen=True)
class DetectorAware:
    """Auto-PGD on classifier and detector together: an image succeeds when it errs and the detector is silent.

    The loss is log sigmoid(margin) + log sigmoid(silence), each measured in its own size on the images as they are: as
    if the two were independent odds, so the attack works on what still holds and keeps what is won. (The lesser of the
    two, which follows one gradient at a time, got a third fewer images past a learnt detector of ours.) An image that
    errs but is detected stands.

    Attributes:
        eps: budget.
        detector: images to scores (n,), and differentiable.
        threshold: a score above it is a detection.
        norm: of the budget.
        steps: of each run.
        restarts: runs at most, for what still stands.
        seed: of the starts.
        batch_size: images at a time.
    """

    eps: float
    detector: Callable[[Tensor], Tensor] = field(repr=False)
    threshold: float
    norm: BallNorm = "linf"
    steps: int = 100
    restarts: int = 1
    seed: int = 0
    batch_size: int = 500
    name: ClassVar[str] = "detector_aware"

    def __call__(self, classifier: Classifier, images: Tensor, labels: Tensor) -> Tensor:
        """Attack images, with their true labels (n,)."""
        generator = torch.Generator(images.device).manual_seed(self.seed)
        climber = Apgd(self.eps, norm=self.norm, steps=self.steps, restarts=self.restarts)

        def attack(images: Tensor, labels: Tensor) -> Tensor:
            return climber.climb(self._goal(classifier, images, labels), images, generator)

        return attack_standing(classifier, images, labels, attack, batch_size=self.batch_size)

    def evades(self, classifier: Classifier, images: Tensor, labels: Tensor) -> Tensor:
        """Whether each image errs without being detected, bool (n,)."""
        with torch.no_grad():
            return (classifier(images).argmax(1) != labels) & (self.detector(images) <= self.threshold)

    def _goal(self, classifier: Classifier, images: Tensor, labels: Tensor) -> Goal:
        with torch.no_grad():
            certainty = margin(classifier(images), labels).abs().median().clamp(min=1e-6)
            calm = (self.threshold - self.detector(images)).abs().median().clamp(min=1e-6)

        def goal(images: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
            error = margin(classifier(images), labels[rows])
            silence = self.threshold - self.detector(images)
            odds = logsigmoid(_STEEPNESS * error / certainty) + logsigmoid(_STEEPNESS * silence / calm)
            return odds, (error > 0) & (silence >= 0)

        return goal
