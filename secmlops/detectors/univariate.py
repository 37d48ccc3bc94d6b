"""A test per feature, corrected for their number, and what moved by how much.

Kolmogorov-Smirnov, Cramer-von Mises (Anderson 1962) and Pearson's chi-square. A p-value says whether a feature moved;
effect sizes, which do not grow with the number of rows, say how far.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import stats

from secmlops.detectors.config import (
    ChiSquareConfig,
    Correction,
    CvmConfig,
    KsConfig,
    PredictionConfig,
    TabularConfig,
    UncertaintyConfig,
    UnivariateConfig,
)
from secmlops.detectors.detector import Answer, BadWindow, Floats, as_rows, describe

MOST_NAMED: Final = 50
"""So many moved features are told of, the strongest first; a pixel image has thousands."""

_NAMES: Final = {
    KsConfig: "KSDrift",
    CvmConfig: "CVMDrift",
    ChiSquareConfig: "ChiSquareDrift",
    TabularConfig: "TabularDrift",
    PredictionConfig: "PredictionDrift",
    UncertaintyConfig: "ClassifierUncertaintyDrift",
}
_TINY: Final = 1e-12


@dataclass(frozen=True, slots=True)
class Moved:
    """A feature that moved.

    Attributes:
        feature: its name or number.
        p_val: of its test.
        distance: the test's statistic.
        shift: of a number: difference of the means in pooled standard deviations (Cohen's d); None for categories.
        spread: of a number: the window's standard deviation over the reference's; None for categories.
        association: of categories: Cramer's V, 0 to 1; None for numbers.
        most: of categories: the one whose share changed most; None for numbers.
        share_change: its share in the window less that in the reference; None for numbers.
    """

    feature: str
    p_val: float
    distance: float
    shift: float | None = None
    spread: float | None = None
    association: float | None = None
    most: float | None = None
    share_change: float | None = None


class UnivariateDrift:
    """A test per feature of a window against the reference.

    Args:
        config: what to build.
        reference: rows (n, ...), or probabilities (n, classes) where the config is of predictions or uncertainty.

    Raises:
        BadWindow: the reference is none, or a column of categories is none of its columns.
    """

    def __init__(self, config: UnivariateConfig, reference: npt.NDArray[Any]):
        self.config = config
        self.reference = as_rows(reference)
        self.meta = describe(_NAMES[type(config)])
        self._rows = view(config, self.reference)
        self._categorical = categorical_columns(config, self._rows.shape[1])

    def predict(self, x: npt.NDArray[Any]) -> Answer:
        """Judge a window (n, ...); `p_val` and `distance` have an entry per feature, `moved` tells which moved.

        Raises:
            BadWindow: it is none, or has other features.
        """
        rows = view(self.config, as_rows(x, self.reference.shape[1]))
        p_val, distance = self._tests(rows)
        threshold = corrected(p_val, self.config.p_val, self.config.correction)
        data = {
            "is_drift": int((p_val < threshold).any()),
            "distance": distance,
            "p_val": p_val,
            "threshold": threshold,
            "moved": moved(self.config, self._rows, rows, p_val, distance, threshold),
        }
        return {"data": data, "meta": self.meta}

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All that it takes besides the config to build it again."""
        return {"reference": self.reference}

    def _tests(self, rows: npt.NDArray[Any]) -> tuple[Floats, Floats]:
        count = rows.shape[1]
        p_val, distance = np.empty(count), np.empty(count)
        numeric = [column for column in range(count) if column not in self._categorical]
        test = _cramer_von_mises if isinstance(self.config, CvmConfig) else _kolmogorov_smirnov
        if numeric:
            p_val[numeric], distance[numeric] = test(self._rows[:, numeric], rows[:, numeric])
        for column in self._categorical:
            p_val[column], distance[column] = _chi_square(self._rows[:, column], rows[:, column])
        return p_val, distance


def view(config: UnivariateConfig, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """What is tested: the rows themselves, or what the config reads out of probabilities (n, classes).

    Raises:
        BadWindow: the config is of probabilities and the rows are none.
    """
    if not isinstance(config, PredictionConfig | UncertaintyConfig):
        return rows
    if rows.shape[1] < 2 or rows.min() < 0 or np.abs(rows.sum(axis=1) - 1).max() > 1e-3:
        raise BadWindow("probabilities of two or more classes are wanted, and each row must sum to one")
    if isinstance(config, UncertaintyConfig):
        return stats.entropy(rows, axis=1)[:, None]
    tested = rows[:, 1:] if rows.shape[1] == 2 else rows  # of two classes, one says what the other does
    return np.column_stack([tested, rows.argmax(axis=1)])


def categorical_columns(config: UnivariateConfig, columns: int) -> tuple[int, ...]:
    """Which of the tested columns hold categories.

    Raises:
        BadWindow: the config names a column that is not there.
    """
    if isinstance(config, ChiSquareConfig):
        return tuple(range(columns))
    if isinstance(config, PredictionConfig):
        return (columns - 1,)
    chosen = config.categorical if isinstance(config, TabularConfig) else ()
    if any(column >= columns for column in chosen):
        raise BadWindow(f"column {max(chosen)} should hold categories, but a row has {columns} features")
    return tuple(sorted(set(chosen)))


def corrected(p_val: Floats, level: float, correction: Correction) -> float:
    """The bound below which a feature's p-value shows drift, so that the whole window keeps the level."""
    if correction == "bonferroni":
        return level / len(p_val)
    bounds = level * np.arange(1, len(p_val) + 1) / len(p_val)
    below = np.flatnonzero(np.sort(p_val) < bounds)
    return float(bounds[below[-1] if len(below) else 0])


def moved(
    config: UnivariateConfig,
    reference: npt.NDArray[Any],
    rows: npt.NDArray[Any],
    p_val: Floats,
    distance: Floats,
    threshold: float,
) -> list[dict[str, Any]]:
    """The features whose p-value lies below the threshold, the smallest first, with their effect sizes."""
    categorical = categorical_columns(config, rows.shape[1])
    order = sorted(np.flatnonzero(p_val < threshold), key=lambda column: (p_val[column], -distance[column]))
    return [
        asdict(
            Moved(
                feature=_name(config.names, int(column)),
                p_val=float(p_val[column]),
                distance=float(distance[column]),
                **(_change_of_shares if column in categorical else _change_of_values)(
                    reference[:, column], rows[:, column]
                ),
            )
        )
        for column in order[:MOST_NAMED]
    ]


def _name(names: Sequence[str], column: int) -> str:
    return names[column] if column < len(names) else str(column)


def _kolmogorov_smirnov(reference: npt.NDArray[Any], rows: npt.NDArray[Any]) -> tuple[Floats, Floats]:
    """Asymptotic p-values and two-sided distances (features,)."""
    n, m = len(reference), len(rows)
    pooled = np.concatenate([reference, rows])
    order = np.argsort(pooled, axis=0, kind="stable")
    pooled = np.take_along_axis(pooled, order, axis=0)
    lead = np.cumsum(np.where(order < n, m, -n), axis=0)
    last_of_ties = np.ones(pooled.shape, dtype=bool)
    last_of_ties[:-1] = pooled[1:] != pooled[:-1]
    furthest, step = np.abs(np.where(last_of_ties, lead, 0)).max(axis=0), math.gcd(n, m)
    steps, least = (furthest // step).tolist(), n * m // step
    p_val = np.array([_survival(each, least, round(n * m / (n + m))) for each in steps])
    return p_val, furthest / (n * m)


@lru_cache(maxsize=65_536)
def _survival(steps: int, least: int, count: int) -> float:
    """Kolmogorov's p-value of a distance of so many of its least steps.

    SciPy takes a millisecond for each; where the window's length divides the reference's there are few distances.
    """
    return float(stats.kstwo.sf(steps / least, count))


def _cramer_von_mises(reference: npt.NDArray[Any], rows: npt.NDArray[Any]) -> tuple[Floats, Floats]:
    """P-values, exact where both samples have at most 20 rows, and statistics (features,)."""
    results = [
        stats.cramervonmises_2samp(mine, theirs, method="auto")
        for mine, theirs in zip(reference.T, rows.T, strict=True)
    ]
    return np.array([result.pvalue for result in results]), np.array([result.statistic for result in results])


def _chi_square(reference: npt.NDArray[Any], values: npt.NDArray[Any]) -> tuple[float, float]:
    """Pearson's p-value and statistic, with Yates' correction for two categories."""
    result = stats.chi2_contingency(_counts(reference, values)[1])
    return float(result.pvalue), float(result.statistic)


def _counts(reference: npt.NDArray[Any], values: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """The categories, and how often each is in the reference and in the window (2, categories)."""
    categories, places = np.unique(np.concatenate([reference, values]), return_inverse=True)
    counts = [np.bincount(part, minlength=len(categories)) for part in np.split(places, [len(reference)])]
    return categories, np.array(counts)


def _change_of_values(reference: npt.NDArray[Any], values: npt.NDArray[Any]) -> dict[str, float]:
    before, after = reference.std(ddof=1), values.std(ddof=1)
    n, m = len(reference), len(values)
    pooled = np.sqrt(((n - 1) * before**2 + (m - 1) * after**2) / (n + m - 2))
    shift = float(values.mean() - reference.mean())
    return {"shift": shift / max(pooled, _TINY), "spread": float(after / max(before, _TINY))}


def _change_of_shares(reference: npt.NDArray[Any], values: npt.NDArray[Any]) -> dict[str, float]:
    categories, counts = _counts(reference, values)
    if len(categories) == 1:
        return {"association": 0.0, "most": float(categories[0]), "share_change": 0.0}
    statistic = stats.chi2_contingency(counts, correction=False).statistic
    change = counts[1] / len(values) - counts[0] / len(reference)
    most = int(np.abs(change).argmax())
    return {
        "association": float(np.sqrt(statistic / counts.sum())),
        "most": float(categories[most]),
        "share_change": float(change[most]),
    }
