"""The web-attacks server as it runs: a real process, a real signed bundle, and all three protocols."""

import base64
import json
import socket
import struct
from dataclasses import asdict

import grpc
import httpx
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from secmlops.bundle import load
from secmlops.web_attacks.http1 import parse_request
from secmlops.web_attacks.models import load_classifier
from tests.serving.conftest import NAME, ServerProcess, tiny_records

V1 = f"/v1/models/{NAME}:predict"
V2 = f"/v2/models/{NAME}/infer"
FIELDS = ("score", "verdict", "attack_class", "part", "evidence")


@pytest.fixture(scope="module")
def server(bundle, workshop, start_server) -> ServerProcess:
    return start_server(bundle, workshop.trusted_key, "--body_timeout_s=1", "--max_instances=64")


@pytest.fixture(scope="module")
def stub(server):
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        yield GRPCInferenceServiceStub(channel)


def post_v1(server: ServerProcess, *instances: object) -> httpx.Response:
    return httpx.post(server.url + V1, json={"instances": instances})


def v2_document(*elements: str, **change: object) -> dict:
    tensor = {"name": "requests", "shape": [len(elements)], "datatype": "BYTES", "data": elements} | change
    return {"id": "q1", "inputs": [tensor]}


def question(*elements: bytes) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name=NAME)
    tensor = request.inputs.add(name="requests", datatype="BYTES", shape=[len(elements)])
    tensor.contents.bytes_contents.extend(elements)
    return request


def rows_v1(server: ServerProcess, instances: list) -> list[dict]:
    answer = post_v1(server, *instances)
    assert answer.status_code == 200, answer.text
    return answer.json()["predictions"]


def rows_v2(server: ServerProcess, elements: list[str]) -> list[dict]:
    answer = httpx.post(server.url + V2, json=v2_document(*elements))
    assert answer.status_code == 200, answer.text
    assert answer.json()["id"] == "q1"
    columns = {output["name"]: output["data"] for output in answer.json()["outputs"]}
    return [dict(zip(FIELDS, row, strict=True)) for row in zip(*(columns[name] for name in FIELDS), strict=True)]


def rows_v2_binary(server: ServerProcess, elements: list[bytes]) -> list[dict]:
    tail = b"".join(struct.pack("<I", len(element)) + element for element in elements)
    document = v2_document(data=None, shape=[len(elements)], parameters={"binary_data_size": len(tail)})
    del document["inputs"][0]["data"]
    start = json.dumps(document).encode()
    headers = {"inference-header-content-length": str(len(start)), "content-type": "application/octet-stream"}
    answer = httpx.post(server.url + V2, content=start + tail, headers=headers)
    assert answer.status_code == 200, answer.text
    columns = {output["name"]: output["data"] for output in answer.json()["outputs"]}
    return [dict(zip(FIELDS, row, strict=True)) for row in zip(*(columns[name] for name in FIELDS), strict=True)]


def rows_grpc(stub: GRPCInferenceServiceStub, elements: list[bytes]) -> list[dict]:
    answer = stub.ModelInfer(question(*elements))
    columns = {
        output.name: list(output.contents.fp64_contents) or [value.decode() for value in output.contents.bytes_contents]
        for output in answer.outputs
    }
    return [dict(zip(FIELDS, row, strict=True)) for row in zip(*(columns[name] for name in FIELDS), strict=True)]


