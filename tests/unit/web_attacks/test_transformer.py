import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from secmlops.web_attacks.classifier import UNREAD, InvalidModel, TooFewLabels
from secmlops.web_attacks.request import HttpRequest
from secmlops.web_attacks.transformer import byte_tokenizer, training
from secmlops.web_attacks.transformer.classifier import EVIDENCE_CHARS, TransformerClassifier
from secmlops.web_attacks.transformer.config import TransformerConfig
from tests.unit.web_attacks import small_traffic

TINY = TransformerConfig(
    max_tokens=32,
    vocabulary=400,
    width=32,
    layers=1,
    heads=2,
    epochs=6,
    tokens_per_epoch=12_000,
    learning_rate=3e-3,
    mutated_copies=0,
    background=0,
    threads=1,
    seed=3,
)


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def trained(architecture: str, out: Path, **changes) -> tuple[dict[str, float], list[tuple[int, int, str]]]:
    steps: list[tuple[int, int, str]] = []
    metrics = training.train(
        small_traffic.records(200, seed=1),
        small_traffic.records(100, seed=2),
        out,
        replace(TINY, architecture=architecture, **changes),
        max_false_positive_rate=0.02,
        on_progress=lambda done, total, message: steps.append((done, total, message)),
    )
    return metrics, steps


@pytest.fixture(scope="module", params=["distilbert", "mobilebert"])
def folder(request, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp(request.param) / "model"
    trained(request.param, out)
    return out


@pytest.fixture(scope="module")
def classifier(folder) -> TransformerClassifier:
    return TransformerClassifier.from_files(files_of(folder))


def test_the_model_directory_holds_what_a_bundle_may_hold(folder):
    assert set(files_of(folder)) == {"model.onnx", "tokenizer.json", "preprocess.json", "card.json"}


def test_it_learns_to_tell_attacks_from_normal_requests(classifier):
    held_out = small_traffic.records(60, seed=9)
    verdicts = np.array([score.verdict == "attack" for score in classifier.score([r.request for r in held_out])])
    labels = np.array([record.is_attack for record in held_out])
    assert (verdicts == labels).mean() > 0.95


def test_the_attack_class_and_the_part_are_named(classifier):
    held_out = small_traffic.attacks(60, seed=9)
    scores = classifier.score([record.request for record in held_out])
    named = [score.attack_class == record.attack_class for score, record in zip(scores, held_out, strict=True)]
    assert np.mean(named) > 0.8
    assert np.mean([score.part == "query:q" for score in scores]) > 0.9


def test_a_score_is_the_same_alone_in_any_batch_in_any_order_and_in_a_new_process_state(folder, classifier):
    requests = [record.request for record in small_traffic.records(15, seed=5)]
    requests.append(small_traffic.request("x" * 3000 + "' or 1=1--"))
    together = classifier.score(requests)
    fresh = TransformerClassifier.from_files(files_of(folder))
    assert fresh.score(requests[::-1])[::-1] == together
    assert [TransformerClassifier.from_files(files_of(folder)).score([r])[0] for r in requests[-3:]] == together[-3:]


def test_padding_does_not_hide_an_attack(classifier):
    attack = "<script>alert(1)</script>"
    for value in (attack, "a b " * 2000 + attack, attack + " blue shoes" * 2000, "winter " * 900 + attack + "x " * 900):
        assert classifier.score([small_traffic.request(value)])[0].verdict == "attack"


def test_junk_parameters_do_not_hide_an_attack(classifier):
    junk = "&".join(f"p{i}=blue+shoes+{i}" for i in range(400))
    request = HttpRequest("GET", f"/search?{junk}&q=blue%27%20or%2071%3D71--%20&{junk}")
    assert classifier.score([request])[0].verdict == "attack"


def test_what_is_not_read_in_full_does_not_pass(classifier, monkeypatch):
    monkeypatch.setattr(classifier, "threshold", 1.0)  # no window is an attack
    words = " ".join(f"word{number * 7919}" for number in range(12_000)).encode()
    flood, short = (HttpRequest("POST", "/", body=body) for body in (words, words[:200]))
    refused, read = classifier.score([flood, short])
    assert (refused.verdict, refused.part, refused.evidence) == ("attack", "body", UNREAD)
    assert read.verdict == "normal"


def test_the_evidence_is_a_short_piece_of_the_driving_part(classifier):
    payload = "<script>alert(7)</script>"
    for value in (payload, "blue shoes of winter " * 30 + payload):
        score = classifier.score([small_traffic.request(value)])[0]
        assert 0 < len(score.evidence) <= EVIDENCE_CHARS
        assert score.evidence in value
        assert set(score.evidence) & set("<>()")


def test_hostile_text_is_scored(classifier):
    texts = ["", "\0", "%00%ff%c0%ae", "\xff\xfe", "%ED%A0%80", "%u0027", "𝒳" * 40, "[SEP][CLS][PAD]"]
    requests = [HttpRequest("GET", "/?q=" + t.encode("utf-8").decode("latin-1")) for t in texts]
    requests += [HttpRequest("", ""), HttpRequest("GET", "/", body=b"\xed\xa0\x80" * 50)]
    assert all(0 <= score.score <= 1 for score in classifier.score(requests))
    assert classifier.score([]) == []


def test_special_tokens_in_a_request_are_read_as_text(folder):
    tokenizer = byte_tokenizer.load((folder / "tokenizer.json").read_bytes())
    special = {tokenizer.token_to_id(name) for name in (byte_tokenizer.END, byte_tokenizer.PAD, "[QUERY]")}
    assert not special & set(tokenizer.encode("a [SEP] b [PAD] [QUERY]", add_special_tokens=False).ids)


def test_the_card_states_how_equal_the_served_model_is(folder):
    card = json.loads((folder / "card.json").read_bytes())
    equality = card["equality"]
    assert equality["float32_onnx_max_logit_difference"] <= equality["float32_onnx_tolerance"] <= 1e-4
    agrees = equality["int8_verdict_agreement"] >= equality["int8_agreement_tolerance"]
    stays = equality["int8_max_probability_shift"] <= equality["int8_shift_tolerance"]
    assert equality["int8_within_tolerance"] == (agrees and stays)
    # A toy network may lose too much in 8 bits: then it is served in float32, and the card says so.
    assert card["network"]["served_as"] == ("int8" if agrees and stays else "float32")
    assert card["metrics"]["validation_auc"] > 0.95


def test_the_served_network_holds_its_matrices_as_the_card_says(folder):
    import onnx

    served_as = json.loads((folder / "card.json").read_bytes())["network"]["served_as"]
    kinds = {"int8": {onnx.TensorProto.INT8, onnx.TensorProto.UINT8}, "float32": {onnx.TensorProto.FLOAT}}
    model = onnx.load_from_string((folder / "model.onnx").read_bytes())
    matrices = [tensor for tensor in model.graph.initializer if len(tensor.dims) == 2 and min(tensor.dims) >= 16]
    assert matrices and {tensor.data_type for tensor in matrices} <= kinds[served_as]


def test_serving_needs_neither_torch_nor_transformers_nor_scikit_learn(folder):
    program = (
        "import sys, pathlib\n"
        "for name in ('torch', 'transformers', 'sklearn', 'onnx'): sys.modules[name] = None\n"
        "from secmlops.web_attacks.models import load_classifier\n"
        "from secmlops.web_attacks.request import HttpRequest\n"
        "files = {p.name: p.read_bytes() for p in pathlib.Path(sys.argv[1]).iterdir()}\n"
        "attack = HttpRequest('GET', '/?q=%3Cscript%3Ealert(1)%3C/script%3E')\n"
        "print(load_classifier(files).score([attack])[0].verdict)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(folder)], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "attack", done.stderr


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "preprocess.json"])
def test_a_missing_file_is_named(folder, name):
    files = files_of(folder)
    del files[name]
    with pytest.raises(InvalidModel, match=name):
        TransformerClassifier.from_files(files)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("threshold", float("nan")),  # no score would ever reach it
        ("threshold", 1.5),  # likewise
        ("slope", -1.0),  # would turn every verdict round
        ("offset", float("inf")),  # would make every request an attack
        ("max_tokens", 10**9),  # would ask for unbounded memory
        ("classes", []),  # no class to name
        ("surprise", 1),  # not written by us
    ],
)
def test_a_malformed_setting_is_refused_by_name(folder, field, value):
    files = files_of(folder)
    files["preprocess.json"] = json.dumps({**json.loads(files["preprocess.json"]), field: value}).encode()
    with pytest.raises(InvalidModel, match="preprocess"):
        TransformerClassifier.from_files(files)


