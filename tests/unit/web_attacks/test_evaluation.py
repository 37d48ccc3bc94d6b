import math
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secmlops.web_attacks.classifier import Score
from secmlops.web_attacks.dataset import LabelledRequest
from secmlops.web_attacks.evaluation import (
    CURVE_POINTS,
    Evaluation,
    NotACurve,
    NotAProbability,
    NothingToEvaluate,
    evaluate,
    finite_curve,
    tpr_at_fpr,
)
from secmlops.web_attacks.probes import PROBES, probe_fpr
from secmlops.web_attacks.request import HttpRequest


@dataclass
class ScoresInTheUri:
    """Answers the number after `?`; `c=` names the class it believes in."""

    name: str = "toy"
    threshold: float = 0.5
    batches: list[int] = field(default_factory=list)

    def score(self, requests):
        self.batches.append(len(requests))
        return [self._one(request.uri) for request in requests]

    def _one(self, uri):
        number, _, attack_class = uri[2:].partition("&c=")
        score = float(number)
        if score >= self.threshold:
            return Score(score, "attack", attack_class or "sqli", "query:q", "")
        return Score(score, "normal", "", "", "")


def record(score, label, attack_class="", tags=(), believed=""):
    uri = f"/?{score}" + (f"&c={believed}" if believed else "")
    return LabelledRequest(HttpRequest("GET", uri), label, attack_class, tags=tags)


RECORDS = [
    record(0.9, "attack", "sqli"),
    record(0.8, "attack", "sqli", believed="xss"),
    record(0.3, "attack", "xss"),
    record(0.7, "attack", "xss", believed="xss"),
    record(0.1, "normal"),
    record(0.2, "normal"),
    record(0.6, "normal", tags=("suspicious_benign",)),
    record(0.4, "normal", tags=("suspicious_benign",)),
]


def test_the_figures_are_what_counting_by_hand_gives():
    evaluation = evaluate(ScoresInTheUri(), RECORDS)
    assert evaluation.confusion.rows() == [[3, 1], [1, 3]]
    metrics = evaluation.metrics()
    assert metrics["recall"] == metrics["precision"] == metrics["f1"] == 0.75
    assert metrics["false_positive_rate"] == 0.25
    assert metrics["balanced_accuracy"] == 0.75
    assert metrics["suspicious_benign_fpr"] == 0.5
    assert metrics["recall_sqli"] == 1.0
    assert metrics["recall_xss"] == 0.5
    # 16 pairs of attack and normal; the attack at .3 ranks below the normals at .6 and .4
    assert metrics["roc_auc"] == pytest.approx(14 / 16)
    assert metrics["tpr_at_1pct_fpr"] == metrics["tpr_at_0_2pct_fpr"] == 0.75
    assert metrics["brier_score"] == pytest.approx(np.mean([0.01, 0.04, 0.49, 0.09, 0.01, 0.04, 0.36, 0.16]))
    assert (evaluation.recall_by_class["sqli"].detected, evaluation.recall_by_class["sqli"].named) == (2, 1)


def test_the_record_survives_json():
    evaluation = evaluate(ScoresInTheUri(), RECORDS)
    assert Evaluation.model_validate_json(evaluation.model_dump_json()) == evaluation


def test_metrics_are_finite_numbers_named_like_the_policy():
    metrics = evaluate(ScoresInTheUri(), RECORDS).metrics()
    assert {
        "tpr_at_1pct_fpr",
        "tpr_at_0_2pct_fpr",
        "false_positive_rate",
        "recall",
        "f1",
        "balanced_accuracy",
        "roc_auc",
        "average_precision",
        "suspicious_benign_fpr",
        "expected_calibration_error",
        "brier_score",
        "latency_p50_ms",
        "latency_p95_ms",
    } <= metrics.keys()
    assert all(isinstance(value, float) and math.isfinite(value) for value in metrics.values())


def test_what_only_attacks_cannot_tell_is_absent():
    metrics = evaluate(ScoresInTheUri(), RECORDS[:4]).metrics()
    assert metrics["recall"] == 0.75
    absent = {"false_positive_rate", "balanced_accuracy", "roc_auc", "suspicious_benign_fpr", "tpr_at_1pct_fpr"}
    assert not absent & metrics.keys()


def test_what_only_normals_cannot_tell_is_absent():
    metrics = evaluate(ScoresInTheUri(), RECORDS[4:6]).metrics()
    assert metrics["false_positive_rate"] == 0.0
    assert not {"recall", "f1", "precision", "roc_auc", "suspicious_benign_fpr", "recall_sqli"} & metrics.keys()


