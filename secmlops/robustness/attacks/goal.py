"""What an attack climbs: a loss for each image, and whether the image has fooled the classifier.

Losses grow as the classifier errs. Cross-entropy is Goodfellow et al. (2015); the margin is Carlini and Wagner (2017);
the difference-of-logits ratio (DLR), which no rescaling of the logits can flatten, and its targeted form are Croce and
Hein (2020).
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from secmlops.robustness.attacks.attack import Classifier

Goal = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Images (m, channels, height, width) and which rows of the batch they are (m,), to the loss and whether each image has
fooled the classifier, both (m,)."""

LossName = Literal["cross_entropy", "margin", "dlr"]
_TINY = 1e-12


def untargeted(classifier: Classifier, labels: Tensor, loss: LossName = "cross_entropy") -> Goal:
    """Any class but the true one."""
    measure = _LOSSES[loss]

    def goal(images: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        logits, their = classifier(images), labels[rows]
        return measure(logits, their), logits.detach().argmax(1) != their

    return goal


def targeted(classifier: Classifier, labels: Tensor, targets: Tensor) -> Goal:
    """Climb the targeted DLR loss towards a class for each image; any class but the true one is a success."""

    def goal(images: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        logits, their = classifier(images), labels[rows]
        return targeted_dlr(logits, their, targets[rows]), logits.detach().argmax(1) != their

    return goal


def gradient(goal: Goal, images: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The loss's gradient at each image, the loss (m,), and whether each image fools (m,); one pass forth and back."""
    images = images.detach().requires_grad_()
    with torch.enable_grad():
        loss, fooled = goal(images, rows)
    return torch.autograd.grad(loss.sum(), images)[0], loss.detach(), fooled


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of the true class, (n,)."""
    return nn.functional.cross_entropy(logits, labels, reduction="none")


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """How far the best other class lies above the true one, in logits, (n,); positive where the classifier errs."""
    true = logits.gather(1, labels[:, None]).squeeze(1)
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return others.amax(1) - true


def dlr(logits: Tensor, labels: Tensor) -> Tensor:
    """The margin over the distance of the first to the third logit, (n,).

    With two classes there is no third, and the margin itself serves: attacks that normalize the gradient do not see
    its scale.
    """
    if logits.shape[1] < 3:
        return margin(logits, labels)
    top = logits.topk(3, dim=1).values
    return margin(logits, labels) / (top[:, 0] - top[:, 2] + _TINY)


def targeted_dlr(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """The target's logit less the true one's, over the first less the mean of the third and fourth, (n,).

    With fewer than four classes the difference is not scaled.
    """
    ahead = (logits.gather(1, targets[:, None]) - logits.gather(1, labels[:, None])).squeeze(1)
    if logits.shape[1] < 4:
        return ahead
    top = logits.topk(4, dim=1).values
    return ahead / (top[:, 0] - (top[:, 2] + top[:, 3]) / 2 + _TINY)


_LOSSES: dict[LossName, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": cross_entropy,
    "margin": margin,
    "dlr": dlr,
}
