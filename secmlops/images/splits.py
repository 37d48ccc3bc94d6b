"""Dividing images into training, validation and test, so that no image stands in two of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from secmlops.images.duplicates import Removed, distinct
from secmlops.images.errors import InvalidImageSet
from secmlops.images.image_set import ImageSet


@dataclass(frozen=True, slots=True)
class Splits:
    """Images for the three purposes, of one shape and with the same classes.

    Attributes:
        train: to learn from.
        validation: to choose and calibrate with.
        test: to report on, nothing else.
        sources: `sha256:...` of what was read, by name.
        removed: what was left out before the images were divided.
    """

    train: ImageSet
    validation: ImageSet
    test: ImageSet
    sources: Mapping[str, str] = field(default_factory=dict)
    removed: Removed = field(default_factory=Removed)

    def __post_init__(self) -> None:
        parts = (self.train, self.validation, self.test)
        if len({(part.shape, part.classes) for part in parts}) != 1:
            raise InvalidImageSet("training, validation and test images differ in shape or classes")

    def items(self) -> dict[str, ImageSet]:
        """The three sets by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}


def hold_out(image_set: ImageSet, share: float, *, seed: int = 0) -> tuple[ImageSet, ImageSet]:
    """Divide a set at random, class by class: what remains, and the held-out share.

    Each class gives the rounded share, at least one image and never all of them. Both parts keep the order of the set.

    Raises:
        InvalidImageSet: a class has a single image, or the share is not between 0 and 1.
    """
    rest, held = _hold_out(image_set, range(len(image_set)), share, seed)
    return image_set.take(rest), image_set.take(held)


def _hold_out(image_set: ImageSet, among: Sequence[int], share: float, seed: int) -> tuple[list[int], list[int]]:
    """Divide these indices of a set; images are copied once, when all is divided."""
    if not 0 < share < 1:
        raise InvalidImageSet(f"the share to hold out must be between 0 and 1, not {share}")
    random = np.random.default_rng(seed)
    indices = np.asarray(among, dtype=np.int64)
    labels = image_set.labels[indices]
    is_held = np.zeros(len(indices), dtype=bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) < 2:
            raise InvalidImageSet(f"class {image_set.classes[label]!r} has one image: add more, or leave it out")
        count = min(max(round(share * len(members)), 1), len(members) - 1)
        is_held[random.choice(members, count, replace=False)] = True
    return indices[~is_held].tolist(), indices[is_held].tolist()


def divide(
    image_set: ImageSet, *, validation: float = 0.15, test: float = 0.15, seed: int = 0, sources: Mapping[str, str]
) -> Splits:
    """Divide one set into three, stratified by class.

    An image that occurs twice is kept once, one that occurs under several labels not at all.

    Args:
        image_set: all images.
        validation: share for validation.
        test: share for the test.
        seed: of the division.
        sources: digests of what was read.

    Raises:
        InvalidImageSet: a class has too few images, or the shares make no sense.
    """
    kept, removed = distinct(image_set)
    rest, tested = _hold_out(image_set, kept, test, seed)
    trained, validated = _hold_out(image_set, rest, validation / (1 - test), seed)
    return Splits(image_set.take(trained), image_set.take(validated), image_set.take(tested), sources, removed)


def divide_published(
    train: ImageSet, test: ImageSet, *, validation: float = 1 / 12, seed: int = 0, sources: Mapping[str, str]
) -> Splits:
    """Hold validation images out of a published training set; the published test set stays as it is.

    Training images are left out that also stand in the test set, occurred earlier, or stand under several labels.

    Args:
        train: published training images.
        test: published test images.
        validation: share of the training images; the default makes MNIST's 60,000 into 55,000 and 5,000.
        seed: of the division.
        sources: digests of what was read.

    Raises:
        InvalidImageSet: as `divide`, or the two sets differ in shape or classes.
    """
    kept, removed = distinct(train, test)
    trained, validated = _hold_out(train, kept, validation, seed)
    return Splits(train.take(trained), train.take(validated), test, sources, removed)
