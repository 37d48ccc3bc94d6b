"""Dividing images into training, validation and test, so that no image stands in two of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from secmlops.images.duplicates import distinct
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
    """

    train: ImageSet
    validation: ImageSet
    test: ImageSet
    sources: Mapping[str, str] = field(default_factory=dict)

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
    if not 0 < share < 1:
        raise InvalidImageSet(f"the share to hold out must be between 0 and 1, not {share}")
    random = np.random.default_rng(seed)
    is_held = np.zeros(len(image_set), dtype=bool)
    for label in np.unique(image_set.labels):
        members = np.flatnonzero(image_set.labels == label)
        if len(members) < 2:
            raise InvalidImageSet(f"class {image_set.classes[label]!r} has one image: add more, or leave it out")
        count = min(max(round(share * len(members)), 1), len(members) - 1)
        is_held[random.choice(members, count, replace=False)] = True
    return image_set.take(~is_held), image_set.take(is_held)


def divide(
    image_set: ImageSet, *, validation: float = 0.15, test: float = 0.15, seed: int = 0, sources: Mapping[str, str]
) -> Splits:
    """Divide one set into three, stratified by class; an image that occurs twice is kept once.

    Args:
        image_set: all images.
        validation: share for validation.
        test: share for the test.
        seed: of the division.
        sources: digests of what was read.

    Raises:
        InvalidImageSet: a class has too few images, or the shares make no sense.
    """
    rest, tested = hold_out(distinct(image_set), test, seed=seed)
    trained, validated = hold_out(rest, validation / (1 - test), seed=seed)
    return Splits(trained, validated, tested, sources)


def divide_published(
    train: ImageSet, test: ImageSet, *, validation: float = 1 / 12, seed: int = 0, sources: Mapping[str, str]
) -> Splits:
    """Hold validation images out of a published training set; the published test set stays as it is.

    Training images that also stand in the test set, or occur twice, are left out.

    Args:
        train: published training images.
        test: published test images.
        validation: share of the training images; the default makes MNIST's 60,000 into 55,000 and 5,000.
        seed: of the division.
        sources: digests of what was read.

    Raises:
        InvalidImageSet: as `divide`, or the two sets differ in shape or classes.
    """
    trained, validated = hold_out(distinct(train, besides=[test]), validation, seed=seed)
    return Splits(trained, validated, test, sources)
