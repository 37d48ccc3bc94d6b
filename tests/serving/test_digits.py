"""The digits server as it runs: a real process, a real signed bundle, every protocol, and hostile images."""

import base64
import json
import struct
from pathlib import Path

import grpc
import httpx
import numpy as np
import pytest
import torch
from kserve import InferResponse
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub
from PIL import Image

from secmlops.bundle import Material, Provenance, assemble, bytes_digest, keygen, model_digest, sign
from secmlops.digits.data import load_digits
from secmlops.digits.model import ImageClassifier, ModelConfig, read_model, write_model
from secmlops.lifecycle.gate import judge
from secmlops.lifecycle.policy import Policy, Requirement
from secmlops.robustness.classifiers import ClassifierConfig, build_classifier
from secmlops.robustness.networks import NetworkConfig
from secmlops.robustness.squeezing_detector import SqueezingDetectorConfig
from secmlops.robustness.transformations import MedianConfig
from serving.digits import MAX_CERTIFIED
from tests.serving.conftest import ServerProcess
from tests.unit.images.pictures import HOSTILE, encoded, png

NAME = "digits"
V1 = f"/v1/models/{NAME}:predict"
V2 = f"/v2/models/{NAME}/infer"
SHAPE = (1, 8, 8)
ANSWERED = ("label", "probability", "probabilities", "abstained", "adversarial_score", "adversarial")


def train(classifier: torch.nn.Module, images: np.ndarray, labels: np.ndarray) -> torch.nn.Module:
    optimizer = torch.optim.Adam(classifier.parameters(), 5e-3)
    for _ in range(60):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(classifier(torch.from_numpy(images)), torch.from_numpy(labels)).backward()
        optimizer.step()
    return classifier.eval()


@pytest.fixture(scope="module")
def digits():
    return load_digits()


@pytest.fixture(scope="module")
def made(tmp_path_factory, digits) -> dict[str, tuple[Path, Path]]:
    """Signed bundles, each with its unsigned model: with a detector, and with a restoration of the input."""
    folder = tmp_path_factory.mktemp("digits")
    private_key, trusted_key = keygen(folder / "key")
    member = NetworkConfig(image_shape=SHAPE, classes=10, channels=(8,), hidden=(32,))
    detector = SqueezingDetectorConfig(threshold=0.5, false_positive_rate=0.05)
    classes = digits.train.classes
    plain = ClassifierConfig(members=(member,))
    restored = ClassifierConfig(members=(member,), transformation=MedianConfig(size=2))
    policy = Policy(
        name="tiny",
        version="1.0.0",
        use_case="digits",
        operating_point={"eps": 0.1},
        requirements=[
            Requirement(metric="clean", at_least=0.5, why="a test", risk="none", mitigation="AML.M0008"),
        ],
    )
    bundles = {}
    for name, config in {
        "detector": ModelConfig(classes=classes, classifier=plain, detector=detector, abstain_below=0.6),
        "restored": ModelConfig(classes=classes, classifier=restored),
    }.items():
        torch.manual_seed(0)
        network = train(build_classifier(config.classifier), digits.train.images, digits.train.labels)
        model = folder / f"{name}-model"
        write_model(model, network, config, images=digits.validation.images)
        verdict = judge(policy, {"clean": 0.9}, model_digest(model))
        provenance = Provenance(
            invocation_id="test", parameters={}, materials=(Material(name="train", digest=bytes_digest(b"tiny")),)
        )
        assemble(model, folder / name, verdict=verdict, provenance=provenance)
        sign(folder / name, private_key)
        bundles[name] = model, folder / name
    return bundles | {"key": (trusted_key, trusted_key)}


@pytest.fixture(scope="module")
def server(made, start_server) -> ServerProcess:
    return start_server(made["detector"][1], made["key"][0], "--max_instances=64", name=NAME)


@pytest.fixture(scope="module")
def library(made) -> ImageClassifier:
    return read_model(made["detector"][0])


