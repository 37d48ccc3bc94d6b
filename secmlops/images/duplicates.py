"""Images that are equal pixel by pixel: leaks between splits, and labels that contradict each other."""

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

from secmlops.images.image_set import ImageSet


def fingerprints(images: np.ndarray) -> list[bytes]:
    """A digest of each image's pixels, 16 bytes; equal for equal images only."""
    return [blake2b(np.ascontiguousarray(image).data, digest_size=16).digest() for image in images]


def distinct(image_set: ImageSet, besides: Sequence[ImageSet] = ()) -> ImageSet:
    """The images without those that occurred earlier in the set, or that occur in other sets."""
    seen = {key for other in besides for key in fingerprints(other.images)}
    kept = []
    for index, key in enumerate(fingerprints(image_set.images)):
        if key not in seen:
            seen.add(key)
            kept.append(index)
    return image_set if len(kept) == len(image_set) else image_set.take(kept)
