"""The gate: a policy applied to measured values, giving a verdict about one model.

A verdict is a record, not a switch: it names the policy by digest and the model by digest, so it can neither be
carried over to another model nor pass under a policy nobody reviewed. Its own consistency is checked whenever
one is built or read: `passed` cannot say yes where a requirement says no.
"""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from numbers import Real
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from secmlops.lifecycle.policy import Bound, MetricName, Policy, Requirement, Subject

Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]


class RequirementResult(BaseModel):
    """What one requirement came to.

    Attributes:
        metric: name of the measured value.
        kind: `at_least` or `at_most`.
        bound: the value to reach or not to exceed.
        measured: the measured value; None when there was none or it was no finite number.
        passed: whether the requirement holds.
        reason: in words, e.g. `0.93 is below 0.95` or `not measured`.
        why: from the policy.
        risk: from the policy.
        mitigation: from the policy, a MITRE ATLAS id.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: MetricName
    kind: Literal["at_least", "at_most"]
    bound: Bound
    measured: Annotated[float, Field(allow_inf_nan=False)] | None
    passed: bool
    reason: str
    why: str
    risk: str
    mitigation: str

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.passed != _holds(self.kind, self.bound, self.measured):
            raise ValueError(f"{self.metric}: `passed` contradicts its bound and measured value")
        return self


class Verdict(BaseModel):
    """The gate's answer about one model.

    Attributes:
        use_case: what the model is for, e.g. `web_attacks`; only that use case's server takes it.
        policy_name: name of the policy.
        policy_version: its version.
        policy_digest: `Policy.digest()`.
        model_digest: the model judged (`secmlops.bundle.model_digest`).
        passed: whether every requirement holds.
        results: one per requirement, in the policy's order; at least one.
        judged_at: when, UTC.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    use_case: str
    policy_name: str
    policy_version: str
    policy_digest: Digest
    model_digest: Digest
    passed: bool
    results: Annotated[tuple[RequirementResult, ...], Field(min_length=1)]
    judged_at: AwareDatetime

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.passed != all(result.passed for result in self.results):
            raise ValueError("`passed` contradicts the results")
        return self

    @property
    def failures(self) -> tuple[RequirementResult, ...]:
        """The requirements that do not hold, in the policy's order."""
        return tuple(result for result in self.results if not result.passed)


def judge(policy: Policy, metrics: Mapping[str, float], model_digest: str, *, of: Subject = "model") -> Verdict:
    """Apply a policy to the measured values of one model.

    A metric that is missing, NaN, infinite or no number (a bool and the text "0.9" are none) fails its
    requirement; metrics that the policy does not name are ignored. Implements MITRE ATLAS AML.M0008.

    Args:
        policy: the requirements.
        metrics: measured values by name.
        model_digest: `sha256:...` of the model, or the detector, that was measured.
        of: which it is; the policy's requirements of the other do not count.

    Raises:
        PolicyInvalid: the policy requires nothing of it.
        pydantic.ValidationError: `model_digest` is no SHA-256 digest.
    """
    results = tuple(_apply(requirement, metrics) for requirement in policy.requirements_of(of))
    return Verdict(
        use_case=policy.use_case,
        policy_name=policy.name,
        policy_version=policy.version,
        policy_digest=policy.digest(),
        model_digest=model_digest,
        passed=all(result.passed for result in results),
        results=results,
        judged_at=datetime.now(UTC),
    )


def _apply(requirement: Requirement, metrics: Mapping[str, float]) -> RequirementResult:
    kind: Literal["at_least", "at_most"]
    if requirement.at_least is not None:
        kind, bound = "at_least", requirement.at_least
    else:
        assert requirement.at_most is not None  # Requirement has exactly one bound
        kind, bound = "at_most", requirement.at_most
    measured, problem = _measured(metrics, requirement.metric)
    return RequirementResult(
        metric=requirement.metric,
        kind=kind,
        bound=bound,
        measured=measured,
        passed=_holds(kind, bound, measured),
        reason=problem or _compare(kind, bound, measured),
        why=requirement.why,
        risk=requirement.risk,
        mitigation=requirement.mitigation,
    )


def _measured(metrics: Mapping[str, float], name: str) -> tuple[float | None, str]:
    if name not in metrics:
        return None, "not measured"
    value = metrics[name]
    if isinstance(value, bool) or not isinstance(value, Real):
        return None, f"no number but {type(value).__name__}"
    try:
        number = float(value)
    except OverflowError:
        return None, "too large for a number"
    if not math.isfinite(number):
        return None, "not a finite number"
    return number, ""


def _holds(kind: str, bound: float, measured: float | None) -> bool:
    if measured is None:
        return False
    return measured >= bound if kind == "at_least" else measured <= bound


def _compare(kind: str, bound: float, measured: float | None) -> str:
    if _holds(kind, bound, measured):
        return f"{measured!r} is {kind.replace('_', ' ')} {bound!r}"
    return f"{measured!r} is {'below' if kind == 'at_least' else 'above'} {bound!r}"