@pytest.fixture(scope="module")
def stub(server):
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        yield GRPCInferenceServiceStub(channel)


@pytest.fixture(scope="module")
def images(digits) -> np.ndarray:
    """Digits that 8 bits can hold, so that a PNG file says the same; and noise."""
    noise = np.random.default_rng(0).random((8, *SHAPE), dtype=np.float32)
    return (np.rint(np.concatenate([digits.test.images[:24], noise]) * 255) / 255).astype(np.float32)


def as_png(image: np.ndarray) -> bytes:
    return encoded(Image.fromarray(np.rint(image[0] * 255).astype(np.uint8), "L"))


def v1(server: ServerProcess, instances: list, **document: object) -> list[dict]:
    answer = httpx.post(server.url + V1, json={"instances": instances} | document)
    assert answer.status_code == 200, answer.text
    return answer.json()["predictions"]


def rows(columns: dict[str, list], names: tuple[str, ...] = ANSWERED) -> list[dict]:
    """Instances out of output tensors."""
    count = len(columns["label"])
    columns = columns | {"probabilities": np.reshape(columns["probabilities"], (count, -1)).tolist()}
    assert set(columns) == set(names)
    return [dict(zip(names, row, strict=True)) for row in zip(*(columns[name] for name in names), strict=True)]


def float_document(images: np.ndarray, **change: object) -> dict:
    tensor = {"name": "images", "shape": list(images.shape), "datatype": "FP32", "data": images.tolist()} | change
    return {"inputs": [tensor]}


def v2(server: ServerProcess, document: dict, names: tuple[str, ...] = ANSWERED) -> list[dict]:
    answer = httpx.post(server.url + V2, json=document)
    assert answer.status_code == 200, answer.text
    return rows({output["name"]: output["data"] for output in answer.json()["outputs"]}, names)


def v2_binary(server: ServerProcess, name: str, datatype: str, shape: list[int], tail: bytes) -> list[dict]:
    tensor = {"name": name, "shape": shape, "datatype": datatype, "parameters": {"binary_data_size": len(tail)}}
    start = json.dumps({"inputs": [tensor]}).encode()
    headers = {"inference-header-content-length": str(len(start)), "content-type": "application/octet-stream"}
    answer = httpx.post(server.url + V2, content=start + tail, headers=headers)
    assert answer.status_code == 200, answer.text
    return rows({output["name"]: output["data"] for output in answer.json()["outputs"]})


def by_grpc(
    stub: GRPCInferenceServiceStub, request: pb.ModelInferRequest, names: tuple[str, ...] = ANSWERED
) -> list[dict]:
    columns = {}
    for output in InferResponse.from_grpc(stub.ModelInfer(request)).outputs:
        values = output.as_numpy().ravel().tolist()
        columns[output.name] = [value.decode() if isinstance(value, bytes) else value for value in values]
    return rows(columns, names)


def question(images: np.ndarray) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name=NAME)
    tensor = request.inputs.add(name="images", datatype="FP32", shape=images.shape)
    tensor.contents.fp32_contents.extend(images.ravel().tolist())
    return request


def test_arrays_get_the_librarys_answer_by_every_protocol(server, stub, library, images):
    found = library.predict(images, batch=1)
    expected = [
        {
            "label": library.config.classes[found.labels[index]],
            "probability": float(found.probabilities[index].max()),
            "probabilities": found.probabilities[index].tolist(),
            "abstained": bool(found.abstained[index]),
            "adversarial_score": float(found.adversarial_scores[index]),
            "adversarial": bool(found.adversarial[index]),
        }
        for index in range(len(images))
    ]
    assert v1(server, images.tolist()) == expected
    assert v1(server, images[:, 0].tolist()) == expected
    assert v2(server, float_document(images)) == expected
    assert v2(server, float_document(images, data=images.ravel().tolist())) == expected
    assert v2_binary(server, "images", "FP32", list(images.shape), images.astype("<f4").tobytes()) == expected
    assert by_grpc(stub, question(images)) == expected
    raw = pb.ModelInferRequest(model_name=NAME)
    raw.inputs.add(name="images", datatype="FP32", shape=images.shape)
    raw.raw_input_contents.append(images.astype("<f4").tobytes())
    assert by_grpc(stub, raw) == expected
    assert len({answer["label"] for answer in expected}) > 5
    assert {answer["abstained"] for answer in expected} == {True, False}


