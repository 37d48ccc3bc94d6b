"""Champion against challenger: a retrained model replaces the one that serves only where it is measurably better.

Both are measured on the same newest labelled data and attacked by the same matrix; otherwise nothing is compared. A
promotion policy says which metrics count, how much better one of them has to become, and how much worse none may:

```yaml
name: web-attacks-promotion
version: 1.0.0
use_case: web_attacks
min_labelled: 500
criteria:
  - metric: tpr_at_1pct_fpr
    better: higher
    minimal_gain: 0.01
    tolerance: 0.005
    why: more attacks are seen
```

It does not replace the gate: a candidate has passed that one before. Whatever cannot be compared keeps the champion.
Implements MITRE ATLAS AML.M0008 (validate the model before it replaces another).
"""

import hashlib
import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from secmlops.errors import SecmlopsError
from secmlops.lifecycle.dossier import hand_on
from secmlops.lifecycle.evidence import Evidence
from secmlops.lifecycle.gate import Digest
from secmlops.lifecycle.policy import MetricName, Sentence, parse_strictly, read_policy
from secmlops.lifecycle.records import read_record
from secmlops.lifecycle.stages import Stage
from secmlops.pages import render
from secmlops.progress import say

MEASUREMENT_FILE = "measurement.json"
MAX_MEASUREMENT_BYTES = 4 * 1024**2

_ROUNDING = 1e-12
_TEMPLATES = Path(__file__).parent / "templates"
_STRICT = ConfigDict(frozen=True, extra="forbid", strict=True)

Amount = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]


class MeasurementInvalid(SecmlopsError):
    """A file that is no measurement.

    Attributes:
        source: the file.
        reason: what is wrong with it.
    """

    def __init__(self, source: str | Path, reason: str):
        self.source, self.reason = str(source), reason
        super().__init__(f"{source} is no measurement of a model ({reason}): evaluate the model again")


class Criterion(BaseModel):
    """One metric of the comparison.

    Attributes:
        metric: name of the measured value.
        better: whether higher or lower values are.
        minimal_gain: by how much it has to become better to speak for the candidate, in the metric's unit; absent: it
            never does.
        tolerance: by how much it may become worse, in the metric's unit.
        why: for the people who read the decision.
    """

    model_config = _STRICT

    metric: MetricName
    better: Literal["higher", "lower"]
    minimal_gain: Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)] | None = None
    tolerance: Amount
    why: Sentence


class PromotionPolicy(BaseModel):
    """When a candidate replaces the champion, versioned.

    Attributes:
        name: the policy's name.
        version: its version, `major.minor.patch`.
        use_case: the use case's folder name.
        min_labelled: fewest labelled examples that a comparison rests on.
        criteria: each metric once, and at least one with a minimal gain.
    """

    model_config = _STRICT

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$")]
    version: Annotated[str, StringConstraints(pattern=r"^\d{1,9}\.\d{1,9}\.\d{1,9}$")]
    use_case: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,99}$")]
    # a float, because numbers in a pipeline's parameters arrive as such
    min_labelled: Annotated[float, Field(strict=True, ge=1, allow_inf_nan=False)]
    criteria: Annotated[list[Criterion], Field(min_length=1, max_length=1000)]

    @model_validator(mode="after")
    def _can_be_met(self) -> Self:
        metrics = [criterion.metric for criterion in self.criteria]
        repeated = sorted({metric for metric in metrics if metrics.count(metric) > 1})
        if repeated:
            raise ValueError(f"metrics named twice: {', '.join(repeated)}")
        if all(criterion.minimal_gain is None for criterion in self.criteria):
            raise ValueError("no criterion has a minimal_gain: nothing could ever be promoted")
        return self

    def digest(self) -> str:
        """`sha256:...` over the policy's content: independent of comments and layout of its file."""
        return _digest(self.model_dump(mode="json"))


class Measurement(BaseModel):
    """What was measured of one model.

    Attributes:
        model_digest: the model.
        data_digest: the labelled data that it was measured on.
        attacks_digest: the attacks that it met: their settings and seed.
        labelled: labelled examples in that data.
        metrics: values by name; None where nothing or no finite number was measured.
        measured_at: when, UTC.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model_digest: Digest
    data_digest: Digest
    attacks_digest: Digest
    labelled: Annotated[int, Field(ge=0)]
    metrics: dict[MetricName, float | None]
    measured_at: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC))


class Standing(StrEnum):
    """How the candidate stands in one metric."""

    BETTER = "better"
    """By the minimal gain at least."""
    ALIKE = "alike"
    """Within the tolerance, or better by less than the minimal gain."""
    WORSE = "worse"
    """By more than the tolerance."""
    UNKNOWN = "unknown"
    """One of the two was not measured, or is no finite number."""


class Comparison(BaseModel):
    """One criterion applied.

    Attributes:
        criterion: as the policy has it.
        champion: the champion's value.
        candidate: the candidate's.
        gain: by how much the candidate is better; negative where it is worse.
        standing: what that means.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    criterion: Criterion
    champion: Annotated[float, Field(allow_inf_nan=False)] | None
    candidate: Annotated[float, Field(allow_inf_nan=False)] | None
    gain: Annotated[float, Field(allow_inf_nan=False)] | None
    standing: Standing

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.gain, self.standing) != _stand(self.criterion, self.champion, self.candidate):
            raise ValueError(f"{self.criterion.metric}: gain or standing contradicts the values")
        return self


