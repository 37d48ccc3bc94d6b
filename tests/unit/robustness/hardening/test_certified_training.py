"""Certified training: its losses bound what attacks reach, and networks trained with it can be proved."""

import math

import pytest
import torch
from torch import Tensor, nn

from secmlops.robustness.certification import UnsupportedLayer, certified, intervals
from secmlops.robustness.certification.network import layers_of
from secmlops.robustness.hardening.certified_training import (
    AttackedAndBounded,
    CrownIbp,
    Growth,
    IntervalBoundPropagation,
    start_for_intervals,
)
from secmlops.robustness.hardening.fit import FitConfig, Objective, fit
from secmlops.robustness.networks import NetworkConfig, build
from tests.unit.robustness.small import accuracy, digits, held_out, trained

NETWORK = NetworkConfig(image_shape=(1, 8, 8), classes=10, channels=(16, 32), hidden=(64,))
EPS = 0.04
WHOLE = Growth(0.0, 0.5)
NONE = (0.0, 0.0)


def fitted(objective: Objective, epochs: int) -> nn.Sequential:
    torch.manual_seed(0)
    network = build(NETWORK)
    images, labels = (some[:1400] for some in digits())
    fit(network, images, labels, objective, FitConfig(epochs=epochs, batch_size=100, learning_rate=4e-3))
    return network


def loss_of(objective: Objective, network: nn.Module, images: Tensor, labels: Tensor, progress: float) -> float:
    return objective(network, images, labels, progress).item()


def proved(network: nn.Module, eps: float = EPS) -> float:
    return float(certified(network, *held_out(200), eps, method="crown-ibp").double().mean())


def attacked_loss(network: nn.Module, images: Tensor, labels: Tensor, eps: float) -> float:
    """The mean of the greatest losses that descent finds within eps."""
    at, low, high = images, (images - eps).clamp(0, 1), (images + eps).clamp(0, 1)
    worst = torch.full((len(images),), -math.inf)
    for step in (eps, eps, eps / 2, eps / 4, 0.0):
        at = at.detach().requires_grad_()
        loss = nn.functional.cross_entropy(network(at), labels, reduction="none")
        worst = torch.maximum(worst, loss.detach())
        (slope,) = torch.autograd.grad(loss.sum(), at)
        at = torch.minimum(torch.maximum(at.detach() + step * slope.sign(), low), high)
    return float(worst.mean())


def test_a_budget_grows_in_a_straight_line_between_two_moments():
    growth = Growth(0.1, 0.5)
    assert [growth(at) for at in (0.0, 0.1, 0.3, 0.5, 1.0)] == pytest.approx([0, 0, 0.5, 1, 1])


@pytest.mark.parametrize("objective", [IntervalBoundPropagation(0.05), CrownIbp(0.05), AttackedAndBounded(0.05, 0.5)])
def test_before_the_budget_grows_the_loss_is_cross_entropy(objective):
    images, labels = held_out(50)
    plain = float(nn.functional.cross_entropy(trained()(images).detach(), labels))
    assert loss_of(objective, trained(), images, labels, 0.0) == pytest.approx(plain, rel=1e-3)


@pytest.mark.parametrize("linear", [(0.0, 0.0), (1.0, 1.0), (0.5, 0.5)])
def test_the_worst_loss_is_above_what_attacks_reach(linear):
    images, labels = held_out(50)
    for eps in (0.01, 0.05):
        bound = loss_of(CrownIbp(eps, WHOLE, linear, NONE), trained(True), images, labels, 1.0)
        assert bound >= attacked_loss(trained(True), images, labels, eps)


def test_crown_margins_make_the_worst_loss_smaller():
    images, labels = held_out(50)
    loose = loss_of(IntervalBoundPropagation(0.03, WHOLE, NONE), trained(True), images, labels, 1.0)
    tight = loss_of(CrownIbp(0.03, WHOLE, (1.0, 1.0), NONE), trained(True), images, labels, 1.0)
    same = loss_of(CrownIbp(0.03, WHOLE, (1.0, 0.0), NONE), trained(True), images, labels, 1.0)
    assert tight < 0.8 * loose
    assert same == pytest.approx(loose)


def test_natural_images_weigh_in_as_told():
    images, labels = held_out(50)
    plain = float(nn.functional.cross_entropy(trained()(images).detach(), labels))
    worst = loss_of(IntervalBoundPropagation(0.01, WHOLE, NONE), trained(), images, labels, 1.0)
    mixed = loss_of(IntervalBoundPropagation(0.01, WHOLE, natural=(1.0, 0.25)), trained(), images, labels, 1.0)
    assert mixed == pytest.approx(0.25 * plain + 0.75 * worst, rel=1e-4)


