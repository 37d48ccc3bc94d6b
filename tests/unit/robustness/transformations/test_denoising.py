"""A denoiser trained before a network that stays as it is."""

import pytest
import torch

from secmlops.robustness.attacks.fgsm import Fgsm
from secmlops.robustness.hardening.fit import FitConfig, fit
from secmlops.robustness.transformations import Denoising, DenoisingConfig, Transformed
from tests.unit.robustness.small import accuracy, digits, trained

IMAGES, LABELS = digits()
NOISE = 0.3


@pytest.fixture(scope="module")
def restored():
    """The trained denoiser with the network, and the network's weights before."""
    torch.manual_seed(0)
    network = trained()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    classifier = Transformed(DenoisingConfig(width=16).build(), network)
    config = FitConfig(epochs=20, batch_size=64, learning_rate=5e-3, precision="float32")
    fit(classifier, IMAGES[:1400], LABELS[:1400], Denoising(), config)
    return classifier, before


def noisy():
    generator = torch.Generator().manual_seed(1)
    images = IMAGES[1400:]
    return (images + NOISE * torch.randn(images.shape, generator=generator)).clamp(0, 1)


def test_noise_is_taken_away(restored):
    with torch.no_grad():
        after = (restored[0].transformation(noisy()) - IMAGES[1400:]).square().mean()
    assert after < 0.6 * (noisy() - IMAGES[1400:]).square().mean()


def test_an_attack_that_does_not_know_it_is_undone_in_part(restored):
    classifier, _ = restored
    images, labels = IMAGES[1400:], LABELS[1400:]
    attacked = Fgsm(0.1)(classifier.network, images, labels)
    assert accuracy(classifier, attacked, labels) > accuracy(classifier.network, attacked, labels) + 0.1


def test_clean_images_are_still_recognized(restored):
    classifier, _ = restored
    assert accuracy(classifier, IMAGES[1400:], LABELS[1400:]) > 0.92


def test_the_network_is_left_as_it_is(restored):
    classifier, before = restored
    assert all(torch.equal(value, before[name]) for name, value in classifier.network.state_dict().items())


def test_the_gradient_passes(restored):
    images = IMAGES[1400:1410].clone().requires_grad_()
    restored[0](images).sum().backward()
    assert images.grad.flatten(1).any(dim=1).all()
