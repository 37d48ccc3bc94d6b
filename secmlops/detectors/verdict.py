"""Drift or attack? Tells a benign change of the data from an evasion campaign, and says by what.

A benign change (new devices, new writers, a new release of a site) moves most rows, each a little, and the classifier's
second opinion follows its first. An evasion campaign moves some rows, those far enough to change the classifier's
answer, which the second opinion then contradicts; the other rows stay where they were. Which rows moved, how unevenly,
how strongly the adversarial scores rose beyond what the moved inputs account for: that is the evidence.

Whether anything happened at all is decided by exact tests at a level. Which of the two it was is decided by a logistic
judgement over the evidence, fitted on windows that were made on purpose (`fit_judge`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field
from scipy import optimize, special, stats

from secmlops.detectors.config import MmdConfig
from secmlops.detectors.detector import Answer, BadWindow, Floats, as_rows, describe
from secmlops.detectors.kernels import squared_distances
from secmlops.detectors.mmd import MmdDrift
from secmlops.errors import SecmlopsError

Kind = Literal["clean", "drift", "attack"]

FLAGGED: Final = 0.05
"""Share of the reference that counts as flagged."""

STRONG: Final = 0.01
"""Share of the reference that counts as strongly flagged."""

_NEIGHBOURS: Final = 5
_FURTHEST: Final = 10.0
_RIDGE: Final = 1e-2
_TINY: Final = 1e-12


@dataclass(frozen=True, slots=True)
class Signals:
    """What is known of n rows.

    Attributes:
        inputs: float (n, d): the inputs, or what a network's hidden layer makes of them.
        probabilities: float (n, classes), the classifier's.
        scores: float (n,), of a detector of adversarial inputs.
    """

    inputs: npt.NDArray[Any]
    probabilities: npt.NDArray[Any]
    scores: npt.NDArray[Any]

    def take(self, rows: npt.NDArray[Any]) -> "Signals":
        """Some of the rows."""
        return Signals(self.inputs[rows], self.probabilities[rows], self.scores[rows])


def mixture(clean: Signals, other: Signals, share: float, rows: int, generator: np.random.Generator) -> Signals:
    """A window of so many rows, that share of them from `other`, made to fit and to test a judge with.

    Raises:
        BadWindow: one of the two has too few rows.
    """
    counts = (rows - round(share * rows), round(share * rows))
    if any(count > len(each.scores) for count, each in zip(counts, (clean, other), strict=True)):
        raise BadWindow(
            f"a window of {rows} with a share of {share:g} wants {counts[0]} clean rows and {counts[1]} others"
        )
    parts = [
        each.take(generator.choice(len(each.scores), count, replace=False))
        for count, each in zip(counts, (clean, other), strict=True)
    ]
    return Signals(
        np.concatenate([part.inputs for part in parts]),
        np.concatenate([part.probabilities for part in parts]),
        np.concatenate([part.scores for part in parts]),
    )


class Evidence(BaseModel):
    """What was measured of a window. Shares are of its rows; ranks are among the reference's, .5 is its median.

    Attributes:
        n: rows.
        drift_p_val: MMD on the inputs.
        drift_distance: MMD^2 on the inputs.
        prediction_p_val: chi-square on the predicted classes.
        prediction_shift: total variation between the shares of the predicted classes.
        flag_p_val: Fisher's exact test that more rows are flagged than in the reference.
        flagged: share whose adversarial score lies above that of all but 5 % of the reference.
        strongly_flagged: the same for 1 %.
        contradicted: share strongly flagged although the classifier is as sure as it mostly is.
        near_boundary: share with a smaller margin between the first and second class than all but 5 %.
        flagged_typical: share flagged among the rows whose inputs are not unusual.
        median_novelty: rank of the median distance to the reference's nearest rows.
        median_score: rank of the median adversarial score.
        novel: share further from the reference than all but 5 %.
        concentration: how much more novel the flagged rows are than the others, by ranks: -1 to 1.
        excess_score: how far scores lie above the flagging threshold, log10, mean over all rows; 0 for those below.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    n: int
    drift_p_val: float
    drift_distance: float
    prediction_p_val: float
    prediction_shift: float
    flag_p_val: float
    flagged: float
    strongly_flagged: float
    contradicted: float
    near_boundary: float
    flagged_typical: float
    median_novelty: float
    median_score: float
    novel: float
    concentration: float
    excess_score: float


