import pytest
import torch

from secmlops.robustness.backdoors.cleanup import clean_up
from secmlops.robustness.backdoors.drill import DrillData, DrillReport, Plan, run_drill
from secmlops.robustness.backdoors.neural_cleanse import Search
from secmlops.robustness.hardening.fit import FitConfig
from secmlops.robustness.networks import NetworkConfig
from secmlops.robustness.trainer import trainer
from tests.unit.robustness.small import digits, trained

IMAGES, LABELS = digits()
NETWORK = NetworkConfig(image_shape=(1, 8, 8), classes=10, channels=(16, 32), hidden=(64,))
FIT = FitConfig(epochs=25, batch_size=64, learning_rate=4e-3, precision="float32")
SEARCH = Search(steps=150)


@pytest.fixture(scope="module")
def told():
    return []


@pytest.fixture(scope="module")
def report(told):
    data = DrillData(IMAGES[:1100], LABELS[:1100], IMAGES[1100:1300], IMAGES[1300:], LABELS[1300:], classes=10)
    return run_drill(
        data,
        trainer(NETWORK, FIT),
        Plan(target=5, share=0.1),
        search=SEARCH,
        on_progress=lambda done, total, message: told.append((done, total)),
    )


def test_the_backdoor_works_is_found_and_is_gone(report):
    assert report.planted == 110
    assert report.before.attack_success >= 0.9
    assert report.before.accused == (5,)
    assert report.after.attack_success <= 0.05
    assert report.after.accused == ()
    assert report.rounds >= 1


def test_the_control_raises_no_alarm_and_accuracy_is_kept(report):
    assert report.control.accused == ()
    assert report.control.attack_success < 0.05
    assert report.accuracy_lost < 0.02
    assert min(report.control.clean_accuracy, report.before.clean_accuracy) > 0.95


def test_the_planted_images_were_the_ones_left_out(report):
    by_name = {quality.detector: quality for quality in report.detectors}
    assert set(by_name) == {"carriers", "activation_clustering", "spectral_signatures", "strip"}
    assert by_name["carriers"].recall >= 0.98
    assert by_name["carriers"].false_positive_rate <= 0.03
    assert by_name["carriers"].accused == (5,)
    assert by_name["spectral_signatures"].recall > 0.3
    assert by_name["strip"].recall >= 0.7
    assert by_name["strip"].false_positive_rate <= 0.1


def test_the_report_is_json_and_progress_ends(report, told):
    assert DrillReport.model_validate_json(report.model_dump_json()) == report
    assert told[0] == (0, 5)
    assert told[-1] == (5, 5)


def test_an_honest_network_is_not_trained_again():
    def train(images, labels):
        raise AssertionError("trained without need")

    network = trained()
    cleaned = clean_up(network, IMAGES, LABELS, train, reference=IMAGES[1400:1600], classes=10, search=SEARCH)
    assert cleaned.is_clean
    assert cleaned.network is network
    assert torch.equal(cleaned.kept, torch.ones(len(IMAGES), dtype=torch.bool))
