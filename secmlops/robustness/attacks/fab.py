"""The fast adaptive boundary attack (Croce and Hein, 2020, arXiv 1907.02044), targeted: the nearest image that errs."""

from dataclasses import dataclass
from typing import ClassVar, Final

import torch
from torch import Tensor

from secmlops.robustness.attacks.apgd import likeliest_wrong
from secmlops.robustness.attacks.attack import Classifier
from secmlops.robustness.attacks.ball import BallNorm, ball, distance
from secmlops.robustness.attacks.hyperplane import step_to
from secmlops.robustness.attacks.standing import attack_standing

_LARGEST_BIAS: Final = 0.1
_OVERSHOOT: Final = 1.05
_BACKWARD: Final = 0.9
_TINY: Final = 1e-8


@dataclass(frozen=True)
class TargetedFab:
    """Steps to the linearized boundary with one class after the other, drawn towards the image (FAB-T).

    It minimizes the change rather than spend a budget, so it needs no step size and suffers less from masked gradients.

    Attributes:
        eps: budget; an image whose nearest error found lies further away is returned as it is.
        norm: of the budget, and what is minimized.
        steps: for each class.
        targets: how many classes to try, the likeliest wrong one first.
        restarts: runs for each class; all but the first from a random image of the ball.
        early_stop: let an image go once an error lies within eps; without it the nearest error found is returned.
        seed: of the random starts.
        batch_size: images at a time.
    """

    eps: float
    norm: BallNorm = "linf"
    steps: int = 100
    targets: int = 9
    restarts: int = 1
    early_stop: bool = True
    seed: int = 0
    batch_size: int = 500
    name: ClassVar[str] = "fab_t"

    def __call__(self, classifier: Classifier, images: Tensor, labels: Tensor) -> Tensor:
        """Attack images, with their true labels (n,)."""
        generator = torch.Generator(images.device).manual_seed(self.seed)

        def attack(images: Tensor, labels: Tensor) -> Tensor:
            nearest = _Nearest(images)
            for targets in likeliest_wrong(classifier, images, labels, self.targets).unbind(1):
                for run in range(self.restarts):
                    rows = self._open(nearest)
                    if len(rows):
                        self._run(classifier, nearest, rows, labels, targets, generator if run else None)
            return nearest.within(self.eps)

        return attack_standing(classifier, images, labels, attack, batch_size=self.batch_size)

    def _open(self, nearest: "_Nearest") -> Tensor:
        still = nearest.distance > self.eps if self.early_stop else torch.ones_like(nearest.distance, dtype=torch.bool)
        return still.nonzero().flatten()

    def _run(
        self,
        classifier: Classifier,
        nearest: "_Nearest",
        rows: Tensor,
        labels: Tensor,
        targets: Tensor,
        generator: torch.Generator | None,
    ) -> None:
        """Approach the boundary between true class and target, noting every error on the way."""
        at = nearest.images[rows]
        if generator is not None:
            reach = nearest.distance[rows].clamp(max=self.eps) / self.eps / 2
            at = at + (ball(at, self.eps, self.norm).random(generator) - at) * reach.view(-1, 1, 1, 1)
        for _ in range(self.steps):
            origin, their = nearest.images[rows], labels[rows]
            value, normal = _boundary(classifier, at, their, targets[rows])
            at = self._closer(at, origin, value, normal)
            with torch.no_grad():
                erring = classifier(at).argmax(1) != their
            if bool(erring.any()):
                nearest.note(rows[erring], at[erring], self.norm)
                back = torch.where(erring, _BACKWARD, 1.0).view(-1, 1, 1, 1).to(at.dtype)
                at = torch.lerp(origin, at, back)
                if self.early_stop:
                    kept = nearest.distance[rows] > self.eps
                    rows, at = rows[kept], at[kept]
                    if not len(rows):
                        return

    def _closer(self, at: Tensor, origin: Tensor, value: Tensor, normal: Tensor) -> Tensor:
        """Step to the linearized boundary from here and from the image, and mix, leaning on the nearer."""
        here, normal = at.flatten(1), normal.flatten(1)
        start = origin.flatten(1)
        value_at_start = value + (normal * (start - here)).sum(1)
        step = step_to(here, normal, value, self.norm)
        step_from_start = step_to(start, normal, value_at_start, self.norm)
        length = distance(step, torch.zeros_like(step), self.norm).clamp(min=_TINY)
        length_from_start = distance(step_from_start, torch.zeros_like(step), self.norm).clamp(min=_TINY)
        bias = (length / (length + length_from_start)).clamp(max=_LARGEST_BIAS)[:, None]
        mixed = torch.lerp(here + _OVERSHOOT * step, start + _OVERSHOOT * step_from_start, bias)
        return mixed.clamp_(0, 1).view_as(at)


class _Nearest:
    """The nearest error found for every image of a batch.

    Attributes:
        images: the images, (n, channels, height, width).
        distance: of the nearest error, infinite where none is known, (n,).
    """

    def __init__(self, images: Tensor) -> None:
        self.images = images
        self.distance = torch.full((len(images),), torch.inf, dtype=images.dtype, device=images.device)
        self._errors = images.clone()

    def note(self, rows: Tensor, errors: Tensor, norm: BallNorm) -> None:
        """Remember the errors that are nearer than what is known."""
        their = distance(errors, self.images[rows], norm)
        nearer = their < self.distance[rows]
        self.distance[rows[nearer]] = their[nearer]
        self._errors[rows[nearer]] = errors[nearer]

    def within(self, eps: float) -> Tensor:
        """The nearest errors, and the images as they are where it lies further than eps."""
        return torch.where((self.distance <= eps).view(-1, 1, 1, 1), self._errors, self.images)


def _boundary(classifier: Classifier, images: Tensor, labels: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The target's logit less the true one's, (n,), and its gradient."""
    images = images.detach().requires_grad_()
    with torch.enable_grad():
        logits = classifier(images)
        ahead = (logits.gather(1, targets[:, None]) - logits.gather(1, labels[:, None])).squeeze(1)
    return ahead.detach(), torch.autograd.grad(ahead.sum(), images)[0]
