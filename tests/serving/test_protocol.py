"""The V1 and V2 readers: what they take, and that everything else is a refusal and never another exception."""

import json
import struct

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kserve import InferOutput, InferRequest, InferResponse
from kserve.protocol.grpc.grpc_predict_v2_pb2 import ModelInferRequest

from serving.limits import Limits
from serving.protocol import (
    Tensor,
    bytes_elements,
    check_outputs,
    is_deeper,
    parse_json,
    read_v1,
    read_v2,
    respond,
    write,
)
from serving.refusals import Reason, Refusal

LIMITS = Limits(max_instances=4, max_depth=8)
REQUESTS = Tensor("requests", "BYTES")
OUTPUTS = (Tensor("score", "FP64"), Tensor("verdict", "BYTES"))
LENGTH = "inference-header-content-length"


def v2(**change: object) -> dict:
    entry = {"name": "requests", "shape": [1], "datatype": "BYTES", "data": ["GET / HTTP/1.1"]} | change
    return {"inputs": [{key: value for key, value in entry.items() if value is not None}]}


def read(document: object, tail: bytes = b"") -> list[bytes]:
    body = orjson.dumps(document)
    return bytes_elements(read_v2(body + tail, {LENGTH: str(len(body))}, "m", LIMITS), REQUESTS, LIMITS)


def reason_of(call, *args) -> Reason:
    with pytest.raises(Refusal) as caught:
        call(*args)
    return caught.value.reason


def depth_of(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    return 0


keys = st.text(alphabet='[]{}"\\', max_size=3)
json_values = st.recursive(
    st.none() | st.booleans() | st.text(alphabet='[]{}"\\ a\u00e9', max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=20,
)


@given(json_values, st.integers(0, 8))
def test_depth_is_that_of_arrays_and_objects(value, levels):
    assert is_deeper(value, levels) == (depth_of(value) > levels)


def test_deep_json_is_refused_whatever_the_parser_takes():
    assert reason_of(parse_json, b"[" * 9 + b"]" * 9, LIMITS) is Reason.TOO_DEEP
    assert reason_of(parse_json, b"[" * 10_000 + b"]" * 10_000, LIMITS) is Reason.TOO_DEEP
    assert parse_json(b"[" * 8 + b"]" * 8, LIMITS) == [[[[[[[[]]]]]]]]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"GET / HTTP/1.1", b'{"instances": [NaN]}', b'{"instances": ["\xff"]}', b'{"instances": ["\\ud800"]}'],
    ids=["empty", "cut", "http", "nan", "not utf-8", "lone surrogate"],
)
def test_what_is_not_json_is_refused(body):
    assert reason_of(read_v1, body, LIMITS) is Reason.NOT_JSON
    assert reason_of(read_v2, body, {}, "m", LIMITS) is Reason.NOT_JSON


@pytest.mark.parametrize("document", [[], 1, {}, {"instances": {}}, {"instances": "x"}, {"instances": []}])
def test_v1_wrong_shape(document):
    assert reason_of(read_v1, orjson.dumps(document), LIMITS) is Reason.WRONG_SHAPE


def test_v1_takes_instances_up_to_the_limit():
    assert read_v1(b'{"instances": [1, 2], "other": 3}', LIMITS) == {"instances": [1, 2]}
    assert reason_of(read_v1, b'{"instances": [1, 2, 3, 4, 5]}', LIMITS) is Reason.TOO_MANY_INSTANCES


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({}, Reason.WRONG_SHAPE),
        ({"inputs": []}, Reason.WRONG_SHAPE),
        ({"inputs": ["x"]}, Reason.WRONG_SHAPE),
        ({"inputs": v2()["inputs"] * 2}, Reason.WRONG_SHAPE),
        (v2(name="other"), Reason.WRONG_SHAPE),
        (v2(name=None), Reason.WRONG_SHAPE),
        (v2(shape=None), Reason.WRONG_SHAPE),
        (v2(shape=[2]), Reason.WRONG_SHAPE),
        (v2(shape=[1, 1]), Reason.WRONG_SHAPE),
        (v2(shape=[-1]), Reason.WRONG_SHAPE),
        (v2(shape=[True]), Reason.WRONG_SHAPE),
        (v2(shape=[]), Reason.WRONG_SHAPE),
        (v2(shape=[0], data=[]), Reason.WRONG_SHAPE),
        (v2(shape=[10**12]), Reason.WRONG_SHAPE),
        (v2(shape=[5], data=["x"] * 5), Reason.TOO_MANY_INSTANCES),
        (v2(datatype="FP32", data=[1.0]), Reason.WRONG_DATATYPE),
        (v2(datatype=7), Reason.WRONG_SHAPE),
        (v2(data=[1]), Reason.WRONG_DATATYPE),
        (v2(data=None), Reason.WRONG_SHAPE),
        (v2(data=None, parameters={"binary_data_size": -1}), Reason.WRONG_SHAPE),
        (v2(data=None, parameters={"binary_data_size": 99}), Reason.WRONG_SHAPE),
        (v2(parameters=[1]), Reason.WRONG_SHAPE),
        (v2() | {"id": {}}, Reason.WRONG_SHAPE),
        (v2() | {"outputs": [1]}, Reason.WRONG_SHAPE),
        (v2() | {"parameters": {"binary_data_output": "yes"}}, Reason.WRONG_SHAPE),
    ],
)
def test_v2_wrong_requests(document, reason):
    assert reason_of(read, document) is reason


