"""A classifier comes back from its JSON and its weights as it was."""

import pytest
import torch
from pydantic import ValidationError

from secmlops.robustness.classifiers import ClassifierConfig, build_classifier, classifier_with_weights
from secmlops.robustness.networks import NetworkConfig
from secmlops.robustness.transformations import BitDepthConfig, ChainConfig, DenoisingConfig, MedianConfig

RELU = NetworkConfig(image_shape=(1, 8, 8), classes=10, channels=(4,), hidden=(16,))
SILU = RELU.model_copy(update={"activation": "silu"})


@pytest.mark.parametrize(
    "config",
    [
        ClassifierConfig(members=(RELU,)),
        ClassifierConfig(members=(RELU, SILU, RELU)),
        ClassifierConfig(members=(SILU,), transformation=BitDepthConfig()),
        ClassifierConfig(
            members=(RELU, RELU), transformation=ChainConfig(steps=(MedianConfig(), DenoisingConfig(width=4)))
        ),
    ],
    ids=["one", "ensemble", "transformed", "all"],
)
def test_it_comes_back_as_it_was(config):
    torch.manual_seed(0)
    classifier = build_classifier(config).eval()
    again = classifier_with_weights(
        ClassifierConfig.model_validate_json(config.model_dump_json()), classifier.state_dict()
    )
    images = torch.rand(5, 1, 8, 8)
    torch.testing.assert_close(again(images), classifier(images), atol=0, rtol=0)
    assert classifier(images).shape == (5, 10)
    assert not again.training


def test_weights_of_another_are_refused():
    weights = build_classifier(ClassifierConfig(members=(RELU,))).state_dict()
    with pytest.raises(RuntimeError, match="Missing key"):
        classifier_with_weights(ClassifierConfig(members=(RELU, RELU)), weights)


def test_there_is_at_least_one_network():
    with pytest.raises(ValidationError):
        ClassifierConfig(members=())
