"""What a classifier achieves on labelled requests: one typed record, and the flat metrics the gate reads.

Every figure that the data cannot support (no normal rows, no suspicious benign rows, ...) is None in the record
and absent from the metrics.
"""

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict

from secmlops.errors import SecmlopsError
from secmlops.web_attacks.classifier import Classifier, Score
from secmlops.web_attacks.dataset import LabelledRequest
from secmlops.web_attacks.request import HttpRequest
from secmlops.web_attacks.taxonomy import ATTACK

BATCH: Final = 256
CURVE_POINTS: Final = 300
CALIBRATION_BINS: Final = 15
LATENCY_REQUESTS: Final = 200
LATENCY_BATCH: Final = 32
SUSPICIOUS_BENIGN: Final = "suspicious_benign"
FALSE_POSITIVE_RATES: Final[Mapping[str, float]] = {"tpr_at_0_2pct_fpr": 0.002, "tpr_at_1pct_fpr": 0.01}


class NothingToEvaluate(SecmlopsError):
    """No labelled request was given."""

    def __init__(self) -> None:
        super().__init__("there is no labelled request to evaluate on: check the test split")


class NotACurve(SecmlopsError):
    """Points that make no curve: unequal lengths, no point, or NaN.

    Attributes:
        reason: which of these.
    """

    def __init__(self, reason: str):
        self.reason = reason
        super().__init__(f"these points make no curve ({reason}): check the scores that they come from")


class NotAProbability(SecmlopsError):
    """A classifier answered a score outside 0..1, or none that is a number.

    Attributes:
        model: the classifier's name.
        score: the first such score.
    """

    def __init__(self, model: str, score: float):
        self.model = model
        self.score = score
        super().__init__(f"{model} answered the score {score}: a score is a probability, 0 to 1; train it again")


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Curve(_Record):
    """Points of a curve, finite, at most `CURVE_POINTS` of them; `threshold[i]` belongs to (`x[i]`, `y[i]`)."""

    x: tuple[float, ...]
    y: tuple[float, ...]
    threshold: tuple[float, ...]


class Confusion(_Record):
    """Counts at the classifier's own threshold."""

    true_normal: int
    false_attack: int
    false_normal: int
    true_attack: int

    def rows(self) -> list[list[int]]:
        """[[normal called normal, normal called attack], [attack called normal, attack called attack]]."""
        return [[self.true_normal, self.false_attack], [self.false_normal, self.true_attack]]


class ClassRecall(_Record):
    """How many attacks of one class were given the verdict `attack`, and how many of those the right class."""

    n: int
    detected: int
    named: int

    @property
    def recall(self) -> float:
        """Share detected, 0..1."""
        return self.detected / self.n


class CalibrationBin(_Record):
    """Requests whose scores fall into one of equally wide bins."""

    n: int
    mean_score: float
    attack_share: float


class Latency(_Record):
    """Wall-clock milliseconds per request, decoding to verdict, in this process."""

    requests: int
    p50_ms: float
    p95_ms: float
    batch32_p50_ms: float
    batch32_p95_ms: float


class Evaluation(_Record):
    """One classifier on one set of labelled requests.

    Rates are 0..1. None stands for what the data cannot tell. Curves: `roc` is true-positive over false-positive
    rate, `pr` is precision over recall. `suspicious_benign_fpr` is measured on these requests, `probe_fpr` on the
    standing probes (`probes.probe_fpr`), which are no part of them; None until they were asked.
    """

    model: str
    n: int
    n_attack: int
    n_normal: int
    threshold: float
    confusion: Confusion
    recall: float | None
    precision: float | None
    f1: float | None
    balanced_accuracy: float | None
    false_positive_rate: float | None
    n_suspicious_benign: int
    suspicious_benign_fpr: float | None
    roc_auc: float | None
    average_precision: float | None
    tpr_at_fpr: dict[str, float]
    roc: Curve | None
    pr: Curve | None
    recall_by_class: dict[str, ClassRecall]
    brier_score: float
    expected_calibration_error: float
    calibration: tuple[CalibrationBin, ...]
    latency: Latency
    probe_fpr: float | None = None

    def metrics(self) -> dict[str, float]:
        """All figures by the names that policies use; finite, and absent where the data cannot tell."""
        named: dict[str, float | None] = {
            "recall": self.recall,
            "precision": self.precision,
            "f1": self.f1,
            "balanced_accuracy": self.balanced_accuracy,
            "false_positive_rate": self.false_positive_rate,
            "suspicious_benign_fpr": self.suspicious_benign_fpr,
            "probe_fpr": self.probe_fpr,
            "roc_auc": self.roc_auc,
            "average_precision": self.average_precision,
            "brier_score": self.brier_score,
            "expected_calibration_error": self.expected_calibration_error,
            "latency_p50_ms": self.latency.p50_ms,
            "latency_p95_ms": self.latency.p95_ms,
            "latency_batch32_p50_ms": self.latency.batch32_p50_ms,
            "latency_batch32_p95_ms": self.latency.batch32_p95_ms,
            **self.tpr_at_fpr,
            **{f"recall_{name}": of_class.recall for name, of_class in self.recall_by_class.items()},
        }
        return {name: value for name, value in named.items() if value is not None and math.isfinite(value)}


