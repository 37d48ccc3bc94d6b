"""Both engines on the same data: same decision, same distance, same p-value or one within the permutations' error."""

import subprocess
import sys

import numpy as np
import pytest

from secmlops.detectors import alibi, opening
from secmlops.detectors.config import (
    ChiSquareConfig,
    ClassifierDriftConfig,
    CvmConfig,
    KsConfig,
    LsddConfig,
    MmdConfig,
    OnlineCvmConfig,
    OnlineMmdConfig,
    PerformanceConfig,
    PredictionConfig,
    TabularConfig,
    UncertaintyConfig,
)
from secmlops.detectors.detector import BadWindow
from secmlops.detectors.lsdd import LsddDrift
from secmlops.detectors.opening import open_detector
from secmlops.detectors.storage import detector_files, load_detector

needs_alibi = pytest.mark.skipif(not alibi.installed(), reason="alibi-detect is not installed: secmlops[detectors]")
PERMUTATIONS = 200
GENERATOR = np.random.default_rng(0)
NUMBERS = GENERATOR.normal(size=(400, 3))
CATEGORIES = GENERATOR.integers(0, 4, size=(400, 3))
MIXED = np.column_stack([NUMBERS[:, :2], CATEGORIES[:, :1]])
PROBABILITIES = GENERATOR.dirichlet([2, 1, 1], 400)


def shifted(data):
    if data.dtype.kind == "i":
        return np.minimum(data, 2)
    return data[:, ::-1] if data is PROBABILITIES else data + 0.7


EXACT = [
    (KsConfig(), NUMBERS),
    (KsConfig(correction="fdr"), NUMBERS),
    (CvmConfig(), NUMBERS),
    (ChiSquareConfig(), CATEGORIES),
    (TabularConfig(categorical=(2,)), MIXED),
    (PredictionConfig(), PROBABILITIES),
    (UncertaintyConfig(), PROBABILITIES),
]


@needs_alibi
@pytest.mark.parametrize("drifted", [False, True])
@pytest.mark.parametrize(("config", "data"), EXACT)
def test_tests_per_feature_agree(config, data, drifted):
    window = data[300:] if not drifted else shifted(data)[300:]
    theirs, ours = (open_detector(config, data[:300], engine).predict(window) for engine in ("alibi", "native"))
    assert theirs["data"]["is_drift"] == ours["data"]["is_drift"]
    assert theirs["data"].keys() == ours["data"].keys()
    assert theirs["meta"].keys() == ours["meta"].keys()
    assert np.allclose(theirs["data"]["distance"], ours["data"]["distance"], rtol=1e-6, atol=1e-5)
    assert np.allclose(theirs["data"]["p_val"], ours["data"]["p_val"], rtol=1e-5, atol=1e-7)
    assert [each["feature"] for each in theirs["data"]["moved"]] == [each["feature"] for each in ours["data"]["moved"]]
    assert theirs["data"]["threshold"] == pytest.approx(ours["data"]["threshold"])


def same_within_chance(theirs, ours):
    share = (theirs + ours) / 2
    return abs(theirs - ours) <= 4 * np.sqrt(2 * share * (1 - share) / PERMUTATIONS) + 1 / (PERMUTATIONS + 1)


@needs_alibi
@pytest.mark.parametrize("shift", [0.0, 0.1, 0.5])
def test_mmd_agrees(shift):
    config = MmdConfig(n_permutations=PERMUTATIONS)
    answers = [
        open_detector(config, NUMBERS[:300], engine).predict(NUMBERS[300:] + shift)["data"]
        for engine in ("alibi", "native")
    ]
    theirs, ours = answers
    assert abs(theirs["distance"] - ours["distance"]) < 1e-5
    assert same_within_chance(theirs["p_val"], ours["p_val"])
    assert theirs["is_drift"] == ours["is_drift"]
    assert theirs.keys() == ours.keys()