def test_v2_json_strings_are_utf8_bytes():
    assert read(v2(shape=[2], data=["é", "GET"])) == ["é".encode(), b"GET"]


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=4))
def test_v2_binary_tensors_keep_every_byte(elements):
    tail = b"".join(struct.pack("<I", len(e)) + e for e in elements)
    document = v2(shape=[len(elements)], data=None, parameters={"binary_data_size": len(tail)})
    assert read(document, tail) == elements


@given(st.binary(max_size=40), st.integers(0, 44))
def test_lying_binary_tensors_are_refusals(tail, size):
    try:
        elements = read(v2(data=None, parameters={"binary_data_size": size}), tail)
    except Refusal as refusal:
        assert refusal.reason in (Reason.WRONG_SHAPE, Reason.TOO_MANY_INSTANCES)
    else:
        assert struct.pack("<I", len(elements[0])) + elements[0] == tail


@pytest.mark.parametrize("length", ["-1", "1000", "x", "", "٣", "9" * 30])
def test_json_length_header_must_be_true(length):
    assert reason_of(read_v2, b"{}", {LENGTH: length}, "m", LIMITS) is Reason.WRONG_SHAPE


@given(st.binary(max_size=60) | json_values.map(lambda value: json.dumps(value).encode()))
def test_readers_answer_or_refuse(body):
    for call in (lambda: read_v1(body, LIMITS), lambda: read_v2(body, {}, "m", LIMITS)):
        try:
            call()
        except Refusal as refusal:
            assert refusal.status.http == 400


def test_unknown_outputs_are_refused_by_name_of_the_known():
    request = read_v2(orjson.dumps(v2() | {"outputs": [{"name": "secret"}]}), {}, "m", LIMITS)
    with pytest.raises(Refusal, match="score, verdict") as caught:
        check_outputs(request, OUTPUTS)
    assert "secret" not in caught.value.sentence


ANSWERS = [(0.25, "normal"), (0.75, "attack")]
COLUMNS = {"score": [0.25, 0.75], "verdict": ["normal", "attack"]}


def test_v1_answer_has_a_row_per_instance():
    body, _ = write(respond({"instances": [1, 2]}, OUTPUTS, ANSWERS, "m"))
    assert json.loads(body) == {
        "predictions": [{"score": 0.25, "verdict": "normal"}, {"score": 0.75, "verdict": "attack"}]
    }


def ask(**extra: object) -> InferRequest:
    return read_v2(orjson.dumps(v2() | extra), {}, "m", LIMITS)


def test_v2_answer_has_a_tensor_per_column_and_the_id_of_the_question():
    body, headers = write(respond(ask(id="42"), OUTPUTS, ANSWERS, "m"))
    assert json.loads(body) == {
        "id": "42",
        "model_name": "m",
        "outputs": [
            {"name": "score", "shape": [2], "datatype": "FP64", "data": [0.25, 0.75]},
            {"name": "verdict", "shape": [2], "datatype": "BYTES", "data": ["normal", "attack"]},
        ],
    }
    assert headers == {"content-type": "application/json"}


def test_v2_answer_holds_only_the_requested_outputs():
    answer = json.loads(write(respond(ask(outputs=[{"name": "verdict"}]), OUTPUTS, ANSWERS, "m"))[0])
    assert [output["name"] for output in answer["outputs"]] == ["verdict"]


def test_v2_binary_answer_can_be_read_by_kserve():
    for extra in (
        {"parameters": {"binary_data_output": True}},
        {"outputs": [{"name": name, "parameters": {"binary_data": True}} for name in COLUMNS]},
    ):
        body, headers = write(respond(ask(**extra), OUTPUTS, ANSWERS, "m"))
        assert headers["content-type"] == "application/octet-stream"
        answer = InferResponse.from_bytes(body, int(headers[LENGTH]))
        assert {output.name: output.data for output in answer.outputs} == COLUMNS


def test_grpc_answer_is_the_same():
    question = ModelInferRequest(model_name="m", id="7")
    tensor = question.inputs.add(name="requests", datatype="BYTES", shape=[2])
    tensor.contents.bytes_contents.extend([b"\xff", b"GET"])
    request = InferRequest.from_grpc(question)
    assert bytes_elements(request, REQUESTS, LIMITS) == [b"\xff", b"GET"]
    answer = InferResponse.from_grpc(respond(request, OUTPUTS, ANSWERS, "m").to_grpc())
    assert [(o.name, o.data) for o in answer.outputs] == [("score", [0.25, 0.75]), ("verdict", [b"normal", b"attack"])]
    assert all(isinstance(output, InferOutput) for output in answer.outputs)
