"""What a bundle is made of, and what does not become one."""

import json
import math
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from secmlops.bundle import (
    ForbiddenFile,
    MalformedBundle,
    Material,
    MissingKey,
    Provenance,
    TargetNotEmpty,
    VerdictMismatch,
    assemble,
    bytes_digest,
    file_digest,
    load,
    model_digest,
    require_new,
    sign,
    verify,
)
from secmlops.bundle.layout import MODEL_FILES, digest_of
from tests.unit.bundle.conftest import PROVENANCE, make_bundle, make_model, safetensors, verdict_on


def test_a_bundle_holds_the_model_and_its_records(pristine):
    assert sorted(path.name for path in pristine.iterdir()) == [
        "card.json",
        "gate.json",
        "model.sig",
        "preprocess.json",
        "provenance.json",
        "sbom.json",
        "tokenizer.json",
        "weights.safetensors",
    ]


def test_the_digest_of_a_model_is_that_of_its_bundle(pristine):
    assert model_digest(pristine) == model_digest(pristine.parent / "model")


def test_the_digest_depends_on_every_model_file_and_on_nothing_else(tmp_path):
    model = make_model(tmp_path / "model")
    before = model_digest(model)
    (model / "train.log").write_text("epoch 1")
    assert model_digest(model) == before
    for name in ("weights.safetensors", "preprocess.json", "card.json", "tokenizer.json"):
        changed = make_model(tmp_path / name)
        (changed / name).write_bytes(safetensors([9]) if name.endswith("tensors") else b'{"changed": 1}')
        assert model_digest(changed) != before
    (model / "tokenizer.json").unlink()
    assert model_digest(model) != before


@given(st.dictionaries(st.sampled_from([*MODEL_FILES, "gate.json"]), st.binary(max_size=4)))
def test_the_digest_is_independent_of_order_and_of_records(files):
    digests = {name: bytes_digest(data) for name, data in files.items()}
    backwards = {name: digests[name] for name in sorted(digests, reverse=True) if name != "gate.json"}
    assert digest_of(digests) == digest_of(backwards)


def test_anything_else_in_the_model_folder_stays_behind(tmp_path, keys):
    model = make_model(tmp_path / "model")
    (model / "train.log").write_text("epoch 1")
    (model / "optimizer.pkl").write_bytes(b"\x80\x04N.")
    (model / "checkpoints").mkdir()
    bundle = assemble(model, tmp_path / "b", verdict=verdict_on(model_digest(model)), provenance=PROVENANCE)
    sign(bundle, keys.private)
    assert not {"train.log", "optimizer.pkl", "checkpoints"} & {path.name for path in bundle.iterdir()}
    assert verify(bundle, keys.public).model_digest == model_digest(model)


def test_provenance_is_an_in_toto_statement_about_the_model_files(pristine):
    statement = json.loads((pristine / "provenance.json").read_bytes())

    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    assert {row["name"]: f"sha256:{row['digest']['sha256']}" for row in statement["subject"]} == {
        name: file_digest(pristine / name)
        for name in ("card.json", "preprocess.json", "tokenizer.json", "weights.safetensors")
    }
    definition = statement["predicate"]["buildDefinition"]
    assert definition["externalParameters"] == {"model": "svm", "seed": 3}
    assert definition["resolvedDependencies"] == [
        {
            "name": "train",
            "uri": "s3://data/train.parquet",
            "digest": {"sha256": bytes_digest(b"train").removeprefix("sha256:")},
        },
        {"name": "code", "digest": {"gitCommit": "a" * 40}},
    ]
    assert statement["predicate"]["runDetails"]["metadata"]["invocationId"] == "run-7"


