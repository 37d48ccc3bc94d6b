"""From metrics to a retraining, with nothing of it pretended but the traffic: a real Prometheus scrapes an exporter and
evaluates our rules (an hour shortened to seconds), a real Alertmanager calls the real service, and that starts the
project's own local runner on the window's data. The pipeline's training is not waited for: the run is ended with the
service once its own steps have read the data.
"""

import json
import os
import re
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest
import yaml
from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from secmlops.digits.data import IDX_FILES
from serving.retrain import audit
from tests.manifests import processes
from tests.manifests.conftest import RULES

TOKEN = "an-e2e-token-of-more-than-32-characters"
WATCHED = ("drift", "shop", "digits")
PATIENCE_S = 90


class Exporter:
    """A model server and a drift detector, as far as Prometheus sees them: the families' real names and labels."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        labels = ["detector", "namespace", "service"]
        self._windows = Counter("secmlops_detector_windows", "windows judged", labels, registry=registry)
        self._detections = Counter("secmlops_detector_detections", "above the threshold", labels, registry=registry)
        Gauge("secmlops_digits_model_ready", "ready", ["model_name"], registry=registry).labels("digits").set(1)
        self.drifting = False
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._count, daemon=True)
        self._server, self._serving = start_http_server(0, "127.0.0.1", registry)
        self.target = f"127.0.0.1:{self._server.server_port}"
        self._thread.start()

    def _count(self) -> None:
        while not self._stopped.wait(0.2):
            self._windows.labels(*WATCHED).inc()
            self._detections.labels(*WATCHED).inc(self.drifting)

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()
        self._server.shutdown()
        self._server.server_close()
        self._serving.join()


@dataclass
class Service:
    """The retraining service as a process."""

    process: subprocess.Popen[bytes]
    log: Path
    audit_log: Path
    runs: Path
    url: str = ""

    def records(self, kind: str) -> list[dict]:
        lines = self.audit_log.read_bytes().splitlines() if self.audit_log.exists() else []
        return [record for record in map(json.loads, lines) if record["kind"] == kind]

    def outcomes(self) -> list[str]:
        return [record["outcome"] for record in self.records("notification")]


def until(condition: Callable[[], object], told: Callable[[], str]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, told()
        time.sleep(0.1)


def write_window(folder: Path) -> None:
    """The window's data: bundled digits as the four IDX files, which the pipeline reads by URI."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    pixels = np.minimum(images * 16, 255).astype(np.uint8).reshape(-1, 8, 8)
    folder.mkdir()
    parts = (pixels[:800], labels[:800], pixels[800:1000], labels[800:1000])
    for name, values in zip(IDX_FILES, parts, strict=True):
        head = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
        (folder / name).write_bytes(head + values.astype(np.uint8).tobytes())


def shortened_rules(folder: Path) -> list[str]:
    """Our rule files with seconds for hours; thresholds, joins and labels as they are."""
    for path in RULES:
        text = path.read_text().replace("[1h]", "[5s]")
        text = re.sub(r"\bfor: \d+m", "for: 1s", re.sub(r"interval: 30s", "interval: 1s", text))
        (folder / path.name).write_text(text)
    return [str(folder / path.name) for path in RULES]


@contextmanager
def retraining_service(folder: Path) -> Iterator[Service]:
    write_window(folder / "window")
    settings = {
        "pipeline": "digits",
        "services": ["shop/digits"],
        "data_parameter": "data",
        "data_uri": f"file://{folder}/window",
        "arguments": {"variant": "standard", "attacks": "fgsm", "attacked_images": "20"},
        "cooldown_s": 3600,
    }
    (folder / "retrain.yaml").write_text(yaml.safe_dump({"use_cases": {"digits": settings}}))
    service = Service(None, folder / "service.log", folder / "audit.jsonl", folder / "runs")  # type: ignore[arg-type]
    command = [sys.executable, "-m", "serving.retrain", "--host=127.0.0.1", "--http_port=0", "--poll_s=0.5"]
    command += [f"--settings={folder / 'retrain.yaml'}", "--token=env:RETRAIN_TOKEN"]
    command += [f"--audit_log={service.audit_log}", f"--runs={service.runs}"]
    with service.log.open("wb") as log:
        environment = os.environ | {"RETRAIN_TOKEN": TOKEN, "OMP_NUM_THREADS": "1"}
        service.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        listening = re.compile(r"listening on 127\.0\.0\.1: http (\d+)")
        until(lambda: listening.search(service.log.read_text()), service.log.read_text)
        service.url = f"http://127.0.0.1:{listening.search(service.log.read_text())[1]}"
        yield service
    finally:
        if service.process.poll() is None:
            service.process.send_signal(signal.SIGTERM)
            service.process.wait(30)


