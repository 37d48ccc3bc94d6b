"""The drift service as it runs: a real process, a real signed bundle, events as the payload logger sends them."""

import json
import os
import signal
from pathlib import Path

import grpc
import httpx
import numpy as np
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from secmlops.detectors.config import KsConfig
from secmlops.detectors.opening import open_detector
from serving.detectors.metrics import exported_series
from serving.detectors.state import FILE
from tests.serving.detectors.conftest import Service, v1_request, v2_request

WINDOW = 40
QUEUE = 60
WATCHED = {"detector": "watcher", "namespace": "shop", "service": "digits"}


@pytest.fixture(scope="module")
def detector(images):
    return open_detector(KsConfig(p_val=0.01), images[:300].reshape(300, -1), "native")


@pytest.fixture(scope="module")
def bundle(foundry, detector):
    return foundry.detector("ks", detector, image_shape=[1, 8, 8])


@pytest.fixture(scope="module")
def state_dir(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def flags(state_dir) -> list[str]:
    return [
        f"--window_rows={WINDOW}",
        "--tick_s=0.05",
        f"--queue_events={QUEUE}",
        f"--state_dir={state_dir}",
        "--save_every_s=600",
        "--watch=shop/digits",
        "--watch=shop/other",
        "--max_services=1",
    ]


@pytest.fixture(scope="module")
def service(start_service, bundle, flags) -> Service:
    return start_service("drift", bundle, *flags)


def worker_pid(service: Service) -> int:
    pid = service.server.process.pid
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def test_windows_of_events_are_judged_as_the_detector_judges_them(service, detector, images):
    clean, moved = images[300:340], np.clip(images[340:380] + 0.02, 0, 1)
    for index, window in enumerate((clean, moved)):
        for start in range(0, WINDOW, 4):
            part = window[start : start + 4]
            body = v1_request(part[:, 0]) if start % 8 else v2_request(part)
            path = "/" if start % 8 else "/v1/models/watcher:predict"
            answer = service.send(body, f"{index}-{start}", path=path)
            assert answer.status_code == 200
            assert answer.json() == {"status": "accepted"}
        service.wait(index + 1, "windows_total", **WATCHED)
        expected = detector.predict(window.reshape(WINDOW, -1))["data"]
        smallest = max(expected["p_val"].min(), 1e-300)
        assert service.value("score", **WATCHED) == pytest.approx(-np.log10(smallest), rel=1e-6)
        assert service.value("threshold", **WATCHED) == pytest.approx(-np.log10(expected["threshold"]), rel=1e-6)
        assert service.value("distance", **WATCHED) == pytest.approx(expected["distance"].max(), rel=1e-6)
        assert service.value("detections_total", **WATCHED) == index == expected["is_drift"]
        above = service.value("score", **WATCHED) > service.value("threshold", **WATCHED)
        assert above == bool(index), "a rule may compare score and threshold"
    assert service.value("instances_total", **WATCHED) == 2 * WINDOW
    assert service.value("events_total", result="used") == 20
    assert "most by" in service.server.log_text


def test_a_replayed_event_and_a_half_that_is_not_looked_at_count_once_and_move_nothing(service, images):
    rows, used = service.value("window_rows", **WATCHED), service.value("events_total", result="used")
    body = v1_request(images[:1, 0])
    for _ in range(3):
        assert service.send(body, "twice").status_code == 200
    assert service.send({"predictions": [1]}, "twice", "response").status_code == 200
    service.wait(2, "events_total", result="duplicate")
    service.wait(1, "events_total", result="ignored")
    service.wait(used + 1, "events_total", result="used")
    service.wait(rows + 1, "window_rows", **WATCHED)


IMAGE = np.zeros((1, 8, 8), np.float32)
BAD_BODIES = [
    ("not_json", b"\x00\xff\xfe no JSON"),
    ("not_json", b""),
    ("too_deep", b"[" * 40 + b"]" * 40),
    ("wrong_shape", b"[]"),
    ("wrong_shape", json.dumps({"instances": []})),
    ("wrong_shape", json.dumps({"instances": [[[0.5] * 7] * 8]})),
    ("wrong_datatype", json.dumps({"instances": [[["a"] * 8] * 8]})),
    ("unreadable_request", json.dumps({"instances": ["hello"]})),
    ("out_of_range", json.dumps({"instances": [[[7.5] * 8] * 8]})),
    ("out_of_range", json.dumps({"instances": [[[1e40] * 8] * 8]})),
    ("too_many_instances", json.dumps({"instances": [0] * 300})),
    ("wrong_datatype", json.dumps(v2_request(np.zeros((1, 1, 8, 8))) | {}).replace("FP32", "INT64")),
    ("wrong_shape", json.dumps({"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}]})),
]


@pytest.mark.parametrize(("reason", "body"), BAD_BODIES)
def test_a_body_that_cannot_be_read_is_acknowledged_and_counted_by_reason(service, reason, body):
    before = service.value("events_malformed_total", reason=reason)
    ended = service.value("events_total", result="malformed")
    assert service.send(body, f"bad-{reason}-{hash(body)}").status_code == 200
    service.wait(before + 1, "events_malformed_total", reason=reason)
    assert service.value("events_total", result="malformed") == ended + 1


BAD_HEADS = [
    ("missing_header", 400, {"ce_id": None}),
    ("missing_header", 400, {"ce_namespace": None}),
    ("missing_header", 400, {"ce_type": None, "path": "/"}),
    ("wrong_header", 400, {"ce_id": "x" * 300}),
    ("wrong_header", 400, {"ce_namespace": "../../etc"}),
    ("wrong_header", 400, {"ce_inferenceservicename": "A" * 10}),
    ("wrong_header", 400, {"ce_specversion": "0.3"}),
    ("unknown_type", 400, {"ce_type": "org.example.other"}),
    ("wrong_content_type", 415, {"content_type": "text/plain"}),
    ("wrong_content_type", 415, {"content_type": "application/cloudevents+json"}),
    ("unsupported_encoding", 415, {"content_encoding": "gzip"}),
    ("unknown_service", 404, {"ce_namespace": "elsewhere"}),
]


@pytest.mark.parametrize(("reason", "status", "change"), BAD_HEADS)
def test_a_head_that_cannot_be_read_is_refused_and_counted_by_reason(service, reason, status, change):
    before = service.value("events_malformed_total", reason=reason)
    answer = service.send(v1_request(IMAGE), "head", **change)
    assert answer.status_code == status
    assert answer.json()["reason"] == reason
    assert set(answer.json()) == {"error", "reason", "id"}
    assert service.value("events_malformed_total", reason=reason) == before + 1


def test_twenty_megabytes_and_a_post_that_is_no_event_are_refused(service):
    before = service.value("events_malformed_total", reason="too_large")
    assert service.send(b"x" * 20_000_000, "large").status_code == 413
    assert service.value("events_malformed_total", reason="too_large") == before + 1
    answer = httpx.post(service.url + "/", json={})
    assert (answer.status_code, answer.json()["reason"]) == (400, "missing_header")
    assert service.send({}, "x", path="/v1/models/other:predict").status_code == 404


def test_one_service_too_many_is_dropped_and_counted(service, images):
    assert service.send(v1_request(images[:1, 0]), "other", ce_inferenceservicename="other").status_code == 200
    service.wait(1, "events_dropped_total", reason="too_many_services")
    assert service.value("services") == 1


def test_a_direct_call_gets_the_detectors_answer_in_every_protocol(service, detector, images):
    rows = images[400:430].reshape(30, -1)
    windows, expected = service.value("windows_total"), detector.predict(rows)
    v1 = httpx.post(f"{service.url}/v1/models/watcher:predict", json={"instances": rows.tolist()}).json()
    assert v1["data"]["is_drift"] == expected["data"]["is_drift"]
    assert v1["data"]["p_val"] == pytest.approx(expected["data"]["p_val"])
    assert v1["data"]["distance"] == pytest.approx(expected["data"]["distance"])
    assert v1["meta"] == expected["meta"]
    tensor = {"name": "rows", "shape": list(rows.shape), "datatype": "FP32", "data": rows.ravel().tolist()}
    v2 = httpx.post(f"{service.url}/v2/models/watcher/infer", json={"inputs": [tensor]}).json()
    assert json.loads(v2["outputs"][0]["data"][0]) == v1
    request = pb.ModelInferRequest(
        model_name="watcher",
        inputs=[pb.ModelInferRequest.InferInputTensor(name="rows", datatype="FP32", shape=rows.shape)],
        raw_input_contents=[rows.astype("<f4").tobytes()],
    )
    with grpc.insecure_channel(f"127.0.0.1:{service.server.grpc_port}") as channel:
        reply = GRPCInferenceServiceStub(channel).ModelInfer(request)
    assert json.loads(reply.outputs[0].contents.bytes_contents[0]) == v1
    assert service.value("windows_total") == windows
    assert service.value("requests_total", mode="direct") == 3


@pytest.mark.parametrize(
    ("instances", "reason"),
    [
        ([[0.5] * 63] * 4, "unreadable_request"),
        ([[0.5] * 64], "unreadable_request"),
        ([["a"] * 64] * 4, "wrong_datatype"),
        ([[1.0], [1.0, 2.0]], "wrong_shape"),
        ([[0.5] * 64] * 300, "too_many_instances"),
    ],
)
def test_a_direct_call_that_cannot_be_judged_is_refused(service, instances, reason):
    answer = httpx.post(f"{service.url}/v1/models/watcher:predict", json={"instances": instances})
    assert (answer.status_code, answer.json()["reason"]) == (400, reason)


def test_what_is_exported_is_what_the_list_says(service):
    text = httpx.get(f"{service.url}/metrics").text
    found = {line.split("{")[0].split(" ")[0] for line in text.splitlines() if line.startswith("secmlops_detector_")}
    assert {name for name in found if not name.endswith("_created")} <= set(exported_series())
    for name in ("score", "threshold", "detections_total", "windows_total", "instances_total"):
        assert f"secmlops_detector_{name}" in found


def test_when_the_queue_is_full_events_are_acknowledged_dropped_and_counted(service, images):
    worker, done = worker_pid(service), service.done()
    os.kill(worker, signal.SIGSTOP)
    try:
        statuses = [
            service.send(v1_request(images[:1, 0]), f"flood-{number}").json()["status"] for number in range(QUEUE + 5)
        ]
    finally:
        os.kill(worker, signal.SIGCONT)
    assert statuses == ["accepted"] * QUEUE + ["dropped"] * 5
    assert service.value("events_dropped_total", reason="queue_full") == 5
    service.wait(done + QUEUE + 5, "events_total")
    service.wait(0, "queue_depth")


def test_when_the_judging_process_dies_its_events_are_counted_and_it_comes_back(service, images):
    worker, done = worker_pid(service), service.done()
    os.kill(worker, signal.SIGSTOP)
    for number in range(7):
        service.send(v1_request(images[:1, 0]), f"lost-{number}")
    os.kill(worker, signal.SIGKILL)
    service.wait(1, "worker_restarts_total")
    service.wait(done + 7, "events_total")
    assert service.value("events_dropped_total", reason="worker_lost") == 7
    assert not service.server.is_ready() or worker_pid(service) != worker
    service.send(v1_request(images[:1, 0]), "after")
    service.wait(done + 8, "events_total")
    assert service.server.is_ready()


def test_a_restart_in_mid_window_goes_on_and_still_knows_what_it_saw(service, start_service, bundle, flags, images):
    rows = service.value("window_rows", **WATCHED)
    for number in range(3):
        service.send(v1_request(images[:1, 0]), f"before-{number}")
    assert service.server.stop() == 0, service.server.log_text
    again = start_service("drift", bundle, *flags)
    again.wait(rows + 3, "window_rows", **WATCHED)
    assert "going on with the windows of 1 services" in again.server.log_text
    again.send(v1_request(images[:1, 0]), "before-0")
    again.wait(1, "events_total", result="duplicate")
    for number in range(int(WINDOW - rows - 3)):
        again.send(v1_request(images[:1, 0]), f"rest-{number}")
    again.wait(1, "windows_total", **WATCHED)
    again.server.process.kill()
    again.server.process.wait(30)


def test_a_damaged_state_is_moved_aside_and_a_detector_that_fails_its_check_is_not_served(
    start_service, bundle, flags, state_dir, foundry, digits_bundle, images
):
    (state_dir / FILE).write_bytes(b"no state" * 10)
    service = start_service("drift", bundle, *flags)
    service.wait(1, "state_failures_total", reason="damaged")
    assert not (state_dir / FILE).exists()
    service.send(v1_request(images[:1, 0]), "fresh")
    service.wait(1, "window_rows", **WATCHED)
    service.server.process.kill()
    service.server.process.wait(30)
    assert (state_dir / FILE).with_suffix(".damaged").exists()
    wrong = start_service("drift", digits_bundle, ready=False)
    assert not wrong.server.is_ready()
    assert "not ready: InvalidDetector" in wrong.server.log_text
    answer = wrong.send(v1_request(images[:1, 0]), "early")
    assert (answer.status_code, answer.json()["reason"]) == (503, "not_ready")
    assert wrong.value("events_dropped_total", reason="not_ready") == 1
    assert wrong.value("model_ready") == 0