def test_files_get_the_same_answer_as_arrays(server, stub, images):
    expected = v1(server, images.tolist())
    files = [as_png(image) for image in images]
    assert v1(server, [{"image_base64": base64.b64encode(file).decode()} for file in files]) == expected
    tail = b"".join(struct.pack("<I", len(file)) + file for file in files)
    assert v2_binary(server, "encoded_images", "BYTES", [len(files)], tail) == expected
    request = pb.ModelInferRequest(model_name=NAME)
    request.inputs.add(name="encoded_images", datatype="BYTES", shape=[len(files)]).contents.bytes_contents.extend(
        files
    )
    assert by_grpc(stub, request) == expected


def test_batching_changes_nothing(server, images):
    assert [v1(server, [image])[0] for image in images.tolist()] == v1(server, images.tolist())


def test_binary_answers_say_the_same(server, images):
    document = float_document(images) | {"parameters": {"binary_data_output": True}}
    answer = httpx.post(server.url + V2, json=document)
    length = int(answer.headers["inference-header-content-length"])
    offset, found = length, {}
    for output in json.loads(answer.content[:length])["outputs"]:
        size = output["parameters"]["binary_data_size"]
        found[output["name"]] = output["shape"], answer.content[offset : offset + size]
        offset += size
    expected = v1(server, images.tolist())
    shape, data = found["probabilities"]
    assert np.frombuffer(data, "<f4").reshape(shape).tolist() == [row["probabilities"] for row in expected]
    assert np.frombuffer(found["abstained"][1], "?").tolist() == [row["abstained"] for row in expected]


def test_a_certified_radius_is_given_on_request(server, stub, library, images):
    asked = images[:6]
    expected = library.certified_radii(asked, library.predict(asked).labels).tolist()
    names = (*ANSWERED, "certified_radius")
    assert max(expected) > 0
    for found in (
        v1(server, asked.tolist(), parameters={"certify": True}),
        v2(server, float_document(asked) | {"parameters": {"certify": True}}, names),
    ):
        assert [row["certified_radius"] for row in found] == expected
    by_name = float_document(asked) | {"outputs": [{"name": "certified_radius"}]}
    assert httpx.post(server.url + V2, json=by_name).json()["outputs"] == [
        {"name": "certified_radius", "shape": [6], "datatype": "FP64", "data": expected}
    ]
    request = question(asked)
    request.parameters["certify"].bool_param = True
    assert [row["certified_radius"] for row in by_grpc(stub, request, names)] == expected
    assert "certified_radius" not in v1(server, asked.tolist())[0]


def test_a_restored_model_serves_and_gives_no_certificates(made, start_server, images):
    server = start_server(made["restored"][1], made["key"][0], name=NAME)
    library = read_model(made["restored"][0]).predict(images, batch=1)
    found = v1(server, images.tolist())
    assert [row["probabilities"] for row in found] == library.probabilities.tolist()
    assert set(found[0]) == {"label", "probability", "probabilities", "abstained"}
    refused = httpx.post(server.url + V1, json={"instances": images[:1].tolist(), "parameters": {"certify": True}})
    assert_refused(refused, 400, "not_certifiable")


