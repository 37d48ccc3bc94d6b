"""Measuring: on a network whose every figure is known."""

import numpy as np
import pytest
import torch
from torch import nn

from secmlops.digits.attacking import attackable
from secmlops.digits.evaluation import SHARES_OF_EPS, digest_of, evaluate, plan
from secmlops.digits.model import ModelConfig, read_model, write_model
from secmlops.images.image_set import ImageSet
from secmlops.robustness.attacks import UnknownAttack
from secmlops.robustness.classifiers import ClassifierConfig, build_classifier
from secmlops.robustness.networks import NetworkConfig
from secmlops.robustness.squeezing_detector import SqueezingDetectorConfig
from secmlops.robustness.transformations import BitDepthConfig

EPS = 0.1
FACTS = {"recipe": "by hand", "family": "none", "training_eps": 0.0, "training_s": 1.0}


def brightness(tmp_path, transformation=None, detector=None):
    """A linear network of two pixels' sum: class 1 is brighter than a half on average."""
    network = NetworkConfig(image_shape=(1, 1, 2), classes=2, channels=(), hidden=())
    config = ModelConfig(
        classes=("dark", "bright"),
        classifier=ClassifierConfig(members=(network,), transformation=transformation),
        detector=detector,
    )
    classifier = build_classifier(config.classifier)
    (linear,) = [module for module in classifier.modules() if isinstance(module, nn.Linear)]
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[-1.0, -1.0], [1.0, 1.0]]))
        linear.bias.copy_(torch.tensor([1.0, -1.0]))
    write_model(tmp_path / "model", classifier, config, images=images().images)
    return read_model(tmp_path / "model")


def images() -> ImageSet:
    """Ten images: their mean brightness is 0.05, 0.15, ... 0.95, so their distance to the boundary is known."""
    means = np.arange(10) / 10 + 0.05
    pixels = np.repeat(means[:, None], 2, axis=1).astype(np.float32).reshape(10, 1, 1, 2)
    return ImageSet(pixels, (means > 0.5).astype(np.int64), ("dark", "bright"))


def test_every_figure_of_a_linear_network_is_as_computed_by_hand(tmp_path):
    measured = evaluate(
        brightness(tmp_path), images(), eps=EPS, attack_names=("fgsm", "pgd"), attacked_images=0, seed=3, **FACTS
    )
    metrics = measured.metrics()
    assert metrics["clean_accuracy"] == 1.0
    # Only the images of brightness .45 and .55 lie closer than .1 to the boundary.
    assert metrics["accuracy_fgsm"] == metrics["accuracy_pgd"] == metrics["robust_accuracy"] == 0.8
    assert metrics["certified_accuracy"] == pytest.approx(0.8)
    assert metrics["masking_alarms"] == 0.0
    assert metrics["answered_share"] == metrics["answered_accuracy"] == 1.0
    assert metrics["attacked_images"] == 10
    assert measured.confusion == ((5, 0), (0, 5))
    assert 0 < metrics["latency_p50_ms"] <= metrics["latency_p95_ms"]


def test_a_wrong_label_counts_as_broken(tmp_path):
    wrong = images()
    labels = wrong.labels.copy()
    labels[0] = 1
    measured = evaluate(
        brightness(tmp_path),
        ImageSet(wrong.images, labels, wrong.classes),
        eps=EPS,
        attack_names=("fgsm",),
        **FACTS,
    )
    assert measured.metrics()["clean_accuracy"] == pytest.approx(0.9)
    assert measured.metrics()["robust_accuracy"] == pytest.approx(0.7)


def test_only_so_many_images_are_attacked_and_all_are_read(tmp_path):
    measured = evaluate(
        brightness(tmp_path), images(), eps=EPS, attack_names=("fgsm", "pgd"), attacked_images=4, seed=1, **FACTS
    )
    assert (measured.n, measured.attacked) == (10, 4)
    assert {cell.attack: cell.n for cell in measured.matrix.cells} == {"fgsm": 10, "pgd": 4}


def test_a_transformation_that_hides_the_gradient_is_attacked_through(tmp_path):
    classifier = brightness(tmp_path, BitDepthConfig(bits=1))
    plain = images()
    pixels, labels = torch.from_numpy(plain.images), torch.from_numpy(plain.labels)
    aware = attackable(classifier.network)
    (attack,) = plan(("fgsm",), 0.2, 0.0, 0)
    assert torch.equal(attack(classifier.network, pixels, labels), pixels), "rounding has no gradient to follow"
    assert (aware(attack(aware, pixels, labels)).argmax(1) != labels).sum() == 4


