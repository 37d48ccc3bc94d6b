"""Maximum mean discrepancy, its whole permutation test as one matrix product (Gretton et al. 2012, JMLR 13).

With B the (permutations, rows) matrix that says which rows are called the window, and K the kernel matrix of reference
and window together with a zero diagonal, the diagonal of B K B' and B K 1 give every sum that MMD^2 is made of. K is
made in blocks of rows and never whole, so memory does not grow with the square of the rows.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from secmlops.detectors.config import MmdConfig
from secmlops.detectors.detector import Answer, Floats, as_rows, describe
from secmlops.detectors.kernels import gaussian, median_bandwidth, row_blocks
from secmlops.detectors.permutations import permutation_test, relabellings


class MmdDrift:
    """MMD of a window against the reference.

    Args:
        config: what to build.
        reference: rows (n, ...).
        sigmas: bandwidths, where they are known already.

    Raises:
        BadWindow: the reference is none.
    """

    def __init__(self, config: MmdConfig, reference: npt.NDArray[Any], sigmas: Floats | None = None):
        self.config = config
        self.reference = as_rows(reference)
        self.meta = describe("MMDDrift")
        if sigmas is None:
            known = np.array(config.sigma, dtype=np.float64)
            sigmas = known if len(known) else median_bandwidth(self.reference.astype(np.float64), config.seed)
        self.sigmas = sigmas

    def predict(self, x: npt.NDArray[Any]) -> Answer:
        """Judge a window (n, ...).

        Raises:
            BadWindow: it is none, or has other features.
        """
        x = as_rows(x, self.reference.shape[1])
        rows = np.concatenate([self.reference, x]).astype(np.float64)
        labels = relabellings(len(rows), x, self.config.n_permutations, self.config.seed)
        statistics = self._squared_discrepancies(rows, labels)
        return {"data": permutation_test(statistics, self.config.p_val).data(self.config.p_val), "meta": self.meta}

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All that it takes besides the config to build it again."""
        return {"reference": self.reference, "sigmas": self.sigmas}

    def _squared_discrepancies(self, rows: Floats, labels: Floats) -> Floats:
        """Unbiased MMD^2 (permutations,) for each labelling (permutations, rows)."""
        within, towards, total = self._sums(rows, labels)
        m = labels[0].sum()
        n = len(rows) - m
        between = towards - within
        rest = total - 2 * towards + within
        return rest / (n * (n - 1)) + within / (m * (m - 1)) - 2 * between / (n * m)

    def _sums(self, rows: Floats, labels: Floats) -> tuple[Floats, Floats, float]:
        """Diagonals of B K B' and B K 1 (permutations,), and 1' K 1."""
        within, towards, total = np.zeros(len(labels)), np.zeros(len(labels)), 0.0
        for block in row_blocks(len(rows), len(rows)):
            kernel = gaussian(rows[block], rows[block.start :], self.sigmas)
            width = block.stop - block.start
            kernel[np.arange(width), np.arange(width)] = 0
            own, later = kernel[:, :width], kernel[:, width:]
            mine, theirs = labels[:, block], labels[:, block.stop :]
            to_own, to_later = own.sum(axis=1), later.sum(axis=1)
            total += to_own.sum() + 2 * to_later.sum()
            towards += mine @ (to_own + to_later) + theirs @ later.sum(axis=0)
            within += np.einsum("pi,pi->p", mine @ own, mine) + 2 * np.einsum("pj,pj->p", mine @ later, theirs)
        return within, towards, total
