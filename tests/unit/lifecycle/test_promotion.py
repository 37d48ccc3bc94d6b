"""A candidate replaces the champion only when it is measurably better; what cannot be compared promotes nothing."""

import json
import math
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from secmlops.lifecycle.dossier import hand_on, read_dossier
from secmlops.lifecycle.policy import PolicyInvalid
from secmlops.lifecycle.promotion import (
    Measurement,
    MeasurementInvalid,
    PromotionDecision,
    PromotionPolicy,
    Standing,
    compare_with_champion,
    decide,
    load_promotion_policy,
    read_measurement,
    write_measurement,
    write_report,
)
from tests.conftest import ROOT

OLD, NEW = "sha256:" + "a" * 64, "sha256:" + "b" * 64
DATA, ATTACKS = "sha256:" + "d" * 64, "sha256:" + "e" * 64
CONTENT = {
    "name": "test-promotion",
    "version": "1.0.0",
    "use_case": "web_attacks",
    "min_labelled": 100,
    "criteria": [
        {"metric": "recall", "better": "higher", "minimal_gain": 0.02, "tolerance": 0.01, "why": "attacks are seen"},
        {"metric": "evasion_rate", "better": "lower", "tolerance": 0.05, "why": "attacks stay seen"},
    ],
}
POLICY = PromotionPolicy.model_validate(CONTENT)
CHAMPION = {"recall": 0.9, "evasion_rate": 0.1}


def measured(model: str, metrics: dict, **changes) -> Measurement:
    known = {"model_digest": model, "data_digest": DATA, "attacks_digest": ATTACKS, "labelled": 500, "metrics": metrics}
    return Measurement.model_validate(known | changes)


def reached(metrics: dict, champion: dict | None = CHAMPION, **changes) -> PromotionDecision:
    return decide(POLICY, measured(OLD, champion) if champion is not None else None, measured(NEW, metrics, **changes))


@pytest.mark.parametrize(
    ("metrics", "promote", "reason"),
    [
        pytest.param({"recall": 0.95, "evasion_rate": 0.1}, True, "better by 0.05 (0.9 to 0.95)", id="better"),
        pytest.param({"recall": 0.92, "evasion_rate": 0.15}, True, "recall is better by 0.02", id="at both bounds"),
        pytest.param({"recall": 0.919, "evasion_rate": 0.0}, False, "no metric is better", id="by less than it takes"),
        pytest.param({"recall": 0.9, "evasion_rate": 0.1}, False, "no metric is better", id="alike"),
        pytest.param({"recall": 0.99, "evasion_rate": 0.16}, False, "evasion_rate is worse by 0.06", id="at a price"),
        pytest.param({"recall": 0.88, "evasion_rate": 0.0}, False, "recall is worse by 0.02", id="worse"),
        pytest.param({"recall": 0.99}, False, "evasion_rate was not measured of the candidate", id="unmeasured"),
        pytest.param({"recall": math.nan, "evasion_rate": 0.1}, False, "recall was not measured", id="NaN"),
        pytest.param({"recall": math.inf, "evasion_rate": 0.1}, False, "recall was not measured", id="infinity"),
        pytest.param({"recall": None, "evasion_rate": 0.1}, False, "recall was not measured", id="None"),
        pytest.param({"recall": 1e308, "evasion_rate": -1e308}, True, "recall is better", id="huge and finite"),
    ],
)
def test_decisions(metrics, promote, reason):
    decision = reached(metrics)
    assert decision.promote is promote
    assert any(reason in one for one in decision.reasons), decision.reasons


@pytest.mark.parametrize("metrics", [{}, {"recall": math.nan, "evasion_rate": 0.1}, {"recall": 0.9}])
def test_a_champion_that_could_not_be_measured_stays(metrics):
    decision = reached({"recall": 0.99, "evasion_rate": 0.0}, champion=metrics)
    assert not decision.promote
    assert "was not measured of the champion" in " ".join(decision.reasons)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"data_digest": OLD}, "different data"),
        ({"labelled": 501}, "different data"),
        ({"attacks_digest": OLD}, "different attacks"),
        ({"model_digest": OLD}, "the candidate is the champion"),
    ],
)
def test_what_cannot_be_compared_keeps_the_champion(changes, reason):
    better = {"recall": 0.99, "evasion_rate": 0.0}
    decision = decide(POLICY, measured(OLD, CHAMPION), measured(NEW, better, **changes))
    assert not decision.promote
    assert reason in decision.reasons[0]


def test_too_few_labels_decide_nothing():
    few = {"labelled": 99}
    decision = decide(
        POLICY, measured(OLD, CHAMPION, **few), measured(NEW, {"recall": 1.0, "evasion_rate": 0.0}, **few)
    )
    assert not decision.promote and "99 labelled examples are fewer than 100" in decision.reasons[0]


def test_the_first_model_only_has_to_be_measured():
    assert reached({"recall": 0.5, "evasion_rate": 0.9}, champion=None).reasons == ("no model serves yet",)
    assert not reached({"recall": 0.5}, champion=None).promote


VALUES = st.floats() | st.none()


