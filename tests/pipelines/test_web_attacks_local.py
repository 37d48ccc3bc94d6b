"""The whole pipeline on this machine: what a passing and a failing gate lead to."""

import copy
import json
from pathlib import Path

import pytest
import yaml

from pipelines.local import LocalRun, PipelineFailed, run, with_local_defaults
from pipelines.web_attacks import POLICY, pipeline
from secmlops import bundle
from secmlops.lifecycle.register import registered
from secmlops.storage.warehouse import open_warehouse

SMALL = {
    "normal": 900,
    "attacks": 250,
    "architectures": ["svm"],
    "attack_rounds": 2,
    "attack_candidates": 3,
    "attacked_requests": 12,
    "detector_window": 40,
    "seed": 3,
}


def policy_with(**bounds: float) -> dict:
    """The pipeline's policy with other bounds for some metrics; the others are dropped."""
    policy = copy.deepcopy(POLICY)
    kept = [requirement for requirement in policy["requirements"] if requirement["metric"] in bounds]
    for requirement in kept:
        kind = "at_least" if "at_least" in requirement else "at_most"
        requirement[kind] = bounds[requirement["metric"]]
    return {**policy, "requirements": kept}


@pytest.fixture
def no_keys_in_environment(monkeypatch):
    # Set first, so that monkeypatch also takes back what the run itself sets.
    for name in ("SECMLOPS_SIGNING_KEY", "SECMLOPS_TRUSTED_KEY"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def run_with(policy: dict, folder: Path) -> LocalRun:
    arguments = with_local_defaults(pipeline, {**SMALL, "policy": policy}, folder)
    return run(pipeline, arguments, folder)


def test_a_model_that_passes_is_signed_published_deployed_and_registered(tmp_path, no_keys_in_environment):
    bounds = {"tpr_at_1pct_fpr": 0.3, "balanced_accuracy": 0.6, "adversarial_auroc": 0.6, "drift_detection_rate": 0.3}
    finished = run_with(policy_with(**bounds), tmp_path)

    uri = finished.outputs["publish-bundle"]["Output"]
    verified = bundle.verify(uri, tmp_path / "keys" / "signing.pub")
    assert verified.verdict.passed

    (manifest,) = finished.root.glob("*/deploy/manifest")
    service = yaml.safe_load(manifest.read_text())
    assert service["metadata"]["annotations"]["secmlops/model-digest"] == verified.model_digest

    with open_warehouse(f"chdb://{tmp_path / 'warehouse'}") as house:
        (row,) = registered(house, "web_attacks")
    assert (row["passed"], row["bundle_uri"], row["model_digest"]) == (True, uri, verified.model_digest)

    provenance = json.loads((Path(uri) / "provenance.json").read_text())
    materials = {item["name"] for item in provenance["predicate"]["buildDefinition"]["resolvedDependencies"]}
    assert {"lab.pcap", "train", "train_sanitized", "test", "policy"} <= materials
    reports = {"prepare-requests", "check-poisoning", "judge-models", "evaluate-detectors", "assure"}
    assert reports <= finished.reports.keys()

    for name in ("drift", "adversarial", "verdict"):
        published = Path(finished.outputs["publish-detectors"][f"{name}_uri"])
        opened = bundle.load(published, tmp_path / "keys" / "signing.pub")
        assert (opened.verdict.use_case, opened.preprocess["kind"]) == ("web_attacks", "detector")
        assert opened.card["operation"]["watches"] == verified.model_digest


def test_detectors_that_fail_the_gate_keep_the_model_from_being_signed(tmp_path, no_keys_in_environment):
    with pytest.raises(PipelineFailed) as failed:
        run_with(policy_with(tpr_at_1pct_fpr=0.3, drift_detection_rate=1.1), tmp_path)

    assert failed.value.step == "sign-detectors"
    assert "drift_detection_rate" in failed.value.reason
    assert not (tmp_path / "published").exists()
    assert not list((tmp_path / "steps").rglob("model.sig"))
    assert "may be served" in (tmp_path / "reports" / "evaluate-detectors.html").read_text()


def test_an_impossible_policy_ends_in_a_failed_run_and_publishes_nothing(tmp_path, no_keys_in_environment):
    with pytest.raises(PipelineFailed) as failed:
        run_with(policy_with(tpr_at_1pct_fpr=0.3, latency_p95_ms=0.0), tmp_path)

    assert failed.value.step == "reject-model"
    assert "latency_p95_ms" in failed.value.reason
    assert not (tmp_path / "published").exists()
    assert not list((tmp_path / "steps").rglob("model.sig"))
    assert not list((tmp_path / "steps").glob("*/sign-bundle*"))
    # Two judgements: the first candidate and the hardened one.
    assert len(list((tmp_path / "steps").glob("*/judge-models*/verdict"))) == 2
    for name in ("judge-models", "judge-models-2"):
        report = (tmp_path / "reports" / f"{name}.html").read_text()
        assert "No model may be served" in report
    with open_warehouse(f"chdb://{tmp_path / 'warehouse'}") as house:
        (row,) = registered(house, "web_attacks")
    assert (row["passed"], row["failed"], row["bundle_uri"]) == (False, ["latency_p95_ms"], "")
