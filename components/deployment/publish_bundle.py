from kfp import dsl
from kfp.dsl import Artifact, Input, Model, Output

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def publish_bundle(bundle: Input[Model], publish_to: str, dossier: Input[Artifact], evidence: Output[Artifact]) -> str:
    """Verify a signed bundle and publish it where KServe fetches it from.

    The trusted key comes from the environment variable SECMLOPS_TRUSTED_KEY: a PEM public key or the path of one.

    Args:
        bundle: the signed bundle.
        publish_to: a folder or `s3://bucket/prefix`.
        dossier: the evidence so far.
        evidence: the dossier with this verification (AML.M0014) added.

    Returns:
        The URI of the published bundle.

    Raises:
        BundleError: the bundle does not verify; nothing is published.
    """
    from secmlops import release

    return release.publish_bundle(bundle.path, publish_to, dossier.path, evidence.path)
