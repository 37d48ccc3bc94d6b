"""Least-squares density difference with a permutation test (Bu, Alippi and Zhao 2016).

The difference of two densities is fitted by Gaussians around some reference rows, which serve for nothing else. Every
permutation is a row of one matrix product.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from secmlops.detectors.config import LsddConfig
from secmlops.detectors.detector import Answer, BadWindow, Floats, as_rows, describe
from secmlops.detectors.kernels import gaussian, median_bandwidth
from secmlops.detectors.permutations import permutation_test, relabellings

_LAMBDAS: Final = 4.0 ** -np.arange(10)
_ROWS_PER_CENTER: Final = 20
_TINY: Final = 1e-12


class LsddDrift:
    """LSDD of a window against the reference.

    Args:
        config: what to build.
        reference: rows (n, ...).
        centers: which of them are centres, int (c,); None: drawn by the seed.

    Raises:
        BadWindow: the reference is none, or has no more rows than centres.
    """

    def __init__(self, config: LsddConfig, reference: npt.NDArray[Any], centers: npt.NDArray[np.int64] | None = None):
        self.config = config
        self.reference = as_rows(reference)
        self.meta = describe("LSDDDrift")
        rows = self.reference.astype(np.float64)
        count = config.n_kernel_centers or max(len(rows) // _ROWS_PER_CENTER, 1)
        if count > len(rows) - 2:
            raise BadWindow(f"{len(rows)} reference rows are too few for {count} centres")
        if centers is None:
            centers = np.random.default_rng(config.seed).permutation(len(rows))[:count]
        self.centers = centers
        self._mean, self._scale = rows.mean(axis=0), rows.std(axis=0, ddof=1) + _TINY
        rows = (rows - self._mean) / self._scale
        self._sigma = median_bandwidth(rows, config.seed)
        self._around = rows[centers]
        self._near = gaussian(np.delete(rows, centers, axis=0), self._around, self._sigma)
        self._overlap = gaussian(self._around, self._around, np.sqrt(2) * self._sigma)

    def predict(self, x: npt.NDArray[Any]) -> Answer:
        """Judge a window (n, ...).

        Raises:
            BadWindow: it is none, has other features, or the reference holds the same row too often.
        """
        x = (as_rows(x, self.reference.shape[1]) - self._mean) / self._scale
        near = np.concatenate([self._near, gaussian(x, self._around, self._sigma)])
        labels = relabellings(len(near), x, self.config.n_permutations, self.config.seed)
        towards_window = labels @ near
        differences = (near.sum(axis=0) - towards_window) / len(self._near) - towards_window / len(x)
        inverse = self._regularized(differences[1:])
        statistics = np.einsum("pi,ij,pj->p", differences, inverse, differences, optimize=True)
        return {"data": permutation_test(statistics, self.config.p_val).data(self.config.p_val), "meta": self.meta}

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All that it takes besides the config to build it again."""
        return {"reference": self.reference, "centers": self.centers}

    def _regularized(self, differences: Floats) -> Floats:
        """The form (c, c) whose value at a difference is its LSDD (their equation 11), by the mildest allowed lambda.

        The largest lambda is taken whose two estimates differ, on average, by less than `lambda_rd_max` (appendix A).
        """
        for size in _LAMBDAS:
            inverse = np.linalg.inv(self._overlap + size * np.eye(len(self._overlap)))
            fitted = differences @ inverse
            linear = np.einsum("pi,pi->p", differences, fitted)
            squared = np.einsum("pi,ij,pj->p", fitted, self._overlap, fitted, optimize=True)
            if np.mean(1 - squared / linear) < self.config.lambda_rd_max:
                return 2 * inverse - inverse.T @ self._overlap @ inverse
        raise BadWindow("the reference repeats too many rows for LSDD: use MMD")