def test_metadata_is_what_is_served(server, stub):
    metadata = httpx.get(f"{server.url}/v2/models/{NAME}").json()
    assert metadata["inputs"] == [
        {"name": "images", "datatype": "FP32", "shape": [-1, *SHAPE]},
        {"name": "encoded_images", "datatype": "BYTES", "shape": [-1]},
    ]
    assert [(o["name"], o["datatype"], o["shape"]) for o in metadata["outputs"]] == [
        ("label", "BYTES", [-1]),
        ("probability", "FP32", [-1]),
        ("probabilities", "FP32", [-1, 10]),
        ("abstained", "BOOL", [-1]),
        ("adversarial_score", "FP32", [-1]),
        ("adversarial", "BOOL", [-1]),
        ("certified_radius", "FP64", [-1]),
    ]
    by_rpc = stub.ModelMetadata(pb.ModelMetadataRequest(name=NAME))
    assert [(o.name, list(o.shape)) for o in by_rpc.outputs] == [(o["name"], o["shape"]) for o in metadata["outputs"]]


GOOD = np.zeros((1, *SHAPE), np.float32)


def with_pixel(value: object) -> list:
    image = GOOD[0].tolist()
    image[0][3][3] = value
    return image


def instances(*given: object, **document: object) -> bytes:
    return json.dumps({"instances": given} | document).encode()


def binary(pixel: float) -> tuple[bytes, dict[str, str]]:
    image = GOOD.copy()
    image[0, 0, 3, 3] = pixel
    tensor = {
        "name": "images",
        "shape": [1, *SHAPE],
        "datatype": "FP32",
        "parameters": {"binary_data_size": image.nbytes},
    }
    start = json.dumps({"inputs": [tensor]}).encode()
    return start + image.tobytes(), {"inference-header-content-length": str(len(start))}


BAD_ARRAYS = {
    "not json, so no NaN": (V1, b'{"instances": [[[NaN]]]}', "not_json"),
    "too bright": (V1, instances(with_pixel(1.01)), "out_of_range"),
    "as bytes from 0 to 255": (V1, instances(with_pixel(255)), "out_of_range"),
    "negative": (V1, instances(with_pixel(-0.01)), "out_of_range"),
    "beyond float32": (V1, instances(with_pixel(1e300)), "out_of_range"),
    "too small": (V1, instances(GOOD[0, :, :7].tolist()), "wrong_shape"),
    "two channels": (V1, instances([GOOD[0, 0].tolist()] * 2), "wrong_shape"),
    "one level too deep": (V1, instances(GOOD.tolist()), "wrong_shape"),
    "flat": (V1, instances(GOOD.ravel().tolist()), "wrong_shape"),
    "ragged": (V1, instances([[[0.0] * 8] * 7 + [[0.0] * 7]]), "wrong_shape"),
    "empty": (V1, instances([]), "wrong_shape"),
    "text among numbers": (V1, instances(with_pixel("0")), "wrong_datatype"),
    "null among numbers": (V1, instances(with_pixel(None)), "wrong_datatype"),
    "a number": (V1, instances(7), "unreadable_request"),
    "text": (V1, instances("image"), "unreadable_request"),
    "null": (V1, instances(None), "unreadable_request"),
    "an object of another kind": (V1, instances({"image": [0]}), "unreadable_request"),
    "no base64": (V1, instances({"image_base64": "%%"}), "unreadable_request"),
    "base64 of a number": (V1, instances({"image_base64": 7}), "unreadable_request"),
    "base64 of nothing": (V1, instances({"image_base64": ""}), "unreadable_request"),
    "second instance is bad": (V1, instances(GOOD[0].tolist(), with_pixel(2)), "out_of_range"),
    "parameters that are none": (V1, instances(GOOD[0].tolist(), parameters=[1]), "wrong_shape"),
    "certify that is no boolean": (V1, instances(GOOD[0].tolist(), parameters={"certify": "yes"}), "wrong_shape"),
    "too many instances": (V1, instances(*[GOOD[0].tolist()] * 65), "too_many_instances"),
    "v2 too bright": (V2, json.dumps(float_document(GOOD + 2)).encode(), "out_of_range"),
    "v2 other shape": (V2, json.dumps(float_document(GOOD[:, :, :7])).encode(), "wrong_shape"),
    "v2 shape that lies": (V2, json.dumps(float_document(GOOD, shape=[2, *SHAPE])).encode(), "wrong_shape"),
    "v2 huge shape": (V2, json.dumps(float_document(GOOD, shape=[2**31 - 1, *SHAPE])).encode(), "too_many_instances"),
    "v2 doubles": (V2, json.dumps(float_document(GOOD, datatype="FP64")).encode(), "wrong_datatype"),
    "v2 other output": (
        V2, json.dumps(float_document(GOOD) | {"outputs": [{"name": "weights"}]}).encode(), "wrong_shape"
    ),
}  # fmt: skip
INTERNALS = ("Traceback", "Error", "Exception", "site-packages", "/tmp", ".py", "kserve", "secmlops", "PIL", "numpy")


