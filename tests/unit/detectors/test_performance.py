import numpy as np
import pytest
from scipy import stats

from secmlops.detectors.config import PerformanceConfig
from secmlops.detectors.detector import BadWindow
from secmlops.detectors.performance import PerformanceDrift


def pairs(rows, wrong, seed=0):
    labels = np.random.default_rng(seed).integers(0, 3, rows)
    predicted = labels.copy()
    predicted[:wrong] = (labels[:wrong] + 1) % 3
    return np.column_stack([labels, predicted])


def test_fishers_exact_test_of_late_labels():
    detector = PerformanceDrift(PerformanceConfig(), pairs(500, 25))
    data = detector.predict(pairs(100, 15, seed=1))["data"]
    wanted = stats.fisher_exact([[475, 25], [85, 15]], alternative="greater").pvalue
    assert data["p_val"] == pytest.approx(wanted)
    assert (data["is_drift"], data["accuracy"]) == (1, 0.85)
    assert data["distance"] == pytest.approx(0.10)
    low, high = data["accuracy_interval"]
    assert low < 0.85 < high
    assert detector.predict(pairs(100, 5, seed=1))["data"]["is_drift"] == 0
    assert detector.predict(pairs(100, 0, seed=1))["data"]["is_drift"] == 0, "better is no drift"


def test_f1_and_what_is_confused():
    labels = np.array([0, 0, 1, 1, 2, 2])
    predicted = np.array([0, 1, 1, 1, 2, 2])
    reference = np.column_stack([labels, labels])
    window = np.column_stack([labels, predicted])
    one = PerformanceDrift(PerformanceConfig(positive=1), reference).predict(window)["data"]
    assert one["f1"] == pytest.approx(0.8)
    assert one["confused"] == [{"label": 0, "predicted": 1, "share_change": pytest.approx(1 / 6)}]
    mean = PerformanceDrift(PerformanceConfig(), reference).predict(window)["data"]
    assert mean["f1"] == pytest.approx((2 / 3 + 0.8 + 1) / 3)
    assert mean["reference_f1"] == 1


@pytest.mark.parametrize("rows", [np.zeros((4, 2)), np.zeros((4, 3), dtype=int), np.zeros(4, dtype=int)])
def test_pairs_of_whole_numbers_are_wanted(rows):
    with pytest.raises(BadWindow, match="label and the predicted class"):
        PerformanceDrift(PerformanceConfig(), rows)
