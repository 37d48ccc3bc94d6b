"""Labelled images as two arrays, and the file in which they go from step to step."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import safetensors
from safetensors.numpy import save_file

from secmlops.images.errors import InvalidFile, InvalidImageSet

_WHITE: Final = 255


@dataclass(frozen=True, slots=True)
class ImageSet:
    """Images with their classes; what is in it is always valid.

    Attributes:
        images: float32, (n, channels, height, width), in [0, 1].
        labels: int64, (n,), indices into `classes`.
        classes: the names of the classes, in the order of the labels.

    Raises:
        InvalidImageSet: another shape or type, a value that is NaN or outside of [0, 1], a label without a class.
    """

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.images.dtype != np.float32 or self.images.ndim != 4 or 0 in self.images.shape[1:]:
            found = f"{self.images.dtype} {list(self.images.shape)}"
            raise InvalidImageSet(f"images must be float32 of shape [n, channels, height, width], not {found}")
        if self.labels.dtype != np.int64 or self.labels.shape != self.images.shape[:1]:
            found = f"{self.labels.dtype} {list(self.labels.shape)}"
            raise InvalidImageSet(f"{len(self.images)} images need as many int64 labels, not {found}")
        if len(set(self.classes)) != len(self.classes):
            raise InvalidImageSet("two classes have the same name")
        if len(self) == 0:
            return
        if not (self.images.min() >= 0 and self.images.max() <= 1):  # NaN fails both
            raise InvalidImageSet("a pixel is NaN or outside of 0..1: divide 8-bit images by 255 first")
        if not (self.labels.min() >= 0 and self.labels.max() < len(self.classes)):
            raise InvalidImageSet(f"a label is outside of 0..{len(self.classes) - 1}, the classes that are named")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def take(self, indices: Sequence[int] | np.ndarray | slice) -> "ImageSet":
        """The images at these indices (or where a boolean mask is true), in that order."""
        chosen: slice | np.ndarray = slice(0)
        if isinstance(indices, slice) or len(indices):
            chosen = indices if isinstance(indices, slice) else np.asarray(indices)
        return replace(self, images=self.images[chosen], labels=self.labels[chosen])


def write_images(path: str | Path, image_set: ImageSet) -> None:
    """Write an image set as one safetensors file; 8-bit images take one byte a pixel."""
    pixels = np.rint(image_set.images * _WHITE).astype(np.uint8)
    is_exact = np.array_equal(_as_floats(pixels), image_set.images)
    tensors = {"images": pixels if is_exact else image_set.images, "labels": image_set.labels}
    contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}  # safetensors ignores strides
    save_file(contiguous, str(path), metadata={"classes": json.dumps(image_set.classes)})


def read_images(path: str | Path) -> ImageSet:
    """Read what `write_images` wrote, bit by bit the same.

    Raises:
        InvalidFile: it is no such file.
        FileNotFoundError: there is none.
    """
    try:
        with safetensors.safe_open(str(path), framework="numpy") as file:
            images, labels = file.get_tensor("images"), file.get_tensor("labels")
            classes = json.loads((file.metadata() or {})["classes"])
        if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
            raise InvalidImageSet("the classes are no list of names")
        return ImageSet(_as_floats(images) if images.dtype == np.uint8 else images, labels, tuple(classes))
    except (safetensors.SafetensorError, KeyError, ValueError, RecursionError, InvalidImageSet) as error:
        raise InvalidFile(path, f"is no file of images as `write_images` makes it ({error})") from None


def _as_floats(pixels: np.ndarray) -> np.ndarray:
    return pixels.astype(np.float32) / np.float32(_WHITE)
