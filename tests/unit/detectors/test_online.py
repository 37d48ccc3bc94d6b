import numpy as np
import pytest
from scipy import stats

from secmlops.detectors import online_cvm
from secmlops.detectors.config import OnlineCvmConfig, OnlineMmdConfig
from secmlops.detectors.detector import BadWindow
from secmlops.detectors.online_cvm import OnlineCvmDrift
from secmlops.detectors.online_mmd import OnlineMmdDrift, _sums_of_squares_along
from secmlops.detectors.storage import InvalidDetector, resume_stream, stream_bytes

ERT = 60.0
REFERENCE = np.random.default_rng(0).normal(size=(400, 2))


@pytest.fixture(scope="module")
def detectors():
    return {
        "mmd": OnlineMmdDrift(OnlineMmdConfig(ert=ERT, window_size=10, n_bootstraps=1000), REFERENCE),
        "cvm": OnlineCvmDrift(OnlineCvmConfig(ert=ERT, window_sizes=(5, 20), n_bootstraps=4000), REFERENCE),
    }


def run_length(detector, generator, shift=0.0, longest=2000):
    detector.reset()
    for time in range(1, longest):
        if detector.predict(generator.normal(size=2) + shift)["data"]["is_drift"]:
            return time
    return longest


@pytest.mark.parametrize("kind", ["mmd", "cvm"])
def test_streams_without_drift_run_as_long_as_expected_and_drift_stops_them(detectors, kind):
    generator = np.random.default_rng(1)
    lengths = [run_length(detectors[kind], generator) for _ in range(60)]
    # Geometric: the mean of 60 lies within these with 99.9 %, and a third more for the one reference.
    assert ERT * 0.45 < np.mean(lengths) < ERT * 2
    assert np.mean([run_length(detectors[kind], generator, 1.5) for _ in range(20)]) < 12


@pytest.mark.parametrize("kind", ["mmd", "cvm"])
def test_a_stream_goes_on_after_a_restart(detectors, kind):
    detector = detectors[kind]
    detector.reset()
    rows = np.random.default_rng(2).normal(size=(60, 2))
    for row in rows[:30]:
        detector.predict(row)
    saved = stream_bytes(detector)
    unbroken = [detector.predict(row)["data"]["test_stat"] for row in rows[30:]]
    detector.reset()
    resume_stream(detector, saved)
    again = [detector.predict(row)["data"] for row in rows[30:]]
    assert np.allclose(unbroken, [each["test_stat"] for each in again], atol=1e-12)
    assert again[-1]["time"] == 60
    assert len(saved) < 2000


def test_another_detectors_stream_is_refused(detectors):
    with pytest.raises(InvalidDetector):
        resume_stream(detectors["mmd"], b"nothing")
    wide = OnlineCvmDrift(OnlineCvmConfig(ert=ERT, window_sizes=(5,), n_bootstraps=200), np.ones((40, 3)).cumsum(0))
    wide.predict(np.zeros(3))
    with pytest.raises(InvalidDetector, match="another window"):
        resume_stream(detectors["cvm"], stream_bytes(wide))


def test_the_cvm_statistic_is_scipys_normalized():
    generator = np.random.default_rng(3)
    reference, window = generator.normal(size=50), generator.normal(size=12)
    n, m = 50, 12
    mean = (1 + 1 / 62) / 6
    variance = 63 * (4 * n * m * 62 - 3 * (n**2 + m**2) - 2 * n * m) / (45 * 62**2 * 4 * n * m)
    wanted = (stats.cramervonmises_2samp(reference, window).statistic - mean) / np.sqrt(variance)
    assert online_cvm._cramer_von_mises(np.sort(reference), window) == pytest.approx(wanted)
    ranks = np.sort(np.searchsorted(np.sort(reference), window))[None]
    assert online_cvm._of_ranks(ranks, n)[0] == pytest.approx(wanted)


def test_sums_of_squares_along_the_diagonal():
    kernel = np.random.default_rng(0).normal(size=(7, 7))
    wanted = [kernel[at : at + 3, at : at + 3].sum() for at in range(5)]
    assert _sums_of_squares_along(kernel, 3) == pytest.approx(wanted)


def test_the_simulated_statistic_is_the_one_of_a_stream_that_begins_there():
    config = OnlineMmdConfig(ert=ERT, window_size=6, n_bootstraps=100)
    detector = OnlineMmdDrift(config, REFERENCE[:60])
    rows = REFERENCE[:60].astype(float)
    stream = np.random.default_rng(5).permutation(60)[:11]
    found = detector._simulated(rows, stream[None])[0]
    kept, window = np.delete(rows, stream, axis=0), rows[stream[2:8]]

    def kernel(a, b):
        return np.exp(-((a[:, None] - b[None]) ** 2).sum(-1) / (2 * detector._sigma[0] ** 2))

    within = [(kernel(z, z).sum() - len(z)) / (len(z) * (len(z) - 1)) for z in (kept, window)]
    assert found[2] == pytest.approx(sum(within) - 2 * kernel(kept, window).mean())


def test_a_short_reference_is_refused():
    with pytest.raises(BadWindow, match="at least 80"):
        OnlineMmdDrift(OnlineMmdConfig(), REFERENCE[:79])
    with pytest.raises(BadWindow, match="at least 40"):
        OnlineCvmDrift(OnlineCvmConfig(), REFERENCE[:39])
