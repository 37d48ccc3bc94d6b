"""The component in a pipeline of its own: an evaluation each, the comparison, and a branch on its bool."""

import json
from pathlib import Path

import pytest
import yaml
from kfp import compiler, dsl
from kfp.dsl import Artifact, Output

from components import IMAGE
from components.quality_assurance.compare_with_champion import compare_with_champion
from pipelines.local import run

POLICY = {
    "name": "test-promotion",
    "version": "1.0.0",
    "use_case": "web_attacks",
    "min_labelled": 1,
    "criteria": [{"metric": "recall", "better": "higher", "minimal_gain": 0.02, "tolerance": 0.01, "why": "a test"}],
}


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def evaluated(model: str, recall: float, evaluation: Output[Artifact], evidence: Output[Artifact]):
    from pathlib import Path

    from secmlops.lifecycle.promotion import Measurement, write_measurement

    for folder in (evaluation, evidence):
        Path(folder.path).mkdir(parents=True)
    same = {"data_digest": "sha256:" + "d" * 64, "attacks_digest": "sha256:" + "e" * 64, "labelled": 9}
    measured = Measurement(model_digest="sha256:" + model * 64, metrics={"recall": recall}, **same)
    write_measurement(measured, evaluation.path)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def promoted() -> str:
    return "promoted"


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def kept() -> str:
    return "kept"


@dsl.pipeline(name="promotion")
def pipeline(recall: float, policy: dict = POLICY):
    before = evaluated(model="a", recall=0.9)
    after = evaluated(model="b", recall=recall)
    compared = compare_with_champion(
        champion=before.outputs["evaluation"],
        candidate=after.outputs["evaluation"],
        policy=policy,
        dossier=after.outputs["evidence"],
    )
    with dsl.If(compared.outputs["promote"] == True, name="better"):  # noqa: E712 - kfp builds the condition
        promoted()
    with dsl.Else(name="not-better"):  # the local runner of KFP 2.17 skips an If without Else, whatever its condition
        kept()


@pytest.mark.parametrize(("recall", "branch"), [(0.95, True), (0.91, False)])
def test_only_a_better_candidate_takes_the_branch(tmp_path: Path, recall, branch):
    finished = run(pipeline, {"recall": recall}, tmp_path)

    assert finished.outputs["compare-with-champion"] == {"promote": branch}
    assert ("promoted" in finished.outputs, "kept" in finished.outputs) == (branch, not branch)
    report = finished.reports["compare-with-champion"].read_text()
    assert ("The candidate replaces the champion." if branch else "The champion stays.") in report
    (decision,) = finished.root.glob("*/compare-with-champion/decision")
    assert json.loads(decision.read_text())["promote"] is branch


def test_the_champion_is_optional_and_nothing_is_installed(tmp_path):
    compiler.Compiler().compile(compare_with_champion, str(tmp_path / "component.yaml"))
    compiled = yaml.safe_load((tmp_path / "component.yaml").read_text())
    inputs = compiled["components"]["comp-compare-with-champion"]["inputDefinitions"]["artifacts"]
    assert {name for name, spec in inputs.items() if spec.get("isOptional")} == {"champion"}
    (executor,) = compiled["deploymentSpec"]["executors"].values()
    assert "pip install" not in json.dumps(executor)
