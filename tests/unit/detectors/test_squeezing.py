import numpy as np
import torch

from secmlops.detectors.detector import Detector
from secmlops.detectors.squeezing import FeatureSqueezing
from secmlops.detectors.storage import detector_files, load_detector
from secmlops.robustness.squeezing_detector import calibrate
from secmlops.robustness.transformations import BitDepthConfig
from tests.unit.robustness.small import digits, held_out, trained

IMAGES, _ = digits()


def test_the_face_answers_as_the_detector_behind_it_and_is_stored_without_the_network():
    network, (images, _) = trained(), held_out(100)
    behind = calibrate(network, IMAGES[1200:1400], squeezers=[BitDepthConfig(bits=2)])
    detector = FeatureSqueezing.of(behind)
    answer = detector.predict(images.numpy())
    with torch.no_grad():
        scores = behind.score(images)
    assert np.allclose(answer["data"]["instance_score"], scores.numpy())
    assert (answer["data"]["is_adversarial"] == (scores > behind.threshold).numpy()).all()
    assert answer["data"]["threshold"] == behind.threshold
    assert isinstance(detector, Detector)
    files = detector_files(detector)
    assert len(files["weights.safetensors"]) < 100
    again = load_detector(files, watched=network)
    assert np.allclose(again.score(images), detector.score(images), rtol=0, atol=1e-6)
    assert again.config == detector.config