def alertmanager_config(url: str) -> dict:
    webhook = {
        "url": f"{url}/v1/alerts",
        "send_resolved": True,
        "http_config": {"authorization": {"type": "Bearer", "credentials": TOKEN}},
    }
    retrain = {"receiver": "retrain", "matchers": ['action="retrain"']}
    return {
        "route": {
            "receiver": "people",
            "group_by": ["use_case", "namespace", "service"],
            "group_wait": "1s",
            "group_interval": "1s",
            "repeat_interval": "1s",
            "routes": [retrain],
        },
        "receivers": [{"name": "people"}, {"name": "retrain", "webhook_configs": [webhook]}],
    }


def prometheus_config(rules: list[str], exporter: str, service: str, alertmanager: str) -> dict:
    def job(name: str, target: str, **labels: str) -> dict:
        targets = [{"targets": [target.removeprefix("http://")], "labels": labels}]
        return {"job_name": name, "honor_labels": True, "static_configs": targets}

    return {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": rules,
        "scrape_configs": [
            job("served", exporter, namespace="shop", service="digits"),
            job("retrain", service, namespace="watch", service="retrain"),
        ],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager.removeprefix("http://")]}]}]},
    }


@pytest.mark.slow
def test_lasting_drift_starts_one_retraining_on_the_windows_data(tmp_path):
    processes.program("prometheus")
    with ExitStack() as stack:
        service = stack.enter_context(retraining_service(tmp_path))
        exporter = Exporter()
        stack.callback(exporter.stop)
        (tmp_path / "alertmanager.yml").write_text(yaml.safe_dump(alertmanager_config(service.url)))
        alerting = stack.enter_context(processes.alertmanager(tmp_path / "alertmanager.yml", tmp_path))
        (tmp_path / "rules").mkdir()
        config = prometheus_config(shortened_rules(tmp_path / "rules"), exporter.target, service.url, alerting)
        (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
        prometheus = stack.enter_context(processes.prometheus(tmp_path / "prometheus.yml", tmp_path))
        client = stack.enter_context(httpx.Client(timeout=10))

        def asked(query: str) -> list[dict]:
            return client.get(f"{prometheus}/api/v1/query", params={"query": query}).json()["data"]["result"]

        def told() -> str:
            return f"{service.log.read_text()}\n{(tmp_path / 'alertmanager.log').read_text()}\n{service.outcomes()}"

        until(lambda: asked("secmlops:detector:detection_share:rate1h == 0"), told)
        assert not service.records("starting"), "nothing drifts yet"

        exporter.drifting = True
        until(lambda: service.records("started"), told)
        (alert,) = client.get(f"{prometheus}/api/v1/alerts").json()["data"]["alerts"]
        assert alert["labels"]["alertname"] == "DetectorDriftSustained"
        assert alert["annotations"]["summary"] == "shop/digits sees other data than it was trained on (drift)"

        (started,) = service.records("started")
        output = service.runs / started["run_id"] / "output.log"
        until(lambda: re.search(r"ok +load-images .*train", output.read_text()), lambda: output.read_text() + told())
        until(lambda: service.outcomes().count("repeated") >= 2, told)  # Alertmanager says it again and again
        until(lambda: asked('secmlops_retrain_running{use_case="digits"} == 1'), told)

        exporter.drifting = False
        until(lambda: "resolved" in service.outcomes(), told)
        exporter.drifting = True
        until(lambda: {"busy", "cooling_down"} & set(service.outcomes()), told)

        captured = {
            "version": "4",
            "groupKey": service.records("notification")[0]["group_key"],
            "status": "firing",
            "alerts": [
                {
                    "status": "firing",
                    "labels": alert["labels"],
                    "startsAt": service.records("starting")[0]["episodes"][0][2],
                    "fingerprint": service.records("starting")[0]["episodes"][0][1],
                }
            ],
        }
        for token, outcome in (("x" * 40, "unauthorized"), (TOKEN, "repeated")):
            headers = {"authorization": f"Bearer {token}"}
            answer = client.post(f"{service.url}/v1/alerts", json=captured, headers=headers)
            assert [decision["outcome"] for decision in answer.json()["decisions"]] == [outcome]

        service.process.send_signal(signal.SIGTERM)
        service.process.wait(30)

    assert len(service.records("starting")) == len(service.records("started")) == 1
    assert [run.name for run in service.runs.iterdir()] == [started["run_id"]]
    (finished,) = service.records("finished")
    assert finished["state"] == "stopped", "a retraining on this machine ends with the service"
    assert service.records("refused")[0]["outcome"] == "unauthorized"
    assert audit.verify(service.audit_log) > 8
    assert TOKEN not in service.audit_log.read_text() + service.log.read_text()
