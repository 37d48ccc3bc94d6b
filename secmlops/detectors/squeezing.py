"""Feature squeezing with a detector's face; what it computes is `robustness.squeezing_detector`'s."""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from secmlops.detectors.adversarial import answer
from secmlops.detectors.detector import Answer, describe
from secmlops.robustness.squeezing_detector import SqueezingDetector, SqueezingDetectorConfig

_BATCH = 512


class FeatureSqueezingConfig(BaseModel):
    """A squeezing detector's config, as one of a detector.

    Attributes:
        squeezing: squeezers and threshold.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["feature_squeezing"] = "feature_squeezing"
    squeezing: SqueezingDetectorConfig


class FeatureSqueezing:
    """A calibrated `SqueezingDetector` that answers as the other detectors do.

    Args:
        config: what to build.
        classifier: the network that is watched; its weights are not the detector's and not stored with it.
    """

    def __init__(self, config: FeatureSqueezingConfig, classifier: nn.Module):
        self.config = config
        self.detector = SqueezingDetector(classifier, config.squeezing).eval()
        self.meta = describe("FeatureSqueezing", kind="adversarial")

    @classmethod
    def of(cls, detector: SqueezingDetector) -> "FeatureSqueezing":
        """The face of a detector that `robustness.squeezing_detector.calibrate` or `choose` made."""
        return cls(FeatureSqueezingConfig(squeezing=detector.config), detector.network)

    def attackable_score(self, images: Tensor) -> Tensor:
        """Scores (n,) with a gradient that gets past rounding."""
        return self.detector.attackable_score(images)

    @torch.no_grad()
    def score(self, images: Tensor | npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Scores (n,) of images (n, c, h, w), in [0, 2]."""
        batches = torch.as_tensor(images, dtype=torch.float32).split(_BATCH)
        return torch.cat([self.detector.score(batch) for batch in batches]).double().numpy()

    def predict(self, x: Tensor | npt.NDArray[Any]) -> Answer:
        """Judge images (n, c, h, w), each by itself."""
        return answer(self.score(x), self.detector.threshold, self.meta)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """None: a squeezer has no weights."""
        return {}
