"""The KServe InferenceService that serves a published bundle."""

import tempfile
from pathlib import Path
from typing import Any

import yaml

from secmlops.lifecycle.dossier import hand_on
from secmlops.progress import say
from secmlops.release import fetch_verified, verification

MODELS_FOLDER = "/mnt/models"


def inference_service(
    service: str, namespace: str, bundle_uri: str, trust_config: str, image: str, *, use_case: str, model_digest: str
) -> dict[str, Any]:
    """The resource, ready for `kubectl apply`.

    Args:
        service: name of the service and of the model in its routes.
        namespace: where it lives.
        bundle_uri: published bundle, which KServe's storage initializer fetches.
        trust_config: ConfigMap with the public key under `signing.pub`.
        image: the serving image.
        use_case: whose server it is, e.g. `web_attacks`.
        model_digest: `sha256:...`, kept as an annotation.
    """
    ready = {"httpGet": {"path": f"/v2/models/{service}/ready", "port": 8080}}
    container = {
        "name": "kserve-container",
        "image": image,
        "command": ["python", "-m", f"serving.{use_case}"],
        "args": [
            f"--model_name={service}",
            f"--model_dir={MODELS_FOLDER}",
            "--trusted_key=env:SECMLOPS_TRUSTED_KEY",
        ],
        "env": [
            {"name": "STORAGE_URI", "value": bundle_uri},
            {
                "name": "SECMLOPS_TRUSTED_KEY",
                "valueFrom": {"configMapKeyRef": {"name": trust_config, "key": "signing.pub"}},
            },
        ],
        "ports": [{"containerPort": 8080, "name": "http1", "protocol": "TCP"}],
        "readinessProbe": {**ready, "periodSeconds": 5},
        "startupProbe": {**ready, "periodSeconds": 2, "failureThreshold": 60},
        "livenessProbe": {"httpGet": {"path": "/v2/health/live", "port": 8080}, "periodSeconds": 10},
        "resources": {
            "requests": {"cpu": "1", "memory": "1Gi"},
            "limits": {"cpu": "1", "memory": "1Gi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": service,
            "namespace": namespace,
            "labels": {"app.kubernetes.io/name": service, "app.kubernetes.io/part-of": "secmlops"},
            "annotations": {
                "serving.kserve.io/deploymentMode": "Standard",
                "secmlops/model-digest": model_digest,
            },
        },
        "spec": {
            "predictor": {
                "minReplicas": 1,
                "automountServiceAccountToken": False,
                "containers": [container],
            }
        },
    }


def write_inference_service(
    bundle_uri: str,
    service: str,
    namespace: str,
    trust_config: str,
    image: str,
    manifest: str,
    dossier: str,
    evidence: str,
) -> None:
    """Verify a published bundle and write its InferenceService as YAML, and the evidence with this check added.

    Raises:
        BundleError: the bundle does not verify; nothing is written.
    """
    with tempfile.TemporaryDirectory() as folder:
        verified = fetch_verified(bundle_uri, Path(folder))
    resource = inference_service(
        service,
        namespace,
        bundle_uri,
        trust_config,
        image,
        use_case=verified.verdict.use_case,
        model_digest=verified.model_digest,
    )
    Path(manifest).write_text(yaml.safe_dump(resource, sort_keys=False), encoding="utf-8")
    hand_on([dossier], evidence, verification(verified, "deploy"))
    say(f"InferenceService {namespace}/{service} of {verified.model_digest[:19]}")