class PromotionDecision(BaseModel):
    """Whether the candidate replaces the champion, and why.

    Attributes:
        promote: whether it does.
        reasons: in words; what speaks against it when it does not, else what speaks for it.
        obstacles: what forbids a comparison, such as different data.
        comparisons: one per criterion, in the policy's order.
        policy_name: name of the policy.
        policy_version: its version.
        policy_digest: `PromotionPolicy.digest()`.
        champion_digest: the model that serves; None when there is none.
        candidate_digest: the model that would.
        data_digest: the data that the candidate was measured on.
        attacks_digest: the attacks that it met.
        decided_at: when, UTC.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    promote: bool
    reasons: Annotated[tuple[str, ...], Field(min_length=1)]
    obstacles: tuple[str, ...]
    comparisons: Annotated[tuple[Comparison, ...], Field(min_length=1)]
    policy_name: str
    policy_version: str
    policy_digest: Digest
    champion_digest: Digest | None
    candidate_digest: Digest
    data_digest: Digest
    attacks_digest: Digest
    decided_at: AwareDatetime

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.promote != _promotes(self.obstacles, self.comparisons, first=self.champion_digest is None):
            raise ValueError("`promote` contradicts the comparisons")
        return self


def load_promotion_policy(path: str | Path) -> PromotionPolicy:
    """Read a promotion policy, as strictly as a gate policy.

    Raises:
        PolicyInvalid: absent, too large, not YAML, or no such policy; all problems are listed.
    """
    return parse_strictly(PromotionPolicy, read_policy(path), str(path))


def decide(policy: PromotionPolicy, champion: Measurement | None, candidate: Measurement) -> PromotionDecision:
    """Compare a candidate with the champion.

    It is promoted when nothing forbids the comparison, every criterion was measured of both and is within its
    tolerance, and at least one is better by its minimal gain. Where there is no champion, every criterion has to be
    measured of the candidate; the gate has then been the judge.

    Args:
        policy: the criteria.
        champion: the model that serves, measured anew; None when none serves yet.
        candidate: the model that would.
    """
    obstacles = tuple(_obstacles(policy, champion, candidate))
    comparisons = tuple(_compare(criterion, champion, candidate) for criterion in policy.criteria)
    promote = _promotes(obstacles, comparisons, first=champion is None)
    return PromotionDecision(
        promote=promote,
        reasons=tuple(_reasons(promote, obstacles, comparisons, first=champion is None)),
        obstacles=obstacles,
        comparisons=comparisons,
        policy_name=policy.name,
        policy_version=policy.version,
        policy_digest=policy.digest(),
        champion_digest=champion.model_digest if champion else None,
        candidate_digest=candidate.model_digest,
        data_digest=candidate.data_digest,
        attacks_digest=candidate.attacks_digest,
        decided_at=datetime.now(UTC),
    )


def write_measurement(measurement: Measurement, folder: str | Path) -> Path:
    """Write a measurement into an evaluation's folder; values that are no finite number become None."""
    finite = {name: _finite(value) for name, value in measurement.metrics.items()}
    path = Path(folder) / MEASUREMENT_FILE
    path.write_text(measurement.model_copy(update={"metrics": finite}).model_dump_json(indent=2), encoding="utf-8")
    return path


def read_measurement(folder: str | Path) -> Measurement:
    """Read the measurement in an evaluation's folder.

    Raises:
        MeasurementInvalid: absent, too large, or no measurement.
    """
    return read_record(Path(folder) / MEASUREMENT_FILE, Measurement, MAX_MEASUREMENT_BYTES, MeasurementInvalid)


def compare_with_champion(
    champion: str | None,
    candidate: str,
    policy: Mapping[str, Any],
    dossier: str,
    decision_file: str,
    report_file: str,
    evidence: str,
) -> PromotionDecision:
    """The pipeline's step: decide, write the decision, the report and the evidence.

    Args:
        champion: folder of the champion's evaluation; None when no model serves yet.
        candidate: folder of the candidate's.
        policy: content of a promotion policy.
        dossier: the evidence so far.
        decision_file: where the decision is written (JSON).
        report_file: where the report for people is written (HTML).
        evidence: the dossier handed on.

    Raises:
        PolicyInvalid: the content is no promotion policy.
        MeasurementInvalid: an evaluation holds no measurement.
    """
    stated = parse_strictly(PromotionPolicy, json.dumps(policy).encode(), "of this run")
    before = read_measurement(champion) if champion is not None else None
    decision = decide(stated, before, read_measurement(candidate))
    Path(decision_file).write_text(decision.model_dump_json(indent=2), encoding="utf-8")
    write_report(decision, Path(report_file))
    hand_on([dossier], evidence, _evidence(decision))
    say(f"{'promoted' if decision.promote else 'the champion stays'}: {decision.reasons[0]}")
    return decision