def test_the_tag_on_an_attack_does_not_count_as_suspicious_benign():
    records = [*RECORDS[:2], record(0.9, "attack", "sqli", tags=("suspicious_benign",)), RECORDS[4]]
    assert evaluate(ScoresInTheUri(), records).suspicious_benign_fpr is None


def test_no_records_is_an_error():
    with pytest.raises(NothingToEvaluate):
        evaluate(ScoresInTheUri(), [])


@pytest.mark.parametrize("score", ["nan", "1.5", "-0.1", "inf"])
def test_a_score_that_is_no_probability_is_an_error(score):
    with pytest.raises(NotAProbability) as caught:
        evaluate(ScoresInTheUri(), [*RECORDS, record(score, "normal")])
    assert caught.value.model == "toy"


def test_perfectly_calibrated_scores_have_no_calibration_error():
    records = [record(0.25, "attack" if index % 4 == 0 else "normal", "sqli") for index in range(40)]
    assert evaluate(ScoresInTheUri(), records).expected_calibration_error == pytest.approx(0.0)


def test_confident_and_wrong_is_a_calibration_error_of_one():
    records = [record(1.0, "normal"), record(0.0, "attack", "sqli")]
    assert evaluate(ScoresInTheUri(), records).expected_calibration_error == pytest.approx(1.0)


def test_the_first_infinite_threshold_becomes_the_next_number_above_the_highest():
    _, _, thresholds = finite_curve([0, 0.5, 1], [0, 1, 1], [np.inf, 0.9, 0.1])
    assert thresholds[0] > 0.9
    assert thresholds[0] == pytest.approx(0.9)
    assert all(math.isfinite(value) for value in thresholds)


def test_a_curve_of_one_infinite_threshold_is_finite():
    assert finite_curve([0], [0], [np.inf]) == ([0.0], [0.0], [pytest.approx(1.0)])


def test_long_curves_keep_their_ends():
    x = np.linspace(0, 1, 5000)
    xs, ys, thresholds = finite_curve(x, x, 1 - x)
    assert len(xs) == len(ys) == len(thresholds) == CURVE_POINTS
    assert (xs[0], xs[-1]) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        (([0, 1], [0, 1], [1]), "unequal lengths"),
        (([], [], []), "no points"),
        (([0, np.nan], [0, 1], [1, 0]), "a value that is not a number"),
        (([0, np.inf], [0, 1], [1, 0]), "a value that is not a number"),
        (([0, 1], [0, 1], [np.nan, 0]), "a value that is not a number"),
    ],
)
def test_what_is_no_curve_is_refused(columns, reason):
    with pytest.raises(NotACurve) as caught:
        finite_curve(*columns)
    assert caught.value.reason == reason


@given(
    pairs=st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.2, 0.5, 0.9, 1.0])), min_size=2).filter(
        lambda pairs: len({truth for truth, _ in pairs}) == 2
    ),
    most=st.sampled_from([0.0, 0.002, 0.01, 0.3, 1.0]),
)
def test_tpr_at_fpr_is_the_best_of_all_thresholds(pairs, most):
    truth = np.array([truth for truth, _ in pairs])
    scores = np.array([score for _, score in pairs])
    best = max(
        np.mean(scores[truth] >= threshold)
        for threshold in [*scores, 2.0]
        if np.mean(scores[~truth] >= threshold) <= most
    )
    assert tpr_at_fpr(truth, scores, most) == pytest.approx(best)


def test_latency_is_measured_singly_and_in_batches_of_32():
    classifier = ScoresInTheUri()
    latency = evaluate(classifier, RECORDS).latency
    assert latency.requests == len(RECORDS)
    assert {1, 32} <= set(classifier.batches)
    assert 0 < latency.p50_ms <= latency.p95_ms


def test_suspicious_requests_of_the_data_and_standing_probes_are_two_figures():
    """However few the data holds, a figure from generated text never stands in their place."""
    evaluation = evaluate(ScoresInTheUri(), RECORDS)
    assert evaluation.n_suspicious_benign < 50
    assert "probe_fpr" not in evaluation.metrics()
    probed = evaluation.model_copy(update={"probe_fpr": 0.25}).metrics()
    assert (probed["suspicious_benign_fpr"], probed["probe_fpr"]) == (0.5, 0.25)


def test_the_probes_are_harmless_and_the_same_for_everybody():
    class Afraid:
        """Calls every request with a quote an attack."""

        name, threshold = "afraid", 0.5

        def score(self, requests):
            asked.append(list(requests))
            return [
                Score(0.9, "attack" if "%27" in r.uri or b"%27" in r.body else "normal", "", "", "") for r in requests
            ]

    asked: list = []
    first, again = probe_fpr(Afraid()), probe_fpr(Afraid())
    assert 0 < first == again < 1
    assert asked[0] == asked[1]
    assert len(asked[0]) == PROBES
