import numpy as np
import pytest
from scipy import stats

from secmlops.detectors.detector import BadWindow
from secmlops.detectors.storage import detector_files, load_detector
from secmlops.detectors.verdict import (
    TESTS,
    WEIGHED,
    DriftOrAttack,
    EvidenceReader,
    Judge,
    NothingToTell,
    Signals,
    fit_judge,
    mixture,
)


def world(rows, seed, *, drift=0.0, attacked=0.0):
    """A made-up world: drift moves all inputs and doubts a little more; an attack contradicts on a share of rows."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, rows)
    inputs = generator.normal(size=(rows, 4)) + 3 * np.eye(3, 4)[labels] + drift
    logits = 6 * np.eye(3)[labels] + generator.normal(size=(rows, 3)) * (1 + drift)
    scores = generator.exponential(size=rows) * (1 + drift)
    chosen = generator.random(rows) < attacked
    logits[chosen] = 4 * np.eye(3)[(labels[chosen] + 1) % 3] + generator.normal(size=(chosen.sum(), 3))
    inputs[chosen] += generator.normal(size=(chosen.sum(), 4)) * 1.5
    scores[chosen] += 15
    return Signals(inputs, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), scores)


@pytest.fixture(scope="module")
def reader():
    return EvidenceReader(world(500, 0))


@pytest.fixture(scope="module")
def judge(reader):
    made = [("drift", {"drift": size}) for size in (0.3, 0.6, 1.0)]
    made += [("attack", {"attacked": share}) for share in (0.1, 0.3, 0.7)]
    windows = [(kind, reader.read(world(150, 10 * seed, **how))) for seed in range(1, 5) for kind, how in made]
    return fit_judge([evidence for _, evidence in windows], [kind for kind, _ in windows])


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("drift", {"drift": 0.45}),
        ("drift", {"drift": 0.8}),
        ("attack", {"attacked": 0.15}),
        ("attack", {"attacked": 0.5}),
        ("attack", {"attacked": 1.0}),
    ],
)
def test_windows_it_was_not_fitted_on_are_told_apart(reader, judge, kind, how):
    verdicts = [judge.judge(reader.read(world(150, seed, **how))) for seed in range(900, 910)]
    assert sum(verdict.kind == kind for verdict in verdicts) >= 9
    right = next(verdict for verdict in verdicts if verdict.kind == kind)
    assert right.reasons
    assert right.alarms
    assert list(right.reasons) == sorted(right.reasons, key=lambda reason: -reason[1])
    assert (right.attack_probability > 0.5) == (kind == "attack")


def test_clean_windows_keep_the_level(reader, judge):
    verdicts = [judge.judge(reader.read(world(150, 5000 + seed))) for seed in range(60)]
    assert sum(verdict.kind != "clean" for verdict in verdicts) <= stats.binom.ppf(0.999, 60, judge.level)
    assert all(not verdict.reasons for verdict in verdicts if verdict.kind == "clean")


def test_the_evidence_is_what_it_says(reader):
    clean, attacked = reader.read(world(400, 1)), reader.read(world(400, 1, attacked=0.3))
    assert clean.flagged == pytest.approx(0.05, abs=0.03)
    assert clean.median_score == pytest.approx(0.5, abs=0.07)
    assert clean.median_novelty == pytest.approx(0.5, abs=0.07)
    assert attacked.flagged == pytest.approx(0.3 + 0.7 * 0.05, abs=0.06)
    assert attacked.contradicted > clean.contradicted + 0.03
    assert attacked.flag_p_val < 1e-6
    assert attacked.concentration > clean.concentration + 0.2
    assert attacked.excess_score > clean.excess_score
    shifted = reader.read(world(400, 1, drift=1.0))
    assert shifted.drift_p_val < 0.01
    assert shifted.median_novelty > 0.7
    assert attacked.median_novelty < 0.65
    one_class = world(200, 3)
    one_class.probabilities[:] = [0.98, 0.01, 0.01]
    assert reader.read(one_class).prediction_shift == pytest.approx(2 / 3, abs=0.06)
    assert reader.read(one_class).prediction_p_val < 1e-6


def test_the_judge_is_json(judge, reader):
    again = Judge.model_validate_json(judge.model_dump_json())
    evidence = reader.read(world(100, 7, attacked=0.4))
    assert again.judge(evidence) == judge.judge(evidence)
    assert len(judge.weights) == len(WEIGHED)
    assert not set(TESTS) & set(WEIGHED)


def test_a_judge_with_its_reference_is_a_detector_and_is_stored(judge, reader):
    reference = reader.reference
    detector = DriftOrAttack(judge, reference.inputs, reference.probabilities, reference.scores)
    again = load_detector(detector_files(detector))
    for how, flags in (({"attacked": 0.5}, (0, 1)), ({"drift": 1.0}, (1, 0))):
        window = world(150, 77, **how)
        data = detector.predict(window)["data"]
        assert (data["is_drift"], data["is_attack"]) == flags
        assert again.predict(window) == detector.predict(window)


def test_mixtures_hold_the_share():
    clean, other = world(100, 0), world(80, 1)
    other.scores[:] = -1
    made = mixture(clean, other, 0.3, 50, np.random.default_rng(0))
    assert (made.scores == -1).sum() == 15
    assert len(made.inputs) == len(made.probabilities) == 50
    assert (mixture(clean, other, 1.0, 80, np.random.default_rng(0)).scores == -1).all()
    with pytest.raises(BadWindow, match="wants 10 clean rows and 90 others"):
        mixture(clean, other, 0.9, 100, np.random.default_rng(0))


def test_what_cannot_be_judged(reader):
    evidence = reader.read(world(100, 7))
    with pytest.raises(NothingToTell):
        fit_judge([evidence, evidence], ["drift", "clean"])
    window = world(50, 1)
    with pytest.raises(BadWindow, match="same rows"):
        reader.read(Signals(window.inputs, window.probabilities[:40], window.scores))
    with pytest.raises(BadWindow, match="at least 20"):
        reader.read(window.take(np.arange(10)))
    with pytest.raises(BadWindow, match="at least 100"):
        EvidenceReader(window)
