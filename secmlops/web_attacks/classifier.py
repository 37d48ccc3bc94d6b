"""What every web-attack model answers, whatever it is made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from secmlops.web_attacks.request import HttpRequest


@dataclass(frozen=True, slots=True)
class Score:
    """The answer for one request.

    Attributes:
        score: calibrated probability of an attack, 0..1.
        verdict: `attack` when `score >= threshold`, else `normal`.
        attack_class: the likeliest of `taxonomy.ATTACK_CLASSES`; empty for a normal verdict.
        part: where the score came from, e.g. `query:q`, `header:User-Agent`, `body:user.name`, `path`.
        evidence: the piece of that (decoded) part that drove the score; at most 120 characters.
    """

    score: float
    verdict: Literal["normal", "attack"]
    attack_class: str
    part: str
    evidence: str


class Classifier(Protocol):
    """A trained model. Scores are a pure function of each request: batching never changes them."""

    name: str
    threshold: float

    def score(self, requests: Sequence[HttpRequest]) -> list[Score]:
        """Score a batch; the answers stand in the order of the requests."""
        ...
