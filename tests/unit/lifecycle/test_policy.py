"""A policy that is misread lets models through: everything unclear is refused."""

import math
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from secmlops.lifecycle.gate import judge
from secmlops.lifecycle.policy import MAX_POLICY_BYTES, PolicyInvalid, load_policy, parse_policy
from tests.unit.lifecycle.conftest import policy_of, requirement

POLICIES = Path(__file__).resolve().parents[3] / "pipelines" / "policies"


def test_the_shipped_policy_is_valid_and_names_the_metrics_of_the_evaluation():
    policy = load_policy(POLICIES / "web_attacks.yaml")

    assert policy.use_case == "web_attacks"
    assert {requirement.metric for requirement in policy.requirements_of("model")} == {
        "tpr_at_1pct_fpr",
        "false_positive_rate",
        "balanced_accuracy",
        "probe_fpr",
        "evasion_rate",
        "expected_calibration_error",
        "latency_p95_ms",
    }
    # Latency and calibration are measured, which validates a model; they limit no queries and detect no input.
    assert {row.mitigation for row in policy.requirements_of("model")} == {"AML.M0008", "AML.M0003"}
    assert {requirement.metric for requirement in policy.requirements_of("detectors")} == {
        "drift_false_alarms_per_day",
        "drift_detection_rate",
        "drift_delay_windows",
        "adversarial_auroc",
        "adversarial_false_positive_rate",
        "verdict_accuracy",
    }


def test_requirements_of_detectors_do_not_judge_a_model_and_the_reverse():
    policy = policy_of(requirement("recall"), requirement("auroc", of="detectors"))
    digest = f"sha256:{'0' * 64}"
    assert [row.metric for row in judge(policy, {"recall": 1.0}, digest).results] == ["recall"]
    assert not judge(policy, {"recall": 1.0}, digest, of="detectors").passed
    with pytest.raises(PolicyInvalid, match="none is of the detectors"):
        judge(policy_of(requirement("recall")), {"recall": 1.0}, digest, of="detectors")


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        pytest.param(requirement(at_most=0.95), "exactly one", id="both bounds"),
        pytest.param(requirement(at_least=None), "exactly one", id="no bound"),
        pytest.param(requirement(at_least=math.nan), "finite", id="NaN bound"),
        pytest.param(requirement(at_least=math.inf), "finite", id="infinite bound"),
        pytest.param(requirement(at_least=-math.inf), "finite", id="minus infinite bound"),
        pytest.param(requirement(at_least="0.9"), "valid number", id="number written as text"),
        pytest.param(requirement(at_least=True), "valid number", id="bool as bound"),
        pytest.param(requirement(mitigation="AML.M0099"), "no mitigation", id="unknown mitigation"),
        pytest.param(requirement(mitigation="AML.T0015"), "no mitigation", id="technique in place of mitigation"),
        pytest.param(requirement(mitigation=""), "no mitigation", id="empty mitigation"),
        pytest.param(requirement(why="  "), "at least 1", id="blank reason"),
        pytest.param(requirement(risk=None), "risk: Field required", id="no risk"),
        pytest.param(requirement(at_leats=0.5), "at_leats: Extra inputs", id="misspelt key"),
        pytest.param(requirement(metric="Recall"), "metric", id="metric in capitals"),
        pytest.param(requirement(metric="recall\n"), "metric", id="metric with newline"),
    ],
)
def test_a_bad_requirement_is_refused(row, problem):
    with pytest.raises(PolicyInvalid, match=problem):
        policy_of(row)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        pytest.param({"requirements": []}, "at least 1", id="nothing required"),
        pytest.param({"requirements": [requirement(), requirement()]}, "twice: recall", id="metric twice"),
        pytest.param({"operating_point": {}}, "operating_point", id="no operating point"),
        pytest.param({"operating_point": {"max_false_positive_rate": 0.0}}, "greater than 0", id="zero rate"),
        pytest.param({"operating_point": {"max_false_positive_rate": 1.0}}, "less than 1", id="rate of one"),
        pytest.param({"operating_point": {"max_false_positive_rate": math.nan}}, "max_false", id="NaN rate"),
        pytest.param({"version": "1.0"}, "version", id="version of two parts"),
        pytest.param({"version": 1.0}, "version", id="version as number"),
        pytest.param({"comment": "hi"}, "comment: Extra inputs", id="unknown key"),
    ],
)
def test_a_bad_policy_is_refused(changes, problem):
    with pytest.raises(PolicyInvalid, match=problem):
        policy_of(**changes)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        pytest.param(b"", "valid dictionary", id="empty"),
        pytest.param(b"- 1", "valid dictionary", id="a list"),
        pytest.param(b"name: [", "not plain YAML", id="broken YAML"),
        pytest.param(b"\xff\xfe\x00", "not plain YAML", id="not text"),
        pytest.param(b"[" * 100_000, "not plain YAML", id="100,000 levels"),
        pytest.param(b"name: a\nname: b\n", "twice: name", id="key twice"),
        pytest.param(b"a: &x 1\nb: *x\n", "alias", id="alias"),
        pytest.param(b"name: !!python/object/apply:os.getpid []", "not plain YAML", id="object tag"),
        pytest.param(b"#" * (MAX_POLICY_BYTES + 1), "larger", id="too large"),
    ],
)
def test_what_is_not_a_policy_is_refused(tmp_path, data, problem):
    path = tmp_path / "policy.yaml"
    path.write_bytes(data)
    with pytest.raises(PolicyInvalid, match=problem):
        load_policy(path)


def test_an_absent_file_is_named():
    with pytest.raises(PolicyInvalid, match=r"nowhere\.yaml.*cannot be read"):
        load_policy("nowhere.yaml")


def test_every_problem_is_listed():
    with pytest.raises(PolicyInvalid) as caught:
        policy_of(requirement(at_least="x", mitigation="M8"), version="x")
    assert len(caught.value.problems) == 3


def test_a_bound_in_exponent_form_without_a_point_is_text_in_yaml_and_refused():
    text = yaml.safe_dump(policy_of().model_dump(mode="json", exclude_none=True)).replace("0.9", "9e-1")
    with pytest.raises(PolicyInvalid, match="valid number"):
        parse_policy(text.encode())


def test_the_digest_is_of_the_content_not_of_the_layout():
    policy = policy_of()
    flow = yaml.safe_dump(policy.model_dump(mode="json", exclude_none=True), default_flow_style=True)
    assert parse_policy(("# a comment\n" + flow).encode()).digest() == policy.digest()
    assert policy_of(requirement(at_least=0.91)).digest() != policy.digest()


@given(data=st.binary(max_size=300))
def test_any_bytes_give_a_policy_or_the_named_error(data):
    with pytest.raises(PolicyInvalid):
        parse_policy(data)


@given(bound=st.floats(allow_nan=False, allow_infinity=False))
def test_any_finite_bound_is_kept_exactly(bound):
    assert policy_of(requirement(at_least=bound)).requirements[0].at_least == bound


def test_a_number_that_the_operating_point_does_not_give_is_missed():
    assert policy_of().operating("max_false_positive_rate") == 0.01
    with pytest.raises(PolicyInvalid, match="eps is missing"):
        policy_of().operating("eps")
