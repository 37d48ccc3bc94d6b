"""Nothing but a finite number within its bound passes."""

import math
from datetime import UTC
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from secmlops.lifecycle.gate import Verdict, judge
from tests.unit.lifecycle.conftest import policy_of, requirement

MODEL = "sha256:" + "a" * 64


def test_a_model_that_reaches_every_bound_passes(policy):
    verdict = judge(policy, {"recall": 0.9, "latency_ms": 5, "other": math.nan}, MODEL)

    assert verdict.passed and not verdict.failures
    assert [(row.metric, row.kind, row.bound, row.measured) for row in verdict.results] == [
        ("recall", "at_least", 0.9, 0.9),
        ("latency_ms", "at_most", 5.0, 5.0),
    ]
    assert verdict.model_digest == MODEL
    assert verdict.policy_digest == policy.digest()
    assert verdict.judged_at.tzinfo == UTC


def test_each_failure_is_told_with_its_reason(policy):
    verdict = judge(policy, {"recall": 0.89}, MODEL)

    assert not verdict.passed
    assert [(row.metric, row.reason) for row in verdict.failures] == [
        ("recall", "0.89 is below 0.9"),
        ("latency_ms", "not measured"),
    ]
    assert verdict.failures[0].risk == "attacks pass unseen"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        pytest.param(math.nan, "not a finite number", id="NaN"),
        pytest.param(math.inf, "not a finite number", id="infinity, which is above every bound"),
        pytest.param(-math.inf, "not a finite number", id="minus infinity"),
        pytest.param(np.float32("nan"), "not a finite number", id="NumPy NaN"),
        pytest.param(True, "no number but bool", id="bool, which Python counts as 1"),
        pytest.param(np.True_, "no number but bool", id="NumPy bool"),
        pytest.param("0.99", "no number but str", id="text"),
        pytest.param(None, "no number but NoneType", id="None"),
        pytest.param([0.99], "no number but list", id="list"),
        pytest.param(np.array([0.99]), "no number but ndarray", id="array"),
        pytest.param(1 + 0j, "no number but complex", id="complex"),
        pytest.param(Decimal("0.99"), "no number but Decimal", id="Decimal"),
        pytest.param(10**400, "too large", id="integer beyond floats"),
    ],
)
@pytest.mark.parametrize("bound", [{"at_least": -1e9}, {"at_least": None, "at_most": 1e9}], ids=["at_least", "at_most"])
def test_what_is_no_finite_number_fails_either_kind_of_bound(value, reason, bound):
    verdict = judge(policy_of(requirement(**bound)), {"recall": value}, MODEL)

    assert not verdict.passed
    assert verdict.failures[0].measured is None
    assert reason in verdict.failures[0].reason


@pytest.mark.parametrize("value", [np.float32(0.95), np.float64(0.95), np.int64(1), 1], ids=repr)
def test_numpy_and_integer_numbers_count(value):
    assert judge(policy_of(), {"recall": value}, MODEL).passed


@given(measured=st.floats(), bound=st.floats(allow_nan=False, allow_infinity=False), least=st.booleans())
def test_the_verdict_is_the_comparison_and_survives_json(measured, bound, least):
    kind = {"at_least": bound} if least else {"at_least": None, "at_most": bound}
    verdict = judge(policy_of(requirement(**kind)), {"recall": measured}, MODEL)

    holds = measured >= bound if least else measured <= bound
    assert verdict.passed == (math.isfinite(measured) and holds)
    assert Verdict.model_validate_json(verdict.model_dump_json()) == verdict


@given(st.dictionaries(st.sampled_from(["recall", "latency_ms"]), st.floats() | st.text() | st.booleans() | st.none()))
def test_one_bad_value_is_enough_to_fail(metrics):
    policy = policy_of(requirement("recall"), requirement("latency_ms", at_least=None, at_most=5))
    good = {
        name
        for name, value in metrics.items()
        if type(value) is float and math.isfinite(value) and (value >= 0.9 if name == "recall" else value <= 5)
    }
    assert judge(policy, metrics, MODEL).passed == (good == {"recall", "latency_ms"})


def failed() -> dict:
    return judge(policy_of(), {"recall": 0.1}, MODEL).model_dump(mode="json")


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda v: v.update(passed=True), id="passed although a result failed"),
        pytest.param(lambda v: v["results"][0].update(passed=True), id="result passed below its bound"),
        pytest.param(lambda v: (v.update(passed=True), v["results"][0].update(passed=True)), id="both"),
        pytest.param(lambda v: v.update(passed=True, results=[]), id="no results left"),
        pytest.param(lambda v: v["results"][0].update(measured=math.inf), id="infinite value"),
        pytest.param(lambda v: v.update(model_digest="sha256:abc"), id="no digest"),
        pytest.param(lambda v: v.update(judged_at="2026-01-01T00:00:00"), id="time without zone"),
        pytest.param(lambda v: v.update(note="x"), id="unknown key"),
    ],
)
def test_an_edited_verdict_contradicts_itself(edit):
    verdict = failed()
    edit(verdict)
    with pytest.raises(ValidationError):
        Verdict.model_validate(verdict)


def test_a_verdict_cannot_be_changed():
    verdict = judge(policy_of(), {"recall": 0.1}, MODEL)
    with pytest.raises(ValidationError):
        verdict.passed = True


def test_a_verdict_names_a_digest():
    with pytest.raises(ValidationError):
        judge(policy_of(), {"recall": 1.0}, "latest")