TESTS: Final = ("drift_p_val", "prediction_p_val", "flag_p_val")
WEIGHED: Final = tuple(name for name in Evidence.model_fields if name not in {"n", *TESTS})
"""The evidence that the judgement weighs."""


class EvidenceReader:
    """Reads the evidence of windows against one reference.

    Args:
        reference: what is normal; at least 100 rows.
        seed: of the permutations.
        level: of the judge; the permutations are enough for its tests to reach it.
        standardized: whether inputs are brought to the reference's scale, feature by feature; for inputs whose
            features have units of their own.

    Raises:
        BadWindow: the reference is too short, or its parts do not fit together.
    """

    def __init__(self, reference: Signals, seed: int = 0, *, level: float = 0.05, standardized: bool = False):
        _check(reference, least=100)
        self.reference = reference
        rows = as_rows(reference.inputs).astype(np.float64)
        width = rows.shape[1]
        self._middle: Floats = rows.mean(axis=0) if standardized else np.zeros(width)
        self._scale: Floats = rows.std(axis=0) + _TINY if standardized else np.ones(width)
        self._furthest = _FURTHEST if standardized else np.inf
        self._inputs = self._rows(reference)
        permutations = max(200, math.ceil(2 * len(TESTS) / level))
        self._drift = MmdDrift(MmdConfig(seed=seed, n_permutations=permutations), self._inputs)
        self._novelty = np.sort(_novelty(self._inputs, self._inputs, skip=1))
        self._scores = np.sort(reference.scores.astype(np.float64))
        self._margins = np.sort(_margins(reference.probabilities))

    def read(self, window: Signals) -> Evidence:
        """The evidence of a window.

        Raises:
            BadWindow: its parts do not fit together, or not with the reference's.
        """
        _check(window, least=20)
        inputs = self._rows(window)
        drift = self._drift.predict(inputs)["data"]
        novelty = _ranks(self._novelty, _novelty(inputs, self._inputs))
        scores = window.scores.astype(np.float64)
        ranks, margins = _ranks(self._scores, scores), _ranks(self._margins, _margins(window.probabilities))
        flagged, strong = ranks > 1 - FLAGGED, ranks > 1 - STRONG
        shares = [_class_shares(signals.probabilities) for signals in (self.reference, window)]
        bound = max(float(np.quantile(self._scores, 1 - FLAGGED)), _TINY)
        return Evidence(
            n=len(scores),
            drift_p_val=drift["p_val"],
            drift_distance=drift["distance"],
            prediction_p_val=_prediction_p_val(self.reference.probabilities, window.probabilities),
            prediction_shift=float(np.abs(shares[0] - shares[1]).sum() / 2),
            flag_p_val=self._flag_p_val(flagged),
            flagged=float(flagged.mean()),
            strongly_flagged=float(strong.mean()),
            contradicted=float((strong & (margins > 0.25)).mean()),
            near_boundary=float((margins <= FLAGGED).mean()),
            flagged_typical=float(flagged[novelty <= 1 - FLAGGED].mean()) if (novelty <= 1 - FLAGGED).any() else 0.0,
            median_novelty=float(np.median(novelty)),
            median_score=float(np.median(ranks)),
            novel=float((novelty > 1 - FLAGGED).mean()),
            concentration=_lead(novelty[flagged], novelty[~flagged]),
            excess_score=float(np.log10(np.maximum(scores, bound) / bound).mean()),
        )

    def _rows(self, signals: Signals) -> Floats:
        rows = as_rows(signals.inputs).astype(np.float64)
        return ((rows - self._middle) / self._scale).clip(-self._furthest, self._furthest)

    def _flag_p_val(self, flagged: npt.NDArray[np.bool_]) -> float:
        before, after = int((_ranks(self._scores, self._scores) > 1 - FLAGGED).sum()), int(flagged.sum())
        table = [[after, len(flagged) - after], [before, len(self._scores) - before]]
        return float(stats.fisher_exact(table, alternative="greater").pvalue)


