"""Performance drift, once labels arrive: is the window's accuracy lower than the reference's (Fisher's exact test)?"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import stats

from secmlops.detectors.config import PerformanceConfig
from secmlops.detectors.detector import Answer, BadWindow, as_rows, describe

_COLUMNS: Final = 2


class PerformanceDrift:
    """Accuracy and F1 of a window against the reference's.

    Args:
        config: what to build.
        reference: int (n, 2): label and predicted class of each row.

    Raises:
        BadWindow: the reference is none.
    """

    def __init__(self, config: PerformanceConfig, reference: npt.NDArray[Any]):
        self.config = config
        self.reference = _pairs(reference)
        self.meta = describe("PerformanceDrift")

    def predict(self, x: npt.NDArray[Any]) -> Answer:
        """Judge a window, int (n, 2): label and predicted class of each row whose label has arrived.

        `distance` is the accuracy lost, `p_val` that of Fisher's exact one-sided test, `accuracy_interval` Clopper
        and Pearson's at 95 %, `confused` the (label, predicted) pairs that became more frequent, the most so first.

        Raises:
            BadWindow: it is none.
        """
        x = _pairs(x)
        right, right_before = _right(x), _right(self.reference)
        p_val = float(
            stats.fisher_exact(
                [[right_before, len(self.reference) - right_before], [right, len(x) - right]], alternative="greater"
            ).pvalue
        )
        interval = stats.binomtest(right, len(x)).proportion_ci(0.95)
        accuracy, before = right / len(x), right_before / len(self.reference)
        data = {
            "is_drift": int(p_val < self.config.p_val),
            "distance": before - accuracy,
            "p_val": p_val,
            "threshold": self.config.p_val,
            "accuracy": accuracy,
            "accuracy_interval": (float(interval.low), float(interval.high)),
            "reference_accuracy": before,
            "f1": self._f1(x),
            "reference_f1": self._f1(self.reference),
            "confused": _confused(self.reference, x),
        }
        return {"data": data, "meta": self.meta}

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All that it takes besides the config to build it again."""
        return {"reference": self.reference}

    def _f1(self, pairs: npt.NDArray[np.int64]) -> float:
        classes = np.unique(self.reference) if self.config.positive is None else np.array([self.config.positive])
        labels, predicted = pairs.T
        scores: list[float] = []
        for each in classes:
            both = int(((labels == each) & (predicted == each)).sum())
            either = int((labels == each).sum() + (predicted == each).sum())
            if either:
                scores.append(2 * both / either)
        return float(np.mean(scores)) if scores else 0.0


def _pairs(x: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    x = np.asarray(x)
    if x.dtype.kind not in "biu" or x.ndim != _COLUMNS or x.shape[1] != _COLUMNS:
        raise BadWindow("whole numbers (n, 2) are wanted: the label and the predicted class of each row")
    return as_rows(x, _COLUMNS).astype(np.int64)


def _right(pairs: npt.NDArray[np.int64]) -> int:
    return int((pairs[:, 0] == pairs[:, 1]).sum())


def _confused(before: npt.NDArray[np.int64], after: npt.NDArray[np.int64], most: int = 5) -> list[dict[str, Any]]:
    """The wrong pairs whose share grew, with by how much."""

    def shares(pairs: npt.NDArray[np.int64]) -> dict[tuple[int, int], float]:
        wrong, counts = np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0, return_counts=True)
        return {(int(a), int(b)): count / len(pairs) for (a, b), count in zip(wrong, counts, strict=True)}

    old = shares(before)
    grown = [(share - old.get(pair, 0.0), pair) for pair, share in shares(after).items()]
    return [
        {"label": pair[0], "predicted": pair[1], "share_change": growth}
        for growth, pair in sorted(grown, reverse=True)[:most]
        if growth > 0
    ]