@needs_alibi
@pytest.mark.parametrize("shift", [0.0, 0.1, 0.5])
def test_lsdd_agrees_around_the_same_centres(shift):
    config = LsddConfig(n_permutations=PERMUTATIONS)
    peer = open_detector(config, NUMBERS[:300], "alibi")
    around = peer.detector._detector._unnormalize(peer.detector._detector.kernel_centers)
    centers = np.array([np.abs(NUMBERS[:300] - row).sum(axis=1).argmin() for row in around])
    theirs = peer.predict(NUMBERS[300:] + shift)["data"]
    ours = LsddDrift(config, NUMBERS[:300], centers).predict(NUMBERS[300:] + shift)["data"]
    assert abs(theirs["distance"] - ours["distance"]) < 1e-5
    assert same_within_chance(theirs["p_val"], ours["p_val"])
    assert theirs["is_drift"] == ours["is_drift"]
    assert theirs.keys() == ours.keys()


@needs_alibi
def test_alibis_detectors_are_saved_without_code_and_rebuilt_equal():
    for config in (MmdConfig(n_permutations=20), LsddConfig(n_permutations=20), KsConfig()):
        detector = open_detector(config, NUMBERS[:300], "alibi")
        again = load_detector(detector_files(detector))
        one, other = (each.predict(NUMBERS[300:])["data"] for each in (detector, again))
        assert np.allclose(one["distance"], other["distance"], rtol=0, atol=1e-6)
        assert np.allclose(one["p_val"], other["p_val"], rtol=0, atol=1e-6)
        assert again.meta["backend"] == "alibi"


@needs_alibi
def test_alibis_stream_goes_on_after_a_restart_and_keeps_no_log():
    config = OnlineMmdConfig(ert=20, window_size=5, n_bootstraps=100)
    detector = open_detector(config, NUMBERS[:60], "alibi")
    for row in NUMBERS[60:80]:
        detector.predict(row)
    again = load_detector(detector_files(detector))
    for row in NUMBERS[80:90]:
        one, other = detector.predict(row)["data"], again.predict(row)["data"]
        assert one["test_stat"] == pytest.approx(other["test_stat"], abs=1e-6)
        assert (one["time"], one["threshold"]) == (other["time"], pytest.approx(other["threshold"]))
    assert len(detector.detector.test_stats) == 0


@needs_alibi
def test_performance_and_the_online_configs_open_with_either_engine():
    assert open_detector(PerformanceConfig(), CATEGORIES[:, :2], "alibi").meta["backend"] == "native"
    assert open_detector(ClassifierDriftConfig(), NUMBERS, "alibi").meta["name"].startswith("ClassifierDrift")
    with pytest.raises(BadWindow):
        open_detector(OnlineCvmConfig(window_sizes=(5,), n_bootstraps=100), np.full((20, 2), np.nan), "alibi")


@needs_alibi
def test_global_generators_are_left_alone():
    np.random.seed(1)
    state = np.random.get_state()[1].copy()
    open_detector(MmdConfig(n_permutations=5), NUMBERS[:50], "alibi").predict(NUMBERS[50:80])
    assert (np.random.get_state()[1] == state).all()


def test_without_alibi_the_default_is_native_and_asking_for_it_names_the_extra(monkeypatch):
    monkeypatch.setattr(alibi, "installed", lambda: False)
    assert open_detector(MmdConfig(), NUMBERS).meta["backend"] == "native"
    with pytest.raises(alibi.AlibiMissing, match=r"secmlops\[detectors\]"):
        open_detector(MmdConfig(), NUMBERS, "alibi")
    monkeypatch.setattr(alibi, "installed", lambda: True)
    assert opening.default_engine() == "alibi"


def test_the_native_engine_imports_neither_alibi_nor_torch():
    code = (
        "import sys, numpy as np; from secmlops.detectors.opening import open_detector;"
        "from secmlops.detectors.config import MmdConfig; import secmlops.detectors.storage;"
        "open_detector(MmdConfig(), np.eye(20), 'native').predict(np.eye(20));"
        "print(*sorted({'alibi_detect', 'torch', 'sklearn'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""