class Verdict(BaseModel):
    """What happened to a window.

    Attributes:
        kind: `clean`, `drift` or `attack`.
        attack_probability: by the judgement, given that something happened.
        alarms: the tests that say that something happened.
        reasons: the evidence for `kind`, the heaviest first, with the weight that each had (logits).
        evidence: all of it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    attack_probability: float
    alarms: tuple[str, ...]
    reasons: tuple[tuple[str, float], ...]
    evidence: Evidence


class Judge(BaseModel):
    """A logistic judgement over the evidence; goes into a bundle as JSON.

    Attributes:
        kind: `verdict`.
        level: false alarms on clean windows at most, over all tests together.
        standardized: whether the reader brings inputs to the reference's scale.
        means: of each weighed piece of evidence in the windows that it was fitted on.
        scales: their standard deviations.
        weights: logits per standard deviation towards attack.
        bias: logits.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["verdict"] = "verdict"
    level: Annotated[float, Field(gt=0, lt=1)] = 0.05
    standardized: bool = False
    means: tuple[float, ...]
    scales: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float

    def judge(self, evidence: Evidence) -> Verdict:
        """Tell what happened to a window."""
        alarms = tuple(test for test in TESTS if getattr(evidence, test) < self.level / len(TESTS))
        pulls = (_vector(evidence) - self.means) / np.array(self.scales) * self.weights
        probability = float(special.expit(pulls.sum() + self.bias))
        attack = probability > 0.5
        kind: Kind = "clean" if not alarms else "attack" if attack else "drift"
        towards = sorted(zip(WEIGHED, pulls if attack else -pulls, strict=True), key=lambda pull: -pull[1])
        reasons = tuple((name, float(pull)) for name, pull in towards if pull > 0) if alarms else ()
        return Verdict(kind=kind, attack_probability=probability, alarms=alarms, reasons=reasons[:5], evidence=evidence)


