"""Ensembles answer with the mean probability, and know how far their members differ."""

import pytest
import torch

from secmlops.robustness.hardening.ensemble import Ensemble
from secmlops.robustness.networks import NetworkConfig, build

NETWORK = NetworkConfig(image_shape=(1, 8, 8), classes=4, channels=(4,), hidden=())


@pytest.fixture
def members():
    torch.manual_seed(0)
    return [build(NETWORK), build(NETWORK), build(NETWORK.model_copy(update={"activation": "silu"}))]


def test_probabilities_are_averaged(members):
    images = torch.rand(6, 1, 8, 8)
    expected = sum(member(images).softmax(1) for member in members) / 3
    torch.testing.assert_close(Ensemble(members)(images).softmax(1), expected)
    torch.testing.assert_close(Ensemble(members)(images).exp(), expected)


def test_very_sure_members_do_not_overflow(members):
    for member in members:
        member[-1].weight.data *= 1e4
    images = torch.rand(6, 1, 8, 8, requires_grad=True)
    logits = Ensemble(members)(images)
    logits.amax(1).sum().backward()
    assert torch.isfinite(logits.amax(1)).all() and torch.isfinite(images.grad).all()


def test_disagreement_is_nothing_among_the_like_and_something_among_others(members):
    images = torch.rand(6, 1, 8, 8)
    alike = Ensemble([members[0], members[0]])
    torch.testing.assert_close(alike.disagreement(images), torch.zeros(6), atol=1e-6, rtol=0)
    assert (Ensemble(members).disagreement(images) > 1e-4).all()
