"""The adversarial-input service as it runs: beside a real digits server by events, and in its request path."""

import json

import grpc
import httpx
import numpy as np
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from secmlops.bundle import load, model_digest
from secmlops.detectors.squeezing import FeatureSqueezing, FeatureSqueezingConfig
from secmlops.robustness.squeezing_detector import SqueezingDetectorConfig
from serving.detectors.opening import Sources, WrongDetector, open_subject
from serving.detectors.settings import Settings
from serving.detectors.transformer import AdversarialTransformer, Predictor
from serving.limits import Limits
from serving.refusals import Reason, Refusal
from tests.serving.conftest import ServerProcess
from tests.serving.detectors.conftest import Foundry, Service, v1_request, v2_request

NAME = "digits"
WINDOW = 40
OTHER = f"sha256:{'0' * 64}"
WATCHED = {"detector": NAME, "namespace": "shop", "service": "digits"}


@pytest.fixture(scope="module")
def detector(classifier, images):
    """Feature squeezing with the threshold that one in twenty clean images exceeds."""
    config = SqueezingDetectorConfig(threshold=0.0, false_positive_rate=0.05)
    scores = FeatureSqueezing(FeatureSqueezingConfig(squeezing=config), classifier.network).score(images[:400])
    config = config.model_copy(update={"threshold": float(np.quantile(scores, 0.95))})
    return FeatureSqueezing(FeatureSqueezingConfig(squeezing=config), classifier.network)


@pytest.fixture(scope="module")
def bundle(foundry: Foundry, detector, digits_model):
    return foundry.detector("squeezing", detector, watched_digest=model_digest(digits_model))


@pytest.fixture(scope="module")
def mixed(detector, images) -> tuple[np.ndarray, list[int]]:
    """Twelve real images, some of which the detector flags; and which."""
    found = np.array(detector.predict(images[:400])["data"]["is_adversarial"])
    chosen = np.concatenate([np.flatnonzero(found == 0)[:9], np.flatnonzero(found == 1)[:3]])
    assert len(chosen) == 12
    return images[:400][chosen], found[chosen].tolist()


@pytest.fixture(scope="module")
def predictor(start_server, digits_bundle, foundry) -> ServerProcess:
    return start_server(digits_bundle, foundry.trusted_key, name=NAME)


def in_path(start_service, bundle, digits_bundle, predictor, *flags: str) -> Service:
    host = f"127.0.0.1:{predictor.http_port}"
    watched = (f"--watched_dir={digits_bundle}", f"--predictor_host={host}", *flags)
    return start_service("adversarial", bundle, *watched, name=NAME)


@pytest.fixture(scope="module")
def flagging(start_service, bundle, digits_bundle, predictor) -> Service:
    flags = (f"--window_rows={WINDOW}", "--tick_s=0.05", "--policy=flag")
    return in_path(start_service, bundle, digits_bundle, predictor, *flags)


@pytest.fixture(scope="module")
def refusing(start_service, bundle, digits_bundle, predictor) -> Service:
    return in_path(start_service, bundle, digits_bundle, predictor, "--policy=refuse")


def test_the_flagging_transformer_answers_as_the_predictor_and_says_what_it_flagged(flagging, predictor, mixed):
    images, flags = mixed
    told = {"adversarial": True, "adversarial_instances": "9,10,11"}
    assert flags == [0] * 9 + [1] * 3
    path = f"/v1/models/{NAME}:predict"
    v1 = httpx.post(flagging.url + path, json=v1_request(images)).json()
    assert v1 == httpx.post(predictor.url + path, json=v1_request(images)).json() | {"parameters": told}
    path = f"/v2/models/{NAME}/infer"
    asked = v2_request(images) | {"id": "x"}
    v2 = httpx.post(flagging.url + path, json=asked).json()
    assert v2.pop("parameters") == told
    assert v2 == httpx.post(predictor.url + path, json=asked).json()
    request = pb.ModelInferRequest(
        model_name=NAME,
        inputs=[pb.ModelInferRequest.InferInputTensor(name="images", datatype="FP32", shape=images.shape)],
        raw_input_contents=[images.astype("<f4").tobytes()],
    )
    with grpc.insecure_channel(f"127.0.0.1:{flagging.server.grpc_port}") as channel:
        reply = GRPCInferenceServiceStub(channel).ModelInfer(request)
    assert reply.parameters["adversarial"].bool_param is True
    assert reply.parameters["adversarial_instances"].string_param == "9,10,11"
    labels = next(output for output in reply.outputs if output.name == "label").contents.bytes_contents
    assert [label.decode() for label in labels] == next(o["data"] for o in v2["outputs"] if o["name"] == "label")
    clean = httpx.post(f"{flagging.url}/v1/models/{NAME}:predict", json=v1_request(images[:9])).json()
    assert clean["parameters"] == {"adversarial": False, "adversarial_instances": ""}
    assert flagging.value("requests_total", mode="transformer", outcome="detected") == 3
    assert flagging.value("requests_total", mode="transformer", outcome="clean") == 1


