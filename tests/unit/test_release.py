"""Every step after the gate verifies again what it is handed, and refuses by name."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from secmlops import bundle as bundles
from secmlops import release
from secmlops.bundle.provenance import statement
from secmlops.inference_service import write_inference_service
from secmlops.lifecycle.dossier import hand_on, read_dossier
from secmlops.lifecycle.evidence import Evidence
from secmlops.lifecycle.stages import Stage
from tests.unit.bundle.conftest import Keys, make_bundle, make_model, verdict_on


@pytest.fixture(scope="module")
def keys(tmp_path_factory) -> Keys:
    return Keys(*bundles.keygen(tmp_path_factory.mktemp("keys") / "signing"))


@pytest.fixture(scope="module")
def good(tmp_path_factory, keys) -> Path:
    return make_bundle(tmp_path_factory.mktemp("good"), keys.private)


def flipped_byte(folder: Path, good: Path, keys: Keys) -> Path:
    bad = shutil.copytree(good, folder / "bad")
    data = bytearray((bad / "weights.safetensors").read_bytes())
    data[-1] ^= 1
    (bad / "weights.safetensors").write_bytes(data)
    return bad


def another_key(folder: Path, good: Path, keys: Keys) -> Path:
    bad = shutil.copytree(good, folder / "bad")
    stranger, _ = bundles.keygen(folder / "stranger")
    bundles.sign(bad, stranger)
    return bad


def failed_gate(folder: Path, good: Path, keys: Keys) -> Path:
    return make_bundle(folder, keys.private, recall=0.1)


def copied_verdict(folder: Path, good: Path, keys: Keys) -> Path:
    bad = make_bundle(folder, keys.private, weights=[9, 9, 9])
    shutil.copyfile(good / "gate.json", bad / "gate.json")
    bundles.sign(bad, keys.private)
    return bad


def extra_pickle(folder: Path, good: Path, keys: Keys) -> Path:
    bad = shutil.copytree(good, folder / "bad")
    (bad / "extra.pkl").write_bytes(b"\x80\x04N.")
    return bad


def deploy(bundle_uri: Path | str, folder: Path, *, dossier: str = "no-records-so-far") -> dict[str, Any]:
    """Write the InferenceService of a bundle; the trusted key comes from the environment."""
    write_inference_service(
        *(str(bundle_uri), "web-attacks", "secmlops", "trusted-key", "registry.example/serving:1"),
        *(str(folder / "isvc.yaml"), str(folder / dossier), str(folder / "deployed")),
    )
    return yaml.safe_load((folder / "isvc.yaml").read_text())


BAD = pytest.mark.parametrize(
    ("make", "error"),
    [
        (flipped_byte, bundles.SignatureInvalid),
        (another_key, bundles.UntrustedKey),
        (failed_gate, bundles.GateNotPassed),
        (copied_verdict, bundles.VerdictMismatch),
        (extra_pickle, bundles.ForbiddenFile),
    ],
)


@BAD
def test_publishing_refuses(tmp_path, good, keys, make, error):
    bad = make(tmp_path, good, keys)
    with pytest.raises(error):
        release.publish_bundle(
            str(bad), str(tmp_path / "published"), str(tmp_path), str(tmp_path / "evidence"), key=str(keys.public)
        )
    assert not (tmp_path / "published").exists()
    assert not (tmp_path / "evidence").exists()


@BAD
def test_deploying_refuses(tmp_path, good, keys, make, error, monkeypatch):
    monkeypatch.setenv("SECMLOPS_TRUSTED_KEY", str(keys.public))
    bad = make(tmp_path, good, keys)
    with pytest.raises(error):
        deploy(bad, tmp_path)
    assert not (tmp_path / "isvc.yaml").exists()
    assert not (tmp_path / "deployed").exists()


def test_deploying_without_a_trusted_key_refuses(tmp_path, good, monkeypatch):
    monkeypatch.delenv("SECMLOPS_TRUSTED_KEY", raising=False)
    with pytest.raises(bundles.MissingKey):
        deploy(good, tmp_path)


def test_signing_refuses_a_failed_verdict(tmp_path, keys):
    model = make_model(tmp_path / "model")
    verdict = tmp_path / "verdict.json"
    verdict.write_text(verdict_on(bundles.model_digest(model), recall=0.1).model_dump_json())
    with pytest.raises(bundles.GateNotPassed):
        release.sign_bundle(
            *(str(model), str(verdict), str(tmp_path / "none"), str(tmp_path / "bundle"), str(tmp_path / "evidence")),
            run_id="run",
            key=str(keys.private),
        )
    assert not (tmp_path / "bundle").exists()


def test_a_good_model_is_signed_published_and_deployed(tmp_path, keys, monkeypatch):
    monkeypatch.setenv("SECMLOPS_TRUSTED_KEY", str(keys.public))
    model = make_model(tmp_path / "model")
    digest = bundles.model_digest(model)
    (tmp_path / "verdict.json").write_text(verdict_on(digest).model_dump_json())
    record = Evidence(
        stage=Stage.MODEL_ENGINEERING,
        mitigations=(),
        claim="trained",
        measured={"seed": 3},
        artifacts={"train": bundles.bytes_digest(b"train"), "model": digest},
        producer="train",
    )
    hand_on([], tmp_path / "dossier", record)
    release.sign_bundle(
        *(str(model), str(tmp_path / "verdict.json"), str(tmp_path / "dossier")),
        *(str(tmp_path / "bundle"), str(tmp_path / "evidence")),
        run_id="run-1",
        key=str(keys.private),
    )
    uri = release.publish_bundle(
        *(str(tmp_path / "bundle"), str(tmp_path / "published")),
        *(str(tmp_path / "evidence"), str(tmp_path / "published-evidence")),
        key=str(keys.public),
    )
    service = deploy(uri, tmp_path, dossier="published-evidence")

    records = {item.producer: item for item in read_dossier(tmp_path / "deployed")}
    assert list(records) == ["train", "sign_bundle", "publish_bundle", "deploy"]
    verifying = [name for name, item in records.items() if "AML.M0014" in item.mitigations]
    assert verifying == ["publish_bundle", "deploy"]
    assert {records[name].artifacts["model"] for name in verifying} == {digest}
    provenance = json.loads((Path(uri) / "provenance.json").read_text())["predicate"]["buildDefinition"]
    assert provenance["externalParameters"] == {"train": {"seed": 3}}
    assert next(item["name"] for item in provenance["resolvedDependencies"]) == "train"
    assert service["metadata"]["annotations"]["secmlops/model-digest"] == digest
    (container,) = service["spec"]["predictor"]["containers"]
    assert {"name": "STORAGE_URI", "value": uri} in container["env"]


def trained(architecture: str, seconds: int, *, material: str = "train") -> Evidence:
    return Evidence(
        stage=Stage.MODEL_ENGINEERING,
        mitigations=(),
        claim="trained",
        measured={"architecture": architecture, "copies": seconds},
        artifacts={
            material: bundles.bytes_digest(b"data"),
            "model": bundles.bytes_digest(f"{architecture}{seconds}".encode()),
        },
        producer=f"train_classifier-{architecture}",
        at=datetime.fromtimestamp(seconds, UTC),
    )


def judged(champion: Evidence, seconds: int) -> Evidence:
    return Evidence(
        stage=Stage.QUALITY_ASSURANCE,
        mitigations=(),
        claim="judged",
        artifacts={"policy": bundles.bytes_digest(b"policy"), "champion": champion.artifacts["model"]},
        producer="judge_models",
        at=datetime.fromtimestamp(seconds, UTC),
    )


def test_provenance_is_that_of_the_champion_and_names_what_was_refused_before_it(monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    first, loser, hardened = trained("svm", 1), trained("mobilebert", 2, material="weights"), trained("svm", 4)
    records = [first, loser, judged(first, 3), hardened, judged(hardened, 5)]
    origin = release.provenance(records, "run-1", hardened.artifacts["model"])
    assert origin.parameters == {"train_classifier-svm": {"architecture": "svm", "copies": 4}}
    assert {material.name for material in origin.materials} == {"train", "policy"}
    assert origin.refused == (first.artifacts["model"],)
    assert origin.builder == "urn:secmlops:builder:local"
    definition = statement(origin, {})["predicate"]["buildDefinition"]
    assert definition["internalParameters"] == {
        "refusedModels": [{"sha256": first.artifacts["model"].removeprefix("sha256:")}]
    }


def test_provenance_of_a_first_champion_refuses_nobody_and_knows_a_cluster(monkeypatch):
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    first = trained("svm", 1)
    origin = release.provenance([first, judged(first, 2)], "run-1", first.artifacts["model"])
    assert origin.refused == ()
    assert origin.builder == "urn:secmlops:builder:kubernetes"


def test_a_detector_beside_the_champion_does_not_refuse_it():
    first, hardened = trained("svm", 1), trained("svm", 4)
    data = first.model_copy(update={"artifacts": {"traffic": bundles.bytes_digest(b"data")}})
    records = [data, first, judged(first, 2), hardened, judged(hardened, 5)]
    origin = release.provenance(records, "run-1", bundles.bytes_digest(b"detector"))
    assert origin.refused == (first.artifacts["model"],)


def test_the_inference_service_is_what_kserve_knows(tmp_path, good, keys, monkeypatch):
    """Every key of the resource is one of the SDK's models: a misspelt field would be dropped in silence."""
    monkeypatch.setenv("SECMLOPS_TRUSTED_KEY", str(keys.public))
    service = deploy(good, tmp_path)
    assert list(unknown_fields(service, "V1beta1InferenceService")) == []
    service["spec"]["predictor"]["minReplica"] = 1
    assert list(unknown_fields(service, "V1beta1InferenceService")) == ["spec.predictor.minReplica"]