@pytest.mark.parametrize(
    "name", ["password", "db_password", "api_key", "AWS_SECRET_ACCESS_KEY", "token", "credentials"]
)
def test_secrets_do_not_get_into_provenance(name):
    with pytest.raises(ValidationError, match="secrets do not belong"):
        Provenance(invocation_id="r", parameters={name: "hunter2"}, materials=PROVENANCE.materials)
    with pytest.raises(ValidationError, match="secrets do not belong"):
        Provenance(invocation_id="r", parameters={"step": [{name: "x"}]}, materials=PROVENANCE.materials)


@pytest.mark.parametrize("value", [math.nan, math.inf, [{"deep": -math.inf}]])
def test_what_is_no_json_does_not_get_into_provenance(value):
    with pytest.raises(ValidationError, match="not JSON"):
        Provenance(invocation_id="r", parameters={"a": value}, materials=PROVENANCE.materials)


def test_words_that_merely_resemble_secrets_do():
    parameters = {"tokenizer": "bytes", "max_tokens": 128, "key_columns": ["a"]}
    assert Provenance(invocation_id="r", parameters=parameters, materials=PROVENANCE.materials).parameters == parameters


def test_a_model_made_from_nothing_has_no_provenance():
    with pytest.raises(ValidationError):
        Provenance(invocation_id="r", parameters={}, materials=())
    with pytest.raises(ValidationError):
        Material(name="train", digest="md5:abc")


def test_the_bill_of_materials_is_valid_cyclonedx(pristine):
    bom = json.loads((pristine / "sbom.json").read_bytes())
    _validate_against_schema(bom)

    kinds = {row["bom-ref"]: row["type"] for row in bom["components"]}
    assert kinds["file:weights.safetensors"] == "file" and kinds["data:0:train"] == "data"
    assert bom["metadata"]["component"]["type"] == "machine-learning-model"
    assert bom["metadata"]["component"]["version"] == model_digest(pristine)
    card = bom["metadata"]["component"]["modelCard"]
    assert card["quantitativeAnalysis"]["performanceMetrics"] == [{"type": "f1", "value": "0.97"}]
    weights = next(row for row in bom["components"] if row["bom-ref"] == "file:weights.safetensors")
    assert f"sha256:{weights['hashes'][0]['content']}" == file_digest(pristine / "weights.safetensors")
    assert any(ref.startswith("pkg:pypi/numpy@") for ref in kinds)
    assert len(kinds) == len(bom["components"])


@pytest.mark.parametrize(
    "card",
    [
        {},
        {"metrics": "none", "limits": {"a": 1}, "task": 5, "name": None},
        {"metrics": {"f1": None, "ok": True, "n": 3}, "limits": ["a", 2], "intended_use": "web"},
    ],
    ids=["empty", "odd types", "lists"],
)
def test_any_card_gives_a_valid_bill_of_materials(tmp_path, card):
    model = make_model(tmp_path / "model")
    (model / "card.json").write_text(json.dumps(card))
    bundle = assemble(model, tmp_path / "b", verdict=verdict_on(model_digest(model)), provenance=PROVENANCE)
    _validate_against_schema(json.loads((bundle / "sbom.json").read_bytes()))


def _validate_against_schema(bom: dict) -> None:
    spec = find_spec("cyclonedx")
    if spec is None or spec.origin is None:
        pytest.skip("cyclonedx-python-lib, which carries the CycloneDX schema, is not installed")
    from jsonschema import Draft7Validator
    from referencing import Registry, Resource

    folder = Path(spec.origin).parent / "schema" / "_res"
    schemas = {name: json.loads((folder / f"{name}.SNAPSHOT.schema.json").read_bytes()) for name in ("bom-1.6", "spdx")}
    schemas["jsf-0.82"] = json.loads((folder / "jsf-0.82.SNAPSHOT.schema.json").read_bytes())
    resources = [Resource.from_contents(schema) for schema in schemas.values()]
    registry = Registry().with_resources((resource.id() or "", resource) for resource in resources)
    errors = list(Draft7Validator(schemas["bom-1.6"], registry=registry).iter_errors(bom))
    assert not errors, errors[0].message


