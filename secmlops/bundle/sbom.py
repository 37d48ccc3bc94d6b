"""The bill of materials of a model: CycloneDX 1.6 with a machine-learning-model component (ML-BOM).

Source: CycloneDX 1.6 JSON (https://cyclonedx.org/docs/1.6/json/). Evidence for MITRE ATLAS AML.M0023.
Written by hand because no Python library writes `modelCard` yet.
"""

import math
import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import distributions
from typing import Any

import secmlops
from secmlops.bundle.provenance import Provenance

_MODEL_REF = "model"


def bill_of_materials(
    card: Mapping[str, Any], provenance: Provenance, file_digests: Mapping[str, str], model_digest: str
) -> dict[str, Any]:
    """Describe a model, its files, its data and the Python packages it was made with.

    From the card, `name`, `task`, `architecture`, `metrics` (numbers by name), `intended_use` and `limits` (text or
    lists of text) are taken where they are there.

    Args:
        card: the model card.
        provenance: names the data.
        file_digests: `sha256:...` of the model's files by name.
        model_digest: the model's digest, which also is its version here.
    """
    datasets = [_dataset(index, row.name, row.digest) for index, row in enumerate(provenance.materials)]
    files = [_file(name, digest) for name, digest in sorted(file_digests.items())]
    libraries = _libraries()
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, model_digest)}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
            "tools": {"components": [{"type": "application", "name": "secmlops", "version": secmlops.__version__}]},
            "component": _model(card, model_digest, [row["bom-ref"] for row in datasets]),
        },
        "components": [*files, *datasets, *libraries],
        "dependencies": [{"ref": _MODEL_REF, "dependsOn": [row["bom-ref"] for row in (*files, *datasets, *libraries)]}],
    }


def _model(card: Mapping[str, Any], model_digest: str, dataset_refs: list[str]) -> dict[str, Any]:
    parameters: dict[str, Any] = {"datasets": [{"ref": ref} for ref in dataset_refs]}
    parameters |= _texts(card, {"task": "task", "modelArchitecture": "architecture"})
    model_card: dict[str, Any] = {"modelParameters": parameters}
    metrics = _metrics(card.get("metrics"))
    if metrics:
        model_card["quantitativeAnalysis"] = {"performanceMetrics": metrics}
    considerations = {"useCases": _list(card.get("intended_use")), "technicalLimitations": _list(card.get("limits"))}
    model_card["considerations"] = {name: texts for name, texts in considerations.items() if texts}
    return {
        "type": "machine-learning-model",
        "bom-ref": _MODEL_REF,
        "name": str(card.get("name") or card.get("kind") or "model"),
        "version": model_digest,
        "modelCard": model_card,
    }


def _file(name: str, digest: str) -> dict[str, Any]:
    return {"type": "file", "bom-ref": f"file:{name}", "name": name, "hashes": _hashes(digest)}


def _dataset(index: int, name: str, digest: str) -> dict[str, Any]:
    return {
        "type": "data",
        "bom-ref": f"data:{index}:{name}",
        "name": name,
        "hashes": _hashes(digest),
        "data": [{"type": "dataset", "name": name}],
    }


def _libraries() -> list[dict[str, Any]]:
    """The installed Python packages: the environment in which the bundle was put together."""
    found: dict[str, dict[str, Any]] = {}
    for distribution in distributions():
        raw_name = distribution.metadata["Name"]
        if not raw_name:
            continue
        name = re.sub(r"[-_.]+", "-", raw_name).lower()
        purl = f"pkg:pypi/{name}@{distribution.version.replace('+', '%2B')}"
        found[name] = {
            "type": "library",
            "bom-ref": purl,
            "name": name,
            "version": distribution.version,
            "purl": purl,
        }
    return [found[name] for name in sorted(found)]


def _hashes(digest: str) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": digest.removeprefix("sha256:")}]


def _metrics(metrics: object) -> list[dict[str, str]]:
    if not isinstance(metrics, Mapping):
        return []
    numbers = {
        str(name): value
        for name, value in metrics.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }
    return [{"type": name, "value": repr(value)} for name, value in sorted(numbers.items())]


def _texts(card: Mapping[str, Any], wanted: Mapping[str, str]) -> dict[str, str]:
    return {field: card[key] for field, key in wanted.items() if isinstance(card.get(key), str)}


def _list(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [str(item) for item in value] if isinstance(value, list) else []
