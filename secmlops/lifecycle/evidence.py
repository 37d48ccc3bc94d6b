"""Evidence: what a step of the pipeline did against a risk, with the values it measured.

Each step that implements or checks a mitigation writes one record; the assurance report is made from these records
and from nothing else. A record says what was measured, so a claim can fail: then `holds` is False and the record
still is evidence, of a weakness.
"""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, field_validator

from secmlops.errors import SecmlopsError
from secmlops.lifecycle.gate import Digest
from secmlops.lifecycle.mitigations import MITIGATIONS, UnknownMitigation
from secmlops.lifecycle.stages import Stage

MAX_EVIDENCE_BYTES = 4 * 1024**2

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
        artifacts: `sha256:...` of what was looked at or made, by name.
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

    @field_validator("mitigations")
    @classmethod
    def _known_mitigations(cls, ids: tuple[str, ...]) -> tuple[str, ...]:
        for mitigation_id in ids:
            if mitigation_id not in MITIGATIONS:
                raise ValueError(str(UnknownMitigation(mitigation_id)))
        if len(set(ids)) != len(ids):
            raise ValueError("a mitigation is named twice")
        return ids


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
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_EVIDENCE_BYTES + 1)
    except OSError as error:
        raise EvidenceInvalid(path, f"cannot be read: {error.strerror}") from error
    if len(data) > MAX_EVIDENCE_BYTES:
        raise EvidenceInvalid(path, f"larger than {MAX_EVIDENCE_BYTES:,} bytes")
    try:
        return Evidence.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise EvidenceInvalid(path, f"{place}: {first['msg']}") from error
