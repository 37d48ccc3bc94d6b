import base64

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from secmlops.detectors.changes import IMAGE_CHANGES, NUMBER_CHANGES, shifted
from secmlops.detectors.config import MmdConfig, OnlineMmdConfig
from secmlops.detectors.detector import BadWindow
from secmlops.detectors.evaluation import (
    FalseAlarms,
    allowed,
    detection_picture,
    detections,
    false_alarms,
    roc,
    roc_picture,
    run_lengths,
)
from secmlops.detectors.opening import open_detector
from tests.unit.robustness.small import digits

GENERATOR = np.random.default_rng(0)
NUMBERS = GENERATOR.normal(size=(3000, 3))
DETECTOR = open_detector(MmdConfig(n_permutations=60), NUMBERS[:300], "native")
CLEAN = NUMBERS[300:]


class Alarmed:
    """Gives an alarm when a value above 100 is in the window."""

    def __init__(self):
        self.meta, self.seen = {}, []

    def predict(self, x):
        self.seen.append(x)
        return {"data": {"is_drift": int((x > 100).any())}, "meta": {}}


def test_false_alarms_are_counted_on_disjoint_windows_and_held_to_the_binomial_bound():
    peer = Alarmed()
    clean = np.arange(100.0, 1100.0)[:, None]
    found = false_alarms(peer, clean, rows=10, level=0.05, windows=100)
    assert found.windows == 100
    assert found.alarms >= 99
    assert not found.kept
    assert len(np.unique(np.concatenate(peer.seen))) == 1000
    assert FalseAlarms(windows=200, alarms=10, level=0.05, allowed=18, rows=50).per_day(100_000) == pytest.approx(100)
    assert allowed(200, 0.05) == 18
    assert false_alarms(peer, clean[:20], rows=15, level=0.05, windows=30).windows == 30
    with pytest.raises(BadWindow, match="do not fill"):
        false_alarms(peer, clean[:5], rows=10, level=0.05)


def test_a_real_detector_keeps_its_rate():
    assert false_alarms(DETECTOR, CLEAN, rows=50, level=0.05, windows=50).kept


def test_drift_is_found_the_sooner_the_larger_it_is():
    table = detections(DETECTOR, CLEAN, NUMBER_CHANGES, rows=60, sizes=(0.0, 1.0), streams=4, patience=3)
    assert [row.change for row in table[::2]] == list(NUMBER_CHANGES)
    none, large = [row for row in table if row.change == "shifted"]
    assert none.rate < 0.4
    assert large.rate == 1
    assert 0 < large.delay_rows <= 120


def test_the_delay_runs_from_the_change_to_the_end_of_the_window_with_the_alarm():
    peer = Alarmed()

    def change(rows, size, generator):
        return rows + 200

    (row,) = detections(peer, np.zeros((40, 1)), {"up": change}, rows=10, sizes=(1.0,), streams=30, patience=2)
    assert row.rate == 1
    assert 1 <= row.delay_rows <= 10
    (never,) = detections(peer, np.zeros((40, 1)), {"none": shifted}, rows=10, sizes=(1.0,), streams=3, patience=2)
    assert (never.rate, never.delay_rows) == (0, None)


def test_run_lengths_of_an_online_detector():
    config = OnlineMmdConfig(ert=40, window_size=8, n_bootstraps=400)
    detector = open_detector(config, NUMBERS[:300], "native")
    nothing, small, large = run_lengths(
        detector, CLEAN, {"shifted": shifted}, sizes=(0.4, 1.0), streams=15, longest=300
    )
    assert nothing.change == ""
    assert 15 < nothing.mean_rows < 120
    assert large.mean_rows < small.mean_rows < nothing.mean_rows
    assert large.silent == 0
    (silent,) = run_lengths(detector, np.zeros((5, 3)) + NUMBERS[:300].mean(axis=0), {}, streams=1, longest=3)
    assert (silent.silent, silent.mean_rows) == (1, 3)


def test_what_the_detector_sees_can_differ_from_what_is_changed():
    peer = Alarmed()
    detections(
        peer,
        np.zeros((40, 1)),
        {"shifted": shifted},
        rows=10,
        sizes=(1.0,),
        streams=1,
        view=lambda rows: np.hstack([rows, rows]),
    )
    assert peer.seen[0].shape == (10, 2)


def test_the_area_is_scikit_learns_and_the_curve_is_finite():
    clean, attacked = GENERATOR.normal(size=400).round(1), (GENERATOR.normal(size=300) + 1).round(1)
    curve = roc("pgd", clean, attacked)
    wanted = roc_auc_score(np.r_[np.zeros(400), np.ones(300)], np.r_[clean, attacked])
    assert curve.auroc == pytest.approx(wanted)
    assert (curve.false_positive_rates[0], curve.true_positive_rates[-1]) == (0, 1)
    assert list(curve.false_positive_rates) == sorted(curve.false_positive_rates)
    threshold = np.quantile(clean, 0.9)
    assert curve.caught_at((clean > threshold).mean()) == pytest.approx((attacked > threshold).mean(), abs=0.05)
    with pytest.raises(BadWindow, match="needs clean"):
        roc("pgd", clean, attacked[:0])


def test_pictures_are_drawn():
    table = detections(DETECTOR, CLEAN, {"shifted": shifted}, rows=40, sizes=(0.5, 1.0), streams=1, patience=1)
    for uri in (detection_picture(table, 0.05), roc_picture([roc("pgd", CLEAN[:50, 0], CLEAN[:50, 1])])):
        assert b"<svg" in base64.b64decode(uri.removeprefix("data:image/svg+xml;base64,"))


@pytest.mark.parametrize("name", IMAGE_CHANGES)
def test_changes_of_images_grow_with_their_size_and_stay_images(name):
    images = digits()[0][:50].numpy()
    changed = [IMAGE_CHANGES[name](images, size, np.random.default_rng(0)) for size in (0.0, 0.3, 1.0)]
    distances = [np.abs(each - images).mean() for each in changed]
    assert distances[0] < 0.01
    assert distances[0] < distances[1] < distances[2]
    for each in changed:
        assert each.shape == images.shape
        assert each.dtype == np.float32
        assert (each.min() >= 0) & (each.max() <= 1)


@pytest.mark.parametrize("name", NUMBER_CHANGES)
def test_changes_of_numbers_grow_with_their_size(name):
    rows = NUMBERS[:200]
    distances = [
        np.abs(NUMBER_CHANGES[name](rows, size, np.random.default_rng(0)) - rows).mean() for size in (0.0, 0.4, 1.0)
    ]
    assert distances[0] < 1e-12
    assert 1e-3 < distances[1] < distances[2]
