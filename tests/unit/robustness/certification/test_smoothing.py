"""Randomized smoothing: counts become radii as in the paper, and certificates are as often right as they say."""

import math

import pytest
import torch
from scipy.stats import binom, norm
from torch import Tensor, nn

from secmlops.robustness.certification import NotCertifiable
from secmlops.robustness.certification.smoothing import (
    ABSTAIN,
    GaussianNoise,
    Smoothing,
    certify,
    chance_of_a_tie,
    predict,
    probability_at_least,
)

SIGMA = 0.25


def half_space(threshold: float) -> nn.Module:
    """Class 1 where the first pixel exceeds a threshold: smoothed, the distance to it is the exact radius."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    weights = {"1.weight": torch.tensor([[0.0] * 4, [1.0, 0.0, 0.0, 0.0]]), "1.bias": torch.tensor([threshold, 0.0])}
    network.load_state_dict(weights)
    return network.eval()


def answering(*shares: float):
    """A classifier that answers class i with the given probability, whatever it sees, from its own noise."""
    noise = torch.Generator().manual_seed(3)

    def classify(images: Tensor) -> Tensor:
        drawn = torch.multinomial(torch.tensor(shares), len(images), replacement=True, generator=noise)
        return nn.functional.one_hot(drawn, len(shares)).float()

    return classify


@pytest.mark.parametrize("alpha", [0.1, 0.01, 0.001])
@pytest.mark.parametrize("samples", [20, 500])
def test_the_bound_covers_as_promised_whatever_the_probability(samples, alpha):
    """Exact coverage: summed over all counts, the bound is above the truth with probability at most alpha."""
    bounds = [probability_at_least(hits, samples, alpha) for hits in range(samples + 1)]
    for truth in (0.01, 0.3, 0.5, 0.6, 0.9, 0.99, 0.9999):
        too_high = sum(binom.pmf(hits, samples, truth) for hits, bound in enumerate(bounds) if bound > truth)
        assert too_high <= alpha * (1 + 1e-9)


def test_bounds_known_in_closed_form():
    assert probability_at_least(100, 100, 0.001) == pytest.approx(0.001 ** (1 / 100))
    assert probability_at_least(0, 100, 0.001) == 0
    assert chance_of_a_tie(10, 0) == pytest.approx(2 / 2**10)
    assert chance_of_a_tie(5, 5) == 1
    assert chance_of_a_tie(0, 0) == 1


def test_when_all_copies_agree_the_radius_is_the_largest_there_is():
    smoothing = Smoothing(sigma=SIGMA, samples=1_000)
    found = certify(half_space(-5.0), torch.full((2, 1, 2, 2), 0.5), smoothing)
    assert found.answers.tolist() == [1, 1]
    assert found.radii.tolist() == pytest.approx([smoothing.largest_radius] * 2)
    assert smoothing.largest_radius == pytest.approx(SIGMA * norm.ppf(0.001 ** (1 / 1_000)))


def test_radii_of_a_half_space_are_below_the_distance_and_near_it():
    images = torch.linspace(0.55, 0.9, 8).view(8, 1, 1, 1).repeat(1, 1, 2, 2)
    found = certify(half_space(0.5), images, Smoothing(sigma=SIGMA, alpha=0.001, samples=20_000))
    exact = images[:, 0, 0, 0].double() - 0.5
    assert (found.answers == 1).all()
    assert (found.radii <= exact).all() and (found.radii > exact - 0.03).all()


def test_certificates_are_wrong_no_more_often_than_alpha():
    """The truth is known, p = .7: of 400 certificates at alpha = .1 about 40 may be too large, and not none."""
    truth = SIGMA * norm.ppf(0.7)
    smoothing = Smoothing(sigma=SIGMA, alpha=0.1, selection=50, samples=200)
    found = certify(answering(0.3, 0.7), torch.zeros(400, 1, 1, 1), smoothing)
    too_large = float((found.radii > truth).double().mean())
    assert 0.04 < too_large <= 0.1 + 3 * math.sqrt(0.1 * 0.9 / 400)


def test_a_class_without_a_majority_is_not_certified_but_can_be_answered():
    smoothing = Smoothing(sigma=SIGMA, samples=2_000)
    some = torch.zeros(3, 1, 1, 1)
    assert certify(answering(0.45, 0.3, 0.25), some, smoothing).answers.tolist() == [ABSTAIN] * 3
    assert predict(answering(0.45, 0.3, 0.25), some, smoothing).tolist() == [0] * 3


def test_two_classes_as_likely_make_it_abstain():
    answers = predict(answering(0.4, 0.4, 0.2), torch.zeros(20, 1, 1, 1), Smoothing(sigma=SIGMA, samples=500))
    assert answers.tolist().count(ABSTAIN) >= 19


def test_answers_without_numbers_count_for_no_class():
    def broken(images: Tensor) -> Tensor:
        return torch.full((len(images), 3), math.nan)

    smoothing = Smoothing(sigma=SIGMA, samples=100)
    found = certify(broken, torch.zeros(1, 1, 2, 2), smoothing)
    assert found.answers.tolist() == [ABSTAIN] and found.radii.tolist() == [0]
    assert predict(broken, torch.zeros(1, 1, 2, 2), smoothing).tolist() == [ABSTAIN]


def test_what_is_certified_counts_only_with_the_right_label():
    images = torch.full((2, 1, 2, 2), 0.9)
    found = certify(half_space(0.5), images, Smoothing(sigma=SIGMA, samples=5_000))
    assert found.certified(torch.tensor([1, 0]), 0.3).tolist() == [True, False]
    assert found.certified(torch.tensor([1, 0]), 0.5).tolist() == [False, False]


def test_the_same_seed_gives_the_same_radii():
    images, smoothing = torch.full((3, 1, 2, 2), 0.6), Smoothing(sigma=SIGMA, samples=300, batch_size=70)
    first, second = (certify(half_space(0.5), images, smoothing).radii for _ in range(2))
    other = certify(half_space(0.5), images, smoothing.model_copy(update={"seed": 1})).radii
    assert torch.equal(first, second) and not torch.equal(first, other)


def test_no_change_within_the_radius_alters_the_answer():
    smoothing = Smoothing(sigma=SIGMA, samples=5_000)
    images = torch.linspace(0.6, 0.8, 5).view(5, 1, 1, 1).repeat(1, 1, 2, 2)
    found = certify(half_space(0.5), images, smoothing)
    pushed = images.clone()
    pushed[:, 0, 0, 0] -= 0.95 * found.radii.float()
    assert (predict(half_space(0.5), pushed.clamp(0, 1), smoothing) != 0).all()


def test_images_out_of_range_are_refused():
    with pytest.raises(NotCertifiable):
        certify(half_space(0.5), torch.full((1, 1, 2, 2), math.nan), Smoothing(sigma=SIGMA))
    with pytest.raises(NotCertifiable):
        predict(half_space(0.5), torch.full((1, 1, 2, 2), 2.0), Smoothing(sigma=SIGMA))


def test_training_on_noise_sees_noise_of_that_size():
    seen: list[Tensor] = []

    class Watching(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            seen.append(images)
            return torch.zeros(len(images), 2)

    loss = GaussianNoise(SIGMA)(Watching(), torch.full((200, 1, 8, 8), 0.5), torch.zeros(200, dtype=torch.int64), 0.0)
    assert float(loss) == pytest.approx(math.log(2))
    assert float((seen[0] - 0.5).std()) == pytest.approx(SIGMA, rel=0.05)