def assert_refused(answer: httpx.Response, status: int, reason: str) -> None:
    assert (answer.status_code, answer.json()["reason"]) == (status, reason), answer.text
    assert set(answer.json()) == {"error", "reason", "id"}
    assert not [word for word in INTERNALS if word in answer.text]


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_bad_arrays_are_refused_and_leave_the_server_ready(server, case):
    path, body, reason = BAD_ARRAYS[case]
    assert_refused(httpx.post(server.url + path, content=body), 400, reason)
    assert server.is_ready()


@pytest.mark.parametrize("pixel", [np.nan, np.inf, -np.inf, 1.001, -0.001])
def test_bad_binary_pixels_are_refused(server, stub, pixel):
    body, headers = binary(pixel)
    assert_refused(httpx.post(server.url + V2, content=body, headers=headers), 400, "out_of_range")
    image = GOOD.copy()
    image[0, 0, 0, 0] = pixel
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(question(image))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert server.is_ready()


@pytest.mark.parametrize("case", [case for case in HOSTILE if case != "empty"])
def test_hostile_files_are_refused_and_leave_the_server_ready(server, stub, case):
    """Every hostile file of the images' tests, over V1 and gRPC."""
    data = HOSTILE[case][0]
    if "wrong_shape" not in HOSTILE[case][1]:
        assert len(data) < 4_000_000
    document = {"instances": [{"image_base64": base64.b64encode(data).decode()}]}
    assert_refused(httpx.post(server.url + V1, json=document), 400, "unreadable_request")
    request = pb.ModelInferRequest(model_name=NAME)
    request.inputs.add(name="encoded_images", datatype="BYTES", shape=[1]).contents.bytes_contents.append(data)
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(request)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert not [word for word in INTERNALS if word in caught.value.details()]
    assert server.is_ready()


def test_a_small_image_that_is_16_bit_is_refused(server):
    data = png(8, 8, depth=16, rows=bytes(8 * 17))
    document = {"instances": [{"image_base64": base64.b64encode(data).decode()}]}
    answer = httpx.post(server.url + V1, json=document)
    assert_refused(answer, 400, "unreadable_request")
    assert "16 bits" in answer.json()["error"]


def test_certificates_are_bounded(server):
    random = np.random.default_rng(5).random((MAX_CERTIFIED + 1, *SHAPE), dtype=np.float32)
    body = {"instances": random.tolist(), "parameters": {"certify": True}}
    assert_refused(httpx.post(server.url + V1, json=body), 400, "too_many_instances")
    assert server.is_ready()


def metric(server: ServerProcess, name: str) -> float:
    lines = httpx.get(f"{server.url}/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))


def test_prometheus_sees_answers_flags_and_refusals(server, images):
    found = v1(server, images.tolist())
    names = ("answers_total", "adversarial_total", "probability_count", "rejected_inputs_total")
    before = [metric(server, f"secmlops_digits_{name}") for name in names]
    v1(server, images.tolist())
    httpx.post(server.url + V1, content=b"{")
    gained = [metric(server, f"secmlops_digits_{name}") - old for name, old in zip(names, before, strict=True)]
    assert gained == [len(images), sum(row["adversarial"] for row in found), len(images), 1]
