import numpy as np
import pytest
import torch
from scipy import stats

from secmlops.detectors.adversarial import NoThreshold, TooFewClean
from secmlops.detectors.adversarial_ae import AdversarialAe, AdversarialAeConfig, ModelDistillationConfig, divergence
from secmlops.detectors.detector import BadWindow, Detector
from secmlops.detectors.storage import InvalidDetector, NothingToWatch, detector_files, load_detector
from secmlops.robustness.attacks.adaptive import DetectorAware
from secmlops.robustness.attacks.fgsm import Fgsm
from secmlops.robustness.attacks.pgd import Pgd
from secmlops.robustness.hardening.fit import FitConfig
from secmlops.robustness.networks import NetworkConfig
from tests.unit.robustness.small import SHAPE, digits, held_out, trained

IMAGES, _ = digits()
TRAINING, VALIDATION = IMAGES[:1200], IMAGES[1200:1400]
FIT = FitConfig(epochs=25, batch_size=100, learning_rate=4e-3, precision="float32", device="cpu")


@pytest.fixture(scope="module")
def network():
    return trained()


@pytest.fixture(scope="module")
def detector(network):
    torch.manual_seed(0)
    detector = AdversarialAe(
        AdversarialAeConfig(image_shape=SHAPE, hidden=(64,), latent=16, noise=0.3, reconstruction=1.0), network
    )
    detector.fit(TRAINING, FIT)
    detector.infer_threshold(VALIDATION, 0.05)
    return detector


def auroc(attacked, clean):
    return stats.mannwhitneyu(attacked, clean).statistic / (len(attacked) * len(clean))


@pytest.mark.parametrize(("attack", "least"), [(Fgsm(0.1), 0.9), (Pgd(0.1, steps=20), 0.9), (Pgd(0.2, steps=20), 0.85)])
def test_images_that_fool_the_classifier_score_higher(network, detector, attack, least):
    images, labels = held_out(300)
    attacked = attack(network, images, labels)
    fooled = network(attacked).argmax(1) != labels
    assert fooled.sum() > 50
    assert auroc(detector.score(attacked[fooled]), detector.score(images)) > least


def test_an_attack_that_knows_the_detector_gets_further_than_one_that_does_not(network, detector):
    images, labels = held_out(100)
    aware = DetectorAware(0.15, detector.attackable_score, detector.config.threshold, steps=40)
    ignorant = Pgd(0.15, steps=40)(network, images, labels)
    knowing = aware(network, images, labels)
    assert aware.evades(network, knowing, labels).sum() > aware.evades(network, ignorant, labels).sum() + 10


def test_the_threshold_keeps_its_rate_and_the_answer_has_alibis_keys(detector):
    answer = detector.predict(VALIDATION)
    assert answer["data"]["is_adversarial"].mean() <= 0.05
    assert answer["data"]["instance_score"].shape == (200,)
    assert detector.predict(held_out(300)[0])["data"]["is_adversarial"].mean() < 0.12
    assert answer["meta"]["detector_type"] == "adversarial"
    assert isinstance(detector, Detector)


def test_the_second_opinion_corrects(network, detector):
    images, labels = held_out(300)
    attacked = Fgsm(0.1)(network, images, labels)
    data = detector.correct(attacked)["data"]
    right = {key: (data[key] == labels.numpy()).mean() for key in ("no_defense", "defense", "corrected")}
    assert right["corrected"] > right["no_defense"] + 0.15
    flagged = data["is_adversarial"] == 1
    assert (data["corrected"][~flagged] == data["no_defense"][~flagged]).all()
    assert (data["corrected"][flagged] == data["defense"][flagged]).all()


def test_the_score_is_the_divergence_of_the_two_answers(network, detector):
    images = IMAGES[:5]
    first, second = network(images).softmax(1), network(detector.network(images)).softmax(1)
    wanted = (first * (first / second).log()).sum(1)
    assert detector.score(images) == pytest.approx(wanted.detach().numpy(), rel=1e-3, abs=1e-6)
    sharp = divergence(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 0.0]]), 0.5)
    p = 1 / (1 + np.exp(-2))
    assert sharp.item() == pytest.approx(p * np.log(2 * p) + (1 - p) * np.log(2 * (1 - p)), rel=1e-5)


def test_the_classifier_is_neither_changed_nor_stored(network, detector):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    fresh = AdversarialAe(AdversarialAeConfig(image_shape=SHAPE, hidden=(8,), latent=4), network)
    fresh.fit(TRAINING[:200], FIT.model_copy(update={"epochs": 1}))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert sum(value.size for value in detector.arrays().values()) == sum(
        p.numel() for p in detector.network.parameters()
    )


def test_any_function_from_images_to_logits_will_do():
    def classifier(images):
        brightness = images.mean(dim=(1, 2, 3)) * 20 - 6
        return torch.stack([brightness, -brightness], dim=1)

    detector = AdversarialAe(AdversarialAeConfig(image_shape=SHAPE, hidden=(16,), latent=8), classifier)
    report = detector.fit(TRAINING[:400], FIT.model_copy(update={"epochs": 8}))
    assert report.history[-1].loss < report.history[0].loss


def test_a_distilled_student_is_a_second_opinion_too(network):
    torch.manual_seed(0)
    student = NetworkConfig(image_shape=SHAPE, classes=10, channels=(8,), hidden=())
    detector = AdversarialAe(ModelDistillationConfig(student=student), network)
    detector.fit(TRAINING, FIT)
    detector.infer_threshold(VALIDATION)
    images, labels = held_out(300)
    attacked = Pgd(0.1, steps=20)(network, images, labels)
    fooled = network(attacked).argmax(1) != labels
    assert detector.meta["name"] == "ModelDistillation"
    assert auroc(detector.score(attacked[fooled]), detector.score(images)) > 0.75
    again = load_detector(detector_files(detector), watched=network)
    assert np.allclose(again.score(images), detector.score(images), rtol=0, atol=1e-6)


def test_what_is_read_back_scores_the_same(network, detector):
    files = detector_files(detector)
    again = load_detector(files, watched=network)
    assert np.allclose(again.score(VALIDATION), detector.score(VALIDATION), rtol=0, atol=1e-6)
    assert again.config == detector.config
    with pytest.raises(NothingToWatch, match="watched"):
        load_detector(files)
    other = AdversarialAe(AdversarialAeConfig(image_shape=SHAPE, hidden=(8,), latent=4), network)
    with pytest.raises(InvalidDetector, match="does not fit"):
        load_detector(files | {"weights.safetensors": detector_files(other)["weights.safetensors"]}, watched=network)


def test_what_cannot_be_asked(network):
    detector = AdversarialAe(AdversarialAeConfig(image_shape=SHAPE, hidden=(8,), latent=4), network)
    with pytest.raises(NoThreshold, match="infer_threshold"):
        detector.predict(VALIDATION)
    with pytest.raises(TooFewClean, match="at least 100"):
        detector.infer_threshold(VALIDATION[:99], 0.01)
    with pytest.raises(BadWindow, match="images"):
        detector.score(torch.full((2, *SHAPE), torch.nan))
    with pytest.raises(BadWindow, match="images"):
        detector.score(np.zeros((2, 64)))
