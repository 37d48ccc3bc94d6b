"""STRIP on a network whose mark is known exactly, and on answers whose entropy is known."""

import math

import pytest
import torch
from torch import nn

from secmlops.robustness.backdoors.strip import entropies, strip
from tests.unit.robustness.backdoors.backdoored import Backdoored, marked
from tests.unit.robustness.small import digits, trained

IMAGES, _ = digits()
CLEAN, SCREENED = IMAGES[1000:1300], IMAGES[1300:1500]


class Constant(nn.Module):
    """Answers the same to everything."""

    def __init__(self, logits):
        super().__init__()
        self.logits = torch.tensor(logits)

    def forward(self, images):
        return self.logits.expand(len(images), -1)


@pytest.mark.parametrize(
    ("logits", "entropy"), [([0.0, 0.0, 0.0, 0.0], math.log(4)), ([0.0, 0.0, -50.0], math.log(2)), ([50.0, 0.0], 0.0)]
)
def test_the_entropy_is_that_of_the_answers(logits, entropy):
    found = entropies(Constant(logits), SCREENED[:5], CLEAN)
    assert found.tolist() == pytest.approx([entropy] * 5, abs=1e-4)


def test_marked_images_are_suspected_and_clean_ones_are_not():
    network = Backdoored().eval()
    assert strip(network, marked(SCREENED), CLEAN).suspects.double().mean() >= 0.95
    found = strip(network, SCREENED, CLEAN, false_rejections=0.05)
    assert found.suspects.double().mean() <= 0.12
    assert torch.equal(found.suspects, found.entropies < found.threshold)


def test_a_network_without_a_backdoor_does_not_obey_the_mark():
    assert strip(trained(), marked(SCREENED), CLEAN).suspects.double().mean() <= 0.2


def test_the_same_seed_gives_the_same_verdict():
    network = Backdoored().eval()
    first, again, other = (strip(network, SCREENED, CLEAN, seed=seed).entropies for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
