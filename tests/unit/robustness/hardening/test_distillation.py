"""Defensive distillation: the student learns the teacher's answers, and its logits grow with the temperature."""

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from secmlops.robustness.hardening.distillation import Distillation, HotCrossEntropy
from secmlops.robustness.hardening.fit import FitConfig, fit
from secmlops.robustness.networks import NetworkConfig, build

NETWORK = NetworkConfig(image_shape=(1, 8, 8), classes=10, channels=(8,), hidden=(32,))
CONFIG = FitConfig(epochs=12, batch_size=64, learning_rate=5e-3)


@pytest.fixture(scope="module")
def digits():
    bunch = load_digits()
    return torch.tensor(bunch.images, dtype=torch.float32)[:, None] / 16, torch.tensor(bunch.target)


def network(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return build(NETWORK)


def test_the_student_learns_what_the_teacher_says_not_the_labels(digits):
    images, labels = digits
    teacher, student = network(0), network(1)
    fit(teacher, images, labels, HotCrossEntropy(10), CONFIG)
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    fit(student, images, torch.zeros_like(labels), Distillation(teacher, 10), CONFIG)
    agreement = float((student(images).argmax(1) == teacher(images).argmax(1)).float().mean())
    assert agreement > 0.95
    assert all(torch.equal(before[name], value) for name, value in teacher.state_dict().items())


def test_at_a_temperature_logits_grow_until_the_softmax_saturates(digits):
    images, labels = digits
    widths = []
    for temperature in (1, 20):
        hot = network(0)
        fit(hot, images, labels, HotCrossEntropy(temperature), CONFIG.model_copy(update={"epochs": 20}))
        widths.append(float(hot(images).topk(2, dim=1).values.diff(dim=1).abs().median()))
    assert widths[1] > 2 * widths[0]


def test_the_loss_is_the_cross_entropy_of_two_softened_answers(digits):
    images, labels = digits[0][:30], digits[1][:30]
    teacher, student = network(0), network(1)
    taught = (teacher(images) / 4).softmax(1)
    said = (student(images) / 4).log_softmax(1)
    loss = Distillation(teacher, 4)(student, images, labels, 0.0)
    assert float(loss) == pytest.approx(float(-(taught * said).sum(1).mean()), rel=1e-5)
