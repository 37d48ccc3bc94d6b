"""What stands around a trained network when it serves: when to abstain, and the detector of adversarial images.

Both are set on clean validation images, by the share of them that may be turned away (MITRE ATLAS AML.M0015).
"""

import numpy as np
import torch
from torch import nn

from secmlops.digits.model import ModelConfig
from secmlops.images.image_set import ImageSet
from secmlops.robustness.squeezing_detector import calibrate


def guarded(
    config: ModelConfig,
    classifier: nn.Module,
    validation: ImageSet,
    *,
    flagged: float = 0.0,
    uncertain: float = 0.0,
) -> ModelConfig:
    """Add a detector and a threshold of abstention to a model's config.

    Args:
        config: of the model.
        classifier: its network, trained.
        validation: images that it was not trained on.
        flagged: share of clean images that the detector may flag; 0: no detector.
        uncertain: share of clean images on which the model may abstain for want of certainty; 0: it never does.

    Raises:
        TooFewImages: there are too few images to count so low a share of flagged ones.
    """
    images = torch.from_numpy(validation.images)
    guards: dict[str, object] = {}
    if uncertain:
        guards["abstain_below"] = abstention_threshold(_confidences(classifier, images), uncertain)
    if flagged:
        guards["detector"] = calibrate(classifier, images, false_positive_rate=flagged).config
    return config.model_copy(update=guards)


def abstention_threshold(confidences: np.ndarray, share: float) -> float:
    """The highest probability below which at most that share of the given ones, (n,), lies."""
    return float(np.sort(confidences)[int(share * len(confidences))])


@torch.no_grad()
def _confidences(classifier: nn.Module, images: torch.Tensor) -> np.ndarray:
    return torch.cat([classifier(part).softmax(dim=1).amax(dim=1) for part in images.split(512)]).numpy()
