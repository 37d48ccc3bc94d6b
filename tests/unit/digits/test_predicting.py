"""Answers for files and data sets: the classifier's own, in order, with a reason for what is not taken."""

import numpy as np
import pytest
from PIL import Image

from secmlops.digits.model import InvalidImages
from secmlops.digits.predicting import predict_files, predict_images
from secmlops.images.image_set import ImageSet
from tests.unit.images.pictures import HOSTILE, encoded


def test_images_of_a_set(classifier, splits):
    part = splits.test.take(slice(0, 30))
    found = list(predict_images(classifier, part, certify=True))
    expected = classifier.predict(part.images, batch=1)
    assert [answer["image"] for answer in found] == list(range(30))
    assert [answer["truth"] for answer in found] == [str(label) for label in part.labels]
    assert [answer["label"] for answer in found] == [str(label) for label in expected.labels]
    assert [answer["probability"] for answer in found] == expected.probabilities.max(axis=1).tolist()
    assert [answer["certified_radius"] for answer in found] == classifier.certified_radii(
        part.images, expected.labels
    ).tolist()


def test_files_are_answered_in_order_and_bad_ones_say_why(classifier, splits, tmp_path):
    pixels = np.rint(splits.test.images[:2] * 255).astype(np.uint8)
    paths = []
    for index, image in enumerate(pixels):
        paths.append(tmp_path / f"{index}.png")
        paths[-1].write_bytes(encoded(Image.fromarray(image[0], "L")))
    for name, (data, _) in HOSTILE.items():
        paths.insert(1, tmp_path / name.replace(" ", "-").replace("/", "-"))
        paths[1].write_bytes(data)
    found = list(predict_files(classifier, [str(path) for path in paths]))
    assert [answer["image"] for answer in found] == [str(path) for path in paths]
    expected = classifier.predict(pixels.astype(np.float32) / np.float32(255), batch=1)
    assert [found[0]["label"], found[-1]["label"]] == [str(label) for label in expected.labels]
    assert all(answer["error"] for answer in found[1:-1])
    assert "certified_radius" not in found[0]


def test_images_of_another_kind_are_refused(classifier, splits):
    other = ImageSet(np.zeros((1, 1, 9, 9), np.float32), np.zeros(1, np.int64), splits.test.classes)
    with pytest.raises(InvalidImages):
        list(predict_images(classifier, other))
