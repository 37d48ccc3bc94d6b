"""A desk with a starter that only counts, a clock that the test turns, and Alertmanager's notifications."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from starlette.testclient import TestClient

from serving.retrain.app import Webhook
from serving.retrain.audit import AuditLog
from serving.retrain.bearer import BearerToken
from serving.retrain.desk import Desk
from serving.retrain.metrics import RetrainMetrics
from serving.retrain.settings import RetrainSettings
from serving.retrain.starters import Order, RunState, StartFailed, Unreachable

TOKEN = "t" * 40
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
USE_CASE = {
    "pipeline": "web_attacks",
    "services": ["secmlops/web-attacks", "shop/web-attacks"],
    "data_parameter": "captures",
    "data_uri": "s3://windows/{namespace}/{service}",
    "arguments": {"seed": "7"},
    "cooldown_s": 3600,
    "flap_limit": 3,
    "flap_window_s": 86400,
}


@dataclass
class CountingStarter:
    """Keeps what it is asked to start; fails or loses its answer on demand."""

    orders: list[Order] = field(default_factory=list)
    states: dict[str, RunState] = field(default_factory=dict)
    fails: bool = False
    unreachable: bool = False
    closed: bool = False

    def start(self, order: Order) -> str:
        if self.fails:
            raise StartFailed(order.name, "as the test wants it")
        self.orders.append(order)
        self.states[order.name] = RunState.RUNNING
        return order.name

    def find(self, name: str) -> str | None:
        return name if name in self.states else None

    def state(self, run_id: str) -> RunState:
        if self.unreachable:
            raise Unreachable("as the test wants it")
        return self.states[run_id]

    def end(self, state: RunState = RunState.SUCCEEDED) -> None:
        self.states[self.orders[-1].name] = state

    def close(self) -> None:
        self.closed = True


def alert(begun: datetime = NOON, *, status: str = "firing", fingerprint: str = "a1", **labels: str) -> dict[str, Any]:
    known = {"alertname": "DetectorDriftSustained", "action": "retrain", "use_case": "web_attacks"}
    known |= {"namespace": "secmlops", "service": "web-attacks", "severity": "warning"}
    return {
        "status": status,
        "labels": {name: value for name, value in (known | labels).items() if value},
        "annotations": {"summary": "drift"},
        "startsAt": begun.isoformat().replace("+00:00", "Z"),
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus:9090/graph",
        "fingerprint": fingerprint,
    }


def notification(*alerts: dict[str, Any], group: str = '{}:{use_case="web_attacks"}') -> dict[str, Any]:
    alerts = alerts or (alert(),)
    firing = any(one["status"] == "firing" for one in alerts)
    return {
        "receiver": "retrain",
        "status": "firing" if firing else "resolved",
        "alerts": list(alerts),
        "groupLabels": {"use_case": "web_attacks"},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager:9093",
        "version": "4",
        "groupKey": group,
        "truncatedAlerts": 0,
    }


@dataclass
class Place:
    """A running service, and what a test turns or looks at."""

    client: TestClient
    starter: CountingStarter
    desk: Desk
    registry: CollectorRegistry
    log: Path
    now: list[datetime]

    def post(self, content: Any, **headers: str) -> Any:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        known = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
        return self.client.post("/v1/alerts", content=body, headers=known | headers)

    def outcomes(self, *alerts: dict[str, Any], **keywords: Any) -> list[str]:
        answer = self.post(notification(*alerts, **keywords)).json()
        return [decision["outcome"] for decision in answer["decisions"]]

    def later(self, **time: float) -> None:
        self.now[0] += timedelta(**time)

    def finish(self, state: RunState = RunState.SUCCEEDED) -> None:
        self.starter.end(state)
        self.desk.follow()

    def counted(self, outcome: str) -> float:
        return self.registry.get_sample_value("secmlops_retrain_notifications_total", {"outcome": outcome}) or 0.0

    def audited(self, kind: str) -> list[dict[str, Any]]:
        records = [json.loads(line) for line in self.log.read_bytes().splitlines()]
        return [record for record in records if record["kind"] == kind]


OpenPlace = Callable[..., Place]


@pytest.fixture
def open_place(tmp_path, monkeypatch) -> Iterator[OpenPlace]:
    """Open services one after another over the same log, as restarts do."""
    monkeypatch.setenv("TOKEN", TOKEN)
    now = [NOON + timedelta(minutes=5)]
    opened: list[Place] = []

    def open_one(starter: CountingStarter | None = None, **changes: Any) -> Place:
        for place in opened:
            place.desk._audit.close()
        settings = RetrainSettings.model_validate({"use_cases": {"web_attacks": USE_CASE | changes}})
        registry, starter = CollectorRegistry(), starter or CountingStarter()
        log = tmp_path / "audit.jsonl"
        desk = Desk(settings, starter, AuditLog(log, lambda: now[0]), RetrainMetrics(registry), lambda: now[0])
        webhook = Webhook(desk, BearerToken("env:TOKEN"), registry=registry)
        place = Place(TestClient(webhook.application()), starter, desk, registry, log, now)
        opened.append(place)
        return place

    yield open_one
    for place in opened:
        place.desk._audit.close()


@pytest.fixture
def place(open_place: OpenPlace) -> Place:
    return open_place()
