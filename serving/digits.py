"""The digits inference service: images in, classes out (V1, V2 REST, V2 gRPC).

An image is an array of floats in [0, 1] of shape [channels, height, width] (V1: nested lists, where a gray image may
leave out its channel; V2: the FP32 tensor `images`), or a PNG or JPEG file (V1: `{"image_base64": ...}`; V2: the BYTES
tensor `encoded_images`). Restoration of the input and the detector of adversarial images, where the bundle has them,
are part of the network. The parameter `certify`, or asking for the output `certified_radius`, adds the L-infinity
radius within which no image gets another label.

    python -m serving.digits --model_dir BUNDLE --trusted_key PUB --model_name digits
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Final

import numpy as np
import prometheus_client

from secmlops.bundle import Bundle
from secmlops.digits.model import load_classifier
from serving.base import VerifiedModel
from serving.image_instances import read_image
from serving.metrics import BatchHistogram
from serving.protocol import Tensor
from serving.recent import Answer
from serving.refusals import Reason, Refusal
from serving.server import argument_parser, serve

MAX_CERTIFIED: Final = 16
"""Images of one request that certificates are computed for."""

ANSWERS = prometheus_client.Counter("secmlops_digits_answers", "answers by class", ["label", "abstained"])
ADVERSARIAL = prometheus_client.Counter("secmlops_digits_adversarial", "images that the detector flagged")
PROBABILITY = BatchHistogram(
    "secmlops_digits_probability",
    "probability of the class that was answered",
    (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999, 1.0),
)

_LABEL, _PROBABILITY, _ABSTAINED = 0, 1, 3
_DETECTOR_OUTPUTS = (Tensor("adversarial_score", "FP32"), Tensor("adversarial", "BOOL"))


class Digits(VerifiedModel):
    """Answers each image with its class, that class's probability, all probabilities, and whether to trust it.

    `abstained` says that the model does not stand by its label: it is too uncertain, or the detector flagged the image.
    """

    use_case: ClassVar[str] = "digits"
    on_request: Mapping[str, Tensor] = MappingProxyType({"certify": Tensor("certified_radius", "FP64")})

    def open(self, bundle: Bundle) -> None:
        """Build the classifier; its images and classes decide the tensors."""
        self._classifier = load_classifier(bundle.model_files())
        config = self._classifier.config
        if config.certifiable:
            self._classifier.require_same_layers()  # what is proved about the network holds for the file that answers
        self._shape = config.image_shape
        self.inputs = (Tensor("images", "FP32", (-1, *self._shape)), Tensor("encoded_images", "BYTES"))
        self.outputs = (
            Tensor("label", "BYTES"),
            Tensor("probability", "FP32"),
            Tensor("probabilities", "FP32", (-1, len(config.classes))),
            Tensor("abstained", "BOOL"),
            *(_DETECTOR_OUTPUTS if config.detector else ()),
        )

    def read(self, instance: Any) -> np.ndarray:
        """Read an image in any of the accepted forms."""
        return read_image(instance, self._shape, self.limits)

    def answer(self, items: Sequence[np.ndarray]) -> list[Answer]:
        """Classify the images of one batch, each alone, so that neighbours change nothing."""
        found = self._classifier.predict(np.stack(items), batch=1)
        columns: list[Sequence[Any]] = [
            [self._classifier.config.classes[label] for label in found.labels],
            found.probabilities.max(axis=1).tolist(),
            found.probabilities.tolist(),
            found.abstained.tolist(),
        ]
        if found.adversarial_scores is not None and found.adversarial is not None:
            columns += [found.adversarial_scores.tolist(), found.adversarial.tolist()]
        return list(zip(*columns, strict=True))

    def add(self, parameter: str, items: Sequence[np.ndarray], answers: Sequence[Answer]) -> Sequence[float]:
        """The certified radius of each answer; 0 where nothing is proved."""
        if not self._classifier.config.certifiable:
            raise Refusal(Reason.NOT_CERTIFIABLE, "this model's answers cannot be certified: leave out certify")
        if len(items) > MAX_CERTIFIED:
            raise Refusal(Reason.TOO_MANY_INSTANCES, f"at most {MAX_CERTIFIED} images are certified at once")
        classes = self._classifier.config.classes
        labels = np.array([classes.index(answer[_LABEL]) for answer in answers])
        return self._classifier.certified_radii(np.stack(items), labels).tolist()

    def observe(self, answers: Sequence[Answer]) -> None:
        """Count classes, abstentions, flags and probabilities."""
        for (label, abstained), count in Counter((answer[_LABEL], answer[_ABSTAINED]) for answer in answers).items():
            ANSWERS.labels(label, str(abstained).lower()).inc(count)
        PROBABILITY.observe([answer[_PROBABILITY] for answer in answers])
        if self._classifier.config.detector:
            flag = len(self.outputs) - 1
            ADVERSARIAL.inc(sum(answer[flag] for answer in answers))


if __name__ == "__main__":
    serve(Digits, argument_parser("Robust image classification", "digits").parse_args())
