import numpy as np
import pytest
import torch

from secmlops.robustness.hardening.fit import FitConfig
from secmlops.robustness.networks import NetworkConfig
from secmlops.robustness.theft.extraction import UselessAnswers, extract, study_extraction
from secmlops.robustness.theft.queries import mixed, of_network
from tests.unit.robustness.small import digits, trained

IMAGES, LABELS = digits()
STUDENT = NetworkConfig(image_shape=(1, 8, 8), classes=10, channels=(16,), hidden=(32,))
FIT = FitConfig(epochs=15, batch_size=64, learning_rate=4e-3, precision="float32")
SEEDS, EVALUATION = IMAGES[1400:1500], slice(1500, None)
"""The thief has a hundred images of their own, which neither the victim nor the evaluation has seen."""


@pytest.fixture(scope="module")
def reports():
    queries = mixed(SEEDS, 2000)
    predict = of_network(trained())
    images, labels = IMAGES[EVALUATION], LABELS[EVALUATION]
    return {r.obfuscation: r for r in study_extraction(predict, queries, images, labels, student=STUDENT, config=FIT)}


def test_a_copy_is_made_from_answers_alone(reports):
    told_all = reports["none"]
    assert told_all.queries == 2000
    assert told_all.evaluation_images == len(IMAGES) - 1500
    assert told_all.victim_accuracy > 0.93
    assert told_all.agreement > 0.85
    assert told_all.student_accuracy > 0.8


def test_telling_less_is_measured_too(reports):
    assert set(reports) == {"none", "rounded", "top_one"}
    assert reports["top_one"].agreement < reports["none"].agreement
    assert all(0.3 < report.agreement < 1 for report in reports.values())


def test_answers_that_say_nothing_teach_nothing():
    def predict(images):
        return np.full((len(images), 10), 0.1, dtype=np.float32)

    student = extract(predict, mixed(SEEDS, 200), STUDENT, FIT.model_copy(update={"collapse_after": 1.0, "epochs": 2}))
    found = of_network(student)(IMAGES[EVALUATION].numpy())
    assert np.abs(found - 0.1).max() < 0.1


def test_the_same_seed_steals_the_same_copy():
    config = FIT.model_copy(update={"epochs": 2})
    one, same = (extract(of_network(trained()), SEEDS, STUDENT, config) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))


@pytest.mark.parametrize(
    ("predict", "told"),
    [
        (lambda images: np.zeros((len(images), 9), np.float32), "10 classes"),
        (lambda images: np.zeros((len(images) - 1, 10), np.float32), "100 queries"),
        (lambda images: trained()(torch.from_numpy(images)).detach().numpy(), "softmax"),
        (lambda images: np.full((len(images), 10), np.nan, np.float32), "outside"),
    ],
    ids=["other classes", "an answer missing", "logits", "NaN"],
)
def test_useless_answers_are_named(predict, told):
    with pytest.raises(UselessAnswers, match=told):
        extract(predict, SEEDS, STUDENT, FIT)
