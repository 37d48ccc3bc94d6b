"""Classifier two-sample test: can a classifier tell the window from the reference (Lopez-Paz and Oquab 2017)?

The classifier is ridge regression (Fisher's discriminant) on the standardized features and on random Fourier features
(Rahimi and Recht 2007). It is linear in the labels, so the cross-fitted scores of every permutation of the labels come
out of one matrix product per fold, and the test is exact at any size.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from secmlops.detectors.config import ClassifierDriftConfig
from secmlops.detectors.detector import Answer, Floats, as_rows, describe
from secmlops.detectors.kernels import median_bandwidth
from secmlops.detectors.permutations import permutation_test, relabellings

_TINY: Final = 1e-12
_MOST_PLAIN: Final = 256
"""With more features than that, only so many principal components are used."""


class ClassifierDrift:
    """Cross-fitted scores of the window against those of the reference.

    Args:
        config: what to build.
        reference: rows (n, ...).

    Raises:
        BadWindow: the reference is none.
    """

    def __init__(self, config: ClassifierDriftConfig, reference: npt.NDArray[Any]):
        self.config = config
        self.reference = as_rows(reference)
        self.meta = describe("ClassifierDrift")
        rows = self.reference.astype(np.float64)
        self._mean, self._scale = rows.mean(axis=0), rows.std(axis=0) + _TINY
        rows = self._standardized(self.reference)
        generator = np.random.default_rng(config.seed)
        sigma = median_bandwidth(rows, config.seed)[0]
        self._frequencies = generator.standard_normal((rows.shape[1], config.frequencies)) / max(sigma, _TINY)
        self._phases = generator.uniform(0, 2 * np.pi, config.frequencies)
        self._components: Floats | None = None
        if rows.shape[1] > _MOST_PLAIN:
            self._components = np.linalg.svd(rows, full_matrices=False)[2][:_MOST_PLAIN].T

    def predict(self, x: npt.NDArray[Any]) -> Answer:
        """Judge a window (n, ...); `probs_ref` and `probs_test` tell, row by row, how much it looks like the window.

        Raises:
            BadWindow: it is none, or has other features.
        """
        x = as_rows(x, self.reference.shape[1])
        features = self._features(np.concatenate([self.reference, x]))
        labels = relabellings(len(features), x, self.config.n_permutations, self.config.seed)
        scores = self._cross_fitted(features, labels)
        data = permutation_test(_advantages(scores, labels), self.config.p_val).data(self.config.p_val)
        likeness = scores[0].clip(0, 1)
        first = len(self.reference)
        return {"data": {**data, "probs_ref": likeness[:first], "probs_test": likeness[first:]}, "meta": self.meta}

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All that it takes besides the config to build it again."""
        return {"reference": self.reference}

    def _standardized(self, rows: npt.NDArray[Any]) -> Floats:
        # A feature that never varies in the reference would otherwise drown all others.
        return ((rows - self._mean) / self._scale).clip(-10, 10)

    def _features(self, rows: npt.NDArray[Any]) -> Floats:
        rows = self._standardized(rows)
        waves = np.sqrt(2 / max(1, len(self._phases))) * np.cos(rows @ self._frequencies + self._phases)
        plain = rows if self._components is None else rows @ self._components
        return np.hstack([plain / np.sqrt(plain.shape[1]), waves])

    def _cross_fitted(self, features: Floats, labels: Floats) -> Floats:
        """Scores (permutations, rows), each by a regression that has not seen the row."""
        scores = np.empty_like(labels)
        folds = np.random.default_rng(self.config.seed).permutation(len(features)) % self.config.n_folds
        for fold in range(self.config.n_folds):
            inside, outside = folds != fold, folds == fold
            middle = features[inside].mean(axis=0)
            seen, unseen = features[inside] - middle, features[outside] - middle
            gram = seen.T @ seen
            gram[np.diag_indices_from(gram)] += self.config.ridge * np.trace(gram) / len(gram)
            base = labels[:, inside].mean(axis=1, keepdims=True)
            weights = np.linalg.solve(gram, seen.T @ (labels[:, inside] - base).T)
            scores[:, outside] = base + (unseen @ weights).T
        return scores


def _advantages(scores: Floats, labels: Floats) -> Floats:
    """How much more often a row of the window scores above one of the reference than below it: 2 AUC - 1."""
    ranks = rankdata(scores, axis=1)
    m = labels[0].sum()
    n = labels.shape[1] - m
    return 2 * ((ranks * labels).sum(axis=1) - m * (m + 1) / 2) / (n * m) - 1
