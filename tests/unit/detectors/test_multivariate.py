import numpy as np
import pytest
from scipy import stats

from secmlops.detectors import kernels
from secmlops.detectors.classifier_drift import ClassifierDrift
from secmlops.detectors.config import ClassifierDriftConfig, LsddConfig, MmdConfig
from secmlops.detectors.detector import BadWindow
from secmlops.detectors.lsdd import LsddDrift
from secmlops.detectors.mmd import MmdDrift
from secmlops.detectors.permutations import permutation_test, relabellings

DETECTORS = [(MmdDrift, MmdConfig), (LsddDrift, LsddConfig), (ClassifierDrift, ClassifierDriftConfig)]


def rows(count, seed, shift=0.0, features=5):
    return np.random.default_rng(seed).normal(size=(count, features)) + shift


def mmd_by_definition(x, y, sigma):
    def kernel(a, b):
        return np.exp(-((a[:, None] - b[None]) ** 2).sum(-1) / (2 * sigma**2))

    n, m = len(x), len(y)
    within = [(kernel(z, z).sum() - len(z)) / (len(z) * (len(z) - 1)) for z in (x, y)]
    return sum(within) - 2 * kernel(x, y).sum() / (n * m)


def test_mmd_and_each_of_its_permutations_follow_the_definition(monkeypatch):
    monkeypatch.setattr(kernels, "BLOCK_BYTES", 8 * 1000)  # many blocks, a short one among them
    x, y = rows(60, 0), rows(23, 1, 0.3)
    detector = MmdDrift(MmdConfig(n_permutations=20), x)
    labels = relabellings(83, y, 20, detector.config.seed)
    pooled = np.concatenate([x, y])
    wanted = [mmd_by_definition(pooled[each == 0], pooled[each == 1], detector.sigmas[0]) for each in labels]
    found = detector._squared_discrepancies(pooled, labels)
    assert found == pytest.approx(wanted, abs=1e-12)
    assert detector.predict(y)["data"]["distance"] == pytest.approx(wanted[0], abs=1e-12)


def test_several_bandwidths_are_averaged():
    x, y = rows(40, 0), rows(30, 1)
    distance = MmdDrift(MmdConfig(sigma=(0.5, 2.0)), x).predict(y)["data"]["distance"]
    assert distance == pytest.approx((mmd_by_definition(x, y, 0.5) + mmd_by_definition(x, y, 2.0)) / 2)


def test_the_bandwidth_is_the_median_distance():
    x = rows(41, 0)
    pairs = ((x[:, None] - x[None]) ** 2).sum(-1)[np.triu_indices(41, 1)]
    assert kernels.median_bandwidth(x)[0] == pytest.approx(np.sqrt(np.sort(pairs)[(len(pairs) - 1) // 2] / 2))
    assert kernels.median_bandwidth(rows(2500, 0))[0] == pytest.approx(np.sqrt(stats.chi2.median(5)), rel=0.02)


def test_relabellings_keep_the_sizes_and_start_with_the_truth():
    window = rows(20, 0)
    labels = relabellings(50, window, 200, 3)
    assert (labels.sum(axis=1) == 20).all()
    assert labels[0, 30:].all()
    assert abs(labels[1:].mean(axis=0) - 0.4).max() < 0.15
    assert (relabellings(50, window.copy(), 200, 3) == labels).all()
    assert (relabellings(50, window, 200, 4) != labels).any()
    assert (relabellings(50, window + 1, 200, 3) != labels).any()


def test_the_p_value_counts_the_truth_itself():
    test = permutation_test(np.array([5.0, 1, 2, 5, 7]), 0.3)
    assert (test.p_val, test.distance, test.distance_threshold) == (3 / 5, 5, 5)
    assert permutation_test(np.array([9.0, 1, 2, 5, 7]), 0.3).p_val == 1 / 5


@pytest.mark.parametrize(("detector", "config"), DETECTORS)
def test_false_alarms_keep_the_level_and_drift_is_seen(detector, config):
    settings = {"n_permutations": 60}
    alarms = sum(
        detector(config(seed=seed, **settings), rows(80, seed)).predict(rows(40, 1000 + seed))["data"]["is_drift"]
        for seed in range(100)
    )
    assert alarms <= stats.binom.ppf(0.999, 100, 0.05)
    seen = [
        detector(config(seed=seed, **settings), rows(200, seed)).predict(rows(100, 1000 + seed, 0.4))["data"]
        for seed in range(10)
    ]
    assert sum(data["is_drift"] for data in seen) >= 9
    assert all(data["p_val"] < data["threshold"] for data in seen if data["is_drift"])


@pytest.mark.parametrize(("detector", "config"), DETECTORS)
def test_the_same_window_gives_the_same_answer(detector, config):
    built = detector(config(), rows(100, 0))
    first, second = built.predict(rows(50, 1))["data"], built.predict(rows(50, 1))["data"]
    assert (first["distance"], first["p_val"]) == (second["distance"], second["p_val"])


def test_classifier_drift_sees_a_change_that_leaves_the_means_alone_and_says_which_rows():
    generator = np.random.default_rng(0)
    reference, window = rows(400, 0), rows(200, 1)
    moved = generator.random(200) < 0.5
    window[moved] *= 3
    data = ClassifierDrift(ClassifierDriftConfig(), reference).predict(window)["data"]
    assert data["is_drift"] == 1
    assert data["probs_test"][moved].mean() > data["probs_test"][~moved].mean() + 0.05
    assert data["probs_ref"].shape == (400,)


def test_many_features_and_constant_ones():
    reference, window = np.zeros((80, 300)), np.zeros((40, 300))
    reference[:, :290], window[:, :290] = rows(80, 0, features=290), rows(40, 1, 0.3, features=290)
    for detector, config in DETECTORS:
        assert np.isfinite(detector(config(), reference).predict(window)["data"]["distance"])
    assert ClassifierDrift(ClassifierDriftConfig(), reference).predict(window)["data"]["is_drift"] == 1


def test_lsdd_needs_rows_beside_its_centres_and_rows_that_differ():
    with pytest.raises(BadWindow, match="too few for 9 centres"):
        LsddDrift(LsddConfig(n_kernel_centers=9), rows(10, 0))
    assert LsddDrift(LsddConfig(), np.ones((40, 3))).predict(np.ones((20, 3)))["data"]["is_drift"] == 0
    with pytest.raises(BadWindow, match="features"):
        LsddDrift(LsddConfig(), rows(40, 0)).predict(np.zeros((5, 2)))
