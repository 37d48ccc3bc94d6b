"""What still stands: the images that a classifier gets right, which are the only ones worth attacking."""

from collections.abc import Callable

import torch
from torch import Tensor

from secmlops.errors import SecmlopsError
from secmlops.robustness.attacks.attack import Classifier


class ImagesDoNotFit(SecmlopsError):
    """Images, labels and classifier do not go together.

    Attributes:
        images_shape: shape of the images.
        labels_shape: shape of the labels.
    """

    def __init__(self, images_shape: tuple[int, ...], labels_shape: tuple[int, ...]) -> None:
        self.images_shape = images_shape
        self.labels_shape = labels_shape
        super().__init__(
            f"images of shape {images_shape} with labels of shape {labels_shape}: "
            "give images (n, channels, height, width) and one label for each, (n,)"
        )


def answers(classifier: Classifier, images: Tensor, *, batch_size: int = 500) -> Tensor:
    """The likeliest class of each image, int64 (n,)."""
    with torch.no_grad():
        found = [classifier(some).argmax(1) for some in images.split(batch_size) if len(some)]
    return torch.cat(found) if found else torch.zeros(0, dtype=torch.int64, device=images.device)


def stands(classifier: Classifier, images: Tensor, labels: Tensor, *, batch_size: int = 500) -> Tensor:
    """Whether each image is classified as labelled, bool (n,).

    Raises:
        ImagesDoNotFit: the shapes do not go together.
    """
    if images.ndim != 4 or labels.shape != (len(images),):
        raise ImagesDoNotFit(tuple(images.shape), tuple(labels.shape))
    return answers(classifier, images, batch_size=batch_size) == labels


def attack_standing(
    classifier: Classifier,
    images: Tensor,
    labels: Tensor,
    attack: Callable[[Tensor, Tensor], Tensor],
    *,
    batch_size: int,
) -> Tensor:
    """Attack the images that stand, in full batches; the others are returned as they are.

    Args:
        classifier: decides what stands.
        images: (n, channels, height, width).
        labels: (n,).
        attack: standing images and their labels to attacked images.
        batch_size: images at a time; a few hundred keep the working set in the processor's cache.

    Raises:
        ImagesDoNotFit: the shapes do not go together.
    """
    attacked = images.clone()
    standing = stands(classifier, images, labels, batch_size=batch_size).nonzero().flatten()
    for rows in standing.split(batch_size):
        if len(rows):
            attacked[rows] = attack(images[rows], labels[rows])
    return attacked
