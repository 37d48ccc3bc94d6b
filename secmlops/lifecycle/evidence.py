"""Evidence: what a step of the pipeline did against a risk, with the values it measured.

Each step that implements or checks a mitigation writes one record; the assurance report is made from these records
and from nothing else. A record says what was measured, so a claim can fail: then `holds` is False and the record
still is evidence, of a weakness.
"""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator

from secmlops.errors import SecmlopsError
from secmlops.lifecycle.gate import Digest, RequirementResult, Verdict
from secmlops.lifecycle.mitigations import MITIGATIONS, UnknownMitigation
from secmlops.lifecycle.records import read_record
from secmlops.lifecycle.stages import Stage

MAX_EVIDENCE_BYTES = 4 * 1024**2
MODEL_ARTIFACTS = ("model", "champion")

Measured = bool | int | Annotated[float, Field(allow_inf_nan=False)] | str | None


class EvidenceInvalid(SecmlopsError):
    """A file that is no evidence record.

    Attributes:
        source: the file.
        reason: what is wrong with it.
    """

    def __init__(self, source: str | Path, reason: str):
        self.source = str(source)
        self.reason = reason
        super().__init__(f"{source} is no evidence record ({reason}): run the step that writes it again")


class Evidence(BaseModel):
    """One record.

    Attributes:
        stage: where in the lifecycle it was gathered.
        mitigations: ids of the MITRE ATLAS mitigations it speaks for; may be empty for other quality work.
        claim: what is claimed, one sentence.
        measured: the values that support or contradict the claim, units in the names; NaN and infinity are refused,
            None says that a value could not be measured.
        artifacts: `sha256:...` of what was looked at or made, by name; `model` and `champion` name models.
        producer: the step that wrote it.
        holds: whether the measured values support the claim.
        at: when, UTC.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: Stage
    mitigations: tuple[str, ...]
    claim: Annotated[str, Field(min_length=1, max_length=1000)]
    measured: dict[str, Measured] = Field(default_factory=dict)
    artifacts: dict[str, Digest] = Field(default_factory=dict)
    producer: Annotated[str, Field(min_length=1, max_length=200)]
    holds: bool = True
    at: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC))

    def speaks_for(self, model_digest: str) -> bool:
        """Whether it is about this model, or about no model at all, such as a record on the data."""
        models = [self.artifacts[name] for name in MODEL_ARTIFACTS if name in self.artifacts]
        return not models or model_digest in models

    @field_validator("mitigations")
    @classmethod
    def _known_mitigations(cls, ids: tuple[str, ...]) -> tuple[str, ...]:
        for mitigation_id in ids:
            if mitigation_id not in MITIGATIONS:
                raise ValueError(str(UnknownMitigation(mitigation_id)))
        if len(set(ids)) != len(ids):
            raise ValueError("a mitigation is named twice")
        return ids


def verdict_evidence(
    verdict: Verdict, producer: str, *, subject: str = "model", stage: Stage = Stage.QUALITY_ASSURANCE
) -> list[Evidence]:
    """What a verdict shows: for each mitigation that its policy names, whether the model keeps every bound.

    Args:
        verdict: the gate's verdict.
        producer: the step that judged.
        subject: what was judged, and its name among the artifacts; what is beside a model goes by another name.
        stage: where in the lifecycle it was judged.
    """
    by_mitigation: dict[str, list[RequirementResult]] = {}
    for result in verdict.results:
        by_mitigation.setdefault(result.mitigation, []).append(result)
    policy = f"{verdict.policy_name} {verdict.policy_version}"
    return [
        Evidence(
            stage=stage,
            mitigations=(mitigation,),
            claim=f"The {subject} keeps every bound that policy {policy} sets for this mitigation.",
            measured={
                **{r.metric: r.measured for r in results},
                **{f"{r.metric}_{r.kind}": r.bound for r in results},
            },
            artifacts={"policy": verdict.policy_digest, subject: verdict.model_digest},
            producer=producer,
            holds=all(result.passed for result in results),
        )
        for mitigation, results in by_mitigation.items()
    ]


def write_evidence(evidence: Evidence, path: str | Path) -> Path:
    """Write a record as JSON, in one step, making its folder where needed; returns its path."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    temporary.write_text(evidence.model_dump_json(indent=2), encoding="utf-8")
    os.replace(temporary, target)
    return target


def read_evidence(path: str | Path) -> Evidence:
    """Read a record.

    Raises:
        EvidenceInvalid: absent, too large, not JSON, or not a record.
    """
    return read_record(path, Evidence, MAX_EVIDENCE_BYTES, EvidenceInvalid)
