"""Projected gradient descent (Madry et al., 2018), in the L-infinity or the Euclidean ball."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from secmlops.robustness.attacks.attack import Classifier
from secmlops.robustness.attacks.ball import BallNorm, ball
from secmlops.robustness.attacks.goal import Goal, LossName, gradient, untargeted
from secmlops.robustness.attacks.standing import attack_standing

Schedule = Literal["constant", "cosine"]


@dataclass(frozen=True)
class Pgd:
    """Many small steps from a random start, again and again from other starts for what still stands.

    An image that is broken leaves the batch, so a weak classifier costs little.

    Attributes:
        eps: budget.
        norm: of the budget.
        steps: of each run.
        restarts: runs at most.
        step_size: length of the (first) step; None for eps on the cosine schedule, or 2.5 eps / steps.
        schedule: `cosine`, from a long step that gets out of dead ends to nothing, or the paper's `constant` step.
        loss: what is climbed.
        random_start: start the first run at a random image of the ball, not at the image; further runs always do.
        early_stop: let broken images go; without it every image is pushed to the last step of the last run, also one
            that is wrong already, as an attack that shall transfer must.
        seed: of the starts.
        batch_size: images at a time.
    """

    eps: float
    norm: BallNorm = "linf"
    steps: int = 40
    restarts: int = 1
    step_size: float | None = None
    schedule: Schedule = "cosine"
    loss: LossName = "cross_entropy"
    random_start: bool = True
    early_stop: bool = True
    seed: int = 0
    batch_size: int = 500
    name: ClassVar[str] = "pgd"

    def __call__(self, classifier: Classifier, images: Tensor, labels: Tensor) -> Tensor:
        """Attack images, with their true labels (n,)."""
        generator = torch.Generator(images.device).manual_seed(self.seed)

        def attack(images: Tensor, labels: Tensor) -> Tensor:
            return self.climb(untargeted(classifier, labels, self.loss), images, generator)

        if self.early_stop:
            return attack_standing(classifier, images, labels, attack, batch_size=self.batch_size)
        batches = zip(images.split(self.batch_size), labels.split(self.batch_size), strict=True)
        return torch.cat([attack(some, their) for some, their in batches])

    def climb(self, goal: Goal, images: Tensor, generator: torch.Generator) -> Tensor:
        """Attack one batch towards any goal; what does not get there is returned as the last step left it."""
        attacked = images.clone()
        standing = torch.arange(len(images), device=images.device)
        for run in range(self.restarts):
            around = ball(images[standing], self.eps, self.norm)
            at = around.random(generator) if run or self.random_start else images[standing]
            for step in self._step_sizes():
                upward, _, fooled = gradient(goal, at, standing)
                if self.early_stop and bool(fooled.any()):
                    attacked[standing[fooled]] = at[fooled]
                    kept = ~fooled
                    standing, at, upward, around = standing[kept], at[kept], upward[kept], around.keep(kept)
                    if not len(standing):
                        return attacked
                at = around.climb(at, upward, step)
            attacked[standing] = at
            if run + 1 < self.restarts and self.early_stop:
                with torch.no_grad():
                    standing = standing[~goal(at, standing)[1]]
                if not len(standing):
                    return attacked
        return attacked

    def _step_sizes(self) -> Iterator[float]:
        first = self.step_size
        if self.schedule == "constant":
            first = 2.5 * self.eps / self.steps if first is None else first
            return (first for _ in range(self.steps))
        first = self.eps if first is None else first
        return (first * (1 + math.cos(math.pi * step / self.steps)) / 2 for step in range(self.steps))
