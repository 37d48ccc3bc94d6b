"""What starts a retraining, and everything that starts nothing, is counted and is recorded."""

import json
from datetime import timedelta

import pytest

from serving.retrain import app, audit
from serving.retrain.starters import RunState
from tests.serving.retrain.conftest import NOON, alert, notification


def test_a_firing_alert_starts_the_configured_pipeline_on_the_configured_data(place):
    answer = place.post(notification())

    assert answer.status_code == 200
    (decision,) = answer.json()["decisions"]
    (order,) = place.starter.orders
    assert (decision["outcome"], decision["run_id"]) == ("started", order.name)
    assert (order.use_case, order.pipeline) == ("web_attacks", "web_attacks")
    assert order.parameters == {"seed": "7", "captures": "s3://windows/secmlops/web-attacks"}
    assert place.counted("started") == 1
    assert [record["kind"] for record in map(json.loads, place.log.read_bytes().splitlines())] == [
        "opened",
        "starting",
        "started",
        "notification",
    ]


def test_what_an_alert_says_besides_its_use_case_and_service_reaches_no_pipeline(place):
    place.outcomes(alert(data_uri="s3://attacker/poison", captures="s3://attacker/poison", seed="666"))

    (order,) = place.starter.orders
    assert order.parameters == {"seed": "7", "captures": "s3://windows/secmlops/web-attacks"}
    assert "attacker" not in place.log.read_text()


@pytest.mark.parametrize(
    ("headers", "outcome", "status"),
    [
        pytest.param({"authorization": ""}, "unauthorized", 401, id="no token"),
        pytest.param({"authorization": "Bearer " + "x" * 40}, "unauthorized", 401, id="wrong token"),
        pytest.param({"authorization": "Bearer " + "t" * 39}, "unauthorized", 401, id="beginning of the token"),
        pytest.param({"authorization": "Basic " + "t" * 40}, "unauthorized", 401, id="right token, wrong scheme"),
        pytest.param({"content-type": "text/plain"}, "not_json", 415, id="a form of another site can send text"),
        pytest.param({"content-encoding": "gzip"}, "not_json", 415, id="compressed, it could be a bomb"),
        pytest.param({"content-length": "99999999"}, "too_large", 413, id="announces too much"),
        pytest.param({"content-length": "9" * 5_000}, "too_large", 413, id="announces what is no number to Python"),
    ],
)
def test_calls_that_are_not_allowed(place, headers, outcome, status):
    answer = place.post(notification(), **headers)

    assert answer.status_code == status
    assert [decision["outcome"] for decision in answer.json()["decisions"]] == [outcome]
    assert not place.starter.orders
    assert place.counted(outcome) == 1
    (record,) = place.audited("refused")
    assert (record["outcome"], record["client"]) == (outcome, "testclient")


def without(key: str) -> bytes:
    content = notification()
    del content[key]
    return json.dumps(content).encode()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xff\xfe\x00", id="bytes"),
        pytest.param(b"[" * 100_000, id="nested deeper than any parser's stack"),
        pytest.param(b'"firing"', id="a string"),
        pytest.param(json.dumps(notification() | {"version": "3"}).encode(), id="another version"),
        pytest.param(json.dumps(notification() | {"version": 4}).encode(), id="a version of another type"),
        pytest.param(without("groupKey"), id="no group key"),
        pytest.param(json.dumps(notification() | {"alerts": []}).encode(), id="no alerts"),
        pytest.param(json.dumps(notification() | {"alerts": [alert()] * 257}).encode(), id="too many alerts"),
        pytest.param(json.dumps(notification(alert() | {"startsAt": "2026-06-01T12:00:00"})).encode(), id="no zone"),
        pytest.param(json.dumps(notification(alert() | {"startsAt": "today"})).encode(), id="no time"),
        pytest.param(json.dumps(notification(alert() | {"status": "pending"})).encode(), id="another status"),
        pytest.param(json.dumps(notification(alert() | {"fingerprint": "../x"})).encode(), id="no fingerprint"),
        pytest.param(json.dumps(notification(alert() | {"labels": {"action": 1}})).encode(), id="a label of numbers"),
        pytest.param(json.dumps(notification(alert(**{"x": "y" * 1001}))).encode(), id="a label without end"),
    ],
)
def test_what_is_no_notification(place, body):
    answer = place.post(body)

    assert answer.status_code == 400
    assert place.counted("malformed") == 1
    assert not place.starter.orders
    assert place.audited("refused")[0]["outcome"] == "malformed"


