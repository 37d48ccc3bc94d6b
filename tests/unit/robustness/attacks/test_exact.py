"""Oracles: linear classifiers, for which the nearest error and the worst change are known exactly."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog, minimize

from secmlops.robustness.attacks import build
from secmlops.robustness.attacks.ball import distance
from secmlops.robustness.attacks.carlini_wagner import CarliniWagner
from secmlops.robustness.attacks.deepfool import DeepFool
from secmlops.robustness.attacks.fab import TargetedFab
from secmlops.robustness.attacks.hyperplane import step_to
from tests.unit.robustness.small import linear


def plane(seed, dimensions):
    """A point of the unit box, and a hyperplane with some zero weights; many points lie on the box's faces."""
    chance = np.random.default_rng(seed)
    point = chance.random(dimensions)
    point[chance.random(dimensions) < 0.3] = 0
    point[chance.random(dimensions) < 0.3] = 1
    normal = chance.normal(size=dimensions)
    normal[chance.random(dimensions) < 0.2] = 0
    inside = chance.random(dimensions)
    return point, normal, float(normal @ inside)


def steps(point, normal, offset, norm):
    value = normal @ point - offset
    tensors = (torch.tensor(one[None]) for one in (point, normal))
    return step_to(*tensors, torch.tensor([value]), norm)[0].numpy()


@given(seed=st.integers(0, 100_000), dimensions=st.integers(1, 12))
def test_the_shortest_linf_step_to_a_plane_is_the_linear_programs(seed, dimensions):
    point, normal, offset = plane(seed, dimensions)
    step = steps(point, normal, offset, "linf")
    assert ((point + step > -1e-9) & (point + step < 1 + 1e-9)).all()
    assert normal @ (point + step) == pytest.approx(offset, abs=1e-8)
    # minimize t over (x, t) with |x - point| <= t, x in the box, on the plane
    identity, ones = np.eye(dimensions), np.ones((dimensions, 1))
    solved = linprog(
        np.r_[np.zeros(dimensions), 1],
        A_ub=np.block([[identity, -ones], [-identity, -ones]]),
        b_ub=np.r_[point, -point],
        A_eq=np.r_[normal, 0][None],
        b_eq=[offset],
        bounds=[(0, 1)] * dimensions + [(0, None)],
    )
    assert np.abs(step).max() == pytest.approx(solved.fun, abs=1e-6)


@given(seed=st.integers(0, 100_000), dimensions=st.integers(1, 8))
def test_the_shortest_l2_step_to_a_plane_is_the_quadratic_programs(seed, dimensions):
    point, normal, offset = plane(seed, dimensions)
    step = steps(point, normal, offset, "l2")
    assert ((point + step > -1e-9) & (point + step < 1 + 1e-9)).all()
    assert normal @ (point + step) == pytest.approx(offset, abs=1e-8)
    solved = minimize(
        lambda x: ((x - point) ** 2).sum(),
        point,
        jac=lambda x: 2 * (x - point),
        bounds=[(0, 1)] * dimensions,
        constraints={"type": "eq", "fun": lambda x: normal @ x - offset, "jac": lambda x: normal},
        method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 500},
    )
    if solved.success:
        assert (step**2).sum() <= solved.fun + 1e-6


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_plane_beyond_the_box_is_approached_as_far_as_the_box_goes(norm):
    point, normal = torch.tensor([[0.5, 0.2, 1.0]]), torch.tensor([[1.0, -2.0, 0.0]])
    step = step_to(point, normal, torch.tensor([100.0]), norm)
    assert torch.allclose(point + step, torch.tensor([[0.0, 1.0, 1.0]]))


def central(seed=0, count=30):
    """A linear classifier and images in the middle of the range that it gets right."""
    classifier = linear(seed=seed)
    images = 0.35 + 0.3 * torch.rand(count, 1, 4, 4, generator=torch.Generator().manual_seed(seed))
    return classifier, images, classifier(images).argmax(1)


def nearest(classifier, images, labels, norm):
    """The exact distance to the nearest error, ignoring the box, which is far away; (n,)."""
    weight, logits = classifier[1].weight.detach(), classifier(images).detach()
    difference = weight[None] - weight[labels][:, None]
    dual = difference.abs().sum(2) if norm == "linf" else difference.norm(dim=2)
    lacking = logits.gather(1, labels[:, None]) - logits
    return (lacking / dual).scatter(1, labels[:, None], torch.inf).amin(1)


@pytest.mark.parametrize(
    ("attack", "within"),
    [
        (TargetedFab(10.0, "linf", steps=30, early_stop=False), 1.01),
        (TargetedFab(10.0, "l2", steps=30, early_stop=False), 1.01),
        (DeepFool(10.0, "linf"), 1.03),
        (DeepFool(10.0, "l2"), 1.03),
        (CarliniWagner(10.0), 1.03),
    ],
)
def test_minimum_norm_attacks_find_the_nearest_error_of_a_linear_classifier(attack, within):
    classifier, images, labels = central()
    attacked = attack(classifier, images, labels)
    assert (classifier(attacked).argmax(1) != labels).all()
    found, exact = distance(attacked, images, attack.norm), nearest(classifier, images, labels, attack.norm)
    assert (found >= exact * 0.999).all()
    assert found.mean() <= exact.mean() * within


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("make", [TargetedFab, DeepFool])
def test_an_error_further_away_than_the_budget_is_not_returned(make, norm):
    classifier, images, labels = central()
    exact = nearest(classifier, images, labels, norm)
    eps = exact.median().item()
    attacked = make(eps, norm)(classifier, images, labels)
    far = exact > eps
    assert torch.equal(attacked[far], images[far])
    clearly_near = exact < eps * 0.95
    assert (classifier(attacked[clearly_near]).argmax(1) != labels[clearly_near]).all()


def worst_margin(classifier, images, labels, eps):
    """The best that any attack in the L-infinity ball and the box can do: the largest margin over the targets, (n,)."""
    weight, bias = classifier[1].weight.detach(), classifier[1].bias.detach()
    low, high = (images - eps).clamp(0).flatten(1), (images + eps).clamp(max=1).flatten(1)
    difference = weight[None] - weight[labels][:, None]
    best = torch.where(difference > 0, high[:, None], low[:, None])
    margins = (difference * best).sum(2) + bias[None] - bias[labels][:, None]
    return margins.scatter(1, labels[:, None], -torch.inf).amax(1)


@pytest.mark.parametrize("eps", [0.08, 0.15])
@pytest.mark.parametrize(
    ("name", "options", "missed"),
    [
        ("apgd_t", {"targets": 4}, 0.0),
        ("autoattack", {"queries": 200}, 0.0),
        ("fab_t", {}, 0.02),
        ("pgd", {"restarts": 3}, 0.1),
        ("apgd_ce", {}, 0.1),
        ("apgd_dlr", {}, 0.1),
        ("square", {"queries": 1000}, 0.2),
    ],
)
def test_attacks_break_what_can_be_broken_and_nothing_else(name, options, missed, eps):
    classifier = linear(seed=2)
    images = torch.rand(200, 1, 4, 4, generator=torch.Generator().manual_seed(3)).mul(1.4).sub(0.2).clamp(0, 1)
    labels = classifier(images).argmax(1)
    worst = worst_margin(classifier, images, labels, eps)
    broken = classifier(build(name, eps, **options)(classifier, images, labels)).argmax(1) != labels
    assert not broken[worst < -1e-5].any()
    breakable = worst > 1e-3
    assert breakable.sum() > 30
    assert (~broken[breakable]).double().mean() <= missed
