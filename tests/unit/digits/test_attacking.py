"""Attacks on a stored classifier: the figures hang together, and wrong questions are refused."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from secmlops.digits.attacking import (
    AttackReport,
    as_divided_for,
    attack_bundle,
    attack_classifier,
    drawn,
    planned,
    proved,
    require_same_kind,
    table,
)
from secmlops.digits.data import load_digits
from secmlops.digits.model import InvalidImages
from secmlops.images.image_set import ImageSet
from secmlops.robustness.attacks import UnknownAttack

BUDGETS = [0.1, 0.02]


@pytest.fixture(scope="module")
def opened(model_dir):
    """As much of an opened bundle as attacks look at."""
    files = {path.name: path.read_bytes() for path in model_dir.iterdir()}
    card = {"training": {"seed": 0, "training_eps": 0.05}}
    return SimpleNamespace(model_files=lambda: files, card=card, model_digest=f"sha256:{'0' * 64}")


@pytest.fixture(scope="module")
def report(opened):
    return attack_bundle(opened, "", ["fgsm", "pgd"], BUDGETS, images=60, seed=3)


def test_accuracy_per_attack_and_budget(report, classifier, splits):
    matrix = report.matrix
    assert (matrix.n, report.test_images) == (60, len(splits.test))
    chosen = drawn(splits.test, 60, 3)
    assert matrix.clean_accuracy == (classifier.predict(chosen.images).labels == chosen.labels).mean()
    assert [(cell.attack, cell.eps) for cell in matrix.cells] == [
        ("fgsm", 0.02), ("fgsm", 0.1), ("pgd", 0.02), ("pgd", 0.1)
    ]  # fmt: skip
    for eps in BUDGETS:
        (certified,) = [share.accuracy for share in matrix.certified if share.eps == eps]
        worst = matrix.worst_accuracy(eps)
        assert certified <= worst <= matrix.accuracy("pgd", eps) <= matrix.clean_accuracy
    assert matrix.worst_accuracy(0.1) < matrix.worst_accuracy(0.02)
    assert matrix.alarms == ()


def test_the_report_survives_json_and_repeats(report, opened):
    assert AttackReport.model_validate_json(report.model_dump_json()) == report
    again = attack_bundle(opened, "", ["fgsm"], BUDGETS, images=60, seed=3)
    assert [cell.accuracy for cell in again.matrix.cells] == [cell.accuracy for cell in report.matrix.cells[:2]]


def test_the_table_shows_every_figure(report):
    lines = table(report.matrix).splitlines()
    assert lines[0].split() == ["eps", "0.02", "0.1"]
    assert [line.split()[0] for line in lines[1:-1]] == ["clean", "fgsm", "pgd", "worst", "certified"]
    assert lines[2].split()[1:] == [f"{100 * report.matrix.accuracy('fgsm', eps):.2f}" for eps in (0.02, 0.1)]
    assert lines[-1] == "of 60 images"


def test_what_is_proved_holds_for_smaller_budgets_too(classifier, splits):
    found = proved(classifier, splits.test, {0.0, 0.01, 0.02})
    assert list(found) == [0.0, 0.01, 0.02]
    assert not (found[0.02] & ~found[0.01]).any()
    assert not (found[0.01] & ~found[0.0]).any()
    right = torch.from_numpy(classifier.predict(splits.test.images).labels == splits.test.labels)
    assert not (found[0.0] & ~right).any()
    assert found[0.01].float().mean() > 0.1


def test_images_are_drawn_by_lot_without_repeating(splits):
    chosen = drawn(splits.test, 50, 1)
    assert len(np.unique(chosen.images.reshape(50, -1), axis=0)) == 50
    assert not np.array_equal(chosen.images, drawn(splits.test, 50, 2).images)
    assert np.array_equal(drawn(splits.test, 0, 1).images, splits.test.images)
    assert len(drawn(splits.test, 10**6, 1)) == len(splits.test)


def test_data_are_divided_as_for_the_training(opened):
    other = SimpleNamespace(card={"training": {"seed": 7}})
    assert np.array_equal(as_divided_for(other, "").test.images, load_digits(seed=7).test.images)
    for card in ({}, {"training": None}, {"training": {"seed": "x"}}):
        assert np.array_equal(as_divided_for(SimpleNamespace(card=card), "").test.images, load_digits().test.images)


def test_a_name_twice_is_one_attack():
    plan = planned(["pgd", "fgsm", "pgd"], [0.1, 0.1], seed=5)
    assert [(attack.name, attack.eps) for attack in plan] == [("pgd", 0.1), ("fgsm", 0.1)]
    with pytest.raises(UnknownAttack):
        planned(["none"], [0.1], seed=5)


def test_images_of_another_kind_are_refused(classifier, splits):
    larger = ImageSet(np.zeros((2, 1, 9, 9), np.float32), np.zeros(2, np.int64), splits.test.classes)
    fewer = ImageSet(splits.test.images[:2], np.zeros(2, np.int64), ("0", "1"))
    for images in (larger, fewer):
        with pytest.raises(InvalidImages, match="made for"):
            require_same_kind(classifier, images)
        with pytest.raises(InvalidImages):
            attack_classifier(classifier, images, planned(["fgsm"], [0.1], 0))
