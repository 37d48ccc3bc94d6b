"""The digits pipeline on this machine, on embedded images: what a passing and a failing gate lead to."""

import json
from pathlib import Path

import pytest
import yaml

from pipelines.digits import POLICY, pipeline
from pipelines.local import LocalRun, PipelineFailed, run, with_local_defaults
from secmlops import bundle
from secmlops.lifecycle.register import registered
from secmlops.storage.warehouse import open_warehouse

POLICY_OF_TWO = {
    **POLICY,
    "requirements": [r for r in POLICY["requirements"] if r["metric"] in ("clean_accuracy", "robust_accuracy")],
}
SMALL = {
    "variant": ["standard", "fgsm"],
    "attacks": ["fgsm", "pgd"],
    "attacked_images": 60,
    "drill": False,
    "theft": False,
    "seed": 3,
    "policy": POLICY_OF_TWO,
}


@pytest.fixture
def no_keys_in_environment(monkeypatch):
    # Set first, so that monkeypatch also takes back what the run itself sets.
    for name in ("SECMLOPS_SIGNING_KEY", "SECMLOPS_TRUSTED_KEY"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def run_with(folder: Path, **arguments) -> LocalRun:
    return run(pipeline, with_local_defaults(pipeline, {**SMALL, **arguments}, folder), folder)


def test_the_hardened_model_passes_where_the_standard_one_fails(tmp_path, no_keys_in_environment):
    finished = run_with(tmp_path)

    assert finished.outputs["choose-recipe"] == {"Output": "fgsm"}
    assert finished.outputs["examine-champion"] == {"Output": True}
    uri = finished.outputs["publish-bundle"]["Output"]
    verified = bundle.verify(uri, tmp_path / "keys" / "signing.pub")
    assert (verified.verdict.use_case, verified.verdict.passed) == ("digits", True)

    (evidence,) = finished.root.glob("*/examine-champion/evidence")
    records = [json.loads(file.read_text())["measured"] for file in evidence.iterdir()]
    (chosen,) = [measured for measured in records if "pareto_front" in measured]
    assert chosen["standard_requirements_failed"] >= 1
    assert chosen["fgsm_requirements_failed"] == 0
    (examined,) = [measured for measured in records if "test_images" in measured]
    assert (examined["champion"], examined["passed"]) == ("fgsm", True)
    (loaded,) = [measured for measured in records if "selection" in measured]
    assert chosen["images"] == loaded["selection"] >= 100
    assert examined["test_images"] == loaded["test"] > 200

    (manifest,) = finished.root.glob("*/deploy/manifest")
    (container,) = yaml.safe_load(manifest.read_text())["spec"]["predictor"]["containers"]
    assert container["command"] == ["python", "-m", "serving.digits"]

    with open_warehouse(f"chdb://{tmp_path / 'warehouse'}") as house:
        (row,) = registered(house, "digits")
    assert (row["passed"], row["bundle_uri"]) == (True, uri)
    assert {
        "load-images",
        "evaluate-recipe-0",
        "evaluate-recipe-1",
        "choose-recipe",
        "examine-champion",
        "assure",
    } <= finished.reports.keys()


def test_the_standard_model_alone_fails_and_nothing_is_published(tmp_path, no_keys_in_environment):
    with pytest.raises(PipelineFailed) as failed:
        run_with(tmp_path, variant=["standard"])

    assert failed.value.step == "reject-model"
    assert "robust_accuracy" in failed.value.reason
    assert not (tmp_path / "published").exists()
    assert not list((tmp_path / "steps").rglob("model.sig"))
    assert "standard fails 1 of 2 requirements" in (tmp_path / "reports" / "choose-recipe.html").read_text()
    page = (tmp_path / "reports" / "examine-champion.html").read_text()
    assert "standard may not be served: it fails 1 of 2 requirements" in page