def write_report(decision: PromotionDecision, path: Path) -> None:
    """Write the decision as one HTML page."""
    path.write_text(render(_TEMPLATES, "promotion.html", title="Champion and challenger", decision=decision), "utf-8")


def _obstacles(policy: PromotionPolicy, champion: Measurement | None, candidate: Measurement) -> list[str]:
    found = []
    if candidate.labelled < policy.min_labelled:
        found.append(f"{candidate.labelled} labelled examples are fewer than {policy.min_labelled:g}")
    if champion is None:
        return found
    if champion.model_digest == candidate.model_digest:
        found.append("the candidate is the champion")
    if (champion.data_digest, champion.labelled) != (candidate.data_digest, candidate.labelled):
        found.append("the two were measured on different data")
    if champion.attacks_digest != candidate.attacks_digest:
        found.append("the two met different attacks")
    return found


def _compare(criterion: Criterion, champion: Measurement | None, candidate: Measurement) -> Comparison:
    before = _finite(champion.metrics.get(criterion.metric)) if champion else None
    after = _finite(candidate.metrics.get(criterion.metric))
    gain, standing = _stand(criterion, before, after)
    return Comparison(criterion=criterion, champion=before, candidate=after, gain=gain, standing=standing)


def _stand(criterion: Criterion, champion: float | None, candidate: float | None) -> tuple[float | None, Standing]:
    if champion is None or candidate is None:
        return None, Standing.UNKNOWN
    gain = candidate - champion if criterion.better == "higher" else champion - candidate
    if not math.isfinite(gain):
        return None, Standing.UNKNOWN
    if gain < -criterion.tolerance - _ROUNDING:
        return gain, Standing.WORSE
    if criterion.minimal_gain is not None and gain >= criterion.minimal_gain - _ROUNDING:
        return gain, Standing.BETTER
    return gain, Standing.ALIKE


def _promotes(obstacles: tuple[str, ...], comparisons: tuple[Comparison, ...], *, first: bool) -> bool:
    if obstacles:
        return False
    if first:
        return all(comparison.candidate is not None for comparison in comparisons)
    standings = {comparison.standing for comparison in comparisons}
    return Standing.BETTER in standings and not standings & {Standing.WORSE, Standing.UNKNOWN}


def _reasons(
    promote: bool, obstacles: tuple[str, ...], comparisons: tuple[Comparison, ...], *, first: bool
) -> list[str]:
    if promote:
        return ["no model serves yet"] if first else [_told(c) for c in comparisons if c.standing is Standing.BETTER]
    against = list(obstacles)
    if first:
        against += [f"{c.criterion.metric} was not measured" for c in comparisons if c.candidate is None]
    else:
        bad = (Standing.WORSE, Standing.UNKNOWN)
        against += [_told(c) for c in comparisons if c.standing in bad]
    return against or ["no metric is better by its minimal gain"]


def _told(comparison: Comparison) -> str:
    metric = comparison.criterion.metric
    if comparison.gain is None:
        whose = " and ".join(
            name
            for name, value in (("the champion", comparison.champion), ("the candidate", comparison.candidate))
            if value is None
        )
        return f"{metric} was not measured of {whose or 'them in comparable size'}"
    word = "better" if comparison.gain >= 0 else "worse"
    return f"{metric} is {word} by {abs(comparison.gain):.4g} ({comparison.champion:.4g} to {comparison.candidate:.4g})"


def _evidence(decision: PromotionDecision) -> Evidence:
    measured: dict[str, Any] = {"promote": decision.promote, "reasons": "; ".join(decision.reasons)}
    for comparison in decision.comparisons:
        measured[f"{comparison.criterion.metric}_champion"] = comparison.champion
        measured[f"{comparison.criterion.metric}_candidate"] = comparison.candidate
    return Evidence(
        stage=Stage.QUALITY_ASSURANCE,
        mitigations=("AML.M0008",),
        claim=f"The candidate was compared with the model that serves, on the same data and under the same attacks, by "
        f"policy {decision.policy_name} {decision.policy_version}.",
        measured=measured,
        artifacts={
            "policy": decision.policy_digest,
            "model": decision.candidate_digest,
            "data": decision.data_digest,
            **({"replaced": decision.champion_digest} if decision.champion_digest else {}),
        },
        producer="compare_with_champion",
        holds=not decision.obstacles,
    )


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _digest(content: Any) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"