def evaluate(
    classifier: Classifier, records: Sequence[LabelledRequest], *, suspicious_tag: str = SUSPICIOUS_BENIGN
) -> Evaluation:
    """Measure a classifier on labelled requests.

    Args:
        classifier: scores and verdicts come from it alone.
        records: labelled requests it was not trained on.
        suspicious_tag: the tag of normal requests whose text merely looks like an attack.

    Raises:
        NothingToEvaluate: `records` is empty.
        NotAProbability: the classifier answers a score outside 0..1.
    """
    if not records:
        raise NothingToEvaluate
    answers = _score_all(classifier, [record.request for record in records])
    truth = np.array([record.is_attack for record in records])
    scores = np.array([answer.score for answer in answers], dtype=np.float64)
    outside = scores[~((scores >= 0) & (scores <= 1))]
    if len(outside):
        raise NotAProbability(classifier.name, float(outside[0]))
    flagged = np.array([answer.verdict == ATTACK for answer in answers])
    suspicious = np.array([suspicious_tag in record.tags and not record.is_attack for record in records])
    bins = _calibration(truth, scores)
    return Evaluation(
        model=classifier.name,
        n=len(records),
        n_attack=int(truth.sum()),
        n_normal=int((~truth).sum()),
        threshold=float(classifier.threshold),
        **_at_threshold(truth, flagged),
        n_suspicious_benign=int(suspicious.sum()),
        suspicious_benign_fpr=_share(flagged[suspicious]),
        **_ranking(truth, scores),
        recall_by_class=_recall_by_class(records, answers),
        brier_score=float(np.mean((scores - truth) ** 2)),
        expected_calibration_error=sum(one.n * abs(one.attack_share - one.mean_score) for one in bins) / len(records),
        calibration=bins,
        latency=measure_latency(classifier, [record.request for record in records]),
    )


def finite_curve(
    x: ArrayLike, y: ArrayLike, threshold: ArrayLike, *, points: int = CURVE_POINTS
) -> tuple[list[float], list[float], list[float]]:
    """A curve in finite numbers and few points, as Kubeflow's ROC artifact and JSON need it.

    scikit-learn's first ROC threshold is infinite ("nothing is called an attack"); here it becomes the next
    number above the highest finite one. Of more than `points` points an even choice is kept, both ends included.

    Raises:
        NotACurve: the lengths differ, there is no point, or a value is NaN or (other than a threshold) infinite.
    """
    columns = [np.asarray(column, dtype=np.float64) for column in (x, y, threshold)]
    if len({len(column) for column in columns}) != 1:
        raise NotACurve("unequal lengths")
    if not len(columns[0]):
        raise NotACurve("no points")
    xs, ys, thresholds = columns
    if not (np.isfinite(xs).all() and np.isfinite(ys).all()) or np.isnan(thresholds).any():
        raise NotACurve("a value that is not a number")
    finite = thresholds[np.isfinite(thresholds)]
    low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 1.0)
    thresholds = np.clip(thresholds, np.nextafter(low, -np.inf), np.nextafter(high, np.inf))
    if len(xs) > points:
        kept = np.unique(np.linspace(0, len(xs) - 1, points).round().astype(int))
        xs, ys, thresholds = xs[kept], ys[kept], thresholds[kept]
    return xs.tolist(), ys.tolist(), thresholds.tolist()


def tpr_at_fpr(truth: ArrayLike, scores: ArrayLike, most: float) -> float:
    """The highest true-positive rate of any threshold whose false-positive rate is at most `most`."""
    from sklearn.metrics import roc_curve

    fpr, tpr, _ = roc_curve(truth, scores, drop_intermediate=False)
    return float(tpr[fpr <= most].max())