@given(VALUES, VALUES, VALUES, VALUES)
def test_the_decision_is_the_rule_and_survives_json(recall_before, evasion_before, recall, evasion):
    champion = {"recall": recall_before, "evasion_rate": evasion_before}
    decision = reached({"recall": recall, "evasion_rate": evasion}, champion)

    if any(value is None or not math.isfinite(value) for value in (recall_before, evasion_before, recall, evasion)):
        assert not decision.promote
    else:
        gains = recall - recall_before, evasion_before - evasion
        finite = all(map(math.isfinite, gains))
        assert decision.promote == (finite and gains[0] >= 0.02 - 1e-12 and gains[1] >= -0.05 - 1e-12)
    assert PromotionDecision.model_validate_json(decision.model_dump_json()) == decision


@pytest.mark.parametrize(
    "edit",
    [
        lambda d: d.update(promote=True),
        lambda d: d["comparisons"][0].update(standing="better"),
        lambda d: d["comparisons"][0].update(candidate=0.99),
        lambda d: d.update(promote=True, comparisons=[]),
    ],
    ids=["promote", "standing", "value", "nothing compared"],
)
def test_an_edited_decision_contradicts_itself(edit):
    content = reached(CHAMPION).model_dump(mode="json")
    edit(content)
    with pytest.raises(ValidationError):
        PromotionDecision.model_validate_json(json.dumps(content))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"criteria": []}, "criteria"),
        ({"criteria": [CONTENT["criteria"][1]]}, "nothing could ever be promoted"),
        ({"criteria": [CONTENT["criteria"][0]] * 2}, "named twice: recall"),
        ({"criteria": [CONTENT["criteria"][0] | {"tolerance": -0.1}]}, "tolerance"),
        ({"criteria": [CONTENT["criteria"][0] | {"tolerance": math.nan}]}, "tolerance"),
        ({"criteria": [CONTENT["criteria"][0] | {"minimal_gain": 0.0}]}, "minimal_gain"),
        ({"criteria": [CONTENT["criteria"][0] | {"better": "bigger"}]}, "better"),
        ({"min_labelled": 0}, "min_labelled"),
        ({"threshold": 1}, "threshold"),
    ],
)
def test_policies_are_read_strictly(tmp_path, changes, problem):
    (tmp_path / "policy.yaml").write_text(json.dumps(CONTENT | changes))
    with pytest.raises(PolicyInvalid, match=problem):
        load_promotion_policy(tmp_path / "policy.yaml")


@pytest.mark.parametrize("use_case", ["web_attacks", "digits"])
def test_the_projects_own_policies(use_case):
    policy = load_promotion_policy(ROOT / "pipelines" / "policies" / "promotion" / f"{use_case}.yaml")
    assert policy.use_case == use_case


def test_a_measurement_is_written_and_read(tmp_path):
    write_measurement(measured(NEW, {"recall": 0.9, "evasion_rate": math.nan}), tmp_path)
    assert read_measurement(tmp_path).metrics == {"recall": 0.9, "evasion_rate": None}


@pytest.mark.parametrize("content", [b"", b"[]", b'{"model_digest": "x"}', b"\xff"])
def test_what_is_no_measurement(tmp_path, content):
    with pytest.raises(MeasurementInvalid, match="cannot be read"):
        read_measurement(tmp_path)
    (tmp_path / "measurement.json").write_bytes(content)
    with pytest.raises(MeasurementInvalid):
        read_measurement(tmp_path)


class Text(HTMLParser):
    def __init__(self):
        super().__init__()
        self.words = []

    def handle_data(self, data):
        self.words.append(data.strip())


def test_the_report_says_why_the_champion_stays(tmp_path):
    write_report(reached({"recall": 0.88, "evasion_rate": None}), tmp_path / "report.html")
    parser = Text()
    parser.feed((tmp_path / "report.html").read_text())
    words = " ".join(parser.words)
    assert "The champion stays." in words
    assert "recall is worse by 0.02 (0.9 to 0.88)" in words
    assert "not measured" in words
    assert OLD in words and NEW in words


def step(folder: Path, champion: str | None) -> PromotionDecision:
    hand_on([], folder / "dossier")
    outputs = [str(folder / name) for name in ("decision.json", "report.html", "evidence")]
    return compare_with_champion(champion, str(folder / "candidate"), CONTENT, str(folder / "dossier"), *outputs)


def test_the_step_writes_decision_report_and_evidence(tmp_path):
    for name, model, recall in (("champion", OLD, 0.9), ("candidate", NEW, 0.95)):
        (tmp_path / name).mkdir()
        write_measurement(measured(model, {"recall": recall, "evasion_rate": 0.1}), tmp_path / name)
    decision = step(tmp_path, str(tmp_path / "champion"))

    assert decision.promote
    assert decision.comparisons[0].standing is Standing.BETTER
    assert PromotionDecision.model_validate_json((tmp_path / "decision.json").read_bytes()) == decision
    (record,) = read_dossier(tmp_path / "evidence")
    assert record.measured["recall_candidate"] == 0.95 and record.measured["promote"] is True
    assert record.artifacts["model"] == NEW and record.speaks_for(NEW) and record.mitigations == ("AML.M0008",)


def test_the_step_without_a_champion(tmp_path):
    (tmp_path / "candidate").mkdir()
    write_measurement(measured(NEW, CHAMPION), tmp_path / "candidate")
    assert step(tmp_path, None).champion_digest is None
