"""Which variant is worth what it costs: the Pareto front, and the choice by policy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from secmlops.digits.evaluation import Evaluation
from secmlops.lifecycle.gate import Verdict

OBJECTIVES: Final[Mapping[str, int]] = {
    "clean_accuracy": 1,
    "robust_accuracy": 1,
    "certified_accuracy": 1,
    "latency_p95_ms": -1,
    "training_s": -1,
}
"""What variants are compared by; 1: the more the better, -1: the less."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A variant with what was measured.

    Attributes:
        evaluation: what was measured.
        verdict: what the gate says of that.
    """

    evaluation: Evaluation
    verdict: Verdict

    @property
    def rank(self) -> tuple[bool, int, float, float, float]:
        """Passed first, then fewest failures, then most robust, then most often right, then fastest."""
        metrics = self.evaluation.metrics()
        return (
            self.verdict.passed,
            -len(self.verdict.failures),
            metrics["robust_accuracy"],
            metrics["clean_accuracy"],
            -metrics["latency_p95_ms"],
        )


def choose(candidates: Sequence[Candidate]) -> Candidate:
    """The candidate that passed and resists most; when none passed, the one that fails least.

    Raises:
        ValueError: there is none to choose from.
    """
    return max(candidates, key=lambda candidate: candidate.rank)


def pareto_front(points: Sequence[Mapping[str, float]], objectives: Mapping[str, int] = OBJECTIVES) -> list[int]:
    """Indices of the points that no other point beats: as good in every objective and better in one.

    Args:
        points: measured values by name.
        objectives: names with 1 (the more the better) or -1 (the less).
    """

    def beats(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
        gains = [sign * (one[name] - other[name]) for name, sign in objectives.items()]
        return min(gains) >= 0 and max(gains) > 0

    return [number for number, point in enumerate(points) if not any(beats(other, point) for other in points)]
