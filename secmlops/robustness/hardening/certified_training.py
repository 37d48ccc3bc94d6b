"""Certified training: make small what can be proved about the worst image, so that proofs hold (ATLAS AML.M0003).

The networks are those of `certification`: Conv2d, ReLU, Flatten, Linear; start them with `start_for_intervals`. On
MNIST, at eps .1, `AttackedAndBounded` with a small weight of the intervals keeps more clean accuracy than intervals
alone and is proved about as often, by alpha-CROWN; at .3 `IntervalBoundPropagation` is proved more often, at two thirds
of the cost.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from secmlops.robustness.certification import crown, intervals
from secmlops.robustness.certification.intervals import Box
from secmlops.robustness.certification.network import Layer, Layers, layers_of
from secmlops.robustness.hardening.adversarial_training import climbed

_TOLERANCE = 0.5


@dataclass(frozen=True, slots=True)
class Growth:
    """How a budget grows: not yet, then in a straight line, then no more.

    Attributes:
        start: share of the training after which it begins to grow from zero.
        end: share after which it is whole.
    """

    start: float = 0.01
    end: float = 0.5

    def __call__(self, progress: float) -> float:
        """The share of the budget when this share of the training is done."""
        return min(1.0, max(0.0, (progress - self.start) / (self.end - self.start)))


@dataclass(frozen=True, slots=True)
class IntervalBoundPropagation:
    """Learn from the worst logits that intervals allow (Gowal et al., 2019), stably (Shi et al., 2021).

    Attributes:
        eps: largest change of a pixel; a little more than what shall be proved.
        growth: of eps.
        natural: weight of the loss on the images as they are, while eps is zero and once it is whole; the rest weighs
            the worst loss.
        regularization: weight, fading as eps grows, of Shi's two terms: intervals may not widen from layer to layer,
            and as many ReLUs shall be always on as are always off. They are meant for deep networks with batch
            normalization; on two convolutions without it they cost accuracy.
    """

    eps: float
    growth: Growth = Growth()
    natural: tuple[float, float] = (1.0, 0.5)
    regularization: float = 0.0

    def __call__(self, network: nn.Module, images: Tensor, labels: Tensor, progress: float) -> Tensor:
        """Mean cross-entropy of the worst logits, nats, with what else is weighed in."""
        layers, share = layers_of(network), self.growth(progress)
        boxes = intervals.propagate(layers.hidden, intervals.seen(layers, images, self.eps * share))
        loss = _worst_loss(_interval_margins(layers, boxes, labels), labels)
        loss = _with_natural(loss, network, images, labels, _between(self.natural, share))
        return loss + _irregularity(layers.hidden, boxes, self.regularization * (1 - share))


@dataclass(frozen=True, slots=True)
class CrownIbp:
    """As `IntervalBoundPropagation`, led by the tighter CROWN margins while eps grows (Zhang et al., 2020).

    Each class costs a pass back through the network, so these epochs take several times longer.

    Attributes:
        eps: largest change of a pixel; a little more than what shall be proved.
        growth: of eps.
        linear: weight of the margins by CROWN, while eps is zero and once it is whole; the rest weighs intervals'.
        natural: weight of the loss on the images as they are, while eps is zero and once it is whole.
        regularization: weight of Shi's terms, fading as eps grows.
    """

    eps: float
    growth: Growth = Growth()
    linear: tuple[float, float] = (1.0, 0.0)
    natural: tuple[float, float] = (1.0, 0.5)
    regularization: float = 0.0

    def __call__(self, network: nn.Module, images: Tensor, labels: Tensor, progress: float) -> Tensor:
        """Mean cross-entropy of the worst logits, nats, with what else is weighed in."""
        layers, share = layers_of(network), self.growth(progress)
        boxes = intervals.propagate(layers.hidden, intervals.seen(layers, images, self.eps * share))
        margins = _interval_margins(layers, boxes, labels)
        if (linear := _between(self.linear, share)) > 0:
            with torch.autocast(images.device.type, enabled=False):
                exact = [Box(box.center.float(), box.radius.float()) for box in boxes]
                margins = torch.lerp(margins, crown.margins(layers, exact, labels), linear)
        loss = _with_natural(_worst_loss(margins, labels), network, images, labels, _between(self.natural, share))
        return loss + _irregularity(layers.hidden, boxes, self.regularization * (1 - share))


@dataclass(frozen=True, slots=True)
class AttackedAndBounded:
    """The loss under attack and the worst loss of intervals, weighed (MTL-IBP, De Palma et al., 2024).

    With a small weight of the intervals the network keeps the accuracy of adversarial training and is proved by CROWN;
    with a large one it is interval bound propagation.

    Attributes:
        eps: largest change of a pixel.
        bounded: weight of the intervals, in [0, 1], once eps is whole. It grows with eps: the intervals of a network
            that knows nothing yet are so wide that narrowing them alone would leave it knowing nothing.
        growth: of eps.
        steps: of the attack.
    """

    eps: float
    bounded: float
    growth: Growth = Growth()
    steps: int = 1

    def __call__(self, network: nn.Module, images: Tensor, labels: Tensor, progress: float) -> Tensor:
        """Mean of both cross-entropies, nats."""
        layers, share = layers_of(network), self.growth(progress)
        eps = self.eps * share
        attacked = climbed(
            network,
            images,
            eps,
            self.steps,
            1.25 if self.steps == 1 else 2.5,
            lambda logits: functional.cross_entropy(logits, labels, reduction="sum"),
        )
        boxes = intervals.propagate(layers.hidden, intervals.seen(layers, images, eps))
        worst = _worst_loss(_interval_margins(layers, boxes, labels), labels)
        return torch.lerp(functional.cross_entropy(network(attacked).float(), labels), worst, self.bounded * share)


def start_for_intervals(network: nn.Module) -> None:
    """Draw weights with which intervals neither widen nor narrow from layer to layer (Shi et al., 2021).

    The deviation is sqrt(2 pi) / fan-in, so that the mean width of intervals stays the same; biases are zero.

    Raises:
        UnsupportedLayer: the network has a layer without bounds.
    """
    layers = layers_of(network)
    for layer in (*layers.hidden, layers.last):
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.normal_(layer.weight, std=math.sqrt(2 * math.pi) / layer.weight[0].numel())
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def _interval_margins(layers: Layers, boxes: Sequence[Box], labels: Tensor) -> Tensor:
    features = boxes[-1]
    return intervals.margins(layers, Box(features.center.float(), features.radius.float()), labels).float()


def _worst_loss(margins: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of the worst logits; `margins` are of the label over each class, 0 at the label."""
    return functional.cross_entropy(-margins, labels)


