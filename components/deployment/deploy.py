from kfp import dsl
from kfp.dsl import Artifact, Input, Output

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def deploy(
    bundle_uri: str,
    service: str,
    namespace: str,
    trust_config: str,
    image: str,
    dossier: Input[Artifact],
    manifest: Output[Artifact],
    evidence: Output[Artifact],
):
    """Verify a published bundle once more and write the InferenceService that serves it.

    The trusted key comes from the environment variable SECMLOPS_TRUSTED_KEY: a PEM public key or the path of one.

    Args:
        bundle_uri: the published bundle.
        service: name of the InferenceService.
        namespace: its namespace.
        trust_config: ConfigMap with the public key under `signing.pub`.
        image: the serving image.
        dossier: the evidence so far.
        manifest: `kubectl apply`-ready YAML.
        evidence: the dossier with this verification (AML.M0014) added.

    Raises:
        BundleError: the bundle does not verify; no manifest is written.
    """
    from secmlops.inference_service import write_inference_service

    write_inference_service(
        bundle_uri, service, namespace, trust_config, image, manifest.path, dossier.path, evidence.path
    )