def test_the_loss_under_attack_is_between_the_two_it_mixes():
    images, labels = held_out(50)
    torch.manual_seed(0)
    mixed = loss_of(AttackedAndBounded(0.02, 0.3, WHOLE), trained(True), images, labels, 1.0)
    torch.manual_seed(0)
    attacked = loss_of(AttackedAndBounded(0.02, 0.0, WHOLE), trained(True), images, labels, 1.0)
    worst = loss_of(IntervalBoundPropagation(0.02, WHOLE, NONE), trained(True), images, labels, 1.0)
    assert attacked < mixed < worst
    assert mixed == pytest.approx(0.7 * attacked + 0.3 * worst, rel=1e-4)


def test_the_start_for_intervals_keeps_their_width():
    """With PyTorch's own start the mean width more than doubles from ReLU to ReLU; with this one it stays."""
    torch.manual_seed(0)
    network = build(NetworkConfig(image_shape=(1, 28, 28), classes=10, channels=(16, 32, 64), hidden=(100,)))

    def widths() -> list[float]:
        hidden = layers_of(network).hidden
        with torch.no_grad():
            boxes = intervals.propagate(hidden, intervals.around(torch.full((2, 1, 28, 28), 0.5), 0.1))
        layers = zip(hidden, boxes, strict=False)
        return [float(box.radius.mean()) for layer, box in layers if isinstance(layer, nn.ReLU)]

    default = widths()
    start_for_intervals(network)
    started = widths()
    assert default[-1] / default[0] > 8
    assert 0.4 < started[-1] / started[0] < 2.5


def test_the_regularizer_narrows_intervals():
    images, labels = held_out(50)
    torch.manual_seed(0)
    network = build(NETWORK)
    growth = Growth(0.0, 1.0)
    without = loss_of(IntervalBoundPropagation(EPS, growth), network, images, labels, 0.5)
    heavy = IntervalBoundPropagation(EPS, growth, regularization=2.0)
    first = loss_of(heavy, network, images, labels, 0.5) - without
    assert first > 0.1
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    for _ in range(40):
        optimizer.zero_grad()
        heavy(network, images, labels, 0.5).backward()
        optimizer.step()
    without = loss_of(IntervalBoundPropagation(EPS, growth), network, images, labels, 0.5)
    assert loss_of(heavy, network, images, labels, 0.5) - without < first / 2
    plain = loss_of(IntervalBoundPropagation(EPS, growth), network, images, labels, 1.0)
    assert loss_of(heavy, network, images, labels, 1.0) == plain


@pytest.mark.parametrize(
    ("objective", "epochs", "clean", "certain"),
    [
        (IntervalBoundPropagation(EPS), 20, 0.8, 0.65),
        (CrownIbp(EPS), 12, 0.8, 0.65),
        (AttackedAndBounded(EPS, 0.5), 20, 0.8, 0.65),
    ],
)
def test_what_it_trains_can_be_proved(objective, epochs, clean, certain):
    """A standard network of far better clean accuracy has next to no certificate."""
    network = fitted(objective, epochs)
    assert proved(trained()) < 0.05
    assert proved(network) > certain
    assert accuracy(network, *held_out(200)) > clean


@pytest.mark.parametrize("objective", [IntervalBoundPropagation(EPS), CrownIbp(EPS), AttackedAndBounded(EPS, 0.5)])
def test_lower_precision_gives_nearly_the_same_loss_and_gradients(objective):
    images, labels = held_out(50)
    losses, slopes = [], []
    for lower in (False, True):
        network, at = build(NETWORK), 0.6
        network.load_state_dict(trained(True).state_dict())
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16, enabled=lower, cache_enabled=False):
            loss = objective(network, images, labels, at)
        loss.backward()
        losses.append(loss.item())
        slopes.append(torch.cat([parameter.grad.flatten() for parameter in network.parameters()]))
    assert losses[1] == pytest.approx(losses[0], rel=0.05)
    assert float(nn.functional.cosine_similarity(*slopes, dim=0)) > 0.98


@pytest.mark.parametrize("objective", [IntervalBoundPropagation(EPS), CrownIbp(EPS), AttackedAndBounded(EPS, 0.5)])
def test_networks_without_bounds_are_refused(objective):
    network = build(NETWORK.model_copy(update={"activation": "silu"}))
    with pytest.raises(UnsupportedLayer, match="SiLU"):
        objective(network, *held_out(4), 0.5)