def _with_natural(loss: Tensor, network: nn.Module, images: Tensor, labels: Tensor, weight: float) -> Tensor:
    if weight <= 0:
        return loss
    return torch.lerp(loss, functional.cross_entropy(network(images).float(), labels), weight)


def _between(ends: tuple[float, float], share: float) -> float:
    return ends[0] + (ends[1] - ends[0]) * share


def _irregularity(hidden: Sequence[Layer], boxes: Sequence[Box], weight: float) -> Tensor:
    """Shi's regularizers summed over the ReLUs, weighed; each is zero where its ratio reaches the tolerance."""
    total = torch.zeros((), device=boxes[0].center.device)
    if weight <= 0:
        return total
    width = boxes[0].radius.mean().float()
    for layer, box in zip(hidden, boxes, strict=False):
        if isinstance(layer, nn.ReLU):
            ratios = torch.stack([width / box.radius.float().mean().clamp(min=1e-12), *_balance(box)])
            total = total + functional.relu(_TOLERANCE - ratios).sum() / _TOLERANCE
    return weight * total


def _balance(box: Box) -> list[Tensor]:
    """Of ReLUs that are always on and those always off: the ratios of mean and of spread, the smaller to the larger."""
    center = box.center.float()
    on, off = box.lower > 0, box.upper < 0
    spread = (center - center.mean()).square()
    pairs = [((center * on).sum(), -(center * off).sum()), ((spread * on).sum(), (spread * off).sum())]
    return [torch.minimum(a, b) / torch.maximum(a, b) for a, b in pairs if bool(a > 0) and bool(b > 0)]