class DriftOrAttack:
    """A judge with its reference, as a detector of windows.

    Args:
        config: the judge.
        inputs: of the reference.
        probabilities: of the reference.
        scores: of the reference.

    Raises:
        BadWindow: the reference is too short, or its parts do not fit together.
    """

    def __init__(
        self, config: Judge, inputs: npt.NDArray[Any], probabilities: npt.NDArray[Any], scores: npt.NDArray[Any]
    ):
        self.config = config
        reference = Signals(inputs, probabilities, scores)
        self.reader = EvidenceReader(reference, level=config.level, standardized=config.standardized)
        self.meta = describe("DriftOrAttack", kind="verdict")

    def predict(self, x: Signals) -> Answer:
        """Judge a window: `is_drift`, `is_attack`, and the fields of `Verdict`.

        Raises:
            BadWindow: its parts do not fit together, or not with the reference's.
        """
        verdict = self.config.judge(self.reader.read(x))
        flags = {"is_drift": int(verdict.kind == "drift"), "is_attack": int(verdict.kind == "attack")}
        return {"data": {**flags, **verdict.model_dump()}, "meta": self.meta}

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All that it takes besides the judge to build it again."""
        reference = self.reader.reference
        return {"inputs": reference.inputs, "probabilities": reference.probabilities, "scores": reference.scores}


class NothingToTell(SecmlopsError):
    """The windows that a judge is fitted on hold only one of drift and attack."""

    def __init__(self) -> None:
        super().__init__("windows of both drift and attack are needed to tell one from the other")


def fit_judge(
    evidence: Sequence[Evidence], kinds: Sequence[Kind], *, level: float = 0.05, standardized: bool = False
) -> Judge:
    """Learn to tell drift from attack on windows that were made on purpose; clean ones are left out.

    Args:
        evidence: as a reader of that level and scale read it.
        kinds: what the windows are.
        level: of the judge.
        standardized: whether the reader brought inputs to the reference's scale.

    Raises:
        NothingToTell: there is only one of the two.
    """
    chosen = [(each, kind == "attack") for each, kind in zip(evidence, kinds, strict=True) if kind != "clean"]
    labels = np.array([attack for _, attack in chosen])
    if not len(labels) or labels.all() or not labels.any():
        raise NothingToTell
    rows = np.array([_vector(each) for each, _ in chosen])
    means, scales = rows.mean(axis=0), rows.std(axis=0) + _TINY
    rows = (rows - means) / scales
    # Both kinds count alike, however many windows there are of each.
    shares = np.where(labels, 0.5 / labels.mean(), 0.5 / (1 - labels.mean()))

    def loss(parameters: Floats) -> tuple[float, Floats]:
        logits = rows @ parameters[:-1] + parameters[-1]
        errors = shares * (special.expit(logits) - labels) / len(labels)
        value = float(np.mean(shares * (np.logaddexp(0, logits) - labels * logits)))
        slope = np.append(rows.T @ errors + _RIDGE * parameters[:-1], errors.sum())
        return value + _RIDGE / 2 * float(parameters[:-1] @ parameters[:-1]), slope

    found = optimize.minimize(loss, np.zeros(rows.shape[1] + 1), jac=True, method="L-BFGS-B").x
    return Judge(
        level=level,
        standardized=standardized,
        means=tuple(means),
        scales=tuple(scales),
        weights=tuple(found[:-1]),
        bias=float(found[-1]),
    )


def _vector(evidence: Evidence) -> Floats:
    return np.array([getattr(evidence, name) for name in WEIGHED], dtype=np.float64)


def _check(signals: Signals, least: int) -> None:
    rows = {len(signals.inputs), len(signals.probabilities), len(signals.scores)}
    if len(rows) != 1 or signals.probabilities.ndim != 2 or signals.scores.ndim != 1:
        raise BadWindow("inputs, probabilities (n, classes) and scores (n,) must be of the same rows")
    if rows.pop() < least:
        raise BadWindow(f"at least {least} are needed")


def _novelty(rows: Floats, reference: Floats, skip: int = 0) -> Floats:
    """Mean distance to the nearest reference rows (n,), the first `skip` of them left out (a row itself)."""
    squared = squared_distances(rows, reference)
    nearest = np.partition(squared, _NEIGHBOURS + skip, axis=1)[:, : _NEIGHBOURS + skip]
    return np.sqrt(np.sort(nearest, axis=1)[:, skip:]).mean(axis=1)


def _ranks(ordered: Floats, values: Floats) -> Floats:
    """Which share of the ordered values lies below each value, 0 to 1."""
    return np.searchsorted(ordered, values) / len(ordered)


def _margins(probabilities: npt.NDArray[Any]) -> Floats:
    best = np.partition(probabilities.astype(np.float64), -2, axis=1)
    return best[:, -1] - best[:, -2]


def _class_shares(probabilities: npt.NDArray[Any]) -> Floats:
    return np.bincount(probabilities.argmax(axis=1), minlength=probabilities.shape[1]) / len(probabilities)


def _prediction_p_val(reference: npt.NDArray[Any], window: npt.NDArray[Any]) -> float:
    counts = np.array([_class_shares(each) * len(each) for each in (reference, window)])
    counts = counts[:, counts.sum(axis=0) > 0]
    return float(stats.chi2_contingency(counts).pvalue) if counts.shape[1] > 1 else 1.0


def _lead(first: Floats, second: Floats) -> float:
    """2 AUC - 1 of the first against the second; 0 where either is empty."""
    if not len(first) or not len(second):
        return 0.0
    return float(2 * stats.mannwhitneyu(first, second).statistic / (len(first) * len(second)) - 1)
