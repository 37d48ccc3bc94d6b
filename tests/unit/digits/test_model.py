"""The image classifier: both forms answer alike, hold together, and refuse what they cannot answer."""

import json

import numpy as np
import onnx
import pytest
import safetensors.torch
import torch
from onnx import numpy_helper
from sklearn.datasets import load_digits
from torch import nn

from secmlops.digits.attacking import proved
from secmlops.digits.model import (
    BATCH,
    MAX_LOGIT_DIFFERENCE,
    ExportMismatch,
    ImageClassifier,
    InvalidImages,
    InvalidModel,
    ModelConfig,
    load_classifier,
    onnx_difference,
    read_model,
    write_model,
)
from secmlops.images.image_set import ImageSet
from secmlops.robustness.attacks.pgd import Pgd
from secmlops.robustness.certification import UnsupportedLayer
from secmlops.robustness.classifiers import ClassifierConfig, build_classifier
from secmlops.robustness.networks import NetworkConfig
from secmlops.robustness.onnx_layers import OtherNetwork
from secmlops.robustness.squeezing_detector import SqueezingDetector, SqueezingDetectorConfig
from secmlops.robustness.transformations import DenoisingConfig, JpegConfig, MedianConfig

SHAPE = (1, 8, 8)
CLASSES = tuple("0123456789")
MEMBER = NetworkConfig(image_shape=SHAPE, classes=10, channels=(8,), hidden=(16,))
DETECTOR = SqueezingDetectorConfig(threshold=0.2, false_positive_rate=0.05)
PLAIN = ModelConfig(classes=CLASSES, classifier=ClassifierConfig(members=(MEMBER,)))
SMOOTH = MEMBER.model_copy(update={"activation": "silu"})
CONFIGS = {
    "plain": PLAIN,
    "median and detector": ModelConfig(
        classes=CLASSES,
        classifier=ClassifierConfig(members=(MEMBER,), transformation=MedianConfig(size=3)),
        detector=DETECTOR,
    ),
    "smooth jpeg": ModelConfig(
        classes=CLASSES, classifier=ClassifierConfig(members=(SMOOTH,), transformation=JpegConfig(quality=75))
    ),
    "denoising ensemble": ModelConfig(
        classes=CLASSES,
        classifier=ClassifierConfig(members=(MEMBER, MEMBER), transformation=DenoisingConfig()),
        abstain_below=0.2,
    ),
}


def classifier_of(config: ModelConfig) -> nn.Module:
    """A random network that has opinions."""
    torch.manual_seed(1)
    network = build_classifier(config.classifier)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(2)
    return network


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """Real images, and as many of noise."""
    digits = (load_digits().images[:300, None] / 16).astype(np.float32)
    return np.concatenate([digits, np.random.default_rng(0).random((300, *SHAPE), dtype=np.float32)])


@pytest.fixture(scope="module")
def written(tmp_path_factory, images) -> dict[str, tuple[nn.Module, ImageClassifier]]:
    made = {}
    for name, config in CONFIGS.items():
        network = classifier_of(config)
        folder = tmp_path_factory.mktemp("model")
        assert write_model(folder, network, config, images=images)["onnx_difference"] <= 1e-4
        made[name] = network.eval(), read_model(folder)
    return made


@pytest.fixture(scope="module")
def files(tmp_path_factory, images) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("model")
    write_model(folder, classifier_of(PLAIN), PLAIN, images=images, card={"metrics": {"clean": 0.5}})
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("name", CONFIGS)
def test_both_forms_answer_as_what_was_written(written, images, name):
    network, classifier = written[name]
    assert classifier.config == CONFIGS[name]
    assert onnx_difference(classifier, images) <= 1e-4
    with torch.no_grad():
        logits = network(torch.from_numpy(images))
    answered = classifier.predict(images)
    assert np.abs(classifier.logits(images) - logits.numpy()).max() <= 1e-4
    assert np.abs(answered.probabilities - logits.softmax(1).numpy()).max() <= 1e-5
    assert np.array_equal(answered.labels, answered.probabilities.argmax(axis=1))
    assert (answered.labels == logits.argmax(1).numpy()).mean() > 0.99