def test_the_plan_sweeps_pgd_over_the_budgets():
    made = [(attack.name, round(attack.eps, 6)) for attack in plan(("fgsm", "pgd", "square"), EPS, 0.0, 0)]
    assert made == [("fgsm", EPS), *(("pgd", round(EPS * share, 6)) for share in SHARES_OF_EPS), ("square", EPS)]


def test_the_plan_looks_for_overfitting_where_the_training_was():
    made = {(attack.name, round(attack.eps, 6)) for attack in plan(("fgsm", "pgd", "square"), EPS, 0.3, 0)}
    assert {("fgsm", 0.3), ("pgd", 0.3), ("fgsm", EPS), ("square", EPS)} <= made
    assert ("square", 0.3) not in made


def test_an_attack_that_does_not_exist_is_refused():
    with pytest.raises(UnknownAttack, match="nonsense"):
        plan(("nonsense",), EPS, 0.0, 0)


def test_abstaining_is_measured(tmp_path):
    classifier = brightness(tmp_path)
    classifier.config = classifier.config.model_copy(update={"abstain_below": 0.6})
    measured = evaluate(classifier, images(), eps=EPS, attack_names=("fgsm",), **FACTS)
    # A softmax of +-2 (2 m - 1) is below .6 only where the brightness m is .45 or .55.
    assert measured.answered_share == pytest.approx(0.8)
    assert measured.answered_accuracy == 1.0


def watchful(threshold: float) -> SqueezingDetectorConfig:
    """Black and white say another class than the grey image between them: every attack here ends between."""
    return SqueezingDetectorConfig(squeezers=(BitDepthConfig(bits=1),), threshold=threshold, false_positive_rate=0.05)


def test_the_detector_is_attacked_with_the_network_and_helps_only_in_its_own_column(tmp_path):
    classifier = brightness(tmp_path, detector=watchful(0.0))  # flags all that is neither black nor white
    measured = evaluate(classifier, images(), eps=EPS, attack_names=("fgsm", "pgd"), **FACTS)
    metrics = measured.metrics()
    assert metrics["accuracy_detector_aware"] == 1.0, "who errs here is seen"
    assert metrics["robust_accuracy"] == metrics["accuracy_pgd"] == 0.8, "the worst case grants the detector nothing"
    (worst,) = [one for one in measured.matrix.worst if one.eps == EPS]
    assert "detector_aware" in worst.attacks


def test_a_blind_detector_is_no_help_against_who_knows_it(tmp_path):
    classifier = brightness(tmp_path, detector=watchful(2.0))  # no score is above 2
    metrics = evaluate(classifier, images(), eps=EPS, attack_names=("fgsm",), **FACTS).metrics()
    assert metrics["accuracy_detector_aware"] == 0.8


def test_what_gets_past_the_detector_counts_in_the_worst_case(tmp_path):
    """FGSM follows no gradient through rounding to one bit and finds nothing; who attacks both goes past it."""
    classifier = brightness(tmp_path, BitDepthConfig(bits=1), watchful(2.0))
    measured = evaluate(classifier, images(), eps=EPS, attack_names=("fgsm",), attacked_images=6, **FACTS)
    assert measured.metrics()["robust_accuracy"] <= measured.metrics()["accuracy_detector_aware"] < 1
    assert {cell.attack: cell.n for cell in measured.matrix.cells} == {"fgsm": 10, "detector_aware": 6}


def test_without_a_detector_there_is_no_such_column(tmp_path):
    metrics = evaluate(brightness(tmp_path), images(), eps=EPS, attack_names=("fgsm",), **FACTS).metrics()
    assert "accuracy_detector_aware" not in metrics


def test_the_images_are_named_by_their_content(tmp_path):
    classifier, all_of_them = brightness(tmp_path), images()
    measured = evaluate(classifier, all_of_them, eps=EPS, attack_names=("fgsm",), **FACTS)
    relabelled = ImageSet(all_of_them.images, 1 - all_of_them.labels, all_of_them.classes)
    assert measured.images_digest == digest_of(images()) != digest_of(relabelled)
