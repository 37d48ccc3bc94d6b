"""Certificates are sound, as tight as they say, and refuse what they know nothing about."""

import copy
import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from secmlops.robustness.certification import (
    METHODS,
    NotCertifiable,
    UnsupportedLayer,
    certified,
    certified_radii,
    crown,
    intervals,
    margin_bounds,
)
from secmlops.robustness.certification.network import layers_of
from secmlops.robustness.networks import NetworkConfig, build
from secmlops.robustness.transformations import BitDepthConfig, ContrastConfig, Transformed
from tests.unit.robustness.small import held_out, linear, trained

EPS = 0.02


def margins(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """The label's logit minus the best other logit, as float32 has them."""
    logits = network(images)
    of_label = logits.gather(1, labels.unsqueeze(1))
    return (of_label - logits.scatter(1, labels.unsqueeze(1), -math.inf)).amin(1)


def least_margins_found(network: nn.Module, images: Tensor, labels: Tensor, eps: float, seed: int = 0) -> Tensor:
    """The least margin that random images, random corners and descent by signs and to corners find within eps."""
    torch.manual_seed(seed)
    low, high = (images - eps).clamp(0, 1), (images + eps).clamp(0, 1)
    tried = [images, low, high]
    for _ in range(10):
        share = torch.rand_like(images)
        tried += [low + share * (high - low), torch.where(share > 0.5, low, high)]
    for start in list(tried[:4]):
        at = start
        for step in (1.0, 0.5, 0.25, 0.1, 0.05):
            at = at.detach().requires_grad_()
            (slope,) = torch.autograd.grad(margins(network, at, labels).sum(), at)
            at = torch.minimum(torch.maximum(at.detach() - step * eps * slope.sign(), low), high)
            tried += [at, torch.where(slope > 0, low, high)]
    with torch.no_grad():
        return torch.stack([margins(network, one, labels) for one in tried]).amin(0)


@st.composite
def networks(draw) -> tuple[nn.Sequential, tuple[int, int, int]]:
    """Small networks with whatever geometry convolutions allow, and the shape of their images."""
    torch.manual_seed(draw(st.integers(0, 10_000)))
    shape = (draw(st.integers(1, 2)), draw(st.integers(5, 9)), draw(st.integers(5, 9)))
    layers, channels, (height, width) = [], shape[0], shape[1:]
    for _ in range(draw(st.integers(0, 3))):
        conv = nn.Conv2d(
            channels,
            2 * channels,
            (draw(st.integers(1, 3)), draw(st.integers(1, 3))),
            stride=(draw(st.integers(1, 3)), draw(st.integers(1, 2))),
            padding=(draw(st.integers(0, 2)), draw(st.integers(0, 1))),
            dilation=draw(st.integers(1, 2)),
            groups=draw(st.sampled_from([1, channels])),
            bias=draw(st.booleans()),
        )
        after = [
            (side + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1
            for side, pad, dilation, kernel, stride in zip(
                (height, width), conv.padding, conv.dilation, conv.kernel_size, conv.stride, strict=True
            )
        ]
        if min(after) < 1:
            break
        channels, (height, width) = conv.out_channels, after
        layers += [conv, nn.ReLU()]
    layers.append(nn.Flatten())
    features = channels * height * width
    for _ in range(draw(st.integers(0, 2))):
        layers += [nn.Linear(features, 8, bias=draw(st.booleans())), nn.ReLU()]
        features = 8
    network = nn.Sequential(*layers, nn.Linear(features, 4))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(draw(st.sampled_from([1.0, 3.0])))
    return network.eval(), shape


@settings(max_examples=60, deadline=None)
@given(networks(), st.floats(0, 0.5), st.sampled_from(METHODS))
def test_nothing_within_the_budget_goes_below_a_bound(made, eps, method):
    network, shape = made
    images = torch.rand(4, *shape).round(decimals=1)
    labels = network(images).argmax(1)
    bounds = margin_bounds(network, images, labels, eps, method=method)
    assert (least_margins_found(network, images, labels, eps).double() >= bounds).all()


@pytest.mark.parametrize("hardened", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_no_attack_breaks_a_certificate_of_a_trained_network(hardened, method):
    network = trained(hardened)
    images, labels = held_out(60)
    eps = EPS if hardened else EPS / 2
    proved = certified(network, images, labels, eps, method=method)
    bounds = margin_bounds(network, images, labels, eps, method=method)
    found = least_margins_found(network, images, labels, eps).double()
    assert (found >= bounds).all()
    assert (found[proved] > 0).all()
    assert proved.any() or method == "interval"


def stretched(network: nn.Module, low: float, high: float) -> Transformed:
    return Transformed(ContrastConfig(low=low, high=high).build(), network).eval()


@settings(max_examples=40, deadline=None)
@given(networks(), st.floats(0, 0.5), st.floats(0, 0.45), st.floats(0.55, 1), st.sampled_from(METHODS))
def test_nothing_goes_below_a_bound_through_stretched_contrast(made, eps, low, high, method):
    network, shape = made
    images = torch.rand(4, *shape).round(decimals=1)
    whole = stretched(network, low, high)
    labels = whole(images).argmax(1)
    bounds = margin_bounds(whole, images, labels, eps, method=method)
    assert (least_margins_found(whole, images, labels, eps).double() >= bounds).all()


def test_what_stretching_takes_from_the_attacker_is_proved():
    images, labels = held_out(40)
    images = images.round()
    whole = stretched(trained(True), 0.25, 0.75)
    right = whole(images).argmax(1) == labels
    assert right.double().mean() > 0.8
    assert torch.equal(certified(whole, images, labels, 0.25, method="interval"), right)
    assert not certified(trained(True), images, labels, 0.25).any()


def test_other_transformations_have_no_bounds():
    with pytest.raises(UnsupportedLayer, match="Transformed"):
        layers_of(Transformed(BitDepthConfig(bits=1).build(), trained()))


def test_each_method_is_at_least_as_tight_as_those_before_it():
    images, labels = held_out(40)
    bounds = [margin_bounds(trained(True), images, labels, 2 * EPS, method=method) for method in METHODS]
    for looser, tighter in pairwise(bounds):
        assert (tighter >= looser).all()
        assert tighter.mean() > looser.mean() + 0.01


def difference_network() -> nn.Sequential:
    """Two pixels; the margin of class 0 over class 1 is 1 - |x1 - x2|."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    weights = {
        "1.weight": torch.tensor([[1.0, -1.0], [-1.0, 1.0]]),
        "1.bias": torch.zeros(2),
        "3.weight": torch.tensor([[-1.0, -1.0], [0.0, 0.0]]),
        "3.bias": torch.tensor([1.0, 0.0]),
    }
    network.load_state_dict(weights)
    return network.eval()


@pytest.mark.parametrize(("eps", "by_crown", "by_interval"), [(0.1, 0.8, 0.6), (0.3, 0.4, -0.2), (0.45, 0.1, -0.8)])
def test_a_network_solved_by_hand(eps, by_crown, by_interval):
    image, label = torch.full((1, 1, 1, 2), 0.5), torch.tensor([0])
    for method, exact in (("interval", by_interval), *((other, by_crown) for other in METHODS[1:])):
        bound = float(margin_bounds(difference_network(), image, label, eps, method=method))
        assert exact - 4e-6 < bound <= exact
        assert bool(certified(difference_network(), image, label, eps, method=method)) == (exact > 0)


def test_a_margin_of_exactly_zero_is_no_proof():
    assert not certified(difference_network(), torch.full((1, 1, 1, 2), 0.5), torch.tensor([0]), 0.5)


def test_images_stay_within_the_range_of_pixels():
    image, label = torch.tensor([[[[0.0, 0.0]]]]), torch.tensor([0])
    assert float(margin_bounds(difference_network(), image, label, 0.5)) == pytest.approx(0.5, abs=1e-5)


def test_bounds_are_exact_where_no_sign_is_open():
    torch.manual_seed(1)
    network = build(NetworkConfig(image_shape=(1, 8, 8), classes=4, channels=(4, 8), hidden=(8,))).eval()
    with torch.no_grad():
        for layer in network[:-1]:
            if isinstance(layer, nn.Conv2d | nn.Linear):
                layer.bias.fill_(50.0)
    images = torch.rand(3, 1, 8, 8) * 0.8 + 0.1
    labels = network(images).argmax(1)
    exact = images.double().requires_grad_()
    wide = build(NetworkConfig(image_shape=(1, 8, 8), classes=4, channels=(4, 8), hidden=(8,))).double()
    wide.load_state_dict(network.state_dict())
    logits = wide(exact)
    least = torch.full((3,), math.inf, dtype=torch.float64)
    for other in range(4):
        gap = logits.gather(1, labels.unsqueeze(1)).squeeze(1) - logits[:, other]
        (slope,) = torch.autograd.grad(gap.sum(), exact, retain_graph=True)
        candidate = gap - EPS * slope.abs().flatten(1).sum(1)
        least = torch.where(labels == other, least, torch.minimum(least, candidate.detach()))
    bounds = margin_bounds(network, images, labels, EPS)
    assert (bounds <= least).all()
    assert torch.allclose(bounds, least, atol=2e-2)  # what float32 may lose beside biases of 50


def test_rounding_is_part_of_the_proof():
    """In real numbers class 1 leads by .4; beside 2^24 float32 loses both .9 and .5 and answers class 0."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(1, 2)).eval()
    network.load_state_dict({"1.weight": torch.tensor([[0.5], [0.9]]), "1.bias": torch.full((2,), 2.0**24)})
    image, label = torch.ones(1, 1, 1, 1), torch.tensor([1])
    assert network(image).argmax(1).item() == 0
    assert float(margin_bounds(network, image, label, 0.0)) <= 0
    assert not certified(network, image, label, 0.0)


def test_at_no_budget_the_bound_is_the_margin():
    images, labels = held_out(30)
    found = margins(trained(), images, labels).double()
    bounds = margin_bounds(trained(), images, labels, 0.0, method="interval")
    assert (bounds <= found).all() and torch.allclose(bounds, found, atol=0.02)


def test_the_network_is_left_as_it_was():
    network, (images, labels) = copy.deepcopy(trained(True)), held_out(10)
    network.zero_grad()
    certified(network, images, labels, 2 * EPS, method="alpha-crown")
    assert all(parameter.grad is None and parameter.requires_grad for parameter in network.parameters())


def test_what_an_attack_breaks_costs_no_dear_proof(monkeypatch):
    asked: list[int] = []
    tighten = crown.tighten
    monkeypatch.setattr(
        crown, "tighten", lambda hidden, boxes: asked.append(len(boxes[0].center)) or tighten(hidden, boxes)
    )
    assert not certified(trained(), *held_out(40), 0.3).any()
    assert sum(asked) <= 2


def test_certified_is_right_and_proved():
    images, labels = held_out(60)
    for method in METHODS:
        expected = margin_bounds(trained(True), images, labels, EPS, method=method) > 0
        assert torch.equal(certified(trained(True), images, labels, EPS, method=method), expected)
    wrong = (labels + 1) % 10
    assert not certified(trained(True), images, wrong, 0.0).any() or (trained(True)(images).argmax(1) == wrong).any()


def test_windows_bound_what_whole_images_bound(monkeypatch):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(4, 6, (3, 2), stride=(1, 2), padding=(2, 0), dilation=(2, 1)),
        nn.ReLU(),
        nn.Conv2d(6, 4, 3, padding=1, groups=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(4 * 5 * 2, 3),
    )
    hidden = layers_of(network).hidden
    with torch.no_grad():
        boxes = intervals.propagate(hidden, intervals.around(torch.rand(3, 2, 9, 8, dtype=torch.float64), 0.1))
        in_windows = crown.tighten(hidden, boxes)
        monkeypatch.setattr(crown, "_bounds_in_windows", crown._bounds_of_whole)
        whole = crown.tighten(hidden, boxes)
    for one, other, loose in zip(in_windows, whole, boxes, strict=True):
        assert torch.allclose(one.lower, other.lower) and torch.allclose(one.upper, other.upper)
        assert (one.radius <= loose.radius + 1e-12).all()
    assert in_windows[5].radius.mean() < 0.9 * boxes[5].radius.mean()


class LargestTensor(TorchDispatchMode):
    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else [out]:
            if isinstance(tensor, Tensor):
                self.elements = max(self.elements, tensor.numel())
        return out


def test_memory_is_bounded_and_the_bound_changes_nothing(monkeypatch):
    images, labels = held_out(40)
    free = margin_bounds(trained(), images, labels, 0.02)
    monkeypatch.setattr(crown, "ELEMENTS", 2**14)
    with LargestTensor() as largest:
        tight = margin_bounds(trained(), images, labels, 0.02)
    assert torch.allclose(free, tight)
    assert largest.elements <= 2**15


def test_radii_of_a_linear_classifier_are_known():
    network, images = linear(shape=(1, 4, 4)), torch.rand(20, 1, 4, 4) * 0.2 + 0.4
    logits, labels = network(images), network(images).argmax(1)
    weight = network[1].weight
    exact = torch.full((20,), math.inf)
    for other in range(5):
        gap = logits.gather(1, labels.unsqueeze(1)).squeeze(1) - logits[:, other]
        reach = gap / (weight[labels] - weight[other]).abs().sum(1)
        exact = torch.where(labels == other, exact, torch.minimum(exact, reach))
    radii = certified_radii(network, images, labels, 0.35, halvings=10)
    expected = exact.double().clamp(max=0.35)
    assert (radii <= expected).all() and (radii > expected - 0.35 / 2**10 - 1e-5).all()


def test_radii_are_proved_and_zero_for_wrong_labels():
    images, labels = held_out(20)
    radii = certified_radii(trained(True), images, labels, 0.1, method="crown-ibp", halvings=5)
    assert 0 < radii.max() <= 0.1
    for image, label, radius in zip(images, labels, radii.tolist(), strict=True):
        if radius > 0:
            assert certified(trained(True), image[None], label[None], radius, method="crown-ibp")
    assert (certified_radii(trained(True), images, (labels + 1) % 10, 0.1, halvings=3) == 0).sum() >= 18


@pytest.mark.parametrize(
    ("layers", "named"),
    [
        ([nn.Flatten(), nn.Linear(4, 4), nn.SiLU(), nn.Linear(4, 2)], "SiLU"),
        ([nn.Conv2d(1, 2, 1, padding_mode="reflect"), nn.Flatten(), nn.Linear(8, 2)], "reflect"),
        ([nn.Conv2d(1, 2, 1, padding="same"), nn.Flatten(), nn.Linear(8, 2)], "same"),
        ([nn.Flatten(2), nn.Flatten(), nn.Linear(4, 2)], "Flatten"),
        ([nn.Flatten(), nn.Linear(4, 2), nn.ReLU()], "the last"),
        ([], "the last"),
    ],
)
def test_other_layers_are_refused(layers, named):
    with pytest.raises(UnsupportedLayer, match=named):
        certified(nn.Sequential(*layers), torch.rand(1, 1, 2, 2), torch.tensor([0]), 0.1)


def test_nested_networks_are_walked_through():
    network = trained()
    nested = nn.Sequential(network[:3], network[3:])
    images, labels = held_out(10)
    assert torch.equal(margin_bounds(nested, images, labels, 0.01), margin_bounds(network, images, labels, 0.01))


@pytest.mark.parametrize(
    "change",
    [
        {"images": torch.full((2, 1, 8, 8), math.nan)},
        {"images": torch.full((2, 1, 8, 8), 1.5)},
        {"images": torch.zeros(2, 1, 8, 8, dtype=torch.float64)},
        {"images": torch.zeros(2, 8, 8)},
        {"labels": torch.tensor([0, 10])},
        {"labels": torch.tensor([-1, 0])},
        {"labels": torch.tensor([0])},
        {"labels": torch.tensor([0.0, 1.0])},
        {"eps": -0.1},
        {"eps": math.nan},
        {"eps": math.inf},
        {"method": "guess"},
    ],
)
def test_other_questions_are_refused(change):
    asked = {"images": torch.zeros(2, 1, 8, 8), "labels": torch.tensor([0, 1]), "eps": 0.1, "method": "interval"}
    asked.update(change)
    with pytest.raises(NotCertifiable):
        certified(trained(), asked["images"], asked["labels"], asked["eps"], method=asked["method"])


def test_a_broken_network_proves_nothing():
    network = build(NetworkConfig(image_shape=(1, 8, 8), classes=10, channels=(4,), hidden=(8,)))
    with torch.no_grad():
        network[0].weight[0, 0, 0, 0] = math.nan
    assert not certified(network, *held_out(5), 0.0).any()


def test_no_images_are_no_answers():
    assert certified(trained(), torch.zeros(0, 1, 8, 8), torch.zeros(0, dtype=torch.int64), 0.1).shape == (0,)