def answered(predictor: ServerProcess) -> float:
    """Images that the predictor has answered."""
    lines = httpx.get(f"{predictor.url}/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("secmlops_digits_answers_total"))


def test_the_refusing_transformer_lets_clean_requests_pass_and_tells_others_nothing(refusing, predictor, mixed):
    images, _ = mixed
    path = f"/v1/models/{NAME}:predict"
    clean = httpx.post(refusing.url + path, json=v1_request(images[:9]))
    assert clean.status_code == 200
    assert len(clean.json()["predictions"]) == 9
    before = answered(predictor)
    for route, body in ((path, v1_request(images)), (f"/v2/models/{NAME}/infer", v2_request(images))):
        refused = httpx.post(refusing.url + route, json=body)
        assert refused.status_code == 403
        document = refused.json()
        assert set(document) == {"error", "reason", "id"}
        assert document["reason"] == "not_accepted"
        assert document["id"] in refusing.server.log_text
        assert "advers" not in refused.text and "squeez" not in refused.text
    assert answered(predictor) == before
    assert refusing.value("requests_total", outcome="refused") == 2
    assert refusing.value("rejected_inputs_total", reason="not_accepted") == 2


def test_what_the_predictor_would_not_read_is_refused_by_either(flagging, refusing):
    for service in (flagging, refusing):
        answer = httpx.post(f"{service.url}/v1/models/{NAME}:predict", json={"instances": [[0.5] * 7]})
        assert (answer.status_code, answer.json()["reason"]) == (400, "wrong_shape")


def test_beside_the_model_instances_are_scored_and_windows_count_the_flagged(flagging, detector, images):
    window, score = images[400 : 400 + WINDOW], detector.predict(images[400 : 400 + WINDOW])["data"]
    for start in range(0, WINDOW, 8):
        assert flagging.send(v2_request(window[start : start + 8]), f"w-{start}").status_code == 200
    flagging.wait(1, "windows_total", **WATCHED)
    flagged = int(score["is_adversarial"].sum())
    assert flagging.value("flagged_instances_total", **WATCHED) == flagged
    assert flagging.value("score", **WATCHED) == flagged / WINDOW
    assert flagging.value("threshold", **WATCHED) == 6 / WINDOW, "of 40 at 5 %, more than 6 come less than once in 100"
    assert flagging.value("instance_score_ratio_count", **WATCHED) == WINDOW
    again = np.repeat(images[:400][detector.predict(images[:400])["data"]["is_adversarial"] == 1], 4, axis=0)[:WINDOW]
    for start in range(0, WINDOW, 8):
        flagging.send(v1_request(again[start : start + 8]), f"a-{start}")
    flagging.wait(1, "detections_total", **WATCHED)
    assert flagging.value("score", **WATCHED) == 1


def test_when_the_predictor_is_away_the_caller_is_told_so_and_no_more(start_service, bundle, digits_bundle, images):
    watched = (f"--watched_dir={digits_bundle}", "--predictor_host=127.0.0.1:1")
    service = start_service("adversarial", bundle, *watched, name=NAME)
    answer = httpx.post(f"{service.url}/v1/models/{NAME}:predict", json=v1_request(images[:1]))
    assert (answer.status_code, answer.json()["reason"]) == (502, "predictor_failed")
    assert "127.0.0.1" not in answer.text


@pytest.mark.parametrize(("card", "reason"), [({}, "no watched_digest"), ({"watched_digest": OTHER}, "another model")])
def test_a_detector_of_another_model_or_of_none_that_is_named_is_refused(
    foundry, detector, digits_bundle, card, reason
):
    unpaired = foundry.detector(f"unpaired-{len(card)}", detector, **card)
    key = str(foundry.trusted_key)
    with pytest.raises(WrongDetector, match=reason):
        open_subject(load(unpaired, key), "adversarial", Sources(unpaired, key, digits_bundle), Settings(), Limits())


class Answers(Predictor):
    """A predictor in the same process."""

    asked = 0

    async def ask(self, name, question, headers):
        self.asked += 1
        return {"predictions": [1]}


@pytest.mark.parametrize("policy", ["flag", "refuse"])
async def test_a_detector_that_fails_closes_the_path_under_refuse_and_says_unknown_under_flag(
    policy, bundle, digits_bundle, foundry, images
):
    predictor = Answers("http://nowhere", 1.0, Limits())
    sources = Sources(bundle, str(foundry.trusted_key), digits_bundle)
    model = AdversarialTransformer("t", sources, Settings(), Limits(), predictor=predictor, policy=policy)
    assert model.load()
    model._asked.answer = lambda question: 1 / 0
    question = json.loads(json.dumps(v1_request(images[:1])))
    if policy == "refuse":
        with pytest.raises(ZeroDivisionError):
            await model.predict(question)
        assert predictor.asked == 0
    else:
        assert await model.predict(question) == {"predictions": [1], "parameters": {"adversarial": "unknown"}}
    model.stop()


def test_direct_calls_beside_the_model_get_the_detectors_answer(bundle, digits_bundle, foundry, detector, images):
    """In process: the doors are the drift service's."""
    from serving.detectors.model import DetectorModel
    from serving.protocol import v1_question, v2_question

    sources = Sources(bundle, str(foundry.trusted_key), digits_bundle)
    model = DetectorModel("direct", "adversarial", sources, Settings(), Limits())
    assert model.load()
    expected = detector.predict(images[:5])["data"]
    for question in (
        v1_question(json.loads(json.dumps(v1_request(images[:5]))), Limits()),
        v2_question(json.loads(json.dumps(v2_request(images[:5]))), b"", "direct"),
    ):
        found = model._asked.answer(question)["data"]
        assert found["instance_score"] == pytest.approx(expected["instance_score"])
        assert found["is_adversarial"].tolist() == expected["is_adversarial"].tolist()
    with pytest.raises(Refusal) as refused:
        model._asked.answer({"instances": [[2.0] * 64]})
    assert refused.value.reason is Reason.WRONG_SHAPE
    model.stop()