def test_a_body_that_grows_beyond_the_limit_without_announcing_it(place):
    parts = (b"[" + b" " * 65536 for _ in range(20))
    headers = {"authorization": "Bearer " + "t" * 40, "content-type": "application/json"}
    answer = place.client.post("/v1/alerts", content=parts, headers=headers)

    assert answer.status_code == 413
    assert place.counted("too_large") == 1


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_only_post(place, method):
    answer = place.client.request(method, "/v1/alerts", headers={"authorization": "Bearer " + "t" * 40})

    assert answer.status_code == 405
    assert place.counted("method_not_allowed") == 1


@pytest.mark.parametrize(
    ("changed", "outcome"),
    [
        pytest.param({"action": ""}, "not_actionable", id="no action"),
        pytest.param({"action": "review"}, "not_actionable", id="an attack is reviewed, not learned from"),
        pytest.param({"use_case": "digits"}, "unknown_use_case", id="a use case that is not configured"),
        pytest.param({"use_case": ""}, "unknown_use_case", id="no use case"),
        pytest.param({"service": "other"}, "unknown_service", id="a service that is not configured"),
        pytest.param({"namespace": "tenant-b"}, "unknown_service", id="the same name in another namespace"),
        pytest.param({"namespace": ""}, "unknown_service", id="no namespace"),
        pytest.param({"status": "resolved"}, "resolved", id="resolved"),
    ],
)
def test_alerts_that_ask_for_nothing(place, changed, outcome):
    assert place.outcomes(alert(**changed)) == [outcome]
    assert not place.starter.orders
    assert place.counted(outcome) == 1
    assert place.audited("notification")[0]["outcome"] == outcome


@pytest.mark.parametrize("begun", [NOON - timedelta(days=8), NOON + timedelta(minutes=11)], ids=["old", "future"])
def test_an_alert_of_another_time(place, begun):
    assert place.outcomes(alert(begun)) == ["stale"]
    assert not place.starter.orders


def test_a_replayed_notification_starts_nothing_however_late(place):
    assert place.outcomes() == ["started"]
    assert place.outcomes() == ["repeated"]
    place.finish()
    place.later(days=2)
    assert place.outcomes() == ["repeated"]
    assert len(place.starter.orders) == 1


def test_one_that_was_put_off_and_is_replayed_when_it_is_long_resolved_starts_nothing(place):
    place.outcomes(alert(fingerprint="a0"))
    assert place.outcomes(alert()) == ["busy"]
    assert place.outcomes(alert(status="resolved")) == ["resolved"]
    place.finish()
    place.later(hours=2)
    assert place.outcomes(alert()) == ["repeated"]
    assert len(place.starter.orders) == 1


def test_another_alert_that_joins_the_group_is_answered_by_the_next_retraining_only(place):
    first, second = alert(), alert(NOON + timedelta(minutes=1), fingerprint="b2")
    assert place.outcomes(first) == ["started"]
    assert place.outcomes(first, second) == ["busy"]
    place.finish()
    assert place.outcomes(first, second) == ["cooling_down"]
    place.later(hours=1)
    assert place.outcomes(first, second) == ["started"]
    place.finish()
    place.later(hours=1)
    assert place.outcomes(first, second) == ["repeated"]


def test_two_services_of_one_notification_start_one_retraining(place):
    assert place.outcomes(alert(), alert(namespace="shop", fingerprint="b2")) == ["started", "busy"]
    assert len(place.starter.orders) == 1


def test_the_cool_down_counts_from_the_beginning_of_the_last_retraining(place):
    place.outcomes()
    place.finish()
    again = alert(NOON + timedelta(minutes=30))
    place.later(minutes=59)
    assert place.outcomes(again) == ["cooling_down"]
    place.later(minutes=1)
    assert place.outcomes(again) == ["started"]


def test_a_flapping_alert_starts_nothing_until_it_is_calm(place):
    outcomes = []
    for hour in range(0, 12, 2):
        begun = NOON + timedelta(hours=hour)
        place.now[0] = begun + timedelta(minutes=5)
        outcomes += place.outcomes(alert(begun))
        if place.desk._history.run:
            place.finish()
        place.outcomes(alert(begun, status="resolved"))
    assert outcomes == ["started"] * 3 + ["flapping"] * 3
    assert place.counted("flapping") == 3

    calm = NOON + timedelta(days=3)
    place.now[0] = calm + timedelta(minutes=5)
    assert place.outcomes(alert(calm)) == ["started"]