RAW = [
    record.request.to_wire() for record in tiny_records(3, 8)
] + [
    "GET /caf\u00e9?q=\u65e5\u672c\u0027+or+1=1-- HTTP/1.1\r\nHost: a\r\n\r\n".encode(),
    b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\r\n{\"q\": \"\\ud83d <script>alert(1)\"}",
    b"  garbage that is \t not quite http",
]  # fmt: skip
STRUCTURED = [
    {"method": "GET", "uri": "/search?q=red+shirt"},
    {"method": "GET", "url": "http://shop.example/search?q=1' UNION SELECT user,password FROM users--"},
    {"method": "POST", "uri": "/a", "headers": [["Cookie", "a=<script>alert(1)</script>"]], "body": "q=\u00e9"},
    {"method": "POST", "uri": "/a", "headers": {"X-File": "../../../../etc/passwd"}, "body": {"base64": "AP8="}},
    {"raw": "GET /?q=\u00ff HTTP/1.1\r\nHost: a\r\n\r\n"},
]


def test_raw_requests_get_the_same_answer_by_every_protocol(server, stub):
    expected = rows_v1(server, [{"raw_base64": base64.b64encode(raw).decode()} for raw in RAW])
    assert rows_v1(server, [{"raw": raw.decode("latin-1")} for raw in RAW]) == expected
    assert rows_v2(server, [raw.decode("utf-8") for raw in RAW]) == expected
    assert rows_v2_binary(server, RAW) == expected
    assert rows_grpc(stub, RAW) == expected


def test_structured_requests_get_the_same_answer_by_every_protocol(server, stub):
    expected = rows_v1(server, STRUCTURED)
    assert rows_v2(server, [" \n" + json.dumps(item) for item in STRUCTURED]) == expected
    assert rows_v2_binary(server, [json.dumps(item).encode() for item in STRUCTURED]) == expected
    assert rows_grpc(stub, [json.dumps(item).encode() for item in STRUCTURED]) == expected


def test_bytes_that_are_not_utf8_get_the_same_answer(server, stub):
    raw = b"GET /\xff\xfe?q=<script>alert(1)</script>\x00 HTTP/1.1\r\nHost: a\r\n\r\n"
    expected = rows_v1(server, [{"raw_base64": base64.b64encode(raw).decode()}])
    assert rows_v1(server, [{"raw": raw.decode("latin-1")}]) == expected
    assert rows_v2_binary(server, [raw]) == expected
    assert rows_grpc(stub, [raw]) == expected


def test_batching_changes_nothing(server):
    instances = [{"raw": raw.decode("latin-1")} for raw in RAW]
    assert [rows_v1(server, [instance])[0] for instance in instances] == rows_v1(server, instances)


def test_the_answer_is_the_classifiers_own(server, bundle, workshop):
    classifier = load_classifier(load(bundle, workshop.trusted_key).model_files())
    raw = [record.request.to_wire() for record in tiny_records(4, 20)]
    expected = [asdict(score) for score in classifier.score([parse_request(each) for each in raw])]
    assert rows_v1(server, [{"raw": each.decode("latin-1")} for each in raw]) == expected
    assert {row["verdict"] for row in expected} == {"normal", "attack"}
    assert all((row["verdict"] == "attack") == bool(row["attack_class"]) for row in expected)


def test_metadata_is_what_is_served(server, stub):
    metadata = httpx.get(f"{server.url}/v2/models/{NAME}").json()
    assert metadata["inputs"] == [{"name": "requests", "datatype": "BYTES", "shape": [-1]}]
    assert metadata["outputs"] == [
        {"name": name, "datatype": "FP64" if name == "score" else "BYTES", "shape": [-1]} for name in FIELDS
    ]
    answered = httpx.post(server.url + V2, json=v2_document("GET / HTTP/1.1")).json()["outputs"]
    assert [(o["name"], o["datatype"]) for o in answered] == [(o["name"], o["datatype"]) for o in metadata["outputs"]]
    by_grpc = stub.ModelMetadata(pb.ModelMetadataRequest(name=NAME))
    assert [(o.name, o.datatype, list(o.shape)) for o in by_grpc.outputs] == [
        (o["name"], o["datatype"], o["shape"]) for o in metadata["outputs"]
    ]
    assert httpx.get(f"{server.url}/v2").json()["extensions"] == ["binary_tensor_data"]


DEEP = "[" * 10_000 + "]" * 10_000
ONE = {"method": "GET", "uri": "/"}
BAD_BODIES = {
    "v1 not json": (V1, b"not json", 400, "not_json"),
    "v2 not json": (V2, b"not json", 400, "not_json"),
    "v1 empty": (V1, b"", 400, "not_json"),
    "v1 wrong shape": (V1, b'{"instances": {"method": "GET"}}', 400, "wrong_shape"),
    "v2 wrong shape": (V2, b'{"inputs": {"name": "requests"}}', 400, "wrong_shape"),
    "v1 instance is a number": (V1, b'{"instances": [1]}', 400, "unreadable_request"),
    "v1 instance without target": (V1, b'{"instances": [{"method": "GET"}]}', 400, "unreadable_request"),
    "v1 headers of the wrong kind": (V1, b'{"instances": [{"uri": "/", "headers": 7}]}', 400, "unreadable_request"),
    "v1 no base64": (V1, b'{"instances": [{"raw_base64": "%%%"}]}', 400, "unreadable_request"),
    "v1 base64 of a number": (V1, b'{"instances": [{"raw_base64": 7}]}', 400, "unreadable_request"),
    "v1 base64 beyond ascii": (V1, '{"instances": [{"raw_base64": "é"}]}'.encode(), 400, "unreadable_request"),
    "v1 empty raw": (V1, b'{"instances": [{"raw_base64": ""}]}', 400, "unreadable_request"),
    "v1 deep": (V1, DEEP.encode(), 400, "too_deep"),
    "v2 deep": (V2, DEEP.encode(), 400, "too_deep"),
    "v1 deep inside": (V1, f'{{"instances": [{{"uri": {DEEP}}}]}}'.encode(), 400, "too_deep"),
    "v2 deep inside": (V2, json.dumps(v2_document('{"uri": ' + DEEP + "}")).encode(), 400, "too_deep"),
    "v1 lone surrogate": (V1, b'{"instances": [{"uri": "/\\ud800"}]}', 400, "not_json"),
    "v2 lone surrogate": (V2, json.dumps(v2_document("GET /\ud800 HTTP/1.1")).encode(), 400, "not_json"),
    "v2 lone surrogate inside": (V2, json.dumps(v2_document('{"uri": "/\\ud800"}')).encode(), 400, "not_json"),
    "v1 nul byte": (V1, b'{"instances": [{"uri": "/\x00"}]}', 400, "not_json"),
    "v1 escaped nul in the target": (V1, b'{"instances": [{"uri": "/\\u0000"}]}', 400, "unreadable_request"),
    "v1 escaped nul in a header": (
        V1, b'{"instances": [{"uri": "/", "headers": {"a": ["x", "\\u0000"]}}]}', 400, "unreadable_request"
    ),
    "v1 escaped nul in a header's name": (
        V1, b'{"instances": [{"uri": "/", "headers": {"\\u0000": "x"}}]}', 400, "unreadable_request"
    ),
    "v2 escaped nul inside": (V2, json.dumps(v2_document('{"uri": "/\\u0000"}')).encode(), 400, "unreadable_request"),
    "v1 too many": (V1, json.dumps({"instances": [ONE] * 65}).encode(), 400, "too_many_instances"),
    "v2 too many": (V2, json.dumps(v2_document(*["GET / HTTP/1.1"] * 65)).encode(), 400, "too_many_instances"),
    "v2 wrong datatype": (
        V2, json.dumps(v2_document(datatype="FP32", data=[1.0], shape=[1])).encode(), 400, "wrong_datatype"
    ),
    "v2 shape and data differ": (V2, json.dumps(v2_document("GET / HTTP/1.1", shape=[2])).encode(), 400, "wrong_shape"),
    "v2 other input": (V2, json.dumps(v2_document("GET / HTTP/1.1", name="x")).encode(), 400, "wrong_shape"),
    "v2 empty element": (V2, json.dumps(v2_document("")).encode(), 400, "unreadable_request"),
    "repository unload": (f"/v2/repository/models/{NAME}/unload", b"", 403, "blocked"),
    "repository load": (f"/v2/repository/models/{NAME}/load", b"", 403, "blocked"),
    "explain": (f"/v1/models/{NAME}:explain", b"{}", 404, "not_found"),
}  # fmt: skip
INTERNALS = ("Traceback", "Error", "Exception", "site-packages", "/tmp", ".py", "kserve", "secmlops", "orjson")


def assert_refused(answer: httpx.Response, status: int, reason: str) -> None:
    assert (answer.status_code, answer.json()["reason"]) == (status, reason), answer.text
    assert set(answer.json()) == {"error", "reason", "id"}
    assert not [word for word in INTERNALS if word in answer.text]


@pytest.mark.parametrize("case", BAD_BODIES)
def test_bad_requests_are_refused_and_leave_the_server_ready(server, case):
    path, body, status, reason = BAD_BODIES[case]
    assert_refused(httpx.post(server.url + path, content=body), status, reason)
    assert server.is_ready()


@pytest.mark.parametrize("path", [V1, V2])
@pytest.mark.parametrize("chunked", [False, True], ids=["content-length", "chunked"])
def test_50_mb_are_refused(server, path, chunked):
    body = b"x" * 50_000_000
    content = (body[i : i + 1_000_000] for i in range(0, len(body), 1_000_000)) if chunked else body
    assert_refused(httpx.post(server.url + path, content=content), 413, "too_large")
    assert server.is_ready()


def test_a_gzip_bomb_is_not_unpacked(server):
    answer = httpx.post(server.url + V1, content=b"\x1f\x8b\x08", headers={"content-encoding": "gzip"})
    assert_refused(answer, 415, "unsupported_encoding")
    assert server.is_ready()


def test_a_slow_body_is_refused(server):
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=20) as connection:
        connection.sendall(f"POST {V1} HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n{{".encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 408 ")
    assert server.is_ready()


BAD_QUESTIONS = {
    "no input": (pb.ModelInferRequest(model_name=NAME), grpc.StatusCode.INVALID_ARGUMENT),
    "empty": (question(), grpc.StatusCode.INVALID_ARGUMENT),
    "too many": (question(*[b"GET / HTTP/1.1"] * 65), grpc.StatusCode.INVALID_ARGUMENT),
    "unreadable": (question(b""), grpc.StatusCode.INVALID_ARGUMENT),
    "deep": (question(b'{"uri": ' + DEEP.encode() + b"}"), grpc.StatusCode.INVALID_ARGUMENT),
    "nul": (question(b'{"uri": "/\\u0000"}'), grpc.StatusCode.INVALID_ARGUMENT),
    "lone surrogate": (question(b'{"uri": "/\\ud800"}'), grpc.StatusCode.INVALID_ARGUMENT),
    "not json": (question(b"{"), grpc.StatusCode.INVALID_ARGUMENT),
    "too large": (question(b"x" * 6_000_000), grpc.StatusCode.RESOURCE_EXHAUSTED),
    "other model": (pb.ModelInferRequest(model_name="other"), grpc.StatusCode.NOT_FOUND),
}


@pytest.mark.parametrize("case", BAD_QUESTIONS)
def test_bad_grpc_requests_are_refused_and_leave_the_server_ready(server, stub, case):
    request, code = BAD_QUESTIONS[case]
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(request)
    assert caught.value.code() is code
    assert not [word for word in INTERNALS if word in caught.value.details()]
    assert stub.ModelReady(pb.ModelReadyRequest(name=NAME)).ready
    assert server.is_ready()


def test_the_repository_cannot_be_changed_over_grpc(server, stub):
    with pytest.raises(grpc.RpcError) as caught:
        stub.RepositoryModelUnload(pb.RepositoryModelUnloadRequest(model_name=NAME))
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert server.is_ready()


def metric(server: ServerProcess, name: str, **labels: str) -> float:
    text = httpx.get(f"{server.url}/metrics").text
    wanted = "{" + ",".join(f'{key}="{value}"' for key, value in sorted(labels.items())) + "}" if labels else ""
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(f"{name}{wanted} "))


