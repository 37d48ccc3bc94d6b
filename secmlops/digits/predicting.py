"""Answer image files, or the test images of some data, with a classifier."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np

from secmlops.digits.attacking import require_same_kind
from secmlops.digits.model import ImageClassifier
from secmlops.images.decode import DEFAULT_LIMITS, decode_image
from secmlops.images.errors import InvalidImage
from secmlops.images.image_set import ImageSet

_AT_ONCE: Final = 256


def predict_files(
    classifier: ImageClassifier, paths: Sequence[str], *, certify: bool = False
) -> Iterator[dict[str, Any]]:
    """Answer PNG and JPEG files, one object each, in order: as `answers`, or an `error` for one that is not taken.

    Raises:
        UnsupportedLayer: certificates were asked for that this model cannot give.
        OSError: a file cannot be read.
    """
    for path in paths:
        with open(path, "rb") as file:
            data = file.read(DEFAULT_LIMITS.max_bytes + 1)
        try:
            image = decode_image(data, classifier.config.image_shape)
        except InvalidImage as error:
            yield {"image": path, "error": error.sentence}
        else:
            (answer,) = answers(classifier, image[None], certify=certify)
            yield {"image": path, **answer}


def predict_images(classifier: ImageClassifier, images: ImageSet, *, certify: bool = False) -> Iterator[dict[str, Any]]:
    """Answer labelled images, one object each, in order, with the `truth` beside each answer.

    Raises:
        InvalidImages: the images are not of the shape or classes that the model takes.
        UnsupportedLayer: certificates were asked for that this model cannot give.
    """
    require_same_kind(classifier, images)
    for start in range(0, len(images), _AT_ONCE):
        part = images.take(slice(start, start + _AT_ONCE))
        found = answers(classifier, part.images, certify=certify)
        for index, (label, answer) in enumerate(zip(part.labels.tolist(), found, strict=True), start):
            yield {"image": index, "truth": images.classes[label], **answer}


def answers(classifier: ImageClassifier, images: np.ndarray, *, certify: bool) -> list[dict[str, Any]]:
    """What the server would answer, but for the probabilities of all classes; one object per image.

    `label`, `probability`, `abstained`; with a detector `adversarial_score` and `adversarial`; where it is asked for,
    `certified_radius`.
    """
    found = classifier.predict(images, batch=1)
    columns: dict[str, Sequence[Any]] = {
        "label": [classifier.config.classes[label] for label in found.labels],
        "probability": found.probabilities.max(axis=1).tolist(),
        "abstained": found.abstained.tolist(),
    }
    if found.adversarial_scores is not None and found.adversarial is not None:
        columns["adversarial_score"] = found.adversarial_scores.tolist()
        columns["adversarial"] = found.adversarial.tolist()
    if certify:
        columns["certified_radius"] = classifier.certified_radii(images, found.labels).tolist()
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
