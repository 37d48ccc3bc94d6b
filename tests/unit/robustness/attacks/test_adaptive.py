"""Attacks that know the defence break what attacks that do not know it leave standing."""

import pytest
import torch
from torch import nn

from secmlops.robustness.attacks import build
from secmlops.robustness.attacks.adaptive import DetectorAware, averaged, through
from secmlops.robustness.attacks.ball import distance
from secmlops.robustness.attacks.goal import cross_entropy, gradient, untargeted
from secmlops.robustness.attacks.pgd import Pgd
from secmlops.robustness.transformations import ContrastConfig, Transformed
from tests.unit.robustness.small import accuracy, digits, held_out, trained


def rounded(images):
    """Two bits a pixel: no gradient passes."""
    return torch.round(images * 3) / 3


def test_bpda_breaks_a_rounding_defence_that_hides_its_gradient():
    network, (images, labels) = trained(), held_out()

    def defended(images):
        return network(rounded(images))

    hidden = accuracy(defended, Pgd(0.2)(defended, images, labels), labels)
    known = accuracy(defended, Pgd(0.2)(through(rounded, network), images, labels), labels)
    assert hidden > 0.8
    assert known < 0.3


def test_bpda_passes_the_real_transformation_forth_and_the_identity_back():
    network, (images, labels) = trained(), held_out(5)
    attacked = through(rounded, network)
    assert torch.equal(attacked(images), network(rounded(images)))
    rows = torch.arange(5)
    at_rounded, _, _ = gradient(untargeted(network, labels), rounded(images), rows)
    passed, _, _ = gradient(untargeted(attacked, labels), images, rows)
    assert torch.equal(passed, at_rounded)


def test_stretched_contrast_is_attacked_about_as_well_as_what_stands_behind_it():
    """Behind it, what an attacker can produce is a box: from the stretched lowest to the stretched highest image."""
    network, (images, labels) = trained(hardened=True), held_out()
    stretching = ContrastConfig(low=0.2, high=0.8).build()
    whole = Transformed(stretching, network)
    low, high = stretching((images - 0.3).clamp(0, 1)), stretching((images + 0.3).clamp(0, 1))
    torch.manual_seed(0)
    behind = torch.ones(len(images), dtype=torch.bool)
    for _ in range(3):
        at = torch.lerp(low, high, torch.rand_like(low))
        for _ in range(40):
            at.requires_grad_()
            (upward,) = torch.autograd.grad(cross_entropy(network(at), labels).sum(), at)
            at = torch.clamp(at.detach() + upward.sign() / 16, low, high)
        behind &= network(at).argmax(1) == labels
    known = accuracy(whole, Pgd(0.3, restarts=3)(through(stretching, network), images, labels), labels)
    assert known <= behind.double().mean() + 0.03


class Noisy(nn.Module):
    """A classifier that adds noise to every image it sees."""

    def __init__(self, network, spread):
        super().__init__()
        self.network = network
        self.spread = spread

    def forward(self, images):
        return self.network(images + self.spread * torch.randn_like(images))


def test_eot_averages_the_gradients_of_the_draws():
    network, (images, labels) = trained(), held_out(20)
    noisy = Noisy(network, 0.3)
    rows = torch.arange(20)

    def agreement(classifier):
        """How alike two estimates of the gradient are: their mean cosine."""
        torch.manual_seed(0)
        first, second = (gradient(untargeted(classifier, labels), images, rows)[0].flatten(1) for _ in range(2))
        return nn.functional.cosine_similarity(first, second).mean().item()

    assert agreement(averaged(noisy, 32)) > agreement(noisy) + 0.2
    assert averaged(noisy, 3)(images).shape == (20, 10)


def test_the_mean_of_equal_draws_is_the_classifier():
    network, (images, _) = trained(), held_out(4)
    assert torch.allclose(averaged(network, 5)(images), network(images), atol=1e-5)


@pytest.fixture(scope="module")
def detector():
    """A small network that has learnt to tell what PGD at .2 makes from digits as they are; score and threshold."""
    network, (images, labels) = trained(), tuple(some[:600] for some in digits())
    attacked = Pgd(0.2, early_stop=False)(network, images, labels)
    torch.manual_seed(0)
    finder = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1), nn.Flatten(0))
    optimizer = torch.optim.Adam(finder.parameters(), lr=3e-3)
    both, found = torch.cat([images, attacked]), torch.arange(1200).ge(600).float()
    for _ in range(150):
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(finder(both), found).backward()
        optimizer.step()
    finder.requires_grad_(False)
    return finder, finder(images).quantile(0.95).item()


def test_an_attack_that_knows_the_detector_gets_past_it_within_the_budget(detector):
    network, (images, labels) = trained(), held_out(100)
    score, threshold = detector
    attack = DetectorAware(0.2, score, threshold, steps=60)
    unaware = Pgd(0.2, early_stop=False)(network, images, labels)
    aware = attack(network, images, labels)
    assert accuracy(network, unaware, labels) < 0.1
    assert attack.evades(network, unaware, labels).double().mean() < 0.2
    assert attack.evades(network, aware, labels).double().mean() > 0.8
    assert distance(aware, images, "linf").max() <= 0.2 + 1e-5


def test_a_detected_error_is_no_success(detector):
    network, (images, labels) = trained(), held_out(30)
    attack = DetectorAware(0.2, lambda images: images.flatten(1).sum(1) * 0 + 1, threshold=0.5, steps=5)
    assert not attack.evades(network, attack(network, images, labels), labels).any()


def test_the_loss_of_a_goal_is_the_named_one():
    network, (images, labels) = trained(), held_out(5)
    _, loss, _ = gradient(untargeted(network, labels), images, torch.arange(5))
    assert torch.allclose(loss, cross_entropy(network(images), labels))
    assert build("apgd_dlr", 0.1).name == "apgd_dlr"