def test_prometheus_sees_verdicts_scores_and_refusals(server):
    attack = {"uri": "/search?q=<script>alert(1)</script>"}
    verdicts = {key: rows_v1(server, [attack])[0][key] for key in ("verdict", "attack_class")}
    assert verdicts["verdict"] == "attack"
    before = metric(server, "secmlops_web_attacks_verdicts_total", **verdicts)
    scored = metric(server, "secmlops_web_attacks_score_count")
    refused = metric(server, "secmlops_web_attacks_rejected_inputs_total", reason="not_json")
    rows_v1(server, [attack] * 3)
    httpx.post(server.url + V1, content=b"{")
    assert metric(server, "secmlops_web_attacks_verdicts_total", **verdicts) == before + 3
    assert metric(server, "secmlops_web_attacks_score_count") == scored + 3
    assert metric(server, "secmlops_web_attacks_rejected_inputs_total", reason="not_json") == refused + 1


def test_prometheus_names_the_model_that_answers(server, workshop):
    digest = workshop.verdict().model_digest
    labels = {"digest": digest, "model_name": NAME, "policy": "tiny", "policy_version": "1.0.0"}
    assert metric(server, "secmlops_web_attacks_model_info", **labels) == 1
    assert metric(server, "secmlops_web_attacks_model_ready", model_name=NAME) == 1


def test_a_request_under_way_is_answered_before_the_server_stops(bundle, workshop, start_server):
    server = start_server(bundle, workshop.trusted_key)
    body = json.dumps({"instances": [ONE]}).encode()
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=20) as connection:
        connection.sendall(f"POST {V1} HTTP/1.1\r\nhost: a\r\ncontent-length: {len(body)}\r\n\r\n".encode())
        assert server.is_ready()
        server.process.terminate()
        connection.sendall(body)
        assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
    assert server.process.wait(30) == 0
    assert "Traceback" not in server.log_text
