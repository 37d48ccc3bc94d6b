import json

import pytest

from secmlops.web_attacks import models
from secmlops.web_attacks.classifier import InvalidModel
from secmlops.web_attacks.models import UnknownModel, load_classifier
from secmlops.web_attacks.svm import training as svm_training
from secmlops.web_attacks.svm.config import SvmConfig
from secmlops.web_attacks.transformer import training as transformer_training
from secmlops.web_attacks.transformer.config import TransformerConfig
from tests.unit.web_attacks import small_traffic

RATE = {"max_false_positive_rate": 0.02}


@pytest.mark.parametrize("model", ["distilbert", "mobilebert"])
def test_a_transformer_gets_its_architecture_and_options(monkeypatch, tmp_path, model):
    calls = []

    def train(train, validation, out, config, **places):
        calls.append((train, validation, out, config, places))
        return {"validation_f1": 1.0}

    monkeypatch.setattr(transformer_training, "train", train)
    records = small_traffic.records(2, seed=1)
    normals = [record.request for record in small_traffic.normals(2, seed=2)]
    metrics = models.train(
        model,
        records,
        records[:1],
        str(tmp_path),
        **RATE,
        seed=7,
        mutated_copies=3,
        weights="s3://models/base",
        site_normals=normals,
        options={"epochs": 2},
    )
    (given, validation, out, config, places) = calls[0]
    assert (metrics, given, validation, out) == ({"validation_f1": 1.0}, records, records[:1], tmp_path)
    assert config == TransformerConfig(
        architecture=model, seed=7, mutated_copies=3, weights_uri="s3://models/base", epochs=2
    )
    assert places["site_normals"] == normals and places["max_false_positive_rate"] == 0.02


def test_the_svm_s_progress_is_told_like_the_others(monkeypatch, tmp_path):
    def train(train, validation, out, config, *, on_progress, **places):
        assert config == SvmConfig(seed=5, mutate=0)
        on_progress("witnesses", 0.4)
        return {}

    monkeypatch.setattr(svm_training, "train", train)
    told = []
    models.train("svm", [], [], tmp_path, **RATE, seed=5, mutated_copies=0, on_progress=lambda *step: told.append(step))
    assert told == [(40, 100, "witnesses")]


def test_an_unknown_model_is_refused_with_the_names_known(tmp_path):
    with pytest.raises(UnknownModel, match="svm, distilbert, mobilebert"):
        models.train("gpt", [], [], tmp_path, **RATE)


@pytest.mark.parametrize(
    ("files", "error", "problem"),
    [
        ({}, InvalidModel, "preprocess.json is missing"),
        ({"preprocess.json": b"\x80\x04"}, InvalidModel, "not JSON"),
        ({"preprocess.json": b"[" * 100_000}, InvalidModel, "not JSON"),
        ({"preprocess.json": b"[]"}, UnknownModel, "svm, transformer"),
        ({"preprocess.json": b'{"kind": "pickle"}'}, UnknownModel, "pickle"),
        ({"preprocess.json": b'{"kind": "svm"}'}, InvalidModel, "missing"),
        ({"preprocess.json": b'{"kind": "transformer"}'}, InvalidModel, "missing"),
    ],
)
def test_files_that_are_no_model_are_refused_with_the_reason(files, error, problem):
    with pytest.raises(error, match=problem):
        load_classifier(files)


def test_a_trained_model_is_loaded_by_its_kind(tmp_path):
    models.train(
        "svm",
        small_traffic.records(60, seed=1),
        small_traffic.records(40, seed=2),
        tmp_path,
        **RATE,
        mutated_copies=0,
        options={"background": 0, "rounds": 1, "folds": 2},
    )
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert json.loads(files["preprocess.json"])["kind"] == "svm"
    classifier = load_classifier(files)
    assert classifier.name == "svm"
    assert classifier.score([small_traffic.attacks(1, seed=9)[0].request])[0].verdict == "attack"
