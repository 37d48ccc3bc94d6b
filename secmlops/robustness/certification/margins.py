"""Proofs that a label stands against every image within an L-infinity budget."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from secmlops.robustness.attacks.pgd import Pgd
from secmlops.robustness.attacks.standing import stands
from secmlops.robustness.certification import alpha_crown, crown, intervals, rounding
from secmlops.robustness.certification.intervals import Box
from secmlops.robustness.certification.network import Layers, layers_of
from secmlops.robustness.certification.question import NotCertifiable, check_budget, check_images, check_labels

Method = Literal["interval", "crown-ibp", "crown", "alpha-crown"]
"""From cheap and loose to dear and tight. Each takes the better of its own bound and those before it.

`interval`: interval propagation; `crown-ibp`: CROWN for the margin, intervals within (Zhang et al., 2020); `crown`:
CROWN within too, for ReLUs whose sign is open; `alpha-crown`: the same with slopes chosen for each image.
"""
METHODS: tuple[Method, ...] = get_args(Method)

_IMAGES_AT_ONCE = 256
_ATTACK_STEPS = 10


@torch.no_grad()
def margin_bounds(
    network: nn.Module, images: Tensor, labels: Tensor, eps: float, *, method: Method = "alpha-crown"
) -> Tensor:
    """Lower bounds of the label's logit minus the best other logit, over all images within `eps`; float64 (n,).

    A positive bound proves that the network, run in float32, answers the label for all of them.

    Args:
        network: Sequential of Conv2d, ReLU, Flatten, Linear; it may be `Transformed` by a `ContrastStretching`.
        images: float32 (n, c, h, w) in [0, 1].
        labels: int64 (n,).
        eps: L-infinity budget, in pixel values.
        method: how tight.

    Raises:
        UnsupportedLayer: the network has a layer without bounds.
        NotCertifiable: images, labels or budget are out of their range.
    """
    layers = layers_of(network)
    _check(layers, images, labels, eps, method)
    bounds = [_bounds(layers, images[part], labels[part], eps, method) for part in _parts(len(images), _IMAGES_AT_ONCE)]
    return torch.cat(bounds) if bounds else torch.empty(0, dtype=torch.float64, device=images.device)


@torch.no_grad()
def certified(
    network: nn.Module, images: Tensor, labels: Tensor, eps: float, *, method: Method = "alpha-crown"
) -> Tensor:
    """Whether the label is proved to stand for all images within `eps`; bool (n,).

    The cheapest method that proves an image decides it. Images that the network gets wrong are not tried, nor by a dear
    method those that a short attack breaks, of which there is no proof.

    Args:
        network: Sequential of Conv2d, ReLU, Flatten, Linear; it may be `Transformed` by a `ContrastStretching`.
        images: float32 (n, c, h, w) in [0, 1].
        labels: int64 (n,), the true ones.
        eps: L-infinity budget, in pixel values.
        method: the tightest to try.

    Raises:
        UnsupportedLayer: the network has a layer without bounds.
        NotCertifiable: images, labels or budget are out of their range.
    """
    _check(layers_of(network), images, labels, eps, method)
    proved = torch.zeros(len(images), dtype=torch.bool, device=images.device)
    open_ = stands(network, images, labels).nonzero().squeeze(1)
    for tried in METHODS[: METHODS.index(method) + 1]:
        if tried == "crown":
            open_ = open_[_unbroken(network, images[open_], labels[open_], eps)]
        holds = margin_bounds(network, images[open_], labels[open_], eps, method=tried) > 0
        proved[open_[holds]] = True
        open_ = open_[~holds]
    return proved


def certified_radii(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    largest: float,
    *,
    method: Method = "alpha-crown",
    halvings: int = 8,
) -> Tensor:
    """The largest budgets found for which each label is proved, float64 (n,); 0 where none is, not even for 0.

    Args:
        network: Sequential of Conv2d, ReLU, Flatten, Linear; it may be `Transformed` by a `ContrastStretching`.
        images: float32 (n, c, h, w) in [0, 1].
        labels: int64 (n,), the true ones or the network's own answers.
        largest: the largest budget to try.
        method: how tight.
        halvings: of the interval that is searched: the answer is at most largest / 2**halvings too small.

    Raises:
        UnsupportedLayer: the network has a layer without bounds.
        NotCertifiable: images, labels or budget are out of their range.
    """
    radii = torch.zeros(len(images), dtype=torch.float64, device=images.device)
    whole = certified(network, images, labels, largest, method=method)
    radii[whole] = largest
    # Every image has its own interval, but all intervals of one size share their few possible middles.
    step = largest
    for _ in range(halvings):
        step /= 2
        middles = radii + step
        for middle in middles[~whole].unique().tolist():
            asked = (~whole & (middles == middle)).nonzero().squeeze(1)
            holds = certified(network, images[asked], labels[asked], middle, method=method)
            radii[asked[holds]] = middle
    return radii


def _bounds(layers: Layers, images: Tensor, labels: Tensor, eps: float, method: Method) -> Tensor:
    rank = METHODS.index(method)
    boxes = intervals.propagate(layers.hidden, intervals.seen(layers, images.double(), eps))
    found = intervals.margins(layers, boxes[-1], labels)
    if rank >= METHODS.index("crown-ibp"):
        found = torch.maximum(found, _in_pieces(crown.margins, layers, boxes, labels))
    if rank >= METHODS.index("crown"):
        boxes = crown.tighten(layers.hidden, boxes)
        found = torch.maximum(found, intervals.margins(layers, boxes[-1], labels))
        found = torch.maximum(found, _in_pieces(crown.margins, layers, boxes, labels))
    if rank >= METHODS.index("alpha-crown"):
        found = torch.maximum(found, _in_pieces(alpha_crown.margins, layers, boxes, labels))
    errors = rounding.logit_errors(layers, boxes)
    found = found - errors - errors.gather(1, labels.unsqueeze(1))
    return found.scatter(1, labels.unsqueeze(1), math.inf).amin(1)


def _in_pieces(
    bound: Callable[[Layers, Sequence[Box], Tensor], Tensor], layers: Layers, boxes: Sequence[Box], labels: Tensor
) -> Tensor:
    """The bound of a few images at a time, so that memory stays bounded."""
    wide = max(layers.last.in_features, crown.widest(layers.hidden, boxes[0].center.shape[1:]))
    at_once = max(1, crown.ELEMENTS // (layers.classes * wide))
    pieces = torch.arange(len(labels), device=labels.device).split(at_once)
    return torch.cat([bound(layers, [box.take(some) for box in boxes], labels[some]) for some in pieces])


def _unbroken(network: nn.Module, images: Tensor, labels: Tensor, eps: float) -> Tensor:
    with torch.enable_grad():
        return stands(network, Pgd(eps, steps=_ATTACK_STEPS)(network, images, labels), labels)


def _parts(total: int, size: int) -> Iterator[slice]:
    return (slice(start, start + size) for start in range(0, total, size))


def _check(layers: Layers, images: Tensor, labels: Tensor, eps: float, method: str) -> None:
    if method not in METHODS:
        raise NotCertifiable(f"there is no method {method!r} but {', '.join(METHODS)}")
    check_budget(eps)
    check_images(images)
    check_labels(labels, len(images), layers.classes)
