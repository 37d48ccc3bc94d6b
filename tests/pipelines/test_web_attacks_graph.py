"""The compiled graph is the contract with Kubeflow: parameters, tasks, wiring, resources, secrets."""

import pytest

from pipelines.web_attacks import HARDENED_COPIES, POLICY
from secmlops import __version__

PARAMETERS = {
    "architectures": ["svm", "distilbert", "mobilebert"],
    "attack_candidates": 10,
    "attack_rounds": 20,
    "attacked_requests": 60,
    "attacks": 2400,
    "captures": "",
    "detector_engine": "native",
    "detector_window": 100,
    "mutated_copies": 2,
    "namespace": "secmlops",
    "normal": 3000,
    "policy": POLICY,
    "requests_per_day": 20_000,
    "reviewed_only": True,
    "reviews": "",
    "seed": 1,
    "service": "web-attacks",
    "signing_secret": "signing-key",
    "serving_image": f"ghcr.io/secmlops/secmlops-serving:{__version__}",
    "site_normals": "",
    "storage_secret": "object-store",
    "trust_config": "trusted-key",
    "warehouse_secret": "clickhouse",
    "weights": "",
}
REQUIRED = {"warehouse", "publish_to"}

RELEASE = {"sign-bundle", "assure", "publish-bundle", "deploy", "register-verdict"}
JUDGED = {"fit-detectors", "evaluate-detectors"}
SIGNED = {"sign-detectors", "publish-detectors"}
BRANCH = "condition-branches-2/condition-6"
WATCHED = f"{BRANCH}/condition-branches-3/condition-4"
UNWATCHED = f"{BRANCH}/condition-branches-3/condition-5"
HARDEN = "condition-branches-2/condition-7"
HARDENED_BRANCH = f"{HARDEN}/condition-branches-9/condition-13"
HARDENED_WATCHED = f"{HARDENED_BRANCH}/condition-branches-10/condition-11"
HARDENED_UNWATCHED = f"{HARDENED_BRANCH}/condition-branches-10/condition-12"
REJECTED = f"{HARDEN}/condition-branches-9/condition-14"
PASSED, HARDENED_PASSED = f"{WATCHED}/release", f"{HARDENED_WATCHED}/release-2"


def test_parameters_and_their_defaults(web_attacks_graph):
    declared = web_attacks_graph.spec["root"]["inputDefinitions"]["parameters"]
    assert {name: spec["defaultValue"] for name, spec in declared.items() if "defaultValue" in spec} == PARAMETERS
    assert {name for name, spec in declared.items() if not spec.get("isOptional")} == REQUIRED


def test_every_task_is_where_it_belongs(web_attacks_graph):
    leaves = set(web_attacks_graph.steps())
    assert leaves == (
        {"state-requirements", "gather-captures", "collect-packets", "label-packets", "prepare-requests"}
        | {"check-poisoning", "for-loop-1/train-classifier", "for-loop-1/evaluate-classifier", "judge-models"}
        | {f"{BRANCH}/{task}" for task in JUDGED}
        | {f"{WATCHED}/{task}" for task in SIGNED}
        | {f"{PASSED}/{task}" for task in RELEASE}
        | {f"{HARDEN}/for-loop-8/train-classifier-2", f"{HARDEN}/for-loop-8/evaluate-classifier-2"}
        | {f"{HARDEN}/judge-models-2", f"{REJECTED}/reject-model-3"}
        | {f"{UNWATCHED}/reject-model", f"{HARDENED_UNWATCHED}/reject-model-2"}
        | {f"{HARDENED_BRANCH}/{task}-2" for task in JUDGED}
        | {f"{HARDENED_WATCHED}/{task}-2" for task in SIGNED}
        | {f"{HARDENED_PASSED}/{task}" for task in RELEASE}
    )


@pytest.mark.parametrize(
    ("task", "artifact", "producer", "output"),
    [
        ("collect-packets", "captures", "gather-captures", "captures"),
        ("collect-packets", "dossier", "state-requirements", "evidence"),
        ("label-packets", "dossier", "collect-packets", "evidence"),
        ("label-packets", "ground_truth", "gather-captures", "ground_truth"),
        ("prepare-requests", "dossier", "label-packets", "evidence"),
        ("check-poisoning", "train", "prepare-requests", "train"),
        ("check-poisoning", "dossier", "prepare-requests", "evidence"),
        ("judge-models", "dossier", "check-poisoning", "evidence"),
        ("judge-models", "requirements", "state-requirements", "requirements"),
        ("judge-models", "models", "for-loop-1", "pipelinechannel--train-classifier-model"),
        ("judge-models", "evaluations", "for-loop-1", "pipelinechannel--evaluate-classifier-evaluation"),
        (f"{BRANCH}/evaluate-detectors", "drift", "fit-detectors", "drift"),
        (f"{BRANCH}/evaluate-detectors", "dossier", "fit-detectors", "evidence"),
        (f"{WATCHED}/publish-detectors", "verdict", "sign-detectors", "verdict_bundle"),
        (f"{WATCHED}/publish-detectors", "dossier", "sign-detectors", "evidence"),
        (PASSED, "dossier", "publish-detectors", "evidence"),
        (f"{PASSED}/publish-bundle", "bundle", "sign-bundle", "bundle"),
        (f"{PASSED}/publish-bundle", "dossier", "sign-bundle", "evidence"),
        (f"{PASSED}/deploy", "dossier", "publish-bundle", "evidence"),
        (f"{PASSED}/assure", "dossier", "deploy", "evidence"),
    ],
)
def test_wiring(web_attacks_graph, task, artifact, producer, output):
    source = web_attacks_graph.tasks()[task]["inputs"]["artifacts"][artifact]["taskOutputArtifact"]
    assert (source["producerTask"], source["outputArtifactKey"]) == (producer, output)


