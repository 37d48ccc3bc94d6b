"""Recipes: data that make a classifier of any image size, the same for the same seed, resumable, of their family."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from secmlops.digits.data import load_digits
from secmlops.digits.recipes import (
    FEW_EPOCHS,
    FULL_SET,
    LONGEST_STEP,
    RECIPES,
    BudgetTooLarge,
    Trained,
    UnknownRecipe,
    eps_scale,
    recipe_named,
    sized,
    train_recipe,
)
from secmlops.images.image_set import ImageSet
from secmlops.images.splits import Splits
from secmlops.robustness.attacks.pgd import Pgd
from secmlops.robustness.classifiers import classifier_with_weights
from secmlops.robustness.hardening.adversarial_training import RobustAccuracy
from secmlops.robustness.hardening.checkpoint import CheckpointUnusable
from secmlops.robustness.hardening.fit import FitConfig
from secmlops.robustness.transformations import ContrastConfig


@pytest.fixture(scope="module")
def splits() -> Splits:
    return load_digits()


def few(image_set: ImageSet, n: int) -> ImageSet:
    return image_set.take(np.arange(n))


def accuracy(trained: Trained, images: ImageSet, eps: float = 0.0) -> float:
    score = RobustAccuracy(Pgd(eps=eps, steps=20), torch.from_numpy(images.images), torch.from_numpy(images.labels))
    return score(trained.classifier)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_makes_a_classifier_that_comes_back_from_its_weights(splits, name):
    trained = train_recipe(name, few(splits.train, 100), few(splits.validation, 30), epochs=1)
    images = torch.from_numpy(splits.test.images[:20])
    again = classifier_with_weights(trained.config, trained.classifier.state_dict())
    torch.testing.assert_close(again(images), trained.classifier(images))
    assert trained.classifier(images).shape == (20, 10)
    assert not trained.classifier.training
    assert trained.seconds == sum(report.seconds for report in trained.reports) > 0


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_says_what_it_is(name):
    recipe = recipe_named(name)
    assert recipe.name == name
    assert all(re.fullmatch(r"AML\.M\d{4}", mitigation) for mitigation in recipe.atlas)
    assert bool(recipe.sources) == bool(recipe.atlas) == (recipe.family != "none")
    assert repr(recipe) == repr(replace(recipe))


def test_the_contrast_is_stretched_by_what_the_network_is_made_for(splits):
    trained = train_recipe("certified_small", few(splits.train, 100), few(splits.validation, 30), eps=0.2, epochs=1)
    assert trained.config.transformation == ContrastConfig(low=0.2, high=0.8)


def test_a_budget_that_leaves_no_contrast_is_refused(splits):
    with pytest.raises(BudgetTooLarge, match=r"robust_architecture.*eps is 0\.5.*another recipe"):
        train_recipe("robust_architecture", splits.train, splits.validation, eps=0.5)


def test_a_denoiser_learns_after_the_network_that_guides_it(splits):
    trained = train_recipe("denoising", few(splits.train, 200), few(splits.validation, 30), epochs=2)
    assert len(trained.reports) == 2
    noisy = torch.from_numpy(splits.test.images) + 0.2 * torch.randn(splits.test.images.shape)
    restored = trained.classifier.transformation(noisy.clamp(0, 1))
    assert restored.shape == noisy.shape


def test_an_unknown_recipe_names_the_known_ones():
    with pytest.raises(UnknownRecipe, match="fgsm"):
        recipe_named("magic")


@pytest.fixture(scope="module")
def standard(splits) -> Trained:
    return train_recipe("standard", splits.train, splits.validation)


def test_the_hardened_resists_where_the_standard_breaks(splits, standard):
    hardened = train_recipe("fgsm", splits.train, splits.validation)
    assert accuracy(standard, splits.test) > 0.93
    assert accuracy(hardened, splits.test) > 0.93
    assert accuracy(hardened, splits.test, eps=0.1) > accuracy(standard, splits.test, eps=0.1) + 0.15
    assert all(epoch.validation is not None for epoch in hardened.reports[0].history)


def test_distillation_keeps_the_student(splits):
    trained = train_recipe("distillation", few(splits.train, 300), splits.validation, epochs=15)
    assert len(trained.reports) == 2
    assert accuracy(trained, splits.test) > 0.7


def test_an_ensemble_trains_members_that_differ(splits):
    trained = train_recipe("ensemble", few(splits.train, 200), few(splits.validation, 50), epochs=2)
    assert len(trained.reports) == len(trained.config.members) == 3
    assert (trained.classifier.disagreement(torch.from_numpy(splits.test.images[:20])) > 0).all()


def test_the_seed_decides_and_nothing_else(splits):
    def weights(seed: int) -> dict[str, torch.Tensor]:
        torch.rand(3)
        chosen = few(splits.train, 150), few(splits.validation, 50)
        return train_recipe("fgsm", *chosen, seed=seed, epochs=2).classifier.state_dict()

    first, again, other = weights(1), weights(1), weights(2)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_a_finished_part_is_not_trained_again(splits, tmp_path):
    chosen = few(splits.train, 150), few(splits.validation, 50)
    first = train_recipe("distillation", *chosen, epochs=2, checkpoint=tmp_path)
    (tmp_path / "2.safetensors").unlink()
    told: list[str] = []
    again = train_recipe(
        "distillation", *chosen, epochs=2, checkpoint=tmp_path, on_progress=lambda done, total, said: told.append(said)
    )
    assert told and all(said.startswith("student") for said in told)
    weights = again.classifier.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in first.classifier.state_dict().items())


def test_checkpoints_of_another_size_of_attack_are_refused(splits, tmp_path):
    chosen = few(splits.train, 150), few(splits.validation, 50)
    train_recipe("fgsm", *chosen, epochs=1, checkpoint=tmp_path)
    with pytest.raises(CheckpointUnusable, match="objective"):
        train_recipe("fgsm", *chosen, epochs=1, checkpoint=tmp_path, eps=0.2)


def test_attacks_are_smaller_on_small_images(splits):
    small = train_recipe("trades", few(splits.train, 100), few(splits.validation, 30), epochs=1)
    assert small.eps == pytest.approx(recipe_named("trades").eps * eps_scale((1, 8, 8)))
    assert eps_scale((1, 8, 8)) < eps_scale((1, 28, 28)) == 1
    assert train_recipe("trades", few(splits.train, 100), few(splits.validation, 30), epochs=1, eps=0.07).eps == 0.07


@pytest.mark.parametrize(
    ("images", "planned", "epochs", "batch_size", "longer"),
    [
        (FULL_SET, 10, 10, 256, 1),
        (2 * FULL_SET, 10, 5, 256, 1),
        (FULL_SET // 2, 10, 20, 256, 1),
        (FULL_SET // 12, 10, FEW_EPOCHS, 250, 1.98),
        (1_000, 10, FEW_EPOCHS, 50, 1.98),
        (1_000, 20, 2 * 20, 50, 2.42),
        (60, 10, FEW_EPOCHS, 32, LONGEST_STEP),
    ],
)
def test_a_smaller_set_gets_more_passes_and_longer_steps_within_limits(images, planned, epochs, batch_size, longer):
    config = sized(FitConfig(epochs=planned, batch_size=256, learning_rate=1e-3, shift=1), images, (1, 28, 28))
    assert (config.epochs, config.batch_size, config.shift) == (epochs, batch_size, 1)
    assert config.learning_rate == pytest.approx(longer * 1e-3, rel=0.01)


def test_small_images_are_not_moved():
    assert sized(FitConfig(shift=1), 1_000, (1, 8, 8)).shift == 0
