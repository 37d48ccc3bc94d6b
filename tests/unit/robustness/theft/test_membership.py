import numpy as np
import pytest
import torch

from secmlops.robustness.hardening.fit import FitConfig
from secmlops.robustness.networks import NetworkConfig
from secmlops.robustness.theft.membership import (
    TooFewMembers,
    confidence,
    judge,
    likelihood_ratio_attack,
    threshold_attack,
)
from secmlops.robustness.theft.queries import of_network
from secmlops.robustness.trainer import trainer
from tests.unit.robustness.small import digits

IMAGES, TRUTH = digits()
POOL = 400
TRAIN = trainer(
    NetworkConfig(image_shape=(1, 8, 8), classes=10, channels=(8,), hidden=(64,)),
    FitConfig(epochs=40, batch_size=32, learning_rate=5e-3, precision="float32"),
)


@pytest.fixture(scope="module")
def leaky():
    """Images, labels (a fifth of them wrong, so that they must be learned by heart), members, and the model."""
    rng = np.random.default_rng(0)
    labels = TRUTH[:POOL].clone()
    wrong = torch.from_numpy(rng.random(POOL) < 0.2)
    labels[wrong] = (labels[wrong] + 1) % 10
    is_member = torch.from_numpy(rng.permutation(POOL) < POOL // 2)
    network = TRAIN(IMAGES[:POOL][is_member], labels[is_member])
    return IMAGES[:POOL], labels, is_member, of_network(network)


def test_a_model_that_learned_by_heart_gives_its_members_away(leaky):
    images, labels, is_member, predict = leaky
    found = threshold_attack(predict, images, labels, is_member)
    assert (found.members, found.non_members) == (POOL // 2, POOL // 2)
    assert found.auc > 0.6
    assert found.advantage > 0.15


def test_the_likelihood_ratio_tells_them_better(leaky):
    images, labels, is_member, predict = leaky
    simple = threshold_attack(predict, images, labels, is_member)
    found = likelihood_ratio_attack(predict, images, labels, is_member, TRAIN, shadows=6)
    assert found.attack == "likelihood_ratio"
    assert found.auc > simple.auc
    assert found.tpr_at_1_percent_fpr > simple.tpr_at_1_percent_fpr


def test_members_drawn_after_training_cannot_be_told(leaky):
    images, labels, _, predict = leaky
    by_lot = torch.from_numpy(np.random.default_rng(1).permutation(POOL) < POOL // 2)
    found = threshold_attack(predict, images, labels, by_lot)
    assert abs(found.auc - 0.5) < 0.1
    assert abs(found.advantage) < 0.15
    assert found.tpr_at_1_percent_fpr < 0.1


def test_perfect_scores_and_scores_of_chance():
    is_member = np.arange(4000) % 2 == 0
    perfect = judge("known", is_member.astype(float), is_member)
    assert (perfect.advantage, perfect.auc, perfect.tpr_at_1_percent_fpr) == (1, 1, 1)
    chance = judge("known", np.random.default_rng(0).normal(size=4000), is_member)
    assert abs(chance.advantage) < 0.05
    assert chance.tpr_at_1_percent_fpr == pytest.approx(0.01, abs=0.01)


def test_the_advantage_of_two_normal_clouds_is_the_known_one():
    is_member = np.arange(20_000) % 2 == 0
    scores = np.random.default_rng(0).normal(size=20_000) + is_member
    found = judge("known", scores, is_member)
    assert found.advantage == pytest.approx(0.383, abs=0.02)  # 2 Phi(1/2) - 1
    assert found.auc == pytest.approx(0.760, abs=0.01)  # Phi(1/sqrt 2)
    assert found.tpr_at_1_percent_fpr == pytest.approx(0.092, abs=0.02)  # Phi(1 - 2.326)


def test_all_scores_alike_name_nobody():
    found = judge("known", np.zeros(100), np.arange(100) < 50)
    assert (found.advantage, found.auc, found.tpr_at_1_percent_fpr) == (0, 0.5, 0)


def test_confidence_is_the_log_odds_and_finite_at_the_ends():
    probabilities = np.array([[0.75, 0.25], [1, 0], [0, 1]], dtype=np.float32)
    found = confidence(probabilities, np.array([0, 0, 0]))
    assert found[0] == pytest.approx(np.log(3))
    assert np.isfinite(found).all()
    assert found[1] > found[0] > found[2]


def test_too_few_of_either_are_refused():
    with pytest.raises(TooFewMembers) as caught:
        judge("known", np.arange(40.0), np.arange(40) < 19)
    assert (caught.value.members, caught.value.non_members) == (19, 21)