def measure_latency(
    classifier: Classifier, requests: Sequence[HttpRequest], *, most: int = LATENCY_REQUESTS
) -> Latency:
    """Time single requests and batches of 32 after a warm-up; at most `most` requests, evenly chosen."""
    step = max(1, len(requests) // most)
    chosen = list(requests[::step])[:most]
    classifier.score(chosen[:LATENCY_BATCH])
    single = [_milliseconds(classifier, [request]) for request in chosen]
    repeated = chosen * max(1, math.ceil(LATENCY_BATCH * 10 / len(chosen)))
    batches = [repeated[i : i + LATENCY_BATCH] for i in range(0, len(repeated) - LATENCY_BATCH + 1, LATENCY_BATCH)]
    batched = [_milliseconds(classifier, batch) / LATENCY_BATCH for batch in batches]
    return Latency(
        requests=len(chosen),
        p50_ms=float(np.percentile(single, 50)),
        p95_ms=float(np.percentile(single, 95)),
        batch32_p50_ms=float(np.percentile(batched, 50)),
        batch32_p95_ms=float(np.percentile(batched, 95)),
    )


def _milliseconds(classifier: Classifier, batch: Sequence[HttpRequest]) -> float:
    started = time.perf_counter()
    classifier.score(batch)
    return (time.perf_counter() - started) * 1e3


def _score_all(classifier: Classifier, requests: Sequence[HttpRequest]) -> list[Score]:
    return [
        answer
        for start in range(0, len(requests), BATCH)
        for answer in classifier.score(requests[start : start + BATCH])
    ]


def _share(flags: np.ndarray) -> float | None:
    return float(flags.mean()) if len(flags) else None


def _at_threshold(truth: np.ndarray, flagged: np.ndarray) -> dict:
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    (tn, fp), (fn, tp) = confusion_matrix(truth, flagged, labels=[False, True]).tolist()
    precision, recall, f1, _ = precision_recall_fscore_support(truth, flagged, average="binary", zero_division=0.0)
    fpr = fp / (fp + tn) if fp + tn else None
    both = truth.any() and not truth.all()
    return {
        "confusion": Confusion(true_normal=tn, false_attack=fp, false_normal=fn, true_attack=tp),
        "recall": float(recall) if truth.any() else None,
        "precision": float(precision) if flagged.any() else None,
        "f1": float(f1) if truth.any() else None,
        "balanced_accuracy": (float(recall) + 1 - fpr) / 2 if both and fpr is not None else None,
        "false_positive_rate": fpr,
    }


def _ranking(truth: np.ndarray, scores: np.ndarray) -> dict:
    from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

    if truth.all() or not truth.any():
        return {"roc_auc": None, "average_precision": None, "tpr_at_fpr": {}, "roc": None, "pr": None}
    fpr, tpr, thresholds = roc_curve(truth, scores)
    precision, recall, levels = precision_recall_curve(truth, scores, drop_intermediate=True)
    return {
        "roc_auc": float(roc_auc_score(truth, scores)),
        "average_precision": float(average_precision_score(truth, scores)),
        "tpr_at_fpr": {name: tpr_at_fpr(truth, scores, most) for name, most in FALSE_POSITIVE_RATES.items()},
        "roc": _curve(fpr, tpr, thresholds),
        "pr": _curve(recall, precision, np.append(levels, np.inf)),
    }


def _curve(x: np.ndarray, y: np.ndarray, threshold: np.ndarray) -> Curve:
    xs, ys, thresholds = finite_curve(x, y, threshold)
    return Curve(x=tuple(xs), y=tuple(ys), threshold=tuple(thresholds))


def _recall_by_class(records: Sequence[LabelledRequest], answers: Sequence[Score]) -> dict[str, ClassRecall]:
    total: Counter[str] = Counter()
    detected: Counter[str] = Counter()
    named: Counter[str] = Counter()
    for record, answer in zip(records, answers, strict=True):
        if not record.is_attack:
            continue
        name = record.attack_class or "other"
        total[name] += 1
        detected[name] += answer.verdict == ATTACK
        named[name] += answer.verdict == ATTACK and answer.attack_class == name
    return {
        name: ClassRecall(n=count, detected=detected[name], named=named[name]) for name, count in sorted(total.items())
    }


def _calibration(truth: np.ndarray, scores: np.ndarray) -> tuple[CalibrationBin, ...]:
    """Equally wide bins over 0..1 (Guo et al., arXiv 1706.04599); empty ones are left out."""
    index = np.clip((scores * CALIBRATION_BINS).astype(int), 0, CALIBRATION_BINS - 1)
    return tuple(
        CalibrationBin(n=int(here.sum()), mean_score=float(scores[here].mean()), attack_share=float(truth[here].mean()))
        for here in (index == number for number in range(CALIBRATION_BINS))
        if here.any()
    )
