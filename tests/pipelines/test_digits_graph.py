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
    "drill": True,
    "flagged": 0.0,
    "namespace": "secmlops",
    "policy": POLICY,
    "seed": 1,
    "service": "digits",
    "serving_image": f"ghcr.io/secmlops/secmlops-serving:{__version__}",
    "signing_secret": "signing-key",
    "storage_secret": "object-store",
    "theft": True,
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
        {"state-requirements", "load-images", "for-loop-1/train-recipe", "for-loop-1/evaluate-recipe"}
        | {"drill-backdoor", "choose-recipe", "assess-theft", "examine-champion"}
        | {f"{PASSED}/{task}" for task in RELEASE}
        | {f"{REJECTED}/reject-model"}
    )


@pytest.mark.parametrize(
    ("task", "artifact", "producer", "output"),
    [
        ("load-images", "dossier", "state-requirements", "evidence"),
        ("for-loop-1/evaluate-recipe", "model", "train-recipe", "model"),
        ("for-loop-1/evaluate-recipe", "training_evidence", "train-recipe", "evidence"),
        ("drill-backdoor", "dossier", "load-images", "evidence"),
        ("choose-recipe", "dossier", "drill-backdoor", "evidence"),
        ("assess-theft", "champion", "choose-recipe", "champion"),
        ("assess-theft", "dossier", "choose-recipe", "evidence"),
        ("choose-recipe", "requirements", "state-requirements", "requirements"),
        ("choose-recipe", "models", "for-loop-1", "pipelinechannel--train-recipe-model"),
        ("choose-recipe", "evaluations", "for-loop-1", "pipelinechannel--evaluate-recipe-evaluation"),
        ("examine-champion", "champion", "choose-recipe", "champion"),
        ("examine-champion", "test", "load-images", "test"),
        ("examine-champion", "requirements", "state-requirements", "requirements"),
        ("examine-champion", "evaluations", "for-loop-1", "pipelinechannel--evaluate-recipe-evaluation"),
        ("examine-champion", "dossier", "assess-theft", "evidence"),
        (f"{PASSED}/publish-bundle", "bundle", "sign-bundle", "bundle"),
    ],
)
def test_wiring(digits_graph, task, artifact, producer, output):
    source = digits_graph.tasks()[task]["inputs"]["artifacts"][artifact]["taskOutputArtifact"]
    assert (source["producerTask"], source["outputArtifactKey"]) == (producer, output)


def given_images(digits_graph) -> dict[str, set[str]]:
    """For each task that is handed images, which of the sets."""
    found: dict[str, set[str]] = {}
    for path, task in digits_graph.tasks().items():
        for source in task.get("inputs", {}).get("artifacts", {}).values():
            of_task = source.get("taskOutputArtifact", {})
            inner = source.get("componentInputArtifact", "")
            if of_task.get("producerTask") == "load-images" and of_task["outputArtifactKey"] != "evidence":
                found.setdefault(path, set()).add(of_task["outputArtifactKey"])
            if inner.startswith("pipelinechannel--load-images-"):
                found.setdefault(path, set()).add(inner.removeprefix("pipelinechannel--load-images-"))
    return found


def test_only_the_exam_sees_the_test_set_and_no_training_the_images_to_choose_by(digits_graph):
    assert given_images(digits_graph) == {
        "for-loop-1": {"train", "validation", "selection"},
        "for-loop-1/train-recipe": {"train", "validation"},
        "for-loop-1/evaluate-recipe": {"selection"},
        "drill-backdoor": {"train", "validation", "selection"},
        "assess-theft": {"train", "validation", "selection"},
        "examine-champion": {"test"},
    }


def test_drill_and_theft_can_be_left_out(digits_graph):
    tasks = digits_graph.tasks()
    for task, parameter in (("drill-backdoor", "drill"), ("assess-theft", "theft")):
        assert tasks[task]["inputs"]["parameters"]["enabled"] == {"componentInputParameter": parameter}


def test_what_is_released_or_rejected_is_judged_by_the_exam(digits_graph):
    tasks = digits_graph.tasks()
    for path in (PASSED, f"{REJECTED}/reject-model"):
        given = tasks[path]["inputs"]["artifacts"]
        assert given["verdict"]["componentInputArtifact"] == "pipelinechannel--examine-champion-verdict"
        assert given["dossier"]["componentInputArtifact"] == "pipelinechannel--examine-champion-evidence"


def test_the_branches_hang_on_the_gate_and_on_a_boolean(digits_graph):
    conditions = {
        path: task["triggerPolicy"]["condition"]
        for path, task in digits_graph.tasks().items()
        if "condition" in task.get("triggerPolicy", {})
    }
    passed = "inputs.parameter_values['pipelinechannel--examine-champion-Output'] == true"
    assert conditions == {"condition-branches-2/condition-3": passed, REJECTED: f"!({passed})"}
    outputs = digits_graph.spec["components"]["comp-examine-champion"]["outputDefinitions"]["parameters"]
    assert outputs["Output"]["parameterType"] == "BOOLEAN"
