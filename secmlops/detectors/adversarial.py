"""What detectors of adversarial inputs share: the threshold and the form of the answer (MITRE ATLAS AML.M0015)."""

from typing import Any

import numpy as np
import numpy.typing as npt

from secmlops.detectors.detector import Answer
from secmlops.errors import SecmlopsError


class TooFewClean(SecmlopsError):
    """Not enough clean inputs to count the wanted false-positive rate.

    Attributes:
        given: how many there are.
        needed: how many it takes.
    """

    def __init__(self, given: int, needed: int):
        self.given = given
        self.needed = needed
        super().__init__(f"{given} clean inputs cannot show so low a false-positive rate: give at least {needed}")


class NoThreshold(SecmlopsError):
    """A detector is asked for a verdict before its threshold is set."""

    def __init__(self) -> None:
        super().__init__("the detector has no threshold yet: call infer_threshold with clean inputs")


def threshold_for(scores: npt.NDArray[Any], false_positive_rate: float) -> float:
    """The threshold above which at most that share of the scores of clean inputs lies.

    Raises:
        TooFewClean: there are fewer than one in `false_positive_rate`.
    """
    needed = round(1 / false_positive_rate)
    if len(scores) < needed:
        raise TooFewClean(len(scores), needed)
    return float(np.sort(scores)[::-1][int(false_positive_rate * len(scores))])


def answer(scores: npt.NDArray[Any], threshold: float | None, meta: dict[str, Any]) -> Answer:
    """The answer for scores (n,), one per input.

    Raises:
        NoThreshold: there is none.
    """
    if threshold is None:
        raise NoThreshold
    data = {
        "instance_score": scores,
        "is_adversarial": (scores > threshold).astype(int),
        "threshold": threshold,
    }
    return {"data": data, "meta": meta}
