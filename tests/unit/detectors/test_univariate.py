import numpy as np
import pytest
from scipy import stats

from secmlops.detectors.config import (
    ChiSquareConfig,
    CvmConfig,
    KsConfig,
    PredictionConfig,
    TabularConfig,
    UncertaintyConfig,
)
from secmlops.detectors.detector import BadWindow, Detector
from secmlops.detectors.univariate import UnivariateDrift, corrected


def numbers(rows=200, features=4, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, features))


@pytest.mark.parametrize("decimals", [8, 0], ids=["continuous", "ties"])
@pytest.mark.parametrize(
    ("config", "oracle"),
    [
        (KsConfig(), lambda a, b: stats.ks_2samp(a, b, method="asymp")),
        (CvmConfig(), lambda a, b: stats.cramervonmises_2samp(a, b)),
        (ChiSquareConfig(), lambda a, b: stats.chi2_contingency(stats.contingency.crosstab(
            np.r_[np.zeros(len(a)), np.ones(len(b))], np.r_[a, b]).count)),
    ],
)  # fmt: skip
def test_each_feature_has_scipys_test(config, oracle, decimals):
    if config.kind == "chi_square":
        decimals = 0
    reference, window = numbers().round(decimals), (numbers(90, seed=1) * 1.3).round(decimals)
    data = UnivariateDrift(config, reference).predict(window)["data"]
    for column in range(4):
        wanted = oracle(reference[:, column], window[:, column])
        assert data["p_val"][column] == pytest.approx(wanted.pvalue, rel=1e-9)
        assert data["distance"][column] == pytest.approx(wanted.statistic, rel=1e-9)


def test_what_moved_is_named_with_how_far():
    reference, window = numbers(400), numbers(400, seed=1)
    window[:, 2] = window[:, 2] * 2 + 1.5
    config = KsConfig(names=("a", "b", "c", "d"))
    answer = UnivariateDrift(config, reference).predict(window)
    assert answer["data"]["is_drift"] == 1
    (moved,) = answer["data"]["moved"]
    assert moved["feature"] == "c"
    assert moved["shift"] == pytest.approx(1.5 / np.sqrt(2.5), abs=0.2)
    assert moved["spread"] == pytest.approx(2, abs=0.3)
    assert moved["association"] is None
    assert answer["meta"]["detector_type"] == "drift"


def test_categories_tell_association_and_the_one_that_grew():
    generator = np.random.default_rng(0)
    reference = np.column_stack([generator.normal(size=500), generator.integers(0, 3, 500)])
    window = np.column_stack([generator.normal(size=300), generator.choice(3, 300, p=[0.2, 0.2, 0.6])])
    (moved,) = UnivariateDrift(TabularConfig(categorical=(1,)), reference).predict(window)["data"]["moved"]
    assert (moved["feature"], moved["most"]) == ("1", 2)
    assert moved["share_change"] == pytest.approx(0.27, abs=0.08)
    assert 0.15 < moved["association"] < 0.4
    assert moved["shift"] is None


def test_a_category_never_seen_before_is_drift():
    reference, window = np.zeros((100, 1), dtype=int), np.zeros((100, 1), dtype=int)
    detector = UnivariateDrift(ChiSquareConfig(), reference)
    assert detector.predict(window)["data"]["is_drift"] == 0
    window[:20] = 7
    data = detector.predict(window)["data"]
    assert (data["is_drift"], data["moved"][0]["most"]) == (1, 7)


@pytest.mark.parametrize(
    ("p_val", "bonferroni", "fdr"),
    [
        ([0.01, 0.02, 0.03, 0.2], 0.0125, 0.0375),
        ([0.013, 0.2, 0.3, 0.4], 0.0125, 0.0125),
        ([0.04, 0.04, 0.04, 0.04], 0.0125, 0.05),
    ],
)
def test_corrections_are_the_textbooks(p_val, bonferroni, fdr):
    assert corrected(np.array(p_val), 0.05, "bonferroni") == pytest.approx(bonferroni)
    assert corrected(np.array(p_val), 0.05, "fdr") == pytest.approx(fdr)


@pytest.mark.parametrize("correction", ["bonferroni", "fdr"])
def test_false_alarms_keep_the_level(correction):
    detector = UnivariateDrift(KsConfig(correction=correction), numbers(500, 8))
    alarms = sum(detector.predict(numbers(100, 8, seed=seed))["data"]["is_drift"] for seed in range(1, 201))
    # One reference for all windows: its own chance adds to the binomial's.
    assert alarms <= stats.binom.ppf(0.999, 200, 0.05) + 6


def test_predictions_and_doubt_move_without_labels():
    generator = np.random.default_rng(0)
    sure, doubtful = generator.dirichlet([5, 0.3, 0.3], 300), generator.dirichlet([1, 1, 1], 300)
    again = generator.dirichlet([5, 0.3, 0.3], 300)
    for config in (PredictionConfig(), UncertaintyConfig()):
        detector = UnivariateDrift(config, sure)
        assert detector.predict(doubtful)["data"]["is_drift"] == 1
        assert detector.predict(again)["data"]["is_drift"] == 0
    moved = UnivariateDrift(UncertaintyConfig(), sure).predict(doubtful)["data"]["moved"]
    assert moved[0]["shift"] > 1
    two = UnivariateDrift(PredictionConfig(), np.column_stack([sure[:, 0], 1 - sure[:, 0]]))
    assert len(two.predict(np.column_stack([again[:, 0], 1 - again[:, 0]]))["data"]["p_val"]) == 2


def test_a_detector_is_one():
    assert isinstance(UnivariateDrift(KsConfig(), numbers()), Detector)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.full((5, 4), np.nan), "not finite"),
        (np.zeros((5, 3)), "3 features and the reference 4"),
        (np.zeros((1, 4)), "at least 2"),
        (np.array([["a"] * 4] * 5), "not numbers"),
        (np.float64(3), "at least 2"),
    ],
)
def test_rows_that_cannot_be_judged(rows, message):
    with pytest.raises(BadWindow, match=message):
        UnivariateDrift(KsConfig(), numbers()).predict(rows)


def test_probabilities_must_be_some_and_columns_must_exist():
    with pytest.raises(BadWindow, match="sum to one"):
        UnivariateDrift(UncertaintyConfig(), np.ones((5, 3)))
    with pytest.raises(BadWindow, match="column 9"):
        UnivariateDrift(TabularConfig(categorical=(9,)), numbers())
