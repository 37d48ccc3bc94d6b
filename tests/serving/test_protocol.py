"""The V1 and V2 readers: what they take, and that everything else is a refusal and never another exception."""

import json
import struct

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kserve import InferOutput, InferRequest, InferResponse
from kserve.protocol.grpc.grpc_predict_v2_pb2 import ModelInferRequest

from serving.limits import Limits
from serving.protocol import (
    Tensor,
    asks_for,
    check_outputs,
    elements,
    is_deeper,
    parse_json,
    read_numbers,
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
    return elements(read_v2(body + tail, {LENGTH: str(len(body))}, "m", LIMITS), [REQUESTS], LIMITS)


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
    assert read_v1(b'{"instances": [1, 2], "other": 3}', LIMITS) == {"instances": [1, 2], "parameters": {}}
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
    assert elements(request, [REQUESTS], LIMITS) == [b"\xff", b"GET"]
    answer = InferResponse.from_grpc(respond(request, OUTPUTS, ANSWERS, "m").to_grpc())
    assert [(o.name, o.data) for o in answer.outputs] == [("score", [0.25, 0.75]), ("verdict", [b"normal", b"attack"])]
    assert all(isinstance(output, InferOutput) for output in answer.outputs)


IMAGES = Tensor("images", "FP32", (-1, 1, 2, 2))
VALUES = [0.0, 0.25, 0.5, 1.0]


def read_images(data: object = None, tail: bytes = b"", **change: object) -> list[np.ndarray]:
    entry = {"name": "images", "shape": [1, 1, 2, 2], "datatype": "FP32", "data": data} | change
    body = orjson.dumps({"inputs": [{key: value for key, value in entry.items() if value is not None}]})
    request = read_v2(body + tail, {LENGTH: str(len(body))}, "m", LIMITS)
    return elements(request, [REQUESTS, IMAGES], LIMITS)


def test_float_tensors_flat_nested_and_binary_are_the_same():
    tail = struct.pack("<4f", *VALUES)
    for found in (
        read_images(VALUES),
        read_images([[[VALUES[:2], VALUES[2:]]]]),
        read_images(tail=tail, parameters={"binary_data_size": 16}),
    ):
        assert len(found) == 1
        assert found[0].dtype == np.float32
        assert found[0].tolist() == [[VALUES[:2], VALUES[2:]]]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param({"data": VALUES, "shape": [1, 4]}, Reason.WRONG_SHAPE, id="other shape"),
        pytest.param({"data": VALUES, "shape": [1, 2, 2, 1]}, Reason.WRONG_SHAPE, id="turned shape"),
        pytest.param({"data": VALUES, "shape": [2, 1, 2, 2]}, Reason.WRONG_SHAPE, id="too few values"),
        pytest.param({"data": VALUES * 2}, Reason.WRONG_SHAPE, id="too many values"),
        pytest.param({"data": [], "shape": [0, 1, 2, 2]}, Reason.WRONG_SHAPE, id="no image"),
        pytest.param({"data": VALUES * 5, "shape": [5, 1, 2, 2]}, Reason.TOO_MANY_INSTANCES, id="too many images"),
        pytest.param({"data": [VALUES[:2], VALUES[2:]]}, Reason.WRONG_SHAPE, id="nested otherwise"),
        pytest.param({"data": [[0, 1], [1]]}, Reason.WRONG_SHAPE, id="ragged"),
        pytest.param({"data": [[0, 1], 1]}, Reason.WRONG_SHAPE, id="numbers and arrays"),
        pytest.param({"data": [[], []]}, Reason.WRONG_SHAPE, id="empty arrays"),
        pytest.param({"data": ["0", 0, 0, 0]}, Reason.WRONG_DATATYPE, id="text"),
        pytest.param({"data": [None, 0, 0, 0]}, Reason.WRONG_DATATYPE, id="null"),
        pytest.param({"data": [True, 0, 0, 0]}, Reason.WRONG_DATATYPE, id="boolean"),
        pytest.param({"data": [{}, 0, 0, 0]}, Reason.WRONG_DATATYPE, id="object"),
        pytest.param({"data": VALUES, "datatype": "FP64"}, Reason.WRONG_DATATYPE, id="doubles"),
        pytest.param({"data": VALUES, "datatype": "BYTES"}, Reason.WRONG_DATATYPE, id="bytes"),
        pytest.param({"data": VALUES, "name": "other"}, Reason.WRONG_SHAPE, id="other name"),
        pytest.param(
            {"tail": bytes(15), "parameters": {"binary_data_size": 15}}, Reason.WRONG_SHAPE, id="binary too short"
        ),
        pytest.param(
            {"tail": bytes(32), "parameters": {"binary_data_size": 32}}, Reason.WRONG_SHAPE, id="binary too long"
        ),
    ],
)
def test_float_tensors_of_another_kind_are_refused(change, reason):
    assert reason_of(lambda: read_images(**change)) is reason


def test_numbers_beyond_float32_become_infinite():
    assert np.isinf(read_images([1e300, -1e300, 2**64 - 1, 0.0])[0]).tolist() == [[[True, True], [False, False]]]


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3), st.lists))
def test_read_numbers_gives_an_array_or_a_refusal(data):
    try:
        assert read_numbers(data).dtype == np.float32
    except (Refusal, OverflowError) as error:
        assert isinstance(error, Refusal) or any(abs(number) > 2**1000 for number in flat(data))


def flat(data: object) -> list[int]:
    return [number for item in data for number in flat(item)] if isinstance(data, list) else [data]


def test_an_output_on_request_is_asked_for_by_parameter_or_name():
    radius = Tensor("certified_radius", "FP64")

    def asked(payload: object) -> bool:
        return asks_for(payload, "certify", radius)

    def v2_request(**document: object) -> InferRequest:
        return read_v2(orjson.dumps(v2() | document), {}, "m", LIMITS)

    assert asked({"instances": [1], "parameters": {"certify": True}})
    assert not asked({"instances": [1], "parameters": {"certify": False}})
    assert not asked({"instances": [1]})
    assert asked(v2_request(parameters={"certify": True}))
    assert asked(v2_request(outputs=[{"name": "certified_radius"}]))
    assert not asked(v2_request(outputs=[{"name": "score"}]))
    question = ModelInferRequest(model_name="m")
    assert not asked(InferRequest.from_grpc(question))
    question.parameters["certify"].bool_param = True
    assert asked(InferRequest.from_grpc(question))
    for wrong in ("yes", 1, None, [True]):
        assert reason_of(asked, {"instances": [1], "parameters": {"certify": wrong}}) is Reason.WRONG_SHAPE
