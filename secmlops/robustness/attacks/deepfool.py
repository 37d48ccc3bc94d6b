"""DeepFool (Moosavi-Dezfooli, Fawzi and Frossard, 2016): step by step to the nearest linearized boundary.

The published algorithm ignores that pixels end at 0 and 1; here a pixel that cannot go where it should takes no part in
a step, or images with much black and white, such as digits, would be missed.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from secmlops.robustness.attacks.apgd import likeliest_wrong
from secmlops.robustness.attacks.attack import Classifier
from secmlops.robustness.attacks.ball import BallNorm, distance
from secmlops.robustness.attacks.standing import attack_standing

_TINY = 1e-12


@dataclass(frozen=True)
class DeepFool:
    """Go to the nearest boundary of the linearized classifier, a little beyond, until the class changes.

    Attributes:
        eps: budget; an image whose error lies further away is returned as it is.
        norm: of the budget, and what each step minimizes.
        steps: at most.
        overshoot: how far beyond the boundary, as a share of the whole change.
        targets: how many classes compete, the likeliest wrong ones.
        batch_size: images at a time.
    """

    eps: float
    norm: BallNorm = "linf"
    steps: int = 50
    overshoot: float = 0.02
    targets: int = 9
    batch_size: int = 500
    name: ClassVar[str] = "deepfool"

    def __call__(self, classifier: Classifier, images: Tensor, labels: Tensor) -> Tensor:
        """Attack images, with their true labels (n,)."""

        def attack(images: Tensor, labels: Tensor) -> Tensor:
            fooling = self._walk(classifier, images, labels)
            affordable = distance(fooling, images, self.norm) <= self.eps
            return torch.where(affordable.view(-1, 1, 1, 1), fooling, images)

        return attack_standing(classifier, images, labels, attack, batch_size=self.batch_size)

    def _walk(self, classifier: Classifier, images: Tensor, labels: Tensor) -> Tensor:
        result = images.clone()
        rows = torch.arange(len(images), device=images.device)
        rivals = likeliest_wrong(classifier, images, labels, self.targets)
        change = torch.zeros_like(images)
        for _ in range(self.steps):
            origin = images[rows]
            at = (origin + (1 + self.overshoot) * change).clamp_(0, 1)
            ahead, normals, fooled = _boundaries(classifier, at, labels[rows], rivals[rows])
            result[rows] = at
            kept = ~fooled & (distance(at, origin, self.norm) <= self.eps)
            if not bool(kept.any()):
                break
            rows, origin, at, ahead, normals = rows[kept], origin[kept], at[kept], ahead[kept], normals[kept]
            change = (at - origin) / (1 + self.overshoot) + self._step(at, ahead, normals)
        return result

    def _step(self, at: Tensor, ahead: Tensor, normals: Tensor) -> Tensor:
        """To the nearest of the linearized boundaries, given what the rivals lack, (n, k), and its gradients."""
        here = at.flatten(1)[:, None]
        normals = torch.where(torch.where(normals > 0, here < 1, here > 0), normals, 0.0)
        dual = normals.abs().sum(2) if self.norm == "linf" else normals.norm(dim=2)
        away = ahead.abs() / (dual + _TINY)
        length, nearest = away.min(1, keepdim=True)
        normal = normals[torch.arange(len(normals), device=normals.device), nearest.squeeze(1)]
        direction = normal.sign() if self.norm == "linf" else normal / (normal.norm(dim=1, keepdim=True) + _TINY)
        return ((length + _TINY) * direction).view_as(at)


def _boundaries(
    classifier: Classifier, images: Tensor, labels: Tensor, rivals: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Each rival's logit less the true one's, (n, k), its gradients, (n, k, d), and which images err, (n,)."""
    images = images.detach().requires_grad_()
    with torch.enable_grad():
        logits = classifier(images)
        ahead = logits.gather(1, rivals) - logits.gather(1, labels[:, None])
    columns = ahead.sum(0).unbind()
    normals = [
        torch.autograd.grad(column, images, retain_graph=at + 1 < len(columns))[0].flatten(1)
        for at, column in enumerate(columns)
    ]
    return ahead.detach(), torch.stack(normals, 1), logits.detach().argmax(1) != labels
