"""Where a model comes from: an in-toto statement with SLSA provenance.

Sources: in-toto Attestation Framework, Statement v1; SLSA Provenance v1 (https://slsa.dev/spec/v1.0/provenance).
Evidence for MITRE ATLAS AML.M0025 (dataset provenance) and AML.M0014 (verified artifacts).
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, field_validator

import secmlops
from secmlops.lifecycle.gate import Digest

BUILD_TYPE = "urn:secmlops:build:train:v1"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"

_SECRET_NAME = re.compile(
    r"password|passwd|secret|credential|(^|_)(token|apikey|(api|access|private|signing)_key)($|_)"
)
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class Material(BaseModel):
    """Something the model was made from.

    Attributes:
        name: what it is, e.g. `train` or `weights`.
        digest: `sha256:...` over its bytes (`secmlops.bundle.file_digest`).
        uri: where it was read from, without credentials; empty when it was an intermediate file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(min_length=1)]
    digest: Digest
    uri: str = ""


class Provenance(BaseModel):
    """How a model came to be.

    Attributes:
        invocation_id: the run that made it.
        parameters: what the run was asked to do, as JSON; names that mean secrets are refused.
        materials: the data it was made from; at least one.
        code_revision: commit or version of the code; empty when unknown.
        refused: digests of the models that the gate refused earlier in the same run: this one is their hardened
            retraining.
        builder: URI of what ran it.
        started_at: when the run began, UTC.
        finished_at: when it ended, UTC.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    invocation_id: Annotated[str, Field(min_length=1)]
    parameters: dict[str, JsonValue]
    materials: Annotated[tuple[Material, ...], Field(min_length=1)]
    code_revision: str = ""
    refused: tuple[Digest, ...] = ()
    builder: str = "urn:secmlops:builder:local"
    started_at: AwareDatetime | None = None
    finished_at: AwareDatetime | None = None

    @field_validator("parameters")
    @classmethod
    def _plain_json_without_secrets(cls, parameters: dict[str, JsonValue]) -> dict[str, JsonValue]:
        secret = sorted(name for name in _names(parameters) if _SECRET_NAME.search(name.lower()))
        if secret:
            raise ValueError(f"secrets do not belong in provenance: leave out {', '.join(secret)}")
        try:
            json.dumps(parameters, allow_nan=False)
        except ValueError:
            raise ValueError("NaN and infinity are not JSON: leave them out or write None") from None
        return parameters


def _names(value: JsonValue) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from _names(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _names(inner)


def statement(provenance: Provenance, file_digests: Mapping[str, str]) -> dict[str, Any]:
    """The in-toto statement about these files (`sha256:...` by name)."""
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": _digest(digest)} for name, digest in sorted(file_digests.items())],
        "predicateType": PREDICATE_TYPE,
        "predicate": {"buildDefinition": _build_definition(provenance), "runDetails": _run_details(provenance)},
    }


def _build_definition(provenance: Provenance) -> dict[str, Any]:
    dependencies: list[dict[str, Any]] = []
    for material in provenance.materials:
        uri = {"uri": material.uri} if material.uri else {}
        dependencies.append({"name": material.name, **uri, "digest": _digest(material.digest)})
    definition: dict[str, Any] = {
        "buildType": BUILD_TYPE,
        "externalParameters": provenance.parameters,
        "internalParameters": {"refusedModels": [_digest(digest) for digest in provenance.refused]}
        if provenance.refused
        else {},
        "resolvedDependencies": dependencies,
    }
    if provenance.code_revision:
        dependencies.append(_code(provenance.code_revision))
    return definition


def _code(revision: str) -> dict[str, Any]:
    if _COMMIT.fullmatch(revision):
        return {"name": "code", "digest": {"gitCommit": revision}}
    return {"name": "code", "uri": f"urn:secmlops:code:{revision}", "annotations": {"revision": revision}}


def _run_details(provenance: Provenance) -> dict[str, Any]:
    metadata = {"invocationId": provenance.invocation_id}
    if provenance.started_at:
        metadata["startedOn"] = provenance.started_at.isoformat()
    if provenance.finished_at:
        metadata["finishedOn"] = provenance.finished_at.isoformat()
    return {
        "builder": {"id": provenance.builder, "version": {"secmlops": secmlops.__version__}},
        "metadata": metadata,
    }


def _digest(digest: str) -> dict[str, str]:
    algorithm, _, value = digest.partition(":")
    return {algorithm: value}
