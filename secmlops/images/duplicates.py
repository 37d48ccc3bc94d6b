"""Images that are equal pixel by pixel: leaks between splits, and labels that contradict each other."""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from secmlops.images.image_set import ImageSet

_SEVERAL = -1


@dataclass(frozen=True, slots=True)
class Removed:
    """What was found in a set and left out before it was divided; each image is counted once.

    Attributes:
        read: images in the set as it was read.
        copies: images that occurred earlier in it.
        in_test: images that also stand in the test set published with it.
        conflicting: images that stand in either under several labels, all of them.
    """

    read: int = 0
    copies: int = 0
    in_test: int = 0
    conflicting: int = 0


def fingerprints(images: np.ndarray) -> list[bytes]:
    """A digest of each image's pixels, 16 bytes; equal for equal images only."""
    return [blake2b(np.ascontiguousarray(image).data, digest_size=16).digest() for image in images]


def distinct(image_set: ImageSet, test: ImageSet | None = None) -> tuple[list[int], Removed]:
    """Choose the images that occur under one label, each where it occurs first, and that are not in a test set.

    No label of an image under several is to be believed, so none of its copies is chosen.

    Returns:
        Indices in the order of the set, and what was left out.
    """
    keys = fingerprints(image_set.images)
    test_keys = fingerprints(test.images) if test else []
    labels: dict[bytes, int] = {}
    _note(labels, zip(keys, image_set.labels.tolist(), strict=True))
    if test:
        _note(labels, zip(test_keys, test.labels.tolist(), strict=True))
    in_test, seen = set(test_keys), set[bytes]()
    kept: list[int] = []
    copies = shared = conflicting = 0
    for index, key in enumerate(keys):
        if labels[key] == _SEVERAL:
            conflicting += 1
        elif key in in_test:
            shared += 1
        elif key in seen:
            copies += 1
        else:
            kept.append(index)
        seen.add(key)
    return kept, Removed(len(keys), copies, shared, conflicting)


def _note(labels: dict[bytes, int], pairs: Iterable[tuple[bytes, int]]) -> None:
    for key, label in pairs:
        if labels.setdefault(key, label) != label:
            labels[key] = _SEVERAL
