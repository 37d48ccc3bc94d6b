"""Alert rules: they hold together, each is tested both ways, and what they name is exported."""

import re
import subprocess
from itertools import chain

import pytest
import yaml

from serving.retrain.alerts import RETRAIN
from tests.manifests.conftest import ALERTS, ALL_RULES, RECORDED, RULE_TESTS, RULES, TARGET_LABELS
from tests.manifests.processes import program
from tests.manifests.promql import selectors

LABELS = TARGET_LABELS | {"use_case", "detector", "reason", "state", "outcome", "severity", "action", "alertname"}
"""All that an alert may carry: few values each, never an id, a client or a text."""


def test_promtool_accepts_every_rule():
    subprocess.run([program("promtool"), "check", "rules", *map(str, RULES)], check=True)


@pytest.mark.parametrize("path", RULE_TESTS, ids=lambda path: path.name)
def test_rules_do_what_their_tests_say(path):
    tested = subprocess.run([program("promtool"), "test", "rules", str(path)], capture_output=True, text=True)
    assert tested.returncode == 0, tested.stdout + tested.stderr


def expectations() -> list[tuple[str, list]]:
    """Query and expected samples of every test of alerts."""
    tests = chain.from_iterable(yaml.safe_load(path.read_text())["tests"] for path in RULE_TESTS)
    asked = chain.from_iterable(test["promql_expr_test"] for test in tests)
    return [(one["expr"], one["exp_samples"]) for one in asked if one["expr"].startswith("ALERTS")]


@pytest.mark.parametrize("name", ALERTS)
def test_every_alert_is_shown_to_fire_and_to_be_silent(name):
    firing = f'alertname="{name}",alertstate="firing"'
    fires = [sample for _, samples in expectations() for sample in samples if firing in sample["labels"]]
    silent = [query for query, samples in expectations() if not samples and (query == "ALERTS" or _covers(query, name))]
    assert fires, "no test shows that it fires"
    assert silent, "no test shows that it is silent"


def _covers(query: str, name: str) -> bool:
    match = re.search(r'alertname=(~?)"([^"]+)"', query)
    return bool(match) and bool(re.fullmatch(match[2], name))


@pytest.mark.parametrize(("name", "rule"), ALERTS.items(), ids=list(ALERTS))
def test_every_alert_tells_people_what_it_is_and_what_to_do(name, rule):
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["labels"].get("action", RETRAIN) in (RETRAIN, "review")
    assert len(re.sub(r"{{.*?}}", "a-value", rule["annotations"]["summary"])) < 100
    assert len(rule["annotations"]["description"].split()) >= 12, "a person is woken up by it: say what to do"
    assert set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"]))) <= LABELS


def test_only_lasting_drift_asks_for_a_retraining():
    asking = {name for name, rule in ALERTS.items() if rule["labels"].get("action") == RETRAIN}
    assert asking == {"DetectorDriftSustained"}, "learning from what attackers send poisons the model"


@pytest.mark.parametrize("rule", ALL_RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_every_series_that_a_rule_names_is_exported_or_recorded(rule, exported):
    for selector in selectors(rule["expr"]):
        assert selector.name in exported or selector.name in RECORDED, selector.name
        if selector.name in exported:
            matched = {label for label, _, _ in selector.matchers}
            assert matched <= exported[selector.name] | TARGET_LABELS, selector


def test_reasons_and_states_that_rules_match_exist():
    from serving.detectors.metrics import DROP_REASONS, VERDICTS
    from serving.refusals import Reason
    from serving.retrain.outcomes import Outcome
    from serving.retrain.starters import RunState

    known = {
        "secmlops:service:refused:rate5m": {"reason": set(Reason)},
        "secmlops_detector_events_dropped_total": {"reason": set(DROP_REASONS)},
        "secmlops_detector_verdict": {"verdict": set(VERDICTS)},
        "secmlops_retrain_runs_total": {"state": set(RunState)},
        "secmlops_retrain_notifications_total": {"outcome": set(Outcome)},
        "request_predict_seconds_bucket": {"le": {"0.25"}},
    }
    for rule in ALL_RULES:
        for selector in selectors(rule["expr"]):
            for label, _, value in selector.matchers:
                assert set(value.split("|")) <= known[selector.name][label], selector


def test_a_real_prometheus_loads_every_group_and_finds_no_fault(prometheus):
    groups = prometheus.get("/api/v1/rules").json()["data"]["groups"]
    loaded = [rule["name"] for group in groups for rule in group["rules"]]
    assert sorted(loaded) == sorted(rule.get("alert") or rule["record"] for rule in ALL_RULES)
    for rule in ALL_RULES:
        answer = prometheus.get("/api/v1/query", params={"query": rule["expr"]}).json()
        assert answer["status"] == "success", (rule, answer)