def test_a_verdict_about_another_model_is_not_put_in(tmp_path):
    model = make_model(tmp_path / "model")
    other = make_model(tmp_path / "other", weights=[5])
    with pytest.raises(VerdictMismatch) as caught:
        assemble(model, tmp_path / "b", verdict=verdict_on(model_digest(other)), provenance=PROVENANCE)
    assert caught.value.judged == model_digest(other) and caught.value.found == model_digest(model)
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        pytest.param(lambda m: (m / "weights.safetensors").unlink(), "lacks the model", id="no weights"),
        pytest.param(lambda m: (m / "card.json").unlink(), r"lacks card\.json", id="no card"),
        pytest.param(lambda m: (m / "preprocess.json").unlink(), r"lacks preprocess\.json", id="no preprocessing"),
        pytest.param(lambda m: (m / "card.json").write_text("[]"), "not a JSON object", id="card is a list"),
        pytest.param(lambda m: (m / "card.json").write_text('{"f1": NaN}'), "NaN", id="NaN in the card"),
        pytest.param(lambda m: (m / "card.json").write_text('{"a": 1, "a": 2}'), "twice", id="key twice"),
        pytest.param(lambda m: (m / "card.json").write_bytes(b'{"a": "\xff"}'), "utf-8", id="not UTF-8"),
        pytest.param(
            lambda m: (m / "card.json").write_text('{"a":' + "[" * 100_000 + "]" * 100_000 + "}"), "deep", id="too deep"
        ),
        pytest.param(
            lambda m: (m / "weights.safetensors").write_bytes(safetensors([1]) + b"x"), "follow", id="trailing bytes"
        ),
        pytest.param(
            lambda m: (m / "weights.safetensors").write_bytes(safetensors([1, 2])[:-1]), "follow", id="cut short"
        ),
        pytest.param(
            lambda m: (m / "weights.safetensors").write_bytes(b"\xff" * 8 + b"{}"), "longer", id="header too long"
        ),
    ],
)
def test_a_broken_model_folder_is_refused(tmp_path, break_it, reason):
    model = make_model(tmp_path / "model")
    verdict = verdict_on(model_digest(model))
    break_it(model)
    with pytest.raises(MalformedBundle, match=reason):
        assemble(model, tmp_path / "b", verdict=verdict, provenance=PROVENANCE)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]


def test_a_model_in_two_forms_is_one_model(tmp_path):
    model = make_model(tmp_path / "model")
    one_form = model_digest(model)
    (model / "model.onnx").write_bytes(b"\x08\x08:\x00")
    assert model_digest(model) != one_form
    with pytest.raises(VerdictMismatch):
        assemble(model, tmp_path / "b", verdict=verdict_on(one_form), provenance=PROVENANCE)
    bundle = assemble(model, tmp_path / "b", verdict=verdict_on(model_digest(model)), provenance=PROVENANCE)
    assert {"model.onnx", "weights.safetensors"} <= {path.name for path in bundle.iterdir()}


def test_a_linked_model_file_is_refused(tmp_path):
    model = make_model(tmp_path / "model")
    (model / "card.json").rename(tmp_path / "card.json")
    (model / "card.json").symlink_to(tmp_path / "card.json")
    with pytest.raises(ForbiddenFile, match=r"card\.json"):
        model_digest(model)


def test_what_is_no_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path / "nowhere"):
        with pytest.raises(MalformedBundle, match="not a folder"):
            model_digest(path)


def test_a_bundle_is_not_written_over_anything(tmp_path):
    model = make_model(tmp_path / "model")
    verdict = verdict_on(model_digest(model))
    (tmp_path / "empty").mkdir()
    assert assemble(model, tmp_path / "empty", verdict=verdict, provenance=PROVENANCE) == tmp_path / "empty"
    (tmp_path / "file").write_text("precious")
    require_new(tmp_path / "elsewhere")
    for out in (tmp_path / "empty", tmp_path / "file"):
        with pytest.raises(TargetNotEmpty):
            assemble(model, out, verdict=verdict, provenance=PROVENANCE)
        with pytest.raises(TargetNotEmpty):
            require_new(out)
    assert (tmp_path / "file").read_text() == "precious"


