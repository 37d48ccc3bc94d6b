from kfp import dsl
from kfp.dsl import Artifact, Output

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def deploy(bundle_uri: str, service: str, namespace: str, manifest: Output[Artifact]):
    """Verify a published bundle once more and write the InferenceService that serves it.

    The trusted key comes from the environment variable SECMLOPS_TRUSTED_KEY: a PEM public key or the path of one.

    Args:
        bundle_uri: the published bundle.
        service: name of the InferenceService.
        namespace: its namespace.
        manifest: `kubectl apply`-ready YAML.

    Raises:
        BundleError: the bundle does not verify; no manifest is written.
    """
    from secmlops.web_attacks import steps

    steps.deploy(bundle_uri, service, namespace, manifest.path)
