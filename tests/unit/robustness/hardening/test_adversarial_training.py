"""Adversarial objectives: their attacks keep to their budget, and what they train resists."""

from dataclasses import replace

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from secmlops.robustness.attacks.pgd import Pgd
from secmlops.robustness.hardening.adversarial_training import (
    CrossEntropy,
    FgsmTraining,
    PgdTraining,
    RobustAccuracy,
    Trades,
    climbed,
    grown,
)
from secmlops.robustness.hardening.fit import FitConfig, Objective, TrainingCollapsed, fit
from secmlops.robustness.networks import NetworkConfig, build

NETWORK = NetworkConfig(image_shape=(1, 8, 8), classes=10, channels=(16, 32), hidden=(64,))
EPS = 0.12


@pytest.fixture(scope="module")
def digits() -> tuple[Tensor, Tensor]:
    bunch = load_digits()
    return torch.tensor(bunch.images, dtype=torch.float32)[:, None] / 16, torch.tensor(bunch.target)


@pytest.fixture(scope="module")
def held_out(digits) -> tuple[Tensor, Tensor]:
    chosen = torch.arange(len(digits[0])) % 4 == 0
    return digits[0][chosen], digits[1][chosen]


def trained(digits, objective: Objective, **settings) -> nn.Sequential:
    chosen = torch.arange(len(digits[0])) % 4 > 0
    torch.manual_seed(0)
    network = build(NETWORK)
    config = FitConfig(**{"epochs": 16, "batch_size": 64, "learning_rate": 4e-3, "averaging": 0.98} | settings)
    fit(network, digits[0][chosen], digits[1][chosen], objective, config)
    return network


@pytest.fixture(scope="module")
def standard(digits) -> nn.Sequential:
    return trained(digits, CrossEntropy())


def robust_accuracy(network: nn.Module, held_out: tuple[Tensor, Tensor]) -> float:
    return RobustAccuracy(Pgd(eps=EPS, steps=20), *held_out)(network)


@pytest.mark.parametrize(
    ("objective", "gain"),
    [
        (FgsmTraining(eps=EPS), 0.25),
        (PgdTraining(eps=EPS, steps=4), 0.25),
        (Trades(eps=EPS, steps=4), 0.25),
    ],
    ids=["fgsm", "pgd", "trades"],
)
def test_what_it_trains_resists_and_still_reads(digits, held_out, standard, objective, gain):
    network = trained(digits, objective)
    assert robust_accuracy(network, held_out) > robust_accuracy(standard, held_out) + gain
    assert float((network(held_out[0]).argmax(1) == held_out[1]).float().mean()) > 0.93


def test_a_training_attack_keeps_to_its_budget_and_raises_the_loss(digits, standard):
    images, labels = digits[0][:200], digits[1][:200]

    def loss(logits: Tensor) -> Tensor:
        return nn.functional.cross_entropy(logits, labels, reduction="sum")

    torch.manual_seed(1)
    attacked = climbed(standard, images, 0.1, 5, 2.5, loss)
    noise = (images + 0.1 * torch.empty_like(images).uniform_(-1, 1)).clamp(0, 1)
    assert float((attacked - images).abs().max()) <= 0.1 + 1e-6
    assert float(attacked.min()) >= 0 and float(attacked.max()) <= 1
    assert not attacked.requires_grad
    assert loss(standard(attacked)) > 3 * loss(standard(noise))


def test_attacking_leaves_no_gradient_in_the_weights(digits):
    network = build(NETWORK)
    climbed(network, digits[0][:20], 0.1, 2, 2.5, lambda logits: logits.sum())
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize(
    ("progress", "growth", "expected"), [(0, 0.2, 0), (0.1, 0.2, 0.15), (0.2, 0.2, 0.3), (0.9, 0.2, 0.3), (0, 0, 0.3)]
)
def test_the_attack_grows(progress, growth, expected):
    assert grown(0.3, progress, growth) == pytest.approx(expected)


@pytest.mark.parametrize(
    "objective", [FgsmTraining(eps=0.0), PgdTraining(eps=0.0), Trades(eps=0.0), Trades(eps=0.3, beta=0.0)], ids=repr
)
def test_without_an_attack_each_is_standard_training(digits, objective):
    torch.manual_seed(0)
    network = build(NETWORK)
    images, labels = digits[0][:50], digits[1][:50]
    losses = [float(each(network, images, labels, 0.5)) for each in (objective, CrossEntropy())]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_trades_is_its_formula(digits, standard):
    images, labels = digits[0][:50], digits[1][:50]
    objective = Trades(eps=0.1, beta=3.0, steps=2)
    torch.manual_seed(5)
    loss = float(objective(standard, images, labels, 1.0))
    torch.manual_seed(5)
    clean = standard(images).softmax(1)
    attacked = climbed(
        standard, images, 0.1, 2, 2.5, lambda o: (clean.detach() * -o.log_softmax(1)).sum()
    )  # the entropy that is missing here has no gradient
    other = standard(attacked).softmax(1)
    divergence = (clean * (clean.log() - other.log())).sum(1).mean()
    expected = nn.functional.nll_loss(clean.log(), labels) + 3.0 * divergence
    assert loss == pytest.approx(float(expected), rel=1e-3)


def test_a_cold_start_under_large_attacks_collapses_and_says_so(digits):
    cold = PgdTraining(eps=0.45, steps=5, growth=0.0)
    with pytest.raises(TrainingCollapsed, match="grow over more epochs"):
        trained(digits, cold, learning_rate=5e-2, averaging=0.0)
    trained(digits, replace(cold, eps=0.2, growth=0.5))


def test_robust_accuracy_counts_what_is_wrong_already(digits, standard):
    images, labels = digits[0][:100], digits[1][:100]
    wrong = (labels + 1) % 10
    assert RobustAccuracy(Pgd(eps=0.0, steps=1), images, wrong)(standard) < 0.05
    assert RobustAccuracy(Pgd(eps=0.0, steps=1), images, labels)(standard) > 0.95
