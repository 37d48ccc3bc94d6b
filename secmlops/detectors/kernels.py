"""The Gaussian kernel and its bandwidth, in blocks."""

from collections.abc import Iterator

import numpy as np

from secmlops.detectors.detector import Floats

BLOCK_BYTES = 64 * 1024**2
"""Largest block of a kernel matrix."""

_MEDIAN_ROWS = 2_000
_LEAST = 1e-30


def squared_distances(x: Floats, y: Floats) -> Floats:
    """Squared Euclidean distances (len(x), len(y)), never below zero."""
    distances = x @ y.T
    distances *= -2
    distances += np.einsum("ij,ij->i", x, x)[:, None]
    distances += np.einsum("ij,ij->i", y, y)
    return np.maximum(distances, _LEAST, out=distances)


def gaussian(x: Floats, y: Floats, sigmas: Floats) -> Floats:
    """exp(-d^2 / (2 sigma^2)), averaged over the bandwidths."""
    distances = squared_distances(x, y)
    if len(sigmas) == 1:
        distances *= -1 / (2 * sigmas[0] ** 2)
        return np.exp(distances, out=distances)
    return np.mean([np.exp(distances * (-1 / (2 * sigma**2))) for sigma in sigmas], axis=0)


def median_bandwidth(x: Floats, seed: int = 0) -> Floats:
    """The median heuristic (Gretton et al. 2012), shape (1,): sigma^2 is half the median squared distance.

    Above 2,000 rows the median is taken over so many of them, drawn by the seed.
    """
    if len(x) > _MEDIAN_ROWS:
        x = x[np.random.default_rng(seed).choice(len(x), _MEDIAN_ROWS, replace=False)]
    pairs = squared_distances(x, x)[np.triu_indices(len(x), 1)]
    middle = (len(pairs) - 1) // 2
    return np.sqrt(0.5 * np.partition(pairs, middle)[middle : middle + 1])


def row_blocks(rows: int, columns: int) -> Iterator[slice]:
    """Slices of rows so that a block of float64 with so many columns stays within `BLOCK_BYTES`."""
    step = max(1, BLOCK_BYTES // (8 * columns))
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))
