"""Two detectors evaluated by the pipeline's own step and compared by the project's own promotion policy."""

import pytest

from secmlops.lifecycle.dossier import hand_on
from secmlops.lifecycle.promotion import Standing, decide, load_promotion_policy, read_measurement
from secmlops.web_attacks.dataset import write_dataset
from secmlops.web_attacks.steps import quality_assurance
from tests.conftest import ROOT
from tests.unit.bundle.conftest import make_model
from tests.unit.web_attacks.small_traffic import records
from tests.unit.web_attacks.test_quality_steps import Perfect

POLICY = load_promotion_policy(ROOT / "pipelines" / "policies" / "promotion" / "web_attacks.yaml")


class HalfBlind(Perfect):
    """Sees no more than attacks with quotes."""

    def score(self, requests):
        return [self._score("%27" in request.uri) for request in requests]


@pytest.fixture
def measured(tmp_path, monkeypatch):
    write_dataset(records(300, 1), tmp_path / "test")

    def measure(classifier, seed=1):
        folder = tmp_path / f"{classifier.name}-{seed}"
        folder.mkdir()
        model = make_model(folder / "model", weights=[len(classifier.name), seed])
        hand_on([], folder / "dossier")
        monkeypatch.setattr(quality_assurance.models, "load_classifier", lambda _: classifier)
        paths = (model, tmp_path / "test", folder / "evaluation", folder / "dossier", folder / "evidence")
        quality_assurance.evaluate_classifier(*map(str, paths), rounds=2, candidates=2, attacked_requests=10, seed=seed)
        return read_measurement(folder / "evaluation")

    return measure


def test_the_one_that_sees_more_replaces_the_other_and_not_the_reverse(measured):
    half, perfect = measured(HalfBlind("half")), measured(Perfect("perfect"))

    forward = decide(POLICY, half, perfect)
    assert all(comparison.standing is not Standing.UNKNOWN for comparison in forward.comparisons), "every metric exists"
    assert half.metrics["evasion_rate"] < perfect.metrics["evasion_rate"], "of what it detects, nothing was rewritten"
    assert forward.promote, forward.reasons
    assert not decide(POLICY, perfect, half).promote


def test_an_attacker_of_another_seed_is_no_comparison(measured):
    decision = decide(POLICY, measured(HalfBlind("half"), seed=2), measured(Perfect("perfect")))
    assert decision.obstacles == ("the two met different attacks",)
