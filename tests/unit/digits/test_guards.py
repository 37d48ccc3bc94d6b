"""Guards turn away the share of clean images that they may, and no more."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from secmlops.digits.guards import abstention_threshold, guarded
from secmlops.robustness.squeezing_detector import SqueezingDetector, TooFewImages


def test_without_guards_the_config_stays(classifier, splits):
    assert guarded(classifier.config, classifier.network, splits.validation) == classifier.config


def test_both_guards_turn_away_at_most_their_share(classifier, splits):
    config = guarded(classifier.config, classifier.network, splits.validation, flagged=0.1, uncertain=0.05)
    images = splits.validation.images
    confidences = classifier.predict(images).probabilities.max(axis=1)
    assert 0.03 < (confidences < config.abstain_below - 1e-6).mean() <= 0.05
    with torch.no_grad():
        scores = SqueezingDetector(classifier.network, config.detector).score(torch.from_numpy(images))
    assert 0.07 < (scores > config.detector.threshold).float().mean() <= 0.1
    assert config.model_copy(update={"detector": None, "abstain_below": 0.0}) == classifier.config


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50), st.floats(0, 0.5))
def test_the_threshold_of_abstention(confidences, share):
    found = abstention_threshold(np.array(confidences), share)
    below = (np.array(confidences) < found).mean()
    assert below <= share
    assert found in confidences


def test_too_few_images_for_the_share_are_refused(classifier, splits):
    with pytest.raises(TooFewImages):
        guarded(classifier.config, classifier.network, splits.validation.take(slice(0, 5)), flagged=0.01)
