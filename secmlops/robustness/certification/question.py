"""What can be asked for a certificate."""

import math

import torch
from torch import Tensor

from secmlops.errors import SecmlopsError


class NotCertifiable(SecmlopsError):
    """A question that no proof answers.

    Attributes:
        reason: what is wrong with it.
    """

    def __init__(self, reason: str):
        self.reason = reason
        super().__init__(
            f"{reason}; a certificate needs float32 images (n, c, h, w) in [0, 1], int64 labels (n,) among the classes "
            "and a finite budget of at least 0"
        )


def check_images(images: Tensor) -> None:
    """Refuse images outside what bounds and noise are about.

    Raises:
        NotCertifiable: no float32, no four axes, or pixels outside [0, 1] or no numbers.
    """
    if images.dtype != torch.float32 or images.ndim != 4:
        raise NotCertifiable(f"the images are {images.dtype} {tuple(images.shape)}")
    if not bool(((images >= 0) & (images <= 1)).all()):
        raise NotCertifiable("some pixels are outside [0, 1] or no numbers")


def check_labels(labels: Tensor, images: int, classes: int) -> None:
    """Refuse labels that are not one class for each image.

    Raises:
        NotCertifiable: not int64, not as many as images, or not among the classes.
    """
    if labels.shape != (images,) or labels.dtype != torch.int64:
        raise NotCertifiable(f"the labels are {labels.dtype} {tuple(labels.shape)} for {images} images")
    if len(labels) and not (int(labels.min()) >= 0 and int(labels.max()) < classes):
        raise NotCertifiable(f"labels go from {int(labels.min())} to {int(labels.max())} of {classes} classes")


def check_budget(eps: float) -> None:
    """Refuse a budget that is no size.

    Raises:
        NotCertifiable: negative, infinite or no number.
    """
    if not (math.isfinite(eps) and eps >= 0):
        raise NotCertifiable(f"the budget is {eps}")
