import numpy as np
import onnxruntime
import pytest
import torch
from pydantic import ValidationError

from secmlops.robustness.attacks.adaptive import DetectorAware
from secmlops.robustness.attacks.pgd import Pgd
from secmlops.robustness.onnx_export import export
from secmlops.robustness.squeezing_detector import (
    LARGEST_SCORE,
    SqueezingDetector,
    SqueezingDetectorConfig,
    TooFewImages,
    calibrate,
    choose,
    measure,
)
from secmlops.robustness.transformations import BitDepthConfig, DenoisingConfig, MedianConfig
from tests.unit.robustness.small import digits, trained

EPS = 0.15
IMAGES, LABELS = digits()
VALIDATION = IMAGES[1400:1600]


@pytest.fixture(scope="module")
def network():
    return trained()


@pytest.fixture(scope="module")
def detector(network):
    return calibrate(network, VALIDATION, squeezers=[BitDepthConfig(bits=2)], false_positive_rate=0.05)


def test_the_threshold_keeps_the_false_positive_rate(network, detector):
    scores = detector.score(VALIDATION)
    assert (scores > detector.threshold).float().mean() <= 0.05
    assert (scores >= detector.threshold).float().mean() > 0.05
    assert detector.config.false_positive_rate == 0.05


def test_ignorant_attack_is_seen_and_the_attack_that_knows_survives_more_often(network, detector):
    images, labels = IMAGES[1600:], LABELS[1600:]
    aware = DetectorAware(EPS, detector.attackable_score, detector.threshold, steps=60)
    attacked = {
        "pgd": Pgd(EPS, steps=20, early_stop=False)(network, images, labels),
        "detector_aware": aware(network, images, labels),
    }
    report = measure(detector, images, labels, attacked)
    ignorant, knowing = report.attacks
    assert report.false_positive_rate < 0.12
    assert ignorant.fooled > 0.5
    assert ignorant.true_positive_rate > 0.35
    assert knowing.survives > ignorant.survives
    assert report.worst_survives >= max(knowing.survives, report.clean_survives)
    assert knowing.survives == pytest.approx(
        aware.evades(network, attacked["detector_aware"], labels).float().mean().item()
    )


def test_the_choice_lets_no_more_survive_than_any_candidate(network, detector):
    images, labels = IMAGES[1400:1600], LABELS[1400:1600]
    attacked = {"pgd": Pgd(EPS, steps=20, early_stop=False)(network, images, labels)}
    candidates = [[MedianConfig(size=2)], [BitDepthConfig(bits=2)], [BitDepthConfig(bits=8)]]
    chosen = choose(network, images, labels, attacked, candidates=candidates)
    assert chosen.config == detector.config
    survive = [
        measure(calibrate(network, images, squeezers=each), images, labels, attacked).attacks[0].survives
        for each in candidates
    ]
    assert measure(chosen, images, labels, attacked).attacks[0].survives == min(survive)


def test_rates_are_of_the_wrong_images_and_of_all_images(network, detector):
    images, labels = IMAGES[1600:1700], LABELS[1600:1700]
    calm = SqueezingDetector(network, detector.config.model_copy(update={"threshold": LARGEST_SCORE}))
    alert = SqueezingDetector(network, detector.config.model_copy(update={"threshold": 0.0}))
    wrong_labels = (labels + 1) % 10
    silent = measure(calm, images, wrong_labels, {"none": images})
    assert (silent.false_positive_rate, silent.attacks[0].true_positive_rate) == (0, 0)
    assert silent.attacks[0].survives == silent.attacks[0].fooled == silent.clean_survives > 0.9
    loud = measure(alert, images, wrong_labels, {"none": images})
    assert (loud.attacks[0].true_positive_rate, loud.attacks[0].survives) == (1, 0)
    perfect = measure(calm, images, network(images).argmax(1), {"none": images})
    assert (perfect.attacks[0].fooled, perfect.attacks[0].true_positive_rate) == (0, None)


def test_the_attackable_score_is_the_score_with_a_gradient(detector):
    images = IMAGES[:20].clone().requires_grad_()
    scores = detector.attackable_score(images)
    assert torch.allclose(scores, detector.score(images), atol=1e-6)
    assert torch.autograd.grad(scores.sum(), images)[0].flatten(1).any(dim=1).all()


def test_onnx_runtime_gives_the_same_logits_and_scores(detector):
    images = IMAGES[:300]
    session = onnxruntime.InferenceSession(export(detector.eval(), (1, 8, 8), ["logits", "score"]))
    found = session.run(None, {"images": images.numpy()})
    with torch.no_grad():
        for ours, theirs in zip(detector(images), found, strict=True):
            assert np.abs(ours.numpy() - theirs).max() < 1e-4


def test_the_config_is_json(network, detector):
    text = detector.config.model_dump_json()
    rebuilt = SqueezingDetector(network, SqueezingDetectorConfig.model_validate_json(text))
    assert torch.equal(rebuilt.score(IMAGES[:50]), detector.score(IMAGES[:50]))


def test_squeezers_that_need_weights_are_refused(network):
    with pytest.raises(ValidationError):
        calibrate(network, IMAGES[:100], squeezers=[DenoisingConfig()])


def test_too_few_images_for_the_rate(network):
    with pytest.raises(TooFewImages, match="at least 100") as caught:
        calibrate(network, IMAGES[:99], false_positive_rate=0.01)
    assert (caught.value.given, caught.value.needed) == (99, 100)


def test_one_squeezer_is_enough(network):
    images = IMAGES[:100]
    both = calibrate(network, images, squeezers=[BitDepthConfig(bits=2), MedianConfig(size=2)])
    one = calibrate(network, images, squeezers=[BitDepthConfig(bits=2)])
    assert (both.score(images) >= one.score(images) - 1e-6).all()
