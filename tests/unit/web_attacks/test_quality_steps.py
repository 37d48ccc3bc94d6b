"""What the judging steps write as evidence is what was measured, against the policy's bounds."""

import json
from pathlib import Path

import pytest

from secmlops.bundle import model_digest
from secmlops.lifecycle.assurance import Status, assurance_report
from secmlops.lifecycle.dossier import hand_on, read_dossier
from secmlops.lifecycle.evidence import Evidence
from secmlops.web_attacks.classifier import Score
from secmlops.web_attacks.dataset import write_dataset
from secmlops.web_attacks.evaluation import evaluate
from secmlops.web_attacks.robustness import RobustnessReport
from secmlops.web_attacks.steps.data_engineering import check_poisoning
from secmlops.web_attacks.steps.quality_assurance import Judged, judge_models
from tests.unit.bundle.conftest import make_model
from tests.unit.lifecycle.conftest import policy_of, requirement
from tests.unit.web_attacks.small_traffic import records

ATTACKED = 25


class Perfect:
    """Knows the attacks of the small traffic by their quotes, brackets and dots."""

    threshold = 0.5

    def __init__(self, name: str):
        self.name = name

    def score(self, requests):
        return [self._score(any(mark in r.uri for mark in ("%27", "%3C", "..", "%3B"))) for r in requests]

    def _score(self, attack: bool) -> Score:
        return Score(0.99, "attack", "sqli", "", "") if attack else Score(0.01, "normal", "", "", "")


def attacked(name: str, evaded: int) -> RobustnessReport:
    empty = {"by_class": {}, "by_mutation": (), "curve": (), "examples": ()}
    counts = {"n_attacks": ATTACKED, "n_undetected": 0, "n_attacked": ATTACKED, "n_evaded": evaded, "queries": 9}
    how = {"rounds": 20, "candidates": 10, "max_growth_bytes": 99, "seed": 1, "median_queries": None}
    return RobustnessReport(model=name, **counts, **how, **empty)


def judged(folder: Path, evaded: dict[str, int], *, dossier: str = "none") -> Judged:
    """Judge candidates of which so many attacks were rewritten past; at most a tenth may be."""
    folder.mkdir()
    policy = policy_of(
        requirement("balanced_accuracy", at_least=0.5),
        requirement("evasion_rate", at_least=None, at_most=0.1, mitigation="AML.M0003"),
    )
    (folder / "policy.json").write_text(policy.model_dump_json(exclude_none=True))
    for number, (name, count) in enumerate(evaded.items(), 1):
        model = make_model(folder / f"{name}-model", weights=[number, len(folder.name)])
        evaluation = folder / f"{name}-evaluation"
        evaluation.mkdir()
        (evaluation / "subject.json").write_text(json.dumps({"model": model_digest(model), "architecture": name}))
        (evaluation / "evaluation.json").write_text(evaluate(Perfect(name), records(30, 1)).model_dump_json())
        (evaluation / "robustness.json").write_text(attacked(name, count).model_dump_json())
    return judge_models(
        [str(folder / f"{name}-model") for name in evaded],
        [str(folder / f"{name}-evaluation") for name in evaded],
        [],
        str(folder / dossier),
        str(folder / "policy.json"),
        *(str(folder / name) for name in ("champion", "verdict", "report.html", "evidence")),
    )


def hardening(folder: Path) -> list[Evidence]:
    return [record for record in read_dossier(folder / "evidence") if "AML.M0003" in record.mitigations]


def test_hardening_holds_only_within_the_policys_bound(tmp_path):
    assert not judged(tmp_path / "first", {"svm": 7}).passed
    (record,) = hardening(tmp_path / "first")
    assert (record.holds, record.measured) == (False, {"evasion_rate": 0.28, "evasion_rate_at_most": 0.1})

    assert judged(tmp_path / "second", {"svm": 1, "mobilebert": 7}).architecture == "svm"
    (record,) = hardening(tmp_path / "second")  # of the champion alone
    assert (record.holds, record.measured["evasion_rate"]) == (True, 0.04)


def test_a_hardened_champion_keeps_the_evidence_of_the_refused_attempt_and_is_not_judged_by_it(tmp_path):
    judged(tmp_path / "first", {"svm": 7})
    judged(tmp_path / "hardened", {"svm": 1}, dossier="../first/evidence")
    assert [record.holds for record in hardening(tmp_path / "hardened")] == [False, True]
    report = assurance_report(read_dossier(tmp_path / "hardened" / "evidence"), tmp_path / "r.html", title="x")
    status = {row.id: row.status for row in report.mitigations}
    assert (status["AML.M0003"], status["AML.M0008"]) == (Status.SHOWN, Status.SHOWN)


@pytest.mark.parametrize(("rows", "holds"), [(30, False), (150, True)])
def test_sanitizing_is_evidence_only_where_planted_flips_are_found(tmp_path, rows, holds):
    """Of too few rows nothing can be told: no flip is found, and the record says so."""
    write_dataset(records(rows, 3), tmp_path / "train")
    hand_on([], tmp_path / "dossier")
    check_poisoning(
        *(str(tmp_path / name) for name in ("train", "sanitized", "report.html", "dossier", "evidence")), seed=1
    )
    (record,) = read_dossier(tmp_path / "evidence")
    assert record.measured["canary_sample_rows"] == 2 * rows
    assert record.measured["canaries_planted"] == round(0.02 * 2 * rows)
    assert (record.measured["canaries_found"] * 2 >= record.measured["canaries_planted"]) is record.holds is holds