def test_the_detector_scores_flags_and_abstains(written, images):
    network, classifier = written["median and detector"]
    answered = classifier.predict(images)
    with torch.no_grad():
        scores = SqueezingDetector(network, DETECTOR).score(torch.from_numpy(images))
    assert answered.adversarial_scores == pytest.approx(scores.numpy(), abs=1e-4)
    assert np.array_equal(answered.adversarial, answered.adversarial_scores > DETECTOR.threshold)
    assert 0 < answered.adversarial.sum() < len(images)
    assert np.array_equal(answered.abstained, answered.adversarial)
    assert written["plain"][1].predict(images).adversarial is None


def test_an_uncertain_model_abstains(written, images):
    answered = written["denoising ensemble"][1].predict(images)
    assert np.array_equal(answered.abstained, answered.probabilities.max(axis=1) < 0.2)
    assert not written["plain"][1].predict(images).abstained.any()


@pytest.mark.parametrize("count", [0, 1, BATCH, BATCH + 1])
def test_any_number_of_images(written, images, count):
    classifier = written["median and detector"][1]
    answered = classifier.predict(images[:count])
    assert answered.probabilities.shape == (count, 10)
    assert answered.adversarial_scores.shape == (count,)
    alone = classifier.predict(images[:count], batch=1)
    assert alone.probabilities == pytest.approx(answered.probabilities, abs=1e-6)


def test_certified_radii_hold_against_random_changes(written, images):
    classifier = written["plain"][1]
    chosen = images[:40]
    labels = classifier.predict(chosen).labels
    radii = classifier.certified_radii(chosen, labels)
    assert (radii > 0).mean() > 0.5
    random = np.random.default_rng(0)
    for _ in range(200):
        corners = random.choice([-1.0, 1.0], chosen.shape) * radii[:, None, None, None]
        changed = np.clip(chosen + corners, 0, 1).astype(np.float32)
        assert np.array_equal(classifier.predict(changed).labels[radii > 0], labels[radii > 0])
    wrong = (labels + 1) % 10
    assert classifier.certified_radii(chosen, wrong).max() == 0


def test_certified_radii_hold_for_onnx_runtime_under_attack(written, images):
    """PGD is made on PyTorch's network, at the very radius; the answers are ONNX Runtime's, alone and in batches."""
    classifier = written["plain"][1]
    chosen = images[:200]
    labels = classifier.predict(chosen).labels
    radii = classifier.certified_radii(chosen, labels)
    assert len(set(radii)) > 5
    for radius in sorted(set(radii[radii > 0])):
        rows = radii == radius
        pixels, their = torch.from_numpy(chosen[rows]), torch.from_numpy(labels[rows])
        attacked = Pgd(float(radius), steps=20, early_stop=False)(classifier.network, pixels, their).numpy()
        for batch in (1, BATCH):
            assert np.array_equal(classifier.predict(attacked, batch=batch).labels, labels[rows])


def test_nothing_is_proved_about_a_file_with_other_weights(files, images):
    """The forms answer alike within the tolerance, but a proof is about weights."""
    model = onnx.load_from_string(files["model.onnx"])
    (first,) = [one for one in model.graph.initializer if one.name == "0.weight"]
    first.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(first) * np.float32(1 + 1e-6), "0.weight"))
    classifier = load_classifier(files | {"model.onnx": model.SerializeToString()})
    assert onnx_difference(classifier, images) <= MAX_LOGIT_DIFFERENCE
    few = ImageSet(images[:5], np.zeros(5, np.int64), CLASSES)
    with pytest.raises(OtherNetwork):
        proved(classifier, few, {0.01})
    assert list(proved(load_classifier(files), few, {0.01})) == [0.01]


def test_only_networks_that_bounds_know_are_certifiable(written, images):
    certifiable = {name for name, config in CONFIGS.items() if config.certifiable}
    assert certifiable == {"plain"}
    with pytest.raises(UnsupportedLayer):
        written["smooth jpeg"][1].certified_radii(images[:1], np.zeros(1, np.int64))


