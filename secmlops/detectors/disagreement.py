"""Adversarial texts and requests: the scorer is asked about the input and about its other forms, and should agree.

An evasion hides what it is in a form that the classifier reads wrongly: an encoding, odd spacing, homoglyphs. The
canonical form undoes the hiding, and random mutations that keep the meaning break a form that was searched for, so
either moves the score of an evasion further than that of an honest input. Feature squeezing (Xu, Evans and Qi 2018),
for anything that a function can score and another can rewrite. MITRE ATLAS AML.M0015.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from secmlops.detectors.adversarial import answer, threshold_for
from secmlops.detectors.detector import Answer, BadWindow, describe

Scorer = Callable[[Sequence[Any]], npt.NDArray[Any]]
"""Inputs to scores in [0, 1] (n,), or to probabilities (n, classes)."""

Rewriter = Callable[[Any], Any]
"""An input to another form of it that means the same."""


class DisagreementConfig(BaseModel):
    """All there is to know besides the functions.

    Attributes:
        views: names of the rewriters.
        threshold: inputs that score above it are called adversarial; None: not set yet.
        false_positive_rate: share of clean inputs that the threshold was set to flag.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["disagreement"] = "disagreement"
    views: Annotated[tuple[str, ...], Field(min_length=1, max_length=16)]
    threshold: float | None = None
    false_positive_rate: Annotated[float, Field(gt=0, lt=1)] = 0.05


class UnknownView(BadWindow):
    """A config names a rewriter that was not given."""

    def __init__(self, name: str):
        super().__init__(f"no rewriter is called {name!r}: pass it in `rewriters`")


class Disagreement:
    """How far a scorer's answer moves when the input is rewritten.

    The score is the largest L1 distance between the probabilities of the input and of its other forms, 0 to 2.

    Args:
        config: what to build.
        scorer: what is watched.
        rewriters: by name, at least those of `config.views`.

    Raises:
        UnknownView: one is missing.
    """

    def __init__(self, config: DisagreementConfig, scorer: Scorer, rewriters: Mapping[str, Rewriter]):
        for name in config.views:
            if name not in rewriters:
                raise UnknownView(name)
        self.config = config
        self.scorer = scorer
        self.rewriters = {name: rewriters[name] for name in config.views}
        self.meta = describe("Disagreement", kind="adversarial")

    def score(self, inputs: Sequence[Any]) -> npt.NDArray[np.float64]:
        """Scores (n,)."""
        return self._distances(inputs).max(axis=0)

    def infer_threshold(self, inputs: Sequence[Any], false_positive_rate: float = 0.05) -> float:
        """Set the threshold so that at most that share of clean inputs is flagged.

        Raises:
            TooFewClean: there are fewer than one in `false_positive_rate`.
        """
        threshold = threshold_for(self.score(inputs), false_positive_rate)
        self.config = self.config.model_copy(
            update={"threshold": threshold, "false_positive_rate": false_positive_rate}
        )
        return threshold

    def predict(self, x: Sequence[Any]) -> Answer:
        """Judge inputs, each by itself; `view` names the form that moved its score the most.

        Raises:
            NoThreshold: none is set.
        """
        distances = self._distances(x)
        result = answer(distances.max(axis=0), self.config.threshold, self.meta)
        result["data"]["view"] = [self.config.views[place] for place in distances.argmax(axis=0)]
        return result

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """None: it has no weights."""
        return {}

    def _distances(self, inputs: Sequence[Any]) -> npt.NDArray[np.float64]:
        """L1 distances (views, n); every form is scored in one call, forms that change nothing not at all."""
        inputs = list(inputs)
        if not inputs:
            return np.zeros((len(self.rewriters), 0))
        forms = [[rewrite(each) for each in inputs] for rewrite in self.rewriters.values()]
        changed = [
            (view, row) for view, some in enumerate(forms) for row, form in enumerate(some) if form != inputs[row]
        ]
        asked = [*inputs, *(forms[view][row] for view, row in changed)]
        probabilities = _probabilities(self.scorer(asked), len(asked))
        distances = np.zeros((len(forms), len(inputs)))
        for place, (view, row) in enumerate(changed, start=len(inputs)):
            distances[view, row] = np.abs(probabilities[place] - probabilities[row]).sum()
        return distances


def _probabilities(scores: npt.NDArray[Any], count: int) -> npt.NDArray[np.float64]:
    scores = np.asarray(scores, dtype=np.float64)
    if len(scores) != count or scores.ndim not in (1, 2) or not np.isfinite(scores).all():
        raise BadWindow(f"the scorer returned an array of shape {scores.shape} for {count} inputs, or no finite one")
    return np.column_stack([1 - scores, scores]) if scores.ndim == 1 else scores
