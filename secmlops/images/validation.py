"""Is this data fit to train and judge on? Counts, ranges and duplicates (MITRE ATLAS AML.M0007, AML.M0025)."""

import math
from itertools import combinations
from typing import Final

import numpy as np
from pydantic import BaseModel, ConfigDict

from secmlops.images.duplicates import Removed, fingerprints
from secmlops.images.errors import ImagesError
from secmlops.images.image_set import ImageSet
from secmlops.images.splits import Splits

MIN_IMAGES_PER_CLASS: Final = {"train": 20, "validation": 5, "test": 5}
MAX_CONFLICTING: Final = 0.01
MAX_BLANK: Final = 0.01
_AT_ONCE = 1024


class UnfitImages(ImagesError):
    """Images that must not be trained or judged on.

    Attributes:
        problems: all that is wrong.
    """

    def __init__(self, problems: tuple[str, ...]):
        self.problems = problems
        super().__init__("the images cannot be used: " + "; ".join(problems))


class SplitReport(BaseModel):
    """What one set holds.

    Attributes:
        images: how many.
        per_class: images by class.
        darkest: smallest pixel value.
        brightest: largest pixel value.
        mean: mean pixel value.
        deviation: standard deviation of the pixel values.
        blank: images whose pixels all have one value.
        duplicates: images that occurred earlier in the set.
        conflicting: images that occurred earlier in the set under another label.
    """

    model_config = ConfigDict(frozen=True)

    images: int
    per_class: dict[str, int]
    darkest: float
    brightest: float
    mean: float
    deviation: float
    blank: int
    duplicates: int
    conflicting: int


class ImagesReport(BaseModel):
    """What three sets hold, and what is wrong with them.

    Attributes:
        shape: channels, height and width.
        splits: by name.
        removed: what was left out before the images were divided.
        shared: images that stand in two sets, by `name/name`.
        problems: what forbids their use; empty when nothing does.
    """

    model_config = ConfigDict(frozen=True)

    shape: tuple[int, int, int]
    splits: dict[str, SplitReport]
    removed: Removed
    shared: dict[str, int]
    problems: tuple[str, ...]

    def require_fit(self) -> None:
        """Do nothing when there is no problem.

        Raises:
            UnfitImages: there is one.
        """
        if self.problems:
            raise UnfitImages(self.problems)


def validate(splits: Splits) -> ImagesReport:
    """Look at every image of the three sets, and at what was left out of them."""
    parts = splits.items()
    keys = {name: fingerprints(part.images) for name, part in parts.items()}
    reports = {name: _report(part, keys[name]) for name, part in parts.items()}
    shared = {f"{one}/{two}": len(set(keys[one]) & set(keys[two])) for one, two in combinations(parts, 2)}
    removed = splits.removed
    problems = [problem for name, report in reports.items() for problem in _problems(name, report)]
    if removed.conflicting > MAX_CONFLICTING * removed.read:
        problems.append(
            f"{removed.conflicting:,} of the {removed.read:,} images to divide stand there under two labels"
        )
    problems += [
        f"{count:,} images stand in both {pair.replace('/', ' and ')}" for pair, count in shared.items() if count
    ]
    return ImagesReport(
        shape=splits.train.shape, splits=reports, removed=removed, shared=shared, problems=tuple(problems)
    )


def _report(images: ImageSet, keys: list[bytes]) -> SplitReport:
    first_label: dict[bytes, int] = {}
    conflicting = 0
    for key, label in zip(keys, images.labels.tolist(), strict=True):
        known = first_label.setdefault(key, label)
        conflicting += known != label
    duplicates = len(keys) - len(first_label)
    pixels = images.images if len(images) else np.zeros((1, *images.shape), np.float32)
    flat = pixels.reshape(len(pixels), -1)
    return SplitReport(
        images=len(images),
        per_class=dict(
            zip(images.classes, np.bincount(images.labels, minlength=len(images.classes)).tolist(), strict=True)
        ),
        darkest=float(pixels.min()),
        brightest=float(pixels.max()),
        mean=float(pixels.mean(dtype=np.float64)),
        deviation=_deviation(flat),
        blank=int((flat.min(axis=1) == flat.max(axis=1)).sum()) if len(images) else 0,
        duplicates=duplicates,
        conflicting=conflicting,
    )


def _deviation(flat: np.ndarray) -> float:
    """Standard deviation in float64, a few images at a time: a copy of all would be twice as large as they are."""
    mean = flat.mean(dtype=np.float64)
    parts = (flat[start : start + _AT_ONCE] for start in range(0, len(flat), _AT_ONCE))
    squares = sum(float(np.square(np.subtract(part, mean, dtype=np.float64)).sum()) for part in parts)
    return math.sqrt(squares / flat.size)


def _problems(name: str, report: SplitReport) -> list[str]:
    least = MIN_IMAGES_PER_CLASS[name]
    few = [f"{label} ({count})" for label, count in report.per_class.items() if count < least]
    problems = [f"{name} has fewer than {least} images of {', '.join(few[:10])}"] if few else []
    if report.conflicting > MAX_CONFLICTING * report.images:
        problems.append(f"{report.conflicting:,} images of {name} stand there under two labels")
    if report.blank > MAX_BLANK * report.images:
        problems.append(f"{report.blank:,} images of {name} are blank")
    return problems