def test_the_card_says_what_it_is(files):
    card = json.loads(files["card.json"])
    assert card["metrics"] == {"clean": 0.5}
    assert card["classes"] == list(CLASSES)
    assert card["equality"]["onnx_max_logit_difference"] <= 1e-4


def test_the_files_name_no_folder_of_this_machine(files):
    for content in files.values():
        assert b"site-packages" not in content
        assert b".py" not in content


def test_the_same_network_gives_the_same_files_and_leaves_the_random_generator_alone(files, tmp_path, images):
    network = classifier_of(PLAIN)
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    write_model(tmp_path, network, PLAIN, images=images, card={"metrics": {"clean": 0.5}})
    assert torch.rand(1) == expected
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files


def test_another_network_is_not_written(tmp_path, images):
    with pytest.raises(InvalidModel):
        write_model(tmp_path / "m", build_classifier(CONFIGS["denoising ensemble"].classifier), PLAIN, images=images)
    assert not (tmp_path / "m").exists()


def test_weights_that_are_not_those_of_the_onnx_file_are_noticed(files, images):
    weights = safetensors.torch.load(files["weights.safetensors"])
    weights["0.weight"] = weights["0.weight"] * 1.01
    swapped = load_classifier(files | {"weights.safetensors": safetensors.torch.save(weights)})
    with pytest.raises(ExportMismatch):
        swapped.certified_radii(images[:1], np.zeros(1, np.int64))
    del weights["0.weight"]
    with pytest.raises(InvalidModel, match="weights"):
        load_classifier(files | {"weights.safetensors": safetensors.torch.save(weights)}).network  # noqa: B018


BROKEN = {
    "no onnx": ({"model.onnx": None}, "is missing"),
    "no weights": ({"weights.safetensors": None}, "is missing"),
    "no config": ({"preprocess.json": None}, "is missing"),
    "broken onnx": ({"model.onnx": b"\x08\x08:\x00"}, "does not load"),
    "broken weights": ({"weights.safetensors": b"none"}, "does not load"),
    "no json": ({"preprocess.json": b"{"}, "malformed"),
    "other kind": ({"preprocess.json": b'{"kind": "svm"}'}, "malformed"),
    "unknown field": ({"preprocess.json": PLAIN.model_dump_json().replace('"kind"', '"x":1,"kind"')}, "malformed"),
    "nan": ({"preprocess.json": PLAIN.model_dump_json().replace('"abstain_below":0.0', '"abstain_below":NaN')}, "malf"),
    "other classes": ({"preprocess.json": PLAIN.model_dump_json().replace('"9"', '"8"')}, "malformed"),
    "other shape": (
        {"preprocess.json": PLAIN.model_dump_json().replace('"image_shape":[1,8,8]', '"image_shape":[1,9,8]')},
        "takes other images",
    ),
    "detector that is not there": (
        {"preprocess.json": PLAIN.model_copy(update={"detector": DETECTOR}).model_dump_json()}, "other outputs"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_broken_files_are_refused(files, case):
    change, told = BROKEN[case]
    changed = {name: data for name, data in (files | change).items() if data is not None}
    with pytest.raises(InvalidModel, match=told):
        load_classifier(changed)


def pixels(value: float) -> np.ndarray:
    image = np.zeros((1, *SHAPE), np.float32)
    image[0, 0, 3, 3] = value
    return image


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(pixels(np.nan), id="nan"),
        pytest.param(pixels(np.inf), id="inf"),
        pytest.param(pixels(1.01), id="too bright"),
        pytest.param(pixels(-0.01), id="negative"),
        pytest.param(pixels(0)[0], id="no batch"),
        pytest.param(pixels(0)[..., :7], id="too narrow"),
        pytest.param(pixels(0).astype(np.float64), id="doubles"),
        pytest.param(np.zeros((1, *SHAPE), np.uint8), id="bytes"),
    ],
)
def test_images_that_cannot_be_asked_about_are_refused(written, asked):
    classifier = written["plain"][1]
    for ask in (classifier.predict, classifier.logits, lambda images: classifier.certified_radii(images, np.zeros(1))):
        with pytest.raises(InvalidImages):
            ask(asked)