def test_the_inference_service_starts_a_server_that_becomes_ready(tmp_path, good, keys, monkeypatch):
    """The manifest's own command, arguments and environment, with the bundle where KServe would put it."""
    from serving.server import argument_parser

    monkeypatch.setenv("SECMLOPS_TRUSTED_KEY", keys.public.read_text())
    (container,) = deploy(good, tmp_path)["spec"]["predictor"]["containers"]
    assert container["image"] == "registry.example/serving:1"
    assert container["command"] == ["python", "-m", "serving.web_attacks"]
    (key,) = [item for item in container["env"] if item["name"] == "SECMLOPS_TRUSTED_KEY"]
    assert key["valueFrom"]["configMapKeyRef"] == {"name": "trusted-key", "key": "signing.pub"}
    flags = argument_parser("", "").parse_args(container["args"])
    assert flags.model_dir == Path("/mnt/models") and flags.model_name == "web-attacks"
    assert bundles.verify(good, flags.trusted_key).verdict.passed


def unknown_fields(value, model_name: str, path: str = ""):
    """Paths of fields that the SDK's model of that name does not declare."""
    import kserve.models
    from kubernetes import client

    model = getattr(kserve.models, model_name, None) or getattr(client, model_name, None)
    if model is None or not isinstance(value, dict):
        return
    names = {json_name: attribute for attribute, json_name in model.attribute_map.items()}
    for key, item in value.items():
        here = f"{path}.{key}" if path else key
        if key not in names:
            yield here
            continue
        kind = model.openapi_types[names[key]]
        inner = kind.removeprefix("list[").rstrip("]")
        for part in item if isinstance(item, list) else [item]:
            yield from unknown_fields(part, inner, here)
