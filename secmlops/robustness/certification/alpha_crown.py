"""alpha-CROWN (Xu et al., 2021): the lines below open ReLUs are chosen for each image, by ascent of its bound.

Any slope from 0 to 1 is sound, so whichever step gave the best bound of a class is kept.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from secmlops.robustness.certification import crown
from secmlops.robustness.certification.intervals import Box
from secmlops.robustness.certification.network import Layers

STEPS = 20
_LEARNING_RATE = 0.15
_OTHERS = 1e9
"""In place of the label's own margin, to weigh nothing."""


@torch.enable_grad()
def margins(layers: Layers, boxes: Sequence[Box], labels: Tensor) -> Tensor:
    """Lower bounds of logit of the label minus logit of each class, (n, classes); 0 at the label itself.

    Args:
        layers: of the network.
        boxes: of inputs of each hidden layer, the first being that of the images.
        labels: (n,).
    """
    lines = crown.relaxations(layers.hidden, boxes)
    is_open = {at: (boxes[at].lower < 0) & (boxes[at].upper > 0) for at in lines}
    slopes = {at: line.lower.clone().requires_grad_() for at, line in lines.items()}
    best = crown.margins_with(layers, boxes[0], lines, labels).detach()
    if not slopes:
        return best
    ascent = torch.optim.Adam(slopes.values(), lr=_LEARNING_RATE, maximize=True)
    for _ in range(STEPS):
        chosen = {
            at: replace(line, lower=torch.where(is_open[at], slopes[at], line.lower)) for at, line in lines.items()
        }
        found = crown.margins_with(layers, boxes[0], chosen, labels)
        best = torch.maximum(best, found.detach())
        least = -found.scatter(1, labels.unsqueeze(1), _OTHERS).neg().logsumexp(1)
        # Not backward(), which would leave gradients in the network too.
        gradients = torch.autograd.grad(least.sum(), list(slopes.values()))
        for slope, gradient in zip(slopes.values(), gradients, strict=True):
            slope.grad = gradient
        ascent.step()
        for slope in slopes.values():
            slope.data.clamp_(0, 1)
    return best
