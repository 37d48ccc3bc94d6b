"""A small trained classifier, written and opened once for all tests of this folder."""

from pathlib import Path

import pytest
import torch

from secmlops.digits.data import load_digits
from secmlops.digits.model import ImageClassifier, ModelConfig, read_model, write_model
from secmlops.images.splits import Splits
from secmlops.robustness.classifiers import ClassifierConfig, build_classifier
from secmlops.robustness.networks import NetworkConfig


@pytest.fixture(scope="session")
def splits() -> Splits:
    return load_digits()


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory, splits: Splits) -> Path:
    member = NetworkConfig(image_shape=(1, 8, 8), classes=10, channels=(8,), hidden=(32,))
    config = ModelConfig(classes=splits.train.classes, classifier=ClassifierConfig(members=(member,)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_classifier(config.classifier)
    optimizer = torch.optim.Adam(network.parameters(), 5e-3)
    images, labels = torch.from_numpy(splits.train.images), torch.from_numpy(splits.train.labels)
    for _ in range(80):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(images), labels).backward()
        optimizer.step()
    folder = tmp_path_factory.mktemp("model")
    write_model(folder, network.eval(), config, images=splits.validation.images, card={"training": {"seed": 0}})
    return folder


@pytest.fixture(scope="session")
def classifier(model_dir: Path) -> ImageClassifier:
    return read_model(model_dir)
