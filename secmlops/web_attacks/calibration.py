"""From margins to probabilities, and from held-out normals to a threshold."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

FEWEST_IN_TAIL: Final = 10
"""With fewer normals than this above the wanted quantile, the tail is extrapolated instead of counted."""

TOLERANCE: Final = 0.0005
"""How much of TPR - FPR may be given up to stay near the model's own boundary."""

_TAIL_SHARE: Final = 0.05


@dataclass(frozen=True, slots=True)
class Platt:
    """Probability = 1 / (1 + exp(-(slope * margin + offset)))."""

    slope: float
    offset: float

    def probability(self, margin: float) -> float:
        """The probability of an attack at a margin."""
        return float(1.0 / (1.0 + np.exp(-np.clip(self.slope * margin + self.offset, -60.0, 36.0))))


def fit_platt(normals: Floats, attacks: Floats) -> Platt:
    """Fit Platt's sigmoid with both labels weighing the same and his smoothed targets.

    Source: Platt, "Probabilistic outputs for support vector machines", 1999; Newton's method as in Lin, Lin and
    Weng, "A note on Platt's probabilistic outputs for support vector machines", 2007.

    Args:
        normals: margins of held-out normal requests, at least one.
        attacks: margins of held-out attacks, at least one.
    """
    margins = np.concatenate([normals, attacks])
    targets = np.concatenate(
        [np.full(len(normals), 1 / (len(normals) + 2)), np.full(len(attacks), (len(attacks) + 1) / (len(attacks) + 2))]
    )
    weights = np.concatenate([np.full(len(normals), 0.5 / len(normals)), np.full(len(attacks), 0.5 / len(attacks))])
    columns = np.stack([margins, np.ones_like(margins)])
    setting = np.array([1.0, 0.0])
    for _ in range(100):
        found = 1 / (1 + np.exp(-np.clip(setting @ columns, -40, 40)))
        slope = columns @ (weights * (found - targets)) + 1e-6 * setting
        bend = (columns * (weights * found * (1 - found))) @ columns.T + 1e-6 * np.eye(2)
        step = np.linalg.solve(bend, slope)
        setting = setting - step * min(1.0, 2.0 / float(np.abs(step).max() + 1e-12))
        if np.abs(step).max() < 1e-9:
            break
    return Platt(max(float(setting[0]), 1e-3), float(setting[1]))


def bounded_quantile(normals: Floats, max_false_positive_rate: float) -> float:
    """The margin that at most this share of normal traffic is expected to reach.

    Counted where the sample is large enough. Otherwise the largest twentieth is taken for an exponential tail (the
    extreme-value limit of light tails, Pickands 1975) and the quantile read off it, never below the counted one.

    Raises:
        ValueError: no normals, or a rate outside 0..1 (both excluded).
    """
    if not len(normals) or not 0 < max_false_positive_rate < 1:
        raise ValueError("a threshold needs normal requests and a false-positive rate between 0 and 1")
    ordered = np.sort(normals)
    allowed = int(max_false_positive_rate * len(ordered))
    counted = float(np.nextafter(ordered[-1 - allowed], np.inf))
    if allowed >= FEWEST_IN_TAIL or max_false_positive_rate >= _TAIL_SHARE:
        return counted
    base = float(np.quantile(ordered, 1 - _TAIL_SHARE))
    scale = float(np.mean(ordered[ordered > base] - base)) if (ordered > base).any() else 0.0
    extrapolated = base + scale * np.log(_TAIL_SHARE / max_false_positive_rate)
    return max(counted, float(extrapolated))


def choose_margin(normals: Floats, attacks: Floats, max_false_positive_rate: float) -> float:
    """The model's own boundary, moved only as far as held-out requests demand.

    Args:
        normals: margins of held-out normal requests.
        attacks: margins of held-out attacks.
        max_false_positive_rate: bound on the share of normals at or above the margin.

    Returns:
        Of the margins whose TPR - FPR is within `TOLERANCE` of the best, the one nearest 0 (where a linear model keeps
        the most distance from both labels), but at least `bounded_quantile`.
    """
    least = bounded_quantile(normals, max_false_positive_rate)
    cuts = np.unique(np.concatenate([normals, attacks]))
    cuts = np.append(cuts[:-1] + np.diff(cuts) / 2, cuts[-1])
    caught = 1 - np.searchsorted(np.sort(attacks), cuts) / len(attacks)
    alarmed = 1 - np.searchsorted(np.sort(normals), cuts) / len(normals)
    value = caught - alarmed
    good = cuts[value >= value.max() - TOLERANCE]
    return max(least, float(np.clip(0.0, good.min(), good.max())))