@pytest.mark.parametrize(
    ("task", "artifact", "channel"),
    [
        (f"{WATCHED}/sign-detectors", "adversarial", "fit-detectors-adversarial"),
        (f"{WATCHED}/sign-detectors", "adversarial_gate", "evaluate-detectors-adversarial_gate"),
        (f"{WATCHED}/sign-detectors", "dossier", "evaluate-detectors-evidence"),
        (PASSED, "champion", "judge-models-champion"),
        (PASSED, "verdict", "judge-models-verdict"),
        (f"{UNWATCHED}/reject-model", "verdict", "evaluate-detectors-drift_gate"),
        (f"{UNWATCHED}/reject-model", "dossier", "evaluate-detectors-evidence"),
        (f"{HARDENED_UNWATCHED}/reject-model-2", "verdict", "evaluate-detectors-2-drift_gate"),
        (f"{HARDENED_UNWATCHED}/reject-model-2", "dossier", "evaluate-detectors-2-evidence"),
    ],
)
def test_wiring_into_the_branches(web_attacks_graph, task, artifact, channel):
    given = web_attacks_graph.tasks()[task]["inputs"]["artifacts"][artifact]
    assert given == {"componentInputArtifact": f"pipelinechannel--{channel}"}


def test_the_hardened_attempt_is_handed_the_evidence_of_the_refused_one(web_attacks_graph):
    given = web_attacks_graph.tasks()[f"{HARDEN}/judge-models-2"]["inputs"]["artifacts"]["dossier"]
    assert given["componentInputArtifact"].endswith("judge-models-evidence")


def test_only_sanitized_data_is_trained_on_and_only_the_judge_sees_the_test_set(web_attacks_graph):
    tasks = web_attacks_graph.tasks()
    for train in ("for-loop-1/train-classifier", f"{HARDEN}/for-loop-8/train-classifier-2"):
        given = tasks[train]["inputs"]["artifacts"]
        assert given["train"]["componentInputArtifact"].endswith("check-poisoning-sanitized")
        assert given["validation"]["componentInputArtifact"].endswith("prepare-requests-validation")
        assert not any("prepare-requests-test" in str(value) for value in given.values())


def test_detectors_are_fitted_on_all_traffic_and_no_model_is_signed_before_them(web_attacks_graph):
    tasks = web_attacks_graph.tasks()
    for fit, release, publish in (
        (f"{BRANCH}/fit-detectors", PASSED, "publish-detectors"),
        (f"{HARDENED_BRANCH}/fit-detectors-2", HARDENED_PASSED, "publish-detectors-2"),
    ):
        given = tasks[fit]["inputs"]["artifacts"]
        assert given["traffic"]["componentInputArtifact"].endswith("prepare-requests-traffic")
        assert publish in tasks[release]["dependentTasks"]


def test_the_branches_hang_on_the_gate_and_on_a_boolean(web_attacks_graph):
    conditions = {
        path: task["triggerPolicy"]["condition"]
        for path, task in web_attacks_graph.tasks().items()
        if "condition" in task.get("triggerPolicy", {})
    }
    expected = {}
    for gate, passed, failed in (
        ("judge-models", BRANCH, HARDEN),
        ("evaluate-detectors", WATCHED, UNWATCHED),
        ("judge-models-2", HARDENED_BRANCH, REJECTED),
        ("evaluate-detectors-2", HARDENED_WATCHED, HARDENED_UNWATCHED),
    ):
        expected[passed] = f"inputs.parameter_values['pipelinechannel--{gate}-passed'] == true"
        expected[failed] = f"!({expected[passed]})"
    assert conditions == expected
    for component in ("comp-judge-models", "comp-evaluate-detectors"):
        outputs = web_attacks_graph.spec["components"][component]["outputDefinitions"]["parameters"]
        assert outputs["passed"]["parameterType"] == "BOOLEAN"


def test_the_second_attempt_is_hardened(web_attacks_graph):
    given = web_attacks_graph.tasks()[f"{HARDEN}/for-loop-8/train-classifier-2"]["inputs"]["parameters"]
    assert given["mutated_copies"]["runtimeValue"]["constant"] == HARDENED_COPIES > PARAMETERS["mutated_copies"]