def test_a_retraining_that_could_not_start_may_be_asked_for_again(place):
    place.starter.fails = True
    answer = place.post(notification())
    assert answer.status_code == 503, "Alertmanager comes again after a 503"
    assert answer.json()["decisions"][0]["outcome"] == "start_failed"
    assert place.audited("start_failed")[0]["reason"] == "as the test wants it"

    place.starter.fails = False
    assert place.outcomes() == ["started"]


def test_the_reason_why_a_start_failed_is_not_told_to_the_caller(place):
    place.starter.fails = True
    assert "test wants" not in place.post(notification()).text


def test_a_retraining_whose_state_cannot_be_read_is_under_way(place):
    place.outcomes()
    place.starter.unreachable = True
    place.desk.follow()
    assert place.registry.get_sample_value("secmlops_retrain_unreachable_total") == 1
    assert place.outcomes(alert(fingerprint="b2")) == ["busy"]


@pytest.mark.parametrize("state", [RunState.SUCCEEDED, RunState.FAILED, RunState.STOPPED, RunState.LOST])
def test_how_a_retraining_ended_is_counted_and_recorded(place, state):
    place.outcomes()
    labels = {"use_case": "web_attacks"}
    assert place.registry.get_sample_value("secmlops_retrain_running", labels) == 1
    place.finish(state)

    sample = {"use_case": "web_attacks", "state": state.value}
    assert place.registry.get_sample_value("secmlops_retrain_runs_total", sample) == 1
    assert place.registry.get_sample_value("secmlops_retrain_running", labels) == 0
    assert (place.registry.get_sample_value("secmlops_retrain_last_success_timestamp_seconds", labels) is not None) == (
        state is RunState.SUCCEEDED
    )
    (record,) = place.audited("finished")
    assert record["state"] == state.value


def test_a_flood_of_wrong_tokens_is_counted_one_by_one_and_recorded_by_the_minute(place):
    for _ in range(50):
        place.post(notification(), authorization="Bearer wrong")
    place.later(minutes=2)
    place.post(notification(), authorization="Bearer wrong")

    assert place.counted("unauthorized") == 51
    first, second = place.audited("refused")
    assert "others_since_last" not in first
    assert second["others_since_last"] == 49


def test_neither_token_nor_body_is_ever_recorded(place):
    place.post(b"secret-body", authorization="Bearer secret-token")
    place.post(b"secret-body")
    place.post(notification())
    assert not {"secret-body", "secret-token", "tttttttt"} & set(place.log.read_text().split('"'))
    assert "secret" not in place.log.read_text()


def test_nothing_starts_that_cannot_be_recorded(place, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(audit.os, "fsync", full)
    assert place.post(notification()).status_code == 503
    assert not place.starter.orders
    assert place.client.get("/health/ready").status_code == 503

    monkeypatch.undo()
    answer = place.post(notification())
    assert (answer.status_code, answer.json()["decisions"][0]["outcome"]) == (503, "no_audit")
    assert not place.starter.orders, "what the log missed is not known, so the service is started anew"


def test_health_metrics_and_nothing_else(place):
    assert place.client.get("/health/live").status_code == 200
    assert place.client.get("/health/ready").json() == {"status": "ready"}
    assert 'secmlops_retrain_notifications_total{outcome="flapping"} 0.0' in place.client.get("/metrics").text
    for path in ("/", "/v1", "/v1/alerts/", "/docs", "/openapi.json"):
        assert place.client.get(path, follow_redirects=False).status_code in (404, 307), path


def test_more_calls_at_once_than_it_takes_are_refused(place, monkeypatch):
    monkeypatch.setattr(app, "MAX_AT_ONCE", 0)
    assert place.post(notification()).status_code == 503
    assert place.counted("overloaded") == 1


def test_times_of_nanoseconds_as_alertmanager_writes_them(place):
    assert place.outcomes(alert() | {"startsAt": "2026-06-01T12:00:00.123456789Z"}) == ["started"]
    assert place.outcomes(alert() | {"startsAt": "2026-06-01T14:00:00.123456789+02:00"}) == ["repeated"]
