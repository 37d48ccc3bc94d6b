"""What holds for every attack: budget, range, wrong images left alone, same seed same images, bad settings refused."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from secmlops.robustness.attacks import ATTACKS, BadBudget, UnknownAttack, UnknownSetting, build
from secmlops.robustness.attacks.ball import distance
from secmlops.robustness.attacks.standing import ImagesDoNotFit

QUICK = {
    "pgd": {"steps": 5, "restarts": 2},
    "apgd_ce": {"steps": 12, "restarts": 2},
    "apgd_dlr": {"steps": 12},
    "apgd_t": {"steps": 8, "targets": 3},
    "fab_t": {"steps": 6, "targets": 2, "restarts": 2},
    "square": {"queries": 30},
    "autoattack": {"steps": 6, "targets": 2, "queries": 20},
    "deepfool": {"steps": 10},
    "carlini_wagner": {"rounds": 3, "steps": 60, "learning_rate": 0.2},
    "hop_skip_jump": {"rounds": 2, "queries": 40, "first_queries": 10, "noise": 10},
    "patch": {"steps": 5},
}
EVERY = [(name, {}) for name in ATTACKS] + [
    (name, {"norm": "l2"}) for name in ("fgsm", "pgd", "apgd_ce", "apgd_t", "fab_t", "deepfool", "hop_skip_jump")
]


def network(seed, classes=4):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, classes)).eval()


def pictures(seed, count=6):
    """Random images, some with many pixels at the very ends of the range."""
    torch.manual_seed(seed)
    images = torch.rand(count, 2, 6, 6)
    images[::2] = images[::2].round()
    return images, torch.randint(4, (count,))


def made(name, eps, options, **more):
    return build(name, eps, **QUICK.get(name, {}), **options, **more)


@pytest.mark.parametrize(("name", "options"), EVERY)
@settings(max_examples=6)
@given(seed=st.integers(0, 10_000), eps=st.sampled_from([0.0, 0.03, 0.3, 1.0, 5.0]))
def test_images_stay_within_budget_and_range_and_wrong_ones_are_left_alone(name, options, seed, eps):
    classifier, (images, labels) = network(seed), pictures(seed)
    given_images = images.clone()
    attack = made(name, eps, options)
    attacked = attack(classifier, images, labels)
    assert attacked.shape == images.shape
    assert attacked.dtype == images.dtype
    assert attacked.min() >= 0 and attacked.max() <= 1  # also false for NaN
    allowed = max(eps, 1 / 36) if attack.norm == "l0" else eps
    assert distance(attacked, images, attack.norm).max() <= allowed + 1e-5
    wrong = classifier(images).argmax(1) != labels
    assert torch.equal(attacked[wrong], images[wrong])
    assert torch.equal(images, given_images)


@pytest.mark.parametrize(("name", "options"), EVERY)
def test_the_same_seed_gives_the_same_images_and_the_global_generator_is_left_alone(name, options):
    classifier, (images, labels) = network(1), pictures(1)
    attack = made(name, 0.2, options)
    before = torch.random.get_rng_state()
    first = attack(classifier, images, labels)
    assert torch.equal(first, attack(classifier, images, labels))
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(("name", "options"), EVERY)
def test_weights_get_no_gradient_and_no_images_are_no_trouble(name, options):
    classifier, (images, labels) = network(2), pictures(2)
    made(name, 0.2, options)(classifier, images, labels)
    assert all(weight.grad is None for weight in classifier.parameters())
    assert made(name, 0.2, options)(classifier, images[:0], labels[:0]).shape == (0, 2, 6, 6)


@pytest.mark.parametrize("name", ["pgd", "apgd_t", "fab_t", "square", "deepfool", "carlini_wagner"])
def test_batches_of_any_size_attack_every_image(name):
    classifier, (images, labels) = network(3), pictures(3, 23)
    labels = classifier(images).argmax(1)
    at_once = made(name, 5.0, {})(classifier, images, labels)
    in_fives = made(name, 5.0, {}, batch_size=5)(classifier, images, labels)
    for attacked in (at_once, in_fives):
        assert (attacked != images).flatten(1).any(1).all()


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", ["apgd_dlr", "apgd_t", "fab_t", "autoattack", "deepfool"])
def test_few_classes_are_attacked_too(name, classes):
    classifier, (images, _) = network(4, classes), pictures(4)
    labels = classifier(images).argmax(1)
    attacked = made(name, 1.0, {})(classifier, images, labels)
    assert (classifier(attacked).argmax(1) != labels).any()


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(UnknownAttack, match="fgsm, pgd, apgd_ce") as caught:
        build("pdg", 0.1)
    assert caught.value.name == "pdg"


@pytest.mark.parametrize("eps", [-0.1, float("nan")])
def test_a_budget_that_is_none_is_refused(eps):
    with pytest.raises(BadBudget):
        build("fgsm", eps)


def test_an_unknown_setting_is_refused_with_its_name():
    with pytest.raises(UnknownSetting, match="no setting stepps; it has: norm, steps, restarts") as caught:
        build("pgd", 0.1, stepps=3)
    assert caught.value.settings == ("stepps",)


def test_a_seed_is_for_those_that_draw_lots():
    assert build("pgd", 0.1, seed=4).seed == 4
    assert build("apgd_dlr", 0.1, seed=4).loss == "dlr"
    assert build("fgsm", 0.1, seed=4) == build("fgsm", 0.1)


def test_labels_of_another_length_are_refused():
    images, labels = pictures(5)
    with pytest.raises(ImagesDoNotFit) as caught:
        build("fgsm", 0.1)(network(5), images, labels[:-1])
    assert caught.value.labels_shape == (5,)
