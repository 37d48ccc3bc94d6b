"""The permutation test that MMD, LSDD and classifier drift share."""

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from secmlops.detectors.detector import Floats


def relabellings(rows: int, window: npt.NDArray[Any], count: int, seed: int) -> Floats:
    """Which rows are called the window: (count + 1, rows) of 0 and 1, each with as many ones as the window has rows.

    The first has the last rows, as they truly are; the others are drawn at random, by the seed and the window itself:
    the same window gives the same answer, but the chance in one draw does not make all windows' answers err alike.
    """
    chosen = len(window)
    generator = np.random.default_rng([seed, zlib.crc32(np.ascontiguousarray(window).tobytes())])
    labels = np.zeros((count + 1, rows))
    labels[:, rows - chosen :] = 1
    generator.permuted(labels[1:], axis=1, out=labels[1:])
    return labels


@dataclass(frozen=True, slots=True)
class PermutationTest:
    """What the statistic says beside its permutations.

    Attributes:
        distance: the statistic.
        p_val: share of relabellings, the true one among them, that reach it (Phipson and Smyth 2010): never zero.
        distance_threshold: the statistic that is reached by chance with the level's probability.
    """

    distance: float
    p_val: float
    distance_threshold: float

    def data(self, level: float) -> dict[str, Any]:
        """The `data` of an answer."""
        return {
            "is_drift": int(self.p_val < level),
            "distance": self.distance,
            "p_val": self.p_val,
            "threshold": level,
            "distance_threshold": self.distance_threshold,
        }


def permutation_test(statistics: Floats, level: float) -> PermutationTest:
    """Judge the first statistic by the others."""
    true, drawn = statistics[0], np.sort(statistics[1:])[::-1]
    return PermutationTest(
        distance=float(true),
        p_val=float((1 + (drawn >= true).sum()) / (1 + len(drawn))),
        distance_threshold=float(drawn[int(level * len(drawn))]),
    )