def test_a_key_that_is_not_there_leaves_the_bundle_unsigned(bundle, monkeypatch):
    (bundle / "model.sig").unlink()
    monkeypatch.delenv("SIGNING_KEY", raising=False)
    with pytest.raises(MissingKey, match="SIGNING_KEY"):
        sign(bundle, "env:SIGNING_KEY")
    assert not (bundle / "model.sig").exists()


@pytest.mark.parametrize(
    ("prepare", "error"),
    [
        pytest.param(lambda b: (b / "gate.json").unlink(), MalformedBundle, id="no verdict"),
        pytest.param(lambda b: (b / "notes.txt").write_text("x"), MalformedBundle, id="a file no bundle has"),
        pytest.param(lambda b: (b / ".gitignore").write_text("x"), MalformedBundle, id="a file of git"),
        pytest.param(lambda b: (b / "extra.pkl").write_bytes(b"x"), ForbiddenFile, id="a pickle"),
        pytest.param(lambda b: (b / "sub").mkdir(), ForbiddenFile, id="a folder"),
    ],
)
def test_only_a_proper_bundle_is_signed(bundle, keys, prepare, error):
    (bundle / "model.sig").unlink()
    prepare(bundle)
    with pytest.raises(error):
        sign(bundle, keys.private)
    assert not (bundle / "model.sig").exists()


def test_a_failed_verdict_can_be_bundled_and_signed_for_study(tmp_path, keys):
    assert (make_bundle(tmp_path, keys.private, recall=0.1) / "model.sig").is_file()


def test_a_safetensors_file_of_the_real_library_is_accepted(tmp_path, keys):
    import numpy as np
    from safetensors.numpy import save

    model = make_model(tmp_path / "model")
    tensors = {"w": np.zeros((3, 2), np.float32), "empty": np.zeros(0, np.int64), "b": np.ones(1, np.float16)}
    (model / "weights.safetensors").write_bytes(save(tensors, metadata={"kind": "svm"}))
    bundle = assemble(model, tmp_path / "b", verdict=verdict_on(model_digest(model)), provenance=PROVENANCE)
    sign(bundle, keys.private)
    assert load(bundle, keys.public).read_bytes("weights.safetensors") == save(tensors, metadata={"kind": "svm"})


def test_an_onnx_file_of_the_real_library_is_accepted(tmp_path, keys):
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    x, y = (helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y])
    data = helper.make_model(graph, producer_name="test", doc_string="d").SerializeToString()
    model = make_model(tmp_path / "model")
    (model / "weights.safetensors").unlink()
    (model / "model.onnx").write_bytes(data)
    bundle = assemble(model, tmp_path / "b", verdict=verdict_on(model_digest(model)), provenance=PROVENANCE)
    sign(bundle, keys.private)
    assert load(bundle, keys.public).model_files()["model.onnx"] == data

    for broken in (data[:-1], data + b"\x00", b"\x08\x08", b"\x08\xff", data + b"\x4a\x00"):
        (model / "model.onnx").write_bytes(broken)
        with pytest.raises(MalformedBundle, match="not ONNX"):
            assemble(model, tmp_path / "c", verdict=verdict_on(model_digest(model)), provenance=PROVENANCE)


def test_the_reference_tool_verifies_our_signature(pristine, keys):
    command = [sys.executable, "-m", "model_signing", "verify", "key", "--signature", str(pristine / "model.sig")]
    command += ["--public_key", str(keys.public), str(pristine)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr + done.stdout


def test_importing_the_bundle_is_light():
    heavy = ("torch", "model_signing", "minio", "jinja2")
    code = f"import sys, secmlops.bundle; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr
