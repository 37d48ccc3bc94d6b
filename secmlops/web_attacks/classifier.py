"""What every web-attack model answers, whatever it is made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from secmlops.errors import SecmlopsError
from secmlops.web_attacks.request import HttpRequest
from secmlops.web_attacks.taxonomy import ATTACK


class TooFewLabels(SecmlopsError):
    """Not enough labelled requests of one kind to learn from.

    Attributes:
        label: `normal` or `attack`.
        found: how many there were.
        needed: how many are needed.
    """

    def __init__(self, label: str, found: int, needed: int):
        self.label, self.found, self.needed = label, found, needed
        super().__init__(f"{found} {label} requests are too few to train on: bring at least {needed}")


class InvalidModel(SecmlopsError):
    """Model files that do not fit together or are not of this kind.

    Attributes:
        reason: what is wrong.
    """

    def __init__(self, reason: str):
        self.reason = reason
        super().__init__(f"the model cannot be used: {reason}; train it again or fetch another bundle")


UNREAD: Final = "more than is read of one request"
"""The evidence against a request that a model did not read in full and found nothing in."""


@dataclass(frozen=True, slots=True)
class Score:
    """The answer for one request.

    Attributes:
        score: calibrated probability of an attack, 0..1; 1 when the request holds more than the model reads.
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


def unread(part: str = "body") -> Score:
    """The answer for a request that holds more than is read: what nobody read must not pass as normal."""
    return Score(1.0, ATTACK, "other", part, UNREAD)


class Classifier(Protocol):
    """A trained model. Scores are a pure function of each request: batching never changes them."""

    name: str
    threshold: float

    def score(self, requests: Sequence[HttpRequest]) -> list[Score]:
        """Score a batch; the answers stand in the order of the requests."""
        ...