def test_a_file_that_is_no_network_is_refused(folder):
    with pytest.raises(InvalidModel, match=r"model\.onnx"):
        TransformerClassifier.from_files({**files_of(folder), "model.onnx": b"\x80\x04not onnx"})


def test_a_network_of_another_kind_is_refused(folder):
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    other = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [value], [other])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    with pytest.raises(InvalidModel, match="logit"):
        TransformerClassifier.from_files({**files_of(folder), "model.onnx": model.SerializeToString()})


def test_a_tokenizer_without_the_markers_is_refused(folder):
    tokenizer = json.loads((folder / "tokenizer.json").read_bytes())
    tokenizer["added_tokens"] = [t for t in tokenizer["added_tokens"] if t["content"] != "[COOKIE]"]
    tokenizer["model"]["vocab"] = {k: v for k, v in tokenizer["model"]["vocab"].items() if k != "[COOKIE]"}
    with pytest.raises(byte_tokenizer.UnusableTokenizer, match="COOKIE"):
        TransformerClassifier.from_files({**files_of(folder), "tokenizer.json": json.dumps(tokenizer).encode()})
    with pytest.raises(byte_tokenizer.UnusableTokenizer, match="not a tokenizer"):
        TransformerClassifier.from_files({**files_of(folder), "tokenizer.json": b"[]"})


def test_too_few_labels_are_refused_before_anything_is_written(tmp_path):
    records = small_traffic.normals(50, seed=1) + small_traffic.attacks(19, seed=1)
    with pytest.raises(TooFewLabels, match="19 attack"):
        training.train(records, records, tmp_path / "model", TINY, max_false_positive_rate=0.01)
    with pytest.raises(TooFewLabels, match="0 normal"):
        training.train(
            small_traffic.records(30, seed=1),
            small_traffic.attacks(30, seed=2),
            tmp_path / "model",
            TINY,
            max_false_positive_rate=0.01,
        )
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, float("nan")])
def test_an_impossible_false_positive_rate_is_refused(tmp_path, rate):
    records = small_traffic.records(30, seed=1)
    with pytest.raises(ValueError, match="max_false_positive_rate"):
        training.train(records, records, tmp_path, TINY, max_false_positive_rate=rate)
