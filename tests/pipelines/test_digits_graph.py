"""The compiled graph of the digits pipeline: parameters, tasks, wiring, branches."""

import pytest

from pipelines.digits import ATTACKS, POLICY, VARIANTS
from secmlops import __version__
from secmlops.digits.recipes import RECIPES
from secmlops.robustness import attacks

PARAMETERS = {
    "attacked_images": 200,
    "attacks": ATTACKS,
    "data": "",
    "flagged": 0.0,
    "namespace": "secmlops",
    "policy": POLICY,
    "seed": 1,
    "service": "digits",
    "serving_image": f"ghcr.io/secmlops/secmlops-serving:{__version__}",
    "signing_secret": "signing-key",
    "storage_secret": "object-store",
    "trust_config": "trusted-key",
    "uncertain": 0.0,
    "variant": VARIANTS,
    "warehouse_secret": "clickhouse",
}
REQUIRED = {"warehouse", "publish_to"}
PASSED = "condition-branches-2/condition-3/release"
REJECTED = "condition-branches-2/condition-4"
RELEASE = {"sign-bundle", "assure", "publish-bundle", "deploy", "register-verdict"}


def test_parameters_and_their_defaults(digits_graph):
    declared = digits_graph.spec["root"]["inputDefinitions"]["parameters"]
    assert {name: spec["defaultValue"] for name, spec in declared.items() if "defaultValue" in spec} == PARAMETERS
    assert {name for name, spec in declared.items() if not spec.get("isOptional")} == REQUIRED


def test_the_default_variants_and_attacks_exist():
    assert set(VARIANTS) <= RECIPES.keys() and "standard" in VARIANTS
    assert set(ATTACKS) <= attacks.ATTACKS.keys()


def test_every_family_of_defence_is_among_the_default_variants():
    assert {RECIPES[name].family for name in VARIANTS} >= {
        "none",
        "adversarial training",
        "certified robustness",
        "defensive distillation",
        "input transformation",
        "robust architecture",
    }


def test_every_task_is_where_it_belongs(digits_graph):
    assert set(digits_graph.steps()) == (
        {"state-requirements", "load-images", "for-loop-1/train-recipe", "for-loop-1/evaluate-recipe", "choose-recipe"}
        | {f"{PASSED}/{task}" for task in RELEASE}
        | {f"{REJECTED}/reject-model"}
    )


@pytest.mark.parametrize(
    ("task", "artifact", "producer", "output"),
    [
        ("load-images", "dossier", "state-requirements", "evidence"),
        ("for-loop-1/evaluate-recipe", "model", "train-recipe", "model"),
        ("for-loop-1/evaluate-recipe", "training_evidence", "train-recipe", "evidence"),
        ("choose-recipe", "dossier", "load-images", "evidence"),
        ("choose-recipe", "requirements", "state-requirements", "requirements"),
        ("choose-recipe", "models", "for-loop-1", "pipelinechannel--train-recipe-model"),
        ("choose-recipe", "evaluations", "for-loop-1", "pipelinechannel--evaluate-recipe-evaluation"),
        (f"{PASSED}/publish-bundle", "bundle", "sign-bundle", "bundle"),
    ],
)
def test_wiring(digits_graph, task, artifact, producer, output):
    source = digits_graph.tasks()[task]["inputs"]["artifacts"][artifact]["taskOutputArtifact"]
    assert (source["producerTask"], source["outputArtifactKey"]) == (producer, output)


def test_only_the_judge_sees_the_test_set(digits_graph):
    given = digits_graph.tasks()["for-loop-1/train-recipe"]["inputs"]["artifacts"]
    assert given["train"]["componentInputArtifact"].endswith("load-images-train")
    assert not any("load-images-test" in str(value) for value in given.values())


def test_the_branches_hang_on_the_gate_and_on_a_boolean(digits_graph):
    conditions = {
        path: task["triggerPolicy"]["condition"]
        for path, task in digits_graph.tasks().items()
        if "condition" in task.get("triggerPolicy", {})
    }
    passed = "inputs.parameter_values['pipelinechannel--choose-recipe-passed'] == true"
    assert conditions == {"condition-branches-2/condition-3": passed, REJECTED: f"!({passed})"}
    outputs = digits_graph.spec["components"]["comp-choose-recipe"]["outputDefinitions"]["parameters"]
    assert outputs["passed"]["parameterType"] == "BOOLEAN"
