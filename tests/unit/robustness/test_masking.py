"""Masked gradients are planted; each must be noticed, and a plain network must raise no warning."""

import pytest
import torch
from torch import nn

from secmlops.robustness.attacks import build
from secmlops.robustness.masking import probe, warnings, zero_gradient_share
from secmlops.robustness.matrix import attack_matrix
from secmlops.robustness.verdicts import Setting, Verdicts
from tests.unit.robustness.small import held_out, trained


def verdicts(**broken):
    """Broken rows by `attack` or `attack_eps` (in hundredths), of 1,000 images."""
    standing = {}
    for name, rows in broken.items():
        attack, _, hundredths = name.partition("_at_")
        left = torch.ones(1000, dtype=torch.bool)
        left[list(rows)] = False
        standing[Setting(attack, "linf", int(hundredths or 10) / 100)] = left
    return Verdicts(torch.ones(1000, dtype=torch.bool), standing)


@pytest.mark.parametrize(
    ("broken", "kind"),
    [
        ({"pgd": range(100), "apgd_ce": range(120), "square": range(110, 150)}, "black_box_wins"),
        ({"pgd": range(100), "transfer": range(200)}, "black_box_wins"),
        ({"fgsm": range(50), "pgd": range(20)}, "one_step_wins"),
        ({"pgd_at_10": range(50), "pgd_at_20": range(40)}, "more_eps_helps_less"),
        ({"fgsm": range(50), "pgd": range(100)}, "catastrophic_overfitting"),
    ],
)
def test_each_sign_is_noticed(broken, kind):
    (found,) = warnings(verdicts(**broken), training_eps=0.1)
    assert found.kind == kind


def test_figures_as_they_should_be_raise_no_warning():
    sound = verdicts(
        fgsm=range(80),
        pgd=range(100),
        apgd_ce=range(105),
        square=range(90),
        autoattack=range(200),
        pgd_at_20=range(300),
    )
    assert warnings(sound, training_eps=0.1) == []
    assert warnings(verdicts(square=range(100))) == []  # nothing to compare with


def test_a_gap_elsewhere_than_at_the_training_budget_is_no_overfitting():
    gap = verdicts(fgsm=range(50), pgd=range(100))
    assert warnings(gap, training_eps=0.2) == []
    assert warnings(gap) == []


def test_a_plain_network_passes_the_probe():
    assert probe(trained(), *held_out(50)) == []


class Saturated(nn.Module):
    """Logits so large that float32 leaves the cross-entropy of most images no gradient at all."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        return 1e4 * self.network(images)


class Rounded(nn.Module):
    """Pixels of two bits: no gradient anywhere."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        return self.network(torch.round(images * 3) / 3)


@pytest.mark.parametrize("mask", [Saturated, Rounded])
def test_a_vanished_gradient_is_noticed(mask):
    masked, (images, labels) = mask(trained()), held_out(50)
    assert zero_gradient_share(masked, images, labels) > 0.5
    assert "zero_gradient" in {one.kind for one in probe(masked, images, labels)}


def test_a_defence_that_only_hides_its_gradient_is_warned_of_by_the_whole_matrix():
    images, labels = held_out(60)
    attacks = [build("pgd", 0.25), build("square", 0.25, queries=150)]
    masked = attack_matrix(Rounded(trained()), images, labels, attacks)
    assert masked.accuracy("pgd", 0.25) > masked.accuracy("square", 0.25)
    assert {"zero_gradient", "black_box_wins", "unbounded"} <= {one.kind for one in masked.warnings}
    plain = attack_matrix(trained(), images, labels, attacks)
    assert plain.warnings == ()
