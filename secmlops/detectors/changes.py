"""Benign changes of data, by kind and size, to measure detectors with: what an honest world does to its inputs.

Each takes rows and a size, 0 for none and 1 for a large change, and a generator, and returns changed rows.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Rows = npt.NDArray[Any]
Change = Callable[[Rows, float, np.random.Generator], Rows]


def blurred(images: Rows, size: float, generator: np.random.Generator) -> Rows:
    """Out of focus: a Gaussian of up to a twelfth of the image."""
    sigma = size * images.shape[-1] / 12
    return ndimage.gaussian_filter(images, (0, 0, sigma, sigma))


def noisy(images: Rows, size: float, generator: np.random.Generator) -> Rows:
    """A worse sensor: Gaussian noise with a deviation of up to .3."""
    return _clipped(images + 0.3 * size * generator.standard_normal(images.shape))


def faded(images: Rows, size: float, generator: np.random.Generator) -> Rows:
    """Less contrast, down to a third, around middle grey."""
    return _clipped(0.5 + (images - 0.5) * (1 - 2 / 3 * size))


def moved(images: Rows, size: float, generator: np.random.Generator) -> Rows:
    """Off centre by up to a sixth of the image, all in one direction."""
    reach = size * images.shape[-1] / 6
    return _clipped(ndimage.shift(images, (0, 0, reach, reach), order=1))


def turned(images: Rows, size: float, generator: np.random.Generator) -> Rows:
    """Rotated by up to 35 degrees, all in one direction."""
    return _clipped(ndimage.rotate(images, 35 * size, axes=(-2, -1), reshape=False, order=1))


def thickened(images: Rows, size: float, generator: np.random.Generator) -> Rows:
    """A broader pen: mixed with the largest value around each pixel."""
    broad = ndimage.maximum_filter(images, (1, 1, 3, 3))
    return _clipped((1 - size) * images + size * broad)


def slanted(images: Rows, size: float, generator: np.random.Generator) -> Rows:
    """Other writers: each image slanted and stretched by its own amounts."""
    centre = (np.array(images.shape[-2:]) - 1) / 2
    changed = np.empty_like(images)
    for index, image in enumerate(images):
        slant, stretch = generator.normal(0.5, 0.15) * size, 1 + generator.normal(0.25, 0.1) * size
        matrix = np.array([[stretch, 0.0], [slant, 1.0]])
        for channel, plane in enumerate(image):
            changed[index, channel] = ndimage.affine_transform(
                plane, matrix, centre - matrix @ centre, order=1, mode="constant"
            )
    return _clipped(changed)


def shifted(numbers: Rows, size: float, generator: np.random.Generator) -> Rows:
    """Every feature higher by up to one of its standard deviations."""
    return numbers + size * numbers.std(axis=0)


def one_shifted(numbers: Rows, size: float, generator: np.random.Generator) -> Rows:
    """The first feature higher by up to two of its standard deviations."""
    changed = numbers.copy()
    changed[:, 0] += 2 * size * numbers[:, 0].std()
    return changed


def widened(numbers: Rows, size: float, generator: np.random.Generator) -> Rows:
    """Every feature's spread up to doubled, its mean as it was."""
    middle = numbers.mean(axis=0)
    return middle + (numbers - middle) * (1 + size)


def mixed(numbers: Rows, size: float, generator: np.random.Generator) -> Rows:
    """Up to half of the rows from elsewhere, three standard deviations away."""
    changed = numbers.copy()
    chosen = generator.random(len(numbers)) < size / 2
    changed[chosen] += 3 * numbers.std(axis=0)
    return changed


def _clipped(images: Rows) -> Rows:
    return images.clip(0, 1).astype(np.float32)


IMAGE_CHANGES: Final[dict[str, Change]] = {
    "blurred": blurred,
    "noisy": noisy,
    "faded": faded,
    "moved": moved,
    "turned": turned,
    "thickened": thickened,
    "slanted": slanted,
}
NUMBER_CHANGES: Final[dict[str, Change]] = {
    "shifted": shifted,
    "one_shifted": one_shifted,
    "widened": widened,
    "mixed": mixed,
}
